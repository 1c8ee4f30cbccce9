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
        "NOT d.datistemplate AND (cardinality($1) = 0 OR d.datname::text LIKE ANY ($1)) AND NOT d.datname::text LIKE ANY ($2)"
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

/// The databases that the configuration chooses, as patterns of LIKE.
#[derive(Debug)]
pub struct Chosen {
    wanted: Vec<String>,
    unwanted: Vec<String>,
}

impl Chosen {
    /// Those of this configuration.
    pub fn of(config: &Config) -> Chosen {
        let patterns = |names: &[String]| names.iter().map(|name| like(name)).collect();
        Chosen { wanted: patterns(&config.databases), unwanted: patterns(&config.exclude_databases) }
    }

    /// `$1` and `$2` of the condition.
    pub fn parameters(&self) -> [Parameter<'_>; 2] {
        [(&self.wanted, Type::TEXT_ARRAY), (&self.unwanted, Type::TEXT_ARRAY)]
    }
}

/// The pattern of LIKE for a name in which `*` stands for any characters and `?` for one.
fn like(name: &str) -> String {
    let mut pattern = String::with_capacity(name.len());
    for character in name.chars() {
        match character {
            '*' => pattern.push('%'),
            '?' => pattern.push('_'),
            '%' | '_' | '\\' => pattern.extend(['\\', character]),
            character => pattern.push(character),
        }
    }
    pattern
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
    let mut rows = transaction.query(&sql, &Chosen::of(config).parameters()).await?;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_itself_and_stars_are_wild() {
        let cases =
            [("orders", "orders"), ("shop_*", "shop\\_%"), ("a?c", "a_c"), ("100%", "100\\%"), ("a\\b", "a\\\\b")];
        for (name, expected) in cases {
            assert_eq!(like(name), expected);
        }
    }
}
