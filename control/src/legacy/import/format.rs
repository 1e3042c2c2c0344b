//! Names the format of a file that is not a dump, by its first bytes.

/// Bytes that tell.
pub(super) const HEAD: usize = 512;

/// Where the wanted file comes from.
const DUMPDATA: &str =
    "`manage.py dumpdata auth otp_totp --output people.json` of the old service writes what is wanted";

/// The format of the file and the command that converts it; `None` for a file that begins like JSON.
pub(super) fn refusal(head: &[u8]) -> Option<String> {
    let head = head.strip_prefix(&[0xef, 0xbb, 0xbf]).unwrap_or(head);
    if let Some((name, unpack)) = compression(head) {
        return Some(format!(
            "is compressed ({name}): `{unpack} FILE | wardgate import django --dump - ...` reads it"
        ));
    }
    if is_utf16(head) {
        return Some(format!("is UTF-16, as `>` of PowerShell writes it: {DUMPDATA} in UTF-8"));
    }
    if head.starts_with(b"SQLite format 3\0") {
        return Some(format!("is an SQLite database: {DUMPDATA}"));
    }
    if head.starts_with(b"PGDMP") || is_sql(head) {
        return Some(format!(
            "is a dump of a database: restore it into a PostgreSQL and give that as --database-url, or else {DUMPDATA}"
        ));
    }
    let first = head.iter().find(|byte| !byte.is_ascii_whitespace())?;
    match first {
        b'[' | b'{' => None,
        b'<' => Some(format!("is XML: {DUMPDATA}, as JSON")),
        b'-' => Some(format!("is YAML: {DUMPDATA}, as JSON")),
        _ => Some(format!(
            "does not begin as JSON does, with [ or {{: {DUMPDATA}, with nothing of what else is printed"
        )),
    }
}

/// By the marks of gzip (RFC 1952), bzip2, xz, zstd (RFC 8878) and zip.
fn compression(head: &[u8]) -> Option<(&'static str, &'static str)> {
    let marks: [(&[u8], _, _); 5] = [
        (&[0x1f, 0x8b], "gzip", "gunzip -c"),
        (b"BZh", "bzip2", "bunzip2 -c"),
        (&[0xfd, b'7', b'z', b'X', b'Z', 0], "xz", "xz -dc"),
        (&[0x28, 0xb5, 0x2f, 0xfd], "zstd", "zstd -dc"),
        (b"PK\x03\x04", "zip", "unzip -p"),
    ];
    marks.into_iter().find(|(mark, ..)| head.starts_with(mark)).map(|(_, name, unpack)| (name, unpack))
}

/// With or without its mark: the text of a dump is ASCII in every other byte.
fn is_utf16(head: &[u8]) -> bool {
    matches!(
        head,
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] | [b'[' | b'{' | b' ', 0, ..] | [0, b'[' | b'{' | b' ', ..]
    )
}

fn is_sql(head: &[u8]) -> bool {
    let text = String::from_utf8_lossy(head).to_ascii_lowercase();
    let words = [
        "postgresql database",
        "mysql dump",
        "mariadb dump",
        "create table",
        "insert into",
        "begin transaction;",
    ];
    words.iter().any(|word| text.contains(word)) && !text.trim_start().starts_with(['[', '{'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_dump_is_told_what_it_is() {
        for (head, said) in [
            (&b"\x1f\x8b\x08\0\0\0"[..], "gunzip -c"),
            (b"BZh91AY&SY", "bunzip2 -c"),
            (b"\xfd7zXZ\0\0", "xz -dc"),
            (b"\x28\xb5\x2f\xfd\x04", "zstd -dc"),
            (b"PK\x03\x04\x14", "unzip -p"),
            (b"\xff\xfe[\0{\0", "UTF-16"),
            (b"\xfe\xff\0[\0{", "UTF-16"),
            (b"[\0{\0\"\0", "UTF-16"),
            (b"SQLite format 3\0\x10\0", "SQLite"),
            (b"PGDMP\x01\x0e", "--database-url"),
            (b"--\n-- PostgreSQL database dump\n--\n", "--database-url"),
            (b"-- MySQL dump 10.13  Distrib 8.0", "--database-url"),
            (b"PRAGMA foreign_keys=OFF;\nBEGIN TRANSACTION;", "--database-url"),
            (b"<?xml version=\"1.0\"?>", "XML"),
            (b"\xef\xbb\xbf<django-objects>", "XML"),
            (b"- model: auth.user\n  pk: 1", "YAML"),
            (b"id,username,password\n1,ada,", "does not begin as JSON"),
            (b"Loading settings ...\n[{", "does not begin as JSON"),
        ] {
            let refusal = refusal(head).unwrap_or_default();
            assert!(refusal.contains(said), "{}: {refusal}", String::from_utf8_lossy(head));
        }
        for head in [
            &b"[\n{"[..],
            b"{\"model\"",
            b"\xef\xbb\xbf[",
            b"",
            b"\n",
            b"[{\"model\": \"auth.user\", \"fields\": {\"bio\": \"create table\"}",
        ] {
            assert_eq!(refusal(head), None, "{}", String::from_utf8_lossy(head));
        }
    }
}
