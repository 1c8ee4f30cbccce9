//! What a foreign producer puts on one partition: in quarantine byte by byte, while the other partition goes on.

use dbintel_bus::topic_name;
use dbintel_schemas::record_id::hash128;
use dbintel_schemas::records::{Quarantined, RawQuery};
use dbintel_schemas::wire::{Framing, Schemas, write};
use dbintel_schemas::{TextMap, Topic};
use dbintel_tests::books::{self, verify};
use dbintel_tests::wait;

use super::{Log, detailed, stop};
use crate::cli_rig::{LIMIT, text};
use crate::engine::{GROUP, PIPELINE, load, wait_until_caught_up};

/// Half of them are on partition 0.
const TARGETS: usize = 8;

/// What quarantine keeps of a value.
const KEPT_BYTES: usize = 512 * 1024;

/// Offset, reason, value, length and hash of the whole value.
type Kept = (i64, String, Vec<u8>, i64, [u8; 16]);

impl Log {
    /// The position of the group in `raw.queries`.
    fn position(&self, partition: u32) -> i64 {
        let committed = self.bus.committed(GROUP, &[topic_name(Topic::RawQueries)]).unwrap();
        committed.iter().find(|position| position.partition == partition).map_or(0, |position| position.next_offset)
    }

    /// Waits until the group is at that offset of `raw.queries`.
    fn wait_for_position(&self, partition: u32, offset: i64) {
        let what = format!("a commit at {offset} of partition {partition}");
        wait::blocking(LIMIT, &what, || (self.position(partition) == offset).then_some(()));
    }

    /// Has the Python producer put the values on partition 0, and gives their offsets.
    fn produce(&self, values: &[Vec<u8>]) -> Vec<i64> {
        let files: Vec<_> =
            (0..values.len()).map(|number| self.scratch.path().join(format!("value-{number}"))).collect();
        for (file, value) in files.iter().zip(values) {
            std::fs::write(file, value).unwrap();
        }
        let (topic, timestamp) = (topic_name(Topic::RawQueries), (load::START_MS + 30_000).to_string());
        let arguments = [&*topic, "0", &*timestamp].into_iter().chain(files.iter().map(|file| text(file)));
        let offsets = self.python("produce.py", &arguments.collect::<Vec<_>>());
        offsets.lines().map(|line| line.parse().unwrap()).collect()
    }

    /// What is in quarantine of partition 0.
    fn quarantine(&self) -> Vec<Kept> {
        let schemas = Schemas::new();
        let read = |value: &[u8]| {
            let mut scratch = Vec::new();
            let record: Quarantined<'_> = schemas.read(value, &mut scratch).unwrap();
            let place = (record.group, record.pipeline, record.topic, record.partition, record.key);
            assert_eq!(place, (GROUP, PIPELINE, "raw.queries", 0, None));
            let value = record.value.unwrap().to_vec();
            assert_eq!(record.truncated, value.len() as i64 != record.value_length);
            (record.offset, record.reason.to_owned(), value, record.value_length, record.value_hash)
        };
        books::read_all(&*self.bus, Topic::Quarantine, 0).iter().map(|record| read(&record.value)).collect()
    }
}

/// A statement whose enriched row is larger than its topic takes.
fn oversize(poll_seq: i64) -> Vec<u8> {
    let (mut value, plan) = (Vec::new(), "x".repeat(3 << 19));
    let attributes = [("plan", &*plan)];
    let row = RawQuery { attributes: TextMap::from_slice(&attributes), ..detailed(poll_seq) };
    write(&row, Framing::SingleObject, &mut value);
    value
}

fn kept(offset: i64, reason: &str, value: &[u8]) -> Kept {
    let beginning = value[..value.len().min(KEPT_BYTES)].to_vec();
    (offset, reason.to_owned(), beginning, value.len() as i64, hash128(&[value]))
}

#[test]
fn what_is_refused_is_kept_byte_for_byte_and_holds_only_its_own_partition_up() {
    let log = Log::new(2, None);
    let processor = log.start_processor();
    load::publish(&log.publisher, TARGETS, 100, 1..3);
    wait_until_caught_up(&*log.bus, 2);

    let random = hash128(&[b"any bytes but those of a frame"]).repeat(4);
    let unknown = [&[0xc3, 0x01][..], &hash128(&[b"no schema"])[..8], &random].concat();
    // The first sight of a statement is a baseline and has no output.
    let values = [random, unknown, oversize(3), oversize(4)];
    let offsets = log.produce(&values);
    log.wait_for_position(0, offsets[1]);
    for poll_seq in 3..6 {
        load::publish(&log.publisher, TARGETS, 100, poll_seq..poll_seq + 1);
        let end = log.bus.offsets(&topic_name(Topic::RawQueries), 1).unwrap().stable_end;
        log.wait_for_position(1, end);
    }
    assert_eq!(log.position(0), offsets[1], "partition 0 still waits for the schema");
    wait_until_caught_up(&*log.bus, 2);
    stop(processor);

    let balances = [0, 1].map(|partition| verify(&*log.bus, GROUP, PIPELINE, partition));
    assert!(balances.iter().all(|balance| balance.open == 0 && balance.dispositions["forwarded"] > 30), "{balances:?}");
    assert_eq!(balances[0].dispositions["quarantined"], 3, "{balances:?}");
    assert_eq!(balances[1].dispositions.get("quarantined"), None, "{balances:?}");
    let expected = [(0, "decode"), (1, "schema"), (3, "oversize")];
    assert_eq!(log.quarantine(), expected.map(|(number, reason)| kept(offsets[number], reason, &values[number])));
}
