use super::*;

const SNAPSHOT_INTERVAL: Duration = Duration::from_secs(600);

fn statement(query: i64, calls: i64) -> Statement {
    let key = Key { database: 5, user: 10, query, toplevel: Some(true) };
    let counters = QueryCounters::default().with_calls(calls);
    Statement { key, since_at: None, min_exec_time_ns: None, max_exec_time_ns: None, counters }
}

/// A poll at this second reads these (statement, calls); expected are this snapshot flag and these statements.
type Step<'a> = (u64, &'a [(i64, i64)], bool, &'a [i64]);

fn check(polls: &[Step<'_>]) {
    let mut published = Published::default();
    for (second, read, snapshot, expected) in polls {
        let read: Vec<_> = read.iter().map(|(query, calls)| statement(*query, *calls)).collect();
        let selection = published.select(&read, Duration::from_secs(*second), SNAPSHOT_INTERVAL);
        let selected: Vec<_> = selection.statements.iter().map(|statement| statement.key.query).collect();
        assert_eq!((selection.snapshot, selected.as_slice()), (*snapshot, *expected), "at {second} s");
    }
}

#[test]
fn only_what_changed_is_published_between_snapshots() {
    check(&[
        (0, &[(1, 5), (2, 7)], true, &[1, 2]),
        (10, &[(1, 5), (2, 7)], false, &[]),
        (20, &[(1, 6), (2, 7), (3, 1)], false, &[1, 3]),
        (30, &[(1, 6), (2, 7), (3, 1)], false, &[]),
        (599, &[(1, 6), (2, 8), (3, 1)], false, &[2]),
        (600, &[(1, 6), (2, 8), (3, 1)], true, &[1, 2, 3]),
        (610, &[(1, 6), (2, 8), (3, 1)], false, &[]),
    ]);
}

#[test]
fn an_entry_that_was_evicted_and_came_back_is_published() {
    check(&[(0, &[(1, 5), (2, 7)], true, &[1, 2]), (10, &[(2, 7)], false, &[]), (20, &[(1, 5), (2, 7)], false, &[1])]);
}

#[test]
fn each_part_of_the_identity_counts() {
    let mut published = Published::default();
    let base = statement(1, 5);
    let keys = [
        base.key,
        Key { database: 6, ..base.key },
        Key { user: 11, ..base.key },
        Key { toplevel: Some(false), ..base.key },
        Key { toplevel: None, ..base.key },
    ];
    let all = keys.map(|key| Statement { key, ..base });
    assert_eq!(published.select(&all[..1], Duration::ZERO, SNAPSHOT_INTERVAL).statements.len(), 1);
    assert_eq!(published.select(&all, Duration::from_secs(1), SNAPSHOT_INTERVAL).statements.len(), 4);
}

#[test]
fn every_counter_counts_as_a_change() {
    for index in 0..QueryCounters::FIELDS.len() {
        let mut published = Published::default();
        let mut changed = statement(1, 5);
        published.select(&[changed], Duration::ZERO, SNAPSHOT_INTERVAL);
        changed.counters.set(index, Some(99));
        let selection = published.select(&[changed], Duration::from_secs(1), SNAPSHOT_INTERVAL);
        assert_eq!(selection.statements.len(), 1, "{}", QueryCounters::FIELDS[index]);
    }
}

#[test]
fn a_reset_to_the_same_values_is_a_change() {
    let mut published = Published::default();
    let first = Statement { since_at: Some(1), ..statement(1, 1) };
    published.select(&[first], Duration::ZERO, SNAPSHOT_INTERVAL);
    let again = Statement { since_at: Some(2), ..first };
    assert_eq!(published.select(&[again], Duration::from_secs(1), SNAPSHOT_INTERVAL).statements.len(), 1);
}

#[test]
fn after_a_loss_everything_is_published() {
    let mut published = Published::default();
    let read = [statement(1, 5), statement(2, 7)];
    published.select(&read, Duration::ZERO, SNAPSHOT_INTERVAL);
    published.forget();
    let selection = published.select(&read, Duration::from_secs(1), SNAPSHOT_INTERVAL);
    assert_eq!((selection.snapshot, selection.statements.len()), (true, 2));
    assert!(!published.select(&read, Duration::from_secs(2), SNAPSHOT_INTERVAL).snapshot);
}

#[test]
fn rows_carry_names_where_they_are_known() {
    let names = Names::of([(5, "orders")], []);
    let selection = Selection { statements: vec![statement(-42, 1)], snapshot: true };
    let rows = selection.into_rows(&names);
    let id = &rows[0].id;
    assert_eq!((id.database.as_deref(), id.database_id.as_str()), (Some("orders"), "5"));
    assert_eq!((id.user.as_deref(), id.user_id.as_str(), id.query_id.as_str()), (None, "10", "-42"));
    assert!(rows[0].snapshot);
}

#[test]
fn rows_of_one_statement_on_two_levels_become_one() {
    let timed = |query, calls, min, max| Statement {
        min_exec_time_ns: Some(min),
        max_exec_time_ns: Some(max),
        ..statement(query, calls)
    };
    let mut statements = vec![timed(1, 5, 20, 30), timed(2, 7, 1, 2), timed(1, 6, 10, 25), timed(3, 1, 4, 4)];
    assert_eq!(merge_levels(&mut statements), 1);
    let seen = |it: &Statement| (it.key.query, it.counters.calls(), it.min_exec_time_ns, it.max_exec_time_ns);
    let expected = [(1, Some(11), Some(10), Some(30)), (2, Some(7), Some(1), Some(2)), (3, Some(1), Some(4), Some(4))];
    assert_eq!(statements.iter().map(seen).collect::<Vec<_>>(), expected);
    assert!(statements.iter().all(|statement| statement.counters.rows().is_none()));
    assert_eq!(merge_levels(&mut statements), 0);
}
