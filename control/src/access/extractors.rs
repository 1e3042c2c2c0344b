//! Extractors that authorise a request; a handler names one in its signature.
//!
//! Each opens the request's transaction and reads the user's current row in it; the handler commits. A refusal of
//! permission writes its audit entry in that transaction, before anything else.

use std::collections::BTreeMap;
use std::marker::PhantomData;

use axum::extract::{FromRequestParts, RawPathParams};
use axum::http::request::Parts;
use shared::contract::permissions::{Permission, Permissions, Permitted};
use shared::contract::refusal::Refusal;
use shared::ids::{SessionId, TenantId};
use shared::tenant::Status;
use uuid::Uuid;

use super::bearer;
use super::proven::Proven;
use crate::audit::{self, Actor};
use crate::control::Control;
use crate::db::{Scope, TenantTx};
use crate::http::answer::Refused;
use crate::http::credentials;
use crate::http::origin::Origin;
use crate::http::trace::RequestId;
use crate::tenants::{self, Tenant, TenantError, no_tenant};
use crate::users::{User, Viewer};

/// A request whose user is known, in its transaction.
pub struct Authenticated {
    /// The request's transaction, inside the user's tenant.
    pub tx: TenantTx,
    /// The user.
    pub user: User,
    /// Their tenant.
    pub tenant: Tenant,
    /// The user as an actor.
    pub actor: Actor,
    /// The user's view of other users.
    pub viewer: Viewer,
    /// The session of the token; one of the legacy service names none, and a ticket is of none.
    pub session: Option<SessionId>,
    /// The authentication of that session.
    pub proven: Option<Proven>,
    /// Whether the token is one of the legacy service, which holds no permission.
    legacy: bool,
}

/// A user who holds the permission `P`.
pub struct Allowed<P> {
    /// User, tenant and transaction.
    pub by: Authenticated,
    permission: PhantomData<P>,
}

/// A user who holds the permission `P` over all users, or by roles of branches over the users of these branches and of
/// those below them. The transaction is limited to these users.
pub struct Within<P> {
    /// User, tenant and transaction.
    pub by: Authenticated,
    permission: PhantomData<P>,
}

/// A user of the platform tenant who holds the platform permission `P`.
pub struct Platform<P> {
    /// User, tenant and transaction.
    pub by: Authenticated,
    permission: PhantomData<P>,
}

/// Any user, about themselves.
pub struct Me {
    /// User, tenant and transaction.
    pub by: Authenticated,
}

/// Any caller at an active tenant, with or without a credential. A presented one must be valid.
pub struct Anyone {
    /// The tenant.
    pub tenant: Tenant,
    /// The transaction, inside the tenant.
    pub tx: TenantTx,
    /// The request id, for the log.
    pub request_id: Option<String>,
    /// The client's address.
    pub client: Option<String>,
}

/// Any caller at the platform tenant. At every other tenant the path does not exist.
pub struct AnyoneAtPlatform(pub Anyone);

/// A user who may do `Own` to their own tenant, or a platform administrator who may do `Plat` to
/// any. The tenant is the one in the path.
pub struct OnTenant<Own, Plat> {
    /// The transaction, inside the tenant in question once that has a cell.
    pub tx: TenantTx,
    /// The tenant in question.
    pub tenant: Tenant,
    /// Who acts.
    pub actor: Actor,
    /// The caller's view of users of the tenant.
    pub viewer: Viewer,
    /// Whether they act for the platform, which may set more.
    pub for_platform: bool,
    permissions: PhantomData<(Own, Plat)>,
}

/// Opens the transaction at the request's tenant. A request without a credential uses the share of unauthenticated
/// requests.
pub(super) async fn begin(control: &Control, parts: &Parts) -> Result<(TenantTx, Tenant, Origin), Refused> {
    let origin = parts.extensions.get::<Origin>().cloned().ok_or(Refusal::unsigned())?;
    let is_stranger = credentials::bearer(&parts.headers)?.is_none() && origin.ticket.is_none();
    let begun = match is_stranger {
        false => control.db.tenant_tx(origin.tenant).await,
        true => control.db.anonymous_tx(origin.tenant).await,
    };
    let mut tx = match begun {
        Err(crate::failure::Failure::Database(sqlx::Error::RowNotFound)) => {
            // A token may claim a tenant that never was; at the edge it would be garbage.
            return Err(shared::contract::refusal::TokenFault::Invalid.into());
        }
        other => other?,
    };
    let tenant = tenants::find(&mut tx, origin.tenant).await?;
    match tenant.status {
        Status::Active => Ok((tx, tenant, origin)),
        Status::Suspended => Err(Refusal::tenant_suspended().into()),
        Status::Provisioning | Status::Deleted => Err(Refusal::not_found().into()),
    }
}

