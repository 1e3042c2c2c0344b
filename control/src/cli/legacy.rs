//! `wardgate tenant legacy`: the legacy tokens (of the service that a tenant was moved from) that are accepted.

use std::path::PathBuf;

use chrono::{DateTime, NaiveDate, NaiveTime, Utc};
use clap::Subcommand;
use serde_json::Value;
use tokio::sync::mpsc;
use zeroize::Zeroizing;

use super::confirm::Yes;
use super::import::SourceArgs;
use super::outcome::CliError;
use super::show::{Show, counted};
use super::target::made_tenant;
use crate::audit::Actor;
use crate::control::Control;
use crate::http::time;
use crate::keys::file;
use crate::legacy::import::ImportError;
use crate::legacy::import::dump::Dump;
use crate::legacy::import::found::Columns;
use crate::legacy::import::postgres::{Postgres, outstanding_tokens};
use crate::legacy::tokens::{self, Listed, Outstanding};
use crate::tenants::{self, Edit, EditLegacy, TenantOut};

const SET: &str = "\
The legacy service may have signed for all of its tenants with one key. --claim and --value name a claim that only
this tenant's tokens have. Without them, legacy access tokens are refused, and a refresh token is accepted only if
`tenant legacy tokens` has listed it. A value that is a number, true or false is read as JSON; quote it to make it a
string: --value '\"7\"'. With --listed, a refresh token needs both, so that tokens which the legacy service has
blacklisted are refused.

Example:
  wardgate tenant legacy set acme --public-key old.pem --until 2026-12-20 --claim tenant --value acme";

const TOKENS: &str = "\
Reads SimpleJWT's token_blacklist: outstanding tokens that are neither blacklisted nor expired. The command can be
repeated; it only adds. The list is deleted when the date of `tenant legacy set` has passed.

Example:
  wardgate tenant legacy tokens acme --database-url postgres://...
  wardgate tenant legacy tokens acme --dump tokens.json     (manage.py dumpdata token_blacklist > tokens.json)";

#[derive(Subcommand)]
pub(super) enum Command {
    /// Accept tokens of the legacy service's public key until a date, at most 30 days from now.
    #[command(after_help = SET)]
    Set {
        /// Slug or id.
        tenant: String,
        /// A file with the RSA public key: PEM, as `openssl pkey -pubout` writes it, PKCS#1, a certificate in PEM,
        /// or a JWK.
        #[arg(long, value_name = "FILE")]
        public_key: PathBuf,
        /// The date or time (UTC) from which legacy tokens are refused.
        #[arg(long, value_name = "TIME")]
        until: String,
        /// A claim that distinguishes this tenant's tokens from those of other tenants.
        #[arg(long, requires = "value")]
        claim: Option<String>,
        /// Its value in this tenant's tokens.
        #[arg(long, requires = "claim")]
        value: Option<String>,
        /// Accept a refresh token only if it has the claim and is listed.
        #[arg(long)]
        listed: bool,
    },
    /// Import the list of the legacy service's outstanding refresh tokens.
    #[command(after_help = TOKENS)]
    Tokens {
        /// Slug or id.
        tenant: String,
        #[command(flatten)]
        source: SourceArgs,
    },
    /// Stop accepting legacy tokens.
    #[command(after_help = "Example:\n  wardgate tenant legacy clear acme --yes")]
    Clear {
        /// Slug or id.
        tenant: String,
        #[command(flatten)]
        yes: Yes,
    },
}

/// Tokens of one transaction.
const CHUNK: usize = 1000;

pub(super) async fn run(control: &Control, show: Show, command: Command) -> Result<(), CliError> {
    match command {
        Command::Set { tenant, public_key, until, claim, value, listed } => {
            let said = |fault: &dyn std::fmt::Display| {
                CliError::Refused(format!("{}: {fault}", public_key.display()))
            };
            let bytes = std::fs::read(&public_key).map_err(|error| said(&error))?;
            let key = file::public_key(&bytes).map_err(|fault| said(&fault))?;
            let value = value.map(|text| match serde_json::from_str::<Value>(&text) {
                Ok(value) if !value.is_object() && !value.is_array() && !value.is_null() => value,
                _ => text.into(),
            });
            let wanted = tokens::accept(key, moment(&until)?, claim, value, listed);
            let wanted = wanted.map_err(|fault| CliError::Refused(fault.to_owned()))?;
            let what = format!("accepts tokens of its old service until {until}");
            edit(control, show, &tenant, Some(wanted), &what).await
        }
        Command::Clear { tenant, yes } => {
            let named = made_tenant(control, &tenant).await?;
            if named.legacy.tokens.is_some() {
                yes.to(&format!(
                    "ends every token of the old service at tenant `{}`: its holders sign in again",
                    named.slug
                ))?;
            }
            edit(control, show, &tenant, None, "accepts no token of its old service any more").await
        }
        Command::Tokens { tenant, source } => tokens(control, show, &tenant, source).await,
    }
}

