//! The state of one import: its options and its results so far.

use std::collections::{HashMap, HashSet};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use shared::tokens::claims::UserIdForm;

use super::judge::Mapping;
use super::report::Report;
use super::stage::Staging;
use crate::control::Control;
use crate::legacy::hashing::Hashing;
use crate::tenants::Tenant;

/// Users of one transaction.
pub(super) const PAGE: i64 = 500;

/// The options of an import.
pub struct Options {
    /// Where they go.
    pub tenant: Tenant,
    /// The mapping of roles.
    pub mapping: Mapping,
    /// How `user_id` shall be written; absent: as the ids are.
    pub user_id: Option<UserIdForm>,
    /// Write nothing.
    pub check: bool,
}

/// One import.
pub(super) struct Import<'a> {
    pub control: &'a Control,
    pub options: &'a Options,
    pub hashing: Hashing,
    pub staging: Staging,
    /// Names of groups by their keys.
    pub groups: HashMap<String, String>,
    pub report: Report,
    /// The greatest id, while all are numbers.
    pub greatest: Option<i64>,
    pub refused: HashSet<String>,
}

/// A bar on the terminal; none where standard error is no terminal.
pub(super) fn bar(total: Option<u64>, what: &'static str) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(total, ProgressDrawTarget::stderr());
    let template = match total {
        Some(_) => "{msg:10} {bar:30} {human_pos}/{human_len} {per_sec} {eta} left",
        None => "{msg:10} {spinner} {human_pos} {per_sec}",
    };
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar.set_message(what);
    bar
}
