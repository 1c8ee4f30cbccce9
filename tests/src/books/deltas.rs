//! Deltas telescope: those of one statement add up to its last reading less its first, however often the processors were
//! stopped, killed and moved in between.

use std::collections::BTreeMap;

use dbintel_bus::Bus;
use dbintel_schemas::records::{EnrichedQuery, RawQuery};
use dbintel_schemas::{Record as _, Topic};

use super::{SCHEMAS, quarantined, read_all};

/// How often the statements of a partition were seen for the first time. State that was lost makes it more than once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FirstSights {
    /// Statements that were read.
    pub statements: usize,
    /// Those of them that came out at first sight, as `new_entry`; the others have to be absorbed as `baseline`.
    pub new_entries: usize,
}

/// Target, database, user, statement and level.
type Key = (String, String, String, String, Option<bool>);

/// What was read of a statement, and what came out of it.
#[derive(Default)]
struct Statement {
    /// Calls by offset of the reading.
    readings: BTreeMap<i64, i64>,
    /// Sum of the deltas.
    sum: i64,
    /// Our running total beside the last delta.
    total: i64,
    new_entry: bool,
    /// Two readings could not be compared: nobody can say what happened between them.
    broken: bool,
}

/// Checks the deltas of a pipeline that takes all pollers and samples nothing, on one partition; panics at the first
/// statement whose deltas do not add up.
pub fn verify_deltas(bus: &dyn Bus, pipeline: &str, partition: u32) -> FirstSights {
    let mut statements = read(bus, pipeline, partition);
    for record in read_all(bus, Topic::EnrichedQueries, partition) {
        let mut scratch = Vec::new();
        let row: EnrichedQuery<'_> = SCHEMAS.read(&record.value, &mut scratch).expect(EnrichedQuery::NAME);
        if row.pipeline != pipeline {
            continue;
        }
        let key = key(row.target, row.database_id, row.user_id, row.query_id, row.toplevel);
        let statement = statements.get_mut(&key).unwrap_or_else(|| panic!("{key:?} came out and was never read"));
        statement.came_out(&row);
    }
    for (key, statement) in &statements {
        statement.check(key);
    }
    let new_entries = statements.values().filter(|statement| statement.new_entry).count();
    FirstSights { statements: statements.len(), new_entries }
}

/// What was read and is not in quarantine.
fn read(bus: &dyn Bus, pipeline: &str, partition: u32) -> BTreeMap<Key, Statement> {
    let refused = quarantined(bus, Topic::RawQueries, partition, |record| record.pipeline == pipeline);
    let mut statements: BTreeMap<Key, Statement> = BTreeMap::new();
    for record in read_all(bus, Topic::RawQueries, partition) {
        if refused.contains(&record.offset) {
            continue;
        }
        let mut scratch = Vec::new();
        let raw: RawQuery<'_> = SCHEMAS.read(&record.value, &mut scratch).expect(RawQuery::NAME);
        let key = key(raw.target, raw.database_id, raw.user_id, raw.query_id, raw.toplevel);
        let calls = raw.counters.calls().expect("every engine counts calls");
        statements.entry(key).or_default().readings.insert(record.offset, calls);
    }
    statements
}

fn key(target: &str, database_id: &str, user_id: &str, query_id: &str, toplevel: Option<bool>) -> Key {
    (target.to_owned(), database_id.to_owned(), user_id.to_owned(), query_id.to_owned(), toplevel)
}

impl Statement {
    fn came_out(&mut self, row: &EnrichedQuery<'_>) {
        if row.delta_valid {
            self.sum += row.delta.calls().expect("a delta of calls");
        } else {
            self.broken = true;
        }
        self.total = row.total.calls().unwrap_or(0);
        self.new_entry |= row.delta_reason == Some("new_entry");
    }

    fn check(&self, key: &Key) {
        assert_eq!(self.total, self.sum, "{key:?}: the running total and the sum of the deltas");
        let calls = || self.readings.values().copied();
        let first = if self.new_entry { 0 } else { calls().next().unwrap_or(0) };
        let last = calls().next_back().unwrap_or(0);
        assert!(self.broken || self.sum == last - first, "{key:?}: {} from {first} to {last}", self.sum);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn adds_up(sum: i64, total: i64, new_entry: bool, broken: bool) -> bool {
        let readings = BTreeMap::from([(3, 100), (7, 130), (9, 180)]);
        let statement = Statement { readings, sum, total, new_entry, broken };
        std::panic::catch_unwind(|| statement.check(&Key::default())).is_ok()
    }

    #[test]
    fn what_is_missing_or_doubled_is_found() {
        assert!(adds_up(80, 80, false, false));
        assert!(!adds_up(50, 50, false, false), "a second baseline");
        assert!(!adds_up(110, 110, false, false), "a delta twice");
        assert!(!adds_up(80, 50, false, false), "a running total that began again");
        assert!(adds_up(180, 180, true, false), "a new entry counts from zero");
        assert!(adds_up(10, 10, false, true), "a break may hide any number");
    }
}
