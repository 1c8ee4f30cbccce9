//! What a server is and what it offers, found out once per connection by asking for it, never by its version.

use std::collections::BTreeSet;

use crate::poll::Capability;

use super::pg_stat_statements::columns::Extension;
use super::transaction::{Facts, Transaction};
use super::value::Columns;
use super::{advice, view, views};
use crate::failure::Failure;
use crate::settings::Endpoint;
use crate::view::Catalog;

/// A server as it was found.
#[derive(Debug, Clone, Default)]
pub struct Server {
    /// Where it was found, of several hosts.
    pub endpoint: Option<Endpoint>,
    /// Address at which it took the connection; none for a Unix socket.
    pub address: Option<String>,
    /// Version in the server's words.
    pub version: String,
    /// Identifier of its data; empty when it may not be read.
    pub system_identifier: String,
    /// Timeline; none when it may not be read.
    pub timeline: Option<i64>,
    /// Start of the server, in µs since the epoch.
    pub started_at: i64,
    /// It replays its log.
    pub in_recovery: bool,
    /// `max_connections`.
    pub connections_max: Option<i64>,
    /// Columns of `pg_stat_activity`.
    pub activity_columns: BTreeSet<String>,
    /// Room for the text of a session in bytes, its end included: `track_activity_query_size`.
    pub activity_query_size: Option<usize>,
    /// `pg_locks` may be read.
    pub reads_locks: bool,
    /// Columns of the views that are read.
    pub catalog: Catalog,
    /// The extension, if it is created in `connect_database`.
    pub statements: Option<Extension>,
    /// What is missing, and how to get it.
    pub missing: Vec<Capability>,
    /// What this version does not have.
    pub absent: Vec<Capability>,
    /// Settings that make some numbers poorer than they could be.
    pub advice: Vec<Capability>,
}

/// Settings, rights and relations, in one statement. Rights are asked for before they are used: an error would end the
/// transaction.
const PROBE: &str = "
SELECT current_setting('server_version') AS version,
       current_setting('max_connections')::int8 AS connections_max,
       pg_size_bytes(current_setting('track_activity_query_size')) AS activity_query_size,
       pg_has_role(current_user, 'pg_read_all_stats', 'USAGE') AS reads_all_stats,
       has_function_privilege('pg_control_system()', 'EXECUTE') AS reads_control_system,
       has_function_privilege('pg_control_checkpoint()', 'EXECUTE') AS reads_control_checkpoint,
       has_function_privilege('pg_walfile_name(pg_lsn)', 'EXECUTE')
           AND has_function_privilege('pg_current_wal_lsn()', 'EXECUTE') AS reads_wal_position,
       has_table_privilege('pg_catalog.pg_locks', 'SELECT') AS reads_locks,
       host(inet_server_addr()) || ':' || inet_server_port() AS address,
       current_user::text AS username,
       current_database()::text AS database";

/// The role that shows what others do.
const READ_ALL_STATS: &str = "pg_read_all_stats";

const SYSTEM_IDENTIFIER: &str = "SELECT system_identifier::text FROM pg_control_system()";
const TIMELINE_OF_STANDBY: &str = "SELECT timeline_id::int8 FROM pg_control_checkpoint()";
const TIMELINE_OF_PRIMARY: &str = "SELECT ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::int8";

impl Server {
    /// Asks a server.
    pub async fn probe(transaction: &Transaction<'_>) -> Result<Server, Failure> {
        let row = transaction.query_one(PROBE, &[]).await?;
        let row = Columns(&row);
        let facts = transaction.facts();
        let mut server = Server {
            version: row.text("version")?.unwrap_or_default(),
            address: row.text("address")?,
            started_at: facts.started_at,
            in_recovery: facts.in_recovery,
            connections_max: row.optional("connections_max")?,
            activity_query_size: row.optional::<i64>("activity_query_size")?.and_then(|size| size.try_into().ok()),
            reads_locks: row.required("reads_locks")?,
            catalog: view::catalog(transaction, views::all()).await?,
            activity_columns: transaction.columns("pg_stat_activity").await?.into_iter().collect(),
            ..Server::default()
        };
        let (username, database) =
            (row.text("username")?.unwrap_or_default(), row.text("database")?.unwrap_or_default());
        server.read_identity(transaction, &row, &username).await?;
        if !row.required::<bool>("reads_all_stats")? {
            server.missing.push(no_statistics(&username));
        }
        server.read_extension(transaction, &database).await?;
        server.advice = advice::read(transaction).await?;
        server.advice.extend(server.activity_query_size.and_then(advice::of_text_size));
        let grant = |function: &str| format!("GRANT EXECUTE ON FUNCTION {function} TO {}", quoted(&username));
        let forbidden = views::all().filter_map(|view| view.forbidden(&server.catalog, grant));
        server.missing.extend(forbidden.collect::<Vec<_>>());
        server.absent = views::all().filter_map(|view| view.absent(&server.catalog)).collect();
        Ok(server)
    }

    /// Whether this is still the server that was asked: the same life, in the same role.
    pub fn is_still(&self, facts: &Facts) -> bool {
        self.started_at == facts.started_at && self.in_recovery == facts.in_recovery
    }

    /// What is missing if statistics of other roles are hidden from us.
    pub fn hidden_statistics(&self) -> Option<&Capability> {
        self.missing.iter().find(|missing| missing.name == READ_ALL_STATS)
    }

    /// primary or standby.
    pub fn role(&self) -> &'static str {
        if self.in_recovery { "standby" } else { "primary" }
    }

    async fn read_identity(
        &mut self,
        transaction: &Transaction<'_>,
        rights: &Columns<'_>,
        username: &str,
    ) -> Result<(), Failure> {
        if rights.required("reads_control_system")? {
            let row = transaction.query_one(SYSTEM_IDENTIFIER, &[]).await?;
            self.system_identifier = Columns(&row).text("system_identifier")?.unwrap_or_default();
        } else {
            self.missing.push(no_system_identifier(username));
        }
        let (right, sql) = match self.in_recovery {
            true => ("reads_control_checkpoint", TIMELINE_OF_STANDBY),
            false => ("reads_wal_position", TIMELINE_OF_PRIMARY),
        };
        if rights.required(right)? {
            self.timeline = transaction.query_one(sql, &[]).await?.try_get(0).ok();
        }
        Ok(())
    }

    async fn read_extension(&mut self, transaction: &Transaction<'_>, database: &str) -> Result<(), Failure> {
        match Extension::probe(transaction, database).await? {
            Ok(extension) => self.statements = Some(extension),
            Err(missing) => self.missing.push(missing),
        }
        Ok(())
    }
}

fn no_statistics(username: &str) -> Capability {
    Capability {
        name: READ_ALL_STATS.to_owned(),
        consequence: "statements and sessions of other roles are hidden".to_owned(),
        remedy: format!("GRANT pg_monitor TO {}", quoted(username)),
    }
}

fn no_system_identifier(username: &str) -> Capability {
    Capability {
        name: "pg_control_system".to_owned(),
        consequence: "a fail-over to another server is recognised by its start time only".to_owned(),
        remedy: format!("GRANT EXECUTE ON FUNCTION pg_control_system() TO {}", quoted(username)),
    }
}

/// An identifier as SQL takes it.
pub fn quoted(identifier: &str) -> String {
    format!("\"{}\"", identifier.replace('"', "\"\""))
}
