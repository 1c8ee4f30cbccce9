//! One connection, which is ours alone: its settings are set once.

use std::path::PathBuf;
use std::time::Duration;

use mysql_async::prelude::Queryable;
use mysql_async::{ClientIdentity, Conn, Opts, OptsBuilder, Row, SslOpts, Value};
use tracing::info;

use super::config::Config;
use crate::certificates::{self, TlsError};
use crate::failure::Failure;
use crate::hosts::{Wanted, all_failed};
use crate::settings::{Endpoint, TlsConfig};

/// How long a silent connection lives before the network is asked whether it is still there.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(30);
/// Largest packet that we take: a batch of texts.
const PACKET_BYTES_MAX: usize = 64 << 20;
/// Class that says that the server did not take the password.
const PASSWORD_REFUSED: &str = "1045";
/// Time for the goodbye to the server.
const CLOSE_GRACE: Duration = Duration::from_millis(500);

/// What does not hold for a statement alone: times in UTC, no writing, and no long wait for a lock.
const SETTINGS: &str = "SET SESSION time_zone = '+00:00', SESSION sql_mode = '', SESSION lock_wait_timeout = 1";
const READ_ONLY: &str = "SET SESSION TRANSACTION READ ONLY";

/// A connection. Closed when dropped.
pub struct Connection {
    conn: Conn,
    endpoint: Endpoint,
    is_mariadb: bool,
    /// The limit that statements have.
    limit: Option<Duration>,
    statements_sent: i64,
}

impl Connection {
    /// Connects, to the first of the endpoints that answers and is what is wanted.
    pub async fn open(config: &Config) -> Result<Connection, Failure> {
        let mut failures = Vec::new();
        for (endpoint, wanted) in config.hosts.attempts(&config.endpoint) {
            match Connection::open_at(endpoint, wanted, config).await {
                Ok(connection) => return Ok(connection),
                Err(failure) => failures.push((endpoint.to_string(), failure)),
            }
        }
        Err(all_failed(failures))
    }

    async fn open_at(endpoint: &Endpoint, wanted: Wanted, config: &Config) -> Result<Connection, Failure> {
        let opening = Connection::try_open(endpoint, wanted, config);
        let opened = tokio::time::timeout(config.connect_timeout, opening).await;
        let opened = opened.unwrap_or_else(|_| {
            let message = format!("no connection to {endpoint} within {:?}", config.connect_timeout);
            Err(Failure::refused("timeout", message))
        });
        if opened.as_ref().is_err_and(|failure| failure.class == PASSWORD_REFUSED) {
            config.password.reject().await;
        }
        opened.map_err(Failure::while_connecting)
    }

    async fn try_open(endpoint: &Endpoint, wanted: Wanted, config: &Config) -> Result<Connection, Failure> {
        let mut conn = Conn::new(options(endpoint, config).await?).await?;
        conn.query_drop(SETTINGS).await?;
        conn.query_drop(READ_ONLY).await?;
        let version: Option<String> = conn.query_first("SELECT VERSION()").await?;
        if wanted.is_particular() {
            let read_only: Option<String> = conn.query_first("SELECT CAST(@@GLOBAL.read_only AS CHAR)").await?;
            wanted.check(is_read_only(&read_only.unwrap_or_default()))?;
        }
        let is_mariadb = version.is_some_and(|version| version.contains("MariaDB"));
        Ok(Connection { conn, endpoint: endpoint.clone(), is_mariadb, limit: None, statements_sent: 3 })
    }

    /// Whether MariaDB answers.
    pub fn is_mariadb(&self) -> bool {
        self.is_mariadb
    }

    /// Statements sent since the last call.
    pub fn take_statements_sent(&mut self) -> i64 {
        std::mem::take(&mut self.statements_sent)
    }

    /// From now on the server ends a statement that takes longer.
    pub async fn limit_statements(&mut self, limit: Duration) -> Result<(), Failure> {
        if self.limit == Some(limit) {
            return Ok(());
        }
        let sql = match self.is_mariadb {
            true => format!("SET SESSION max_statement_time = {}", limit.as_secs_f64()),
            false => format!("SET SESSION max_execution_time = {}", limit.as_millis().max(1)),
        };
        self.statements_sent += 1;
        self.conn.query_drop(sql).await?;
        self.limit = Some(limit);
        Ok(())
    }

