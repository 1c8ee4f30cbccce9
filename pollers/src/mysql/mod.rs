//! The `mysql` poller, for MySQL and MariaDB.
//!
//! - **Reads** one server of MySQL 8.0 or MariaDB 10.6 or later: one file here per view, named after it.
//! - **Writes** `raw.queries`, `raw.texts`, `raw.sessions`, `raw.metrics`, and then `raw.polls`, for each poll.
//! - **Keeps** in memory which texts it read and what waits for the bus. All of it can be lost.
//! - **Guarantees** that the server sees one connection, only statements that read, and none past its limit.
//! - **Fails** poll by poll: what could not be read is said in `raw.polls`; the connection comes back with increasing waits.

mod advice;
mod blockers;
pub mod config;

mod connection;
mod engine;
mod error;
mod events_statements_summary_by_digest;
pub mod mapping;
mod metrics;
mod reader;
mod replica;
mod server;
pub mod setup;
mod status;
mod threads;
mod value;
mod view;
pub mod views;

use std::sync::Arc;

use dbintel_sqltext::{Dialect, SqlMode};
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};

pub use self::config::Config;
pub(crate) use self::connection::Connection;
pub(crate) use self::engine::MySql;
use self::reader::ServerReader;
pub(crate) use self::server::Server;
use crate::failure::Failure;
use crate::found::Found;
use crate::lane::Lane;
use crate::link;
use crate::target::Target;
use crate::text::TextReader;

/// Connects as the poller would, asks the server what it offers, and disconnects.
pub async fn probe(config: &Config) -> Result<Found, Failure> {
    let (connection, server) = link::reach::<MySql>(config, &config.endpoint.to_string(), "").await?;
    connection.close().await;
    let name = if server.is_mariadb { "MariaDB" } else { "MySQL" };
    let version = format!("{name} {}", server.version);
    let (role, setup) = (server.role(), setup::sql(config, &server));
    let Server { missing, advice, absent, .. } = server;
    Ok(Found { version, role, missing, advice, absent, setup })
}

/// Begins to poll a target: its lane, which is returned, runs in `tasks` until `stop` is true.
pub(crate) fn spawn(target: Target<MySql>, tasks: &mut JoinSet<()>, stop: &watch::Receiver<bool>) -> Vec<AbortHandle> {
    // Each session has an sql_mode of its own, which is not known: what any reading takes for a literal is hidden.
    let texts = TextReader::new(Dialect::MySql(SqlMode::default()), target.config.text.options, target.config.text.raw);
    let lane = Lane::new(Arc::new(target), "server", ServerReader::new(texts));
    vec![tasks.spawn(lane.run(stop.clone()))]
}
