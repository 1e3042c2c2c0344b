//! `wardgate import`: users of another service come here.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use shared::tokens::claims::UserIdForm;
use shared::user::UserStatus;
use zeroize::Zeroizing;

use super::known::{nearest, unknown};
use super::outcome::CliError;
use super::show::{Show, counted};
use super::target::made_tenant;
use crate::control::Control;
use crate::legacy::import::dump::Dump;
use crate::legacy::import::found::{COLUMNS, Columns};
use crate::legacy::import::moment::Zone;
use crate::legacy::import::postgres::Postgres;
use crate::legacy::import::{self, Mapping, Options, Report, Source, Why};

const EXAMPLES: &str = "\
Begin with --check, which writes nothing. An import can be repeated, also after a kill: a user who was imported before
is updated if they changed in the old service and not here. A user who was deleted here is not imported again.

Password hashes are imported as they are; control checks them until their owners have signed in once.

Devices for one-time codes (django-otp) with six digits and steps of 30 seconds become authenticators: their
owners sign in with password and code as before. Other devices are stored, encrypted, and reported. A user who
has only such devices is imported as `pending`, who cannot sign in; with --totp-people active the password suffices.

The first import sets the tenant's cookies to `plain`, its minimum password length to 8 characters, and the form of
`user_id` in tokens (SimpleJWT wrote numbers before 5.5 and strings since: see --user-id).

Times without a zone are read as UTC unless --time-zone is given, and the report counts them. They are stored at a
user's first import only, so check them with --check before.

Examples:
  wardgate import django --tenant acme --database-url postgres://... --check
  wardgate import django --tenant acme --dump people.json --time-zone Europe/Berlin --check
  wardgate import django --tenant acme --database-url postgres://... --role editors=staff --role beta=
  wardgate import django --tenant acme --dump people.json   (manage.py dumpdata auth otp_totp > people.json)
  wardgate import django --database-url postgres://... --map-schema acme=acme --map-schema initech=initech
  wardgate import django --tenant acme --database-url postgres://... --user-table accounts_person \\
    --column username=login --column email=mail --role-column kind --role boss=root-admin --role guest=client

Exit codes: 0 all users are imported; 5 some are refused (listed with id and reason; the others are imported, unless
--check), or groups are not mapped (then no user is imported).";

#[derive(Subcommand)]
pub(super) enum Command {
    /// Import users of a Django service from its database, or from the output of dumpdata.
    #[command(after_help = EXAMPLES)]
    Django(Box<Django>),
}

#[derive(Args)]
pub(super) struct Django {
    /// The tenant's slug or id.
    #[arg(long, env = "WARDGATE_TENANT", required_unless_present = "map_schema")]
    tenant: Option<String>,
    #[command(flatten)]
    source: SourceArgs,
    /// A schema of the database and the tenant for its users, in place of --tenant; may be repeated.
    // No conflict with `tenant`: clap does not distinguish a value of the environment from an argument.
    #[arg(long, value_name = "SCHEMA=SLUG", conflicts_with_all = ["schema", "dump"])]
    map_schema: Vec<String>,
    /// The table of users.
    #[arg(long, default_value = "auth_user")]
    user_table: String,
    /// The model of users in a dump.
    #[arg(long, default_value = "auth.user")]
    user_model: String,
    /// The source's name of a column; empty: there is no such column. The columns are id, username, password, email,
    /// first_name, last_name, phone, is_active, is_staff, is_superuser, date_joined, last_login, language.
    #[arg(long = "column", value_name = "OURS=THEIRS")]
    columns: Vec<String>,
    /// A column with a role, in place of groups.
    #[arg(long)]
    role_column: Option<String>,
    /// The role for a group, or for a value of the role column; empty: no role. May be repeated.
    #[arg(long = "role", value_name = "GROUP=ROLE")]
    roles: Vec<String>,
    /// Role of superusers; empty: none.
    #[arg(long, default_value = "root-admin")]
    superusers: String,
    /// Role of staff who are not superusers; empty: none.
    #[arg(long, default_value = "staff")]
    staff: String,
    /// Role of users who get no other; empty: none.
    #[arg(long, default_value = "client")]
    others: String,
    /// Status of active users whose only second factors cannot be imported.
    #[arg(long, value_enum, default_value_t = TotpPeople::Pending)]
    totp_people: TotpPeople,
    /// The form of `user_id` in tokens. Default: `integer` if all ids are numbers, else `string`.
    #[arg(long, value_enum)]
    user_id: Option<UserId>,
    /// Write nothing; report which users would be imported and which would be refused.
    #[arg(long)]
    check: bool,
}

