//! Sequences of one database, and how much of them is used.

use crate::failure::Failure;
use crate::poll::Capability;
use crate::postgresql::mapping;
use crate::postgresql::server::quoted;
use crate::postgresql::transaction::Transaction;
use crate::postgresql::value::Columns;
use crate::view::{VIEW, View};

/// The last value is null for a sequence that was not used, or that we may not read.
pub const PG_SEQUENCES: View = View {
    name: "pg_sequences",
    object_type: "sequence",
    identity: &[("database", "current_database()"), ("schema", "v.schemaname"), ("sequence", "v.sequencename")],
    from: "pg_sequences AS v",
    rest: "ORDER BY v.schemaname, v.sequencename",
    max: 2_000,
    series: mapping::PG_SEQUENCES,
    ..VIEW
};

const HIDDEN: &str = "
SELECT count(*) FILTER (WHERE NOT has_sequence_privilege(c.oid, 'SELECT, USAGE')) AS hidden,
       current_database()::text AS database, current_user::text AS username
FROM pg_class AS c WHERE c.relkind = 'S' AND c.relpersistence <> 't'";

/// Its name where it is left out.
pub const HIDDEN_SEQUENCES: &str = "pg_sequences.hidden";

/// What is missing if there are sequences of the connected database that we may not look at. No role that watches servers
/// has that right by itself.
pub async fn hidden(transaction: &Transaction<'_>) -> Result<Option<Capability>, Failure> {
    let row = transaction.query_one(HIDDEN, &[]).await?;
    let row = Columns(&row);
    let (database, username) = (row.text("database")?.unwrap_or_default(), row.text("username")?.unwrap_or_default());
    let hidden: i64 = row.required("hidden")?;
    Ok((hidden > 0).then(|| Capability {
        name: PG_SEQUENCES.name.to_owned(),
        consequence: format!("the use of {hidden} sequences of the database {database} is not known"),
        remedy: format!(
            "GRANT SELECT ON ALL SEQUENCES IN SCHEMA … TO {}, in the database {database}: it gives no right to a table",
            quoted(&username)
        ),
    }))
}
