//! Filters built from lists of both forms, written, read, cut, altered.

use std::fmt::Write as _;
use std::path::PathBuf;

use flate2::read::GzDecoder;

use super::*;

/// A folder of this test's own, removed with it.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("wardgate-filter-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn file(&self, name: &str, content: &[u8]) -> PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, content).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn wanted(form: Form) -> Built<'static> {
    Built {
        form,
        least_count: 1,
        false_positives: 0.001,
        source: "a test",
        made_at: "2026-11-01T00:00:00Z".parse().unwrap(),
    }
}

/// A file as Pwned Passwords is published: sorted, in capitals, with CRLF. Password `n` was seen `n` times.
fn pwned(count: u64) -> Vec<u8> {
    let hex = |digest: Digest| {
        digest.iter().fold(String::new(), |mut hex, byte| {
            write!(hex, "{byte:02X}").unwrap();
            hex
        })
    };
    let mut lines: Vec<_> =
        (1..=count).map(|n| format!("{}:{n}\r\n", hex(digest_of(&format!("breached {n}"))))).collect();
    lines.sort_unstable();
    lines.concat().into_bytes()
}

fn bytes_of(filter: &Filter) -> Vec<u8> {
    let mut bytes = Vec::new();
    filter.write(&mut bytes).unwrap();
    bytes
}

fn read(bytes: &[u8]) -> Result<Filter, FilterError> {
    Filter::read(bytes, bytes.len() as u64)
}

#[test]
fn a_filter_of_pwned_passwords_lists_them_and_few_others() {
    let folder = Folder::new("round");
    let list = folder.file("pwned.txt", &pwned(20_000));
    let built = build(&list, &Built { least_count: 5_001, ..wanted(Form::Pwned) }, |_| {}).unwrap();
    let path = folder.0.join("pwned.filter");
    built.save(&path).unwrap();
    let filter = Filter::open(&path).unwrap();
    assert_eq!(filter.header(), built.header());
    assert_eq!(&Filter::peek(&path).unwrap(), filter.header());
    assert_eq!((filter.header().entries, filter.header().least_count), (15_000, 5_001));
    assert!((5_001..=20_000).all(|n| filter.lists(&format!("breached {n}"))), "no password is missed");
    assert!(filter.lists(" BREACHED 5001 "), "as Django looks them up");
    let seen_less = (1..=5_000).filter(|n| filter.has(&digest_of(&format!("breached {n}")))).count();
    let others = (0..100_000).filter(|n| filter.has(&digest_of(&format!("another {n}")))).count();
    // 105 are expected, with a deviation of 10.
    assert!((50..160).contains(&(seen_less + others)), "{seen_less} and {others} false positives");
    assert!(filter.size_bytes() < 15_000 * 2, "{} bytes", filter.size_bytes());
    assert!(!folder.0.join("pwned.filter.part").exists());
}

#[test]
fn a_rate_may_be_asked_for() {
    let folder = Folder::new("rate");
    let list = folder.file("pwned.txt", &pwned(5_000));
    for (rate, bits) in [(0.1, 4.8), (0.01, 9.6), (0.000_1, 19.2)] {
        let filter = build(&list, &Built { false_positives: rate, ..wanted(Form::Pwned) }, |_| {}).unwrap();
        let found = (0..200_000).filter(|n| filter.has(&digest_of(&format!("another {n}")))).count() as f64;
        assert!((found / 200_000.0) < rate * 1.5 + 0.000_05, "{found} at {rate}");
        assert!((filter.header().false_positives / rate - 1.0).abs() < 0.1);
        assert!((filter.size_bytes() as f64 * 8.0 / 5_000.0) < bits * 1.1 + 1.0, "{rate}");
    }
}

