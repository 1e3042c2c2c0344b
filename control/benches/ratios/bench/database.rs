//! The database that is measured.

use std::collections::HashMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use control::control::Control;
use control::settings::load_from;
use shared::wire::signature::ServiceKey;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

use super::{Options, Outcome};

/// A database and the superuser who made it.
#[derive(Clone)]
pub struct Database {
    server: reqwest::Url,
    name: String,
}

impl Database {
    /// The one that the options name.
    ///
    /// # Errors
    /// For what is no URL.
    pub fn of(options: &Options) -> Outcome<Self> {
        Ok(Self { server: reqwest::Url::parse(&options.database_url)?, name: options.name.clone() })
    }

    fn url(&self, user: Option<&str>) -> Outcome<String> {
        let mut url = self.server.clone();
        url.set_path(&self.name);
        if let Some(role) = user {
            url.set_username(&format!("{}_{role}", self.name)).map_err(|()| "the URL takes no user")?;
            url.set_password(Some("secret")).map_err(|()| "the URL takes no password")?;
        }
        Ok(url.into())
    }

    /// A connection of the superuser.
    ///
    /// # Errors
    /// Errors of the database.
    pub async fn admin(&self) -> Outcome<PgConnection> {
        Ok(PgConnection::connect(&self.url(None)?).await?)
    }

    /// The role that serves requests.
    pub fn app(&self) -> String {
        format!("{}_app", self.name)
    }

    /// A control on this database, which feeds no edge.
    ///
    /// # Errors
    /// For settings that do not hold.
    pub fn control(&self) -> Outcome<Control> {
        let key = |id: &str, fill: u8| format!("{id}:{}", URL_SAFE_NO_PAD.encode([fill; 32]));
        let checkpoints = std::env::temp_dir().join(format!("{}-checkpoints", self.name));
        let edge_key = ServiceKey::parse(&key("e1", 5))?;
        let variables = HashMap::from([
            ("WARDGATE_DATABASE_ADMIN_URL", self.url(None)?),
            ("WARDGATE_DATABASE_MIGRATE_URL", self.url(Some("migrate"))?),
            ("WARDGATE_DATABASE_APP_URL", self.url(Some("app"))?),
            ("WARDGATE_DATABASE_RELAY_URL", self.url(Some("relay"))?),
            // A tenant may have a quarter of them: sixteen writers.
            ("WARDGATE_DATABASE_MAX_CONNECTIONS", "64".into()),
            ("WARDGATE_HTTP_AUTHORITY", "control.test".into()),
            ("WARDGATE_HTTP_DIRECT", "true".into()),
            ("WARDGATE_HTTP_SHARED_ORIGIN", "https://shared.test".into()),
            ("WARDGATE_HTTP_SHARED_HOSTS", "shared.test".into()),
            ("WARDGATE_EDGE_ID", "edge-bench".into()),
            ("WARDGATE_EDGE_URL", "http://127.0.0.1:1".into()),
            ("WARDGATE_EDGE_AUTHORITY", "edge.test".into()),
            ("WARDGATE_EDGE_KEK", key("a", 1)),
            ("WARDGATE_EDGE_PUBLIC_KEYS", edge_key.public()),
            ("WARDGATE_SERVICE_KEY", key("c1", 2)),
            ("WARDGATE_ENCRYPTION_KEK", key("rest", 3)),
            ("WARDGATE_AUDIT_CHECKPOINT_KEY", key("audit-1", 6)),
            ("WARDGATE_AUDIT_CHECKPOINT_FOLDER", checkpoints.display().to_string()),
        ]);
        Ok(control::control::new(load_from(None, |name| variables.get(name).cloned())?)?)
    }

    /// Whether an earlier run left it loaded; otherwise it is created empty.
    ///
    /// # Errors
    /// Errors of the database.
    pub async fn is_loaded(&self) -> Outcome<bool> {
        let mut server = PgConnection::connect(self.server.as_str()).await?;
        let exists: bool = sqlx::query_scalar("select exists (select from pg_database where datname = $1)")
            .bind(&self.name)
            .fetch_one(&mut server)
            .await?;
        if exists {
            let loaded = "select to_regclass('public.bench_loaded') is not null";
            if sqlx::query_scalar(loaded).fetch_one(&mut self.admin().await?).await? {
                return Ok(true);
            }
            let drop = format!("drop database {} with (force)", self.name);
            sqlx::raw_sql(AssertSqlSafe(drop)).execute(&mut server).await?;
        }
        sqlx::raw_sql(AssertSqlSafe(format!("create database {}", self.name))).execute(&mut server).await?;
        Ok(false)
    }
}
