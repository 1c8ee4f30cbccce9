//! The databases of a server: which are read, and how large they are.

use tokio_postgres::types::Type;

use crate::failure::Failure;
use crate::poll::Capability;
use crate::postgresql::config::Config;
use crate::postgresql::mapping;
use crate::postgresql::transaction::{Parameter, Transaction};
use crate::postgresql::value::Columns;
use crate::view::{Source, VIEW, View, beyond};

/// Most databases of a server that are read.
pub const DATABASES_MAX: usize = 1_000;

/// Condition on `pg_database AS d` for the databases that are read; see [`Chosen::parameters`].
macro_rules! chosen {
    () => {
        "NOT d.datistemplate AND (cardinality($1) = 0 OR d.datname::text = ANY($1)) AND d.datname::text <> ALL($2)"
    };
}
pub(super) use chosen;

/// The number of databases that are read.
pub const COUNT: View = View {
    name: "pg_database",
    from: "pg_database AS d",
    rest: concat!("WHERE ", chosen!()),
    series: mapping::PG_DATABASE,
    ..VIEW
};

/// The size of the connected database: one call to the file system per file of it.
pub const SIZE: View = View {
    name: "pg_database_size",
    source: Source::Any,
    object_type: "database",
    identity: &[("database", "current_database()")],
    series: mapping::DATABASE_SIZE,
    ..VIEW
};

/// The databases that the configuration chooses.
#[derive(Debug)]
pub struct Chosen<'a>(pub &'a Config);

impl Chosen<'_> {
    /// `$1` and `$2` of the condition.
    pub fn parameters(&self) -> [Parameter<'_>; 2] {
        [(&self.0.databases, Type::TEXT_ARRAY), (&self.0.exclude_databases, Type::TEXT_ARRAY)]
    }
}

/// Names of the databases that are chosen and that we can connect to, and what is missing if there are more than are read. A
/// limit of -2 marks what is left of a DROP DATABASE that was interrupted.
pub async fn connectable(
    transaction: &Transaction<'_>,
    config: &Config,
) -> Result<(Vec<String>, Option<Capability>), Failure> {
    let sql = format!(
        "SELECT d.datname AS database,
                d.datallowconn AND d.datconnlimit <> -2 AND has_database_privilege(d.oid, 'CONNECT') AS connectable
         FROM pg_database AS d WHERE {} ORDER BY d.datname LIMIT {}",
        chosen!(),
        DATABASES_MAX + 1
    );
    let mut rows = transaction.query(&sql, &Chosen(config).parameters()).await?;
    let missing = beyond("pg_database", DATABASES_MAX, &mut rows);
    let mut names = Vec::new();
    for row in &rows {
        let row = Columns(row);
        if row.required("connectable")? {
            names.extend(row.text("database")?);
        }
    }
    Ok((names, missing))
}
