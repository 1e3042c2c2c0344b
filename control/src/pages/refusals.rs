//! What the routes behind the pages refuse, in the language of a page. The API says it in English alone; the script of a
//! page looks the words up here.

use crate::language::Language;

/// A text of the API, and the page's text for it. `#` stands for a number.
pub(super) type Worded = (&'static str, &'static str);

/// Every refusal that a page may have to show. On an English page the words of the API stand.
pub(super) fn refusals(language: Language) -> &'static [Worded] {
    match language {
        Language::English => &[],
        Language::German => &GERMAN,
    }
}

const GERMAN: [Worded; 20] = [
    ("This field is required.", "Dieses Feld ist erforderlich."),
    ("This field may not be blank.", "Dieses Feld darf nicht leer sein."),
    ("Null characters are not allowed.", "Nullzeichen sind nicht erlaubt."),
    ("Control characters are not allowed.", "Steuerzeichen sind nicht erlaubt."),
    ("Ensure this field has no more than # characters.", "Dieses Feld darf höchstens # Zeichen haben."),
    ("Ensure this field has no more than # bytes.", "Dieses Feld darf höchstens # Byte haben."),
    ("Enter a valid username.", "Geben Sie einen gültigen Benutzernamen ein."),
    ("A user with that username already exists.", "Dieser Benutzername ist schon vergeben."),
    ("A user with that email already exists.", "Diese E-Mail-Adresse gehört schon zu einem anderen Konto."),
    ("The password is too similar to the username.", "Das Passwort ist dem Benutzernamen zu ähnlich."),
    ("The password is too similar to the first name.", "Das Passwort ist dem Vornamen zu ähnlich."),
    ("The password is too similar to the last name.", "Das Passwort ist dem Nachnamen zu ähnlich."),
    ("The password is too similar to the email address.", "Das Passwort ist der E-Mail-Adresse zu ähnlich."),
    (
        "This password is too short. It must contain at least # characters.",
        "Dieses Passwort ist zu kurz. Es muss mindestens # Zeichen haben.",
    ),
    ("This password is too common.", "Dieses Passwort ist zu weit verbreitet."),
    ("This password is entirely numeric.", "Dieses Passwort besteht nur aus Ziffern."),
    ("This password is too easy to guess.", "Dieses Passwort ist zu leicht zu erraten."),
    (
        "You cannot reuse a recent password.",
        "Sie können keines Ihrer letzten Passwörter noch einmal verwenden.",
    ),
    ("Registration is closed.", "Die Registrierung ist geschlossen."),
    ("This tenant is suspended.", "Dieser Dienst ist zurzeit gesperrt."),
];