pub(super) async fn authenticate(control: &Control, parts: &Parts) -> Result<Authenticated, Refused> {
    let token = credentials::bearer(&parts.headers)?.ok_or_else(Refusal::no_credentials)?;
    let (mut tx, tenant, origin) = begin(control, parts).await?;
    let presented = bearer::user(control, &mut tx, &tenant, &token).await?;
    let bearer::Presented { user, session, proven, legacy } = presented;
    let by = Authenticated::new(control, parts, (tx, tenant, origin), user);
    Ok(Authenticated { session, proven, legacy, ..by })
}

impl Authenticated {
    /// A user whose credential held.
    pub(super) fn new(
        control: &Control,
        parts: &Parts,
        (tx, tenant, origin): (TenantTx, Tenant, Origin),
        user: User,
    ) -> Self {
        let actor = Actor {
            who: user.who(),
            request_id: parts.extensions.get::<RequestId>().map(|id| id.0.clone()),
            client: origin.client,
        };
        let bounds = &control.settings.visibility.clearest.0;
        let viewer = Viewer::user(&user, &Scope::Everyone, &tenant.settings.visibility, bounds);
        Self { tx, user, tenant, actor, viewer, session: None, proven: None, legacy: false }
    }

    /// Whether the user has `permission` in their tenant, by the rows of their roles as this transaction reads them. No
    /// other code decides about a permission of a request.
    #[must_use]
    pub fn holds(&self, permission: Permission) -> bool {
        let exists = permission.exists(self.tenant.is_platform);
        exists && !self.legacy && self.user.grants.holds(permission)
    }

    /// The users over whom the user has `permission`; `None` without it.
    fn scope(&self, permission: Permission) -> Option<Scope> {
        if self.holds(permission) {
            return Some(Scope::Everyone);
        }
        let in_branches = permission.exists_in_branches() && !self.legacy;
        if in_branches { self.user.grants.scope(permission) } else { None }
    }

    /// The names of the permissions that the user has over all users, sorted.
    #[must_use]
    pub fn permissions(&self) -> Vec<&'static str> {
        names(Permission::ALL.iter().copied().filter(|permission| self.holds(*permission)))
    }

    /// The permissions that the user has by roles of branches: the id of each branch, with their names, sorted.
    #[must_use]
    pub fn branch_permissions(&self) -> Vec<(Uuid, Vec<&'static str>)> {
        let held = |permissions: Permissions| {
            names(permissions.known().filter(|permission| permission.exists_in_branches() && !self.legacy))
        };
        let mut branches: BTreeMap<Uuid, Permissions> = BTreeMap::new();
        for role in self.user.grants.branch_roles() {
            let Some(branch) = role.place.id() else { continue };
            let all = branches.entry(branch).or_default();
            *all = all.with(role.permissions);
        }
        branches.into_iter().map(|(branch, permissions)| (branch, held(permissions))).collect()
    }

    /// Writes the refusal into the audit log and words it.
    async fn refuse(mut self, control: &Control, permission: Permission, target: &str) -> Refused {
        let now = control.clock.now();
        let target = Some(target.to_owned());
        audit::refuse(&mut self.tx, &self.actor, now, target, permission.as_str());
        match self.tx.commit().await {
            Ok(()) => Refusal::forbidden().into(),
            Err(failure) => failure.into(),
        }
    }

    async fn demand(self, control: &Control, permission: Permission, target: &str) -> Result<Self, Refused> {
        if self.holds(permission) { Ok(self) } else { Err(self.refuse(control, permission, target).await) }
    }
}

impl<P: Permitted + Send> FromRequestParts<Control> for Allowed<P> {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, control: &Control) -> Result<Self, Refused> {
        let by = authenticate(control, parts).await?;
        let by = by.demand(control, P::PERMISSION, parts.uri.path()).await?;
        Ok(Self { by: by.proven(control, parts).await?, permission: PhantomData })
    }
}

impl<P: Permitted + Send> FromRequestParts<Control> for Within<P> {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, control: &Control) -> Result<Self, Refused> {
        let by = authenticate(control, parts).await?;
        let Some(scope) = by.scope(P::PERMISSION) else {
            return Err(by.refuse(control, P::PERMISSION, parts.uri.path()).await);
        };
        let mut by = by.proven(control, parts).await?;
        let (rules, bounds) = (&by.tenant.settings.visibility, &control.settings.visibility.clearest.0);
        by.viewer = Viewer::user(&by.user, &scope, rules, bounds);
        by.tx.limit(scope);
        Ok(Self { by, permission: PhantomData })
    }
}

impl<P: Permitted + Send> FromRequestParts<Control> for Platform<P> {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, control: &Control) -> Result<Self, Refused> {
        let by = authenticate(control, parts).await?;
        let by = by.demand(control, P::PERMISSION, parts.uri.path()).await?;
        // `demand` knows it for `platform.*`; the type must hold for any permission.
        if by.tenant.is_platform {
            Ok(Self { by: by.proven(control, parts).await?, permission: PhantomData })
        } else {
            Err(by.refuse(control, P::PERMISSION, parts.uri.path()).await)
        }
    }
}

