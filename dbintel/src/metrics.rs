//! The process's own metrics, in the text format of Prometheus, on `/metrics`.
//!
//! Each series carries `service_name="database-monitoring"`, which dashboards and alerts select by.

use std::collections::HashMap;
use std::fs;
use std::time::Instant;

use axum::Router;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use prometheus::{Encoder as _, Gauge, IntCounter, IntGauge, IntGaugeVec, Opts, Registry, TextEncoder};

use crate::clock;

/// What this process calls itself in its metrics.
const SERVICE_NAME: &str = "database-monitoring";
/// Clock ticks per second in `/proc`: a constant of the Linux interface.
const TICKS_PER_SECOND: f64 = 100.0;
/// Bytes of a page on the platforms that we build for.
const PAGE_BYTES: i64 = 4096;

/// A registry whose series all name the service, with what the process says about itself. Cheap to clone.
#[derive(Clone)]
pub struct OwnMetrics {
    /// Where components register theirs.
    pub registry: Registry,
    process: Process,
}

#[derive(Clone)]
struct Process {
    started_at: Instant,
    memory: IntGauge,
    uptime: Gauge,
    cpu: Gauge,
}

impl OwnMetrics {
    /// A registry for the process.
    pub fn new() -> Result<OwnMetrics, prometheus::Error> {
        let labels = HashMap::from([("service_name".to_owned(), SERVICE_NAME.to_owned())]);
        let registry = Registry::new_custom(None, Some(labels))?;
        let process = Process {
            started_at: clock::now(),
            memory: IntGauge::new("otelcol_process_memory_rss", "Resident memory in bytes")?,
            uptime: Gauge::new("otelcol_process_uptime", "Time since the start in seconds")?,
            cpu: Gauge::new("otelcol_process_cpu_seconds", "CPU time of the process in seconds")?,
        };
        registry.register(Box::new(process.memory.clone()))?;
        registry.register(Box::new(process.uptime.clone()))?;
        registry.register(Box::new(process.cpu.clone()))?;
        register_build(&registry)?;
        register_awaited(&registry)?;
        Ok(OwnMetrics { registry, process })
    }

    /// The routes.
    pub fn router(&self) -> Router {
        Router::new().route("/metrics", get(scrape)).with_state(self.clone())
    }

    /// All series in the text format.
    fn encoded(&self) -> Vec<u8> {
        self.process.read();
        let mut text = Vec::new();
        if let Err(error) = TextEncoder::new().encode(&self.registry.gather(), &mut text) {
            tracing::warn!(%error, "some of the own metrics are not shown");
        }
        text
    }
}

impl Process {
    fn read(&self) {
        self.uptime.set(clock::now().saturating_duration_since(self.started_at).as_secs_f64());
        if let Some(bytes) = fs::read_to_string("/proc/self/statm").ok().and_then(|statm| resident_bytes(&statm)) {
            self.memory.set(bytes);
        }
        if let Some(seconds) = fs::read_to_string("/proc/self/stat").ok().and_then(|stat| cpu_seconds(&stat)) {
            self.cpu.set(seconds);
        }
    }
}

fn register_build(registry: &Registry) -> Result<(), prometheus::Error> {
    let build = IntGaugeVec::new(Opts::new("dbintel_build_info", "The version that runs; always 1"), &["version"])?;
    build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
    registry.register(Box::new(build))
}

/// Counters that alerts name: nothing in this version raises them, so 0 is what they are.
fn register_awaited(registry: &Registry) -> Result<(), prometheus::Error> {
    let awaited = [
        ("circuit_breaker_trips_total", "Times that a circuit opened"),
        ("verification_pii_detections_total", "Personal data found and removed by verification"),
    ];
    for (name, help) in awaited {
        registry.register(Box::new(IntCounter::new(name, help)?))?;
    }
    Ok(())
}

/// Counters of sinks that alerts name: 0 for a sink whose kind does not have them.
const AWAITED_OF_SINKS: [(&str, &str); 5] = [
    ("otelcol_exporter_sent_metric_points", "Number of metric points successfully sent to destination"),
    ("otelcol_exporter_send_failed_metric_points", "Number of metric points in failed attempts to send to destination"),
    ("otelcol_exporter_sent_log_records", "Number of log records successfully sent to destination"),
    ("otelcol_exporter_send_failed_log_records", "Number of log records in failed attempts to send to destination"),
    ("otelcol_processor_batch_timeout_trigger_send", "Number of times the batch was sent due to a timeout trigger"),
];

/// Registers what a sink that was started has not registered itself.
pub fn register_awaited_of_sink(registry: &Registry, sink: &str) -> Result<(), prometheus::Error> {
    for (name, help) in AWAITED_OF_SINKS {
        let counter = IntCounter::with_opts(Opts::new(name, help).const_label("exporter", sink))?;
        match registry.register(Box::new(counter)) {
            Ok(()) | Err(prometheus::Error::AlreadyReg) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

async fn scrape(State(metrics): State<OwnMetrics>) -> Response {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], metrics.encoded()).into_response()
}

/// Second field of `/proc/self/statm`, in pages.
fn resident_bytes(statm: &str) -> Option<i64> {
    let pages: i64 = statm.split_whitespace().nth(1)?.parse().ok()?;
    Some(pages * PAGE_BYTES)
}

/// User and system time: the 14th and 15th field of `/proc/self/stat`. The 2nd may hold blanks and ends with `)`.
fn cpu_seconds(stat: &str) -> Option<f64> {
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let (user, system): (f64, f64) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    Some((user + system) / TICKS_PER_SECOND)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_series_names_the_service_and_counters_exist_at_zero() {
        let metrics = OwnMetrics::new().unwrap();
        let text = String::from_utf8(metrics.encoded()).unwrap();
        let series: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
        assert!(series.iter().all(|line| line.contains(r#"service_name="database-monitoring""#)), "{text}");
        for name in ["circuit_breaker_trips_total", "verification_pii_detections_total"] {
            let expected = format!(r#"{name}{{service_name="database-monitoring"}} 0"#);
            assert!(series.contains(&&*expected), "{text}");
        }
        assert!(metrics.process.memory.get() > 1_000_000);
    }

    #[test]
    fn fields_of_proc_are_counted_after_the_name() {
        let stat = "42 (a ) b) S 1 42 42 0 -1 4194560 100 0 0 0 250 50 0 0 20 0 1 0 100 1000 10";
        assert_eq!(cpu_seconds(stat), Some(3.0));
        assert_eq!(cpu_seconds("42 (dbintel"), None);
        assert_eq!(resident_bytes("100 7 3 1 0 2 0"), Some(7 * 4096));
    }
}
