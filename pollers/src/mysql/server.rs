//! What a server is and what it offers, found out once per connection by asking for it, never by its version.

use std::collections::{BTreeMap, BTreeSet};

use super::connection::{Connection, is_read_only};
use super::value::Columns;
use super::{advice, view, views};
use crate::failure::Failure;
use crate::poll::Capability;
use crate::view::Catalog;

/// A server as it was found.
#[derive(Debug, Clone, Default)]
pub struct Server {
    /// MariaDB, and not MySQL.
    pub is_mariadb: bool,
    /// Version in the server's words.
    pub version: String,
    /// `server_uuid` of MySQL, `server_uid` of MariaDB; empty where there is none.
    pub system_identifier: String,
    /// Its own name and port.
    pub address: String,
    /// Start of the server, in µs since the epoch.
    pub started_at: i64,
    /// It takes no writes: a replica, most likely.
    pub read_only: bool,
    /// `max_connections`.
    pub connections_max: Option<i64>,
    /// Statements that the digest table can hold.
    pub digests_max: Option<i64>,
    /// Bytes after which the text of a running statement is cut.
    pub sql_text_max: usize,
    /// Columns of the digest table; none if it cannot be read.
    pub digest_columns: BTreeSet<String>,
    /// Columns of the views that are read.
    pub catalog: Catalog,
    /// Where sessions are read from.
    pub sessions: Sessions,
    /// What is missing.
    pub missing: Vec<Capability>,
    /// What this version does not have.
    pub absent: Vec<Capability>,
    /// Settings that make some of it poorer than it could be.
    pub advice: Vec<Capability>,
}

/// What tells about sessions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sessions {
    /// `performance_schema.threads`; otherwise the list of processes.
    pub threads: bool,
    /// `information_schema.innodb_trx` tells which idle sessions have a transaction open.
    pub transactions: bool,
}

const VARIABLES: &str = "SHOW GLOBAL VARIABLES WHERE Variable_name IN ('version', 'server_uuid', 'server_uid', 'hostname', 'port', \
     'performance_schema', 'performance_schema_max_sql_text_length', 'max_connections', \
     'performance_schema_digests_size', 'performance_schema_max_digest_length', 'userstat')";
/// What each poll asks first. A multiplexer may lead other statements to other servers.
pub const FACTS: &str = "SELECT CAST(UNIX_TIMESTAMP(NOW(6)) * 1000000 AS SIGNED) AS now, \
     CAST(@@GLOBAL.read_only AS CHAR) AS read_only";
const CONSUMERS: &str = "SELECT NAME AS name, ENABLED AS enabled FROM performance_schema.setup_consumers";
const DIGEST_COLUMNS: &str = "SELECT COLUMN_NAME AS name FROM information_schema.COLUMNS \
     WHERE TABLE_SCHEMA = 'performance_schema' AND TABLE_NAME = 'events_statements_summary_by_digest'";
const TRANSACTIONS: &str = "SELECT trx_id FROM information_schema.innodb_trx LIMIT 1";
/// Rights for a whole server of MySQL. The last shows sizes of tables, and gives no right to read them.
pub const RIGHTS_OF_MYSQL: &str = "PROCESS, REPLICATION CLIENT, SHOW VIEW";
/// The same for MariaDB.
pub const RIGHTS_OF_MARIADB: &str = "PROCESS, BINLOG MONITOR, SLAVE MONITOR, SHOW VIEW";
/// Bytes that hold most statements whole.
const DIGEST_LENGTH: i64 = 4096;
/// The cut of a text where no variable says it.
const SQL_TEXT_MAX: usize = 1024;

impl Server {
    /// Asks a server.
    pub async fn probe(connection: &mut Connection) -> Result<Server, Failure> {
        let is_mariadb = connection.is_mariadb();
        let variables = pairs(connection, VARIABLES).await?;
        let of = |name: &str| variables.get(name).cloned().unwrap_or_default();
        let number = |name: &str| of(name).parse::<i64>().ok();
        let status = if is_mariadb { "information_schema" } else { "performance_schema" };
        let started_at = format!(
            "SELECT CAST(UNIX_TIMESTAMP() AS SIGNED) - CAST(VARIABLE_VALUE AS SIGNED) AS started_at \
             FROM {status}.GLOBAL_STATUS WHERE VARIABLE_NAME = 'Uptime'"
        );
        let started_at = connection.query_one(&started_at.replace("GLOBAL_STATUS", "global_status")).await?;
        let facts = connection.query_one(FACTS).await?;
        let mut server = Server {
            is_mariadb,
            version: of("version"),
            system_identifier: of("server_uuid") + &of("server_uid"),
            address: format!("{}:{}", of("hostname"), of("port")),
            started_at: Columns(&started_at).required::<i64>("started_at")? * 1_000_000,
            read_only: is_read_only(&Columns(&facts).text("read_only")?.unwrap_or_default()),
            connections_max: number("max_connections"),
            digests_max: number("performance_schema_digests_size"),
            sql_text_max: number("performance_schema_max_sql_text_length")
                .and_then(|size| usize::try_from(size).ok())
                .unwrap_or(SQL_TEXT_MAX),
            ..Server::default()
        };
        let lengths = ["performance_schema_max_digest_length", "performance_schema_max_sql_text_length"];
        let short = lengths.into_iter().filter(|name| number(name).is_some_and(|length| length < DIGEST_LENGTH));
        server.advice.extend(short.map(short_texts));
        server.advice.extend((of("userstat") == "OFF").then(advice::no_user_statistics));
        server.catalog = view::catalog(connection, views::all()).await?;
        server.absent = views::all().filter_map(|view| view.absent(&server.catalog)).collect();
        match of("performance_schema") == "ON" {
            true => server.probe_performance_schema(connection).await?,
            false => server.missing.push(no_performance_schema()),
        }
        match connection.query(TRANSACTIONS).await {
            Ok(_) => server.sessions.transactions = true,
            Err(failure) if failure.is_missing_on_mysql() => server.missing.push(no_process()),
            Err(failure) => return Err(failure),
        }
        Ok(server)
    }

