//! The shop: its tables, and sessions that use them.

mod lock_chain;
mod ordinary;
mod personal_data;
mod plan_flip;
mod slow_report;

use std::time::Duration;

use tokio::task::JoinSet;
use tokio_postgres::{Client, Error};

use super::server::{Connector, Server};

/// Sessions of ordinary work.
const ORDINARY_SESSIONS: u64 = 4;
/// Pause before a session that failed connects again.
const PAUSE: Duration = Duration::from_secs(1);

const SCHEMA: &str = include_str!("schema.sql");

/// A workload that runs.
#[derive(Debug)]
pub struct Workload {
    sessions: JoinSet<()>,
}

impl Workload {
    /// Makes the tables and the roles, and begins to work.
    pub async fn start(server: &Server) -> Result<Workload, Error> {
        prepare(server).await?;
        let shop = server.connector("shop", "shop");
        let mut sessions = JoinSet::new();
        for number in 0..ORDINARY_SESSIONS {
            sessions.spawn(keep_up(shop.clone(), async move |client| ordinary::work(client, number).await));
        }
        sessions.spawn(keep_up(shop.clone(), slow_report::work));
        sessions.spawn(keep_up(shop.clone(), plan_flip::work));
        sessions.spawn(keep_up(shop.clone(), plan_flip::maintain));
        sessions.spawn(keep_up(shop.clone(), personal_data::work));
        let others = shop.clone();
        sessions.spawn(keep_up(shop, async move |client| lock_chain::work(client, &others).await));
        Ok(Workload { sessions })
    }

    /// Ends all sessions.
    pub async fn stop(mut self) {
        self.sessions.shutdown().await;
    }
}

/// Roles, database, tables. What this leaves in the statistics is no part of the workload and is reset.
async fn prepare(server: &Server) -> Result<(), Error> {
    let postgres = server.connect_as_superuser("postgres").await?;
    let password = server.monitor_password();
    postgres.batch_execute("CREATE ROLE shop LOGIN").await?;
    postgres.batch_execute("CREATE DATABASE shop OWNER shop").await?;
    let monitor = format!(
        "CREATE ROLE dbintel_monitor LOGIN CONNECTION LIMIT 5 PASSWORD '{password}'; GRANT pg_monitor TO dbintel_monitor"
    );
    postgres.batch_execute(&monitor).await?;
    server.connect_as_superuser("shop").await?.batch_execute(SCHEMA).await?;
    postgres.batch_execute("CREATE EXTENSION pg_stat_statements; SELECT pg_stat_statements_reset()").await
}

/// Works, and connects again after trouble.
async fn keep_up(shop: Connector, work: impl AsyncFn(&Client) -> Result<(), Error>) {
    loop {
        let worked = async { work(&shop.connect().await?).await };
        if let Err(error) = worked.await {
            tracing::debug!(%error, "a session of the demo's workload connects again");
        }
        tokio::time::sleep(PAUSE).await;
    }
}
