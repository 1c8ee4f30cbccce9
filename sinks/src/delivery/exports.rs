//! The records of what was delivered, written in the transaction that commits the positions.

use dbintel_bus::{BusError, Framings, Member, Outgoing, SendError, topic_name};
use dbintel_schemas::Topic;
use dbintel_schemas::records::Export;
use dbintel_schemas::wire::{Framing, write};

use super::settle::Progress;

/// Writes `exports`.
#[derive(Debug)]
pub struct Exports {
    sink: String,
    topic: String,
    framing: Framing,
    value: Vec<u8>,
}

impl Exports {
    /// For the sink with this component id. The schema of the records has been announced.
    pub fn new(sink: &str, framings: &Framings) -> Self {
        Exports {
            sink: sink.to_owned(),
            topic: topic_name(Topic::Exports),
            framing: framings.of(Topic::Exports),
            value: Vec::new(),
        }
    }

    /// Adds one record per input partition to the open transaction. `settled_at` in µs since the epoch.
    pub fn send(
        &mut self,
        member: &mut dyn Member,
        topics: &[Topic],
        progress: &[Progress],
        settled_at: i64,
    ) -> Result<(), BusError> {
        for line in progress {
            let record = export(&self.sink, topics[line.topic], line, settled_at);
            self.value.clear();
            write(&record, self.framing, &mut self.value);
            let outgoing = Outgoing {
                topic: &self.topic,
                partition: line.partition,
                timestamp: settled_at / 1000,
                key: Some(self.sink.as_bytes()),
                value: Some(&self.value),
                headers: &[],
            };
            member.send(outgoing).map_err(as_bus_error)?;
        }
        Ok(())
    }
}

fn export<'a>(sink: &'a str, topic: Topic, line: &Progress, settled_at: i64) -> Export<'a> {
    Export {
        sink,
        topic: topic.name(),
        partition: i64::from(line.partition),
        first_offset: line.first_offset,
        next_offset: line.next_offset,
        accepted: line.tally.accepted,
        rejected: line.tally.rejected,
        skipped: line.tally.skipped,
        attempts: line.tally.attempts,
        error_class: line.tally.error_class,
        duration_ns: i64::try_from(line.tally.duration.as_nanos()).unwrap_or(i64::MAX),
        settled_at,
    }
}

fn as_bus_error(error: SendError) -> BusError {
    match error {
        SendError::Bus(error) => error,
        other => BusError::Unavailable { operation: "send to exports".to_owned(), message: other.to_string() },
    }
}
