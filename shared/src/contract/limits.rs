//! Every limit and lifetime that the wire contract promises, in one table: `GET /api/limits/` answers it, and
//! docs/limits.md is made of it.
//!
//! Names carry the unit. A tenant's own choices, with their bounds, are in [`crate::tenant::settings`].

use serde_json::{Map, Value, json};

/// Names the limits, and lists them.
macro_rules! limits {
    ($($(#[doc = $meaning:literal])+ pub const $name:ident: $type:ty = $value:expr;)*) => {
        $($(#[doc = $meaning])+ pub const $name: $type = $value;)*

        /// All limits by their published names.
        #[must_use]
        pub fn table() -> Map<String, Value> {
            let list = [$((stringify!($name), json!($name)),)*];
            list.into_iter().map(|(name, value)| (name.to_ascii_lowercase(), value)).collect()
        }

        /// The meaning of each, in the same order.
        #[cfg(test)]
        const MEANINGS: &[(&str, &str)] = &[$((stringify!($name), concat!($($meaning),+)),)*];
    };
}

limits! {
    /// Largest JSON or form body, in bytes.
    pub const BODY_BYTES: usize = 1024 * 1024;
    /// Deepest nesting of a JSON body.
    pub const JSON_DEPTH: usize = 32;
    /// Values in a JSON body, and fields in a form.
    pub const BODY_VALUES: usize = 10_000;
    /// Longest compact JWT that is parsed, in bytes. Tokens of this service are shorter than 1.5 kB.
    pub const TOKEN_BYTES: usize = 4096;
    /// Longest password, in bytes as typed and again after NFKC.
    pub const PASSWORD_BYTES: usize = 1024;
    /// Largest `password_history` of a tenant: a new password is compared with each former one, and each comparison
    /// costs a hash.
    pub const PASSWORD_HISTORY: u64 = 24;
    /// Longest canonical user name or address, in bytes.
    pub const IDENTIFIER_BYTES: usize = 254;
    /// Longest request id that is accepted from a client.
    pub const REQUEST_ID_BYTES: usize = 64;
    /// Longest path segment that is forwarded.
    pub const PATH_SEGMENT_BYTES: usize = 128;

    /// Web origins that a tenant may list.
    pub const ORIGINS: usize = 100;
    /// Request headers that a tenant may list for CORS, in addition to the built-in ones.
    pub const CORS_HEADERS: usize = 50;
    /// Longest name of one.
    pub const HEADER_NAME_BYTES: usize = 64;
    /// Visibility rules that a tenant may list.
    pub const VISIBILITY_RULES: usize = 200;
    /// Timeouts of roles that a tenant may list.
    pub const ROLE_TIMEOUTS: usize = 100;
    /// Roles that a tenant may list as needing a second factor.
    pub const SECOND_FACTOR_ROLES: usize = 104;
    /// Custom roles of a tenant, in addition to the predefined ones.
    pub const CUSTOM_ROLES: i64 = 100;
    /// Longest name of a custom role, in characters.
    pub const ROLE_NAME_CHARS: usize = 32;
    /// Longest title of a role, in characters.
    pub const ROLE_TITLE_CHARS: usize = 100;
    /// Longest description of a role, in characters.
    pub const ROLE_DESCRIPTION_CHARS: usize = 500;
    /// Roles of one user: access tokens carry their names.
    pub const USER_ROLES: usize = 10;
    /// Entries of one section of a user's profile.
    pub const PROFILE_ENTRIES: usize = 50;
    /// Longest text of a field of such an entry, in characters, where no other limit is given.
    pub const PROFILE_TEXT_CHARS: usize = 200;
    /// Longest description of an employment, in characters.
    pub const PROFILE_DESCRIPTION_CHARS: usize = 2000;
    /// Longest link of a certification, in characters.
    pub const PROFILE_LINK_CHARS: usize = 500;
    /// Most years of a skill.
    pub const SKILL_YEARS: u64 = 80;
    /// Branches of a tenant.
    pub const BRANCHES: i64 = 10_000;
    /// Branches from the top of the tree down to the lowest one, both included.
    pub const BRANCH_DEPTH: usize = 8;
    /// Longest name of a branch, in characters.
    pub const BRANCH_NAME_CHARS: usize = 100;
    /// Networks that a tenant may list, of each kind.
    pub const NETWORKS: usize = 200;
    /// Longest reason of an `unmask`, in characters.
    pub const REASON_CHARS: usize = 500;
    /// How long a browser may cache the response to a preflight (`Access-Control-Max-Age`), in seconds. An origin
    /// that a tenant removes loses access at once, because each response is checked, too.
    pub const PREFLIGHT_SECS: u64 = 600;
    /// Shortest time between two moves of a session's idle deadline by silent renewal, in seconds.
    pub const RENEWAL_SECS: u64 = 3600;
    /// Longest time for which an old service's tokens may be accepted, in seconds.
    pub const LEGACY_SECS: i64 = 30 * 86_400;
    /// Checks of one user's password against a hash of another service within [`FOREIGN_TRIES_SECS`]; above it, no
    /// password matches.
    pub const FOREIGN_TRIES: i32 = 20;
    /// The window of [`FOREIGN_TRIES`], from its first check, in seconds.
    pub const FOREIGN_TRIES_SECS: i64 = 3600;

    /// Longest lifetime of a service signature, in seconds.
    pub const SIGNATURE_SECS: u64 = 60;
    /// How far a client's or service's clock may be ahead of ours, in seconds.
    pub const CLOCK_AHEAD_SECS: i64 = 60;

    /// Rows in one push message.
    pub const PUSH_ROWS: usize = 500;
    /// Facts in one drain answer.
    pub const DRAIN_FACTS: usize = 500;

    /// Wrong passwords of a signed-in user (at a step-up, and as `current_password`) in [`ATTEMPT_WINDOW_SECS`];
    /// above it: 429.
    pub const ATTEMPTS: u32 = 10;
    /// The window of [`ATTEMPTS`], in seconds, from the first counted attempt.
    pub const ATTEMPT_WINDOW_SECS: u64 = 300;
    /// Wrong passwords at sign-in for one account from one network in [`PAIR_WINDOW_SECS`] before that network has to wait.
    pub const PAIR_ATTEMPTS: u64 = 10;
    /// The first wait, in seconds. Each further wrong password doubles it.
    pub const PAIR_DELAY_SECS: u64 = 30;
    /// The longest wait, in seconds.
    pub const PAIR_DELAY_MAX_SECS: u64 = 900;
    /// The window of [`PAIR_ATTEMPTS`], in seconds, from the first counted attempt.
    pub const PAIR_WINDOW_SECS: u64 = 3600;
    /// Wrong passwords for one account in [`ACCOUNT_WINDOW_SECS`], from all unknown networks together, before such networks have
    /// to wait. A network is known to an account that signed in from it within [`KNOWN_NETWORK_SECS`].
    pub const ACCOUNT_ATTEMPTS: u64 = 20;
    /// The first wait, in seconds. Each further wrong password doubles it.
    pub const ACCOUNT_DELAY_SECS: u64 = 1;
    /// The longest wait, in seconds.
    pub const ACCOUNT_DELAY_MAX_SECS: u64 = 60;
    /// Wrong passwords for one account from unknown networks after which such networks are refused until the window is over.
    pub const ACCOUNT_ATTEMPTS_MAX: u64 = 100;
    /// The window of [`ACCOUNT_ATTEMPTS`] and [`ACCOUNT_ATTEMPTS_MAX`], in seconds, from the first counted attempt.
    pub const ACCOUNT_WINDOW_SECS: u64 = 86_400;
    /// Wrong passwords from one network in [`NETWORK_WINDOW_SECS`], for accounts of one tenant that it is not known
    /// to; above it: 429.
    pub const NETWORK_ATTEMPTS: u64 = 100;
    /// The window of [`NETWORK_ATTEMPTS`], in seconds, from the first counted attempt.
    pub const NETWORK_WINDOW_SECS: u64 = 300;
    /// Wrong passwords at one tenant in [`TENANT_WINDOW_SECS`], from networks that are not known to the account;
    /// above it: 429.
    pub const TENANT_ATTEMPTS: u64 = 1000;
    /// The window of [`TENANT_ATTEMPTS`], in seconds, from the first counted attempt.
    pub const TENANT_WINDOW_SECS: u64 = 60;
    /// How long a network is known to an account that signed in from it, in seconds.
    pub const KNOWN_NETWORK_SECS: u64 = 30 * 86_400;
    /// Networks that are known to one account; the next one replaces the least recently used one.
    pub const KNOWN_NETWORKS: u32 = 50;
    /// How long a network is known to an account after its owner confirmed it by a mailed link, in seconds.
    pub const CONFIRMED_NETWORK_SECS: i64 = 3600;
    /// Sign-ins a minute from one network at one tenant, before any hash; and lookups of unknown tenants a minute from one
    /// network.
    pub const NETWORK_PER_MINUTE: u32 = 1000;
    /// Sign-ins a minute from one network at all tenants together, before storage and any hash.
    pub const NETWORK_TOTAL_PER_MINUTE: u32 = 2000;
    /// Sign-ins a minute for one name from one network, before storage and any hash.
    pub const NAME_PER_MINUTE: u32 = 120;

    /// Refreshes, verifications of its refresh token, renewals and sign-outs of one session in a minute, before storage.
    pub const SESSION_PER_MINUTE: u32 = 120;
    /// The same for all sessions of one tenant.
    pub const TENANT_SESSIONS_PER_MINUTE: u32 = 12_000;

    /// Passwords that one isolate of the edge hashes for one tenant in a second, unless the tenant's setting
    /// `hashes_per_sec` says otherwise; above it: 429. A hash blocks the isolate's only thread for about 30 ms.
    pub const HASHES_PER_SEC: u64 = 8;
    /// Hashes in a burst, after a time with few.
    pub const HASHES_AT_ONCE: u64 = 8;
    /// How many of these are reserved for networks that are known to the account.
    pub const HASHES_FOR_KNOWN_NETWORKS: u64 = 4;

    /// Wrong passwords for one account from one network after which a CAPTCHA is asked for, unless the tenant says
    /// otherwise (`after`, 1 to [`PAIR_ATTEMPTS`]), where it has one.
    pub const CAPTCHA_AFTER: u64 = 3;
    /// How long a CAPTCHA service may take unless the tenant says otherwise, in milliseconds.
    pub const CAPTCHA_TIMEOUT_MS: u64 = 3000;
    /// The shortest time that a tenant may give it.
    pub const CAPTCHA_TIMEOUT_MIN_MS: u64 = 500;
    /// The longest.
    pub const CAPTCHA_TIMEOUT_MAX_MS: u64 = 10_000;
    /// How long ago a CAPTCHA may have been solved, in seconds.
    pub const CAPTCHA_AGE_SECS: i64 = 300;
    /// Longest text that a widget gives, in bytes; the service is not asked about a longer one.
    pub const CAPTCHA_TOKEN_BYTES: usize = 8192;
    /// How much of the answer of a CAPTCHA service is read, in bytes; a longer one is no answer.
    pub const CAPTCHA_ANSWER_BYTES: usize = 16_384;
    /// Hosts on whose pages a tenant may let CAPTCHAs be solved, by name.
    pub const CAPTCHA_HOSTS: usize = 100;

    /// Lifetime of a ticket, in seconds.
    pub const TICKET_SECS: u64 = 600;

    /// Lifetime of a challenge, in seconds.
    pub const CHALLENGE_SECS: u64 = 300;
    /// Attempts of a code for one challenge.
    pub const CHALLENGE_TRIES: u32 = 5;
    /// Wrong one-time codes of one user in [`CODE_WINDOW_SECS`], over all challenges; above it: 429. Any 24 hours
    /// overlap at most two windows, so an attacker has at most twice as many attempts in them: 60 attempts against 5
    /// authenticators with 3 valid time steps each hit one of 1,000,000 codes with a probability below 1 in 1,000.
    pub const CODE_TRIES: u32 = 30;
    /// The window of [`CODE_TRIES`], in seconds.
    pub const CODE_WINDOW_SECS: u64 = 86_400;
    /// Authenticators of one user.
    pub const AUTHENTICATORS: usize = 5;
    /// Recovery codes of one user.
    pub const RECOVERY_CODES: usize = 10;
    /// Longest name of an authenticator, in characters.
    pub const AUTHENTICATOR_NAME_CHARS: usize = 100;
    /// How long a started enrolment of an authenticator waits for its first code, in seconds.
    pub const ENROLLMENT_SECS: i64 = 600;
    /// Greatest age of the sign-in or step-up for a change of the caller's own second factor, in seconds.
    pub const STEP_UP_SECS: i64 = 600;

    /// Remembered devices of one user; the next one replaces the oldest.
    pub const DEVICES: u32 = 20;
    /// Longest time for which a tenant may remember a device, in days.
    pub const DEVICE_DAYS: u64 = 30;
    /// How much of a remembered browser's `User-Agent` is stored, in bytes.
    pub const DEVICE_NAME_BYTES: usize = 256;

    /// Sessions of one user, unless the tenant sets fewer (`max_sessions`); the next sign-in ends the least recently
    /// used one.
    pub const FAMILIES: u32 = 100;
    /// How much of a client's `User-Agent` is stored with a session, in bytes.
    pub const AGENT_BYTES: usize = 256;
    /// How much of the name of a city is stored with a session, in bytes.
    pub const CITY_BYTES: usize = 96;
    /// How long a list of sessions waits for the edge, in milliseconds.
    pub const SESSION_LIST_MS: u64 = 2000;
    /// How long the response to a revoking change waits for the edge's confirmation, in milliseconds.
    pub const IN_FORCE_MS: u64 = 1000;

    /// Cached data of a shard up to this age is used without a read, in milliseconds.
    pub const FRESH_MS: u64 = 1000;
    /// Above this age a request reads the shard before it is answered, in milliseconds.
    pub const STALE_MS: u64 = 3000;
    /// Shortest time between two reads because of an unknown `kid` or issuer, per tenant and isolate, in
    /// milliseconds.
    pub const UNKNOWN_KID_MS: u64 = 5000;
    /// How long a legacy access token is accepted before its user is read again, in seconds. The token may be valid
    /// longer than rows stay in the feed, and a sign-out everywhere is not in the feed.
    pub const LEGACY_RECHECK_SECS: i64 = 60;
    /// `max-age` of the JWKS, in seconds.
    pub const JWKS_MAX_AGE_SECS: u64 = 300;
    /// `stale-while-revalidate` of the JWKS, in seconds.
    pub const JWKS_STALE_SECS: u64 = 600;
    /// Longest lifetime of access tokens that a tenant may set, in seconds.
    pub const ACCESS_TTL_MAX_SECS: u64 = 900;
    /// How long tokens of a former issuer or audience are accepted, from when the edge confirmed the change, in
    /// seconds: the longest lifetime of a token, and two minutes for a slow push and clock skew.
    pub const FORMER_CLAIMS_SECS: u64 = ACCESS_TTL_MAX_SECS + 120;
    /// Former issuers and audiences of a tenant that are accepted at the same time.
    pub const FORMER_CLAIMS: usize = 8;
    /// How long a row of the feed is kept: twice the longest lifetime of access tokens and an hour, in seconds.
    pub const FEED_SECS: u64 = 2 * ACCESS_TTL_MAX_SECS + 3600;
    /// How long a tombstone is kept, in seconds. A push is valid for a minute, so a day is safe.
    pub const TOMBSTONE_SECS: u64 = 86_400;
    /// Refused sign-ins of one tenant that may wait for control, one for each name, network and minute; above it they
    /// are counted together.
    pub const TENANT_REFUSALS: u32 = 1000;
    /// Refused sign-ins that may wait for control on a shard: as many as fifty tenants may have. Above it they are
    /// also counted together.
    pub const SHARD_REFUSALS: u32 = 50_000;

    /// Mails an hour to an account, and to an address, that requests without a credential or administrators cause.
    pub const MAILS_PER_HOUR: i32 = 3;
    /// Such mails a minute of one tenant to the domain of an address.
    pub const MAILS_PER_MINUTE: i32 = 30;
    /// Notices an hour to an account, and to an address.
    pub const MAIL_NOTICES_PER_HOUR: i32 = 20;
    /// Notices a minute of one tenant to the domain of an address.
    pub const MAIL_NOTICES_PER_MINUTE: i32 = 300;
    /// Test mails an hour of a tenant to one address.
    pub const MAIL_TESTS_PER_HOUR: i32 = 20;
    /// Longest language tag of a user, in bytes.
    pub const LANGUAGE_BYTES: usize = 35;
    /// Longest URL of a page for links, in bytes.
    pub const PAGE_URL_BYTES: usize = 500;
    /// Longest contact text in a tenant's mails, in characters.
    pub const SUPPORT_CHARS: usize = 200;
    /// Lifetime of a link that verifies an address, in seconds.
    pub const VERIFY_LINK_SECS: i64 = 86_400;
    /// Lifetime of a link that confirms a network, in seconds, and the shortest time between two such mails.
    pub const NETWORK_LINK_SECS: i64 = 86_400;
    /// Lifetime of a link that sets a new password, in seconds.
    pub const RESET_LINK_SECS: i64 = 3600;
    /// Lifetime of a one-time password, in seconds.
    pub const ONE_TIME_PASSWORD_SECS: i64 = 86_400;
    /// How long a stored request without a credential waits for its mail, in seconds.
    pub const ANSWER_SECS: i64 = 86_400;
    /// Lifetime of an invitation, in seconds.
    pub const INVITE_LINK_SECS: i64 = 7 * 86_400;
    /// Lifetime of a link that verifies a user's new address, in seconds.
    pub const ADDRESS_LINK_SECS: i64 = 86_400;
    /// How long a change of address can be undone, in seconds.
    pub const UNDO_LINK_SECS: i64 = 7 * 86_400;

    /// How long a registration waits for the verification of its address, in seconds. The user may request a new link
    /// meanwhile.
    pub const REGISTRATION_SECS: i64 = 3 * 86_400;
    /// Domains that a tenant may list for registration.
    pub const REGISTRATION_DOMAINS: usize = 100;
    /// Requests a minute without a credential at one tenant, of each kind (registrations, resets, repeated links);
    /// above it: 429.
    pub const STRANGERS_PER_MINUTE: i32 = 300;
    /// Stored requests of each such kind at one tenant; above it: 429.
    pub const STRANGERS_WAITING: i64 = 20_000;
    /// Changes of address of one user that can still be confirmed or undone; above it: 429.
    pub const ADDRESS_CHANGES: usize = 20;
    /// Open invitations of one tenant.
    pub const INVITATIONS: i64 = 1000;

    /// How long an `Idempotency-Key` is remembered, in seconds.
    pub const IDEMPOTENCY_SECS: u64 = 86_400;
    /// Longest `Idempotency-Key`.
    pub const IDEMPOTENCY_KEY_BYTES: usize = 255;

    /// Jobs of one kind that may wait at one tenant.
    pub const WAITING_JOBS: u32 = 10_000;
    /// How long a dead job is kept for an operator, in days.
    pub const DEAD_JOB_DAYS: i32 = 30;

    /// `Retry-After` of a search while its index is rebuilt, in seconds.
    pub const REBUILDING_SECS: u64 = 5;

    /// Objects on a page, unless `page_size` says otherwise.
    pub const PAGE_SIZE: u32 = 20;
    /// Largest `page_size`.
    pub const PAGE_SIZE_MAX: u32 = 100;
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The page of the documentation.
    fn page() -> String {
        let mut page = String::from(
            "# Limits\n\nEvery limit and lifetime of this release, as `GET /api/limits/` answers them. The page is made of\n\
             `shared/src/contract/limits.rs`; `WARDGATE_WRITE_LIMITS=1 cargo test -p wardgate-shared limits` writes it.\n\n\
             | Name | Value | Meaning |\n| --- | --- | --- |\n",
        );
        let table = table();
        for (name, meaning) in MEANINGS {
            let name = name.to_ascii_lowercase();
            let meaning = meaning.trim().replace("|", "\\|");
            page.push_str(&format!("| `{name}` | {} | {} |\n", table[&name], plain(&meaning)));
        }
        page
    }

    /// Links to constants become their published names; other links become code.
    fn plain(meaning: &str) -> String {
        let mut out = String::new();
        let mut rest = meaning;
        while let Some((before, after)) = rest.split_once("[`") {
            let (name, behind) = after.split_once("`]").expect("a whole link");
            let name = name.rsplit("::").next().unwrap_or(name);
            let known = MEANINGS.iter().any(|(known, _)| *known == name);
            let name = if known { name.to_ascii_lowercase() } else { name.to_owned() };
            out.push_str(&format!("{before}`{name}`"));
            rest = behind;
        }
        out + rest
    }

    #[test]
    fn the_page_of_limits_is_the_table() {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/limits.md");
        if std::env::var_os("WARDGATE_WRITE_LIMITS").is_some() {
            std::fs::write(file, page()).unwrap();
        }
        let written = std::fs::read_to_string(file).unwrap();
        assert_eq!(written, page(), "WARDGATE_WRITE_LIMITS=1 writes docs/limits.md");
    }

    #[test]
    fn every_limit_is_a_number_under_a_name_of_its_own() {
        let table = table();
        assert_eq!(table.len(), MEANINGS.len());
        assert!(table.values().all(Value::is_number));
        assert_eq!(table["body_bytes"], 1_048_576);
    }
}
