use std::sync::{Mutex, PoisonError};

use dbintel_bus::{BusError, Framings, Outgoing, Producer};
use dbintel_schemas::Record;
use dbintel_schemas::records::{RawPoll, RawSession};
use dbintel_schemas::wire::{WriterSchema, unframe};
use prometheus::Registry;
use tokio::sync::Notify;

use super::*;
use crate::poll::{Class, Identity, Stamp};
use crate::rows::{Rows, SessionRow};
use crate::spool::PATIENCE;

/// A bus that takes so many records and then is full, until it gets room.
#[derive(Default)]
struct Bus {
    room: Mutex<usize>,
    sent: Mutex<Vec<(String, Vec<u8>)>>,
    refused: Notify,
    published: Notify,
    largest: usize,
}

impl Bus {
    fn with_room(room: usize) -> Arc<Bus> {
        Arc::new(Bus { room: Mutex::new(room), largest: 100_000, ..Bus::default() })
    }

    fn make_room(&self, records: usize) {
        *self.room.lock().unwrap() += records;
    }

    /// Topics of the records so far, without those of schemas.
    fn topics(&self) -> Vec<String> {
        let sent = self.sent.lock().unwrap();
        sent.iter().map(|(topic, _)| topic.clone()).filter(|topic| topic != "dbintel.schemas").collect()
    }

    /// Waits until this many records were sent.
    async fn wait_for(&self, records: usize) -> Vec<String> {
        loop {
            let published = self.published.notified();
            if self.topics().len() >= records {
                return self.topics();
            }
            published.await;
        }
    }

    /// Outcome, error class, and rows per topic of the polls so far.
    fn polls(&self) -> Vec<(String, Option<String>, i64)> {
        let sent = self.sent.lock().unwrap();
        let polls = sent.iter().filter(|(topic, _)| topic == "dbintel.raw.polls");
        polls
            .map(|(_, value)| {
                let (schema, datum) = unframe(value).unwrap();
                assert!(matches!(schema, WriterSchema::Fingerprint(it) if it == RawPoll::FINGERPRINT));
                let poll = RawPoll::decode(datum).unwrap();
                let rows = poll.rows.iter().map(|topic| topic.rows).sum();
                (poll.outcome.to_owned(), poll.error_class.map(str::to_owned), rows)
            })
            .collect()
    }
}

impl Producer for Bus {
    fn send(&self, record: Outgoing<'_>) -> Result<(), SendError> {
        let value = record.value.unwrap_or_default().to_vec();
        if value.len() > self.largest && !record.topic.ends_with("schemas") {
            return Err(SendError::TooLarge { bytes: value.len() });
        }
        let mut room = self.room.lock().unwrap_or_else(PoisonError::into_inner);
        if *room == 0 && !record.topic.ends_with("schemas") {
            self.refused.notify_one();
            return Err(SendError::Full);
        }
        *room = room.saturating_sub(usize::from(!record.topic.ends_with("schemas")));
        self.sent.lock().unwrap().push((record.topic.to_owned(), value));
        self.published.notify_one();
        Ok(())
    }

    fn flush(&self, _: Duration) -> Result<(), BusError> {
        Ok(())
    }

    fn outstanding(&self) -> usize {
        0
    }
}

fn open(bus: &Arc<Bus>, targets: usize) -> (Outlet, tokio::task::JoinHandle<()>, Metrics) {
    let metrics = Metrics::register(&Registry::new()).unwrap();
    let publisher = Publisher::new(bus.clone(), Framings::single_object(), 1);
    let (outlet, feed) = Outlet::open("orders", targets, publisher, metrics.clone());
    (outlet, tokio::spawn(feed), metrics)
}

fn sessions(rows: usize) -> Poll {
    let identity = Identity { poller: "postgresql".to_owned(), target: "orders".to_owned(), ..Identity::default() };
    let mut poll = Poll::new(Class::Sessions, Stamp { identity: Arc::new(identity), ..Stamp::default() });
    poll.rows = Rows::Sessions(
        (0..rows).map(|pid| SessionRow { session_id: pid.to_string(), ..SessionRow::default() }).collect(),
    );
    poll
}

