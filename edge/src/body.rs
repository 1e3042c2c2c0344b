//! Bodies of the edge's own routes: JSON or a form, read once, up to a limit, untrusted.

use serde_json::{Map, Value};
use shared::contract::limits::BODY_BYTES;
use shared::contract::refusal::Refusal;
use shared::http::form::FormType;
use shared::json;
use shared::second_factor::recovery::RecoveryCode;
use shared::second_factor::totp::Code;
use shared::tenant::captcha::is_token;
use zeroize::Zeroizing;

use crate::http::{BodyError, Incoming};

/// The fields of a body.
pub struct Fields {
    object: Map<String, Value>,
    form: bool,
}

/// A password as it was typed. No `Debug`, wiped when dropped.
pub struct TypedPassword(Zeroizing<String>);

impl TypedPassword {
    /// Takes the text without a copy.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// The text, for the hash and for the question to control alone.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

/// A second factor as typed. Text that cannot be a code is a wrong code. No `Debug`: it is a secret.
pub enum TypedFactor {
    /// A one-time code.
    Code(Option<Code>),
    /// A recovery code.
    Recovery(Option<RecoveryCode>),
}

/// What the user of a session re-authenticates with. No `Debug`: it is a secret.
pub enum TypedProof {
    /// A second factor.
    Factor(TypedFactor),
    /// The password.
    Password(TypedPassword),
}

/// The credentials of a sign-in as typed. No `Debug`: they are secrets.
pub struct Credentials {
    /// A user name or address.
    pub name: String,
    /// The password.
    pub password: TypedPassword,
    /// The second factor, where one was sent.
    pub factor: Option<TypedFactor>,
    /// The response token of a CAPTCHA widget, if the request has one.
    pub captcha: Option<CaptchaToken>,
}

/// The response token of a CAPTCHA widget: a bearer secret that is valid once. No `Debug`, wiped when dropped.
pub struct CaptchaToken(Zeroizing<String>);

impl CaptchaToken {
    /// `None` for a text that is no such token.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        is_token(text).then(|| Self(Zeroizing::new(text.to_owned())))
    }

    /// The text, only for the CAPTCHA service.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

/// The fields that widgets add to a form: Turnstile's, hCaptcha's and reCAPTCHA's.
const CAPTCHA_FIELDS: [&str; 3] = ["cf-turnstile-response", "h-captcha-response", "g-recaptcha-response"];

/// The error messages of a field, as in Django REST framework.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    Required,
    Null,
    NotText,
    Blank,
}

impl Fault {
    fn words(self) -> &'static str {
        match self {
            Self::Required => "This field is required.",
            Self::Null => "This field may not be null.",
            Self::NotText => "Not a valid string.",
            Self::Blank => "This field may not be blank.",
        }
    }
}

/// Reads the fields of a request; there are none without a body.
///
/// # Errors
/// 413 over 1 MiB; 415 for an unsupported media type or encoding; 400 for a body that does not parse, is not an
/// object, has a key twice, or has a file.
pub async fn fields(request: &impl Incoming) -> Result<Fields, Refusal> {
    let declared = request.header("content-length").and_then(|length| length.parse::<usize>().ok());
    if declared.is_some_and(|length| length > BODY_BYTES) {
        return Err(Refusal::too_large());
    }
    let body = request.body(BODY_BYTES).await.map_err(|error| match error {
        BodyError::TooLarge => Refusal::too_large(),
        BodyError::Broken => Refusal::json_parse("the body did not arrive whole"),
    });
    // There may be a password in it.
    let bytes = Zeroizing::new(body?);
    parse(request.header("content-type").as_deref(), request.header("content-encoding").as_deref(), &bytes)
}

