//! A connection to one database of a server, and the one way to use it: short read-only transactions that leave nothing
//! behind.

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio_postgres::config::SslMode;
use tokio_postgres::tls::{MakeTlsConnect, TlsConnect};
use tokio_postgres::{Client, NoTls, SimpleQueryMessage};
use tokio_postgres_rustls::MakeRustlsConnect;
use tracing::info;

use super::config::Config;
use super::prepared::Prepared;
use super::transaction::{Timeouts, Transaction};
use super::wire::Wire;
use super::{process_id, tls};
use crate::failure::Failure;
use crate::hosts::{Wanted, all_failed};
use crate::settings::Endpoint;

/// Classes that say that the server did not take the password.
const PASSWORD_REFUSED: [&str; 2] = ["28P01", "28000"];
/// Time for the goodbye to the server. Then the connection is cut, whatever the server still owes us.
const CLOSE_GRACE: Duration = Duration::from_millis(500);

/// A connection to one database. Closed when dropped, within [`CLOSE_GRACE`], even if the server never answers.
pub struct Connection {
    client: Client,
    prepared: Prepared,
    endpoint: Endpoint,
    tls: Option<MakeRustlsConnect>,
    driver: Driver,
    /// Name that the server shows for our sessions.
    application_name: String,
    via_pooler: bool,
}

/// The task that moves bytes. It ends soon after `in_use` is dropped.
struct Driver {
    task: JoinHandle<()>,
    in_use: oneshot::Sender<()>,
}

impl Connection {
    /// Connects, to the first of the endpoints that answers and is what is wanted, or to the one that is `known`. `target`
    /// stands in the log when the connection ends.
    pub async fn open(
        config: &Config,
        target: &str,
        database: &str,
        known: Option<&Endpoint>,
    ) -> Result<Connection, Failure> {
        if let Some(endpoint) = known {
            return Connection::open_at(endpoint, Wanted::Any, config, target, database).await;
        }
        let mut failures = Vec::new();
        for (endpoint, wanted) in config.hosts.attempts(&config.endpoint) {
            match Connection::open_at(endpoint, wanted, config, target, database).await {
                Ok(connection) => return Ok(connection),
                Err(failure) => failures.push((endpoint.to_string(), failure)),
            }
        }
        Err(all_failed(failures))
    }

    async fn open_at(
        endpoint: &Endpoint,
        wanted: Wanted,
        config: &Config,
        target: &str,
        database: &str,
    ) -> Result<Connection, Failure> {
        let opening = Connection::try_open(endpoint, wanted, config, target, database);
        let opened = tokio::time::timeout(config.connect_timeout, opening).await;
        let opened = opened.unwrap_or_else(|_| {
            let message = format!("no connection to {endpoint} within {:?}", config.connect_timeout);
            Err(Failure::refused("timeout", message))
        });
        if opened.as_ref().is_err_and(|failure| PASSWORD_REFUSED.contains(&failure.class.as_str())) {
            config.password.reject().await;
        }
        opened.map_err(Failure::while_connecting)
    }

    async fn try_open(
        endpoint: &Endpoint,
        wanted: Wanted,
        config: &Config,
        target: &str,
        database: &str,
    ) -> Result<Connection, Failure> {
        let mut settings = settings(config, database);
        if let Some(password) = config.password.password().await? {
            settings.password(password.expose());
        }
        let tls = match config.tls.is_on(endpoint) {
            true => Some(tls::connector(&config.tls).map_err(|error| Failure::refused("tls", error.to_string()))?),
            false => None,
        };
        let wire = Wire::open(endpoint).await.map_err(|error| {
            let class = if error.kind() == std::io::ErrorKind::TimedOut { "timeout" } else { "io" };
            Failure::refused(class, format!("error connecting to server: {error}"))
        })?;
        let (client, driver) = match &tls {
            Some(tls) => connect(&settings, wire, encryption(tls, endpoint)?, target).await?,
            None => connect(settings.ssl_mode(SslMode::Disable), wire, NoTls, target).await?,
        };
        let (application_name, via_pooler) = (config.application_name.clone(), config.via_pooler);
        let (endpoint, prepared) = (endpoint.clone(), Prepared::default());
        let connection = Connection { client, prepared, endpoint, tls, driver, application_name, via_pooler };
        if wanted.is_particular()
            && let Err(failure) = connection.is_standby().await.and_then(|is_standby| wanted.check(is_standby))
        {
            connection.close().await;
            return Err(failure);
        }
        Ok(connection)
    }

