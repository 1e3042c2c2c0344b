//! `wardgate bootstrap`: the token for creating the platform's first root-admin.

use super::outcome::CliError;
use super::show::Show;
use crate::control::Control;
use crate::http::time;
use crate::setup;

pub(super) const EXAMPLES: &str = "\
The token is printed once; only its digest is stored. A new token invalidates the previous one.

Example:
  wardgate bootstrap
  curl -X POST https://<shared host>/t/platform/api/user/setup/ -H 'Content-Type: application/json' \\
    -d '{\"token\": \"wgs_...\", \"username\": \"ada\", \"email\": \"ada@example.org\", \"password\": \"...\"}'";

pub(super) async fn run(control: &Control, show: Show) -> Result<(), CliError> {
    let token = setup::issue(control).await?;
    let url =
        format!("{}/t/platform/api/user/setup/", control.settings.http.shared_origin.trim_end_matches('/'));
    let expires = time::text(token.expires_at);
    let text = token.text.as_str();
    let line = format!("{text}\n\nPOST it to {url} by {expires}, with username, email and password.");
    show.one(&serde_json::json!({ "token": text, "expires_at": expires, "url": url }), &line);
    Ok(())
}
