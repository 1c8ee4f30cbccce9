//! The databases of a server: which are read, and how large they are.

use tokio_postgres::types::Type;

use crate::metric::Value;
use crate::poll::Capability;
use crate::rows::MetricRow;

use super::config::Config;
use super::mapping;
use super::objects::{View, beyond};
use super::transaction::{Parameter, Transaction};
use super::value::Columns;
use crate::failure::Failure;

/// Most databases of a server that are read.
pub const DATABASES_MAX: usize = 1_000;

const COUNT: View = View { name: "pg_database", object_type: "server", identity: &[], series: mapping::PG_DATABASE };
const SIZE: View =
    View { name: "pg_database_size", object_type: "database", identity: &["database"], series: mapping::DATABASE_SIZE };

/// Condition on `pg_database AS d` for the databases that are read; see [`Chosen::parameters`].
pub const CHOSEN: &str = "NOT d.datistemplate AND (cardinality($1) = 0 OR d.datname::text = ANY($1))
    AND d.datname::text <> ALL($2)";

/// The databases that the configuration chooses.
#[derive(Debug)]
pub struct Chosen<'a>(pub &'a Config);

impl Chosen<'_> {
    /// `$1` and `$2` of [`CHOSEN`].
    pub fn parameters(&self) -> [Parameter<'_>; 2] {
        [(&self.0.databases, Type::TEXT_ARRAY), (&self.0.exclude_databases, Type::TEXT_ARRAY)]
    }
}

/// The databases of a server.
#[derive(Debug, Default)]
pub struct Databases {
    /// Those that we can connect to, by name.
    pub connectable: Vec<String>,
    /// The number of all that are chosen.
    pub count: MetricRows,
    /// There are more than are read.
    pub missing: Option<Capability>,
}

/// Rows of metrics.
pub type MetricRows = Vec<MetricRow>;

/// Reads which databases there are. A limit of -2 marks what is left of a DROP DATABASE that was interrupted.
pub async fn read(transaction: &Transaction<'_>, config: &Config) -> Result<Databases, Failure> {
    let sql = format!(
        "SELECT d.datname AS database, count(*) OVER () AS databases,
                d.datallowconn AND d.datconnlimit <> -2 AND has_database_privilege(d.oid, 'CONNECT') AS connectable
         FROM pg_database AS d WHERE {CHOSEN} ORDER BY d.datname LIMIT {}",
        DATABASES_MAX + 1
    );
    let mut rows = transaction.query(&sql, &Chosen(config).parameters()).await?;
    let count = rows.first().map_or(Ok(0), |row| Columns(row).required("databases"))?;
    let missing = beyond("pg_database", DATABASES_MAX, &mut rows);
    let mut databases = Databases { missing, ..Databases::default() };
    for row in &rows {
        let row = Columns(row);
        if row.required("connectable")? {
            databases.connectable.extend(row.text("database")?);
        }
    }
    let count = (&mapping::PG_DATABASE[0], Value::Integer(count));
    databases.count.push(COUNT.row(Vec::new(), vec![count]));
    Ok(databases)
}

/// Reads the size of the connected database: one call to the file system per file of it.
pub async fn size(transaction: &Transaction<'_>) -> Result<MetricRows, Failure> {
    let from = "SELECT current_database() AS database, NULL::timestamptz AS stats_reset,
                       pg_database_size(current_database()) AS size";
    SIZE.read(transaction, from, &[]).await
}
