//! rotel: an OTLP receiver written in Rust by others, on gRPC and HTTP.

use std::net::TcpStream;
use std::time::Duration;

use super::received::{Point, Received, metric};
use super::{HOST, installed};
use crate::ports;
use crate::process::{Process, Program};
use crate::scratch::Scratch;

/// A receiver that prints and forgets; its process ends with the value.
#[derive(Debug)]
pub struct Rotel {
    /// For OTLP over gRPC.
    pub grpc: String,
    /// For OTLP over HTTP, without a path.
    pub http: String,
    /// The receiver's process.
    pub process: Process,
    _scratch: Scratch,
}

impl Rotel {
    /// Starts a receiver, in some milliseconds.
    ///
    /// # Panics
    /// If it is not installed or does not start.
    #[must_use]
    pub fn start() -> Rotel {
        let scratch = Scratch::new("rotel");
        let (grpc, http) = (ports::free(), ports::free());
        let program = Program::new(installed("rotel").join("rotel/rotel-agent"), scratch.path())
            .arguments(["start", "--exporter", "blackhole"])
            .arguments(["--debug-log", "metrics", "--debug-log", "logs", "--debug-log-verbosity", "detailed"])
            .arguments(["--otlp-grpc-endpoint".to_owned(), format!("{HOST}:{grpc}")])
            .arguments(["--otlp-http-endpoint".to_owned(), format!("{HOST}:{http}")]);
        let mut process = Process::start(program);
        process.wait_until(|_| [grpc, http].iter().all(|&port| TcpStream::connect((HOST, port)).is_ok()));
        Rotel {
            grpc: format!("http://{HOST}:{grpc}"),
            http: format!("http://{HOST}:{http}"),
            process,
            _scratch: scratch,
        }
    }

    /// All that it has received since it was last started.
    #[must_use]
    pub fn received(&self) -> Received {
        Received::parse(&self.process.log())
    }

    /// Waits for the first point of a metric.
    ///
    /// # Panics
    /// If none arrives within `limit`.
    pub async fn metric(&self, limit: Duration, name: &str) -> Point {
        metric(limit, name, || self.received()).await
    }
}
