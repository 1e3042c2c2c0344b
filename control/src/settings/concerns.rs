//! The settings themselves. The macro keeps type, default and documentation in one place, so that
//! the sample file is made from the code and cannot drift from it.

use std::net::SocketAddr;
use std::path::PathBuf;

use serde::Deserialize;
use shared::tenant::visibility::Rule;

use super::values::{
    DatabaseUrl, EdgeKek, KeyedSecret, KmsKey, List, LogFormat, MailTls, OwnKey, ProviderKind, PublicKey,
    SecretText, ServiceEndpoint, StoreKind,
};
use super::{Default, Field};

macro_rules! concern {
    ($(#[doc = $about:expr])+ $name:ident in $table:literal {
        $( $(#[doc = $doc:expr])+ $field:ident : $ty:ty, $default:expr; )+
    }) => {
        $(#[doc = $about])+
        #[derive(Clone, Deserialize)]
        #[serde(deny_unknown_fields)]
        pub struct $name { $( $(#[doc = $doc])+ pub $field: $ty, )+ }

        impl $name {
            pub(super) const FIELDS: &'static [Field] = &[ $( Field {
                table: $table,
                name: stringify!($field),
                doc: &[$($doc),+],
                default: $default,
            }, )+ ];
        }
    };
}

concern! {
    /// PostgreSQL: one database, four roles.
    Database in "database" {
        /// Used by `wardgate migrate` alone, to make the roles and to let the owner make schemas.
        /// Needed once; without it the roles must exist already.
        admin_url: Option<DatabaseUrl>, Default::Absent;
        /// Signs in as `<prefix>_migrate`: makes and changes cells.
        migrate_url: DatabaseUrl, Default::Required;
        /// Signs in as `<prefix>_app`: serves requests, under row security.
        app_url: DatabaseUrl, Default::Required;
        /// Signs in as `<prefix>_relay`: finds what is due and runs jobs. It listens for notifications,
        /// so it must not pass through a pooler in transaction mode.
        relay_url: DatabaseUrl, Default::Required;
        /// Prefix of the four roles, which belong to the whole PostgreSQL cluster.
        /// Default: the database's name.
        role_prefix: Option<String>, Default::Absent;
        /// How many tenants may have a schema of their own. Thousands make dumps and checkpoints slow.
        max_dedicated_cells: u32, Default::Is("500");
        /// Most connections for requests. Each tenant's users hold a quarter of them at a time, at least 2.
        max_connections: u32, Default::Is("20");
    }
}

concern! {
    /// The listeners, and who may speak to them.
    Http in "http" {
        /// Where the API listens.
        listen: SocketAddr, Default::Is("\"127.0.0.1:8788\"");
        /// What a forward signature must name as its authority: the name the edge calls us by.
        authority: String, Default::Required;
        /// Whether requests without a forward signature are taken, by Bearer token alone.
        /// For development, tests and emergencies.
        direct: bool, Default::Is("false");
        /// Where `/metrics` listens, apart from the API.
        metrics_listen: SocketAddr, Default::Is("\"127.0.0.1:8789\"");
        /// Issuer of a tenant that is made without a host: `<shared origin>/t/<slug>`. Those that are made keep theirs
        /// when it changes.
        shared_origin: String, Default::Required;
        /// Host names that belong to no tenant. Comma separated in the environment.
        shared_hosts: List<String>, Default::Is("[]");
    }
}

concern! {
    /// The edge that this control feeds.
    Edge in "edge" {
        /// Its name, part of what every sealed value is bound to.
        id: String, Default::Required;
        /// Where push, command and drain calls are sent.
        url: String, Default::Required;
        /// What those calls name as their authority: the edge's own configured one.
        authority: String, Default::Required;
        /// Who may sign `forward`: `<key id>:<32 bytes in base64url>`, at most two, so that one can
        /// replace the other.
        public_keys: List<PublicKey>, Default::Required;
        /// The edge's key-encryption key: `<key id>:<32 bytes in base64url>`. All that is sealed for the edge is sealed
        /// with it; the edge has it as `EDGE_KEK_A` or `EDGE_KEK_B`.
        kek: EdgeKek, Default::Required;
        /// How long the answer to a change that revokes waits for the edge's confirmation, in milliseconds; 0: not at all.
        in_force_ms: u64, Default::Is("1000");
    }
}

concern! {
    /// How this control signs its own calls.
    Service in "service" {
        /// Ed25519: `<key id>:<32-byte seed in base64url>`.
        key: OwnKey, Default::Required;
    }
}

concern! {
    /// What wraps secrets at rest.
    Encryption in "encryption" {
        /// Who wraps secrets in PostgreSQL from now on: `file`, with `kek`, or `aws-kms`, with `kms_key`. What the
        /// other one wrapped still opens while its key is given, too.
        provider: ProviderKind, Default::Is("\"file\"");
        /// The key of `file`: `<key id>:<32 bytes in base64url>`. Needed unless `provider` is `aws-kms`.
        kek: Option<KeyedSecret>, Default::Absent;
        /// The key that `kek` replaces: it opens what it wrapped, and wraps nothing.
        former_kek: Option<KeyedSecret>, Default::Absent;
        /// The symmetric key of `aws-kms`: its ARN or its id, no alias.
        kms_key: Option<KmsKey>, Default::Absent;
        /// The key that `kms_key` replaces: it opens what it wrapped, and wraps nothing.
        former_kms_key: Option<KmsKey>, Default::Absent;
        /// The region of both. Default: the one in the ARN of `kms_key`.
        kms_region: Option<String>, Default::Absent;
        /// Another URL than AWS's own, for a VPC endpoint or another service that speaks the API of KMS: https, or
        /// http on a loopback address.
        kms_endpoint: Option<ServiceEndpoint>, Default::Absent;
        /// An access key for it. Default: what the AWS SDK finds, in this order: the variables AWS_ACCESS_KEY_ID and
        /// AWS_SECRET_ACCESS_KEY, a profile, a web identity token, the container's role, the instance's role.
        kms_access_key_id: Option<String>, Default::Absent;
        /// Its secret.
        kms_secret_access_key: Option<SecretText>, Default::Absent;
    }
}

concern! {
    /// What proves how far the audit logs had come.
    Audit in "audit" {
        /// Signs checkpoints. Ed25519: `<key id>:<32-byte seed in base64url>`.
        checkpoint_key: OwnKey, Default::Required;
        /// Those that signed before, so that what they signed is verified still:
        /// `<key id>:<32 bytes in base64url>`.
        former_checkpoint_keys: List<PublicKey>, Default::Is("[]");
        /// Where checkpoints and archives are written: `folder`, into `checkpoint_folder`, or `s3`, into `bucket`.
        store: StoreKind, Default::Is("\"folder\"");
        /// A folder outside the database and its backups, the same for every control. Needed unless `store` is `s3`.
        checkpoint_folder: Option<PathBuf>, Default::Absent;
        /// A bucket of S3, or of a service that speaks its API. Best with versions and object lock: docs/deployment.md.
        bucket: Option<String>, Default::Absent;
        /// What the names of its objects begin with.
        bucket_prefix: String, Default::Is("\"\"");
        /// Its region. A service without regions has a name for it all the same, often `us-east-1`.
        bucket_region: Option<String>, Default::Absent;
        /// Another URL than AWS's own, for a VPC endpoint or another service: https, or http on a loopback address.
        bucket_endpoint: Option<ServiceEndpoint>, Default::Absent;
        /// Whether the bucket's name stands in the path of its URLs, as most other services than AWS want it.
        bucket_path_style: bool, Default::Is("false");
        /// For how many days no one can overwrite or delete what is written, the operator of the bucket included: 1
        /// to 36500. The bucket must have object lock. Without it, nothing is locked by us.
        bucket_lock_days: Option<u32>, Default::Absent;
        /// An access key for it. Default: what the AWS SDK finds, in the order of `encryption.kms_access_key_id`.
        bucket_access_key_id: Option<String>, Default::Absent;
        /// Its secret.
        bucket_secret_access_key: Option<SecretText>, Default::Absent;
    }
}

concern! {
    /// How much a tenant may let its roles be shown of users.
    Visibility in "visibility" {
        /// Bounds of what tenants choose: `<role>.<field>=<clear|masked|absent>`, `*` for every role without a bound of
        /// its own for the field. They count at once, also over what was chosen before. Without one a tenant may choose
        /// all. The fields are those of `wardgate tenant settings`. Comma separated in the environment.
        clearest: List<Rule>, Default::Is("[]");
    }
}

concern! {
    /// The server that takes the mail of tenants without one of their own. Without `host` such mail waits.
    Mail in "mail" {
        /// A name or an address.
        host: Option<String>, Default::Absent;
        /// Its port: 587 for `starttls`, 465 for `implicit`.
        port: u16, Default::Is("587");
        /// `starttls`: encrypted before anything is said, or not sent; `implicit`: encrypted from the beginning; `none`: for a
        /// server on a loopback address alone.
        tls: MailTls, Default::Is("\"starttls\"");
        /// Signs in at it. Without one, nothing does.
        username: Option<String>, Default::Absent;
        /// The password of `username`.
        password: Option<SecretText>, Default::Absent;
        /// The address that mail comes from. Needed with `host`. SPF, DKIM and DMARC of its domain: docs/mail.md.
        from: Option<String>, Default::Absent;
        /// Certificates in PEM that are trusted beside the system's, for this server and for those of tenants.
        ca_file: Option<PathBuf>, Default::Absent;
        /// How long one delivery may take, in seconds: 1 to 600.
        timeout_secs: u64, Default::Is("60");
        /// Hosts that servers of tenants may be although their addresses are of this machine or of a private network.
        /// Others are not connected to. Comma separated in the environment.
        inside_hosts: List<String>, Default::Is("[]");
    }
}

concern! {
    /// The cost of passwords, and lists that none may be on.
    Passwords in "passwords" {
        /// A filter of breached passwords that `wardgate passwords filter build` made. It is read at the start, and takes
        /// as much memory as the file has bytes. What ships with the binary is asked in any case.
        filter: Option<PathBuf>, Default::Absent;
        /// How many Argon2id hashes may run at once; each takes 19 MiB.
        concurrency: usize, Default::Is("4");
        /// How many checks of passwords that another service hashed may run at once. Django's Argon2
        /// takes 100 MiB each, dearer ones up to 256.
        foreign_concurrency: usize, Default::Is("2");
    }
}

concern! {
    /// What is logged.
    Log in "log" {
        /// A level, or directives such as `info,sqlx=warn`.
        level: String, Default::Is("\"info\"");
        /// `json` for machines, `text` for people.
        format: LogFormat, Default::Is("\"json\"");
    }
}
