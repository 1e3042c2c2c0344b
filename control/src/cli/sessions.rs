//! `wardgate sessions`: a user's active sessions. Only the edge stores them: a list needs its answer, and an end that it
//! does not answer is stored and sent later.

use chrono::DateTime;
use clap::Subcommand;
use serde::Serialize;
use shared::ids::SessionId;
use shared::wire::push::SessionOut;

use super::confirm::Yes;
use super::outcome::CliError;
use super::show::{Rows, Show};
use super::target::made_tenant;
use super::user::{looked_up, which};
use crate::audit::Actor;
use crate::control::Control;
use crate::http::time;
use crate::sessions::device::Device;
use crate::sessions::end;
use crate::users;

#[derive(Subcommand)]
pub(super) enum Command {
    /// List a user's active sessions with device, place and last use. The edge must answer.
    #[command(after_help = "Example:\n  wardgate sessions list ada --tenant acme")]
    List {
        /// User name, address or id.
        user: String,
    },
    /// End one session of a user, or all. A running `serve` tells the edge as soon as it answers.
    #[command(
        after_help = "Examples:\n  wardgate sessions end ada AAECAwQFBgcICQoLDA0ODxA --tenant acme --yes\n  wardgate sessions end ada --all --tenant acme --yes"
    )]
    End {
        /// User name, address or id.
        user: String,
        /// The id of the session, as `list` shows it.
        #[arg(required_unless_present = "all", conflicts_with = "all")]
        session: Option<String>,
        /// All sessions of the user.
        #[arg(long)]
        all: bool,
        #[command(flatten)]
        yes: Yes,
    },
}

/// A session as it is shown.
#[derive(Serialize)]
struct Row {
    id: SessionId,
    device: String,
    place: String,
    created_at: String,
    last_used_at: String,
    idle_expires_at: String,
    expires_at: String,
    amr: Vec<String>,
}

impl Row {
    fn of(session: SessionOut) -> Self {
        let text = |ms: u64| {
            let at = i64::try_from(ms).ok().and_then(DateTime::from_timestamp_millis);
            at.map(time::text).unwrap_or_default()
        };
        let client = session.client;
        let place: Vec<String> = client.city.into_iter().chain(client.country).collect();
        Self {
            id: session.sid,
            device: client.agent.map(|agent| Device::of(&agent).name(&agent)).unwrap_or_default(),
            place: place.join(", "),
            created_at: text(session.created_at),
            last_used_at: text(session.used_at.unwrap_or(session.rotated_at)),
            idle_expires_at: text(session.expires_at),
            expires_at: session.absolute_deadline.map(text).unwrap_or_default(),
            amr: session.amr,
        }
    }
}

const SESSIONS: Rows<Row> = Rows {
    names: ["session", "sessions"],
    head: &["session", "device", "place", "signed in", "last used", "expires"],
    line: |row| {
        let Row { id, device, place, created_at, last_used_at, idle_expires_at, .. } = row;
        let texts = [device, place, created_at, last_used_at, idle_expires_at];
        std::iter::once(id.to_string()).chain(texts.map(String::clone)).collect()
    },
};

/// What was ended.
#[derive(Serialize)]
struct Ended {
    user: shared::ids::UserId,
    session: Option<SessionId>,
}

pub(super) async fn run(
    control: &Control,
    show: Show,
    tenant: &str,
    command: Command,
) -> Result<(), CliError> {
    let tenant = made_tenant(control, tenant).await?;
    let (Command::List { user } | Command::End { user, .. }) = &command;
    let user = looked_up(control, &tenant, user).await?;
    match command {
        Command::List { .. } => {
            let living = control.edge.sessions(tenant.id, user.id, control.clock.now()).await?;
            show.list(&SESSIONS, &living.into_iter().map(Row::of).collect::<Vec<_>>());
        }
        Command::End { session: Some(sid), yes, .. } => {
            let sid = SessionId::parse(&sid).map_err(|_| {
                CliError::NotFound(format!("`{sid}` is no session: `wardgate sessions list` lists them"))
            })?;
            yes.to(&format!("ends the session {sid} of {}", which(&user, &tenant)))?;
            let mut tx = control.db.tenant_tx(tenant.id).await?;
            end::one(control, &mut tx, &Actor::operator(), (user.id, sid)).await?;
            tx.commit().await?;
            let ended = Ended { user: user.id, session: Some(sid) };
            show.one(&ended, "the edge will end the session within seconds");
        }
        Command::End { session: None, yes, .. } => {
            yes.to(&format!("ends every session of {}", which(&user, &tenant)))?;
            let mut tx = control.db.tenant_tx(tenant.id).await?;
            users::end_sessions(control, &mut tx, &Actor::operator(), user.id).await?;
            tx.commit().await?;
            show.one(&Ended { user: user.id, session: None }, "every session is ended");
        }
    }
    Ok(())
}
