//! A connection that is made when it is needed, kept open, and not tried again too soon after it failed.

use std::sync::Arc;
use std::time::Duration;

use tokio_postgres::error::SqlState;
use tracing::{debug, info, warn};

use crate::backoff::Backoff;
use crate::poll::Identity;

use super::config::Config;
use super::connection::Connection;
use super::error::Failure;
use super::server::Server;
use super::target::Target;
use super::transaction::Timeouts;

/// Time after which a server is asked again what it offers: an extension may have been created, a grant given.
const PROBE_INTERVAL: Duration = Duration::from_secs(600);
/// Time for the request to cancel a statement.
const CANCEL_TIMEOUT: Duration = Duration::from_secs(1);
/// A server counts a connection until its process has ended, a moment after we closed it. So when we change to another
/// database and have no connection left, we try again, this often and after this time.
const CHANGE_TRIES: u32 = 10;
const CHANGE_PAUSE: Duration = Duration::from_millis(50);

/// The place of one connection.
pub struct Link {
    name: String,
    connection: Option<Connected>,
    backoff: Backoff,
    retry_at: Option<Duration>,
}

/// A connection and what is at its other end.
pub struct Connected {
    /// The connection.
    pub connection: Connection,
    /// The database.
    pub database: String,
    /// The server.
    pub server: Arc<Server>,
    /// Who it is in the records.
    pub identity: Arc<Identity>,
    probe_at: Duration,
}

impl Link {
    /// A link that is not connected. Different names wait differently long after failures.
    pub fn new(target: &str, name: &str) -> Link {
        let backoff = Backoff::new(format!("{target} {name}"));
        Link { name: name.to_owned(), connection: None, backoff, retry_at: None }
    }

    /// No connection is tried before this time.
    pub fn retry_at(&self) -> Option<Duration> {
        self.retry_at
    }

    /// The connection, if there is one.
    pub fn connected(&self) -> Option<&Connected> {
        self.connection.as_ref()
    }

    /// Connects to a database, unless connected to it. True if the connection is new. If the server is `known` it is not
    /// asked what it offers; that it is the same is seen at the first poll.
    pub async fn connect(
        &mut self,
        target: &Target,
        database: &str,
        known: Option<Arc<Server>>,
    ) -> Result<bool, Failure> {
        if self.connection.as_ref().is_some_and(|it| it.database == database && !it.connection.is_closed()) {
            return Ok(false);
        }
        let changes_database = self.connection.is_some();
        if let Some(connected) = self.connection.take() {
            connected.connection.close().await;
        }
        let mut opened = open(target, database, known.clone()).await;
        for _ in 0..CHANGE_TRIES {
            let none_left = opened.as_ref().is_err_and(|it| it.class == SqlState::TOO_MANY_CONNECTIONS.code());
            if !changes_database || !none_left {
                break;
            }
            tokio::time::sleep(CHANGE_PAUSE).await;
            opened = open(target, database, known.clone()).await;
        }
        let connected = self.connection.insert(opened?);
        let (version, role) = (&connected.server.version, connected.server.role());
        if changes_database {
            debug!(target = target.name, link = self.name, database, version, role, "changed the database");
        } else {
            info!(target = target.name, link = self.name, database, version, role, "connected");
        }
        Ok(true)
    }

    /// Asks the server again what it offers, if that is due. True if it was asked.
    pub async fn probe_if_due(&mut self, target: &Target) -> Result<bool, Failure> {
        let now = target.clock.monotonic();
        let Some(connected) = self.connection.as_mut().filter(|connected| connected.probe_at <= now) else {
            return Ok(false);
        };
        connected.server = Arc::new(ask(&target.config, &connected.connection).await?);
        connected.identity = target.identity(Some(&connected.server));
        connected.probe_at = now + PROBE_INTERVAL;
        Ok(true)
    }

    /// Makes the server be asked again before the next poll.
    pub fn probe_soon(&mut self) {
        if let Some(connected) = &mut self.connection {
            connected.probe_at = Duration::ZERO;
        }
    }

    /// Notes that the connection did what it is for.
    pub fn succeed(&mut self) {
        self.backoff.succeed();
    }

    /// Closes after a failure, and leaves the server alone for a while: it may be in trouble, and each connection that it
    /// does not let go of counts. After a time-out it is asked to end what it does.
    pub async fn give_up(&mut self, target: &Target, failure: &Failure) {
        let Some(connected) = self.connection.take() else { return };
        self.retry_at = Some(target.clock.monotonic() + self.backoff.fail());
        let (class, message) = (&failure.class, &failure.message);
        warn!(target = target.name, link = self.name, %class, reason = %message, "connection given up");
        if failure.class == "timeout" {
            connected.connection.abandon(CANCEL_TIMEOUT).await;
        }
    }

    /// Closes in the middle of a poll; the server is asked to end what it does for us, for `limit` at most.
    pub async fn abandon(&mut self, limit: Duration) {
        if let Some(connected) = self.connection.take() {
            connected.connection.abandon(limit).await;
        }
    }

    /// Notes that the time to wait is over.
    pub fn retry(&mut self) {
        self.retry_at = None;
    }

    /// Leaves the server alone for a while, after it did not let us connect.
    pub fn back_off(&mut self, target: &Target, failure: &Failure) {
        let wait = self.backoff.fail();
        self.retry_at = Some(target.clock.monotonic() + wait);
        let (failures, class, message) = (self.backoff.failures(), &failure.class, &failure.message);
        if failures == 1 {
            warn!(target = target.name, link = self.name, %class, reason = %message, ?wait, "could not connect");
        } else {
            info!(target = target.name, link = self.name, %class, reason = %message, ?wait, failures, "still cannot connect");
        }
    }
}

async fn open(target: &Target, database: &str, known: Option<Arc<Server>>) -> Result<Connected, Failure> {
    let (connection, server) = match known {
        Some(server) => (Connection::open(&target.config, &target.name, database).await?, server),
        None => {
            let (connection, server) = reach(&target.config, &target.name, database).await?;
            (connection, Arc::new(server))
        }
    };
    let identity = target.identity(Some(&server));
    let probe_at = target.clock.monotonic() + PROBE_INTERVAL;
    Ok(Connected { connection, database: database.to_owned(), server, identity, probe_at })
}

/// Connects, and asks the server what it offers.
pub async fn reach(config: &Config, target: &str, database: &str) -> Result<(Connection, Server), Failure> {
    let connection = Connection::open(config, target, database).await?;
    match ask(config, &connection).await {
        Ok(server) => Ok((connection, server)),
        Err(failure) => {
            if failure.class == "timeout" {
                connection.abandon(CANCEL_TIMEOUT).await;
            }
            Err(failure.while_connecting())
        }
    }
}

async fn ask(config: &Config, connection: &Connection) -> Result<Server, Failure> {
    let limit = config.connect_timeout;
    let asked = tokio::time::timeout(limit, async {
        let transaction = connection.begin(Timeouts::within(limit)).await?;
        if !config.via_pooler && !connection.is_direct(transaction.facts().process_id).await {
            transaction.roll_back().await?;
            return Err(a_pooler_answers(config));
        }
        let server = Server::probe(&transaction).await?;
        transaction.commit().await?;
        Ok(server)
    });
    asked.await.unwrap_or_else(|_| Err(Failure::deadline()))
}

fn a_pooler_answers(config: &Config) -> Failure {
    let endpoint = &config.endpoint;
    let message =
        format!("a connection pooler answers at {endpoint}: connect to the server itself, or set `via_pooler: true`");
    Failure::refused("pooler", message)
}