#[tokio::test]
async fn the_poll_follows_its_rows() {
    let bus = Bus::with_room(100);
    let (outlet, feed, metrics) = open(&bus, 1);
    outlet.submit(sessions(2)).await;
    outlet.submit(sessions(0)).await;
    drop(outlet);
    feed.await.unwrap();
    let (session, poll) = ("dbintel.raw.sessions", "dbintel.raw.polls");
    assert_eq!(bus.topics(), [session, session, poll, poll]);
    assert_eq!(bus.polls(), [("ok".to_owned(), None, 2), ("ok".to_owned(), None, 0)]);
    assert_eq!(metrics.rows_published.with_label_values(&["raw.sessions"]).get(), 2);
    assert_eq!(metrics.rows_waiting.get(), 0);
}

#[tokio::test]
async fn rows_wait_for_the_bus_and_none_is_sent_twice() {
    let bus = Bus::with_room(2);
    let (outlet, feed, metrics) = open(&bus, 1);
    outlet.submit(sessions(3)).await;
    bus.refused.notified().await;
    outlet.submit(sessions(1)).await;
    bus.make_room(1);
    bus.wait_for(3).await;
    bus.make_room(100);
    assert_eq!(bus.wait_for(6).await.len(), 6);
    drop(outlet);
    feed.await.unwrap();
    assert_eq!(bus.polls(), [("ok".to_owned(), None, 3), ("ok".to_owned(), None, 1)]);
    let ids: Vec<_> =
        bus.sent.lock().unwrap().iter().filter(|(topic, _)| topic.ends_with("sessions")).cloned().collect();
    let pids: Vec<_> = ids
        .iter()
        .map(|(_, value)| RawSession::decode(unframe(value).unwrap().1).unwrap().session_id.to_owned())
        .collect();
    assert_eq!(pids, ["0", "1", "2", "0"]);
    assert!(metrics.bus_refusals.with_label_values(&["full"]).get() >= 1);
    assert_eq!((metrics.rows_dropped.with_label_values(&["raw.sessions"]).get(), metrics.rows_waiting.get()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_bus_that_is_only_busy_loses_nothing() {
    let bus = Bus::with_room(0);
    let (outlet, feed, metrics) = open(&bus, 100);
    outlet.submit(sessions(400)).await;
    outlet.submit(sessions(300)).await;
    bus.refused.notified().await;
    tokio::time::sleep(PATIENCE / 2).await;
    bus.make_room(1);
    // It took something: it is not away.
    tokio::time::sleep(PATIENCE / 2 + RETRY_INTERVAL).await;
    bus.make_room(1000);
    bus.wait_for(702).await;
    drop(outlet);
    feed.await.unwrap();
    assert_eq!(bus.polls(), [("ok".to_owned(), None, 400), ("ok".to_owned(), None, 300)]);
    assert_eq!(metrics.rows_dropped.with_label_values(&["raw.sessions"]).get(), 0);
}

#[tokio::test(start_paused = true)]
async fn what_does_not_fit_is_dropped_and_said() {
    let bus = Bus::with_room(0);
    let (outlet, feed, metrics) = open(&bus, 100);
    outlet.submit(sessions(400)).await;
    bus.refused.notified().await;
    outlet.submit(sessions(300)).await;
    while metrics.rows_dropped.with_label_values(&["raw.sessions"]).get() == 0 {
        tokio::time::sleep(RETRY_INTERVAL).await;
    }
    bus.make_room(1000);
    bus.wait_for(302).await;
    drop(outlet);
    feed.await.unwrap();
    assert_eq!(bus.polls(), [("error".to_owned(), Some("bus".to_owned()), 0), ("ok".to_owned(), None, 300)]);
    assert_eq!(metrics.rows_dropped.with_label_values(&["raw.sessions"]).get(), 400);
}

#[tokio::test]
async fn a_row_that_is_too_large_is_dropped_alone() {
    let bus = Arc::new(Bus { room: Mutex::new(100), largest: 2_000, ..Bus::default() });
    let (outlet, feed, metrics) = open(&bus, 1);
    let mut poll = sessions(3);
    if let Rows::Sessions(rows) = &mut poll.rows {
        rows[1].application = Some("x".repeat(3_000));
    }
    outlet.submit(poll).await;
    drop(outlet);
    feed.await.unwrap();
    assert_eq!(bus.polls(), [("error".to_owned(), Some("bus".to_owned()), 2)]);
    assert_eq!(metrics.rows_dropped.with_label_values(&["raw.sessions"]).get(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_stop_does_not_wait_for_a_bus_that_is_away() {
    let bus = Bus::with_room(0);
    let (outlet, feed, _) = open(&bus, 1);
    outlet.submit(sessions(1)).await;
    drop(outlet);
    feed.await.unwrap();
    assert_eq!(bus.topics(), Vec::<String>::new());
}
