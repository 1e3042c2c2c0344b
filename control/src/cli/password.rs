//! A password that an operator gives: typed on the terminal, or the first line of standard input. Never an
//! argument: those are in `ps`.

use std::io::{IsTerminal as _, Read as _, stdin};

use zeroize::Zeroizing;

use super::outcome::CliError;

/// The first line of standard input without its line feed; from a terminal twice and unseen.
pub(super) fn password() -> Result<Zeroizing<String>, CliError> {
    if stdin().is_terminal() { ask() } else { read() }
}

/// The same, from a terminal once and unseen: a password that is asked about and not set.
pub(super) fn typed(prompt: &str) -> Result<Zeroizing<String>, CliError> {
    if stdin().is_terminal() { prompted(prompt) } else { read() }
}

fn prompted(text: &str) -> Result<Zeroizing<String>, CliError> {
    let typed = rpassword::prompt_password(text).map(Zeroizing::new);
    typed.map_err(|error| CliError::Failed(format!("the terminal: {error}")))
}

fn ask() -> Result<Zeroizing<String>, CliError> {
    let (first, second) = (prompted("Password: ")?, prompted("The same again: ")?);
    if first != second {
        Err(CliError::Refused("the two are not the same".into()))
    } else if first.is_empty() {
        Err(CliError::Refused("the password is empty".into()))
    } else {
        Ok(first)
    }
}

fn read() -> Result<Zeroizing<String>, CliError> {
    let mut text = Zeroizing::new(String::new());
    let limit = u64::try_from(shared::contract::limits::PASSWORD_BYTES + 2).unwrap_or(1026);
    stdin()
        .take(limit)
        .read_to_string(&mut text)
        .map_err(|_| CliError::Refused("standard input is not text in UTF-8".into()))?;
    let line = text.lines().next().unwrap_or_default().to_owned();
    if line.is_empty() {
        Err(CliError::Refused("standard input has no password in its first line".into()))
    } else {
        Ok(Zeroizing::new(line))
    }
}