/// Where users are read from.
#[derive(Args)]
pub(super) struct SourceArgs {
    /// The old service's database. Prefer the environment variable: `ps` shows arguments.
    #[arg(
        long,
        env = "WARDGATE_IMPORT_DATABASE_URL",
        hide_env_values = true,
        required_unless_present = "dump"
    )]
    pub database_url: Option<String>,
    /// Its schema.
    #[arg(long)]
    pub schema: Option<String>,
    /// The output of dumpdata, as JSON or JSON lines, in place of the database; `-` reads standard input.
    // No conflict with `database_url`, for the same reason as that of `map_schema`.
    #[arg(long, conflicts_with = "schema")]
    pub dump: Option<PathBuf>,
    /// The zone of times without a zone: an IANA name like Europe/Berlin (Django's TIME_ZONE, if USE_TZ is off)
    /// [default: UTC].
    // Not a default of clap: the report asks for the option only if it was not given.
    #[arg(long, value_name = "ZONE", value_parser = zone)]
    pub time_zone: Option<Zone>,
}

/// Parses the name of a zone; the error for an unknown one suggests the most similar.
fn zone(name: &str) -> Result<Zone, String> {
    Zone::named(name).ok_or_else(|| {
        let names = Zone::names();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        match nearest(name, &names) {
            Some(near) => format!("no zone has this name: did you mean {near}?"),
            None => {
                String::from("no zone has this name: expected one of the IANA database, like Europe/Berlin")
            }
        }
    })
}

#[derive(Clone, Copy, ValueEnum)]
enum TotpPeople {
    /// They cannot sign in until an administrator makes them active.
    Pending,
    /// They sign in by password alone.
    Active,
}

/// How tokens write `user_id`.
#[derive(Clone, Copy, ValueEnum)]
pub(super) enum UserId {
    /// The user's id here.
    Uuid,
    /// The old id as a number.
    Integer,
    /// The old id as a text.
    String,
}

impl UserId {
    pub fn form(self) -> UserIdForm {
        match self {
            Self::Uuid => UserIdForm::Uuid,
            Self::Integer => UserIdForm::Integer,
            Self::String => UserIdForm::String,
        }
    }
}

pub(super) async fn run(control: &Control, show: Show, command: Command) -> Result<(), CliError> {
    let Command::Django(args) = command;
    let columns = columns(&args.columns)?;
    let targets: Vec<(Option<String>, String)> = match &args.tenant {
        Some(tenant) if args.map_schema.is_empty() => vec![(args.source.schema.clone(), tenant.clone())],
        _ => pairs(&args.map_schema)?.into_iter().map(|(schema, slug)| (Some(schema), slug)).collect(),
    };
    let mapping = mapping(&args)?;
    let mut all_import = true;
    for (schema, tenant) in targets {
        let tenant = made_tenant(control, &tenant).await?;
        let slug = tenant.slug.to_string();
        let source = source(&args, schema, &columns);
        let options = Options {
            tenant,
            mapping: mapping.clone(),
            user_id: args.user_id.map(UserId::form),
            check: args.check,
        };
        let report = import::run(control, source, &options).await?;
        let zone_was_said = args.source.time_zone.is_some();
        let text = text(&slug, &report, zone_was_said);
        show.one(&serde_json::json!({ "tenant": slug, "report": report }), &text);
        all_import &= report.refused.is_empty() && report.unmapped.is_empty();
    }
    if all_import {
        Ok(())
    } else {
        Err(CliError::Refused(String::from("some users cannot be imported: see above")))
    }
}

fn source(args: &Django, schema: Option<String>, columns: &Columns) -> Source {
    match &args.source.dump {
        Some(file) => Source::Dump(Dump {
            file: file.clone(),
            user_model: args.user_model.clone(),
            columns: columns.clone(),
            role_column: args.role_column.clone(),
            zone: args.source.time_zone.clone().unwrap_or_default(),
        }),
        None => Source::Postgres(Postgres {
            url: Zeroizing::new(args.source.database_url.clone().unwrap_or_default()),
            schema,
            user_table: args.user_table.clone(),
            columns: columns.clone(),
            role_column: args.role_column.clone(),
            zone: args.source.time_zone.clone().unwrap_or_default(),
        }),
    }
}

fn mapping(args: &Django) -> Result<Mapping, CliError> {
    let role = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let roles: BTreeMap<_, _> =
        pairs(&args.roles)?.into_iter().map(|(group, name)| (group, role(&name))).collect();
    Ok(Mapping {
        roles,
        superusers: role(&args.superusers),
        staff: role(&args.staff),
        others: role(&args.others),
        with_totp: match args.totp_people {
            TotpPeople::Pending => UserStatus::Pending,
            TotpPeople::Active => UserStatus::Active,
        },
    })
}

fn columns(texts: &[String]) -> Result<Columns, CliError> {
    let pairs = pairs(texts)?;
    match pairs.iter().find(|(ours, _)| !COLUMNS.iter().any(|(name, _)| name == ours)) {
        Some((name, _)) => {
            let names: Vec<&str> = COLUMNS.iter().map(|(name, _)| *name).collect();
            Err(CliError::Refused(unknown("column", name, &names)))
        }
        None => Ok(Columns(pairs)),
    }
}

fn pairs(texts: &[String]) -> Result<Vec<(String, String)>, CliError> {
    let pair = |text: &String| text.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()));
    let found: Option<Vec<_>> = texts.iter().map(pair).collect();
    found.ok_or_else(|| CliError::Refused("--column, --role and --map-schema are NAME=VALUE".into()))
}

