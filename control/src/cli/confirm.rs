//! Confirmation prompts for commands that cannot be undone or that stop a whole tenant.

use std::io::{BufRead, IsTerminal as _, Write as _, stderr, stdin};

use super::outcome::CliError;

/// The option that answers the prompt.
#[derive(Clone, Copy, clap::Args)]
pub(super) struct Yes {
    /// Do not ask for confirmation; required if standard input is not a terminal.
    #[arg(long)]
    yes: bool,
}

impl Yes {
    /// Continues if --yes was given, or after confirmation at a terminal. `what` follows the word "this" in the prompt.
    pub fn to(self, what: &str) -> Result<(), CliError> {
        if self.yes {
            return Ok(());
        }
        if !stdin().is_terminal() || !stderr().is_terminal() {
            return Err(CliError::Refused(format!("this {what}: say --yes")));
        }
        if agrees(&mut stdin().lock(), what)? {
            Ok(())
        } else {
            Err(CliError::Refused(String::from("nothing was done")))
        }
    }
}

/// Only `y` and `yes` agree.
fn agrees(answers: &mut impl BufRead, what: &str) -> Result<bool, CliError> {
    let failed = |error: std::io::Error| CliError::Failed(format!("the terminal: {error}"));
    write!(stderr(), "This {what}. Go on? [y/N] ").map_err(failed)?;
    let mut answer = String::new();
    answers.read_line(&mut answer).map_err(failed)?;
    Ok(matches!(answer.trim().to_lowercase().as_str(), "y" | "yes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_yes_is_a_yes() {
        for (answer, agreed) in [
            ("y\n", true),
            ("YES\n", true),
            ("\n", false),
            ("", false),
            ("n\n", false),
            ("yesterday\n", false),
        ] {
            assert_eq!(agrees(&mut answer.as_bytes(), "ends").ok(), Some(agreed), "{answer:?}");
        }
    }
}
