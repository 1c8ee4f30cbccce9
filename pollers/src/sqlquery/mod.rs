//! The `sqlquery` poller: metrics and logs from any SQL, on PostgreSQL, MySQL and MariaDB, with the keys of the Collector's receiver.
//!
//! - **Reads** whatever its statements select, each at an interval of its own, on one connection that only reads.
//! - **Writes** `raw.metrics` and `raw.logs`, with the columns that are named as attributes, and `raw.polls` for each run.
//! - **Keeps** the last value of a tracking column, in memory: after a restart a query begins at its start.
//! - **Fails** statement by statement: a result that does not fit what is declared names query, column and row.

pub mod config;

mod datasource;
mod interned;
mod on_mysql;
mod on_postgresql;
mod queries;
mod query;
mod tracking;

use std::sync::Arc;

use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};

pub use self::config::{Config, Server};
use self::queries::Queries;
pub use self::query::Query;
use crate::failure::Failure;
use crate::found::Found;
use crate::lane::Lane;
use crate::mysql::MySql;
use crate::postgresql::{InTransactions, PostgreSql};
use crate::target::Target;
use crate::{mysql, postgresql};

/// Connects as the poller would, asks who answers, and disconnects. No statement of the configuration is run.
pub async fn probe(config: &Config) -> Result<Found, Failure> {
    let found = match &config.server {
        Server::PostgreSql(server) => postgresql::probe(server).await?,
        Server::MySql(server) => mysql::probe(server).await?,
    };
    // What the built-in polls would miss is of no concern here.
    Ok(Found { missing: Vec::new(), advice: Vec::new(), absent: Vec::new(), ..found })
}

/// Begins to run statements on PostgreSQL: in one lane, until `stop` is true.
pub(crate) fn spawn_on_postgresql(
    target: Target<PostgreSql>,
    queries: Vec<Query>,
    tasks: &mut JoinSet<()>,
    stop: &watch::Receiver<bool>,
) -> Vec<AbortHandle> {
    let reader = InTransactions(on_postgresql::QueryReader(Queries::new(queries, tracking::POSTGRESQL)));
    vec![tasks.spawn(Lane::new(Arc::new(target), "queries", reader).run(stop.clone()))]
}

/// Begins to run statements on MySQL or MariaDB.
pub(crate) fn spawn_on_mysql(
    target: Target<MySql>,
    queries: Vec<Query>,
    tasks: &mut JoinSet<()>,
    stop: &watch::Receiver<bool>,
) -> Vec<AbortHandle> {
    let reader = on_mysql::QueryReader(Queries::new(queries, tracking::MYSQL));
    vec![tasks.spawn(Lane::new(Arc::new(target), "queries", reader).run(stop.clone()))]
}
