//! What the pages say, in each language.

use crate::language::Language;
use crate::links::LinkKind;

/// Texts that all pages share.
pub(super) struct Common {
    pub(super) code: &'static str,
    pub(super) code_hint: &'static str,
    pub(super) optional: &'static str,
    pub(super) show_password: &'static str,
    pub(super) bad_link: &'static str,
    pub(super) failed: &'static str,
    pub(super) throttled: &'static str,
}

/// Texts of one page.
pub(super) struct Texts {
    pub(super) title: &'static str,
    pub(super) lead: &'static str,
    pub(super) button: &'static str,
    pub(super) done: &'static str,
}

/// An input beside the token.
pub(super) struct Input {
    /// The member of the route's body.
    pub(super) name: &'static str,
    pub(super) label: &'static str,
    pub(super) is_password: bool,
    pub(super) required: bool,
    /// How a browser may fill it (HTML, the autofill field names).
    pub(super) autocomplete: &'static str,
}

pub(super) fn common(language: Language) -> Common {
    match language {
        Language::English => Common {
            code: "Code from the mail",
            code_hint: "The part of the link in the mail that follows “token=”.",
            optional: "optional",
            show_password: "Show the password",
            bad_link: "This link is not valid: it was used already, has expired, or a newer one was sent.",
            failed: "This did not work. Please try again.",
            throttled: "Too many attempts. Please try again in a few minutes.",
        },
        Language::German => Common {
            code: "Code aus der E-Mail",
            code_hint: "Der Teil des Links in der E-Mail, der auf „token=“ folgt.",
            optional: "freiwillig",
            show_password: "Passwort anzeigen",
            bad_link: "Dieser Link ist nicht gültig: Er wurde schon benutzt, ist abgelaufen, oder es wurde ein neuerer \
                       verschickt.",
            failed: "Das hat nicht geklappt. Bitte versuchen Sie es noch einmal.",
            throttled: "Zu viele Versuche. Bitte versuchen Sie es in einigen Minuten noch einmal.",
        },
    }
}

pub(super) fn texts(kind: LinkKind, language: Language) -> Texts {
    match language {
        Language::English => english(kind),
        Language::German => german(kind),
    }
}

fn english(kind: LinkKind) -> Texts {
    match kind {
        LinkKind::Verify => Texts {
            title: "Confirm your address",
            lead: "Confirm that this e-mail address is yours. If you did not ask for an account, close this page: \
                   nothing happens then.",
            button: "Confirm the address",
            done: "Your address is confirmed. You can sign in now.",
        },
        LinkKind::Reset => Texts {
            title: "Choose a new password",
            lead: "It replaces the old password, and signs you out everywhere.",
            button: "Set the password",
            done: "Your password is set. You can sign in with it now.",
        },
        LinkKind::Invite => Texts {
            title: "Accept the invitation",
            lead: "Choose a user name and a password for your account.",
            button: "Create the account",
            done: "Your account is ready. You can sign in now.",
        },
        LinkKind::Address => Texts {
            title: "Confirm your new address",
            lead: "Your account uses this e-mail address from then on.",
            button: "Use this address",
            done: "Your new address is confirmed.",
        },
        LinkKind::Undo => Texts {
            title: "Take back the change of your address",
            lead: "Your account uses this e-mail address again. If you did not change it, someone else may know your \
                   password: set a new one afterwards.",
            button: "Take back the change",
            done: "The change is taken back. Your account uses the former address.",
        },
        LinkKind::Network => Texts {
            title: "Sign in from this network",
            lead: "Sign-ins to your account are restricted. Confirm that you want to sign in from the network that you \
                   use now.",
            button: "Confirm this network",
            done: "You can sign in from this network for an hour.",
        },
    }
}

fn german(kind: LinkKind) -> Texts {
    match kind {
        LinkKind::Verify => Texts {
            title: "Adresse bestätigen",
            lead: "Bestätigen Sie, dass diese E-Mail-Adresse Ihnen gehört. Wenn Sie kein Konto angefordert haben, \
                   schließen Sie diese Seite: Dann geschieht nichts.",
            button: "Adresse bestätigen",
            done: "Ihre Adresse ist bestätigt. Sie können sich jetzt anmelden.",
        },
        LinkKind::Reset => Texts {
            title: "Neues Passwort wählen",
            lead: "Es ersetzt das alte Passwort und meldet Sie überall ab.",
            button: "Passwort setzen",
            done: "Ihr Passwort ist gesetzt. Sie können sich jetzt damit anmelden.",
        },
        LinkKind::Invite => Texts {
            title: "Einladung annehmen",
            lead: "Wählen Sie einen Benutzernamen und ein Passwort für Ihr Konto.",
            button: "Konto anlegen",
            done: "Ihr Konto ist bereit. Sie können sich jetzt anmelden.",
        },
        LinkKind::Address => Texts {
            title: "Neue Adresse bestätigen",
            lead: "Ihr Konto verwendet von da an diese E-Mail-Adresse.",
            button: "Diese Adresse verwenden",
            done: "Ihre neue Adresse ist bestätigt.",
        },
        LinkKind::Undo => Texts {
            title: "Änderung der Adresse zurücknehmen",
            lead: "Ihr Konto verwendet wieder diese E-Mail-Adresse. Wenn Sie sie nicht geändert haben, kennt \
                   vielleicht jemand Ihr Passwort: Setzen Sie danach ein neues.",
            button: "Änderung zurücknehmen",
            done: "Die Änderung ist zurückgenommen. Ihr Konto verwendet die frühere Adresse.",
        },
        LinkKind::Network => Texts {
            title: "Aus diesem Netz anmelden",
            lead: "Anmeldungen an Ihrem Konto sind eingeschränkt. Bestätigen Sie, dass Sie sich aus dem Netz anmelden \
                   möchten, das Sie jetzt benutzen.",
            button: "Dieses Netz bestätigen",
            done: "Sie können sich eine Stunde lang aus diesem Netz anmelden.",
        },
    }
}

/// The inputs of a page. Names are those of the body that the route of the kind reads.
pub(super) fn inputs(kind: LinkKind, language: Language) -> Vec<Input> {
    let in_language = |english, german| match language {
        Language::English => english,
        Language::German => german,
    };
    let text = |name, label, autocomplete, required| Input {
        name,
        label,
        is_password: false,
        required,
        autocomplete,
    };
    let password =
        |name, label| Input { name, label, is_password: true, required: true, autocomplete: "new-password" };
    match kind {
        LinkKind::Verify | LinkKind::Address | LinkKind::Undo | LinkKind::Network => Vec::new(),
        LinkKind::Reset => vec![password("new_password", in_language("New password", "Neues Passwort"))],
        LinkKind::Invite => vec![
            text("username", in_language("User name", "Benutzername"), "username", true),
            password("password", in_language("Password", "Passwort")),
            text("first_name", in_language("First name", "Vorname"), "given-name", false),
            text("last_name", in_language("Last name", "Nachname"), "family-name", false),
        ],
    }
}