impl FromRequestParts<Control> for Me {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, control: &Control) -> Result<Self, Refused> {
        Ok(Self { by: authenticate(control, parts).await? })
    }
}

impl FromRequestParts<Control> for Anyone {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, control: &Control) -> Result<Self, Refused> {
        let (mut tx, tenant, origin) = begin(control, parts).await?;
        if let Some(token) = credentials::bearer(&parts.headers)? {
            bearer::user(control, &mut tx, &tenant, &token).await?;
        }
        let request_id = parts.extensions.get::<RequestId>().map(|id| id.0.clone());
        Ok(Self { tenant, tx, request_id, client: origin.client })
    }
}

impl FromRequestParts<Control> for AnyoneAtPlatform {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, control: &Control) -> Result<Self, Refused> {
        let anyone = Anyone::from_request_parts(parts, control).await?;
        if anyone.tenant.is_platform { Ok(Self(anyone)) } else { Err(Refusal::not_found().into()) }
    }
}

impl<Own: Permitted + Send, Plat: Permitted + Send> FromRequestParts<Control> for OnTenant<Own, Plat> {
    type Rejection = Refused;

    /// 1. The user: 401. 2. Their own tenant needs `Own`, another one needs `Plat`: 403;
    ///    another tenant does not exist for users outside the platform tenant: 404.
    async fn from_request_parts(parts: &mut Parts, control: &Control) -> Result<Self, Refused> {
        loop {
            match Self::entered(parts, control).await? {
                Entered::Tenant(on) => return Ok(*on),
                // The key provider may be slow, so no connection is held; then the transaction begins again.
                Entered::WithoutKeys(tenant) => drop(control.db.keys(tenant).await?),
            }
        }
    }
}

/// The outcome of entering a tenant.
enum Entered<Own, Plat> {
    Tenant(Box<OnTenant<Own, Plat>>),
    /// Its keys are not in memory.
    WithoutKeys(TenantId),
}

impl<Own: Permitted + Send, Plat: Permitted + Send> OnTenant<Own, Plat> {
    async fn entered(parts: &mut Parts, control: &Control) -> Result<Entered<Own, Plat>, Refused> {
        let by = authenticate(control, parts).await?;
        let params = RawPathParams::from_request_parts(parts, control).await;
        let id = params
            .ok()
            .and_then(|params| params.iter().find(|(name, _)| *name == "id").map(|(_, id)| id.to_owned()));
        let id = id.and_then(|id| TenantId::parse(&id).ok());
        let own = id == Some(by.tenant.id);
        if !own && !by.tenant.is_platform {
            return Err(no_tenant());
        }
        let needed = if own { Own::PERMISSION } else { Plat::PERMISSION };
        let for_platform = by.tenant.is_platform && by.holds(Plat::PERMISSION);
        let by = by.demand(control, needed, parts.uri.path()).await?;
        let Authenticated { mut tx, user, actor, viewer, .. } = by.proven(control, parts).await?;
        let tenant = tenants::find(&mut tx, id.ok_or_else(no_tenant)?).await?;
        if tenant.status == Status::Deleted {
            return Err(TenantError::NotFound.into());
        }
        let who = user.platform();
        let (actor, viewer) = match own {
            true => (actor, viewer),
            false => (Actor { who, ..actor }, Viewer::of_platform()),
        };
        if tenant.status != Status::Provisioning {
            if !control.db.has_keys(tenant.id).await {
                return Ok(Entered::WithoutKeys(tenant.id));
            }
            tx.enter(&control.db, tenant.id).await?;
        }
        let on = Self { tx, tenant, actor, viewer, for_platform, permissions: PhantomData };
        Ok(Entered::Tenant(Box::new(on)))
    }
}

fn names(permissions: impl Iterator<Item = Permission>) -> Vec<&'static str> {
    let mut names: Vec<_> = permissions.map(Permission::as_str).collect();
    names.sort_unstable();
    names
}

/// The refusal for an insufficient rank, with its audit entry. `tx` is rolled back first, and the entry is written on
/// the same connection.
pub async fn outranked(
    control: &Control,
    tx: TenantTx,
    actor: &Actor,
    target: &str,
    permission: Permission,
) -> Refused {
    let written = async {
        let mut tx = tx.anew(&control.db).await?;
        let now = control.clock.now();
        audit::refuse(&mut tx, actor, now, Some(target.to_owned()), permission.as_str());
        tx.commit().await
    };
    match written.await {
        Ok(()) => Refusal::forbidden().into(),
        Err(failure) => failure.into(),
    }
}
