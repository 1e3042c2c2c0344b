//! `wardgate user sessions`: a user's living sessions. They exist at the edge alone, so this asks the
//! edge by a signed call, and needs it to be reachable.

use chrono::DateTime;
use serde::Serialize;
use shared::ids::{SessionId, TenantId};
use shared::wire::push::{Command, EndSessionOut, SessionOut, SessionsOut};

use super::outcome::CliError;
use super::show::Show;
use crate::control::Control;
use crate::http::time;
use crate::users::User;

pub(super) const EXAMPLES: &str = "\
Ending one is recorded at the edge and arrives in the audit log from there.

Examples:
  wardgate user sessions ada --tenant acme
  wardgate user sessions ada --tenant acme --end AAECAwQFBgcICQoLDA0ODxA";

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

/// Lists the sessions, or ends the one that is named.
pub(super) async fn run(
    control: &Control,
    show: Show,
    tenant: TenantId,
    user: &User,
    end: Option<&str>,
) -> Result<(), CliError> {
    let now = control.clock.now();
    let list = Command::Sessions { tenant, user: user.id };
    let listed: SessionsOut = control.edge.command(&list, now).await?;
    let Some(end) = end else {
        let rows: Vec<_> = listed.sessions.iter().map(Row::of).collect();
        show.table(&["session", "signed in", "last used", "expires"], &rows, |row| {
            let Row { sid, created_at, last_used_at, expires_at } = row;
            vec![sid.to_string(), created_at.clone(), last_used_at.clone(), expires_at.clone()]
        });
        return Ok(());
    };
    // Only a session of this user: the id of somebody else's names nothing here.
    let session = listed.sessions.iter().find(|session| session.sid.to_string() == end);
    let sid = session.ok_or_else(|| CliError::NotFound(format!("no living session `{end}`")))?.sid;
    let ended: EndSessionOut = control.edge.command(&Command::EndSession { tenant, sid }, now).await?;
    show.one(&ended, if ended.ended { "session ended" } else { "the session had ended already" });
    Ok(())
}
