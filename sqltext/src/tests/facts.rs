//! Verbs, tables, tags.

use crate::{Dialect, Normalizer, Options, SqlMode, Tag};

#[track_caller]
fn check(dialect: Dialect, cases: &[(&str, &str, &[&str], bool)]) {
    let mut normalizer = Normalizer::new(dialect, Options::default());
    for (sql, verb, tables, certain) in cases {
        let statement = normalizer.normalize(sql.as_bytes());
        let found: Vec<_> = statement.tables().collect();
        assert_eq!((statement.verb, found.as_slice(), statement.tables_certain), (*verb, *tables, *certain), "{sql}");
    }
}

#[test]
fn verbs_and_tables() {
    check(
        Dialect::PostgreSql,
        &[
            ("select 1", "SELECT", &[], true),
            ("select a from t", "SELECT", &["t"], true),
            (
                "select a from s.t x, \"U\" as y join only v on v.a = x.a where b in (select c from w)",
                "SELECT",
                &["s.t", "\"U\"", "v", "w"],
                true,
            ),
            (
                "with x as (select a from t), y as (select 1) update u set a = 1 from x where u.b = x.b",
                "UPDATE",
                &["t", "u"],
                true,
            ),
            ("with x(a) as (select 1) select a from x", "SELECT", &[], true),
            ("with x as (select f(a) from t), y(b, c) as (select 1, 2) select b from y, x", "SELECT", &["t"], true),
            ("with x as not materialized (select a from t) select a from x", "SELECT", &["t"], true),
            ("copy t from stdin", "COPY", &["t"], false),
            ("copy t to stdout", "COPY", &["t"], false),
            ("copy (select a from t) to program 'x'", "COPY", &["t"], false),
            ("insert into t (a) select a from u on conflict (a) do update set a = 1", "INSERT", &["t", "u"], true),
            ("delete from t using u where t.a = u.a", "DELETE", &["t", "u"], true),
            ("select a from generate_series(1, 2), t for update", "SELECT", &["t"], false),
            ("select extract(day from d), trim(both 'x' from e), a is distinct from b from t", "SELECT", &["t"], true),
            ("select a from t order by b, c", "SELECT", &["t"], true),
            ("create index i on t using btree (a)", "CREATE", &["t"], false),
            ("create table if not exists s.t (a int)", "CREATE", &["s.t"], false),
            ("truncate a, b", "TRUNCATE", &["a", "b"], true),
            ("select a from t where b = 'x", "SELECT", &["t"], false),
            ("select a from t; select b from u", "SELECT", &["t", "u"], false),
            ("explain select a from t", "EXPLAIN", &["t"], false),
            ("(select a from t) union (select a from u)", "SELECT", &["t", "u"], true),
            ("merge into t using u on t.a = u.a when matched then update set b = 1", "MERGE", &["t", "u"], true),
            ("frobnicate t", "", &[], false),
            // The second item of the list is the same, and is taken back.
            (
                "select a from t where b in ((select c from u where d = 1), (select c from u where d = 2)) and some_condition",
                "SELECT",
                &["t", "u"],
                true,
            ),
        ],
    );
    let mode = SqlMode { ansi_quotes: Some(false), no_backslash_escapes: Some(false) };
    check(
        Dialect::MySql(mode),
        &[
            ("replace into t values (1)", "REPLACE", &["t"], true),
            ("update a, b set a.x = 1 where a.y = b.y", "UPDATE", &["a", "b"], true),
            ("insert ignore into `d`.`t` values (1) on duplicate key update a = 1", "INSERT", &["`d`.`t`"], true),
            ("select a into outfile 'x' from t", "SELECT", &["t"], true),
        ],
    );
}

#[test]
fn tags_and_traces() {
    let sql = b"select a from t /*action='run',controller='jobs',traceparent='00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'*/";
    let mut normalizer = Normalizer::new(Dialect::PostgreSql, Options::default());
    let statement = normalizer.normalize(sql);
    let tags: Vec<_> = statement.tags().collect();
    assert_eq!(tags, [Tag { key: "action", value: "run" }, Tag { key: "controller", value: "jobs" }]);
    assert_eq!(statement.traceparent.map(|trace| trace.parent_id), Some(0xb7ad_6b71_6920_3331));
    assert_eq!(statement.text, "select a from t");
    assert_eq!(normalizer.normalize(b"select 1").tags().count(), 0);
}