    /// Rows of a statement.
    pub async fn query(&mut self, sql: &str) -> Result<Vec<Row>, Failure> {
        self.statements_sent += 1;
        Ok(self.conn.query(sql).await?)
    }

    /// Names of the columns and rows of a statement, all as texts.
    pub async fn texts(&mut self, sql: &str) -> Result<(Vec<String>, Vec<Vec<Option<String>>>), Failure> {
        self.statements_sent += 1;
        let mut result = self.conn.query_iter(sql).await?;
        let columns: Vec<String> = result.columns_ref().iter().map(|column| column.name_str().into_owned()).collect();
        let rows: Vec<Row> = result.collect().await?;
        let text = |value: Value| match value {
            Value::Bytes(bytes) => Some(String::from_utf8_lossy(&bytes).into_owned()),
            // The driver asks for texts.
            _ => None,
        };
        Ok((
            columns,
            rows.into_iter()
                .map(|row| row.unwrap_raw().into_iter().map(|value| value.and_then(text)).collect())
                .collect(),
        ))
    }

    /// The only row of a statement.
    pub async fn query_one(&mut self, sql: &str) -> Result<Row, Failure> {
        let row = self.query(sql).await?.into_iter().next();
        row.ok_or_else(|| Failure::protocol("the server gave no row"))
    }

    /// Closes, and waits until the server was told, for a moment.
    pub async fn close(self) {
        // Whatever comes of it, the connection is cut afterwards.
        let _ = tokio::time::timeout(CLOSE_GRACE, self.conn.disconnect()).await;
    }

    /// Gives the connection up in the middle of a statement: asks the server to end it, for `limit` at most.
    pub async fn abandon(self, config: &Config, limit: Duration) {
        let id = self.conn.id();
        drop(self.conn);
        let killed = async {
            let mut conn = Conn::new(options(&self.endpoint, config).await?).await?;
            conn.query_drop(format!("KILL {id}")).await?;
            conn.disconnect().await?;
            Ok::<(), Failure>(())
        };
        if !matches!(tokio::time::timeout(limit, killed).await, Ok(Ok(()))) {
            info!("could not ask the server to end a statement; its limit will");
        }
    }
}

/// Whether `read_only` says that there is to be no writing; newer versions of MariaDB have degrees of it.
pub fn is_read_only(value: &str) -> bool {
    !matches!(value, "" | "0" | "OFF")
}

async fn options(endpoint: &Endpoint, config: &Config) -> Result<Opts, Failure> {
    let password = config.password.password().await?;
    let mut options = OptsBuilder::default()
        .user(Some(&config.username))
        .db_name(Some(&config.database).filter(|database| !database.is_empty()))
        .pass(password.map(|password| password.expose().to_owned()))
        .tcp_keepalive(Some(KEEPALIVE_IDLE))
        .max_allowed_packet(Some(PACKET_BYTES_MAX))
        .wait_timeout(Some(28_800))
        .stmt_cache_size(0_usize)
        .prefer_socket(false);
    options = match endpoint.is_socket() {
        true => options.socket(Some(&endpoint.host)).prefer_socket(true),
        false => options.ip_or_hostname(&endpoint.host).tcp_port(endpoint.port),
    };
    if config.tls.is_on(endpoint) {
        options = options.ssl_opts(Some(tls(&config.tls).map_err(|error| Failure::refused("tls", error.to_string()))?));
    }
    Ok(options.into())
}

fn tls(config: &TlsConfig) -> Result<SslOpts, TlsError> {
    let mut tls = SslOpts::default()
        .with_danger_accept_invalid_certs(config.insecure_skip_verify)
        .with_danger_skip_domain_validation(config.insecure_skip_verify)
        // The driver wants some, even if it asks none of them.
        .with_disable_built_in_roots(!config.insecure_skip_verify);
    if !config.insecure_skip_verify {
        let authorities = certificates::authorities(config)?;
        tls = tls.with_root_certs(authorities.iter().map(|authority| authority.to_vec().into()).collect());
    }
    // The driver takes a chain in PEM alone, so it reads the files again.
    let files = certificates::identity(config)?.and(config.cert_file.as_ref().zip(config.key_file.as_ref()));
    let path = |file: &String| PathBuf::from(file).into();
    let identity = files.map(|(cert_file, key_file)| ClientIdentity::new(path(cert_file), path(key_file)));
    Ok(tls.with_client_identity(identity))
}
