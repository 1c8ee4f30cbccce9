//! Puts items together until they make a request.

use std::time::{Duration, Instant};

use super::config;
use super::request::Item;

/// Items that wait for others.
#[derive(Debug, Default)]
pub struct Batcher {
    items: Vec<Item>,
    bytes: usize,
    first_at: Option<Instant>,
}

impl Batcher {
    /// Adds an item; returns a batch that is complete. An item that does not fit begins the next batch.
    pub fn push(&mut self, item: Item, now: Instant, limits: &config::Batch) -> Option<Vec<Item>> {
        let size = item.size();
        let overflows = !self.items.is_empty() && self.bytes + size > limits.max_bytes;
        let complete = overflows.then(|| self.take());
        self.first_at.get_or_insert(now);
        self.bytes += size;
        self.items.push(item);
        let is_full = self.items.len() >= limits.send_batch_size;
        // With one item per request both can happen at once: then the second waits for its time-out.
        complete.or_else(|| is_full.then(|| self.take()))
    }

    /// The items, if the first has waited long enough.
    pub fn take_due(&mut self, now: Instant, timeout: Duration) -> Option<Vec<Item>> {
        let is_due = self.first_at.is_some_and(|first_at| now.duration_since(first_at) >= timeout);
        is_due.then(|| self.take())
    }

    /// The items.
    pub fn take(&mut self) -> Vec<Item> {
        self.bytes = 0;
        self.first_at = None;
        std::mem::take(&mut self.items)
    }

    /// The most that the items would be in a request, in bytes.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::request::Resource;
    use super::*;
    use crate::clock;
    use crate::delivery::Ticket;

    fn item(bytes: usize) -> Item {
        let resource = Arc::new(Resource::default());
        Item { ticket: Ticket::SETTLED_BEFORE, resource, metric: None, bytes: vec![0; bytes].into(), at: 0 }
    }

    fn limits(send_batch_size: usize, max_bytes: usize) -> config::Batch {
        config::Batch { send_batch_size, max_bytes, timeout: Duration::from_millis(200) }
    }

    #[test]
    fn a_batch_is_complete_by_items_or_by_bytes() {
        let overhead = item(0).size();
        let cases = [
            // Item sizes, items and bytes of a batch, sizes of the batches that are complete.
            (vec![10; 7], 3, 10_000, vec![3, 3]),
            (vec![1000 - overhead; 7], 100, 2000, vec![2, 2, 2]),
            (vec![5000, 10, 10], 100, 1000, vec![1]),
        ];
        for (sizes, items, bytes, expected) in cases {
            let mut batcher = Batcher::default();
            let push = |size: &usize| batcher.push(item(*size), clock::now(), &limits(items, bytes));
            let complete: Vec<usize> = sizes.iter().filter_map(push).map(|batch| batch.len()).collect();
            assert_eq!(complete, expected, "{sizes:?}");
        }
    }

    #[test]
    fn a_batch_is_due_when_its_first_item_has_waited() {
        let (mut batcher, start) = (Batcher::default(), clock::now());
        let timeout = Duration::from_millis(200);
        assert!(batcher.take_due(start + timeout, timeout).is_none());
        batcher.push(item(1), start, &limits(10, 10_000));
        batcher.push(item(1), start + timeout / 2, &limits(10, 10_000));
        assert!(batcher.take_due(start + timeout / 2, timeout).is_none());
        assert_eq!(batcher.take_due(start + timeout, timeout).map(|items| items.len()), Some(2));
        assert!(batcher.is_empty());
    }
}
