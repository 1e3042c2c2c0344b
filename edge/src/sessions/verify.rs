//! Verify: an access token, or a refresh token, which costs one read of its family's row.

use serde_json::json;
use shared::contract::refusal::{Refusal, TokenFault};
use shared::tenant::Status;
use shared::tokens::claimed_root;
use shared::tokens::jws::Jws;

use crate::body::Fields;
use crate::context::Context;
use crate::http::Answer;
use crate::isolate::opened::OpenedTenant;
use crate::platform::Platform;
use crate::sessions::family::{self, FamilyRow};
use crate::sessions::pace::admit;
use crate::sql::batch::Batch;
use crate::sql::{self, secs_as_ms};
use crate::tenants::find::{TenantName, find_fresh};
use crate::tokens::error::TokenError;
use crate::tokens::refresh_token::{VerifiedRefresh, presented};
use crate::tokens::validate::judge_access;

/// Verifies an access or a refresh token; the latter costs one read of its row.
///
/// # Errors
/// 400 without a token, 401 for an invalid one, 429 over the limits of a refresh token's session and tenant, 503 if
/// storage cannot be reached.
pub async fn verify<P: Platform>(
    ctx: Context<'_, P>,
    named: &TenantName,
    fields: &Fields,
) -> Result<Answer, Refusal> {
    let unverified_token = fields.token("token")?;
    let known = find_fresh(ctx, named).await?;
    if known.tenant.status == Status::Active && may_be_refresh(&unverified_token) {
        match presented(ctx, &known, &unverified_token).await {
            Ok(token) => return verify_refresh(ctx, &known, &token).await,
            Err(TokenError::Token(TokenFault::WrongType)) => {}
            Err(refused) => return Err(refused.with(TokenFault::at_verify)),
        }
    }
    match judge_access(ctx, &known, named, &unverified_token).await {
        Ok(_) => Ok(Answer::json(200, &json!({}))),
        Err(refused) => Err(refused.with(TokenFault::at_verify)),
    }
}

/// Whether the signature must decide: a refresh token by its header, or a legacy token.
fn may_be_refresh(unverified_token: &str) -> bool {
    claimed_root(unverified_token).is_some()
        || Jws::split(unverified_token).is_some_and(|jws| jws.is_legacy())
}

async fn verify_refresh<P: Platform>(
    ctx: Context<'_, P>,
    known: &OpenedTenant,
    token: &VerifiedRefresh,
) -> Result<Answer, Refusal> {
    admit(ctx, known, token.sid).await?;
    let tenant = &known.tenant;
    let mut batch = Batch::new(token.sid.shard());
    let user = token.look(known, &mut batch);
    let params = [token.sid.to_string().into(), tenant.id.to_string().into()];
    let family = batch.add::<FamilyRow>(sql::FAMILY.bind(params));
    let rows = ctx.run(batch).await?;
    let window = secs_as_ms(tenant.settings.retry_window_secs);
    let judged = match rows.take_one(family)? {
        Some(row) => family::verify(&row, token.generation, ctx.now(), window),
        None => token.without_row(&rows, user, ctx, known)?.map_or(Ok(()), Err),
    };
    judged.map(|()| Answer::json(200, &json!({}))).map_err(TokenFault::at_verify)
}
