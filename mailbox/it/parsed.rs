//! A mail as its reader sees it.

use mailbox::{Link, Received};

use crate::kept::mail;

const MAIL: &str = "From: =?utf-8?q?S=C3=B6hne_=26_Co?= <no-reply@acme.test>\r\n\
    To: \"Ada, Countess\" <ada@acme.test>\r\n\
    Subject: =?utf-8?b?QmVzdMOkdGlnZW4gU2ll?=\r\n =?utf-8?q?_Ihre_Adresse?=\r\n\
    Message-ID: <1@acme.test>\r\n\
    X-Two: one\r\nX-Two: two\r\n\
    MIME-Version: 1.0\r\n\
    Content-Type: multipart/alternative; boundary=b\r\n\r\n\
    --b\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n\
    Gr=C3=BC=C3=9Fe: https://id.acme.test/account/verify/#token=3Dab=\r\nc-_1\r\n\
    (http://other.test/x?y=3D1#a=3D2&token=3Dz), http://plain.test.\r\n\
    --b\r\nContent-Type: text/html; charset=utf-8\r\n\r\n<p>Hi</p>\r\n--b--\r\n";

#[test]
fn headers_are_decoded_and_parts_told_apart() {
    let mail = mail("ada@acme.test", MAIL);
    assert_eq!(mail.subject(), "Bestätigen Sie Ihre Adresse");
    assert_eq!(mail.message_id(), "1@acme.test");
    assert_eq!(mail.headers("x-two"), ["one", "two"]);
    assert_eq!((mail.header("X-Two").as_deref(), mail.header("X-Three")), (Some("one"), None));
    assert_eq!(mail.addresses("From"), [("Söhne & Co".to_owned(), "no-reply@acme.test".to_owned())]);
    assert_eq!(mail.addresses("To"), [("Ada, Countess".to_owned(), "ada@acme.test".to_owned())]);
    let names: Vec<_> = mail.all_headers().into_iter().collect();
    let twice: Vec<_> =
        names.iter().filter(|(name, _)| name == "X-Two").map(|(_, value)| value.as_str()).collect();
    assert_eq!((names.len(), twice), (8, vec!["one", "two"]));
    assert!(mail.text().starts_with("Grüße: "), "{}", mail.text());
    assert_eq!(mail.html().trim(), "<p>Hi</p>");
}

#[test]
fn links_are_found_with_their_tokens() {
    let mail = mail("ada@acme.test", MAIL);
    let link = |url: &str, page: &str, token: Option<&str>| Link {
        url: url.into(),
        page: page.into(),
        token: token.map(Into::into),
    };
    let verify = "https://id.acme.test/account/verify/";
    let expected = [
        link(&format!("{verify}#token=abc-_1"), verify, Some("abc-_1")),
        link("http://other.test/x?y=1#a=2&token=z", "http://other.test/x?y=1", Some("z")),
        link("http://plain.test", "http://plain.test", None),
    ];
    assert_eq!(mail.links(), expected);
    assert_eq!((mail.link(), mail.token()), (expected[0].clone(), "abc-_1".to_owned()));
}

#[test]
fn a_mail_of_one_part_has_no_other_and_nothing_is_no_mail() {
    let text = mail("a@b", "Subject: x\r\n\r\nplain <b>text</b>\r\n");
    assert_eq!((text.text().trim(), text.html().as_str()), ("plain <b>text</b>", ""));
    let html = mail("a@b", "Content-Type: text/html\r\n\r\n<b>x</b>\r\n");
    assert_eq!((html.text().as_str(), html.html().trim()), ("", "<b>x</b>"));
    for raw in [&b""[..], b"\r\n", b"\xff\xfe\r\n\r\n\xff", b"no header"] {
        let none = Received { raw: raw.to_vec(), ..mail("a@b", "") };
        assert_eq!((none.subject().as_str(), none.links().len()), ("", 0));
        let _ = (none.all_headers(), none.text(), none.html(), none.addresses("To"));
    }
}