    async fn probe_performance_schema(&mut self, connection: &mut Connection) -> Result<(), Failure> {
        let consumers = match pairs(connection, CONSUMERS).await {
            Err(failure) if failure.is_missing_on_mysql() => {
                self.missing.push(no_grant());
                return Ok(());
            }
            consumers => consumers?,
        };
        let is_on = |name: &str| consumers.get(name).is_some_and(|enabled| enabled == "YES");
        self.sessions.threads = is_on("thread_instrumentation");
        if !is_on("global_instrumentation") {
            self.missing.push(consumer("global_instrumentation", "nothing is counted by performance_schema"));
        } else if !self.sessions.threads {
            self.missing.push(consumer("thread_instrumentation", "sessions have no waits and no transactions"));
        }
        match advice::instruments(connection).await {
            Err(failure) if failure.is_missing_on_mysql() => {}
            advice => self.advice.extend(advice?),
        }
        for row in connection.query(DIGEST_COLUMNS).await? {
            self.digest_columns.extend(Columns(&row).text("name")?);
        }
        if self.digest_columns.is_empty() || !is_on("statements_digest") {
            self.digest_columns.clear();
            self.missing.push(consumer("statements_digest", "no statement is counted"));
        }
        if !is_on("events_statements_current") {
            let consequence = match self.is_mariadb {
                true => "idle sessions with an open transaction have no text",
                false => "sessions are joined with statements by their text alone, cut after 1,024 bytes",
            };
            self.missing.push(consumer("events_statements_current", consequence));
        }
        Ok(())
    }

    /// Rights that our account needs for the whole server.
    pub fn grants(&self) -> &'static str {
        if self.is_mariadb { RIGHTS_OF_MARIADB } else { RIGHTS_OF_MYSQL }
    }

    /// mysql or mariadb.
    pub fn engine(&self) -> &'static str {
        if self.is_mariadb { "mariadb" } else { "mysql" }
    }

    /// primary or standby.
    pub fn role(&self) -> &'static str {
        if self.read_only { "standby" } else { "primary" }
    }
}

/// The first two columns of each row.
pub async fn pairs(connection: &mut Connection, sql: &str) -> Result<BTreeMap<String, String>, Failure> {
    let rows = connection.query(sql).await?;
    let text = |row: &mysql_async::Row, place: usize| {
        let bytes: Option<Vec<u8>> = row.get_opt(place).and_then(Result::ok);
        String::from_utf8_lossy(&bytes.unwrap_or_default()).into_owned()
    };
    Ok(rows.iter().map(|row| (text(row, 0), text(row, 1))).collect())
}

fn no_performance_schema() -> Capability {
    Capability {
        name: "performance_schema".to_owned(),
        consequence: "no statement is counted, and sessions have a text and no waits".to_owned(),
        remedy: "performance_schema=ON in the server's configuration, and a restart".to_owned(),
    }
}

fn short_texts(variable: &str) -> Capability {
    Capability {
        name: variable.to_owned(),
        consequence: format!("statements are cut before {DIGEST_LENGTH} bytes, and long ones are taken for one"),
        remedy: format!("{variable} = {DIGEST_LENGTH} in the server's configuration, and a restart"),
    }
}

fn no_grant() -> Capability {
    Capability {
        name: "performance_schema".to_owned(),
        consequence: "no statement is counted".to_owned(),
        remedy: "GRANT SELECT ON performance_schema.* to our account".to_owned(),
    }
}

fn no_process() -> Capability {
    Capability {
        name: "PROCESS".to_owned(),
        consequence: "idle sessions with an open transaction are not seen".to_owned(),
        remedy: "GRANT PROCESS ON *.* to our account".to_owned(),
    }
}

fn consumer(name: &str, consequence: &str) -> Capability {
    Capability {
        name: format!("performance_schema.setup_consumers.{name}"),
        consequence: consequence.to_owned(),
        remedy: format!(
            "performance-schema-consumer-{}=ON in the server's configuration, or UPDATE \
             performance_schema.setup_consumers SET ENABLED = 'YES' WHERE NAME = '{name}'",
            name.replace('_', "-")
        ),
    }
}
