use prometheus::Registry;

use super::*;
use crate::delivery::{self, Ticket};
use crate::otlp::config::Protocol;
use crate::otlp::request::Resource;

/// A port on which nobody listens.
const NOBODY: &str = "http://127.0.0.1:1";
const LIMIT: Duration = Duration::from_secs(10);

/// A lane at work and the ends of it that its sink holds.
struct Rig {
    jobs: queue::UnboundedSender<Job>,
    generation: watch::Sender<u64>,
    reports: mpsc::Receiver<Report>,
    metrics: Metrics,
    load: Arc<Load>,
}

/// Starts a lane to a receiver that is away, which says after a moment that it is stuck.
fn start() -> Rig {
    let millis = Duration::from_millis;
    let retry_on_failure = RetryOnFailure {
        initial_interval: millis(1),
        max_interval: Duration::from_secs(3600),
        multiplier: 100.0,
        max_elapsed_time: millis(50),
        ..RetryOnFailure::default()
    };
    let config =
        Config { endpoint: NOBODY.to_owned(), protocol: Protocol::Http, retry_on_failure, ..Config::default() };
    let metrics = Metrics::new(&delivery::Metrics::new(&Registry::new(), "otlp"), 1);
    let (jobs, receiver) = queue::unbounded_channel();
    let (generation, current) = watch::channel(0);
    let (reporter, reports) = mpsc::channel();
    let load = Arc::new(Load::default());
    let lane = Lane {
        sink: "otlp".to_owned(),
        signal: Signal::Logs,
        transport: Transport::new(&config).unwrap(),
        config: Arc::new(config),
        load: Arc::clone(&load),
        reports: reporter,
        generation: current,
        metrics: metrics.clone(),
    };
    tokio::spawn(lane.run(receiver));
    Rig { jobs, generation, reports, metrics, load }
}

impl Rig {
    fn send(&self, generation: u64) {
        let (resource, bytes) = (Arc::new(Resource::default()), Box::default());
        let items = vec![Item { ticket: Ticket::SETTLED_BEFORE, resource, metric: None, bytes, at: 0 }];
        let job = Job { generation, items, bytes: 1 };
        self.load.enter(&job);
        self.jobs.send(job).unwrap();
    }

    async fn until(&self, what: &str, is_so: impl Fn(&Rig) -> bool) {
        let wait = async {
            while !is_so(self) {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        assert!(tokio::time::timeout(LIMIT, wait).await.is_ok(), "no {what} within {LIMIT:?}");
    }
}

#[tokio::test]
async fn a_lane_that_has_nothing_to_deliver_any_more_is_not_stuck() {
    let rig = start();
    rig.generation.send_replace(1);
    rig.send(1);
    rig.until("stuck lane", |rig| rig.metrics.stuck.get() == 1).await;
    // Waits for an hour, unless it hears that its items are somebody else's now.
    rig.generation.send_replace(2);
    rig.until("idle lane", |rig| rig.load.now() == (0, 0)).await;
    assert_eq!(rig.metrics.stuck.get(), 0);
    assert!(rig.reports.try_recv().is_err());
}

#[tokio::test]
async fn what_waits_when_the_sink_ends_is_not_sent() {
    let rig = start();
    rig.generation.send_replace(1);
    rig.send(1);
    rig.send(1);
    rig.until("stuck lane", |rig| rig.metrics.stuck.get() == 1).await;
    let attempts = rig.metrics.retries.get();
    drop(rig.generation);
    let ended = async {
        while rig.load.now() != (0, 0) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    assert!(tokio::time::timeout(LIMIT, ended).await.is_ok());
    assert_eq!((rig.metrics.retries.get(), rig.metrics.stuck.get()), (attempts, 0));
}
