//! Settings of the OTLP sink: the keys and defaults of the Collector's exporters.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use dbintel_config::{Secret, Section};

use super::transport::{Endpoint, header, tls_mistakes};
use crate::delivery::FirstStart;

/// Largest request, in bytes before compression; the specification's own limit for clients.
const REQUEST_BYTES_LIMIT: &str = "64 MiB";

/// Settings of an OTLP sink.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where the receiver is: `host:port`, or a URL. Over HTTP the paths `/v1/metrics` and `/v1/logs` are appended.
    pub endpoint: String,
    /// Over HTTP: where metrics go instead, used as it is.
    pub metrics_endpoint: Option<String>,
    /// Over HTTP: where logs go instead, used as it is.
    pub logs_endpoint: Option<String>,
    /// How to speak.
    pub protocol: Protocol,
    /// Sent with each request; values may be secrets.
    pub headers: BTreeMap<String, Secret>,
    /// How requests are compressed.
    pub compression: Compression,
    /// Longest wait for the answer to one request.
    pub timeout: Duration,
    /// How the connection is secured.
    pub tls: Tls,
    /// How failed requests are repeated.
    pub retry_on_failure: RetryOnFailure,
    /// How many requests wait and run.
    pub sending_queue: SendingQueue,
    /// How items are put together.
    pub batch: Batch,
    /// Where it begins when it has never run.
    pub start_at: FirstStart,
}

/// How to speak to the receiver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// OTLP/gRPC.
    Grpc,
    /// OTLP/HTTP with binary protobuf.
    Http,
}

/// How requests are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    None,
    /// gzip.
    Gzip,
}

/// How the connection is secured. An endpoint with `http://` is never secured, one with `https://` always.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tls {
    /// No TLS for an endpoint without a scheme.
    pub insecure: bool,
    /// Trusts any certificate. For tests only.
    pub insecure_skip_verify: bool,
    /// Certificates to trust instead of the system's, PEM.
    pub ca_file: Option<PathBuf>,
    /// Own certificate, PEM.
    pub cert_file: Option<PathBuf>,
    /// Its key, PEM.
    pub key_file: Option<PathBuf>,
    /// Name to expect in the certificate instead of the endpoint's.
    pub server_name_override: Option<String>,
}

/// How failed requests are repeated.
#[derive(Debug, Clone, PartialEq)]
pub struct RetryOnFailure {
    /// Without it, what fails once is rejected and recorded, also when the receiver refuses us and not the data.
    pub enabled: bool,
    /// First wait.
    pub initial_interval: Duration,
    /// Part of a wait by which it may be longer or shorter.
    pub randomization_factor: f64,
    /// Growth of the waits.
    pub multiplier: f64,
    /// Longest wait of our own.
    pub max_interval: Duration,
    /// Length of one cycle of retries, after which the sink says that it is stuck and goes on at the slowest pace; 0 for
    /// one cycle without end. Nothing is dropped.
    pub max_elapsed_time: Duration,
    /// Age of a row (not of an attempt) at which it is given up if it could not be delivered: rejected and recorded; 0
    /// for never.
    pub drop_after: Duration,
}

/// How many requests wait and run. The log is the queue that persists; this one is only the way to the network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SendingQueue {
    /// Requests of one signal that run at the same time. A target always takes the same way, so its order is kept.
    pub num_consumers: usize,
    /// Requests that wait or run; past it the sink reads no further.
    pub queue_size: usize,
}

/// How items (log records and metric points) are put together to requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// Longest wait of an item for others.
    pub timeout: Duration,
    /// Items that make a request.
    pub send_batch_size: usize,
    /// Bytes that make a request, before compression.
    pub max_bytes: usize,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            endpoint: String::new(),
            metrics_endpoint: None,
            logs_endpoint: None,
            protocol: Protocol::Grpc,
            headers: BTreeMap::new(),
            compression: Compression::Gzip,
            timeout: Duration::from_secs(30),
            tls: Tls::default(),
            retry_on_failure: RetryOnFailure::default(),
            sending_queue: SendingQueue::default(),
            batch: Batch::default(),
            start_at: FirstStart::default(),
        }
    }
}

impl Default for RetryOnFailure {
    fn default() -> Self {
        RetryOnFailure {
            enabled: true,
            initial_interval: Duration::from_secs(5),
            randomization_factor: 0.5,
            multiplier: 1.5,
            max_interval: Duration::from_secs(30),
            max_elapsed_time: Duration::from_secs(300),
            drop_after: Duration::ZERO,
        }
    }
}

impl Default for SendingQueue {
    fn default() -> Self {
        SendingQueue { num_consumers: 10, queue_size: 1000 }
    }
}

impl Default for Batch {
    fn default() -> Self {
        Batch { timeout: Duration::from_millis(200), send_batch_size: 1000, max_bytes: 2 << 20 }
    }
}

