//! The words of a mail: a subject, a text and the same as HTML, in a language of the recipient's.
//!
//! A template of each kind and language (`templates/mail/<language>/<kind>.txt`) has the subject in its first line, and then
//! paragraphs. `@link <label>` is the mail's link, `@code` its one-time password. Two layouts make of these the text and the
//! page; the library escapes what goes into the page.

use askama::Template;
use chrono::{DateTime, Datelike as _, Timelike as _, Utc};
use zeroize::Zeroizing;

use super::MailKind;
use super::letter::FactorChange;
use super::plain::plain;
use super::store::Mail;
use crate::failure::Failure;
use crate::language::Language;
use crate::tenants::Tenant;

/// Longest name in a mail, in characters.
const NAME_CHARS: usize = 100;
/// Longest user name, as it is limited.
const USERNAME_CHARS: usize = 150;

impl Language {
    fn greeting(self, name: &str) -> String {
        let hello = match self {
            Self::English => "Hello",
            Self::German => "Guten Tag",
        };
        if name.is_empty() { format!("{hello},") } else { format!("{hello} {name},") }
    }

    fn questions(self) -> &'static str {
        match self {
            Self::English => "Questions?",
            Self::German => "Fragen?",
        }
    }

    fn automatic(self) -> &'static str {
        match self {
            Self::English => "This mail was sent automatically.",
            Self::German => "Diese Mail wurde automatisch verschickt.",
        }
    }

    /// `2 January 2026, 15:04 UTC`.
    fn moment(self, at: DateTime<Utc>) -> String {
        const ENGLISH: [&str; 12] = [
            "January",
            "February",
            "March",
            "April",
            "May",
            "June",
            "July",
            "August",
            "September",
            "October",
            "November",
            "December",
        ];
        const GERMAN: [&str; 12] = [
            "Januar",
            "Februar",
            "März",
            "April",
            "Mai",
            "Juni",
            "Juli",
            "August",
            "September",
            "Oktober",
            "November",
            "Dezember",
        ];
        let month = usize::try_from(at.month0()).unwrap_or_default();
        let of = |months: [&'static str; 12]| months.get(month).copied().unwrap_or_default();
        let (day, year, hour, minute) = (at.day(), at.year(), at.hour(), at.minute());
        match self {
            Self::English => format!("{day} {} {year}, {hour:02}:{minute:02} UTC", of(ENGLISH)),
            Self::German => format!("{day}. {} {year}, {hour:02}:{minute:02} Uhr UTC", of(GERMAN)),
        }
    }

    /// `60 minutes`, `24 hours`, `7 days`: in the largest unit that there are two of.
    fn span(self, secs: i64) -> String {
        let (count, unit) = match secs {
            _ if secs >= 2 * 86_400 => (secs / 86_400, ["days", "Tage"]),
            _ if secs >= 2 * 3600 => (secs / 3600, ["hours", "Stunden"]),
            _ => (secs / 60, ["minutes", "Minuten"]),
        };
        let [english, german] = unit;
        match self {
            Self::English => format!("{count} {english}"),
            Self::German => format!("{count} {german}"),
        }
    }
}

/// The values of the templates. Every text is one line without control characters.
struct TemplateValues {
    tenant: String,
    username: String,
    by: String,
    role: String,
    at: String,
    client: String,
    device: String,
    place: String,
    factor: FactorChange,
    codes_left: i64,
    has_link: bool,
    /// How long the link is valid.
    good_for: String,
    /// Until when the password is.
    until: String,
}

macro_rules! templates {
    ($($kind:ident $module:ident $english:tt $german:tt;)+) => {
        $(mod $module {
            use askama::Template;

            use super::TemplateValues;
            #[allow(unused_imports, reason = "one template names it")]
            use super::FactorChange;

            #[derive(Template)]
            #[template(path = $english)]
            pub(super) struct English<'a> {
                pub(super) t: &'a TemplateValues,
            }

            #[derive(Template)]
            #[template(path = $german)]
            pub(super) struct German<'a> {
                pub(super) t: &'a TemplateValues,
            }
        })+

        fn filled(kind: MailKind, language: Language, t: &TemplateValues) -> Result<String, askama::Error> {
            match (kind, language) {
                $((MailKind::$kind, Language::English) => $module::English { t }.render(),
                (MailKind::$kind, Language::German) => $module::German { t }.render(),)+
            }
        }
    };
}

