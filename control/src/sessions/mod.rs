//! What control decides about sessions, which the edge alone holds: the root secret of a tenant that signs their
//! refresh tokens.
//!
//! [`root`] has the model and the rows of a change of it, [`rotate`] begins one and carries it on.

pub mod root;
pub mod rotate;
