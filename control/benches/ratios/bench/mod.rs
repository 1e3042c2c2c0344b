//! The measurements. [`stage`] makes the users, [`lists`] asks for them, [`sealing`] and [`chain`] compare with what
//! would be there without, [`plans`] writes down what PostgreSQL does, [`report`] is the table.
//!
//! What is compared is measured in turns, so that whatever else the machine does meets all alike.
#![allow(clippy::disallowed_methods, reason = "durations are what this is for")]

mod asks;
mod chain;
mod database;
mod lists;
mod people;
mod plans;
mod report;
mod samples;
mod sealing;
mod signer;
mod stage;

use self::lists::Group;
use self::report::Report;
use self::stage::Stage;

/// Whatever fails ends the run.
pub type Outcome<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// The options of a measurement.
pub struct Options {
    /// A superuser.
    pub database_url: String,
    /// The database, which is created unless an earlier run left it loaded.
    pub name: String,
    /// Users of the one large tenant.
    pub users: u32,
    /// How many small tenants there are.
    pub tenants: u32,
    /// Users of each of them.
    pub users_each: u32,
    /// How often each operation is measured.
    pub rounds: u32,
    /// How long writers of the audit log write at a time.
    pub seconds: f64,
}

/// Measures everything: the report, and the plans.
///
/// # Errors
/// Errors of the database.
pub async fn run(options: &Options) -> Outcome<(Report, String)> {
    let stage = Stage::set(options).await?;
    let mut report = Report::new(stage.about(options).await?);
    let large = Group::new(&stage, vec![stage.large.clone()], options.users);
    let small = Group::new(&stage, stage.small.clone(), options.users_each);
    for (title, mut group) in [
        (format!("{} users in one tenant", options.users), large),
        (format!("{} tenants of {} users in one cell", options.tenants, options.users_each), small),
    ] {
        eprintln!("measuring lists: {title}");
        report.lists.push(group.measure(&title, options.rounds).await?);
    }
    eprintln!("measuring what sealing costs");
    report.sealing = sealing::measure(&stage, options).await?;
    eprintln!("measuring the audit log");
    report.audit = chain::measure(&stage, options).await?;
    let plans = plans::of(&stage).await?;
    Ok((report, plans))
}
