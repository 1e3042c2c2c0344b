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

/// Decodes the fields after `label`; `None` for bytes that [`encode`] does not produce.
#[must_use]
pub fn decode<'a>(label: &str, bytes: &'a [u8]) -> Option<Vec<&'a [u8]>> {
    let mut fields = Vec::new();
    let mut rest = bytes;
    while !rest.is_empty() {
        let (length, behind) = rest.split_first_chunk::<4>()?;
        let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
        let (field, behind) = behind.split_at_checked(length)?;
        fields.push(field);
        rest = behind;
    }
    (fields.first() == Some(&label.as_bytes())).then(|| fields.split_off(1))
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

        #[test]
        fn a_list_is_read_back_under_its_own_label_alone(list: Vec<Vec<u8>>) {
            let list: Vec<_> = list.iter().map(Vec::as_slice).collect();
            let bytes = encode("t", &list);
            prop_assert_eq!(decode("t", &bytes), Some(list));
            prop_assert_eq!(decode("u", &bytes), None);
            prop_assert_eq!(decode("t", &bytes[..bytes.len() - 1]), None);
        }

        #[test]
        fn bytes_that_are_read_are_those_that_are_written(bytes: Vec<u8>) {
            if let Some(list) = decode("", &bytes) {
                prop_assert_eq!(encode("", &list), bytes);
            }
        }
    }
}
