use super::*;
use crate::poll::{Class, Stamp};
use crate::rows::{MetricRow, QueryRow, SessionRow, StatementId, TextRow};
use crate::text::StatementText;

fn id(query_id: usize) -> StatementId {
    let query_id = query_id.to_string();
    StatementId {
        database: None,
        database_id: String::new(),
        user: None,
        user_id: String::new(),
        query_id,
        toplevel: None,
    }
}

fn poll(class: Class, rows: usize) -> Poll {
    let query = |index| QueryRow {
        id: id(index),
        entry_since_at: None,
        snapshot: false,
        min_exec_time_ns: None,
        max_exec_time_ns: None,
        counters: Default::default(),
    };
    let metric =
        || MetricRow { object_type: "table", view: "v", object: vec![], statistics_reset_at: None, points: vec![] };
    let text = |index| TextRow { id: id(index), statement: StatementText::default() };
    let mut poll = Poll::new(class, Stamp::default());
    poll.rows = match class {
        Class::Sessions => Rows::Sessions(vec![SessionRow::default(); rows]),
        Class::Statements => Rows::Queries((0..rows).map(query).collect()),
        Class::Texts => Rows::Texts((0..rows).map(text).collect()),
        _ => Rows::Metrics((0..rows).map(|_| metric()).collect()),
    };
    poll
}

fn snapshot(rows: usize) -> Poll {
    Poll { snapshot_complete: true, ..poll(Class::Statements, rows) }
}

fn lengths(spool: &Spool) -> Vec<(Class, usize)> {
    spool.polls.iter().map(|waiting| (waiting.poll.class, waiting.rows_left())).collect()
}

#[test]
fn polls_leave_in_the_order_in_which_they_came() {
    let mut spool = Spool::new(1);
    spool.push(poll(Class::Sessions, 2));
    spool.push(poll(Class::Statements, 3));
    assert_eq!(spool.rows(), 5);
    spool.published(2);
    assert_eq!(spool.front().map(|front| (front.settled, front.published)), Some((2, 2)));
    assert_eq!(spool.pop().map(|front| front.poll.class), Some(Class::Sessions));
    spool.published(1);
    assert_eq!((spool.rows(), spool.is_empty()), (2, false));
    assert_eq!(spool.pop().map(|front| front.published), Some(1));
    assert_eq!((spool.rows(), spool.is_empty()), (0, true));
    assert!(spool.pop().is_none());
}

#[test]
fn a_newer_reading_of_counters_replaces_an_older_one() {
    let mut spool = Spool::new(1);
    spool.push(poll(Class::Statements, 10));
    spool.push(poll(Class::Sessions, 5));
    spool.push(poll(Class::Metrics, 4));
    spool.published(3);
    let lost = spool.push(poll(Class::Statements, 6));
    assert_eq!(lost, Lost { queries: 7, ..Lost::default() });
    let expected = [(Class::Statements, 0), (Class::Sessions, 5), (Class::Metrics, 4), (Class::Statements, 6)];
    assert_eq!((lengths(&spool), spool.rows()), (expected.to_vec(), 15));
    let front = spool.pop().unwrap();
    assert_eq!((front.published, front.poll.rows_dropped), (3, 7));
}

#[test]
fn metrics_of_one_database_do_not_replace_those_of_another() {
    let mut spool = Spool::new(1);
    let of = |database: &str| Poll { database: Some(database.to_owned()), ..poll(Class::Tables, 2) };
    spool.push(of("a"));
    spool.push(of("b"));
    spool.push(of("a"));
    let rows: Vec<_> = spool.polls.iter().map(Waiting::rows_left).collect();
    assert_eq!(rows, [0, 2, 2]);
}

#[test]
fn nothing_is_lost_when_a_complete_snapshot_follows() {
    let mut spool = Spool::new(1);
    spool.push(poll(Class::Statements, 10));
    assert_eq!(spool.push(snapshot(20)), Lost::default());
    assert_eq!(lengths(&spool), [(Class::Statements, 0), (Class::Statements, 20)]);
}

#[test]
fn a_snapshot_of_which_rows_are_lost_is_not_complete() {
    let mut spool = Spool::new(1);
    spool.push(snapshot(10));
    spool.published(4);
    let lost = spool.push(poll(Class::Statements, 1));
    assert_eq!(lost.queries, 6);
    assert!(!spool.pop().unwrap().poll.snapshot_complete);

    let mut spool = Spool::new(1);
    spool.push(snapshot(2));
    spool.refused();
    spool.published(1);
    let front = spool.pop().unwrap();
    assert_eq!((front.published, front.poll.rows_dropped, front.poll.snapshot_complete), (1, 1, false));
}

#[test]
fn counters_are_thinned_before_sessions_and_texts() {
    let mut spool = Spool::new(100);
    assert_eq!(spool.rows_max, TARGET_ROWS_MIN);
    spool.push(poll(Class::Sessions, 200));
    spool.push(poll(Class::Texts, 100));
    spool.push(poll(Class::Statements, 200));
    spool.push(poll(Class::Metrics, 50));
    assert_eq!(spool.thin(PATIENCE, 0), Lost { queries: 200, ..Lost::default() });
    spool.push(poll(Class::Sessions, 300));
    assert_eq!(spool.thin(PATIENCE, 0), Lost { metrics: 50, sessions: 200, ..Lost::default() });
    assert_eq!(spool.rows(), 400);
    assert_eq!(spool.thin(PATIENCE, 0), Lost::default());
}

#[test]
fn a_bus_that_is_only_busy_loses_nothing() {
    let moment = PATIENCE / 2;
    let mut spool = Spool::new(100);
    spool.push(snapshot(TARGET_ROWS_MIN * 4));
    assert_eq!(spool.thin(moment, spool.rows()), Lost::default());
    // Others wait too, and the memory of the process is full.
    assert_eq!(spool.thin(moment, BUSY_ROWS_MAX + 1).queries, TARGET_ROWS_MIN as u64 * 4);
    spool.push(snapshot(TARGET_ROWS_MIN * 4));
    assert_eq!(spool.thin(PATIENCE, spool.rows()).queries, TARGET_ROWS_MIN as u64 * 4);
}

#[test]
fn the_interval_of_what_follows_a_loss_is_not_known() {
    let timed = |class| {
        let mut poll = poll(class, 2);
        poll.stamp.interval_ns = Some(10);
        poll
    };
    let mut spool = Spool::new(1);
    for class in [Class::Statements, Class::Sessions, Class::Statements, Class::Sessions] {
        spool.push(timed(class));
    }
    let intervals: Vec<_> = spool.polls.iter().map(|waiting| waiting.poll.stamp.interval_ns).collect();
    assert_eq!(intervals, [Some(10), Some(10), None, Some(10)]);
}

#[test]
fn the_number_of_polls_is_bounded() {
    let mut spool = Spool::new(1);
    for _ in 0..POLLS_MAX + 3 {
        spool.push(poll(Class::Sessions, 1));
        spool.thin(PATIENCE, 0);
    }
    assert_eq!((spool.polls.len(), spool.rows()), (POLLS_MAX, POLLS_MAX));
}

#[test]
fn targets_share_the_memory_of_the_process() {
    let bounds: Vec<_> = [0, 1, 10, 1000].into_iter().map(|targets| Spool::new(targets).rows_max).collect();
    assert_eq!(bounds, [50_000, 50_000, 5_000, 500]);
}
