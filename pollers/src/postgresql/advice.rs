//! Settings that make some numbers poorer than they could be.

use tokio_postgres::types::Type;

use super::transaction::Transaction;
use super::value::Columns;
use crate::failure::Failure;
use crate::poll::Capability;

/// A setting, the values with which something is missing, what that is, and what mends it.
struct Setting {
    name: &'static str,
    poor: &'static [&'static str],
    consequence: &'static str,
    remedy: &'static str,
}

const OFF: &[&str] = &["off"];
const NONE: &[&str] = &["none"];

const SETTINGS: [Setting; 8] = [
    Setting {
        name: "track_activities",
        poor: OFF,
        consequence: "sessions have no state, no text and no waits",
        remedy: "ALTER SYSTEM SET track_activities = on; SELECT pg_reload_conf()",
    },
    Setting {
        name: "track_counts",
        poor: OFF,
        consequence: "tables, indexes and rows of databases are not counted, and nothing is vacuumed by itself",
        remedy: "ALTER SYSTEM SET track_counts = on; SELECT pg_reload_conf()",
    },
    Setting {
        name: "track_functions",
        poor: NONE,
        consequence: "calls of functions are not counted",
        remedy: "ALTER SYSTEM SET track_functions = 'pl'; SELECT pg_reload_conf()",
    },
    Setting {
        name: "track_io_timing",
        poor: OFF,
        consequence: "times of reads and writes are 0",
        remedy: "ALTER SYSTEM SET track_io_timing = on; SELECT pg_reload_conf()",
    },
    Setting {
        name: "track_wal_io_timing",
        poor: OFF,
        consequence: "times of writing and syncing the WAL are 0",
        remedy: "ALTER SYSTEM SET track_wal_io_timing = on; SELECT pg_reload_conf()",
    },
    Setting {
        name: "compute_query_id",
        poor: OFF,
        consequence: "no statement is counted, unless another extension identifies it",
        remedy: "ALTER SYSTEM SET compute_query_id = 'auto'; SELECT pg_reload_conf()",
    },
    Setting {
        name: "pg_stat_statements.track",
        poor: NONE,
        consequence: "no statement is counted",
        remedy: "ALTER SYSTEM SET pg_stat_statements.track = 'top'; SELECT pg_reload_conf()",
    },
    Setting {
        name: "pg_stat_statements.track_planning",
        poor: OFF,
        consequence: "plans are not counted, and times of planning are 0",
        remedy: "ALTER SYSTEM SET pg_stat_statements.track_planning = on; SELECT pg_reload_conf(): it costs a little \
                 where many sessions plan the same statement at the same time",
    },
];

/// Bytes that hold most statements whole.
const ACTIVITY_QUERY_SIZE: usize = 4096;

/// What this server's settings cost. A setting that it does not have costs nothing.
pub async fn read(transaction: &Transaction<'_>) -> Result<Vec<Capability>, Failure> {
    let sql = "SELECT name, current_setting(name, true) AS value FROM unnest($1) AS of_server (name)";
    let names: Vec<&str> = SETTINGS.iter().map(|setting| setting.name).collect();
    let mut advice = Vec::new();
    for row in &transaction.query(sql, &[(&names, Type::TEXT_ARRAY)]).await? {
        let row = Columns(row);
        let (name, value) = (row.text("name")?.unwrap_or_default(), row.text("value")?.unwrap_or_default());
        advice.extend(of(&name, &value));
    }
    Ok(advice)
}

fn of(name: &str, value: &str) -> Option<Capability> {
    let setting = SETTINGS.iter().find(|setting| setting.name == name && setting.poor.contains(&value))?;
    Some(Capability {
        name: setting.name.to_owned(),
        consequence: setting.consequence.to_owned(),
        remedy: setting.remedy.to_owned(),
    })
}

/// What room for the texts of sessions of so many bytes costs.
pub fn of_text_size(size: usize) -> Option<Capability> {
    (size < ACTIVITY_QUERY_SIZE).then(|| Capability {
        name: "track_activity_query_size".to_owned(),
        consequence: format!("texts of sessions are cut after {} bytes", size - 1),
        remedy: format!(
            "ALTER SYSTEM SET track_activity_query_size = {ACTIVITY_QUERY_SIZE}, and a restart of the server"
        ),
    })
}
