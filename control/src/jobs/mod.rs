//! Background jobs, each run by one of the control processes.
//!
//! One queue in PostgreSQL, in the schema `platform_jobs`, with the library `graphile_worker`. A slice enqueues in
//! its own transaction ([`queue`]), so a job exists exactly if its cause was committed. [`schedule`] lists every kind
//! of job and the schedules, [`runner`] runs them, [`status`] has metrics, [`listed`] is for operators, [`release`]
//! handles failures. Only these, [`kind`] and the migration name the library or its tables.
//!
//! Jobs run in pools ([`queue::Pool`]). In each pool only a few jobs of a tenant run at once, over all control
//! processes; its other jobs wait.
//!
//! Not here: pushes to the edge and the drain, which run continuously and have their own order (`edges/`).

pub mod kind;
pub mod listed;
pub mod queue;
mod release;
pub mod routes;
pub mod runner;
pub mod schedule;
pub mod status;