fn parse(content_type: Option<&str>, encoding: Option<&str>, bytes: &[u8]) -> Result<Fields, Refusal> {
    if bytes.is_empty() {
        return Ok(Fields { object: Map::new(), form: false });
    }
    if encoding.is_some_and(|encoding| !encoding.eq_ignore_ascii_case("identity")) {
        return Err(Refusal::unsupported_media_type(encoding.unwrap_or_default()));
    }
    let media_type = content_type.unwrap_or_default();
    let essence = media_type.split(';').next().unwrap_or_default().trim();
    if essence.eq_ignore_ascii_case("application/json") {
        match json::parse(bytes).map_err(|error| Refusal::json_parse(&error.to_string()))? {
            Value::Object(object) => {
                Ok(Fields { object: object.into_iter().map(flat).collect(), form: false })
            }
            other
            @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_)) => {
                Err(Refusal::not_an_object(&other))
            }
        }
    } else if let Some(form) = FormType::of(media_type) {
        Ok(Fields { object: form.read(media_type, bytes)?, form: true })
    } else {
        Err(Refusal::unsupported_media_type(media_type))
    }
}

/// No field of these routes is a list or an object. The contents of such a value are dropped at once, so that they do
/// not occupy memory during database calls.
fn flat((name, value): (String, Value)) -> (String, Value) {
    let value = match value {
        Value::Array(_) => Value::Array(Vec::new()),
        Value::Object(_) => Value::Object(Map::new()),
        other @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_)) => other,
    };
    (name, value)
}

impl Fields {
    fn text(&self, name: &str, trim: bool) -> Result<String, Fault> {
        let text = match self.object.get(name) {
            None => return Err(Fault::Required),
            Some(Value::Null) => return Err(Fault::Null),
            Some(Value::String(text)) => text.clone(),
            Some(Value::Number(number)) => number.to_string(),
            Some(Value::Bool(_) | Value::Array(_) | Value::Object(_)) => return Err(Fault::NotText),
        };
        let text = if trim { text.trim().to_owned() } else { text };
        if text.is_empty() { Err(Fault::Blank) } else { Ok(text) }
    }

