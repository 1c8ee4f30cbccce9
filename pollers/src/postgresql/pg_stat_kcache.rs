//! CPU time of statements, as the operating system told it to the extension `pg_stat_kcache`. Its entries have the key of
//! `pg_stat_statements`, and are none of ours where that has none.

use std::collections::{BTreeSet, HashMap};

use super::pg_stat_statements::{Key, Statement};
use super::server::quoted;
use super::transaction::Transaction;
use super::value::Columns;
use crate::failure::Failure;
use crate::poll::Capability;

/// Its name, also that of its function.
const NAME: &str = "pg_stat_kcache";

/// Times that add up to the CPU time, in s; names since version 2.2 and before.
const TIMES: [&[&str]; 2] =
    [&["plan_user_time", "plan_system_time", "exec_user_time", "exec_system_time"], &["user_time", "system_time"]];

/// Its setting is known as soon as the library is loaded.
const PROBE: &str = "
SELECT n.nspname AS schema,
       EXISTS (SELECT FROM pg_settings WHERE name = 'pg_stat_kcache.linux_hz') AS is_loaded,
       has_schema_privilege(n.oid, 'USAGE') AND (
           SELECT bool_and(has_function_privilege(p.oid, 'EXECUTE')) FROM pg_proc p
           WHERE p.pronamespace = n.oid AND p.proname = 'pg_stat_kcache'
       ) AS allowed,
       current_user::text AS username
FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace WHERE e.extname = 'pg_stat_kcache'";

/// How to read the CPU times.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CpuTimes {
    sql: String,
}

impl CpuTimes {
    /// Looks for the extension in the database. Whoever does not have it lacks nothing; one that cannot be read does.
    pub async fn probe(
        transaction: &Transaction<'_>,
        has_toplevel: bool,
    ) -> Result<Option<Result<CpuTimes, Capability>>, Failure> {
        let rows = transaction.query(PROBE, &[]).await?;
        let Some(row) = rows.first().map(Columns) else { return Ok(None) };
        let schema = quoted(&row.text("schema")?.unwrap_or_default());
        if !row.required::<bool>("is_loaded")? {
            let remedy =
                "add pg_stat_kcache to shared_preload_libraries, after pg_stat_statements, and restart the server";
            return Ok(Some(Err(missing(remedy.to_owned()))));
        }
        if !row.optional::<bool>("allowed")?.unwrap_or(false) {
            let username = quoted(&row.text("username")?.unwrap_or_default());
            let remedy = format!(
                "GRANT USAGE ON SCHEMA {schema} TO {username}; GRANT EXECUTE ON FUNCTION {schema}.{NAME}() TO {username}"
            );
            return Ok(Some(Err(missing(remedy))));
        }
        let function = format!("{schema}.{NAME}()");
        let columns = transaction.columns(&function).await?.into_iter().collect();
        Ok(Some(
            sql(&function, &columns, has_toplevel)
                .map(|sql| CpuTimes { sql })
                .ok_or_else(|| missing("ALTER EXTENSION pg_stat_kcache UPDATE, to version 2.2 or later".to_owned())),
        ))
    }

    /// Adds the CPU time to each statement that has one.
    pub async fn add(&self, transaction: &Transaction<'_>, statements: &mut [Statement]) -> Result<(), Failure> {
        let mut times = HashMap::with_capacity(statements.len());
        for row in transaction.query(&self.sql, &[]).await? {
            let key = Key {
                user: row.try_get(0)?,
                database: row.try_get(1)?,
                query: row.try_get(2)?,
                toplevel: row.try_get(3)?,
            };
            times.insert(key, row.try_get::<_, i64>(4)?);
        }
        for statement in statements {
            statement.counters = statement.counters.with_cpu_time_ns(times.get(&statement.key).copied());
        }
        Ok(())
    }
}

/// Reads the time of each statement; none if the extension does not tell levels apart and `pg_stat_statements` does.
fn sql(function: &str, columns: &BTreeSet<String>, has_toplevel: bool) -> Option<String> {
    let times = TIMES.iter().find(|names| names.iter().all(|name| columns.contains(*name)))?.join(" + ");
    let toplevel = match (has_toplevel, columns.contains("top")) {
        (true, true) => "top",
        (true, false) => return None,
        (false, _) => "NULL::bool",
    };
    Some(format!(
        "SELECT userid, dbid, queryid, {toplevel}, (sum({times}) * 1e9)::int8 FROM {function} \
         WHERE queryid IS NOT NULL GROUP BY 1, 2, 3, 4"
    ))
}

fn missing(remedy: String) -> Capability {
    Capability { name: NAME.to_owned(), consequence: "there is no CPU time of statements".to_owned(), remedy }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(columns: &str, has_toplevel: bool) -> Option<String> {
        sql("public.pg_stat_kcache()", &columns.split(' ').map(str::to_owned).collect(), has_toplevel)
    }

    #[test]
    fn columns_are_taken_as_they_are_found() {
        let new = of("queryid top userid dbid plan_user_time plan_system_time exec_user_time exec_system_time", true);
        let new = new.unwrap();
        assert!(
            new.starts_with("SELECT userid, dbid, queryid, top, (sum(plan_user_time + plan_system_time + "),
            "{new}"
        );
        let old = of("queryid userid dbid user_time system_time", false).unwrap();
        assert!(old.starts_with("SELECT userid, dbid, queryid, NULL::bool, (sum(user_time + system_time)"), "{old}");
        assert_eq!(of("queryid userid dbid user_time system_time", true), None, "levels would be mixed");
        assert_eq!(of("queryid top userid dbid", true), None);
    }
}