templates! {
    VerifyAddress verify_address "mail/en/verify_address.txt" "mail/de/verify_address.txt";
    AlreadyRegistered already_registered "mail/en/already_registered.txt" "mail/de/already_registered.txt";
    ResetPassword reset_password "mail/en/reset_password.txt" "mail/de/reset_password.txt";
    OneTimePassword one_time_password "mail/en/one_time_password.txt" "mail/de/one_time_password.txt";
    Invitation invitation "mail/en/invitation.txt" "mail/de/invitation.txt";
    ConfirmNewAddress confirm_new_address "mail/en/confirm_new_address.txt" "mail/de/confirm_new_address.txt";
    AddressChanging address_changing "mail/en/address_changing.txt" "mail/de/address_changing.txt";
    PasswordChanged password_changed "mail/en/password_changed.txt" "mail/de/password_changed.txt";
    AddressChanged address_changed "mail/en/address_changed.txt" "mail/de/address_changed.txt";
    SecondFactorChanged second_factor_changed "mail/en/second_factor_changed.txt" "mail/de/second_factor_changed.txt";
    NewDevice new_device "mail/en/new_device.txt" "mail/de/new_device.txt";
    NetworksRefused networks_refused "mail/en/networks_refused.txt" "mail/de/networks_refused.txt";
    SecondFactorDemanded second_factor_demanded "mail/en/second_factor_demanded.txt" "mail/de/second_factor_demanded.txt";
    Test test "mail/en/test.txt" "mail/de/test.txt";
}

/// A paragraph.
enum Block<'a> {
    Text(String),
    /// The mail's link under a label.
    Link(&'a str),
    /// The one-time password.
    Code(&'a str),
}

#[derive(Template)]
#[template(path = "mail/layout.txt")]
struct Text<'a> {
    greeting: &'a str,
    blocks: &'a [Block<'a>],
    link: &'a str,
    questions: &'a str,
    support: &'a str,
    tenant: &'a str,
    automatic: &'a str,
}

#[derive(Template)]
#[template(path = "mail/layout.html")]
struct Page<'a> {
    language: &'a str,
    subject: &'a str,
    greeting: &'a str,
    blocks: &'a [Block<'a>],
    link: &'a str,
    questions: &'a str,
    support: &'a str,
    tenant: &'a str,
    automatic: &'a str,
}

/// The subject and the texts of a mail. No `Debug`: they hold its link.
pub(super) struct Words {
    pub subject: String,
    pub text: Zeroizing<String>,
    pub html: Zeroizing<String>,
}

/// Fills the templates of a mail. `link` is the URL of its link, or empty.
///
/// # Errors
/// If a template cannot be filled.
pub(super) fn words(tenant: &Tenant, mail: &Mail, link: &str) -> Result<Words, Failure> {
    let language = Language::chosen(&mail.content.to.language, &tenant.settings.language);
    let told = told(tenant, mail, language);
    let failed = |_| Failure::Unreadable("a mail's template");
    let filled = Zeroizing::new(filled(mail.kind, language, &told).map_err(failed)?);
    let (subject, body) = filled.split_once('\n').unwrap_or((&filled, ""));
    let code = mail.content.facts.password.as_ref().map_or("", |password| password.as_str());
    let blocks = blocks(body, code);
    let names = mail.kind.names_anyone();
    let name = if names { plain(&mail.content.to.name, NAME_CHARS) } else { String::new() };
    let greeting = language.greeting(&name);
    let support = plain(&tenant.settings.support, NAME_CHARS * 2);
    let (questions, automatic) = (language.questions(), language.automatic());
    let (greeting, support, tenant) = (greeting.as_str(), support.as_str(), told.tenant.as_str());
    let blocks = blocks.as_slice();
    let text = Text { greeting, blocks, link, questions, support, tenant, automatic };
    let language = language.tag();
    let page = Page { language, subject, greeting, blocks, link, questions, support, tenant, automatic };
    Ok(Words {
        subject: subject.to_owned(),
        text: Zeroizing::new(text.render().map_err(failed)?),
        html: Zeroizing::new(page.render().map_err(failed)?),
    })
}

fn told(tenant: &Tenant, mail: &Mail, language: Language) -> TemplateValues {
    let facts = &mail.content.facts;
    let link = mail.content.link.as_ref();
    TemplateValues {
        tenant: plain(&tenant.name, NAME_CHARS),
        username: plain(&facts.username, USERNAME_CHARS),
        by: plain(&facts.by, NAME_CHARS),
        role: plain(&facts.role, NAME_CHARS),
        at: language.moment(facts.at.unwrap_or(mail.created_at)),
        client: plain(&facts.client, NAME_CHARS),
        device: plain(&facts.device, NAME_CHARS),
        place: plain(&facts.place, NAME_CHARS),
        factor: facts.factor,
        codes_left: facts.codes_left,
        has_link: link.is_some(),
        good_for: link.map(|(kind, _)| language.span(kind.lifetime().num_seconds())).unwrap_or_default(),
        until: language.moment(mail.not_after),
    }
}

/// Paragraphs, each on one line. What a template was filled with begins none, so it cannot stand for a link.
fn blocks<'a>(body: &'a str, code: &'a str) -> Vec<Block<'a>> {
    let paragraphs = body.split("\n\n").map(str::trim).filter(|paragraph| !paragraph.is_empty());
    let block = |paragraph: &'a str| match paragraph.strip_prefix("@link ") {
        Some(label) => Block::Link(label),
        None if paragraph == "@code" => Block::Code(code),
        None => Block::Text(paragraph.split_whitespace().collect::<Vec<_>>().join(" ")),
    };
    paragraphs.map(block).collect()
}
