use super::*;
use crate::delivery::sink::Settlement;

const QUERIES: usize = 0;

/// Begun at a committed position.
fn at(topic: usize, partition: u32, position: i64) -> (usize, u32, Beginning) {
    let committed = Some(position);
    (topic, partition, Beginning { committed, read_from: position, settled: position, expired: 0, passed_over: 0 })
}

fn tracker() -> Tracker {
    let mut tracker = Tracker::default();
    tracker.begin(&[at(QUERIES, 3, 100), at(1, 3, 0)]);
    tracker
}

/// A record of 10 bytes whose timestamp is its offset.
fn record(topic: usize, partition: u32, offset: i64) -> Record<'static> {
    Record { topic, partition, offset, timestamp: offset, key: None, value: Some(&[0; 10]) }
}

fn next(tracker: &Tracker) -> Option<(i64, i64)> {
    let progress = tracker.progress().into_iter().find(|progress| progress.topic == QUERIES)?;
    Some((progress.first_offset, progress.next_offset))
}

#[test]
fn a_position_never_passes_an_unsettled_row() {
    let mut tracker = tracker();
    let first = tracker.open(&record(QUERIES, 3, 100)).unwrap();
    let second = tracker.open(&record(QUERIES, 3, 104)).unwrap();
    let third = tracker.open(&record(QUERIES, 3, 105)).unwrap();
    tracker.settle(second, 1, Outcome::Accepted);
    assert_eq!((next(&tracker), tracker.open_rows()), (None, 3));
    tracker.settle(first, 1, Outcome::Accepted);
    assert_eq!((next(&tracker), tracker.open_rows()), (Some((100, 105)), 1));
    tracker.settle(third, 1, Outcome::Skipped);
    assert_eq!((next(&tracker), tracker.open_rows()), (Some((100, 106)), 0));
}

#[test]
fn a_row_is_settled_with_its_last_item_and_rejected_if_one_was() {
    let cases: [(&[Outcome], Outcome); 4] = [
        (&[Outcome::Accepted, Outcome::Accepted], Outcome::Accepted),
        (&[Outcome::Accepted, Outcome::Rejected("too_large")], Outcome::Rejected("too_large")),
        (&[Outcome::Rejected("too_large"), Outcome::Accepted], Outcome::Rejected("too_large")),
        (&[Outcome::Skipped, Outcome::Accepted], Outcome::Accepted),
    ];
    for (items, expected) in cases {
        let mut tracker = tracker();
        let ticket = tracker.open(&record(QUERIES, 3, 100)).unwrap();
        tracker.split(ticket, items.len() as u32);
        for (index, item) in items.iter().enumerate() {
            assert_eq!(next(&tracker), None, "settled before item {index}");
            tracker.settle(ticket, 1, *item);
        }
        let tally = tracker.progress()[0].tally;
        let found = match (tally.accepted, tally.rejected) {
            (1, 0) => Outcome::Accepted,
            (0, 1) => Outcome::Rejected(tally.error_class.unwrap()),
            _ => panic!("{tally:?}"),
        };
        assert_eq!(found, expected);
    }
}

#[test]
fn the_tally_counts_exactly_the_rows_that_the_position_passed() {
    let mut tracker = tracker();
    let tickets: Vec<Ticket> = (100..110).map(|offset| tracker.open(&record(QUERIES, 3, offset)).unwrap()).collect();
    for ticket in tickets.iter().rev().take(9) {
        tracker.settle(*ticket, 1, Outcome::Accepted);
    }
    assert_eq!(next(&tracker), None);
    tracker.settle(tickets[0], 1, Outcome::Rejected("status_400"));
    let progress = tracker.progress();
    assert_eq!(progress.len(), 1);
    assert_eq!((progress[0].tally.accepted, progress[0].tally.rejected), (9, 1));
    tracker.committed();
    assert_eq!(tracker.progress(), []);
    let ticket = tracker.open(&record(QUERIES, 3, 110)).unwrap();
    tracker.settle(ticket, 1, Outcome::Skipped);
    let progress = tracker.progress()[0];
    assert_eq!((progress.first_offset, progress.next_offset, progress.tally.skipped), (110, 111, 1));
    assert_eq!((progress.tally.accepted, progress.tally.rejected), (0, 0));
}

#[test]
fn rows_of_other_partitions_and_rows_already_settled_are_not_opened() {
    let mut tracker = tracker();
    assert_eq!(tracker.open(&record(QUERIES, 4, 100)), None);
    assert_eq!(tracker.open(&record(QUERIES, 3, 99)), None);
    let ticket = tracker.open(&record(1, 3, 7)).unwrap();
    tracker.settle(ticket, 1, Outcome::Accepted);
    assert_eq!(tracker.progress()[0].topic, 1);
}

