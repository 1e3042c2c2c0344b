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
        /// Used only by `wardgate migrate`, to create the roles and to let the owner create schemas.
        /// Needed once; without it the roles must exist already.
        admin_url: Option<DatabaseUrl>, Default::Absent;
        /// Connects as `<prefix>_migrate`: creates and migrates cells.
        migrate_url: DatabaseUrl, Default::Required;
        /// Connects as `<prefix>_app`: serves requests, under row-level security.
        app_url: DatabaseUrl, Default::Required;
        /// Connects as `<prefix>_relay`: finds changes to push, and runs jobs. It uses LISTEN, so it must not pass
        /// through a connection pooler in transaction mode.
        relay_url: DatabaseUrl, Default::Required;
        /// Prefix of the four roles, which belong to the whole PostgreSQL cluster.
        /// Default: the database's name.
        role_prefix: Option<String>, Default::Absent;
        /// The greatest number of tenants with a schema of their own. Thousands make dumps and checkpoints slow.
        max_dedicated_cells: u32, Default::Is("500");
        /// The greatest number of connections for requests. Each tenant's users hold at most a quarter of them, but at least 2.
        max_connections: u32, Default::Is("20");
    }
}

concern! {
    /// The listeners, and the requests that they accept.
    Http in "http" {
        /// Where the API listens.
        listen: SocketAddr, Default::Is("\"127.0.0.1:8788\"");
        /// The authority that forward signatures name: the host name by which the edge calls control.
        authority: String, Default::Required;
        /// Whether requests without a forward signature are accepted, with a Bearer token.
        /// For development, tests and emergencies.
        direct: bool, Default::Is("false");
        /// Where `/metrics` listens, apart from the API.
        metrics_listen: SocketAddr, Default::Is("\"127.0.0.1:8789\"");
        /// A new tenant without a host gets the issuer `<shared origin>/t/<slug>`. Existing tenants keep theirs when
        /// this setting changes.
        shared_origin: String, Default::Required;
        /// Host names that no tenant can have. Comma separated in the environment.
        shared_hosts: List<String>, Default::Is("[]");
    }
}

concern! {
    /// The edge that this control pushes to.
    Edge in "edge" {
        /// The name of the edge. Every value that is sealed for it is bound to this name.
        id: String, Default::Required;
        /// The URL for push, command and drain calls.
        url: String, Default::Required;
        /// The authority that their signatures name: the edge's variable `AUTHORITY`.
        authority: String, Default::Required;
        /// Public keys of the edge's service signatures: `<key id>:<32 bytes in base64url>`, at most two, so that one can
        /// replace the other.
        public_keys: List<PublicKey>, Default::Required;
        /// The edge's key-encryption key: `<key id>:<32 bytes in base64url>`. Every secret at the edge is sealed with it;
        /// the edge has it as `EDGE_KEK_A` or `EDGE_KEK_B`.
        kek: EdgeKek, Default::Required;
        /// How long the answer to a revoking change waits for the edge's confirmation, in milliseconds; 0: not at all.
        in_force_ms: u64, Default::Is("1000");
    }
}

concern! {
    /// The key that signs control's own calls.
    Service in "service" {
        /// An Ed25519 key: `<key id>:<32-byte seed in base64url>`.
        key: OwnKey, Default::Required;
    }
}

concern! {
    /// The keys that wrap secrets at rest.
    Encryption in "encryption" {
        /// The provider that wraps keys in PostgreSQL: `file`, with `kek`, or `aws-kms`, with `kms_key`. Keys that the
        /// other provider wrapped can be unwrapped as long as its key is set, too.
        provider: ProviderKind, Default::Is("\"file\"");
        /// The key of `file`: `<key id>:<32 bytes in base64url>`. Required unless `provider` is `aws-kms`.
        kek: Option<KeyedSecret>, Default::Absent;
        /// The key that `kek` replaces: only unwraps.
        former_kek: Option<KeyedSecret>, Default::Absent;
        /// The symmetric key of `aws-kms`: its ARN or its id, not an alias.
        kms_key: Option<KmsKey>, Default::Absent;
        /// The key that `kms_key` replaces: only unwraps.
        former_kms_key: Option<KmsKey>, Default::Absent;
        /// The region of both. Default: the one in the ARN of `kms_key`.
        kms_region: Option<String>, Default::Absent;
        /// The URL of a VPC endpoint, or of another service with the API of KMS: https, or http on a loopback address.
        /// Default: AWS's own.
        kms_endpoint: Option<ServiceEndpoint>, Default::Absent;
        /// An access key for it. Default: what the AWS SDK finds, in this order: the variables AWS_ACCESS_KEY_ID and
        /// AWS_SECRET_ACCESS_KEY, a profile, a web identity token, the container's role, the instance's role.
        kms_access_key_id: Option<String>, Default::Absent;
        /// The secret of the access key.
        kms_secret_access_key: Option<SecretText>, Default::Absent;
    }
}

