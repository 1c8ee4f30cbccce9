//! How far restores have come, for those who wait for them.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// Per partition that is being restored: records of its changelog that were read, in per cent.
#[derive(Debug, Default)]
pub struct Progress {
    percent: Mutex<BTreeMap<u32, i64>>,
}

impl Progress {
    /// The partition's restore has come to `position` on its way from `from` to `end`. Gives that in per cent.
    pub fn at(&self, partition: u32, from: i64, position: i64, end: i64) -> i64 {
        let percent = (position - from) * 100 / (end - from).max(1);
        self.percent.lock().unwrap_or_else(PoisonError::into_inner).insert(partition, percent);
        percent
    }

    /// The partition's restore has ended.
    pub fn ended(&self, partition: u32) {
        self.percent.lock().unwrap_or_else(PoisonError::into_inner).remove(&partition);
    }

    /// Partitions that are being restored, with their per cent.
    pub fn percent(&self) -> BTreeMap<u32, i64> {
        self.percent.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_are_told_apart_until_they_are_restored() {
        let progress = Progress::default();
        assert_eq!((progress.at(3, 100, 150, 200), progress.at(5, 7, 7, 7)), (50, 0));
        assert_eq!(progress.percent(), BTreeMap::from([(3, 50), (5, 0)]));
        progress.ended(3);
        assert_eq!(progress.percent(), BTreeMap::from([(5, 0)]));
    }
}
