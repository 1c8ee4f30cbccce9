//! What waits in an outbox while the disk is full.

use super::*;
use crate::embedded::scene::Scene;
use crate::{Producer as _, Retention};

const TOPIC: &str = "topic";

#[test]
fn without_space_records_go_on_gathering_and_the_reason_is_told() {
    let scene = Scene::new(&[(TOPIC, Retention::Unlimited)], u64::MAX);
    let producer = Producer::new(Arc::clone(&scene.bus.core));
    let value = Some(b"value".as_slice());
    let record = Outgoing { topic: TOPIC, partition: 0, timestamp: 1, key: None, value, headers: &[] };
    producer.send(record).unwrap();
    let refused = || producer.flush(Duration::from_millis(50)).unwrap_err().to_string();
    assert!((0..200).any(|_| refused().contains("disk full")), "{}", refused());
    producer.send(record).unwrap();
    assert_eq!(producer.outstanding(), 2);
    assert_eq!(producer.outbox.take().appends.len(), 1, "they are one block");
}
