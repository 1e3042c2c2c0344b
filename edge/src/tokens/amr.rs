//! How a user signed in: the `amr` claim (RFC 8176), and the JSON text that a family keeps of it.

/// One method, by RFC 8176's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// A password.
    Pwd,
    /// A one-time code.
    Otp,
    /// More than one factor.
    Mfa,
}

impl Method {
    /// The name in the claim.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pwd => "pwd",
            Self::Otp => "otp",
            Self::Mfa => "mfa",
        }
    }
}

/// The methods of a session, stored as text, because a later release may have written methods that this one does not
/// know. Only [`Method::Mfa`] is used for decisions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Amr(Vec<String>);

impl Amr {
    /// The methods of a new session.
    #[must_use]
    pub fn new(methods: &[Method]) -> Self {
        Self(methods.iter().map(|method| method.as_str().to_owned()).collect())
    }

    /// Reads a family's column. A column that is not a list of methods reads as no method.
    #[must_use]
    pub fn from_column(text: &str) -> Self {
        Self(serde_json::from_str(text).unwrap_or_default())
    }

    /// Whether the method was used.
    #[must_use]
    pub fn has(&self, method: Method) -> bool {
        self.0.iter().any(|name| name == method.as_str())
    }

    /// The methods after a step-up.
    #[must_use]
    pub fn with(mut self, methods: &[Method]) -> Self {
        for method in methods.iter().filter(|method| !self.has(**method)).collect::<Vec<_>>() {
            self.0.push(method.as_str().to_owned());
        }
        self
    }

    /// The text of a family's column.
    #[must_use]
    pub fn to_column(&self) -> String {
        serde_json::json!(self.0).to_string()
    }

    /// The claim.
    #[must_use]
    pub fn into_claim(self) -> Vec<String> {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_column_is_read_as_it_was_written() {
        for (methods, column) in [
            (&[Method::Pwd][..], r#"["pwd"]"#),
            (&[Method::Pwd, Method::Otp, Method::Mfa][..], r#"["pwd","otp","mfa"]"#),
        ] {
            assert_eq!(Amr::new(methods).to_column(), column);
            assert_eq!(Amr::from_column(column), Amr::new(methods));
        }
        assert_eq!(Amr::from_column(r#"["pwd","face"]"#).into_claim(), ["pwd", "face"], "a later release's");
        assert_eq!(Amr::from_column("no list"), Amr::default());
        let more = Amr::from_column(r#"["pwd","face"]"#).with(&[Method::Otp, Method::Pwd]);
        assert_eq!(more.into_claim(), ["pwd", "face", "otp"]);
    }
}
