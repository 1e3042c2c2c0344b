//! `/api/user/invitations/`.

use axum::extract::{Path, State};
use axum::response::Response;
use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::{Value, json};
use shared::contract::openapi as described;
use shared::contract::permissions::marker::{UsersRead, UsersWrite};
use shared::contract::permissions::{Permission, Permitted as _};
use shared::ids::UserId;
use shared::tenant::visibility::PersonalField;
use utoipa::ToSchema;
use uuid::Uuid;

use super::password;
use crate::access::{Anyone, Authenticated, Within, outranked};
use crate::accounts::invitations::{self, Acceptance, Invitation, Invited};
use crate::accounts::{AccountError, answer};
use crate::audit::Actor;
use crate::control::Control;
use crate::db::{Scope, TenantTx};
use crate::http::answer::{Refused, created, no_content};
use crate::http::body::{FromFields, Json};
use crate::http::described::{IdempotencyKey, Paging};
use crate::http::fields::Fields;
use crate::http::list::{ListQuery, Unfiltered};
use crate::http::once::{Found, Once};
use crate::http::page::ListOut;
use crate::http::validators::made;
use crate::passwords::Hashed;
use crate::requests::{RequestId, RequestKind};
use crate::users::input::language;
use crate::users::{UserError, UserOut, Viewer, out};

/// An invitation to create an account.
#[derive(ToSchema)]
#[schema(as = NewInvitation)]
#[allow(dead_code, reason = "described; read by `FromFields`")]
pub struct InvitedIn {
    /// The link is mailed to this address, and the account will have it.
    email: String,
    /// Roles below the caller's own rank, by name; `client` if absent.
    roles: Option<Vec<String>>,
    /// The id of the branch that the user will be in. Required of callers with roles of branches only.
    branch: Option<Uuid>,
    /// The language of the mail: a tag such as `de`.
    language: Option<String>,
}

impl FromFields for Invited {
    fn read(fields: &mut Fields) -> Option<Self> {
        let email = fields.required_text("email");
        let roles = fields.texts("roles").unwrap_or_else(|| vec![String::from("client")]);
        let branch = fields.clearable_uuid("branch").flatten();
        let language = language(fields).unwrap_or_default();
        Some(Self { email: email?, username: None, roles, branch, language })
    }
}

/// An open invitation. The address is shown as those of users are.
#[derive(Serialize, ToSchema)]
#[schema(as = Invitation)]
pub struct InvitationOut {
    /// Its id.
    id: Uuid,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false)]
    email: Option<String>,
    /// The names of masked fields. Absent if none is masked.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<String>, required = false)]
    masked: Vec<PersonalField>,
    roles: Vec<String>,
    /// The id of the branch that the user will be in.
    #[schema(required)]
    branch: Option<Uuid>,
    /// The user who invited; null for the platform and for an operator. Callers with roles of branches only see
    /// themselves here.
    #[schema(value_type = Option<Uuid>, required)]
    invited_by: Option<UserId>,
    #[serde(serialize_with = "crate::http::time::micros")]
    created_at: DateTime<Utc>,
    #[serde(serialize_with = "crate::http::time::micros")]
    expires_at: DateTime<Utc>,
}

impl InvitationOut {
    fn new(invitation: &Invitation, (viewer, actor): (&Viewer, &Actor), scope: &Scope) -> Self {
        let is_shown = |by: &UserId| *scope == Scope::Everyone || actor.is(*by);
        let (email, is_masked) = viewer.address(&invitation.invited().email);
        Self {
            id: invitation.id.uuid(),
            email,
            masked: if is_masked { vec![PersonalField::Email] } else { Vec::new() },
            roles: invitation.invited().roles.clone(),
            branch: invitation.invited().branch,
            invited_by: invitation.by().filter(is_shown),
            created_at: invitation.created_at,
            expires_at: invitation.expires_at,
        }
    }
}

