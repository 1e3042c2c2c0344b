//! Texts that must be nowhere in what the parts keep, and the search for them in every spelling.

use std::path::{Path, PathBuf};

use aho_corasick::AhoCorasick;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

/// Texts to look for, however they are spelled. Each should be long enough to be nothing else by chance.
pub struct Marks {
    texts: Vec<String>,
    /// The mark that each pattern is an encoding of.
    owners: Vec<usize>,
    search: AhoCorasick,
}

impl Marks {
    /// Prepares the search.
    ///
    /// # Panics
    /// For a text under ten bytes: parts of it would be found where it is not.
    #[must_use]
    pub fn new(texts: Vec<String>) -> Self {
        let (mut owners, mut patterns) = (Vec::new(), Vec::new());
        for (owner, text) in texts.iter().enumerate() {
            assert!(text.len() >= 10, "{text} is too short");
            for spelled in spellings(text) {
                owners.push(owner);
                patterns.push(spelled);
            }
        }
        let search = AhoCorasick::builder().ascii_case_insensitive(true).build(patterns);
        Self { texts, owners, search: search.expect("a few hundred patterns") }
    }

    /// How many texts are looked for.
    #[must_use]
    pub fn len(&self) -> usize {
        self.texts.len()
    }

    /// Whether no text is looked for.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.texts.is_empty()
    }

    /// The texts that are somewhere in `bytes`.
    #[must_use]
    pub fn found_in(&self, bytes: &[u8]) -> Vec<&str> {
        let owners = self.search.find_iter(bytes).filter_map(|hit| self.owners.get(hit.pattern().as_usize()));
        let mut found: Vec<_> =
            owners.filter_map(|owner| self.texts.get(*owner)).map(String::as_str).collect();
        found.sort_unstable();
        found.dedup();
        found
    }
}

/// As it is, in hexadecimal digits, in UTF-16, and in base64 at each offset.
fn spellings(text: &str) -> Vec<Vec<u8>> {
    let hex: String = text.bytes().map(|byte| format!("{byte:02x}")).collect();
    let wide = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let mut spellings = vec![text.as_bytes().to_vec(), hex.into_bytes(), wide];
    // The first and the last letters in base64 depend on the text beside it.
    for before in 0..3 {
        let bytes = [&[0; 3][..before], text.as_bytes()].concat();
        for coded in [STANDARD.encode(&bytes), URL_SAFE_NO_PAD.encode(&bytes)] {
            let coded = coded.trim_end_matches('=').as_bytes();
            spellings.push(coded[4..coded.len() - 2].to_vec());
        }
    }
    spellings
}

/// Every file below a folder, by way of links, too.
///
/// # Panics
/// Where a folder cannot be read.
#[must_use]
pub fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        // A link that leads nowhere has no content.
        match std::fs::metadata(&path) {
            Ok(about) if about.is_dir() => found.extend(files(&path)),
            Ok(about) if about.is_file() => found.push(path),
            _ => {}
        }
    }
    found.sort();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_found_in_every_spelling_and_place() {
        let marks = Marks::new(vec!["zebulonia-4711".into(), "rumpelfax-0815".into()]);
        assert!(marks.found_in(b"nothing of the kind").is_empty());
        for place in 0..7 {
            let inside = format!("{}Zebulonia-4711{}", "x".repeat(place), "y".repeat(5));
            let wide: Vec<u8> = inside.encode_utf16().flat_map(u16::to_le_bytes).collect();
            // In digits and in base64 capitals are other bytes: there the text is looked for as it was given.
            let given = inside.to_lowercase();
            let hex: String = given.bytes().map(|byte| format!("{byte:02X}")).collect();
            let coded = [STANDARD.encode(&given), URL_SAFE_NO_PAD.encode(&given)].map(String::into_bytes);
            for spelled in [inside.clone().into_bytes(), hex.into_bytes(), wide].into_iter().chain(coded) {
                assert_eq!(
                    marks.found_in(&spelled),
                    ["zebulonia-4711"],
                    "{}",
                    String::from_utf8_lossy(&spelled)
                );
            }
        }
    }

    #[test]
    fn files_are_found_by_way_of_links() {
        let (folder, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        std::fs::write(elsewhere.path().join("there"), b"").unwrap();
        std::os::unix::fs::symlink(elsewhere.path(), folder.path().join("link")).unwrap();
        std::os::unix::fs::symlink("nowhere", folder.path().join("broken")).unwrap();
        assert_eq!(files(folder.path()), [folder.path().join("link/there")]);
    }
}
