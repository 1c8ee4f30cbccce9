//! A connection that is made when it is needed, kept open, and not tried again too soon after it failed.

use std::sync::Arc;
use std::time::Duration;

use tracing::{debug, info, warn};

use crate::backoff::Backoff;
use crate::engine::Engine;
use crate::failure::Failure;
use crate::poll::Identity;
use crate::target::Target;

/// Time after which a server is asked again what it offers: an extension may have been created, a grant given.
const PROBE_INTERVAL: Duration = Duration::from_secs(600);
/// Time for the request to cancel a statement.
const CANCEL_TIMEOUT: Duration = Duration::from_secs(1);
/// A server counts a connection until its process has ended, a moment after we closed it. So when we change to another
/// database and have no connection left, we try again, this often and after this time.
const CHANGE_TRIES: u32 = 10;
const CHANGE_PAUSE: Duration = Duration::from_millis(50);

/// The place of one connection.
pub struct Link<E: Engine> {
    name: String,
    connection: Option<Connected<E>>,
    backoff: Backoff,
    retry_at: Option<Duration>,
}

/// A connection and what is at its other end.
pub struct Connected<E: Engine> {
    /// The connection.
    pub connection: E::Connection,
    /// The database.
    pub database: String,
    /// The server.
    pub server: Arc<E::Server>,
    /// Who it is in the records.
    pub identity: Arc<Identity>,
    probe_at: Duration,
}

impl<E: Engine> Link<E> {
    /// A link that is not connected. Different names wait differently long after failures.
    pub fn new(target: &str, name: &str) -> Link<E> {
        let backoff = Backoff::new(format!("{target} {name}"));
        Link { name: name.to_owned(), connection: None, backoff, retry_at: None }
    }

    /// No connection is tried before this time.
    pub fn retry_at(&self) -> Option<Duration> {
        self.retry_at
    }

    /// The connection, if there is one.
    pub fn connected(&self) -> Option<&Connected<E>> {
        self.connection.as_ref()
    }

    /// Connects to a database, unless connected to it. True if the connection is new. If the server is `known` it is not
    /// asked what it offers; that it is the same is seen at the first poll.
    pub async fn connect(
        &mut self,
        target: &Target<E>,
        database: &str,
        known: Option<Arc<E::Server>>,
    ) -> Result<bool, Failure> {
        if self.connection.as_ref().is_some_and(|it| it.database == database && !E::is_closed(&it.connection)) {
            return Ok(false);
        }
        let changes_database = self.connection.is_some();
        if let Some(connected) = self.connection.take() {
            E::close(connected.connection).await;
        }
        let mut opened = open(target, database, known.clone()).await;
        for _ in 0..CHANGE_TRIES {
            let none_left = opened.as_ref().is_err_and(Failure::has_no_connection_left);
            if !changes_database || !none_left {
                break;
            }
            tokio::time::sleep(CHANGE_PAUSE).await;
            opened = open(target, database, known.clone()).await;
        }
        let connected = self.connection.insert(opened?);
        let (version, role) = (E::version(&connected.server), E::role(&connected.server));
        if changes_database {
            debug!(target = target.name, link = self.name, database, version, role, "changed the database");
        } else {
            info!(target = target.name, link = self.name, database, version, role, "connected");
        }
        Ok(true)
    }

    /// The connection, to be used.
    pub fn connected_mut(&mut self) -> Option<&mut Connected<E>> {
        self.connection.as_mut()
    }

    /// Asks the server again what it offers, if that is due. True if it was asked.
    pub async fn probe_if_due(&mut self, target: &Target<E>) -> Result<bool, Failure> {
        let now = target.clock.monotonic();
        let Some(connected) = self.connection.as_mut().filter(|connected| connected.probe_at <= now) else {
            return Ok(false);
        };
        connected.server = Arc::new(E::ask(&target.config, &mut connected.connection).await?);
        meet(target, &connected.server, now);
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
    pub async fn give_up(&mut self, target: &Target<E>, failure: &Failure) {
        let Some(connected) = self.connection.take() else { return };
        self.retry_at = Some(target.clock.monotonic() + self.backoff.fail());
        let (class, message) = (&failure.class, &failure.message);
        warn!(target = target.name, link = self.name, %class, reason = %message, "connection given up");
        if failure.class == "timeout" {
            E::abandon(&target.config, connected.connection, CANCEL_TIMEOUT).await;
        }
    }

    /// Closes in the middle of a poll; the server is asked to end what it does for us, for `limit` at most.
    pub async fn abandon(&mut self, target: &Target<E>, limit: Duration) {
        if let Some(connected) = self.connection.take() {
            E::abandon(&target.config, connected.connection, limit).await;
        }
    }

    /// Notes that the time to wait is over.
    pub fn retry(&mut self) {
        self.retry_at = None;
    }

    /// Leaves the server alone for a while, after it did not let us connect.
    pub fn back_off(&mut self, target: &Target<E>, failure: &Failure) {
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

async fn open<E: Engine>(
    target: &Target<E>,
    database: &str,
    known: Option<Arc<E::Server>>,
) -> Result<Connected<E>, Failure> {
    let is_known = known.is_some();
    let (connection, server) = match known {
        Some(server) => (E::open(&target.config, &target.name, database, Some(&server)).await?, server),
        None => {
            let (connection, server) = reach::<E>(&target.config, &target.name, database).await?;
            (connection, Arc::new(server))
        }
    };
    let identity = target.identity(Some(&server));
    let now = target.clock.monotonic();
    if !is_known {
        meet(target, &server, now);
    }
    let probe_at = now + PROBE_INTERVAL;
    Ok(Connected { connection, database: database.to_owned(), server, identity, probe_at })
}

/// Notes who answered.
fn meet<E: Engine>(target: &Target<E>, server: &E::Server, now: Duration) {
    let (role, version) = (E::role(server), E::version(server));
    let description = format!("{} ({role}, version {version})", E::address(server).unwrap_or("a Unix socket"));
    target.members.meet(&E::key(server), description, now);
}

/// Connects, and asks the server what it offers.
pub async fn reach<E: Engine>(
    config: &E::Config,
    target: &str,
    database: &str,
) -> Result<(E::Connection, E::Server), Failure> {
    let mut connection = E::open(config, target, database, None).await?;
    match E::ask(config, &mut connection).await {
        Ok(server) => Ok((connection, server)),
        Err(failure) => {
            if failure.class == "timeout" {
                E::abandon(config, connection, CANCEL_TIMEOUT).await;
            }
            Err(failure.while_connecting())
        }
    }
}
