//! Roles of a tenant and the permissions there are. What a role may do is in `shared`.

pub mod routes;
