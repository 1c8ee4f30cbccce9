//! PostgreSQL as a kind of server that can be polled. Each poll is one transaction.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::config::Config;
use super::connection::Connection;
use super::server::Server;
use super::transaction::{Timeouts, Transaction};
use crate::engine::Engine;
use crate::failure::Failure;
use crate::lane::{Job, Jobs, Reader};
use crate::link::Connected;
use crate::poll::{Class, Identity, Poll};
use crate::settings::ClassConfig;
use crate::target::Target;

/// The kind.
pub struct PostgreSql;

impl Engine for PostgreSql {
    type Config = Config;
    type Connection = Connection;
    type Server = Server;

    fn class(config: &Config, class: Class) -> ClassConfig {
        match class {
            Class::Sessions => config.sessions,
            Class::Statements => config.statements,
            Class::Texts => config.texts,
            Class::Metrics => config.metrics,
            Class::Replication => config.replication,
            Class::Settings => config.settings,
            Class::Tables => config.tables,
            Class::Sizes => config.sizes,
            Class::Queries => config.queries,
        }
    }

    fn labels(config: &Config) -> &BTreeMap<String, String> {
        &config.labels
    }

    fn database(config: &Config) -> &str {
        &config.connect_database
    }

    fn identity(server: Option<&Server>) -> Identity {
        let Some(server) = server else {
            return Identity { engine: "postgresql", role: "unknown", ..Identity::default() };
        };
        Identity {
            engine: "postgresql",
            engine_version: server.version.clone(),
            role: server.role(),
            system_identifier: server.system_identifier.clone(),
            started_at: Some(server.started_at),
            timeline: server.timeline,
            ..Identity::default()
        }
    }

    fn key(server: &Server) -> String {
        server.started_at.to_string()
    }

    fn address(server: &Server) -> Option<&str> {
        server.address.as_deref()
    }

    fn version(server: &Server) -> &str {
        &server.version
    }

    async fn open(
        config: &Config,
        target: &str,
        database: &str,
        known: Option<&Server>,
    ) -> Result<Connection, Failure> {
        Connection::open(config, target, database, known.and_then(|server| server.endpoint.as_ref())).await
    }

    async fn ask(config: &Config, connection: &mut Connection) -> Result<Server, Failure> {
        let limit = config.connect_timeout;
        let asked = tokio::time::timeout(limit, async {
            let transaction = connection.begin(Timeouts::within(limit)).await?;
            if !config.via_pooler && !connection.is_direct(transaction.facts().process_id).await {
                transaction.roll_back().await?;
                return Err(a_pooler_answers(config));
            }
            let server = Server::probe(&transaction).await?;
            transaction.commit().await?;
            Ok(Server { endpoint: Some(connection.endpoint().clone()), ..server })
        });
        asked.await.unwrap_or_else(|_| Err(Failure::deadline()))
    }

    fn is_closed(connection: &Connection) -> bool {
        connection.is_closed()
    }

    async fn close(connection: Connection) {
        connection.close().await;
    }

    async fn abandon(_: &Config, connection: Connection, limit: Duration) {
        connection.abandon(limit).await;
    }
}

fn a_pooler_answers(config: &Config) -> Failure {
    let endpoint = &config.endpoint;
    let message =
        format!("a connection pooler answers at {endpoint}: connect to the server itself, or set `via_pooler: true`");
    Failure::refused("pooler", message)
}

/// What is read in a lane, within a transaction. The methods are those of [`Reader`].
pub trait TransactionReader: Send {
    /// As [`Reader::changed`].
    fn changed(&mut self) -> impl Future<Output = ()> + Send {
        std::future::pending()
    }

    /// As [`Reader::adjust`].
    fn adjust(&mut self, lane: &mut Jobs<'_, PostgreSql>);

    /// As [`Reader::known`].
    fn known(&self) -> Option<Arc<Server>> {
        None
    }

    /// As [`Reader::connected`].
    fn connected(&mut self, _target: &Target<PostgreSql>, _connected: &Connected<PostgreSql>) {}

    /// As [`Reader::disconnected`].
    fn disconnected(&mut self) {}

    /// Reads what a job wants into its poll.
    fn read(
        &mut self,
        target: &Target<PostgreSql>,
        job: &Job,
        transaction: &Transaction<'_>,
        server: &Arc<Server>,
        poll: &mut Poll,
    ) -> impl Future<Output = Result<(), Failure>> + Send;

    /// As [`Reader::ended`].
    fn ended(&mut self, _target: &Target<PostgreSql>, _job: &Job, _took: Duration) -> Option<(Class, Duration)> {
        None
    }

    /// As [`Reader::failed`].
    fn failed(&mut self, _job: &Job, _failure: &Failure) -> bool {
        false
    }
}

/// A reader that begins a transaction for each poll and ends it.
pub struct InTransactions<R>(pub R);

impl<R: TransactionReader> Reader<PostgreSql> for InTransactions<R> {
    async fn changed(&mut self) {
        self.0.changed().await;
    }

    fn adjust(&mut self, lane: &mut Jobs<'_, PostgreSql>) {
        self.0.adjust(lane);
    }

    fn known(&self) -> Option<Arc<Server>> {
        self.0.known()
    }

    fn connected(&mut self, target: &Target<PostgreSql>, connected: &Connected<PostgreSql>) {
        self.0.connected(target, connected);
    }

    fn disconnected(&mut self) {
        self.0.disconnected();
    }

    /// If reading fails the transaction is rolled back, so that the connection can be used again.
    async fn read(
        &mut self,
        target: &Target<PostgreSql>,
        job: &Job,
        connected: &mut Connected<PostgreSql>,
        limit: Duration,
        poll: &mut Poll,
    ) -> Result<(), Failure> {
        let transaction = connected.connection.begin(Timeouts::within(limit)).await?;
        poll.stamp.server_time = Some(transaction.facts().server_time);
        target.members.see(&transaction.facts().started_at.to_string(), target.clock.monotonic());
        if !connected.server.is_still(transaction.facts()) {
            return Err(Failure::server_changed());
        }
        let result = self.0.read(target, job, &transaction, &connected.server, poll).await;
        poll.stamp.observed_at = target.clock.wall_us();
        poll.statements_sent = transaction.statements_sent() + 1;
        match result {
            Ok(()) => transaction.commit().await,
            Err(failure) if failure.connection_lost => Err(failure),
            Err(failure) => match transaction.roll_back().await {
                Ok(()) => Err(failure),
                Err(lost) => Err(Failure { connection_lost: lost.connection_lost, ..failure }),
            },
        }
    }

    fn ended(&mut self, target: &Target<PostgreSql>, job: &Job, took: Duration) -> Option<(Class, Duration)> {
        self.0.ended(target, job, took)
    }

    fn failed(&mut self, job: &Job, failure: &Failure) -> bool {
        self.0.failed(job, failure)
    }
}
