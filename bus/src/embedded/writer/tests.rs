//! How the writer ends, and that nobody waits for it then.

use std::fmt::Debug;
use std::sync::OnceLock;

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

use super::*;
use crate::embedded::scene::{LIMIT, Scene};
use crate::{Bus, Outgoing, Retention};

const TOPIC: &str = "topic";

fn scene(disk_free_bytes_min: u64) -> Scene {
    Scene::new(&[(TOPIC, Retention::Unlimited)], disk_free_bytes_min)
}

#[test]
fn after_a_panic_nobody_waits_and_health_tells() {
    let scene = scene(0);
    let mut impossible = scene.block(TOPIC, 0, b"value");
    impossible.id.partition = 9;
    for append in [impossible, scene.block(TOPIC, 0, b"value")] {
        let refused = scene.commit(vec![append]).unwrap_err();
        assert!(matches!(&refused, CommitError::Bus(BusError::Fatal { .. })), "{refused}");
    }
    let deadline = clock::monotonic() + LIMIT;
    while !matches!(scene.bus.health(), Err(BusError::Fatal { .. })) {
        assert!(clock::monotonic() < deadline, "the writer is gone and health does not tell");
        std::thread::yield_now();
    }
}

#[test]
fn who_is_left_in_the_queue_gets_no_answer_and_nobody_else_comes() {
    let queue = Queue::new(Duration::ZERO);
    let request = || CommitRequest {
        ownership: Ownership { group: "group".to_owned(), member: 1, generation: 1 },
        appends: Vec::new(),
        positions: Vec::new(),
    };
    let reply = queue.submit(request()).unwrap();
    drop(Abandoning(&queue));
    assert!(reply.recv().is_err());
    assert!(queue.submit(request()).is_none());
}

#[test]
fn closing_on_a_full_disk_says_how_many_records_are_lost() {
    let heard = Heard::of_all_tests();
    let scene = scene(u64::MAX);
    let directory = scene.directory.path().display().to_string();
    let producer = scene.bus.producer().unwrap();
    for _ in 0..3 {
        let record =
            Outgoing { topic: TOPIC, partition: 0, timestamp: 1, key: None, value: Some(b"value"), headers: &[] };
        producer.send(record).unwrap();
    }
    drop((producer, scene));
    let said = locked(&heard.0).clone();
    assert!(said.iter().any(|line| line.contains("lost=3") && line.contains(&directory)), "{said:?}");
}

/// Keeps the errors that are logged.
#[derive(Clone, Default)]
struct Heard(Arc<Mutex<Vec<String>>>);

impl Heard {
    /// The threads of a log have no subscriber of their own.
    fn of_all_tests() -> &'static Heard {
        static HEARD: OnceLock<Heard> = OnceLock::new();
        HEARD.get_or_init(|| {
            let heard = Heard::default();
            tracing::subscriber::set_global_default(heard.clone()).expect("no other test listens");
            heard
        })
    }
}

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0.push_str(&format!(" {field}={value:?}"));
    }
}

impl Subscriber for Heard {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() == tracing::Level::ERROR
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut line = Line(String::new());
        event.record(&mut line);
        locked(&self.0).push(line.0);
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}
