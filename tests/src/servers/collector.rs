//! The OpenTelemetry Collector of its core modules: an OTLP receiver on gRPC and HTTP that prints
//! what it gets.

use std::time::Duration;

use super::received::{Point, Received, metric};
use super::{HOST, installed, text};
use crate::ports;
use crate::process::{Process, Program};
use crate::scratch::Scratch;

/// A Collector that prints and forgets; its process ends with the value.
#[derive(Debug)]
pub struct Collector {
    /// For OTLP over gRPC.
    pub grpc: String,
    /// For OTLP over HTTP, without a path.
    pub http: String,
    /// The Collector's process.
    pub process: Process,
    _scratch: Scratch,
}

impl Collector {
    /// Starts a Collector, in some milliseconds.
    ///
    /// # Panics
    /// If it is not installed or does not start.
    #[must_use]
    pub fn start() -> Collector {
        let scratch = Scratch::new("collector");
        let (grpc, http) = (ports::free(), ports::free());
        let settings = scratch.write("collector.yaml", &settings(grpc, http));
        let program = Program::new(installed("collector").join("collector"), scratch.path())
            .arguments(["--config".to_owned(), text(&settings)]);
        let mut process = Process::start(program);
        process.wait_until(|process| process.log().contains("Everything is ready"));
        Collector {
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

fn settings(grpc: u16, http: u16) -> String {
    format!(
        "receivers:
  otlp:
    protocols:
      grpc: {{endpoint: \"{HOST}:{grpc}\"}}
      http: {{endpoint: \"{HOST}:{http}\"}}
exporters:
  debug: {{verbosity: detailed, sampling_thereafter: 1}}
service:
  telemetry:
    metrics: {{level: none}}
  pipelines:
    metrics: {{receivers: [otlp], exporters: [debug]}}
    logs: {{receivers: [otlp], exporters: [debug]}}
"
    )
}
