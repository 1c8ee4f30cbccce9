//! A connection to one database of a server, and the one way to use it: short read-only transactions that leave nothing
//! behind.

use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_postgres::config::SslMode;
use tokio_postgres::tls::MakeTlsConnect;
use tokio_postgres::{Client, NoTls, Socket};
use tokio_postgres_rustls::MakeRustlsConnect;
use tracing::info;

use super::config::Config;
use super::error::Failure;
use super::transaction::{Timeouts, Transaction};
use super::{process_id, tls};

/// Time for the request to cancel a statement.
const CANCEL_TIMEOUT: Duration = Duration::from_secs(1);
/// How long a silent connection lives before the network is asked whether it is still there.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(30);

/// A connection to one database. Closed when dropped.
pub struct Connection {
    client: Client,
    tls: Option<MakeRustlsConnect>,
    driver: JoinHandle<()>,
    /// Name that the server shows for our sessions.
    application_name: String,
    via_pooler: bool,
}

impl Connection {
    /// Connects, and makes sure that nobody stands between us and the server, unless `via_pooler` allows it.
    pub async fn open(config: &Config, database: &str) -> Result<Connection, Failure> {
        let opened = tokio::time::timeout(config.connect_timeout, Connection::try_open(config, database)).await;
        let opened = opened.unwrap_or_else(|_| {
            let message = format!("no connection to {} within {:?}", config.endpoint, config.connect_timeout);
            Err(Failure::refused("timeout", message))
        });
        opened.map_err(Failure::while_connecting)
    }

    async fn try_open(config: &Config, database: &str) -> Result<Connection, Failure> {
        let mut settings = settings(config, database);
        let connection = if config.tls.is_on(&config.endpoint) {
            let tls = tls::connector(&config.tls).map_err(|error| Failure::refused("tls", error.to_string()))?;
            let (client, driver) = connect(&settings, tls.clone()).await?;
            Connection::new(client, Some(tls), driver, config)
        } else {
            settings.ssl_mode(SslMode::Disable);
            let (client, driver) = connect(&settings, NoTls).await?;
            Connection::new(client, None, driver, config)
        };
        if !config.via_pooler {
            connection.refuse_pooler(config).await?;
        }
        Ok(connection)
    }

    fn new(client: Client, tls: Option<MakeRustlsConnect>, driver: JoinHandle<()>, config: &Config) -> Connection {
        let (application_name, via_pooler) = (config.application_name.clone(), config.via_pooler);
        Connection { client, tls, driver, application_name, via_pooler }
    }

    /// Whether the connection is of no more use.
    pub fn is_closed(&self) -> bool {
        self.client.is_closed()
    }

    /// Begins a transaction, in which each statement may take as long as `timeouts` say.
    pub async fn begin(&self, timeouts: Timeouts) -> Result<Transaction<'_>, Failure> {
        let application_name = self.via_pooler.then_some(self.application_name.as_str());
        Transaction::begin(&self.client, timeouts, application_name).await
    }

    /// Gives the connection up in the middle of a statement: asks the server to end it, and closes.
    pub async fn abandon(self) {
        let token = self.client.cancel_token();
        let cancelled = async {
            match &self.tls {
                Some(tls) => token.cancel_query(tls.clone()).await,
                None => token.cancel_query(NoTls).await,
            }
        };
        if !matches!(tokio::time::timeout(CANCEL_TIMEOUT, cancelled).await, Ok(Ok(()))) {
            info!("could not ask the server to end a statement; its statement_timeout will");
        }
        self.driver.abort();
    }

    /// A pooler answers with a process id of its own making, and then has some backend do the work: so the id that came
    /// with the connection is not that of the backend. A server reports the same id both times.
    async fn refuse_pooler(&self, config: &Config) -> Result<(), Failure> {
        let reported = process_id::reported(&self.client.cancel_token()).await;
        let transaction = self.begin(Timeouts::within(config.connect_timeout)).await?;
        let actual = transaction.facts().process_id;
        transaction.commit().await?;
        if reported == Some(actual) {
            return Ok(());
        }
        Err(Failure::refused(
            "pooler",
            format!(
                "a connection pooler answers at {}: connect to the server itself, or set `via_pooler: true`",
                config.endpoint
            ),
        ))
    }
}

fn settings(config: &Config, database: &str) -> tokio_postgres::Config {
    let mut settings = tokio_postgres::Config::new();
    settings
        .host(&config.endpoint.host)
        .port(config.endpoint.port)
        .user(&config.username)
        .dbname(database)
        .ssl_mode(SslMode::Require)
        .connect_timeout(config.connect_timeout)
        .keepalives_idle(KEEPALIVE_IDLE);
    if let Some(password) = &config.password {
        settings.password(password.expose());
    }
    if !config.via_pooler {
        settings.application_name(&config.application_name);
    }
    settings
}

/// Connects and leaves a task that moves bytes until the client is dropped or the server goes away.
async fn connect<T>(settings: &tokio_postgres::Config, tls: T) -> Result<(Client, JoinHandle<()>), Failure>
where
    T: MakeTlsConnect<Socket>,
    T::Stream: Send + 'static,
{
    let (client, mut connection) = settings.connect(tls).await?;
    let driver = tokio::spawn(async move {
        // Notices are dropped: they may quote what applications do.
        while let Some(message) = std::future::poll_fn(|context| connection.poll_message(context)).await {
            if let Err(error) = message {
                let failure = Failure::from(error);
                info!(class = failure.class, message = failure.message, "the connection ended");
                break;
            }
        }
    });
    Ok((client, driver))
}
