//! Who is in whose way: row locks of InnoDB, and locks of tables as a whole (metadata locks). Asked for only while somebody
//! waits, since the server stops for a moment to answer.

use std::collections::BTreeMap;

use super::connection::Connection;
use super::server::Server;
use super::value::Columns;
use crate::failure::Failure;
use crate::poll::Capability;

/// Most pairs of a waiter and a blocker that are read.
const PAIRS_MAX: usize = 1_000;

/// Sessions that each waiter waits for, by what the server calls it.
pub type Blockers = BTreeMap<u64, Vec<String>>;

const ROW_LOCKS_OF_MYSQL: &str = "SELECT DISTINCT r.PROCESSLIST_ID AS waiter, b.PROCESSLIST_ID AS blocker
FROM performance_schema.data_lock_waits AS w
JOIN performance_schema.threads AS r ON r.THREAD_ID = w.REQUESTING_THREAD_ID
JOIN performance_schema.threads AS b ON b.THREAD_ID = w.BLOCKING_THREAD_ID";

const ROW_LOCKS_OF_MARIADB: &str = "SELECT DISTINCT r.trx_mysql_thread_id AS waiter, b.trx_mysql_thread_id AS blocker
FROM information_schema.innodb_lock_waits AS w
JOIN information_schema.innodb_trx AS r ON r.trx_id = w.requesting_trx_id
JOIN information_schema.innodb_trx AS b ON b.trx_id = w.blocking_trx_id";

/// Whoever has a lock on what somebody waits for, but for the marks of intent that everybody shares.
const METADATA_LOCKS: &str = "SELECT DISTINCT r.PROCESSLIST_ID AS waiter, b.PROCESSLIST_ID AS blocker
FROM performance_schema.metadata_locks AS p
JOIN performance_schema.metadata_locks AS g
    ON g.OBJECT_TYPE = p.OBJECT_TYPE AND g.OBJECT_SCHEMA <=> p.OBJECT_SCHEMA AND g.OBJECT_NAME <=> p.OBJECT_NAME
    AND g.LOCK_STATUS = 'GRANTED' AND g.LOCK_TYPE <> 'INTENTION_EXCLUSIVE' AND g.OWNER_THREAD_ID <> p.OWNER_THREAD_ID
JOIN performance_schema.threads AS r ON r.THREAD_ID = p.OWNER_THREAD_ID
JOIN performance_schema.threads AS b ON b.THREAD_ID = g.OWNER_THREAD_ID
WHERE p.LOCK_STATUS = 'PENDING'";

/// Reads who waits for whom; with what the server does not let us read.
pub async fn read(connection: &mut Connection, server: &Server) -> Result<(Blockers, Option<Capability>), Failure> {
    let has = |view: &str| server.catalog.contains_key(view);
    let row_locks = match (has("data_lock_waits"), has("innodb_lock_waits")) {
        (true, _) => Some(ROW_LOCKS_OF_MYSQL),
        (false, true) => Some(ROW_LOCKS_OF_MARIADB),
        (false, false) => None,
    };
    let metadata_locks = has("metadata_locks").then_some(METADATA_LOCKS);
    let (mut blockers, mut missing) = (Blockers::new(), None);
    for sql in row_locks.into_iter().chain(metadata_locks) {
        let rows = match connection.query(&format!("{sql} LIMIT {PAIRS_MAX}")).await {
            Err(failure) if failure.is_missing_on_mysql() => {
                missing = Some(hidden(&failure, server));
                continue;
            }
            rows => rows?,
        };
        for row in &rows {
            let row = Columns(row);
            if let (Some(waiter), Some(blocker)) = (row.optional::<u64>("waiter")?, row.optional::<u64>("blocker")?) {
                blockers.entry(waiter).or_default().push(blocker.to_string());
            }
        }
    }
    Ok((blockers, missing))
}

fn hidden(failure: &Failure, server: &Server) -> Capability {
    Capability {
        name: "lock_waits".to_owned(),
        consequence: format!("who blocks whom is not seen: {}", failure.message),
        remedy: format!("GRANT {} ON *.* and SELECT ON performance_schema.* to our account", server.grants()),
    }
}
