//! An OTLP receiver that answers by a script: errors, delays asked for, partial success, silence,
//! and nobody there. It keeps every request for the test to look at.
//!
//! It runs in a thread of its own, so that neither a blocking test nor the runtime under test
//! delays it, and so that [`OtlpPeer::stop`] cuts every connection at once.

mod grpc;
mod http;

use std::collections::{BTreeMap, VecDeque};
use std::net::TcpListener;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use tokio::sync::{oneshot, watch};
use tokio::time::Instant;
use tonic::Code;

use crate::ports;
use crate::servers::HOST;

/// A test that sends more has gone wrong.
const REQUESTS_MAX: usize = 100_000;

/// How a request is answered.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// All was taken.
    Ok,
    /// The request was taken, less so many points or records. With 0 the message is a warning.
    PartialSuccess {
        /// Points or records that are lost.
        rejected: i64,
        /// Why.
        message: String,
    },
    /// A status other than OK, for requests over gRPC.
    Grpc {
        /// The status.
        code: Code,
        /// Sent as `RetryInfo` in the details.
        retry_after: Option<Duration>,
    },
    /// A status other than 200, for requests over HTTP.
    Http {
        /// The status.
        status: u16,
        /// Sent as `Retry-After`: seconds or a date.
        retry_after: Option<String>,
    },
    /// Nothing, for as long as the client waits.
    Hang,
}

impl Answer {
    /// Whether the receiver took the request, so that it must not come again.
    #[must_use]
    pub fn accepts(&self) -> bool {
        matches!(self, Answer::Ok | Answer::PartialSuccess { .. })
    }
}

/// What a client sent.
#[derive(Clone, Debug, PartialEq)]
pub enum Export {
    /// To the metrics service or `/v1/metrics`.
    Metrics(ExportMetricsServiceRequest),
    /// To the logs service or `/v1/logs`.
    Logs(ExportLogsServiceRequest),
}

/// Over which protocol a request came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/2 with gRPC.
    Grpc,
    /// HTTP/1.1 with a protobuf body.
    Http,
}

/// A request that was received, whatever it was answered.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// Over which protocol it came.
    pub protocol: Protocol,
    /// Its headers, names in lower case.
    pub headers: BTreeMap<String, String>,
    /// Its content.
    pub export: Export,
    /// How it is answered.
    pub answer: Answer,
    /// When it came.
    pub received_at: Instant,
}

/// A receiver that answers by a script.
#[derive(Debug)]
pub struct OtlpPeer {
    /// For OTLP over gRPC.
    pub grpc: String,
    /// For OTLP over HTTP, without a path.
    pub http: String,
    ports: [u16; 2],
    record: Arc<Record>,
    running: Option<Running>,
}

#[derive(Debug)]
struct Running {
    stop: oneshot::Sender<()>,
    thread: JoinHandle<()>,
}

impl OtlpPeer {
    /// Starts a receiver that answers [`Answer::Ok`] until it is told otherwise.
    ///
    /// # Panics
    /// If its ports cannot be taken.
    #[must_use]
    pub fn start() -> OtlpPeer {
        let ports = [ports::free(), ports::free()];
        let [grpc, http] = ports.map(|port| format!("http://{HOST}:{port}"));
        let mut peer = OtlpPeer { grpc, http, ports, record: Arc::default(), running: None };
        peer.start_again();
        peer
    }

    /// Answers the next requests so, one each; then as [`OtlpPeer::answer_always`] says.
    pub fn answer_next(&self, answers: impl IntoIterator<Item = Answer>) {
        self.record.lock().next.extend(answers);
    }

    /// Answers so whenever the script is at its end.
    pub fn answer_always(&self, answer: Answer) {
        self.record.lock().otherwise = answer;
    }

    /// All requests until now, in the order received.
    #[must_use]
    pub fn requests(&self) -> Vec<Request> {
        self.record.lock().requests.clone()
    }

