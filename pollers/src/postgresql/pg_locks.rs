//! Locks that sessions wait for: what they would lock, how, and since when. Asked for only while somebody waits.

use std::collections::BTreeMap;

use super::server::Server;
use super::transaction::Transaction;
use super::value::Columns;
use crate::failure::Failure;
use crate::rows::SessionRow;

/// Most waits that are read.
const WAITS_MAX: usize = 1_000;

type Attributes = Vec<(&'static str, String)>;

/// Adds to each session what it waits for. The name of a relation is known in our own database alone; elsewhere it is its OID.
pub async fn describe_waits(
    transaction: &Transaction<'_>,
    server: &Server,
    sessions: &mut [SessionRow],
) -> Result<(), Failure> {
    let mut waits: BTreeMap<String, Attributes> = BTreeMap::new();
    for row in &transaction.query(&sql(server), &[]).await? {
        let row = Columns(row);
        let mut attributes = Attributes::new();
        for (name, column) in [("lock_type", "locktype"), ("lock_mode", "mode"), ("lock_relation", "relation")] {
            attributes.extend(row.text(column)?.map(|text| (name, text)));
        }
        attributes.extend(row.micros("waitstart")?.map(|micros| ("lock_wait_started_at", micros.to_string())));
        waits.insert(row.required::<i32>("pid")?.to_string(), attributes);
    }
    for session in sessions {
        session.attributes.extend(waits.remove(&session.session_id).unwrap_or_default());
    }
    Ok(())
}

fn sql(server: &Server) -> String {
    let has_start = server.catalog.get("pg_locks").is_some_and(|columns| columns.contains("waitstart"));
    let start = if has_start { "l.waitstart" } else { "NULL::timestamptz" };
    format!(
        "SELECT l.pid, l.locktype, l.mode, coalesce(c.relname::text, l.relation::text) AS relation, {start} AS waitstart
         FROM pg_locks AS l LEFT JOIN pg_database AS d ON d.datname = current_database()
         LEFT JOIN pg_class AS c ON c.oid = l.relation AND l.database IN (0, d.oid)
         WHERE NOT l.granted AND l.pid IS NOT NULL LIMIT {WAITS_MAX}"
    )
}