/// A report for people.
fn text(slug: &str, report: &Report, zone_was_said: bool) -> String {
    let mut lines = Vec::new();
    for why in &report.refused {
        lines.push(format!("does not come: {}, {}: {}", why.id, why.column, why.reason));
    }
    for (group, users) in &report.unmapped {
        lines.push(format!(
            "not mapped: `{group}` ({users} users): say --role '{group}=ROLE', or '{group}=' for none"
        ));
    }
    let by_name = |title: &str, counts: &BTreeMap<String, u64>| {
        counts.iter().map(|(name, count)| format!("{title} {name}: {count}")).collect::<Vec<_>>()
    };
    lines.extend(by_name("role", &report.roles));
    lines.extend(by_name("password", &report.passwords));
    lines.extend(by_name("no password here,", &report.without_password));
    lines.extend(second_factors(report));
    lines.extend(local_times(report, zone_was_said));
    if let Some(from) = &report.second_factor_from {
        lines.push(format!(
            "root-admins and co-admins need a second factor from {from} on, not before: `wardgate policy show --tenant \
             {slug}`"
        ));
    }
    let would = if report.check || !report.unmapped.is_empty() { "would be created" } else { "created" };
    lines.push(format!(
        "{slug}: {} read; {} {would}, {} changed, {} unchanged, {} kept as they are here, {} refused; user_id is {}",
        report.read,
        report.new,
        report.changed,
        report.unchanged,
        report.kept,
        report.refused_users(),
        report.user_id,
    ));
    lines.join("\n")
}

/// What becomes of second factors.
fn second_factors(report: &Report) -> Vec<String> {
    let mut lines = Vec::new();
    if report.with_totp > 0 {
        lines.push(format!(
            "second factors: {} there; {} here",
            counted(report.with_totp, ["user has one", "users have one"]),
            counted(report.authenticators, ["authenticator", "authenticators"]),
        ));
    }
    for (why, devices) in &report.devices_kept {
        lines.push(format!("{} kept and not used: {why}", counted(*devices, ["device is", "devices are"])));
    }
    if report.without_authenticator > 0 {
        lines.push(format!(
            "{} only devices that do not fit, and the status `{}`{}",
            counted(report.without_authenticator, ["user has", "users have"]),
            report.totp_people,
            if report.totp_people == "active" { ", by password alone" } else { ", which cannot sign in" },
        ));
    }
    lines
}

/// What became of times that name no zone.
fn local_times(report: &Report, zone_was_said: bool) -> Vec<String> {
    let mut lines = Vec::new();
    for unclear in &report.unclear_times {
        let Why { id, column, reason } = unclear;
        lines.push(format!("time of {id}, {column}: {reason}"));
    }
    if report.local_times > 0 {
        let (times, zone) = (counted(report.local_times, ["time names", "times name"]), &report.time_zone);
        let ask = ": say --time-zone, such as Europe/Berlin, if the old service kept another one";
        lines.push(format!("{times} no zone: read by {zone}{}", if zone_was_said { "" } else { ask }));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn last_line(report: &Report) -> String {
        text("acme", report, false).lines().last().unwrap_or_default().to_owned()
    }

    #[test]
    fn who_is_refused_for_two_reasons_is_one_user() {
        let why = |column: &str| Why { id: "31".into(), column: column.into(), reason: "no".into() };
        let refused = vec![why("username"), why("email")];
        let report = Report { read: 3, new: 2, refused, user_id: "integer".into(), ..Report::default() };
        let expected = "acme: 3 read; 2 created, 0 changed, 0 unchanged, 0 kept as they are here, 1 refused; \
                        user_id is integer";
        assert_eq!(last_line(&report), expected);
    }

    #[test]
    fn times_without_a_zone_are_said() {
        let unclear =
            Why { id: "7".into(), column: "last_login".into(), reason: "occurs twice there".into() };
        let report = Report {
            time_zone: "UTC".into(),
            local_times: 1200,
            unclear_times: vec![unclear],
            ..Report::default()
        };
        assert_eq!(
            local_times(&report, false),
            [
                "time of 7, last_login: occurs twice there",
                "1,200 times name no zone: read by UTC: say --time-zone, such as Europe/Berlin, if the old service kept another one",
            ]
        );
        assert_eq!(local_times(&report, true)[1], "1,200 times name no zone: read by UTC");
        assert!(local_times(&Report::default(), false).is_empty());
        assert_eq!(
            zone("Europe/Berlim").err().unwrap(),
            "no zone has this name: did you mean Europe/Berlin?"
        );
    }

    #[test]
    fn nobody_is_said_to_have_come_who_did_not() {
        let unmapped = BTreeMap::from([("editors".to_owned(), 1)]);
        for report in [Report { unmapped, ..Report::default() }, Report { check: true, ..Report::default() }]
        {
            assert!(last_line(&report).contains("0 would be created"), "{}", last_line(&report));
        }
    }
}