fn example() -> Value {
    json!({
        "id": "019a1f0e-7c9d-7e32-8f4a-1b2c3d4e5f60", "email": "grace@acme.example", "roles": ["staff"], "branch": null,
        "invited_by": "019a1f0e-5b7c-7d21-9c3e-0a1b2c3d4e5f", "created_at": "2026-01-02T03:04:05.678901Z",
        "expires_at": "2026-01-09T03:04:05.678901Z",
    })
}

/// Lists the open invitations, the newest first.
#[utoipa::path(
    get, path = "/api/user/invitations/", tag = "Accounts", operation_id = "invitations_list", summary = "List invitations",
    description = "Needs `users.read`. Open invitations, the newest first; addresses are shown as those of users \
        are. By a role of a branch, those into that branch and those below it are listed.",
    params(Paging),
    responses((status = 200, description = "One page of the list", body = ListOut<InvitationOut>, example = json!({
        "count": 1, "next": null, "previous": null, "results": [example()],
    })))
)]
pub async fn list(
    State(control): State<Control>,
    within: Within<UsersRead>,
    ListQuery { part, .. }: ListQuery<Unfiltered>,
) -> Result<Response, Refused> {
    let Authenticated { mut tx, actor, viewer, .. } = within.by;
    let open = invitations::list(&control, &mut tx).await?;
    let out = |invitation| InvitationOut::new(invitation, (&viewer, &actor), tx.scope());
    part.of_all(open.iter().map(out).collect())
}

/// Invites a user, once for an `Idempotency-Key`: 201, whether the address is known or not; 403 for a role at or above
/// the caller's own rank.
#[utoipa::path(
    post, path = "/api/user/invitations/", tag = "Accounts", operation_id = "invitations_create", summary = "Invite a user",
    description = "Needs `users.write`. The roles must be below the caller's own rank, with permissions that the \
        caller has. The mailed link is valid \
        once, for 7 days. If the address belongs to an account, its owner gets a mail that says so; the answer is the \
        same.",
    params(IdempotencyKey),
    request_body(content = InvitedIn, example = json!({"email": "grace@acme.example", "roles": ["staff"]})),
    responses(
        (status = 201, description = "Invited", body = InvitationOut, example = json!(example())),
        (status = 409, description = "The limit of open invitations is reached; or a request with this `Idempotency-Key` is still running", body = described::Refused),
        (status = 422, description = "The `Idempotency-Key` was used for another request", body = described::Refused),
    )
)]
pub async fn create(
    State(control): State<Control>,
    within: Within<UsersWrite>,
    Once { what, key }: Once<Invited>,
) -> Result<Response, Refused> {
    let Authenticated { mut tx, actor, viewer, user: by, .. } = within.by;
    let claim = match key {
        None => None,
        Some(key) => match key.claim(&control, &mut tx, by.id).await? {
            Found::Done(id) => {
                let invitation = invitations::find(&control, &mut tx, RequestId::from(id)).await?;
                return Ok(created(&InvitationOut::new(&invitation, (&viewer, &actor), tx.scope())));
            }
            Found::New(claim) => Some(claim),
        },
    };
    let invited = invitations::put(&control, &mut tx, &actor, what).await;
    let (invitation, mut tx) = ranked(&control, tx, &actor, "new", invited).await?;
    answer::soon(&mut tx, RequestKind::Invitation, invitation.id).await?;
    if let Some(claim) = claim {
        claim.keep(&control, &mut tx, invitation.id.uuid()).await?;
    }
    let out = InvitationOut::new(&invitation, (&viewer, &actor), tx.scope());
    tx.commit().await?;
    Ok(created(&out))
}