    async fn is_standby(&self) -> Result<bool, Failure> {
        let messages = self.client.simple_query("SELECT pg_is_in_recovery()").await?;
        let is_true = |message: &SimpleQueryMessage| match message {
            SimpleQueryMessage::Row(row) => row.get(0) == Some("t"),
            _ => false,
        };
        Ok(messages.iter().any(is_true))
    }

    /// Where it leads.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Whether the connection is of no more use.
    pub fn is_closed(&self) -> bool {
        self.client.is_closed()
    }

    /// Begins a transaction, in which each statement may take as long as `timeouts` say.
    pub async fn begin(&self, timeouts: Timeouts) -> Result<Transaction<'_>, Failure> {
        let application_name = self.via_pooler.then_some(self.application_name.as_str());
        let prepared = (!self.via_pooler).then_some(&self.prepared);
        Transaction::begin(&self.client, prepared, timeouts, application_name).await
    }

    /// Closes, and waits until the server has ended the session, or for [`CLOSE_GRACE`].
    pub async fn close(self) {
        let Driver { task, in_use } = self.driver;
        drop((self.prepared, self.client, in_use));
        // An error would mean that the task panicked: the connection is closed then, too.
        let _ = task.await;
    }

    /// Gives the connection up in the middle of a statement: asks the server to end it, for `limit` at most, and closes.
    pub async fn abandon(self, limit: Duration) {
        let token = self.client.cancel_token();
        let cancelled = async {
            let wire = Wire::open(&self.endpoint).await.ok()?;
            match &self.tls {
                Some(tls) => token.cancel_query_raw(wire, encryption(tls, &self.endpoint).ok()?).await.ok(),
                None => token.cancel_query_raw(wire, NoTls).await.ok(),
            }
        };
        if !matches!(tokio::time::timeout(limit, cancelled).await, Ok(Some(()))) {
            info!("could not ask the server to end a statement; its statement_timeout will");
        }
        self.driver.task.abort();
    }

    /// Whether the server itself answers. A pooler answers with a process id of its own making, and then has some backend
    /// do the work: so the id that came with the connection is not `process_id`, that of the backend.
    pub async fn is_direct(&self, process_id: i32) -> bool {
        process_id::reported(&self.client.cancel_token()).await == Some(process_id)
    }
}

fn settings(config: &Config, database: &str) -> tokio_postgres::Config {
    let mut settings = tokio_postgres::Config::new();
    settings.user(&config.username).dbname(database).ssl_mode(SslMode::Require);
    if !config.via_pooler {
        settings.application_name(&config.application_name);
    }
    settings
}

fn encryption(
    tls: &MakeRustlsConnect,
    endpoint: &Endpoint,
) -> Result<<MakeRustlsConnect as MakeTlsConnect<Wire>>::TlsConnect, Failure> {
    let mut tls = tls.clone();
    let made = MakeTlsConnect::<Wire>::make_tls_connect(&mut tls, &endpoint.host);
    made.map_err(|error| Failure::refused("tls", format!("{} is no name for a certificate: {error}", endpoint.host)))
}

/// Connects and leaves a task that moves bytes until the server goes away, or until we have closed.
async fn connect<T>(
    settings: &tokio_postgres::Config,
    wire: Wire,
    tls: T,
    target: &str,
) -> Result<(Client, Driver), Failure>
where
    T: TlsConnect<Wire>,
    T::Stream: Send + 'static,
{
    let (client, connection) = settings.connect_raw(wire, tls).await?;
    let (in_use, closed) = oneshot::channel();
    let target = target.to_owned();
    let task = tokio::spawn(async move {
        let limit = async {
            // Nothing is ever sent: an error means that the connection was dropped.
            let _ = closed.await;
            tokio::time::sleep(CLOSE_GRACE).await;
        };
        tokio::select! {
            () = drive(connection, &target) => {}
            () = limit => {}
        }
    });
    Ok((client, Driver { task, in_use }))
}

async fn drive<T>(mut connection: tokio_postgres::Connection<Wire, T>, target: &str)
where
    T: AsyncRead + AsyncWrite + Unpin,
{
    // Notices are dropped: they may quote what applications do.
    while let Some(message) = std::future::poll_fn(|context| connection.poll_message(context)).await {
        if let Err(error) = message {
            let failure = Failure::from(error);
            info!(target, class = failure.class, reason = failure.message, "the connection ended");
            break;
        }
    }
}