impl Config {
    /// Reads the settings of a sink that speaks this protocol.
    pub fn read(section: &mut Section, protocol: Protocol) -> Config {
        let endpoint = section.doc("Where the receiver is, such as localhost:4317.").required_text("endpoint");
        let (metrics_endpoint, logs_endpoint) = match protocol {
            Protocol::Grpc => (None, None),
            Protocol::Http => (section.optional_text("metrics_endpoint"), section.optional_text("logs_endpoint")),
        };
        let tls = Tls::read(&mut section.section("tls"));
        let endpoints = [
            ("endpoint", Some(&endpoint)),
            ("metrics_endpoint", metrics_endpoint.as_ref()),
            ("logs_endpoint", logs_endpoint.as_ref()),
        ];
        for (key, text) in endpoints {
            let error = text.filter(|text| !text.is_empty()).and_then(|text| Endpoint::parse(text, true, 0).err());
            if let Some(error) = error {
                section.problem(key, error.to_string());
            }
        }
        let headers = section.doc("Sent with each request.").secret_map("headers");
        for error in headers.iter().filter_map(|(name, value)| header(name, value).err()) {
            section.problem("headers", error.to_string());
        }
        let compressions = [("gzip", Compression::Gzip), ("none", Compression::None)];
        Config {
            endpoint,
            metrics_endpoint,
            logs_endpoint,
            protocol,
            headers,
            compression: section.variant("compression", &compressions, "gzip"),
            timeout: section.doc("Longest wait for an answer.").duration_within("timeout", "30s", "1ms"..="10m"),
            tls,
            retry_on_failure: RetryOnFailure::read(&mut section.section("retry_on_failure")),
            sending_queue: SendingQueue::read(&mut section.section("sending_queue")),
            batch: Batch::read(&mut section.section("batch")),
            start_at: FirstStart::read(section),
        }
    }
}

impl Tls {
    fn read(section: &mut Section) -> Tls {
        let mut file = |key| section.optional_text(key).map(PathBuf::from);
        let (ca_file, cert_file, key_file) = (file("ca_file"), file("cert_file"), file("key_file"));
        if cert_file.is_some() != key_file.is_some() {
            section.problem_here("cert_file and key_file belong together: give both or none");
        }
        let tls = Tls {
            insecure: section.boolean("insecure", false),
            insecure_skip_verify: section.boolean("insecure_skip_verify", false),
            ca_file,
            cert_file,
            key_file,
            server_name_override: section.optional_text("server_name_override"),
        };
        if tls.insecure_skip_verify {
            section.warning("insecure_skip_verify", "certificates are not verified: anybody can pose as the receiver");
        }
        for (key, error) in tls_mistakes(&tls) {
            section.problem(key, error.to_string());
        }
        tls
    }
}

impl RetryOnFailure {
    fn read(section: &mut Section) -> RetryOnFailure {
        RetryOnFailure {
            enabled: section.boolean("enabled", true),
            initial_interval: section.duration_within("initial_interval", "5s", "1ms"..="1h"),
            randomization_factor: section.number("randomization_factor", 0.5, 0.0..=1.0),
            multiplier: section.number("multiplier", 1.5, 1.0..=100.0),
            max_interval: section.duration_within("max_interval", "30s", "1ms"..="1h"),
            max_elapsed_time: section
                .doc("Length of a cycle of retries; then the sink says that it is stuck, and goes on. Nothing is dropped.")
                .duration("max_elapsed_time", "300s"),
            drop_after: section
                .doc("Age of a row at which it is given up if it could not be delivered; 0s for never.")
                .duration("drop_after", "0s"),
        }
    }
}

impl SendingQueue {
    fn read(section: &mut Section) -> SendingQueue {
        let enabled = section.boolean("enabled", true);
        if !enabled {
            section.warning(
                "enabled",
                "the log is the queue: without a queue of its own the sink sends one request at a time",
            );
        }
        let num_consumers = section.integer("num_consumers", 10usize, 1..=1000);
        let queue_size = section.integer("queue_size", 1000usize, 1..=1_000_000);
        if enabled {
            SendingQueue { num_consumers, queue_size }
        } else {
            SendingQueue { num_consumers: 1, queue_size: 1 }
        }
    }
}

impl Batch {
    fn read(section: &mut Section) -> Batch {
        let max_bytes = section.bytes_within("max_bytes", "2 MiB", "1 KiB"..=REQUEST_BYTES_LIMIT);
        Batch {
            timeout: section.duration_within("timeout", "200ms", "0s"..="10m"),
            send_batch_size: section.integer("send_batch_size", 1000usize, 1..=1_000_000),
            max_bytes: max_bytes as usize,
        }
    }
}

#[cfg(test)]
mod tests;
