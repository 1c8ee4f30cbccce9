//! A librdkafka client with what is common to consumers, producers and admins: its log, its tokens, and whether its
//! transaction coordinator can be trusted.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::ClientContext;
use rdkafka::TopicPartitionList;
use rdkafka::admin::AdminClient;
use rdkafka::client::{Client, OAuthToken};
use rdkafka::config::{ClientConfig, FromClientConfigAndContext, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::KafkaError;
use rdkafka::message::DeliveryResult;
use rdkafka::producer::{BaseProducer, Producer, ProducerContext};
use rdkafka::types::{RDKafkaErrorCode as Code, RDKafkaRespErr};

use super::clock::{self, Deadline};
use super::failure::{self, Failure, bus_error, code_error, way_out};
use super::ffi::{Event, Handle, Pump};
use super::log::Log;
use super::lookout::Lookout;
use super::oauth;
use super::settings::Settings;
use crate::BusError;

/// How long a new client may take to ask for its bearer token.
const FIRST_TOKEN_TIMEOUT: Duration = Duration::from_secs(1);
/// What went wrong longer ago explains nothing.
const RECENT: Duration = Duration::from_secs(30);
/// Debug lines name the coordinator without any trouble.
const SYSLOG_INFO: i32 = 6;
/// Events of a client that is not otherwise waited for are served up to this number at once.
const SERVED_MAX: usize = 10_000;

/// What librdkafka calls back.
pub struct Context {
    log: Log,
    tokens: Option<oauth::Source>,
    token_asked: AtomicBool,
    coordinator_troubled: AtomicBool,
    last_failure: Mutex<Option<LastFailure>>,
    lookout: Lookout,
}

struct LastFailure {
    at: Instant,
    code: Code,
    text: String,
}

impl Context {
    /// For a client that does `purpose`.
    pub fn new(purpose: &str, settings: &Settings) -> Context {
        Context {
            log: Log::new(purpose.to_owned()),
            tokens: settings.tokens(),
            token_asked: AtomicBool::new(false),
            coordinator_troubled: AtomicBool::new(false),
            last_failure: Mutex::default(),
            lookout: Lookout::new(settings),
        }
    }

    /// What the client does.
    pub fn name(&self) -> &str {
        self.log.client()
    }

    /// What finds lost brokers again.
    pub fn lookout(&self) -> &Lookout {
        &self.lookout
    }

    /// Whether the connection to the transaction coordinator has ever broken or timed out. A request of this client may
    /// then still be on its way, and end a later transaction than the one it was meant for (KAFKA-17754).
    pub fn coordinator_troubled(&self) -> bool {
        self.coordinator_troubled.load(Ordering::Relaxed)
    }

    /// The last thing that went wrong with a connection, for errors that only say that something timed out.
    pub fn last_failure(&self) -> Option<(Code, String)> {
        let last = self.last_failure.lock().unwrap_or_else(PoisonError::into_inner);
        let recent = last.as_ref().filter(|last| clock::now().duration_since(last.at) < RECENT);
        recent.map(|last| (last.code, last.text.clone()))
    }

    fn line(&self, level: i32, facility: &str, text: &str) {
        if level <= SYSLOG_INFO {
            self.watch(text);
        }
        self.log.line(level, facility, text);
    }

    fn failed(&self, code: Code, text: &str) {
        self.watch(text);
        // That all brokers are away says less than what was said before.
        if code != Code::AllBrokersDown {
            *self.last_failure.lock().unwrap_or_else(PoisonError::into_inner) =
                Some(LastFailure { at: clock::now(), code, text: text.to_owned() });
        }
    }

    fn watch(&self, text: &str) {
        if text.contains("TxnCoordinator") {
            self.coordinator_troubled.store(true, Ordering::Relaxed);
        }
    }

    fn waits_for_token(&self) -> bool {
        self.tokens.is_some() && !self.token_asked.load(Ordering::Relaxed)
    }

    fn token(&self) -> Result<OAuthToken, String> {
        self.token_asked.store(true, Ordering::Relaxed);
        let Some(source) = &self.tokens else {
            return Err("no token source is configured for OAUTHBEARER".to_owned());
        };
        source.token().map_err(|error| {
            tracing::warn!(client = self.log.client(), %error, "no bearer token");
            error.to_string()
        })
    }
}

impl ClientContext for Context {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    fn log(&self, level: RDKafkaLogLevel, facility: &str, text: &str) {
        self.line(level as i32, facility, text);
    }

    fn stats_raw(&self, _statistics: &[u8]) {}

    fn error(&self, error: KafkaError, reason: &str) {
        self.failed(error.rdkafka_error_code().unwrap_or(Code::Fail), reason);
    }

    fn generate_oauth_token(&self, _config: Option<&str>) -> Result<OAuthToken, Box<dyn std::error::Error>> {
        Ok(self.token()?)
    }
}

impl ConsumerContext for Context {
    /// Only reached while a consumer is dropped; before that, rebalances come as events.
    fn rebalance(&self, consumer: &BaseConsumer<Context>, _kind: RDKafkaRespErr, _list: &mut TopicPartitionList) {
        if let Err(error) = consumer.unassign() {
            tracing::debug!(%error, "unassigning while closing");
        }
    }
}

impl ProducerContext for Context {
    type DeliveryOpaque = ();

    /// Only reached while a producer is dropped; before that, deliveries come as events.
    fn delivery(&self, _result: &DeliveryResult<'_>, (): ()) {}
}

impl Handle for BaseConsumer<Context> {
    fn client(&self) -> &Client<Context> {
        Consumer::client(self)
    }
}

impl Handle for BaseProducer<Context> {
    fn client(&self) -> &Client<Context> {
        Producer::client(self)
    }
}

impl Handle for AdminClient<Context> {
    fn client(&self) -> &Client<Context> {
        self.inner()
    }
}

/// Creates a client that does `purpose`.
pub fn create<T: Handle + FromClientConfigAndContext<Context>>(
    purpose: &str,
    settings: &Settings,
    properties: &ClientConfig,
) -> Result<Pump<T>, BusError> {
    let operation = format!("start the kafka client for {purpose}");
    let created = properties.create_with_context::<Context, T>(Context::new(purpose, settings));
    let client = created.map_err(|error| bus_error(operation.as_str(), error))?;
    let pump = Pump::new(client).ok_or_else(|| code_error(operation, Code::Fail))?;
    pump.give_first_token();
    Ok(pump)
}

/// Whether the brokers were not reached: why not is known elsewhere.
fn cannot_connect(code: Code) -> bool {
    matches!(
        code,
        Code::BrokerTransportFailure
            | Code::AllBrokersDown
            | Code::OperationTimedOut
            | Code::RequestTimedOut
            | Code::MessageTimedOut
            | Code::WaitingForCoordinator
    )
}

impl<T: Handle> Pump<T> {
    /// What librdkafka calls back.
    pub fn context(&self) -> &Arc<Context> {
        self.client().client().context()
    }

    /// The error of a call, with what went wrong below it.
    pub fn explain(&self, operation: impl Into<String>, error: KafkaError) -> BusError {
        self.serve();
        let operation = operation.into();
        let Failure { code, message, .. } = Failure::from(error);
        match self.context().last_failure() {
            Some((cause, text)) if cannot_connect(code) => {
                // With TLS 1.3 a client learns that its certificate is refused from a connection that breaks.
                let cause = if text.contains("SSL routines") { Code::SSL } else { cause };
                failure::by_code(if way_out(cause).is_some() { cause } else { code }, operation, text)
            }
            _ => failure::by_code(code, operation, message),
        }
    }

    /// Calls that block do not serve events: what they need to connect has to be there before.
    fn give_first_token(&self) {
        let deadline = Deadline::after(FIRST_TOKEN_TIMEOUT);
        while self.context().waits_for_token() && !deadline.passed() {
            self.serve_for(deadline.left());
        }
    }

    /// Serves what every client has: log lines, tokens, broken connections. Returns any other event.
    pub fn common<'e>(&self, event: Event<'e>) -> Option<Event<'e>> {
        match event {
            Event::Log { level, facility, text } => self.context().line(level, &facility, &text),
            Event::TokenWanted => {
                if let Err(reason) = self.set_token(self.context().token()) {
                    tracing::warn!(reason, "the bearer token was refused");
                }
            }
            Event::Failed { code, fatal, place, reason } => {
                self.context().failed(code, &reason);
                return Some(Event::Failed { code, fatal, place, reason });
            }
            Event::Other => {}
            event => return Some(event),
        }
        None
    }

    /// Serves the common events that wait, without waiting for more; the others are dropped.
    pub fn serve(&self) {
        self.serve_for(Duration::ZERO);
    }

    /// As [`Pump::serve`], waiting for the first one.
    pub fn serve_for(&self, wait: Duration) {
        let mut wait = wait;
        for _ in 0..SERVED_MAX {
            let served = self.next(wait, |event| {
                self.common(event);
            });
            if !served {
                return;
            }
            wait = Duration::ZERO;
        }
    }
}
