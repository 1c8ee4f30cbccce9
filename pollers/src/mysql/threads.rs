//! Sessions: what each one executes and waits for, and who is in its way.

use mysql_async::Row;

use super::blockers;
use super::connection::Connection;
use super::server::{Server, Sessions};
use super::value::Columns;
use crate::failure::Failure;
use crate::poll::{Capability, Signals};
use crate::rows::SessionRow;
use crate::text::{TEXT_BYTES_MAX, TextReader};

/// Most sessions of one sample; those that have been at it for longest come first.
pub const SESSIONS_MAX: usize = 5_000;
/// Most sessions waiting for locks for which the server is asked who is in their way.
const WAITERS_MAX: usize = 100;
/// Bytes of the text in the list of threads.
const THREAD_TEXT_MAX: usize = 1024;

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

/// Reads every session that is not idle, but for ours. `now` is the server's clock in µs since the epoch.
pub async fn sample(
    connection: &mut Connection,
    server: &Server,
    now: i64,
    texts: &mut TextReader,
) -> Result<Sample, Failure> {
    let rows = connection.query(&sql(server.is_mariadb, server.sessions)).await?;
    let sessions = rows.iter().map(|row| session(row, server, now, texts)).collect::<Result<Vec<_>, _>>()?;
    let mut sample = Sample { sessions, ..Sample::default() };
    let waits = |session: &&SessionRow| session.wait_event_type.as_deref() == Some("Lock");
    let waiters = sample.sessions.iter().filter(waits).count();
    if waiters > WAITERS_MAX {
        sample.missing.push(no_blockers(waiters));
    } else if waiters > 0 {
        let (blockers, missing) = blockers::read(connection, server).await?;
        sample.missing.extend(missing);
        for session in &mut sample.sessions {
            let of_session = session.session_id.parse().ok().and_then(|id: u64| blockers.get(&id));
            session.blocking_session_ids = of_session.cloned().unwrap_or_default();
        }
    }
    let active = sample.sessions.iter().filter(|session| session.state.as_deref() == Some("active")).count();
    let connections = connection.query_one(CONNECTIONS).await?;
    sample.signals = Signals {
        connections_used: connections.get_opt::<String, _>(1).and_then(Result::ok).and_then(|used| used.parse().ok()),
        connections_max: server.connections_max,
        active_sessions: i64::try_from(active).ok(),
        lock_waiters: i64::try_from(waiters).ok(),
        ..Signals::default()
    };
    if sample.sessions.len() > SESSIONS_MAX {
        sample.sessions.truncate(SESSIONS_MAX);
        sample.missing.push(too_many_sessions());
    }
    Ok(sample)
}

fn too_many_sessions() -> Capability {
    Capability {
        name: "threads".to_owned(),
        consequence: format!("only the first {SESSIONS_MAX} sessions are read"),
        remedy: "none is needed: it is told so that nobody takes them for all".to_owned(),
    }
}

fn no_blockers(waiters: usize) -> Capability {
    Capability {
        name: "lock_waits".to_owned(),
        consequence: format!("{waiters} sessions wait for locks: to ask who is in their way would take too long"),
        remedy: "none is needed: it is asked again when fewer wait".to_owned(),
    }
}

const CONNECTIONS: &str = "SHOW GLOBAL STATUS LIKE 'Threads_connected'";