concern! {
    /// Checkpoints and archives of the audit logs.
    Audit in "audit" {
        /// The Ed25519 key that signs checkpoints: `<key id>:<32-byte seed in base64url>`.
        checkpoint_key: OwnKey, Default::Required;
        /// Public keys of former checkpoint keys, to verify what they signed: `<key id>:<32 bytes in base64url>`.
        former_checkpoint_keys: List<PublicKey>, Default::Is("[]");
        /// The store of checkpoints and archives: `folder` (`checkpoint_folder`) or `s3` (`bucket`).
        store: StoreKind, Default::Is("\"folder\"");
        /// A folder outside the database and its backups, shared by all control processes. Required unless `store` is `s3`.
        checkpoint_folder: Option<PathBuf>, Default::Absent;
        /// A bucket of S3, or of a service with its API. Best with versioning and object lock: docs/deployment.md.
        bucket: Option<String>, Default::Absent;
        /// The prefix of the names of objects.
        bucket_prefix: String, Default::Is("\"\"");
        /// The bucket's region. Services without regions expect a name, too, often `us-east-1`.
        bucket_region: Option<String>, Default::Absent;
        /// The URL of a VPC endpoint or of another service: https, or http on a loopback address. Default: AWS's own.
        bucket_endpoint: Option<ServiceEndpoint>, Default::Absent;
        /// Whether URLs have the bucket's name in the path, as most services other than AWS need it.
        bucket_path_style: bool, Default::Is("false");
        /// For how many days objects are locked, so that not even the owner of the bucket can delete them: 1 to 36500.
        /// The bucket must have object lock. Default: objects are not locked.
        bucket_lock_days: Option<u32>, Default::Absent;
        /// An access key for it. Default: what the AWS SDK finds, in the order of `encryption.kms_access_key_id`.
        bucket_access_key_id: Option<String>, Default::Absent;
        /// The secret of the access key.
        bucket_secret_access_key: Option<SecretText>, Default::Absent;
    }
}

concern! {
    /// How much a tenant may let its roles be shown of users.
    Visibility in "visibility" {
        /// Bounds of the tenants' setting `visibility`: `<role>.<field>=<clear|masked|absent>`, `*` for every role without
        /// a bound of its own for the field. They apply at once, also to settings that were made before. Without a bound
        /// a tenant may choose any value. Comma separated in the environment.
        clearest: List<Rule>, Default::Is("[]");
    }
}

concern! {
    /// The server that takes the mail of tenants without one of their own. Without `host` such mail waits.
    Mail in "mail" {
        /// The platform's mail server: a name or an address.
        host: Option<String>, Default::Absent;
        /// Its port: 587 for `starttls`, 465 for `implicit`.
        port: u16, Default::Is("587");
        /// `starttls`: STARTTLS is required; `implicit`: TLS from the beginning; `none`: only for a server on a loopback
        /// address.
        tls: MailTls, Default::Is("\"starttls\"");
        /// The user name at the server. Without one there is no authentication.
        username: Option<String>, Default::Absent;
        /// The password of `username`.
        password: Option<SecretText>, Default::Absent;
        /// The sender's address. Required with `host`. SPF, DKIM and DMARC of its domain: docs/mail.md.
        from: Option<String>, Default::Absent;
        /// CA certificates in PEM, trusted in addition to the system's, for this server and for those of tenants.
        ca_file: Option<PathBuf>, Default::Absent;
        /// How long one delivery may take, in seconds: 1 to 600.
        timeout_secs: u64, Default::Is("60");
        /// Host names that tenants may use as mail servers although their addresses are loopback or private ones. Other
        /// such hosts are refused. Comma separated in the environment.
        inside_hosts: List<String>, Default::Is("[]");
    }
}

concern! {
    /// The cost of passwords, and lists that none may be on.
    Passwords in "passwords" {
        /// A filter of breached passwords, built by `wardgate passwords filter build`. It is read at the start, and takes
        /// as much memory as the file has bytes. The filter in the binary is used in addition.
        filter: Option<PathBuf>, Default::Absent;
        /// The greatest number of concurrent Argon2id hashes; each takes 19 MiB.
        concurrency: usize, Default::Is("4");
        /// The greatest number of concurrent checks of imported password hashes. Django's Argon2 takes 100 MiB each, others
        /// up to 256.
        foreign_concurrency: usize, Default::Is("2");
    }
}

concern! {
    /// Logging.
    Log in "log" {
        /// A level, or directives such as `info,sqlx=warn`.
        level: String, Default::Is("\"info\"");
        /// `json`, or `text` for reading at a terminal.
        format: LogFormat, Default::Is("\"json\"");
    }
}
