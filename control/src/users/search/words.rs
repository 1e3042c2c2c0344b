//! What a search compares: the texts of a user, the words that are looked for, and the pieces of both by which
//! an index finds candidates. Pure.
//!
//! The rule: every word must be in a text of the user, each in whichever. A word of three letters or more may be
//! anywhere in the text; a shorter one must be at the beginning of a word of it. Letters and digits that stand
//! together are a word of a text; any other character is a word by itself. Texts and words are compared in the
//! one form that `shared` has for both sides ([`folded`]), and "letter" means a character of that form.

use std::collections::BTreeSet;

use shared::identifiers::{address_forms, folded};

/// Letters of a word that may be anywhere, and of a piece of a text.
const LETTERS: usize = 3;
/// Bytes of a text. No field that holds has more; a user with a longer one is refused, and costs nothing here.
const LONGEST: usize = 2_048;
/// Pieces of the words of one search that candidates are found by. A query may be as long as a URL; what lies
/// behind these pieces is looked for in the candidates alone.
const PIECES: usize = 64;

/// The texts of a user that a search reads, each in the compared form.
#[derive(Default)]
pub struct Texts(Vec<String>);

impl Texts {
    /// User name, first and last name, and each form of the address; what is empty is left out.
    #[must_use]
    pub fn of(username: &str, email: Option<&str>, first_name: &str, last_name: &str) -> Self {
        let held = |text: &&str| text.len() <= LONGEST;
        let names = [username, first_name, last_name].into_iter().filter(held).map(folded);
        let addresses = email.filter(held).map(address_forms).unwrap_or_default();
        let mut texts: Vec<String> = names.chain(addresses).collect();
        texts.retain(|text| !text.is_empty());
        Self(texts)
    }

    /// The pieces that an index keeps: every three letters in a row, and the first letter and the first two of
    /// every word.
    #[must_use]
    pub fn pieces(&self) -> BTreeSet<&str> {
        let mut pieces = BTreeSet::new();
        for text in &self.0 {
            pieces.extend(threes(text));
            for rest in beginnings(text) {
                pieces.extend((1..LETTERS).filter_map(|letters| first(rest, letters)));
            }
        }
        pieces
    }
}

/// The words that are looked for.
#[derive(Clone, Debug)]
pub struct Words(Vec<String>);

impl Words {
    /// Of words in the compared form, as [`Fields::words`](crate::http::fields::Fields::words) reads them.
    #[must_use]
    pub fn new(folded_words: Vec<String>) -> Self {
        Self(folded_words)
    }

    /// Whether a search for these words finds a user with these texts.
    #[must_use]
    pub fn are_in(&self, texts: &Texts) -> bool {
        self.0.iter().all(|word| {
            let short = is_short(word);
            texts.0.iter().any(|text| {
                if short {
                    beginnings(text).any(|rest| rest.starts_with(word.as_str()))
                } else {
                    text.contains(word.as_str())
                }
            })
        })
    }

    /// Parts that every matching user has; at least one, if there is a word.
    #[must_use]
    pub fn pieces(&self) -> BTreeSet<&str> {
        let mut pieces = BTreeSet::new();
        for word in &self.0 {
            if is_short(word) {
                pieces.insert(word.as_str());
            } else {
                pieces.extend(threes(word).take(PIECES));
            }
        }
        while pieces.len() > PIECES {
            pieces.pop_last();
        }
        pieces
    }

    /// Whether every user with the pieces is found: each word is a piece.
    #[must_use]
    pub fn are_pieces(&self) -> bool {
        self.0.len() <= PIECES && self.0.iter().all(|word| word.chars().count() <= LETTERS)
    }
}

fn is_short(word: &str) -> bool {
    word.chars().count() < LETTERS
}

/// The first letters of a text that has as many.
fn first(text: &str, letters: usize) -> Option<&str> {
    let (at, letter) = text.char_indices().nth(letters.checked_sub(1)?)?;
    text.get(..at + letter.len_utf8())
}