/// One statement per thread: the outermost. A thread that sleeps is a session only as long as it has a transaction open.
///
/// MariaDB names no statement before it has ended, and shows those of the binary protocol only in the list of processes,
/// which has whole texts: there the list comes first.
fn sql(is_mariadb: bool, from: Sessions) -> String {
    let (open, transactions) = match from.transactions {
        true => (
            "x.trx_mysql_thread_id IS NOT NULL",
            " LEFT JOIN (SELECT trx_mysql_thread_id, MAX(trx_state = 'LOCK WAIT') AS waits, \
             MAX(TIMESTAMPDIFF(SECOND, trx_started, CONVERT_TZ(UTC_TIMESTAMP(), '+00:00', 'SYSTEM'))) AS seconds \
             FROM information_schema.innodb_trx GROUP BY trx_mysql_thread_id) AS x ON x.trx_mysql_thread_id = t.id",
        ),
        false => ("FALSE", ""),
    };
    let of_transaction = match from.transactions {
        true => "x.seconds AS transaction_seconds, COALESCE(x.waits, 0) AS waits_for_row",
        false => "NULL AS transaction_seconds, 0 AS waits_for_row",
    };
    let (event, events) = match from.threads {
        true => (
            "e.SQL_TEXT AS sql_text, e.DIGEST AS digest, e.CURRENT_SCHEMA AS current_schema, \
             e.TIMER_WAIT DIV 1000000 AS running_us",
            " LEFT JOIN performance_schema.events_statements_current AS e \
             ON e.THREAD_ID = t.thread_id AND e.NESTING_EVENT_LEVEL = 0",
        ),
        false => ("NULL AS sql_text, NULL AS digest, NULL AS current_schema, NULL AS running_us", ""),
    };
    format!(
        "SELECT t.id, t.user, t.host, t.db, t.command, t.state, t.time, t.info, {of_transaction}, {event} \
         FROM ({}) AS t{events}{transactions} \
         WHERE t.id <> CONNECTION_ID() AND t.command NOT IN ('Daemon', 'Binlog Dump', 'Binlog Dump GTID') \
         AND (t.command <> 'Sleep' OR {open}) ORDER BY t.time DESC LIMIT {}",
        threads(is_mariadb, from.threads),
        SESSIONS_MAX + 1
    )
}

fn threads(is_mariadb: bool, has_threads: bool) -> String {
    if has_threads && !is_mariadb {
        return "SELECT THREAD_ID AS thread_id, PROCESSLIST_ID AS id, PROCESSLIST_USER AS user, \
                PROCESSLIST_HOST AS host, PROCESSLIST_DB AS db, PROCESSLIST_COMMAND AS command, \
                PROCESSLIST_STATE AS state, PROCESSLIST_TIME AS time, PROCESSLIST_INFO AS info \
                FROM performance_schema.threads WHERE TYPE = 'FOREGROUND' AND PROCESSLIST_ID IS NOT NULL"
            .to_owned();
    }
    let (thread_id, threads) = match has_threads {
        true => ("h.THREAD_ID", " LEFT JOIN performance_schema.threads AS h ON h.PROCESSLIST_ID = p.ID"),
        false => ("NULL", ""),
    };
    format!(
        "SELECT {thread_id} AS thread_id, p.ID AS id, p.USER AS user, p.HOST AS host, p.DB AS db, p.COMMAND AS command, \
         p.STATE AS state, p.TIME AS time, LEFT(p.INFO, {TEXT_BYTES_MAX}) AS info \
         FROM information_schema.PROCESSLIST AS p{threads}"
    )
}