#[test]
fn a_report_settles_its_items_and_charges_its_attempts_once_per_partition() {
    let mut tracker = tracker();
    let rows: Vec<Ticket> = (100..102).map(|offset| tracker.open(&record(QUERIES, 3, offset)).unwrap()).collect();
    tracker.split(rows[0], 3);
    let settled = vec![
        Settlement { ticket: rows[0], items: 2, outcome: Outcome::Accepted },
        Settlement { ticket: rows[0], items: 1, outcome: Outcome::Accepted },
        Settlement { ticket: rows[1], items: 1, outcome: Outcome::Accepted },
    ];
    let duration = Duration::from_millis(7);
    tracker.apply(&Report { generation: 0, settled, attempts: 4, failure: Some("unavailable"), duration });
    let tally = tracker.progress()[0].tally;
    assert_eq!(
        tally,
        Tally { accepted: 2, attempts: 4, error_class: Some("unavailable"), duration, ..Tally::default() }
    );
}

#[test]
fn why_rows_were_rejected_is_not_hidden_by_trouble_that_passed() {
    let mut tracker = tracker();
    let rows: Vec<Ticket> = (100..103).map(|offset| tracker.open(&record(QUERIES, 3, offset)).unwrap()).collect();
    let outcomes = [Outcome::Accepted, Outcome::Rejected("partial_success"), Outcome::Accepted];
    for (ticket, outcome) in rows.into_iter().zip(outcomes) {
        let (settled, duration) = (vec![Settlement { ticket, items: 1, outcome }], Duration::ZERO);
        tracker.apply(&Report { generation: 0, settled, attempts: 2, failure: Some("unavailable"), duration });
    }
    assert_eq!(tracker.progress()[0].tally.error_class, Some("partial_success"));
}

#[test]
fn tickets_from_before_a_new_beginning_change_nothing() {
    let mut tracker = tracker();
    let stale = tracker.open(&record(QUERIES, 3, 100)).unwrap();
    tracker.begin(&[at(QUERIES, 3, 100)]);
    tracker.settle(stale, 1, Outcome::Accepted);
    assert_eq!((tracker.progress(), tracker.open_rows()), (Vec::new(), 0));
}

#[test]
fn where_the_books_begin_is_progress_unless_it_is_committed() {
    let mut tracker = Tracker::default();
    let begun = |committed, read_from, settled| Beginning { committed, read_from, settled, expired: 0, passed_over: 0 };
    let expired = Beginning { expired: 8, ..begun(Some(12), 20, 20) };
    tracker.begin(&[
        (0, 0, begun(None, 7, 7)),
        (0, 1, begun(Some(7), 7, 7)),
        (0, 2, begun(Some(9), 3, 9)),
        (0, 3, expired),
    ]);
    let progress = |tracker: &Tracker| -> Vec<(u32, i64, i64, Option<&str>)> {
        let line = |line: Progress| (line.partition, line.first_offset, line.next_offset, line.tally.error_class);
        tracker.progress().into_iter().map(line).collect()
    };
    assert_eq!(progress(&tracker), [(0, 7, 7, None), (3, 12, 20, Some("expired"))]);
    tracker.committed();
    assert_eq!(progress(&tracker), []);
    assert_eq!(tracker.next_offsets().collect::<Vec<_>>(), [(0, 0, 7), (0, 1, 7), (0, 2, 3), (0, 3, 20)]);
    // A row before the position is read and not opened.
    assert_eq!(tracker.open(&record(0, 2, 4)), None);
    assert!(tracker.next_offsets().any(|next| next == (0, 2, 5)));
}

#[test]
fn open_rows_are_known_by_number_bytes_and_age() {
    let mut tracker = tracker();
    assert_eq!((tracker.open_rows(), tracker.open_bytes(), tracker.oldest_open()), (0, 0, None));
    let tickets: Vec<Ticket> = (100..103).map(|offset| tracker.open(&record(QUERIES, 3, offset)).unwrap()).collect();
    tracker.open(&record(1, 3, 200)).unwrap();
    tracker.settle(tickets[1], 1, Outcome::Accepted);
    assert_eq!((tracker.open_rows(), tracker.open_bytes(), tracker.oldest_open()), (4, 40, Some(100)));
    tracker.settle(tickets[0], 1, Outcome::Accepted);
    assert_eq!((tracker.open_rows(), tracker.open_bytes(), tracker.oldest_open()), (2, 20, Some(102)));
}
