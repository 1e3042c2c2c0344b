//! `/api/user/public-register/`, `/api/user/email/...`, `/api/user/invitations/...`.

pub mod address;
pub mod email;
pub mod invitations;
pub mod network;
pub mod register;

use serde::Serialize;
use utoipa::ToSchema;

use super::Call;
use crate::access::Anyone;
use crate::db::TenantTx;
use crate::http::body::FromFields;
use crate::http::fields::Fields;
use crate::tenants::Tenant;

/// An answer that is the same for every account.
#[derive(Serialize, ToSchema)]
#[schema(as = Message)]
pub struct MessageOut {
    detail: &'static str,
}

impl MessageOut {
    pub(super) const fn new(detail: &'static str) -> Self {
        Self { detail }
    }
}

/// The token of a mailed link.
#[derive(ToSchema)]
#[schema(as = LinkToken)]
#[allow(dead_code, reason = "described; read by `FromFields`")]
pub struct TokenIn {
    /// The part of the link after `#token=`.
    token: String,
}

/// The parsed [`TokenIn`]. No `Debug`: it is a secret.
pub struct UnverifiedToken(pub(super) String);

impl FromFields for UnverifiedToken {
    fn read(fields: &mut Fields) -> Option<Self> {
        fields.required_text("token").map(Self)
    }
}

fn call(anyone: Anyone) -> (Tenant, TenantTx, Call) {
    let Anyone { tenant, tx, request_id, client } = anyone;
    (tenant, tx, Call { request_id, client })
}

/// Reads a password as typed.
fn password(fields: &mut Fields) -> Option<String> {
    match fields.has("password") {
        true => fields.untrimmed("password"),
        false => fields.required_text("password"),
    }
}