#[test]
fn a_line_that_is_none_is_named() {
    let folder = Folder::new("lines");
    let good = "0123456789ABCDEF0123456789abcdef01234567:12";
    let ntlm = "0123456789ABCDEF0123456789ABCDEF:12";
    for (name, text, said) in [
        ("ntlm", format!("{good}\n{ntlm}\n"), "line 2: expected 40 hexadecimal digits (SHA-1, not NTLM)"),
        ("words", String::from("123456\n"), "line 1"),
        ("no count", format!("{good}\n\n{}\n", &good[..41]), "line 3"),
        ("count", format!("{good}a\n"), "line 1"),
        ("digit", good.replace('A', "G"), "line 1"),
        ("long", "0".repeat(5000), "line 1"),
        ("none", String::new(), "has no password"),
        ("often", good.to_owned(), "has no password that was seen often enough"),
    ] {
        let list = folder.file(name, text.as_bytes());
        let refused = build(&list, &Built { least_count: 13, ..wanted(Form::Pwned) }, |_| {}).err().unwrap();
        assert!(refused.to_string().contains(said), "{name}: {refused}");
    }
    let list = folder.file("words", b"fine\nnot \xff UTF-8\n");
    let refused = build(&list, &wanted(Form::Words), |_| {}).err().unwrap();
    assert_eq!(refused.to_string(), "line 2: expected a password in UTF-8");
}

#[test]
fn a_damaged_or_foreign_file_is_no_filter() {
    let folder = Folder::new("damage");
    let list = folder.file("pwned.txt", &pwned(300));
    let good = bytes_of(&build(&list, &wanted(Form::Pwned), |_| {}).unwrap());
    assert!(read(&good).is_ok());
    for at in 0..good.len() {
        let mut altered = good.clone();
        altered[at] ^= 0x20;
        assert!(read(&altered).is_err(), "byte {at} altered");
    }
    for length in 0..good.len() {
        assert!(read(&good[..length]).is_err(), "cut to {length}");
        let path = folder.file("cut.filter", &good[..length]);
        assert!(Filter::peek(&path).is_err(), "the length alone tells");
    }
    assert!(matches!(read(&[&good[..], b"x"].concat()), Err(FilterError::Damaged)));
    for foreign in [&b""[..], b"PK\x03\x04", &pwned(3)] {
        assert!(matches!(read(foreign), Err(FilterError::Foreign)));
    }
    assert!(matches!(Filter::open(&folder.0.join("none")), Err(FilterError::Io(_))));
}

/// Another release of the library could place digests differently; then every password would pass.
#[test]
fn bits_in_other_places_are_found() {
    let folder = Folder::new("rule");
    let list = folder.file("pwned.txt", &pwned(300));
    let mut filter = build(&list, &wanted(Form::Pwned), |_| {}).unwrap();
    let moved: Vec<u64> = filter.bits.as_slice().iter().map(|word| word.rotate_left(1)).collect();
    filter.bits = BloomFilter::from_vec(moved).hashes(filter.header.hashes);
    assert!(matches!(read(&bytes_of(&filter)), Err(FilterError::OtherRule)));
}

/// Rebuilds the filter that ships from its list: `WARDGATE_WRITE_FILTER=1` writes it.
#[test]
fn the_filter_that_ships_is_that_of_its_list() {
    let folder = Folder::new("ships");
    let home = Path::new(env!("CARGO_MANIFEST_DIR")).join("passwords");
    let mut words = Vec::new();
    let packed = std::fs::File::open(home.join("common-passwords.txt.gz")).unwrap();
    GzDecoder::new(packed).read_to_end(&mut words).unwrap();
    let list = folder.file("words.txt", &words);
    let wanted = Built {
        false_positives: 0.000_1,
        source: "common-passwords.txt.gz of Django 5.2.19",
        ..wanted(Form::Words)
    };
    let built = build(&list, &wanted, |_| {}).unwrap();
    let path = home.join("common.filter");
    if std::env::var_os("WARDGATE_WRITE_FILTER").is_some() {
        built.save(&path).unwrap();
    }
    let stored = std::fs::read(&path).unwrap();
    assert!(stored == bytes_of(&built), "run this test once with WARDGATE_WRITE_FILTER=1");
    assert!(stored.len() < 64 * 1024, "{} bytes", stored.len());
    let filter = read(&stored).unwrap();
    assert_eq!(filter.header().entries, 19_640);
    for listed in std::str::from_utf8(&words).unwrap().lines() {
        assert!(filter.lists(listed), "{listed}");
    }
}
