//! Every statement that is sent to D1, named by intent: one file for each subject.
//!
//! Parameters are numbered; the doc of each statement lists them. A test on the host prepares each statement against
//! `migrations/edge` in SQLite and runs every conditional one twice: its row count decides. Times are Unix
//! milliseconds and always a parameter.

pub mod batch;
mod statement;

pub use statement::{Sql, millis, secs_as_ms, understood};

macro_rules! groups {
    ($($group:ident)*) => {
        $(
            mod $group;
            pub use $group::*;
        )*

        /// All statements by name, for the tests.
        #[cfg(test)]
        pub(crate) fn all() -> impl Iterator<Item = (&'static str, Sql)> {
            [$($group::LIST),*].into_iter().flatten().copied()
        }
    };
}

groups! {
    tenants
    attempts
    sign_in
    tickets
    factors
    devices
    step_up
    sessions
    legacy
    push
    command
    copies
    drain
    sweep
}