async fn edit(
    control: &Control,
    show: Show,
    tenant: &str,
    legacy: Option<shared::tokens::legacy::Legacy>,
    what: &str,
) -> Result<(), CliError> {
    let tenant = made_tenant(control, tenant).await?;
    let wanted =
        Edit { legacy: EditLegacy { tokens: Some(legacy), ..EditLegacy::default() }, ..Edit::default() };
    let mut tx = control.db.tenant_tx(tenant.id).await?;
    let tenant = tenants::edit(control, &mut tx, &Actor::operator(), tenant.id, wanted).await?;
    tx.commit().await?;
    let line = format!("{} {what}", tenant.slug);
    show.one(&TenantOut::new(tenant), &line);
    Ok(())
}

/// Reads the list as a stream and writes it in chunks.
async fn tokens(control: &Control, show: Show, tenant: &str, source: SourceArgs) -> Result<(), CliError> {
    let tenant = made_tenant(control, tenant).await?;
    if tenant.legacy.tokens.is_none() {
        return Err(CliError::Refused(
            "no token of an old service is accepted: `tenant legacy set` first".into(),
        ));
    }
    let now = control.clock.now();
    let (zone, zone_was_said) = (source.time_zone.clone().unwrap_or_default(), source.time_zone.is_some());
    let zone_name = zone.name().to_owned();
    let (sender, mut receiver) = mpsc::channel::<Outstanding>(CHUNK);
    let reader = match source.dump {
        Some(file) => {
            let columns = Columns::default();
            let dump = Dump { file, user_model: String::new(), columns, role_column: None, zone };
            tokio::task::spawn_blocking(move || dump.outstanding_tokens(now, &sender))
        }
        None => {
            let source = Postgres {
                url: Zeroizing::new(source.database_url.unwrap_or_default()),
                schema: source.schema,
                user_table: String::new(),
                columns: Columns::default(),
                role_column: None,
                zone,
            };
            tokio::spawn(outstanding_tokens(source, now, sender))
        }
    };
    let (mut listed, mut chunk) = (Listed::default(), Vec::with_capacity(CHUNK));
    while receiver.recv_many(&mut chunk, CHUNK).await > 0 {
        listed += tokens::list(control, tenant.id, &chunk).await?;
        chunk.clear();
    }
    let local = reader.await.map_err(|_| ImportError::Source("the source could not be read".into()))??;
    let line = format!(
        "{}: {} tokens are new on the list, {} were on it; {} are of users who were not imported",
        tenant.slug, listed.new, listed.known, listed.of_nobody
    );
    let out = serde_json::json!({
        "tenant": tenant.id, "new": listed.new, "known": listed.known, "of_nobody": listed.of_nobody,
        "time_zone": zone_name, "local_times": local,
    });
    show.one(&out, &line);
    if listed.new + listed.known + listed.of_nobody == 0 {
        show.note(
            "the source has no refresh token that is neither blacklisted nor expired: is it the right one?",
        );
    } else if listed.of_nobody > 0 {
        show.note(
            "tokens of users who were not imported are not listed: import the users first, then list again",
        );
    }
    if local > 0 && !zone_was_said {
        show.note(&format!(
            "{} no zone: read by UTC; --time-zone says another one",
            counted(local, ["expiry names", "expiries name"])
        ));
    }
    Ok(())
}

/// A moment in ISO 8601, or the first of a day, in UTC.
pub(super) fn moment(text: &str) -> Result<DateTime<Utc>, CliError> {
    let day =
        || NaiveDate::parse_from_str(text, "%Y-%m-%d").map(|day| day.and_time(NaiveTime::MIN).and_utc());
    let moment = DateTime::parse_from_rfc3339(text).map(|at| at.with_timezone(&Utc)).or_else(|_| day());
    moment.map_err(|_| {
        let example = time::text(DateTime::UNIX_EPOCH);
        CliError::Refused(format!("`{text}` is neither a date like 2026-12-20 nor a time like {example}"))
    })
}
