//! The kinds of mail: the name of each, the budget that it is counted in, and how long it is of use.

use chrono::TimeDelta;
use serde::{Deserialize, Serialize};

/// A kind of mail; its name is that of its templates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MailKind {
    /// Asks the owner of an address to prove it. Link: `Verify`.
    VerifyAddress,
    /// Tells an account's owner that a registration named their address. Without a user name: tells the address of a
    /// registration that its user name is taken.
    AlreadyRegistered,
    /// Lets an account's owner set a new password. Link: `Reset`.
    ResetPassword,
    /// A password that an administrator had made: good once, and to be changed then.
    OneTimePassword,
    /// Offers an account. Link: `Invite`.
    Invitation,
    /// Asks the owner of a user's new address to prove it. Link: `Address`.
    ConfirmNewAddress,
    /// Tells the old address that a change to another address was requested. Link: `Undo`.
    AddressChanging,
    /// Tells that the password was changed.
    PasswordChanged,
    /// Tells the old address that the account now has another address. Link: `Undo`, or none.
    AddressChanged,
    /// Tells that a second factor was added or removed.
    SecondFactorChanged,
    /// Tells of a sign-in from a new device.
    NewDevice,
    /// Tells that sign-ins from networks that are not known to the account are refused. Link: `Network`.
    NetworksRefused,
    /// Tells an administrator that the tenant will demand a second factor.
    SecondFactorDemanded,
    /// Shows an administrator that mail arrives.
    Test,
}

/// Who causes mails of a kind, and what happens to one above its budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    /// Clients without a credential, or users that name an address of another person. Above the budget it is dropped.
    Request,
    /// Administrators. It shares the budget of requests, and waits.
    Order,
    /// An administrator who tests the mail. It has a budget of its own.
    Test,
    /// Events of an account. It has a budget of its own, and waits.
    Notice,
}

impl MailKind {
    /// All of them.
    pub const ALL: [Self; 14] = [
        Self::VerifyAddress,
        Self::AlreadyRegistered,
        Self::ResetPassword,
        Self::OneTimePassword,
        Self::Invitation,
        Self::ConfirmNewAddress,
        Self::AddressChanging,
        Self::PasswordChanged,
        Self::AddressChanged,
        Self::SecondFactorChanged,
        Self::NewDevice,
        Self::NetworksRefused,
        Self::SecondFactorDemanded,
        Self::Test,
    ];

    /// As stored, as templates are called, and as metrics and the audit log name it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::VerifyAddress => "verify_address",
            Self::AlreadyRegistered => "already_registered",
            Self::ResetPassword => "reset_password",
            Self::OneTimePassword => "one_time_password",
            Self::Invitation => "invitation",
            Self::ConfirmNewAddress => "confirm_new_address",
            Self::AddressChanging => "address_changing",
            Self::PasswordChanged => "password_changed",
            Self::AddressChanged => "address_changed",
            Self::SecondFactorChanged => "second_factor_changed",
            Self::NewDevice => "new_device",
            Self::NetworksRefused => "networks_refused",
            Self::SecondFactorDemanded => "second_factor_demanded",
            Self::Test => "test",
        }
    }

    /// Reads what is stored.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }

    pub(super) fn class(self) -> Class {
        match self {
            Self::VerifyAddress | Self::AlreadyRegistered | Self::ResetPassword | Self::ConfirmNewAddress => {
                Class::Request
            }
            Self::OneTimePassword | Self::Invitation => Class::Order,
            Self::Test => Class::Test,
            Self::AddressChanging
            | Self::PasswordChanged
            | Self::AddressChanged
            | Self::SecondFactorChanged
            | Self::NewDevice
            | Self::NetworksRefused
            | Self::SecondFactorDemanded => Class::Notice,
        }
    }

    /// Whether the names in the mail are those of the account that it goes to, or of an administrator. Text of a
    /// client without a credential is not mailed to others.
    pub(super) fn names_anyone(self) -> bool {
        !matches!(self, Self::VerifyAddress | Self::ConfirmNewAddress)
    }

    /// For how long it is of use, where neither its link nor its facts say that.
    pub(super) fn lifetime(self) -> TimeDelta {
        match self.class() {
            Class::Request | Class::Order | Class::Test => TimeDelta::days(1),
            Class::Notice => TimeDelta::days(7),
        }
    }
}
