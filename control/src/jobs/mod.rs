//! What is done later, once, by whichever control comes first.
//!
//! One queue in PostgreSQL, in the schema `platform_jobs`, over the library `graphile_worker`. A slice
//! enqueues in its own transaction ([`queue`]), so a job exists exactly if what it is for was committed.
//! [`schedule`] lists every kind of job and what is done each minute, [`runner`] runs them, [`status`]
//! measures, [`listed`] is what operators see and do, [`release`] what comes after a failure. Only these, [`kind`] and
//! the migration name the library or its tables.
//!
//! Jobs run in pools ([`queue::Pool`]), and each tenant has room for few at once in each: its other jobs rest until
//! one of them has ended, however many controls there are.
//!
//! Not here: the edge's lanes and its drain, which call a distant machine all the time and have an
//! order of their own (`edges/`).

pub mod kind;
pub mod listed;
pub mod queue;
mod release;
pub mod routes;
pub mod runner;
pub mod schedule;
pub mod status;
