//! The `postgresql` poller.
//!
//! - **Reads** one server of PostgreSQL 12 or later: one file here per view, named after it.
//! - **Writes** `raw.queries`, `raw.texts`, `raw.sessions`, `raw.metrics`, and then `raw.polls`, for each poll.
//! - **Keeps** in memory what it last published of each statement, which texts it read, and what waits for the bus. All of
//!   it can be lost: after a start everything is published again.
//! - **Guarantees** that the server sees one connection for server-wide views and at most `connections_max` others, only
//!   read-only transactions, no statement past its limit, and nothing left behind on a connection.
//! - **Fails** poll by poll: what could not be read is said in `raw.polls`; connections come back with increasing waits.

mod advice;
pub mod config;

mod connection;
mod database_reader;
mod engine;
mod error;
pub mod mapping;
mod names;
mod pg_locks;
mod pg_stat_activity;
mod pg_stat_kcache;
mod pg_stat_statements;
mod prepared;
mod process_id;
mod server;
mod server_reader;
pub mod setup;
mod tls;
mod transaction;
mod value;
mod view;
pub mod views;
mod wire;

use std::sync::Arc;

use dbintel_sqltext::Dialect;
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};

pub use crate::failure::Failure;
use crate::found::Found;
use crate::lane::Lane;
use crate::link;
use crate::target::Target;
use crate::text::TextReader;

pub use self::config::Config;
use self::database_reader::DatabaseReader;
pub(crate) use self::engine::{InTransactions, PostgreSql, TransactionReader};
pub(crate) use self::server::Server;
use self::server_reader::{Fleet, ServerReader};
pub(crate) use self::transaction::Transaction;

/// Connects as the poller would, asks the server what it offers, and disconnects.
pub async fn probe(config: &Config) -> Result<Found, Failure> {
    let (connection, server) =
        link::reach::<PostgreSql>(config, &config.endpoint.to_string(), &config.connect_database).await?;
    connection.close().await;
    let version = format!("PostgreSQL {}", server.version);
    let (role, setup) = (server.role(), setup::sql(config));
    let Server { missing, advice, absent, .. } = server;
    Ok(Found { version, role, missing, advice, absent, setup })
}

/// Begins to poll a target: its lanes, which are returned, run in `tasks` until `stop` is true.
pub(crate) fn spawn(
    target: Target<PostgreSql>,
    tasks: &mut JoinSet<()>,
    stop: &watch::Receiver<bool>,
) -> Vec<AbortHandle> {
    let target = Arc::new(target);
    let (fleet, watcher) = watch::channel(Fleet::default());
    let shares = target.config.connections_max;
    let mut lanes = Vec::new();
    for share in 0..shares {
        let reader = InTransactions(DatabaseReader::new(watcher.clone(), share, shares));
        let lane = Lane::new(target.clone(), &format!("database {share}"), reader);
        lanes.push(tasks.spawn(lane.run(stop.clone())));
    }
    let texts = TextReader::new(Dialect::PostgreSql, target.config.text.options, target.config.text.raw);
    let lane = Lane::new(target, "server", InTransactions(ServerReader::new(fleet, texts)));
    lanes.push(tasks.spawn(lane.run(stop.clone())));
    lanes
}
