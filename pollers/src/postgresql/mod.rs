//! The `postgresql` poller.
//!
//! - **Reads** one server of PostgreSQL 12 or later: one file here per view, named after it.
//! - **Writes** `raw.queries`, `raw.texts`, `raw.sessions`, `raw.metrics`, and then `raw.polls`, for each poll.
//! - **Keeps** in memory what it last published of each statement, which texts it read, and what waits for the bus. All of
//!   it can be lost: after a start everything is published again.
//! - **Guarantees** that the server sees one connection for server-wide views and at most `connections_max` others, only
//!   read-only transactions, no statement past its limit, and nothing left behind on a connection.
//! - **Fails** poll by poll: what could not be read is said in `raw.polls`; connections come back with increasing waits.

pub mod config;

mod connection;
mod database_reader;
mod error;
mod lane;
mod link;
pub mod mapping;
mod names;
mod objects;
mod pg_database;
mod pg_relation_size;
mod pg_settings;
mod pg_stat_activity;
mod pg_stat_archiver;
mod pg_stat_bgwriter;
mod pg_stat_checkpointer;
mod pg_stat_database;
mod pg_stat_replication;
mod pg_stat_statements;
mod pg_stat_user_indexes;
mod pg_stat_user_tables;
mod process_id;
mod server;
mod server_reader;
mod target;
mod tls;
mod transaction;
mod value;

use std::sync::Arc;

use dbintel_sqltext::Dialect;
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};

use crate::poll::Capability;
use crate::text::TextReader;

pub use self::config::Config;
use self::database_reader::DatabaseReader;
pub use self::error::Failure;
use self::lane::Lane;
use self::server_reader::{Fleet, ServerReader};
pub(crate) use self::target::Target;

/// What a server says to whoever asks whether a configuration works.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Version in the server's words.
    pub version: String,
    /// primary or standby.
    pub role: &'static str,
    /// What is missing, and what mends it.
    pub missing: Vec<Capability>,
}

/// Connects as the poller would, asks the server what it offers, and disconnects.
pub async fn probe(config: &Config) -> Result<Found, Failure> {
    let (connection, server) = link::reach(config, &config.endpoint.to_string(), &config.connect_database).await?;
    connection.close().await;
    let role = server.role();
    Ok(Found { version: server.version, role, missing: server.missing })
}

/// Begins to poll a target: its lanes, which are returned, run in `tasks` until `stop` is true.
pub(crate) fn spawn(target: Target, tasks: &mut JoinSet<()>, stop: &watch::Receiver<bool>) -> Vec<AbortHandle> {
    let target = Arc::new(target);
    let (fleet, watcher) = watch::channel(Fleet::default());
    let shares = target.config.connections_max;
    let mut lanes = Vec::new();
    for share in 0..shares {
        let reader = DatabaseReader::new(watcher.clone(), share, shares);
        let lane = Lane::new(target.clone(), &format!("database {share}"), reader);
        lanes.push(tasks.spawn(lane.run(stop.clone())));
    }
    let texts = TextReader::new(Dialect::PostgreSql, target.config.text.options, target.config.text.raw);
    let lane = Lane::new(target, "server", ServerReader::new(fleet, texts));
    lanes.push(tasks.spawn(lane.run(stop.clone())));
    lanes
}
