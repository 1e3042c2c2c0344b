//! The mails of this slice: the one place that knows what [`crate::mail`] takes.

use crate::control::Control;
use crate::db::TenantTx;
use crate::failure::Failure;
use crate::links::{LinkKind, LinkToken};
use crate::mail::{Facts, MailKind, NewMail, Posted, Recipient, post, post_as_notice};
use crate::users::User;

/// Whether a mail is on its way.
async fn posted(control: &Control, tx: &mut TenantTx, letter: NewMail) -> Result<bool, Failure> {
    match post(tx, control, letter).await? {
        Posted::Queued(_) => Ok(true),
        Posted::OverBudget => Ok(false),
    }
}

fn of(user: &User) -> Facts {
    Facts { username: user.username.expose().to_owned(), ..Facts::default() }
}

/// To an address without a proof: a link that proves it.
pub(super) async fn verify(
    control: &Control,
    tx: &mut TenantTx,
    to: Recipient,
    token: LinkToken,
) -> Result<bool, Failure> {
    let link = Some((LinkKind::Verify, token));
    posted(control, tx, NewMail { kind: MailKind::VerifyAddress, to, link, facts: Facts::default() }).await
}

/// To a user: another person named their address, for a new account or for a change of address.
pub(super) async fn already_registered(
    control: &Control,
    tx: &mut TenantTx,
    user: &User,
) -> Result<bool, Failure> {
    let Some(to) = Recipient::user(user) else { return Ok(false) };
    posted(control, tx, NewMail { kind: MailKind::AlreadyRegistered, to, link: None, facts: of(user) }).await
}

/// To the address of a registration whose user name is taken.
pub(super) async fn name_taken(control: &Control, tx: &mut TenantTx, to: Recipient) -> Result<bool, Failure> {
    let facts = Facts::default();
    posted(control, tx, NewMail { kind: MailKind::AlreadyRegistered, to, link: None, facts }).await
}

/// To an invited address. `by` is the inviter's name, or empty.
pub(super) async fn invitation(
    control: &Control,
    tx: &mut TenantTx,
    to: Recipient,
    (by, role): (String, String),
    token: LinkToken,
) -> Result<bool, Failure> {
    let link = Some((LinkKind::Invite, token));
    let facts = Facts { by, role, ..Facts::default() };
    posted(control, tx, NewMail { kind: MailKind::Invitation, to, link, facts }).await
}

/// To the address that a user wants to have.
pub(super) async fn confirm_new_address(
    control: &Control,
    tx: &mut TenantTx,
    (user, address): (&User, &str),
    token: LinkToken,
) -> Result<bool, Failure> {
    let (to, link) = (Recipient::user_at(user, address), Some((LinkKind::Address, token)));
    posted(control, tx, NewMail { kind: MailKind::ConfirmNewAddress, to, link, facts: of(user) }).await
}

/// To the address that a user has, or had, before another one: it can be kept.
pub(super) async fn address_moves(
    control: &Control,
    tx: &mut TenantTx,
    kind: MailKind,
    (user, address): (&User, &str),
    token: LinkToken,
    client: Option<String>,
) -> Result<bool, Failure> {
    let (to, link) = (Recipient::user_at(user, address), Some((LinkKind::Undo, token)));
    let facts = Facts { client: client.unwrap_or_default(), ..of(user) };
    posted(control, tx, NewMail { kind, to, link, facts }).await
}

/// To a user from whose unknown networks sign-ins are refused: a link that confirms one.
pub(super) async fn networks_refused(
    control: &Control,
    tx: &mut TenantTx,
    user: &User,
    token: LinkToken,
) -> Result<bool, Failure> {
    let Some(to) = Recipient::user(user) else { return Ok(false) };
    let link = Some((LinkKind::Network, token));
    posted(control, tx, NewMail { kind: MailKind::NetworksRefused, to, link, facts: of(user) }).await
}

/// To a user whose account has no password since a mailed link was used. The mail is the only way back in, so requests
/// without a credential must not be able to use its budget up.
pub(super) async fn reset(
    control: &Control,
    tx: &mut TenantTx,
    (user, address): (&User, &str),
    token: LinkToken,
) -> Result<(), Failure> {
    let (to, link) = (Recipient::user_at(user, address), Some((LinkKind::Reset, token)));
    post_as_notice(tx, control, NewMail { kind: MailKind::ResetPassword, to, link, facts: of(user) }).await
}