/// Revokes an invitation: 204; its link becomes invalid.
#[utoipa::path(
    delete, path = "/api/user/invitations/{id}/", tag = "Accounts", operation_id = "invitations_revoke", summary = "Revoke an invitation",
    description = "Needs `users.write` and a rank above that of the invited roles. The link becomes invalid.",
    params(("id" = Uuid, Path)),
    responses((status = 204, description = "Revoked"))
)]
pub async fn revoke(
    State(control): State<Control>,
    within: Within<UsersWrite>,
    Path(id): Path<String>,
) -> Result<Response, Refused> {
    let Authenticated { mut tx, actor, .. } = within.by;
    let parsed = RequestId::parse(&id).ok_or(AccountError::NotFound)?;
    let revoked = invitations::revoke(&control, &mut tx, &actor, parsed).await;
    let (_, tx) = ranked(&control, tx, &actor, &parsed.to_string(), revoked).await?;
    tx.commit().await?;
    Ok(no_content())
}

/// The account of an accepted invitation.
#[derive(ToSchema)]
#[schema(as = Acceptance)]
#[allow(dead_code, reason = "described; read by `FromFields`")]
pub struct AcceptanceIn {
    /// The part of the link after `#token=`.
    token: String,
    /// May be absent if the invitation has one, as that of a tenant's first administrator.
    username: Option<String>,
    #[schema(format = "password")]
    password: String,
    first_name: Option<String>,
    last_name: Option<String>,
    phone: Option<String>,
}

/// The parsed [`AcceptanceIn`]. No `Debug`: it holds a password.
pub struct Accepted {
    token: String,
    chosen: Acceptance,
    password: String,
}

impl FromFields for Accepted {
    fn read(fields: &mut Fields) -> Option<Self> {
        let token = fields.required_text("token");
        let username = if fields.has("username") { fields.required_text("username") } else { None };
        let [first_name, last_name, phone] =
            ["first_name", "last_name", "phone"].map(|name| fields.text(name).unwrap_or_default());
        let password = password(fields);
        let chosen = Acceptance { username, first_name, last_name, phone };
        Some(Self { token: token?, chosen, password: password? })
    }
}

/// Accepts an invitation:
/// 1. 400 without a hash if the link is not valid, or its inviter may not grant the roles any more.
/// 2. The password is hashed, in the share of unauthenticated requests.
/// 3. The link is used up and the account created: 201; 400 with all errors, and then the link stays valid.
#[utoipa::path(
    post, path = "/api/user/invitations/accept/", tag = "Accounts", operation_id = "invitations_accept", summary = "Accept an invitation",
    description = "With the token of the link. The account gets the invitation's address, as a verified one, and its \
        roles, if the inviter may still grant them.",
    request_body(content = AcceptanceIn, example = json!({
        "token": "pSAWPxW2F9hcs4NRsk0i3F1vuVqyqvJy8QPkUvgIJzI", "username": "grace",
        "password": "correct horse battery staple", "first_name": "Grace", "last_name": "Hopper",
    })),
    responses((status = 201, description = "Created", body = UserOut, example = json!(out::example())))
)]
pub async fn accept(
    State(control): State<Control>,
    anyone: Anyone,
    Json(Accepted { token, chosen, password }): Json<Accepted>,
) -> Result<Response, Refused> {
    let (tenant, mut tx, call) = super::call(anyone);
    invitations::offered(&control, &mut tx, &token, &chosen).await?;
    let hasher = control.hasher.for_strangers();
    let hash = Hashed::of(&hasher, tx.payer(), &password);
    let (hashed, mut tx) = tx.pause(&control.db, hash).await?;
    let user = invitations::accept(&control, &mut tx, &tenant, &call, (&token, &chosen, &hashed?)).await?;
    tx.commit().await?;
    made(&Viewer::oneself(user.id).shows(user))
}

/// Turns a refusal of rank into a 403 and its entry in the audit log.
async fn ranked<T>(
    control: &Control,
    tx: TenantTx,
    actor: &Actor,
    target: &str,
    outcome: Result<T, AccountError>,
) -> Result<(T, TenantTx), Refused> {
    match outcome {
        Ok(done) => Ok((done, tx)),
        Err(AccountError::User(UserError::Rank)) => {
            let permission: Permission = UsersWrite::PERMISSION;
            Err(outranked(control, tx, actor, target, permission).await)
        }
        Err(other) => Err(other.into()),
    }
}
