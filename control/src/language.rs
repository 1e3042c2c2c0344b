//! The languages that users are spoken to in: by mails, and by the pages that these lead to.

/// One of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    /// Where no other is asked for.
    English,
    /// Formal German.
    German,
}

impl Language {
    const ALL: [Self; 2] = [Self::English, Self::German];

    /// Its tag (RFC 5646).
    #[must_use]
    pub fn tag(self) -> &'static str {
        match self {
            Self::English => "en",
            Self::German => "de",
        }
    }

    /// The language of a tag: its first part decides (RFC 4647, section 3.4).
    #[must_use]
    pub fn of(tag: &str) -> Option<Self> {
        let primary = tag.split(['-', '_']).next()?;
        Self::ALL.into_iter().find(|language| primary.eq_ignore_ascii_case(language.tag()))
    }

    /// The user's, else the tenant's, else English.
    #[must_use]
    pub fn chosen(user: &str, tenant: &str) -> Self {
        Self::of(user).or_else(|| Self::of(tenant)).unwrap_or(Self::English)
    }

    /// The preferred language of `Accept-Language` (RFC 9110, section 12.5.4), else the tenant's, else English.
    #[must_use]
    pub fn accepted(accept_language: &str, tenant: &str) -> Self {
        let mut best = None;
        for range in accept_language.split(',') {
            let (tag, weight) = range.split_once(';').unwrap_or((range, "q=1"));
            let weight =
                weight.trim().strip_prefix("q=").and_then(|weight| weight.trim().parse::<f32>().ok());
            let (Some(language), Some(weight)) = (Self::of(tag.trim()), weight) else { continue };
            // Of equals the first.
            if weight > best.map_or(0.0, |(heaviest, _)| heaviest) {
                best = Some((weight, language));
            }
        }
        best.map_or_else(|| Self::chosen("", tenant), |(_, language)| language)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_liked_is_taken() {
        for (accepted, language) in [
            ("", Language::English),
            ("de", Language::German),
            ("DE-at", Language::German),
            ("en-GB,en;q=0.9,de;q=0.8", Language::English),
            ("fr, de;q=0.7, en;q=0.3", Language::German),
            ("de;q=0.5,en;q=0.5", Language::German),
            ("de;q=0", Language::English),
            ("*", Language::English),
            ("den", Language::English),
            ("de;q=x, ;;, -", Language::English),
            ("de ; q=0.4 , en ; q=0.2", Language::German),
        ] {
            assert_eq!(Language::accepted(accepted, "en"), language, "{accepted}");
        }
    }

    #[test]
    fn who_accepts_neither_is_spoken_to_as_the_tenant_is() {
        assert_eq!(Language::accepted("fr", "de-AT"), Language::German);
        assert_eq!(Language::accepted("en", "de"), Language::English);
        assert_eq!(Language::accepted("fr", "it"), Language::English);
        assert_eq!(Language::chosen("fr", "de"), Language::German);
    }
}
