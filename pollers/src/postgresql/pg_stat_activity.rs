//! Sessions: what each one executes and waits for, and who is in its way.

use std::collections::BTreeSet;

use tokio_postgres::types::Type;

use crate::poll::{Capability, Signals};
use crate::rows::SessionRow;
use crate::text::{StatementText, TextReader, UNAVAILABLE};

use super::pg_locks;
use super::pg_stat_statements::texts::INSUFFICIENT_PRIVILEGE;
use super::server::Server;
use super::transaction::Transaction;
use super::value::{Bytes, Columns};
use crate::failure::Failure;
use crate::view::beyond;

/// Most sessions of one sample; those with the oldest transactions come first.
pub const SESSIONS_MAX: usize = 5_000;
/// Most sessions waiting for locks for which the server is asked who is in their way: each one costs a look at all locks,
/// of which there are the more the more wait.
pub const WAITERS_MAX: i64 = 100;

/// Bytes by which a cut text may be shorter than what the server has room for: it is cut between characters.
const CHARACTER_BYTES_MAX: usize = 4;
/// In front of what an autovacuum worker says it does.
const AUTOVACUUM: &[u8] = b"autovacuum: ";

/// What is wanted of a sample.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// This and our role tell our own sessions.
    pub application_name: &'a str,
    /// Blockers are read if at most so many sessions wait for locks.
    pub waiters_max: i64,
    /// Texts are read.
    pub texts: bool,
}

/// One sample.
#[derive(Debug, Default)]
pub struct Sample {
    /// Every session that is not idle, but for ours.
    pub sessions: Vec<SessionRow>,
    /// What all sessions together tell about the server.
    pub signals: Signals,
    /// What was missing.
    pub missing: Vec<Capability>,
}

/// Takes a sample.
pub async fn sample(
    transaction: &Transaction<'_>,
    server: &Server,
    wanted: Wanted<'_>,
    texts: &mut TextReader,
) -> Result<Sample, Failure> {
    let Wanted { application_name, waiters_max, .. } = wanted;
    let sql = sql(&server.activity_columns, wanted.texts);
    let parameters = [(&application_name as _, Type::TEXT), (&waiters_max as _, Type::INT8)];
    let rows = transaction.query(&sql, &parameters).await?;
    let mut sample = Sample::default();
    for row in &rows {
        let row = Columns(row);
        if row.required("is_this")? {
            sample.signals = signals(&row)?;
        } else {
            sample.sessions.push(session(&row, server.activity_query_size, texts)?);
        }
    }
    let waiters = sample.signals.lock_waiters.filter(|waiters| *waiters > waiters_max);
    sample.missing.extend(waiters.map(no_blockers));
    if server.reads_locks && waiters.is_none() && sample.signals.lock_waiters > Some(0) {
        pg_locks::describe_waits(transaction, server, &mut sample.sessions).await?;
    }
    sample.missing.extend(beyond("pg_stat_activity", SESSIONS_MAX, &mut sample.sessions));
    if let Some(hidden) = server.hidden_statistics() {
        // Of other roles' sessions there is neither kind nor state: counts of them would be wrong.
        sample.signals = Signals::default();
        sample.missing.push(hidden.clone());
    }
    Ok(sample)
}

fn signals(row: &Columns<'_>) -> Result<Signals, Failure> {
    Ok(Signals {
        connections_used: row.optional("connections")?,
        active_sessions: row.optional("active")?,
        lock_waiters: row.optional("lock_waiters")?,
        ..Signals::default()
    })
}

fn no_blockers(waiters: i64) -> Capability {
    Capability {
        name: "pg_blocking_pids".to_owned(),
        consequence: format!("{waiters} sessions wait for locks: to ask who is in their way would take too long"),
        remedy: "none is needed: it is asked again when fewer wait".to_owned(),
    }
}

/// The counts are over all sessions, ours left out of the active ones, and stand on each row, so that one scan gives
/// both; our own row is always there, and one more than is wanted tells that there are more. Blockers are asked for only
/// where there is a lock to wait for: asking stops the server's lock manager for a moment. Processes that only ever send the log are not sessions of anybody.
fn sql(columns: &BTreeSet<String>, texts: bool) -> String {
    let or_null = |name: &str, kind: &str| match columns.contains(name) {
        true => name.to_owned(),
        false => format!("NULL::{kind} AS {name}"),
    };
    let (query_id, leader_pid) = (or_null("query_id", "int8"), or_null("leader_pid", "int4"));
    let query = if texts { "query" } else { "NULL::text AS query" };
    format!(
        "SELECT pid, backend_start, datname, datid, usename, application_name, host(client_addr) AS client_address,
                client_port::int8, backend_type, state, state_change, wait_event_type, wait_event, query_id, leader_pid,
                query_start, xact_start, query, age(backend_xmin)::int8 AS xmin_age, is_this, connections, active, lock_waiters,
                CASE WHEN wait_event_type = 'Lock' AND lock_waiters <= $2 THEN pg_blocking_pids(pid) END AS blockers
         FROM (
             SELECT pid, backend_start, datname, datid, usename, application_name, client_addr, client_port, backend_type,
                    state, state_change, wait_event_type, wait_event, {query_id}, {leader_pid}, query_start, xact_start, {query},
                    backend_xmin,
                    pid = pg_backend_pid() AS is_this,
                    application_name = $1 AND usename = current_user AS is_ours,
                    count(*) FILTER (WHERE backend_type = 'client backend') OVER () AS connections,
                    count(*) FILTER (
                        WHERE backend_type = 'client backend' AND state = 'active'
                            AND NOT (application_name = $1 AND usename = current_user)
                    ) OVER () AS active,
                    count(*) FILTER (WHERE wait_event_type = 'Lock') OVER () AS lock_waiters
             FROM pg_stat_activity
         ) AS sessions
         WHERE is_this OR (
             state <> 'idle' AND backend_type <> 'walsender' AND is_ours IS NOT TRUE
         )
         ORDER BY is_this DESC, xact_start LIMIT {}",
        SESSIONS_MAX + 2
    )
}