fn session(row: &Row, server: &Server, now: i64, texts: &mut TextReader) -> Result<SessionRow, Failure> {
    let row = Columns(row);
    let database = row.text("current_schema")?.or(row.text("db")?);
    let (command, state) = (row.text("command")?.unwrap_or_default(), row.text("state")?.unwrap_or_default());
    let is_idle = command == "Sleep";
    let (address, port) = client(row.text("host")?);
    let seconds = row.optional::<i64>("time")?.unwrap_or(0).max(0);
    let running_us = row.optional::<u64>("running_us")?.and_then(|us| i64::try_from(us).ok());
    let started_at = now - running_us.filter(|_| !is_idle).unwrap_or(seconds * 1_000_000);
    let waits_for_row = row.required::<i64>("waits_for_row")? > 0;
    let (kind, event) = match (is_idle, waits_for_row) {
        (true, _) => (None, None),
        (false, true) => (Some("Lock"), Some("row lock".to_owned())),
        (false, false) => (wait(&state), wait(&state).map(|_| state.clone())),
    };
    let transaction_seconds = row.optional::<i64>("transaction_seconds")?;
    let text_of = |column| Ok::<_, Failure>(row.optional::<Vec<u8>>(column)?.filter(|text| !text.is_empty()));
    let (sql_text, info) = (text_of("sql_text")?, text_of("info")?);
    let is_list = server.is_mariadb || !server.sessions.threads;
    let (room, text) = match (sql_text, info) {
        (_, Some(info)) if is_list => (TEXT_BYTES_MAX, Some(info)),
        (Some(text), _) => (server.sql_text_max, Some(text)),
        (None, info) => (THREAD_TEXT_MAX, info),
    };
    let statement = text.map(|text| texts.session(&text, text.len() >= room));
    Ok(SessionRow {
        session_id: row.required::<u64>("id")?.to_string(),
        database_id: Some(database.clone().unwrap_or_default()),
        database,
        user: row.text("user")?,
        client_address: address,
        client_port: port,
        backend_type: Some("client backend".to_owned()),
        state: Some(if is_idle { "idle in transaction" } else { "active" }.to_owned()),
        state_changed_at: Some(now - seconds * 1_000_000),
        wait_event_type: kind.map(str::to_owned),
        wait_event: event,
        query_id: row.text("digest")?,
        query_started_at: Some(started_at),
        transaction_started_at: transaction_seconds.map(|seconds| now - seconds.max(0) * 1_000_000),
        statement,
        attributes: vec![("command", command), ("thread_state", state)],
        ..SessionRow::default()
    })
}

/// Address and port of a client: `host`, or `host:port`.
fn client(host: Option<String>) -> (Option<String>, Option<i64>) {
    let Some(host) = host.filter(|host| !host.is_empty() && host != "localhost") else { return (None, None) };
    match host.rsplit_once(':').and_then(|(address, port)| Some((address, port.parse().ok()?))) {
        Some((address, port)) if !address.contains(':') => (Some(address.to_owned()), Some(port)),
        _ => (Some(host), None),
    }
}

/// The class of a wait; none for what is work.
fn wait(state: &str) -> Option<&'static str> {
    match state {
        _ if state.contains("lock") => Some("Lock"),
        "User sleep" => Some("Timeout"),
        _ if state.starts_with("Waiting") || state.starts_with("waiting") => Some("Other"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_have_an_address_and_perhaps_a_port() {
        let cases = [
            ("10.0.0.7:50000", (Some("10.0.0.7"), Some(50_000))),
            ("10.0.0.7", (Some("10.0.0.7"), None)),
            ("2001:db8::1", (Some("2001:db8::1"), None)),
            ("localhost", (None, None)),
            ("", (None, None)),
        ];
        for (host, (address, port)) in cases {
            assert_eq!(client(Some(host.to_owned())), (address.map(str::to_owned), port), "{host}");
        }
    }

    #[test]
    fn waits_are_told_from_work() {
        let cases = [
            ("Waiting for table metadata lock", Some("Lock")),
            ("User sleep", Some("Timeout")),
            ("Waiting for commit", Some("Other")),
            ("executing", None),
            ("Sending data", None),
        ];
        for (state, class) in cases {
            assert_eq!(wait(state), class, "{state}");
        }
    }

    #[test]
    fn sessions_are_read_from_what_there_is() {
        let all = sql(false, Sessions { threads: true, transactions: true });
        assert!(all.contains("FROM performance_schema.threads") && all.contains("innodb_trx"));
        let listed = sql(true, Sessions { threads: true, transactions: true });
        assert!(listed.contains("FROM information_schema.PROCESSLIST") && listed.contains("events_statements_current"));
        let least = sql(false, Sessions::default());
        assert!(!least.contains("performance_schema") && !least.contains("innodb_trx"), "{least}");
    }
}
