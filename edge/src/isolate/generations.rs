//! A bounded map in two generations: when the younger is full, the older is dropped, so that
//! nothing has to be ordered by use.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::Hash;

/// The map. Each generation has at most `ENTRIES`.
pub struct Generations<K, V, const ENTRIES: usize> {
    young: HashMap<K, V>,
    old: HashMap<K, V>,
}

impl<K, V, const ENTRIES: usize> Default for Generations<K, V, ENTRIES> {
    fn default() -> Self {
        Self { young: HashMap::new(), old: HashMap::new() }
    }
}

impl<K: Eq + Hash, V, const ENTRIES: usize> Generations<K, V, ENTRIES> {
    /// The value of a key, from either generation.
    #[must_use]
    pub fn get<Q: Eq + Hash + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        self.young.get(key).or_else(|| self.old.get(key))
    }

    /// The same, to be changed where it is.
    pub fn get_mut<Q: Eq + Hash + ?Sized>(&mut self, key: &Q) -> Option<&mut V>
    where
        K: Borrow<Q>,
    {
        match self.young.get_mut(key) {
            Some(value) => Some(value),
            None => self.old.get_mut(key),
        }
    }

    /// Inserts into the younger generation.
    pub fn insert(&mut self, key: K, value: V) {
        if self.young.len() >= ENTRIES && !self.young.contains_key(&key) {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(key, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_bounded_and_the_young_cover_the_old() {
        let mut map = Generations::<u32, u32, 4>::default();
        for number in 0..100 {
            map.insert(number, number);
            assert!(map.young.len() <= 4 && map.old.len() <= 4);
        }
        assert_eq!((map.get(&99), map.get(&96), map.get(&50)), (Some(&99), Some(&96), None));
        map.insert(96, 1);
        assert_eq!(map.get(&96), Some(&1));
        *map.get_mut(&95).unwrap() = 2;
        assert_eq!(map.get(&95), Some(&2), "in the older one");
    }
}
