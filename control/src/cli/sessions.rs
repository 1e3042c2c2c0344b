//! `wardgate user sessions`: a user's living sessions. They exist at the edge alone, so this asks the
//! edge by a signed call, and needs it to be reachable.

use chrono::DateTime;
use serde::Serialize;
use shared::ids::{SessionId, TenantId};
use shared::wire::push::{Command, EndSessionOut, SessionOut, SessionsOut};

use super::confirm::Yes;
use super::outcome::CliError;
use super::show::{Rows, Show};
use crate::control::Control;
use crate::http::time;
use crate::users::User;

pub(super) const EXAMPLES: &str = "\
Ending one is recorded at the edge and arrives in the audit log from there.

Examples:
  wardgate user sessions ada --tenant acme
  wardgate user sessions ada --tenant acme --end AAECAwQFBgcICQoLDA0ODxA --yes";

/// A session as it is shown.
#[derive(Serialize)]
struct Row {
    sid: SessionId,
    created_at: String,
    last_used_at: String,
    expires_at: String,
}

impl Row {
    fn of(session: &SessionOut) -> Self {
        let text = |ms: u64| {
            let at = i64::try_from(ms).ok().and_then(DateTime::from_timestamp_millis);
            at.map(time::text).unwrap_or_default()
        };
        Self {
            sid: session.sid,
            created_at: text(session.created_at),
            last_used_at: text(session.rotated_at),
            expires_at: text(session.expires_at),
        }
    }
}

const SESSIONS: Rows<Row> = Rows {
    names: ["session", "sessions"],
    head: &["session", "signed in", "last used", "expires"],
    line: |row| {
        let Row { sid, created_at, last_used_at, expires_at } = row;
        vec![sid.to_string(), created_at.clone(), last_used_at.clone(), expires_at.clone()]
    },
};

/// Lists the living sessions of a user.
pub(super) async fn list(
    control: &Control,
    show: Show,
    tenant: TenantId,
    user: &User,
) -> Result<(), CliError> {
    let rows: Vec<_> = living(control, tenant, user).await?.iter().map(Row::of).collect();
    show.list(&SESSIONS, &rows);
    Ok(())
}

/// Ends one of them. The id of another user's session names nothing here.
pub(super) async fn end(
    control: &Control,
    show: Show,
    tenant: TenantId,
    user: &User,
    sid: &str,
    yes: Yes,
) -> Result<(), CliError> {
    let living = living(control, tenant, user).await?;
    let session = living.iter().find(|session| session.sid.to_string() == sid);
    let Some(sid) = session.map(|session| session.sid) else {
        return Err(CliError::NotFound(format!(
            "{} has no living session `{sid}`: without --end those that live are listed",
            user.username.expose()
        )));
    };
    yes.to(&format!("ends the session {sid} of {}", user.username.expose()))?;
    let command = Command::EndSession { tenant, sid };
    let ended: EndSessionOut = control.edge.command(&command, control.clock.now()).await?;
    show.one(&ended, if ended.ended { "session ended" } else { "the session had ended already" });
    Ok(())
}

async fn living(control: &Control, tenant: TenantId, user: &User) -> Result<Vec<SessionOut>, CliError> {
    let list = Command::Sessions { tenant, user: user.id };
    let listed: SessionsOut = control.edge.command(&list, control.clock.now()).await?;
    Ok(listed.sessions)
}
