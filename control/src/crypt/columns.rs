//! How every column of the database is stored, and why. A test compares this list with the catalogue of PostgreSQL,
//! so a new column without a line here fails the test.

use self::Rest::{Clear, Hashed, Sealed};

/// How the values of a column are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rest {
    /// Encrypted: AES-256-GCM under the key of the user or the tenant, or wrapped by the key provider.
    Sealed,
    /// A digest. It is keyed where an attacker could guess the value that was hashed.
    Hashed,
    /// As it is.
    Clear,
}

/// Columns of a table that are stored in the same way for the same reason.
pub struct Columns {
    /// How.
    pub rest: Rest,
    /// Why that is right.
    pub why: &'static str,
    /// Their names.
    pub names: &'static [&'static str],
}

/// A table: its name, and every column of it.
pub type Table = (&'static str, &'static [Columns]);

const fn columns(rest: Rest, why: &'static str, names: &'static [&'static str]) -> Columns {
    Columns { rest, why, names }
}

const TENANT: Columns = columns(Clear, "row security compares it", &["tenant_id"]);

const SCHEMA_VERSIONS: Table = (
    "schema_versions",
    &[columns(
        Clear,
        "which migrations ran: a table of the library sqlx",
        &["version", "description", "installed_on", "success", "checksum", "execution_time"],
    )],
);

/// The tables of the schema `platform`.
pub const PLATFORM: &[Table] = &[
    (
        "audit_archives",
        &[TENANT, columns(Clear, "what archives publish of themselves", &["starts", "ends", "manifest"])],
    ),
    (
        "audit_checkpoints",
        &[
            TENANT,
            columns(Clear, "numbers that checkpoints publish", &["history", "position"]),
            columns(Clear, "when something is due", &["due_since"]),
        ],
    ),
    (
        "audit_heads",
        &[
            TENANT,
            columns(Clear, "position and time of an entry tell of no user", &["position", "recorded_at"]),
            columns(Hashed, "a digest of an entry as it is stored", &["hash"]),
        ],
    ),
    (
        "captchas",
        &[
            TENANT,
            columns(Clear, "clients are told it, or it is a choice of the tenant's", &["policy"]),
            columns(Sealed, "a service knows the tenant by it, under the tenant's key", &["wrapped"]),
            columns(Clear, "a time", &["updated_at"]),
        ],
    ),
    (
        "cells",
        &[columns(
            Clear,
            "names of schemas and their state",
            &["name", "kind", "version", "created_at", "migrated_at"],
        )],
    ),
    (
        "drains",
        &[columns(
            Clear,
            "how far an outbox was read, and errors without personal data",
            &["edge", "reseal_to", "cursor", "drained_at", "last_error"],
        )],
    ),
    (
        "edge_lanes",
        &[
            TENANT,
            columns(
                Clear,
                "when something is sent next, and errors without personal data",
                &["lane", "leased_until", "attempts", "retry_at", "failing_since", "last_error"],
            ),
        ],
    ),
    (
        "edge_rows",
        &[
            TENANT,
            columns(
                Clear,
                "ids and keyed hashes that the edge holds, too",
                &["kind", "subject", "rev", "urgent", "sealed_by", "deleted_at"],
            ),
        ],
    ),
    ("first_admins", &[TENANT, columns(Sealed, "a profile and a password verifier", &["wrapped"])]),
    (
        "former_claims",
        &[TENANT, columns(Clear, "tokens say it", &["issuer", "audience", "ended_at", "until"])],
    ),
    (
        "held_facts",
        &[
            TENANT,
            columns(Clear, "ids of facts and their order", &["id", "place"]),
            columns(Clear, "ids, and the client's address until the tenant takes the fact", &["fact"]),
        ],
    ),
    ("hosts", &[TENANT, columns(Clear, "names in DNS", &["host", "in_letters", "position"])]),
    (
        "idempotency_keys",
        &[
            TENANT,
            columns(Hashed, "keyed: what was asked for may hold personal data", &["claim", "body"]),
            columns(Clear, "which object was made", &["status", "object", "created_at"]),
        ],
    ),
    ("issuers", &[TENANT, columns(Clear, "tokens say it", &["issuer"])]),
    ("key_ids", &[TENANT, columns(Clear, "published", &["kid"])]),
    // A view of the queue, whose tables are its library's.
    (
        "queue",
        &[
            TENANT,
            columns(Clear, "what a job names: ids, by the type of each kind", &["id", "kind", "payload"]),
            columns(
                Clear,
                "its state and times, and errors without personal data",
                &["state", "attempts", "most_attempts", "run_at", "reason", "created_at", "updated_at"],
            ),
        ],
    ),
    (
        "revisions",
        &[
            TENANT,
            columns(
                Clear,
                "counters and times",
                &[
                    "history",
                    "rev",
                    "mark_history",
                    "mark",
                    "confirmed_at",
                    "swept",
                    "halted_at",
                    "halted_why",
                ],
            ),
        ],
    ),
    (
        "lookup_rotations",
        &[
            TENANT,
            columns(
                Clear,
                "how far a rotation is, and when",
                &["version", "stage", "began_at", "rev", "switched_at", "confirmed_at", "forget", "due_at"],
            ),
        ],
    ),
    (
        "roots",
        &[
            TENANT,
            columns(Clear, "which root", &["kind", "version", "created_at"]),
            columns(Sealed, "MAC keys are derived from it", &["wrapped"]),
        ],
    ),
    SCHEMA_VERSIONS,
    (
        "session_rotations",
        &[
            TENANT,
            columns(Clear, "which root, and times", &["version", "begun_at", "sign_from", "remove_at"]),
        ],
    ),
    (
        "setup_tokens",
        &[
            columns(Hashed, "of 256 random bits, so it needs no key", &["digest"]),
            columns(Clear, "times", &["expires_at", "used_at"]),
        ],
    ),
    (
        "mail_senders",
        &[
            TENANT,
            columns(Sealed, "it holds a password", &["wrapped"]),
            columns(Clear, "a time", &["updated_at"]),
        ],
    ),
    (
        "signing_keys",
        &[
            TENANT,
            columns(
                Clear,
                "published, or times and states",
                &[
                    "kid",
                    "state",
                    "bits",
                    "public_jwk",
                    "imported",
                    "created_at",
                    "confirmed_at",
                    "sign_from",
                    "remove_at",
                    "ended_at",
                ],
            ),
            columns(Sealed, "it signs tokens", &["wrapped_private"]),
        ],
    ),
    (
        "tenant_keys",
        &[
            TENANT,
            columns(
                Clear,
                "which key, from when until when, and which one wrapped it",
                &["version", "created_at", "retired_at", "wrapped_by"],
            ),
            columns(Sealed, "wrapped by the key provider: it opens all else", &["wrapped"]),
        ],
    ),
    (
        "tenants",
        &[
            columns(Clear, "row security compares it elsewhere", &["id"]),
            columns(
                Clear,
                "what an organisation publishes of itself, and its settings",
                &[
                    "slug",
                    "name",
                    "search",
                    "status",
                    "is_platform",
                    "isolation",
                    "cell",
                    "issuer",
                    "audience",
                    "settings",
                    "needs",
                    "user_id_form",
                    "legacy",
                    "foreign_left",
                    "foreign_until",
                    "imported_at",
                    "longest_session_secs",
                    "created_at",
                    "updated_at",
                    "deleted_at",
                ],
            ),
        ],
    ),
];

/// The tables of each cell.
pub const CELL: &[Table] = &[
    (
        "audit_entries",
        &[
            TENANT,
            columns(
                Clear,
                "filters compare it; ids, not names",
                &[
                    "position",
                    "recorded_at",
                    "id",
                    "at",
                    "actor_kind",
                    "actor",
                    "action",
                    "outcome",
                    "target",
                    "event_id",
                    "request_id",
                ],
            ),
            columns(
                Sealed,
                "the client's address and details, under the key of whom they tell of",
                &["body"],
            ),
            columns(Hashed, "keyed: all addresses can be tried", &["client_key"]),
            columns(Hashed, "chains entries as they are stored", &["hash"]),
        ],
    ),
    (
        "audit_keys",
        &[TENANT, columns(Sealed, "the key of the tenant's audit log, under the tenant's", &["wrapped"])],
    ),
    (
        "authenticators",
        &[
            TENANT,
            columns(Clear, "ids", &["user_id", "id"]),
            columns(Sealed, "what its owner calls it, under the user's key", &["name"]),
            columns(Sealed, "the seed of one-time codes, under the tenant's key", &["wrapped"]),
            columns(
                Clear,
                "times, a counter, and a step, which is a time",
                &["created_at", "confirmed_at", "tries", "last_step", "last_used_at"],
            ),
        ],
    ),
    (
        "branches",
        &[
            TENANT,
            columns(Clear, "names of parts of an organisation, not of people", &["name", "folded"]),
            columns(
                Clear,
                "the tree, and times",
                &["id", "parent", "path", "archived_at", "created_at", "updated_at"],
            ),
        ],
    ),
    ("foreign_tries", &[TENANT, columns(Clear, "a counter under an id", &["subject", "began_at", "tries"])]),
    (
        "identifiers",
        &[
            TENANT,
            columns(Hashed, "keyed: user names and addresses can be guessed", &["hash"]),
            columns(Clear, "whose it is, and under which root's key", &["user_id", "kind", "version"]),
        ],
    ),
    ("legacy_deleted", &[TENANT, columns(Clear, "an id of another service", &["legacy_id"])]),
    ("legacy_ids", &[TENANT, columns(Clear, "a counter", &["next"])]),
    (
        "legacy_imports",
        &[
            TENANT,
            columns(Clear, "whose, and when", &["user_id", "left_at"]),
            columns(Hashed, "keyed: names and hashes can be guessed", &["row_digest", "password_digest"]),
        ],
    ),
    (
        "legacy_totp",
        &[
            TENANT,
            columns(Clear, "ids", &["user_id", "device"]),
            columns(Sealed, "the seed of one-time codes", &["wrapped"]),
        ],
    ),
    (
        "links",
        &[
            TENANT,
            columns(Hashed, "of 256 random bits, so it needs no key", &["digest"]),
            columns(
                Clear,
                "what it is good for, whose it is, and times",
                &["kind", "user_id", "request_id", "holder", "created_at", "expires_at"],
            ),
        ],
    ),
    (
        "mail_counts",
        &[
            TENANT,
            columns(Hashed, "keyed: addresses can be guessed", &["counter"]),
            columns(Clear, "a counter", &["remaining", "ends_at"]),
        ],
    ),
    (
        "mails",
        &[
            TENANT,
            columns(
                Clear,
                "ids, a kind of mail, and times",
                &["id", "kind", "user_id", "counted", "created_at", "not_after"],
            ),
            columns(Sealed, "the row's key, under the tenant's", &["wrapped_key"]),
            columns(Sealed, "an address, names and a link, under the row's key", &["sealed"]),
        ],
    ),
    (
        "requests",
        &[
            TENANT,
            columns(
                Clear,
                "what is asked for, about which user, and times",
                &["id", "kind", "user_id", "created_at", "expires_at"],
            ),
            columns(Hashed, "keyed: addresses can be guessed", &["sought"]),
            columns(Sealed, "the key of the row, under the tenant's", &["wrapped_key"]),
            columns(
                Sealed,
                "names and addresses of those who are no users, under the row's key",
                &["sealed"],
            ),
        ],
    ),
    (
        "password_history",
        &[
            TENANT,
            columns(Clear, "whose, and the order", &["user_id", "epoch"]),
            columns(Sealed, "a password verifier, under the tenant's key", &["wrapped"]),
        ],
    ),
    ("password_tries", &[TENANT, columns(Clear, "a counter under an id", &["user_id", "began_at", "tries"])]),
    (
        "profile_entries",
        &[
            TENANT,
            columns(
                Clear,
                "ids, a kind of entry, its order, and times",
                &["user_id", "id", "section", "place", "created_at", "updated_at"],
            ),
            columns(Sealed, "what a user tells of themselves, under the user's key", &["sealed"]),
            columns(
                Clear,
                "certifications that expire soon are looked for; a date alone says only that one does",
                &["expires_on"],
            ),
        ],
    ),
    (
        "recovery_codes",
        &[
            TENANT,
            columns(Hashed, "keyed, of 80 random bits", &["hash"]),
            columns(Clear, "whose, and when it was used", &["user_id", "used_at"]),
        ],
    ),
    (
        "recovery_sets",
        &[
            TENANT,
            columns(Clear, "whose, and a time", &["user_id", "created_at"]),
            columns(Sealed, "the key of hashes, under the tenant's key", &["wrapped"]),
        ],
    ),
    ("request_counts", &[TENANT, columns(Clear, "a counter", &["kind", "began_at", "made"])]),
    (
        "roles",
        &[
            TENANT,
            columns(
                Clear,
                "names of roles, which tokens carry, and what administrators write about them",
                &["name", "rank", "predefined", "title", "description", "permissions", "branch"],
            ),
            columns(Clear, "times", &["created_at", "updated_at"]),
        ],
    ),
    (
        "seen_devices",
        &[
            TENANT,
            columns(Hashed, "keyed, of a kind of device or a country", &["mark"]),
            columns(Clear, "whose, and when it was seen last", &["user_id", "kind", "seen_at"]),
        ],
    ),
    (
        "user_keys",
        &[
            TENANT,
            columns(Clear, "whose", &["user_id"]),
            columns(Sealed, "the user's data key, under the tenant's", &["wrapped"]),
        ],
    ),
    SCHEMA_VERSIONS,
    (
        "search_tokens",
        &[
            TENANT,
            columns(Clear, "whose, and under which root's key", &["user_id", "version"]),
            columns(Hashed, "keyed: pieces of names, of which no backup has any", &["tokens"]),
        ],
    ),
    (
        "user_roles",
        &[
            TENANT,
            columns(
                Clear,
                "which user has which role, and when they were made",
                &["user_id", "role", "created_at"],
            ),
        ],
    ),
    (
        "users",
        &[
            TENANT,
            columns(
                Sealed,
                "personal, under the user's key",
                &["username", "email", "first_name", "last_name", "phone"],
            ),
            columns(Sealed, "under the tenant's key", &["wrapped_verifier", "foreign_hash"]),
            columns(
                Clear,
                "filters, orders and the edge's rows are made of it",
                &[
                    "id",
                    "status",
                    "email_verified",
                    "access_epoch",
                    "session_epoch",
                    "password_epoch",
                    "password_changed_at",
                    "password_due",
                    "password_valid_until",
                    "last_login",
                    "network_mailed_at",
                    "created_at",
                    "updated_at",
                    "needs",
                    "branch",
                ],
            ),
            columns(Clear, "mails are written in it", &["language"]),
            columns(Clear, "a percentage, by which lists are filtered", &["profile_completion"]),
            columns(
                Clear,
                "an id of a session, which tokens say, and epochs",
                &["kept_session", "kept_from", "kept_epoch"],
            ),
            columns(Clear, "what a check costs must be known without opening anything", &["foreign_format"]),
            columns(Clear, "an id of another service, which tokens say", &["legacy_id"]),
        ],
    ),
];