fn session(row: &Columns<'_>, query_size: Option<usize>, texts: &mut TextReader) -> Result<SessionRow, Failure> {
    let blockers = row.optional::<Vec<i32>>("blockers")?.unwrap_or_default();
    let leader = row.optional::<i32>("leader_pid")?.map(|leader| ("leader_session_id", leader.to_string()));
    let xmin = row.optional::<i64>("xmin_age")?.map(|age| ("xmin_age", age.to_string()));
    let text = row.optional::<Bytes<'_>>("query")?.filter(|text| !text.0.is_empty());
    Ok(SessionRow {
        session_id: row.required::<i32>("pid")?.to_string(),
        session_started_at: row.micros("backend_start")?,
        database: row.text("datname")?,
        database_id: row.optional::<u32>("datid")?.map(|database| database.to_string()),
        user: row.text("usename")?,
        application: row.text("application_name")?.filter(|name| !name.is_empty()),
        client_address: row.text("client_address")?,
        client_port: row.optional::<i64>("client_port")?.filter(|port| *port >= 0),
        backend_type: row.text("backend_type")?,
        state: row.text("state")?,
        state_changed_at: row.micros("state_change")?,
        wait_event_type: row.text("wait_event_type")?,
        wait_event: row.text("wait_event")?,
        query_id: row.optional::<i64>("query_id")?.map(|query_id| query_id.to_string()),
        query_started_at: row.micros("query_start")?,
        transaction_started_at: row.micros("xact_start")?,
        blocking_session_ids: blockers.iter().map(i32::to_string).collect(),
        statement: text.map(|text| statement(text.0, query_size, texts)),
        attributes: leader.into_iter().chain(xmin).collect(),
    })
}

fn statement(text: &[u8], query_size: Option<usize>, texts: &mut TextReader) -> StatementText {
    if text == INSUFFICIENT_PRIVILEGE {
        return StatementText::withheld(UNAVAILABLE);
    }
    // One byte is the end of the text.
    let is_cut = query_size.is_some_and(|size| text.len() + CHARACTER_BYTES_MAX >= size);
    texts.session(text.strip_prefix(AUTOVACUUM).unwrap_or(text), is_cut)
}

#[cfg(test)]
mod tests {
    use dbintel_sqltext::{Dialect, Options};

    use super::*;

    #[test]
    fn texts_are_left_out_if_they_are_not_wanted() {
        assert!(sql(&BTreeSet::new(), true).contains("xact_start, query,\n"));
        assert!(sql(&BTreeSet::new(), false).contains("NULL::text AS query"));
    }

    #[test]
    fn a_text_that_fills_the_room_for_it_is_cut() {
        let mut texts = TextReader::new(Dialect::PostgreSql, Options::default(), false);
        let text = "SELECT name FROM people WHERE id = 1234567";
        let cases = [(text.len() + 1, true), (text.len() + 4, true), (text.len() + 5, false), (1024, false)];
        for (size, truncated) in cases {
            assert_eq!(statement(text.as_bytes(), Some(size), &mut texts).truncated, truncated, "{size}");
        }
        assert!(!statement(text.as_bytes(), None, &mut texts).truncated);
    }

    #[test]
    fn what_a_worker_of_the_server_does_is_read_like_a_statement() {
        let mut texts = TextReader::new(Dialect::PostgreSql, Options::default(), false);
        let vacuum = statement(b"autovacuum: VACUUM ANALYZE public.orders", Some(1024), &mut texts);
        assert_eq!((vacuum.verb, vacuum.text.as_deref()), ("VACUUM", Some("VACUUM ANALYZE public.orders")));
        assert_eq!(statement(INSUFFICIENT_PRIVILEGE, Some(1024), &mut texts).withheld, Some(UNAVAILABLE));
    }

    #[test]
    fn columns_of_newer_servers_are_null_on_older_ones() {
        let sql = sql(&BTreeSet::new(), true);
        assert!(sql.contains("NULL::int8 AS query_id, NULL::int4 AS leader_pid"));
    }
}
