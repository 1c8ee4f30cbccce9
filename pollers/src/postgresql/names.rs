//! Names of databases and roles by their OID, from `pg_database` and `pg_roles`.

use std::collections::HashMap;
use std::sync::Arc;

use tokio_postgres::Row;

use super::pg_stat_statements::Key;
use super::transaction::Transaction;
use super::value::Columns;
use crate::failure::Failure;

/// Most names of a kind that are read.
const NAMES_MAX: usize = 100_000;

/// Names as they were when they were last read. What had no name then is remembered as nameless until it is read again.
#[derive(Debug, Default)]
pub struct Names {
    databases: HashMap<u32, Option<Arc<str>>>,
    roles: HashMap<u32, Option<Arc<str>>>,
}

impl Names {
    /// Name of a database; none when it was dropped.
    pub fn database(&self, oid: u32) -> Option<Arc<str>> {
        self.databases.get(&oid).cloned().flatten()
    }

    /// Name of a role; none when it was dropped.
    pub fn role(&self, oid: u32) -> Option<Arc<str>> {
        self.roles.get(&oid).cloned().flatten()
    }

    /// Reads the names if any of these statements has an OID that was not there at the last read.
    pub async fn cover(
        &mut self,
        transaction: &Transaction<'_>,
        mut keys: impl Iterator<Item = Key> + Clone,
    ) -> Result<(), Failure> {
        let covers = |key: Key| self.databases.contains_key(&key.database) && self.roles.contains_key(&key.user);
        if keys.clone().all(covers) {
            return Ok(());
        }
        self.read(transaction).await?;
        keys.by_ref().for_each(|key| {
            self.databases.entry(key.database).or_default();
            self.roles.entry(key.user).or_default();
        });
        Ok(())
    }

    async fn read(&mut self, transaction: &Transaction<'_>) -> Result<(), Failure> {
        let sql = format!("SELECT oid, datname AS name FROM pg_database LIMIT {NAMES_MAX}");
        self.databases = by_oid(&transaction.query(&sql, &[]).await?)?;
        let sql = format!("SELECT oid, rolname AS name FROM pg_roles LIMIT {NAMES_MAX}");
        self.roles = by_oid(&transaction.query(&sql, &[]).await?)?;
        Ok(())
    }

    /// Forgets everything, so that renamed databases and roles are seen.
    pub fn forget(&mut self) {
        *self = Names::default();
    }

    #[cfg(test)]
    pub fn of<const D: usize, const R: usize>(databases: [(u32, &str); D], roles: [(u32, &str); R]) -> Names {
        let map = |pairs: &[(u32, &str)]| pairs.iter().map(|(oid, name)| (*oid, Some(Arc::from(*name)))).collect();
        Names { databases: map(&databases), roles: map(&roles) }
    }
}

fn by_oid(rows: &[Row]) -> Result<HashMap<u32, Option<Arc<str>>>, Failure> {
    let pair = |row| Ok((Columns(row).required("oid")?, Columns(row).text("name")?.map(Arc::from)));
    rows.iter().map(pair).collect()
}
