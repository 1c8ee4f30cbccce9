//! Everything that pollers published, read back from an embedded log; and pollers that run on one.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use dbintel_bus::embedded::{Config as LogConfig, Embedded};
use dbintel_bus::{Bus, Framings, Publisher, planned_topics};
use dbintel_pollers::postgresql::Config;
use dbintel_pollers::{Fleet, start};
use dbintel_schemas::records::{RawMetrics, RawPoll};
use dbintel_schemas::wire::unframe;
use dbintel_schemas::{Record, Topic};
use dbintel_tests::books::read_all;
use dbintel_tests::servers::HOST;
use dbintel_tests::wait::eventually;
use prometheus::Registry;
use tempfile::TempDir;

/// Longest wait for anything that a poller should do.
pub const LIMIT: Duration = Duration::from_secs(30);

/// A log with what pollers publish, and the pollers.
pub struct Tape {
    bus: Arc<dyn Bus>,
    pub fleet: Fleet,
    _directory: TempDir,
}

/// What `raw.polls` says of a poll.
#[derive(Debug, Clone)]
pub struct Seen {
    pub class: String,
    pub database: Option<String>,
    pub outcome: String,
    pub error_class: Option<String>,
    pub error: Option<String>,
    pub rows: BTreeMap<String, i64>,
    pub poll_seq: i64,
    pub started_at: i64,
    pub interval_ns: Option<i64>,
    pub duration_ns: i64,
    pub statements_sent: i64,
    pub snapshot_complete: bool,
    pub entries: Option<i64>,
    pub entries_max: Option<i64>,
    pub evictions: Option<i64>,
    pub texts_withheld: i64,
    pub skipped_polls: i64,
    pub connections_used: Option<i64>,
    pub connections_max: Option<i64>,
    pub active_sessions: Option<i64>,
    pub lock_waiters: Option<i64>,
    pub in_recovery: Option<bool>,
    pub replication_lag_ns: Option<i64>,
    pub role: String,
    pub server_started_at: Option<i64>,
    pub statistics_reset_at: Option<i64>,
    pub capabilities: Vec<(String, String, String)>,
}

/// Settings that poll the server on this port often, as the superuser.
pub fn settings(port: u16) -> Config {
    let mut config = Config { username: "postgres".to_owned(), ..Config::default() };
    config.endpoint = format!("{HOST}:{port}").parse().unwrap();
    config.sessions.interval = Duration::from_millis(100);
    config.statements.interval = Duration::from_millis(200);
    config.metrics.interval = Duration::from_millis(200);
    config.replication.interval = Duration::from_millis(200);
    config.settings.interval = Duration::from_millis(200);
    config.tables.interval = Duration::from_millis(200);
    config.sizes.interval = Duration::from_millis(300);
    config.texts.interval = Duration::from_millis(100);
    config
}

impl Tape {
    /// Polls the server of these settings as `postgresql/shop` or `mysql/shop`.
    pub fn of(config: impl Into<dbintel_pollers::Config>) -> Tape {
        let directory = tempfile::tempdir().unwrap();
        let settings = LogConfig { directory: directory.path().to_path_buf(), ..LogConfig::default() };
        let bus: Arc<dyn Bus> = Arc::new(Embedded::open(&settings).unwrap());
        bus.create_topics(&planned_topics(1, &[])).unwrap();
        let publisher = Publisher::new(bus.producer().unwrap(), Framings::single_object(), 1);
        let registry = Registry::new();
        let config = config.into();
        let kind = if matches!(config, dbintel_pollers::Config::MySql(_)) { "mysql" } else { "postgresql" };
        let component = format!("{kind}/shop").parse().unwrap();
        let fleet = start(vec![(component, config)], publisher, &registry).unwrap();
        Tape { bus, fleet, _directory: directory }
    }

    /// Stops the pollers and waits until they have.
    pub async fn stop(&self) {
        self.fleet.stop().await;
    }

    /// Values of a topic as they are on the log.
    pub fn values(&self, topic: Topic) -> Vec<Vec<u8>> {
        read_all(&*self.bus, topic, 0).into_iter().map(|record| record.value).collect()
    }

