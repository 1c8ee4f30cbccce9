//! Time and ownership of the monitored servers, as far as a task has seen them.
//!
//! `now` is the event time of a target: the largest timestamp of its records, kept in state, never going back. One
//! timestamp from the future must not carry the target away: more than [`AHEAD_MAX`] ahead of the partition it is
//! clamped and flagged. Time is a function of the records alone, so that replay gives the same.

use super::row::{Origin, Source};
use super::state::{StateError, StateTable, StateValue, Table};

/// How far ahead of the partition a timestamp is believed, in µs: 10 minutes.
pub const AHEAD_MAX: i64 = 10 * 60 * 1_000_000;

/// Key of the partition's own time; no target has an empty name.
const PARTITION: &[u8] = b"";

/// The engine's own table.
pub struct Targets {
    table: Table<Known>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Known {
    now: i64,
    owner_epoch: i64,
}

/// What a record tells about its target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Observed {
    /// Event time of the target before the record, if it was known.
    pub before: Option<i64>,
    /// Event time of the target with the record.
    pub now: i64,
    /// The timestamp was not believed.
    pub clamped: bool,
    /// The record comes from an owner that has been replaced.
    pub stale_owner: bool,
}

impl Targets {
    /// Nothing known yet.
    pub fn new() -> Self {
        Self { table: Table::new("targets") }
    }

    /// The table, for the engine to keep.
    pub fn table(&mut self) -> &mut dyn StateTable {
        &mut self.table
    }

    /// Takes a record's timestamp (µs) and owner into account. What another group has believed is believed.
    pub fn observe(&mut self, origin: &Origin<'_>, timestamp: i64) -> Result<Observed, StateError> {
        let partition = self.table.get(PARTITION)?.map(|known| known.now);
        let (believed, clamped, owner_epoch) = match origin.source {
            Source::Stage { now, time_clamped, .. } => (now, time_clamped, 0),
            Source::Poller { owner_epoch, .. } => {
                let believed = partition.map_or(timestamp, |now| timestamp.min(now.saturating_add(AHEAD_MAX)));
                (believed, believed < timestamp, owner_epoch)
            }
        };
        let target = origin.target;
        if partition.is_none_or(|now| believed > now) {
            self.table.insert(PARTITION, Known { now: believed, owner_epoch: 0 })?;
        }
        let known = self.table.get(target.as_bytes())?.copied();
        let before = known.map(|known| known.now);
        let stale_owner = known.is_some_and(|known| owner_epoch < known.owner_epoch);
        let now = before.map_or(believed, |before| before.max(believed));
        if !stale_owner && known != Some(Known { now, owner_epoch }) {
            self.table.insert(target.as_bytes(), Known { now, owner_epoch })?;
        }
        Ok(Observed { before, now, clamped, stale_owner })
    }

    /// Largest event time of the partition in µs; 0 before the first record.
    pub fn partition_time(&mut self) -> Result<i64, StateError> {
        Ok(self.table.get(PARTITION)?.map_or(0, |known| known.now))
    }
}

impl StateValue for Known {
    fn encode(&self, out: &mut Vec<u8>) {
        out.push(1);
        out.extend_from_slice(&self.now.to_le_bytes());
        out.extend_from_slice(&self.owner_epoch.to_le_bytes());
    }

    fn decode(bytes: &[u8]) -> Result<Self, StateError> {
        let fields = bytes.split_first_chunk::<9>().and_then(|(first, rest)| {
            let owner_epoch = i64::from_le_bytes(rest.try_into().ok()?);
            let now = i64::from_le_bytes(first[1..].try_into().ok()?);
            (first[0] == 1).then_some(Known { now, owner_epoch })
        });
        fields.ok_or_else(|| StateError::Decode { table: "targets".into(), detail: format!("{} bytes", bytes.len()) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: i64 = 60 * 1_000_000;

    fn polled(target: &str, owner_epoch: i64) -> Origin<'_> {
        Origin { target, offset: 0, source: Source::Poller { name: "postgresql", owner_epoch } }
    }

    #[test]
    fn time_never_goes_back_and_the_future_is_not_believed() {
        let mut targets = Targets::new();
        let mut now = |timestamp| {
            let observed = targets.observe(&polled("a", 0), timestamp).unwrap();
            (observed.now, observed.clamped)
        };
        assert_eq!(now(100 * MINUTE), (100 * MINUTE, false), "the first timestamp is believed");
        assert_eq!(now(99 * MINUTE), (100 * MINUTE, false));
        assert_eq!(now(109 * MINUTE), (109 * MINUTE, false));
        assert_eq!(now(1000 * MINUTE), (119 * MINUTE, true));
        assert_eq!(now(120 * MINUTE), (120 * MINUTE, false), "one bad timestamp costs at most 10 minutes");
    }

    #[test]
    fn records_of_a_replaced_owner_are_stale() {
        let mut targets = Targets::new();
        let mut stale =
            |target, owner_epoch| targets.observe(&polled(target, owner_epoch), MINUTE).unwrap().stale_owner;
        assert!(!stale("a", 1));
        assert!(!stale("a", 2));
        assert!(stale("a", 1));
        assert!(!stale("b", 1), "owners are per target");
        assert!(!stale("a", 2), "a stale record changes nothing");
    }

    #[test]
    fn values_read_back() {
        let known = Known { now: -5, owner_epoch: 77 };
        let mut bytes = Vec::new();
        known.encode(&mut bytes);
        assert_eq!(Known::decode(&bytes).unwrap(), known);
        assert!(Known::decode(&bytes[1..]).is_err());
    }
}