    /// Whether a field was sent.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.object.contains_key(name)
    }

    /// Whether the body is a form, which any web page can send without a preflight.
    #[must_use]
    pub fn is_form(&self) -> bool {
        self.form
    }

    /// A token field: required, trimmed.
    ///
    /// # Errors
    /// 400 with the field's message.
    pub fn token(&self, name: &'static str) -> Result<String, Refusal> {
        self.text(name, true).map_err(|fault| Refusal::field(name, fault.words()))
    }

    /// A boolean that defaults to false, in the spellings of Django REST framework.
    ///
    /// # Errors
    /// 400 for any other value.
    pub fn flag(&self, name: &'static str) -> Result<bool, Refusal> {
        match self.object.get(name) {
            None => Ok(false),
            Some(Value::Bool(flag)) => Ok(*flag),
            Some(Value::String(text)) if ["true", "True", "1", "on"].contains(&text.as_str()) => Ok(true),
            Some(Value::String(text)) if ["false", "False", "0", "off", ""].contains(&text.as_str()) => {
                Ok(false)
            }
            Some(_) => Err(Refusal::field(name, "Must be a valid boolean.")),
        }
    }

    /// A password leaves the fields with its text, so that no copy stays behind. It is never trimmed.
    fn take_password(&mut self) -> Result<TypedPassword, Fault> {
        let text = match self.object.remove("password") {
            None => return Err(Fault::Required),
            Some(Value::Null) => return Err(Fault::Null),
            Some(Value::String(text)) => text,
            Some(Value::Number(number)) => number.to_string(),
            Some(Value::Bool(_) | Value::Array(_) | Value::Object(_)) => return Err(Fault::NotText),
        };
        if text.is_empty() { Err(Fault::Blank) } else { Ok(TypedPassword::new(text)) }
    }

    /// Removes a text from the fields, so that no copy stays: `None` if it was not sent (absent, null, blank),
    /// `Some(None)` if it has another type.
    fn take_sent(&mut self, name: &str) -> Option<Option<Zeroizing<String>>> {
        match self.object.remove(name)? {
            Value::Null => None,
            Value::String(text) => {
                let text = Zeroizing::new(text);
                if text.trim().is_empty() { None } else { Some(Some(text)) }
            }
            Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => Some(None),
        }
    }

    /// The second factor, where one was sent: the first of the fields in `codes`, else `recovery_code`.
    pub fn take_factor(&mut self, codes: &[&str]) -> Option<TypedFactor> {
        let code = codes.iter().filter_map(|name| self.take_sent(name)).next();
        let recovery = self.take_sent("recovery_code");
        let code = code.map(|text| TypedFactor::Code(text.and_then(|text| Code::parse(&text).ok())));
        let recovery =
            || recovery.map(|text| TypedFactor::Recovery(text.and_then(|text| RecoveryCode::parse(&text))));
        code.or_else(recovery)
    }

    /// What the widget of a CAPTCHA gave: the first of its fields that was sent.
    fn take_captcha(&mut self) -> Option<CaptchaToken> {
        let sent = CAPTCHA_FIELDS.iter().filter_map(|name| self.take_sent(name)).next().flatten();
        sent.and_then(|text| CaptchaToken::parse(&text))
    }

    /// The proof of a step-up: a second factor, else the password.
    ///
    /// # Errors
    /// 400 where neither was sent.
    pub fn take_proof(&mut self) -> Result<TypedProof, Refusal> {
        if let Some(factor) = self.take_factor(&["otp"]) {
            return Ok(TypedProof::Factor(factor));
        }
        match self.take_password() {
            Ok(password) => Ok(TypedProof::Password(password)),
            Err(Fault::Required) => Err(Refusal::field("otp", Fault::Required.words())),
            Err(fault @ (Fault::Null | Fault::NotText | Fault::Blank)) => {
                Err(Refusal::field("password", fault.words()))
            }
        }
    }

    /// Name and password of a sign-in. `email` stands for `username`.
    ///
    /// # Errors
    /// 400 with the messages of both fields.
    pub fn take_credentials(&mut self) -> Result<Credentials, Refusal> {
        let name_field = if !self.has("username") && self.has("email") { "email" } else { "username" };
        let (name, password) = (self.text(name_field, false), self.take_password());
        match (name, password) {
            (Ok(name), Ok(password)) => {
                let (factor, captcha) = (self.take_factor(&["otp"]), self.take_captcha());
                Ok(Credentials { name, password, factor, captcha })
            }
            (name, password) => {
                let faults = [(name_field, name.err()), ("password", password.err())];
                let faults = faults.into_iter().filter_map(|(field, fault)| Some((field, fault?)));
                Err(Refusal::fields(faults.map(|(field, fault)| (field, vec![fault.words().to_owned()]))))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn status(content_type: Option<&str>, body: &[u8]) -> Option<u16> {
        parse(content_type, None, body).err().map(|refusal| refusal.status)
    }

    #[test]
    fn media_types_and_shapes() {
        assert_eq!(status(Some("application/json; charset=utf-8"), b"{}"), None);
        assert_eq!(status(Some("APPLICATION/JSON"), b"{}"), None);
        assert_eq!(status(Some("application/x-www-form-urlencoded"), b"a=1&b=2"), None);
        assert_eq!(status(None, b""), None);
        assert_eq!(status(None, b"{}"), Some(415));
        assert_eq!(status(Some("text/plain"), b"{}"), Some(415));
        assert_eq!(status(Some("application/json"), b"{"), Some(400));
        assert_eq!(status(Some("application/json"), b"[]"), Some(400));
        assert_eq!(status(Some("application/json"), br#"{"a":1,"a":2}"#), Some(400));
        assert_eq!(status(Some("application/x-www-form-urlencoded"), b"a=1&a=2"), Some(400));
        assert_eq!(
            parse(Some("application/json"), Some("gzip"), b"{}").err().map(|refusal| refusal.status),
            Some(415)
        );
    }

    #[test]
    fn messages_are_the_recorded_ones() {
        let fields = |json: &str| parse(Some("application/json"), None, json.as_bytes()).ok().unwrap();
        let body = |json: &str| fields(json).take_credentials().err().unwrap().body;
        assert_eq!(
            body("{}"),
            serde_json::json!({"username": ["This field is required."], "password": ["This field is required."]})
        );
        assert_eq!(
            body(r#"{"username":"","password":[]}"#),
            serde_json::json!({"username": ["This field may not be blank."], "password": ["Not a valid string."]})
        );
        let mut sent = fields(r#"{"email":"a","password":" x "}"#);
        let credentials = sent.take_credentials().ok().unwrap();
        assert_eq!((credentials.name.as_str(), credentials.password.expose()), ("a", " x "));
        assert!(!sent.has("password"), "no copy stays behind");
        assert_eq!(fields(r#"{"token":" x "}"#).token("token").ok().as_deref(), Some("x"));
    }

    #[test]
    fn a_second_factor_is_sent_or_not_and_then_a_code_or_a_wrong_one() {
        let sent = |json: &str| {
            let mut fields = parse(Some("application/json"), None, json.as_bytes()).ok().unwrap();
            match fields.take_factor(&["otp", "code"]) {
                None => "none",
                Some(TypedFactor::Code(Some(_))) => "code",
                Some(TypedFactor::Code(None)) => "wrong code",
                Some(TypedFactor::Recovery(Some(_))) => "recovery code",
                Some(TypedFactor::Recovery(None)) => "wrong recovery code",
            }
        };
        for none in [r#"{}"#, r#"{"otp":null}"#, r#"{"otp":""}"#, r#"{"otp":" \n","recovery_code":null}"#] {
            assert_eq!(sent(none), "none", "{none}");
        }
        for code in [r#"{"otp":"123456"}"#, r#"{"otp":" 123456\n"}"#, r#"{"otp":"","code":"123456"}"#] {
            assert_eq!(sent(code), "code", "{code}");
        }
        for wrong in [
            "123456",
            "true",
            "[]",
            r#"["123456"]"#,
            r#"{"a":1}"#,
            r#""12345""#,
            r#""١٢٣٤٥٦""#,
            r#""+12345""#,
        ] {
            assert_eq!(sent(&format!(r#"{{"otp":{wrong}}}"#)), "wrong code", "{wrong}");
        }
        assert_eq!(sent(r#"{"recovery_code":"000g-40r4-0m30-e209"}"#), "recovery code");
        assert_eq!(sent(r#"{"recovery_code":"000g-40r4"}"#), "wrong recovery code");
        // A recovery code stands in its own field.
        assert_eq!(sent(r#"{"otp":"000g-40r4-0m30-e209"}"#), "wrong code");
        assert_eq!(sent(r#"{"otp":"123456","recovery_code":"000g-40r4-0m30-e209"}"#), "code");
    }

    #[test]
    fn a_captcha_is_in_the_field_that_its_widget_adds() {
        let sent = |json: &str| {
            let mut fields = parse(Some("application/json"), None, json.as_bytes()).ok().unwrap();
            fields.take_captcha().map(|token| token.expose().to_owned())
        };
        for field in CAPTCHA_FIELDS {
            assert_eq!(sent(&format!(r#"{{"{field}":" 0.abc\n"}}"#)).as_deref(), Some("0.abc"), "{field}");
        }
        let both = r#"{"cf-turnstile-response":null,"h-captcha-response":"","g-recaptcha-response":"0.abc"}"#;
        assert_eq!(sent(both).as_deref(), Some("0.abc"));
        for none in ["{}", r#"{"cf-turnstile-response":7}"#, r#"{"cf-turnstile-response":["a"]}"#] {
            assert_eq!(sent(none), None, "{none}");
        }
        for bad in ["a b", "\u{e4}", &"x".repeat(9000)] {
            assert_eq!(sent(&format!(r#"{{"cf-turnstile-response":"{bad}"}}"#)), None, "{bad:.20}");
        }
    }

    #[test]
    fn nothing_nested_is_kept() {
        let body = br#"{"a":[[1],2],"b":{"c":[3]},"d":"e"}"#;
        let kept = parse(Some("application/json"), None, body).ok().unwrap().object;
        assert_eq!(Value::Object(kept), serde_json::json!({"a": [], "b": {}, "d": "e"}));
    }

    proptest! {
        #[test]
        fn any_body_is_safe(bytes: Vec<u8>, form: bool) {
            let media = if form { "application/x-www-form-urlencoded" } else { "application/json" };
            if let Ok(mut fields) = parse(Some(media), None, &bytes) {
                let _ = (fields.take_credentials(), fields.token("token"), fields.flag("everywhere"));
                let _ = (fields.take_factor(&["otp", "code"]), fields.take_proof());
            }
        }
    }
}
