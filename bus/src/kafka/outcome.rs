//! What became of a commit whose answer was lost.
//!
//! A new producer with the same transactional id has completed or aborted the transaction by the time this looks. A record
//! of it that readers see proves the commit; a transaction without records had positions only, which the group's
//! coordinator knows.

use std::sync::Arc;
use std::time::Duration;

use super::clock::Deadline;
use super::failure::timed_out;
use super::reader::KafkaReader;
use super::settings::Settings;
use super::transaction::Witness;
use crate::{BusError, Committed, Isolation, Position, Reader, ReaderSpec, Receive, Record, Start};

/// Brokers end the transactions of dead producers this much after their time-out.
const CLEANUP_SLACK: Duration = Duration::from_secs(15);
/// How long one read waits.
const STEP: Duration = Duration::from_millis(100);

/// Whether readers see the record. Waits behind open transactions of others.
pub fn visible(settings: &Arc<Settings>, witness: &Witness) -> Result<bool, BusError> {
    let Witness { topic, partition, offset } = witness.clone();
    let position = Position { topic, partition, start: Start::Offset(offset) };
    let spec = ReaderSpec { partitions: vec![position], isolation: Isolation::Committed };
    let mut reader = KafkaReader::open(settings, &spec)?;
    let deadline = Deadline::after(settings.config().transaction_timeout + CLEANUP_SLACK);
    let mut seen = Seen { offset, visible: None };
    while seen.visible.is_none() {
        if deadline.passed() {
            return Err(timed_out("find out what became of a commit", "the end of open transactions"));
        }
        reader.read(STEP, 1, &mut seen)?;
    }
    Ok(seen.visible == Some(true))
}

/// Whether the group's positions are these.
pub fn committed(wanted: &[Committed], found: &[Committed]) -> bool {
    wanted.iter().all(|position| found.contains(position))
}

struct Seen {
    offset: i64,
    visible: Option<bool>,
}

impl Receive for Seen {
    fn record(&mut self, record: Record<'_>) {
        self.visible.get_or_insert(record.offset == self.offset);
    }

    fn at_end(&mut self, _topic: usize, _partition: u32, next_offset: i64) {
        if next_offset > self.offset {
            self.visible.get_or_insert(false);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(events: impl Fn(&mut Seen)) -> Option<bool> {
        let mut seen = Seen { offset: 10, visible: None };
        events(&mut seen);
        seen.visible
    }

    fn record(offset: i64) -> Record<'static> {
        Record { topic: 0, partition: 0, offset, timestamp: 0, key: None, value: None }
    }

    #[test]
    fn the_first_event_at_or_after_the_record_decides() {
        assert_eq!(seen(|seen| seen.record(record(10))), Some(true));
        assert_eq!(seen(|seen| seen.record(record(12))), Some(false));
        assert_eq!(seen(|seen| seen.at_end(0, 0, 10)), None);
        assert_eq!(seen(|seen| seen.at_end(0, 0, 12)), Some(false));
        assert_eq!(
            seen(|seen| {
                seen.at_end(0, 0, 10);
                seen.record(record(10));
                seen.at_end(0, 0, 12);
            }),
            Some(true)
        );
    }

    #[test]
    fn positions_agree_with_their_texts() {
        let position = |next_offset, metadata: &str| Committed {
            topic: "topic".to_owned(),
            partition: 1,
            next_offset,
            metadata: metadata.to_owned(),
        };
        assert!(committed(&[position(5, "a")], &[position(5, "a")]));
        assert!(!committed(&[position(5, "a")], &[position(5, "b")]));
        assert!(!committed(&[position(5, "a")], &[]));
    }
}
