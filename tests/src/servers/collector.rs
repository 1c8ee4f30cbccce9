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
        Collector::start_as("http", "")
    }

    /// Starts a Collector that takes secured connections only, with this certificate and its key. With `client_ca_file`
    /// it demands a certificate of its clients.
    ///
    /// # Panics
    /// If it is not installed or does not start.
    #[must_use]
    pub fn start_secured(cert_file: &str, key_file: &str, client_ca_file: Option<&str>) -> Collector {
        let client_ca = client_ca_file.map(|file| format!(", client_ca_file: {file}")).unwrap_or_default();
        Collector::start_as("https", &format!(", tls: {{cert_file: {cert_file}, key_file: {key_file}{client_ca}}}"))
    }

    fn start_as(scheme: &str, tls: &str) -> Collector {
        let scratch = Scratch::new("collector");
        let ports = [ports::free(), ports::free()];
        let settings = scratch.write("collector.yaml", &settings(ports, tls));
        let program = Program::new(installed("collector").join("collector"), scratch.path())
            .arguments(["--config".to_owned(), text(&settings)]);
        let [grpc, http] = ports.map(|port| format!("{scheme}://{HOST}:{port}"));
        let mut collector = Collector { grpc, http, process: Process::start(program), _scratch: scratch };
        collector.wait_until_ready();
        collector
    }

    /// Stops it and starts it again, on the same ports and with what its files hold by now.
    ///
    /// # Panics
    /// If it does not start.
    pub fn restart(&mut self) {
        self.process.stop();
        self.process.start_again();
        self.wait_until_ready();
    }

    fn wait_until_ready(&mut self) {
        self.process.wait_until(|process| process.log().contains("Everything is ready"));
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

fn settings([grpc, http]: [u16; 2], tls: &str) -> String {
    format!(
        "receivers:
  otlp:
    protocols:
      grpc: {{endpoint: \"{HOST}:{grpc}\"{tls}}}
      http: {{endpoint: \"{HOST}:{http}\"{tls}}}
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
