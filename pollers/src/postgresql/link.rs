//! A connection that is made when it is needed, kept open, and not tried again too soon after it failed.

use std::sync::Arc;
use std::time::Duration;

use tracing::{info, warn};

use crate::backoff::Backoff;
use crate::poll::Identity;

use super::connection::Connection;
use super::error::Failure;
use super::server::Server;
use super::target::Target;
use super::transaction::Timeouts;

/// Time after which a server is asked again what it offers: an extension may have been created, a grant given.
const PROBE_INTERVAL: Duration = Duration::from_secs(600);

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

    /// Connects to a database, unless connected to it. True if the connection is new.
    pub async fn connect(&mut self, target: &Target, database: &str) -> Result<bool, Failure> {
        if self.connection.as_ref().is_some_and(|it| it.database == database && !it.connection.is_closed()) {
            return Ok(false);
        }
        self.connection = None;
        let connected = open(target, database).await;
        match connected {
            Ok(connected) => {
                info!(
                    target = target.name,
                    link = self.name,
                    database,
                    version = connected.server.version,
                    role = connected.server.role(),
                    "connected"
                );
                self.connection = Some(connected);
                Ok(true)
            }
            Err(failure) => {
                self.note_failure(target, &failure);
                Err(failure)
            }
        }
    }

    /// Asks the server again what it offers, if that is due. True if it was asked.
    pub async fn probe_if_due(&mut self, target: &Target) -> Result<bool, Failure> {
        let now = target.clock.monotonic();
        let Some(connected) = self.connection.as_mut().filter(|connected| connected.probe_at <= now) else {
            return Ok(false);
        };
        connected.server = Arc::new(probe(target, &connected.connection).await?);
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
        warn!(target = target.name, link = self.name, %class, %message, "connection given up");
        if failure.class == "timeout" {
            connected.connection.abandon().await;
        }
    }

    /// Notes that the time to wait is over.
    pub fn retry(&mut self) {
        self.retry_at = None;
    }

    fn note_failure(&mut self, target: &Target, failure: &Failure) {
        let wait = self.backoff.fail();
        self.retry_at = Some(target.clock.monotonic() + wait);
        let (failures, class, message) = (self.backoff.failures(), &failure.class, &failure.message);
        if failures == 1 {
            warn!(target = target.name, link = self.name, %class, %message, ?wait, "could not connect");
        } else {
            info!(target = target.name, link = self.name, %class, %message, ?wait, failures, "still cannot connect");
        }
    }
}

async fn open(target: &Target, database: &str) -> Result<Connected, Failure> {
    let connection = Connection::open(&target.config, database).await?;
    let server = Arc::new(probe(target, &connection).await.map_err(Failure::while_connecting)?);
    let identity = target.identity(Some(&server));
    let probe_at = target.clock.monotonic() + PROBE_INTERVAL;
    Ok(Connected { connection, database: database.to_owned(), server, identity, probe_at })
}

async fn probe(target: &Target, connection: &Connection) -> Result<Server, Failure> {
    let limit = target.config.connect_timeout;
    let probed = tokio::time::timeout(limit, async {
        let transaction = connection.begin(Timeouts::within(limit)).await?;
        let server = Server::probe(&transaction).await?;
        transaction.commit().await?;
        Ok(server)
    });
    probed.await.unwrap_or_else(|_| Err(Failure::deadline()))
}
