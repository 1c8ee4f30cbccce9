//! What the tests inside of this module share: a log that nobody else works on, and blocks made by hand.

use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;

use super::block::Builder;
use super::catalogue::Topic;
use super::log::Log;
use super::staging::Append;
use super::writer::{CommitRequest, Ends};
use super::{Config, Embedded};
use crate::groups::Ownership;
use crate::{Bus, CommitError, GroupSpec, Member, NewTopic, Polled, Record, Retention};

/// How long a test waits for what has to come.
pub(super) const LIMIT: Duration = Duration::from_secs(30);
const GROUP: &str = "group";

/// A log with one member that may commit, and without maintenance.
pub(super) struct Scene {
    pub bus: Embedded,
    _member: Box<dyn Member>,
    /// Last, since the log is closed before it goes.
    pub directory: TempDir,
}

impl Scene {
    /// A log with these topics, of one partition each.
    pub fn new(topics: &[(&str, Retention)], disk_free_bytes_min: u64) -> Scene {
        let directory = tempfile::tempdir().unwrap();
        let config = Config {
            directory: directory.path().to_owned(),
            retention_check_interval: Duration::from_secs(1_000_000),
            disk_free_bytes_min,
            ..Config::default()
        };
        let bus = Embedded::open(&config).unwrap();
        let topic = |(name, retention): &(&str, Retention)| NewTopic {
            name: (*name).to_owned(),
            partitions: 1,
            retention: *retention,
            message_bytes_max: 1 << 20,
        };
        bus.create_topics(&topics.iter().map(topic).collect::<Vec<_>>()).unwrap();
        let spec = GroupSpec {
            group: GROUP.to_owned(),
            topics: vec![topics[0].0.to_owned()],
            changelog: None,
            slot: "0".into(),
            fetch_bytes_max: 1,
        };
        let mut member = bus.join(&spec).unwrap();
        assert_eq!(member.poll(LIMIT, 1, &mut |_: Record<'_>| {}).unwrap(), Polled::Assigned(vec![0]));
        Scene { bus, _member: member, directory }
    }

    pub fn log(&self) -> &Log {
        &self.bus.core.log
    }

    pub fn topic(&self, name: &str) -> Arc<Topic> {
        self.log().catalogue.topic(name).unwrap()
    }

    /// A block of one record, written and closed at this time.
    pub fn block(&self, topic: &str, at: i64, value: &[u8]) -> Append {
        let topic = self.topic(topic);
        let mut builder = Builder::default();
        builder.push(at, Some(b"key"), Some(value), &[]);
        Append { id: topic.partitions[0].id, topic, block: builder.seal(at) }
    }

    /// Commits blocks as they are.
    pub fn commit(&self, appends: Vec<Append>) -> Result<Ends, CommitError> {
        let ownership = Ownership { group: GROUP.to_owned(), member: 1, generation: 1 };
        self.bus.core.writer.commit(CommitRequest { ownership, appends, positions: Vec::new() })
    }
}