    /// All polls so far.
    pub fn polls(&self) -> Vec<Seen> {
        self.values(Topic::RawPolls).iter().map(|value| seen(&decode(value))).collect()
    }

    /// Polls of a class that ended after now, when this many have.
    pub async fn next_polls(&self, class: &str, count: usize) -> Vec<Seen> {
        let before = self.polls().len();
        self.polls_after(before, class, count).await
    }

    /// Polls of a class after the first `before` of all classes, when this many have ended.
    pub async fn polls_after(&self, before: usize, class: &str, count: usize) -> Vec<Seen> {
        let what = format!("{count} polls of {class}");
        eventually(LIMIT, &what, async || {
            let polls: Vec<_> = self.polls().into_iter().skip(before).filter(|poll| poll.class == class).collect();
            (polls.len() >= count).then_some(polls)
        })
        .await
    }

    /// The first poll from now on of which `is_it` is true.
    pub async fn poll_with(&self, what: &str, is_it: impl Fn(&Seen) -> bool) -> Seen {
        let before = self.polls().len();
        eventually(LIMIT, what, async || self.polls().into_iter().skip(before).find(&is_it)).await
    }

    /// A poll of this class that began after now and went well.
    pub async fn whole_poll(&self, class: &str) -> Seen {
        let begin = wall_us();
        let is_it = |poll: &Seen| poll.class == class && poll.outcome == "ok" && poll.started_at > begin;
        self.poll_with(&format!("a whole poll of {class}"), is_it).await
    }

    /// The last value of a metric of an object: the object's identity and the point's attributes as `name=value`, sorted.
    pub fn metrics(&self) -> BTreeMap<(String, String), f64> {
        let mut latest = BTreeMap::new();
        for value in self.values(Topic::RawMetrics) {
            let record: RawMetrics<'_> = decode(&value);
            for point in record.points.iter() {
                let mut parts: Vec<_> = record.object.iter().chain(point.attributes.iter()).collect();
                parts.sort_unstable();
                let parts: Vec<_> = parts.iter().map(|(name, value)| format!("{name}={value}")).collect();
                let number = point.double_value.or(point.int_value.map(|value| value as f64));
                latest.insert((point.name.to_owned(), parts.join(",")), number.unwrap());
            }
        }
        latest
    }
}

/// The clock by which polls say when they began, in µs.
#[expect(clippy::disallowed_methods, reason = "what is compared comes from a real poller")]
pub fn wall_us() -> i64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_micros() as i64
}

/// A record in single-object encoding.
pub fn decode<'a, R: Record<'a>>(value: &'a [u8]) -> R {
    R::decode(unframe(value).unwrap().1).unwrap()
}

fn seen(poll: &RawPoll<'_>) -> Seen {
    let capability =
        |name: &str, consequence: &str, remedy: &str| (name.to_owned(), consequence.to_owned(), remedy.to_owned());
    Seen {
        class: poll.poll_class.to_owned(),
        database: poll.database.map(str::to_owned),
        outcome: poll.outcome.to_owned(),
        error_class: poll.error_class.map(str::to_owned),
        error: poll.error.map(str::to_owned),
        rows: poll.rows.iter().map(|topic| (topic.topic.to_owned(), topic.rows)).collect(),
        poll_seq: poll.poll_seq,
        started_at: poll.started_at,
        interval_ns: poll.interval_ns,
        duration_ns: poll.duration_ns,
        statements_sent: poll.statements_sent,
        snapshot_complete: poll.snapshot_complete,
        entries: poll.entries,
        entries_max: poll.entries_max,
        evictions: poll.evictions,
        texts_withheld: poll.texts_withheld,
        skipped_polls: poll.skipped_polls,
        connections_used: poll.connections_used,
        connections_max: poll.connections_max,
        active_sessions: poll.active_sessions,
        lock_waiters: poll.lock_waiters,
        in_recovery: poll.in_recovery,
        replication_lag_ns: poll.replication_lag_ns,
        role: poll.role.to_owned(),
        server_started_at: poll.instance.started_at,
        statistics_reset_at: poll.instance.statistics_reset_at,
        capabilities: poll.capabilities.iter().map(|it| capability(it.name, it.consequence, it.remedy)).collect(),
    }
}
