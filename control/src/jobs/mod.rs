//! What is done later, once, by whichever control comes first.
//!
//! One queue in PostgreSQL, in the schema `platform_jobs`, over the library `graphile_worker`. A slice
//! enqueues in its own transaction ([`queue`]), so a job exists exactly if what it is for was committed.
//! [`schedule`] lists every kind of job and what is done each minute, [`runner`] runs them, [`status`]
//! measures. Only [`kind`], [`runner`], [`schedule`] and the migration name the library.
//!
//! Not here: the edge's lanes and its drain, which call a distant machine all the time and have an
//! order of their own (`edges/`).

pub mod kind;
pub mod queue;
pub mod runner;
pub mod schedule;
pub mod status;
