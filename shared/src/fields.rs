//! The one encoding of every MAC input and associated data: length-prefixed fields after a label.
//!
//! Because each field carries its length and the first field is the label of its use, no two
//! different lists, and no two uses, can ever yield the same bytes.

/// Encodes `label` and `fields`: each as a 32-bit big-endian length and the bytes.
#[must_use]
pub fn encode(label: &str, fields: &[&[u8]]) -> Vec<u8> {
    let size = fields.iter().map(|field| field.len() + 4).sum::<usize>() + label.len() + 4;
    let mut out = Vec::with_capacity(size);
    push(&mut out, label.as_bytes());
    for field in fields {
        push(&mut out, field);
    }
    out
}

fn push(out: &mut Vec<u8>, field: &[u8]) {
    // A field of 4 GiB cannot arise: bodies and columns are bounded far below.
    let length = u32::try_from(field.len()).unwrap_or(u32::MAX);
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(field);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_bytes_are_these() {
        assert_eq!(encode("a/v1", &[b"xy", b""]), b"\0\0\0\x04a/v1\0\0\0\x02xy\0\0\0\0");
    }

    proptest! {
        #[test]
        fn different_lists_differ(a: Vec<Vec<u8>>, b: Vec<Vec<u8>>) {
            let refs = |list: &Vec<Vec<u8>>| encode("t", &list.iter().map(Vec::as_slice).collect::<Vec<_>>());
            prop_assert_eq!(refs(&a) == refs(&b), a == b);
        }
    }
}