    /// What was accepted until now: nothing of it may be missing or there twice.
    #[must_use]
    pub fn accepted(&self) -> Vec<Export> {
        let record = self.record.lock();
        record
            .requests
            .iter()
            .filter(|request| request.answer.accepts())
            .map(|request| request.export.clone())
            .collect()
    }

    /// Waits until there were so many requests, and gives all.
    ///
    /// # Panics
    /// If there are fewer within `limit`.
    pub async fn requests_after(&self, count: usize, limit: Duration) -> Vec<Request> {
        let mut received = self.record.received.subscribe();
        let enough = received.wait_for(|&received| received >= count);
        let in_time = tokio::time::timeout(limit, enough).await.is_ok();
        let requests = self.requests();
        assert!(in_time, "{} of {count} OTLP requests came within {limit:?}", requests.len());
        requests
    }

    /// Cuts all connections; from now on connecting is refused. What was recorded stays.
    pub fn stop(&mut self) {
        if let Some(running) = self.running.take() {
            // The thread ends when it hears this, or has ended by a panic already.
            let _heard = running.stop.send(());
            assert!(running.thread.join().is_ok() || thread::panicking(), "the OTLP peer panicked");
        }
    }

    /// Listens again, on the same ports.
    ///
    /// # Panics
    /// If it has not been stopped, or its ports were taken meanwhile.
    pub fn start_again(&mut self) {
        assert!(self.running.is_none(), "the OTLP peer runs");
        let [grpc, http] = self.ports.map(listen);
        let (stop, stopped) = oneshot::channel();
        let record = Arc::clone(&self.record);
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let runtime = runtime.expect("a runtime can be built");
            runtime.block_on(async {
                tokio::select! {
                    () = grpc::serve(listener(grpc), Arc::clone(&record)) => {}
                    () = http::serve(listener(http), record) => {}
                    _ = stopped => {}
                }
            });
            // Dropping the runtime drops the connections.
        });
        self.running = Some(Running { stop, thread });
    }
}

impl Drop for OtlpPeer {
    fn drop(&mut self) {
        self.stop();
    }
}

fn listen(port: u16) -> TcpListener {
    TcpListener::bind((HOST, port)).unwrap_or_else(|error| panic!("could not listen on {HOST}:{port}: {error}"))
}

fn listener(listener: TcpListener) -> tokio::net::TcpListener {
    let prepared = listener.set_nonblocking(true).and_then(|()| tokio::net::TcpListener::from_std(listener));
    prepared.expect("a listening socket can be made non-blocking")
}

/// The script and what was received.
#[derive(Debug)]
struct Record {
    state: Mutex<State>,
    received: watch::Sender<usize>,
}

#[derive(Debug)]
struct State {
    next: VecDeque<Answer>,
    otherwise: Answer,
    requests: Vec<Request>,
}

impl Default for Record {
    fn default() -> Record {
        let state = State { next: VecDeque::new(), otherwise: Answer::Ok, requests: Vec::new() };
        Record { state: Mutex::new(state), received: watch::Sender::new(0) }
    }
}

impl Record {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records a request and gives the answer that the script has for it.
    async fn answer(&self, protocol: Protocol, headers: &axum::http::HeaderMap, export: Export) -> Answer {
        let headers = headers.iter().map(|(name, value)| {
            let value = String::from_utf8_lossy(value.as_bytes());
            (name.as_str().to_owned(), value.into_owned())
        });
        let headers = headers.collect();
        let (answer, count) = {
            let mut state = self.lock();
            assert!(state.requests.len() < REQUESTS_MAX, "more than {REQUESTS_MAX} OTLP requests");
            let answer = state.next.pop_front().unwrap_or_else(|| state.otherwise.clone());
            let received_at = Instant::now();
            state.requests.push(Request { protocol, headers, export, answer: answer.clone(), received_at });
            (answer, state.requests.len())
        };
        self.received.send_replace(count);
        if answer == Answer::Hang {
            std::future::pending::<()>().await;
        }
        answer
    }
}