fn threes(text: &str) -> impl Iterator<Item = &str> {
    text.char_indices().filter_map(|(at, _)| first(text.get(at..)?, LETTERS))
}

/// The text from the beginning of each of its words.
fn beginnings(text: &str) -> impl Iterator<Item = &str> {
    let mut before = None;
    text.char_indices().filter_map(move |(at, c)| {
        let within = before.replace(c).is_some_and(char::is_alphanumeric) && c.is_alphanumeric();
        if within { None } else { text.get(at..) }
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn words(text: &str) -> Words {
        Words::new(folded(text).split_whitespace().map(ToOwned::to_owned).collect())
    }

    #[test]
    fn a_user_has_a_text_for_each_field_and_spelling() {
        let texts = Texts::of("ADA", Some("Ada@Bücher.example"), "", "Jose\u{301}");
        assert_eq!(texts.0, ["ada", "josé", "ada@bücher.example", "ada@xn--bcher-kva.example"]);
        let long = Texts::of("ada", None, &"x".repeat(LONGEST + 1), &"ab".repeat(LONGEST / 2));
        assert_eq!(long.pieces().into_iter().collect::<Vec<_>>(), ["a", "ab", "aba", "ad", "ada", "bab"]);
    }

    #[test]
    fn long_words_are_found_anywhere_and_short_ones_where_a_word_begins() {
        let texts = Texts::of("a%b", Some("ada@acme.test"), "Émilie", "du Châtelet-Lomont 7");
        for found in [
            "émilie",
            "mil",
            "ILIE",
            "telet",
            "ada@acme",
            "acme.test",
            "a%b",
            "é",
            "ém",
            "d",
            "du",
            "ch",
            "lo",
            "7",
            "@",
            "@a",
            ".t",
            "ac",
            "te",
            "%",
            "%b",
            "b",
            "a%",
            "-l",
            "mil elet du",
        ] {
            assert!(words(found).are_in(&texts), "{found}");
        }
        for missed in ["il", "i", "at", "u", "h", "om", "me", "emilie", "milix", "b%", "mil x", "duch", "dac"]
        {
            assert!(!words(missed).are_in(&texts), "{missed}");
        }
        assert!(words("").are_in(&texts), "nothing was asked for");
    }

    #[test]
    fn pieces_are_short_texts() {
        let texts = Texts::of("ab", None, "xyzé", "");
        let pieces: Vec<_> = texts.pieces().into_iter().collect();
        assert_eq!(pieces, ["a", "ab", "x", "xy", "xyz", "yzé"]);
        assert_eq!(words("xyzé a").pieces().into_iter().collect::<Vec<_>>(), ["a", "xyz", "yzé"]);
        assert!(words("xyz a").are_pieces() && !words("xyzé a").are_pieces());
        let long: String = ('a'..='z').flat_map(|a| ['b', 'c', 'd', a]).collect();
        assert!((1..=PIECES).contains(&words(&long).pieces().len()));
        assert!(!words(&long).are_pieces());
    }

    proptest! {
        /// A user that matches has the parts of the words, so no candidate is missed. And where the words are
        /// themselves parts, no other user has them.
        #[test]
        fn the_pieces_find_whatever_the_rule_finds(
            username in "[abÄ.]{1,6}", email in prop::option::of("[ab]{1,3}@[abé]{1,4}\\.ab"),
            first_name in "[ab é-]{0,6}", last_name in "\\PC{0,6}", search in "[abÄé.@ -]{0,7}",
        ) {
            let texts = Texts::of(&username, email.as_deref(), &first_name, &last_name);
            let words = words(&search);
            let has_pieces = words.pieces().is_subset(&texts.pieces());
            if words.are_in(&texts) {
                prop_assert!(has_pieces);
            } else if words.are_pieces() {
                prop_assert!(!has_pieces);
            }
        }
    }
}
