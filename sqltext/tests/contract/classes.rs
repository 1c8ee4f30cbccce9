//! Which texts are one statement: by servers that normalise themselves, by pg_query and by go-mysql.

use std::collections::BTreeSet;

use crate::corpora::{lines, text};
use crate::subject::{Mode, Server, fingerprint, modes, normalise};

/// Each line is one statement, as clients send it and as the statistics of the server show it.
const POSTGRESQL: &[&[&str]] = &[
    &[
        "SELECT * FROM t WHERE a = 5",
        "SELECT * FROM t WHERE a = $1",
        "SELECT * FROM t WHERE a = ?",
        "select * from T where A=:name",
    ],
    &["SELECT * FROM t WHERE a = -5", "SELECT * FROM t WHERE a = $1", "SELECT * FROM t WHERE a = %s"],
    &[
        "SELECT * FROM t WHERE a = true",
        "SELECT * FROM t WHERE a = $1",
        "SELECT * FROM t WHERE a = FALSE",
        "SELECT * FROM t WHERE a = NULL",
    ],
    &["SELECT 1, -2, 'x', 4.5 FROM t", "SELECT $1, $2, $3, $4 FROM t"],
    &["SELECT a - 1, a -1, a-1 FROM t", "SELECT a - $1, a -$2, a-$3 FROM t"],
    &[
        "SELECT * FROM t WHERE a IN (1, 2, 3)",
        "SELECT * FROM t WHERE a IN ($1, $2, $3)",
        "SELECT * FROM t WHERE a IN ($1 /*, ... */)",
        "SELECT * FROM t WHERE a IN (-7)",
    ],
    &[
        "SELECT * FROM t WHERE a = ANY (ARRAY[1, 2])",
        "SELECT * FROM t WHERE a = ANY (ARRAY[$1, $2])",
        "SELECT * FROM t WHERE a = ANY (ARRAY[$1 /*, ... */])",
    ],
    &[
        "INSERT INTO t (a, b) VALUES (1, 'x'), (2, 'y')",
        "INSERT INTO t (a, b) VALUES ($1, $2), ($3, $4)",
        "INSERT INTO t (a, b) VALUES ($1, $2)",
    ],
    &["SELECT * FROM t LIMIT 10 OFFSET 20", "SELECT * FROM t LIMIT $1 OFFSET $2"],
    &["SELECT now() - interval '1 day', date '2020-01-01'", "SELECT now() - interval $1, date $2"],
    &["SELECT interval '1' day, timestamp with time zone 'now'", "SELECT interval $1 day, timestamp with time zone $2"],
    &[
        "SELECT '1'::int, 'a'::text[], CAST('1' AS numeric(10, 2))",
        "SELECT $1::int, $2::text[], CAST($3 AS numeric(10, 2))",
    ],
    &["SELECT EXTRACT(epoch FROM a) FROM t", "SELECT EXTRACT($1 FROM a) FROM t", "select extract(year from a) from t"],
    &["SELECT a -> 'x' ->> 0, b @> '{\"c\": 1}' FROM t", "SELECT a -> $1 ->> $2, b @> $3 FROM t"],
    &["SELECT a ? 'x' FROM t WHERE b = 1", "SELECT a ? $1 FROM t WHERE b = $2"],
    &["SELECT E'a\\'b', $$c$$, $x$d$x$, B'1', X'1F', 'e'\n'f'", "SELECT $1, $2, $3, $4, $5, $6"],
    &["SELECT 1_000, 0xFF, .5, 5., 1e-3", "SELECT $1, $2, $3, $4, $5"],
    &[
        "SELECT * FROM t WHERE a BETWEEN 1 AND 2 AND b IS NULL AND c IS NOT TRUE",
        "SELECT * FROM t WHERE a BETWEEN $1 AND $2 AND b IS NULL AND c IS NOT TRUE",
    ],
    &[
        "SELECT a, count(*) FROM t GROUP BY 1 ORDER BY 2",
        "SELECT a, count(*) FROM t GROUP BY 1 ORDER BY 2",
        "select A , COUNT( * ) from t group by 1 order by 2;",
    ],
    &["SELECT * FROM \"t\" WHERE \"a\" = 1", "SELECT * FROM t WHERE a = $1"],
    &[
        "SELECT/**/*/**/FROM/**/t--x\nWHERE a=1",
        "SELECT * FROM t WHERE a = $1",
        "\u{feff}SELECT *\r\nFROM t\r\nWHERE a = 1;\r\n",
    ],
    &["UPDATE t SET a = 1, b = 'x' WHERE c = 2 RETURNING *", "UPDATE t SET a = $1, b = $2 WHERE c = $3 RETURNING *"],
    &["SELECT coalesce(a, 'x'), round(b, 2) FROM t", "SELECT coalesce(a, $1), round(b, $2) FROM t"],
    &["COMMIT", "commit;", "COMMIT -- done"],
];

const MYSQL: &[&[&str]] = &[
    &[
        "SELECT * FROM t WHERE a = 5",
        "SELECT * FROM `t` WHERE `a` = ?",
        "select * from t where a='x'",
        "SELECT * FROM `t` WHERE `a` = :name",
    ],
    &["SELECT * FROM t WHERE a = -5", "SELECT * FROM `t` WHERE `a` = ?", "SELECT * FROM t WHERE a = NULL"],
    &[
        "SELECT * FROM t WHERE a IN (1, 2)",
        "SELECT * FROM `t` WHERE `a` IN (...)",
        "SELECT * FROM t WHERE a IN (1)",
        "SELECT * FROM `t` WHERE `a` IN (?)",
    ],
    &[
        "INSERT INTO t (a, b) VALUES (1, 'x')",
        "INSERT INTO `t` ( `a` , `b` ) VALUES (...)",
        "INSERT INTO t (a, b) VALUES (1, 'x'), (2, NULL)",
        "INSERT INTO `t` ( `a` , `b` ) VALUES (...) /* , ... */",
    ],
    &[
        "INSERT INTO t (a) VALUES (1)",
        "INSERT INTO `t` ( `a` ) VALUES (?)",
        "INSERT INTO t (a) VALUES (1), (2)",
        "INSERT INTO `t` ( `a` ) VALUES (?) /* , ... */",
    ],
    &["SELECT t.a, db.t.b FROM db.t", "SELECT `t` . `a` , `db` . `t` . `b` FROM `db` . `t`"],
    &["SELECT 1, 'x', 3 FROM t", "SELECT ?, ... FROM `t`"],
    &["SELECT * FROM t LIMIT 10, 20", "SELECT * FROM `t` LIMIT ?, ..."],
    &["SELECT * FROM t LIMIT 10", "SELECT * FROM `t` LIMIT ?"],
    &["SELECT f(1, 2), g(1), COUNT(*) FROM t", "SELECT `f` (...) , `g` (?) , COUNT ( * ) FROM `t`"],
    &["SELECT NOW() - INTERVAL 1 DAY", "SELECT NOW ( ) - INTERVAL ? DAY"],
    &[
        "SELECT x'1F', 0x1F, b'1', 1.5e3, N'x', _utf8mb4'x' FROM t",
        "SELECT X'1F', 0x20, b'0', 1.5, N'y', _utf8mb4'y' FROM t",
    ],
    &["SELECT * FROM t WHERE a IS NOT NULL # x\n AND b = 1", "SELECT * FROM `t` WHERE `a` IS NOT NULL AND `b` = ?"],
    &["UPDATE t SET a = a + 1 WHERE b = 'x'", "UPDATE `t` SET `a` = `a` + ? WHERE `b` = ?"],
    // A variable of the session is a parameter.
    &["SELECT * FROM t WHERE a = @b", "SELECT * FROM `t` WHERE `a` = @ `b`", "SELECT * FROM t WHERE a = ?"],
    &["COMMIT", "commit;", "COMMIT -- done"],
];

#[test]
fn a_statement_is_one_wherever_it_is_seen() {
    let mut failures = Vec::new();
    let mut check = |texts: &[&str], mode: Mode| {
        let first = normalise(texts[0], mode);
        for other in &texts[1..] {
            let found = normalise(other, mode);
            if found.hash != first.hash {
                failures.push(format!("{mode:?}\n  {} -> {}\n  {other} -> {}", texts[0], first.text, found.text));
            }
        }
    };
    POSTGRESQL.iter().for_each(|texts| check(texts, Server::PostgreSql.usual()));
    for mode in modes().into_iter().filter(|mode| mode.is_mysql()) {
        MYSQL.iter().for_each(|texts| check(texts, mode));
    }
    assert!(failures.is_empty(), "{} failures\n{}", failures.len(), failures.join("\n"));
}

/// Each pair differs in more than values and writing.
const DIFFERENT: &[(Server, &str, &str)] = &[
    (Server::PostgreSql, "SELECT a FROM t WHERE b = 1", "SELECT a FROM t WHERE b = c"),
    (Server::PostgreSql, "SELECT a FROM t WHERE b = 1", "SELECT a FROM t WHERE b <> 1"),
    (Server::PostgreSql, "SELECT a FROM t WHERE b IS NULL", "SELECT a FROM t WHERE b IS NOT NULL"),
    (Server::PostgreSql, "SELECT a FROM t WHERE b = NULL", "SELECT a FROM t WHERE b IS NULL"),
    (Server::PostgreSql, "SELECT a FROM t WHERE b IS TRUE", "SELECT a FROM t WHERE b IS FALSE"),
    (Server::PostgreSql, "SELECT a FROM \"T\"", "SELECT a FROM t"),
    (Server::PostgreSql, "SELECT \"select\" FROM t", "SELECT select FROM t"),
    (Server::PostgreSql, "SELECT \"a.b\" FROM t", "SELECT a.b FROM t"),
    (Server::PostgreSql, "SELECT \"a b\" FROM t", "SELECT a b FROM t"),
    (Server::PostgreSql, "SELECT \"a\"\"b\" FROM t", "SELECT \"a\" \"b\" FROM t"),
    (Server::PostgreSql, "SELECT \"?\" FROM t", "SELECT ? FROM t"),
    (Server::PostgreSql, "SELECT a, b FROM t", "SELECT a b FROM t"),
    (Server::PostgreSql, "SELECT a b FROM t", "SELECT ab FROM t"),
    (Server::PostgreSql, "SELECT (a + b) * c", "SELECT a + b * c"),
    (Server::PostgreSql, "SELECT a @- b", "SELECT a @ - b"),
    (Server::PostgreSql, "SELECT a ?| b", "SELECT a ? | b"),
    (Server::PostgreSql, "SELECT a -> 'b'", "SELECT a ->> 'b'"),
    (Server::PostgreSql, "SELECT a::int", "SELECT a::bigint"),
    (Server::PostgreSql, "SELECT date '2020-01-01'", "SELECT time '2020-01-01'"),
    (Server::PostgreSql, "SELECT 1 FROM t WHERE a IN (1, b)", "SELECT 1 FROM t WHERE a IN (1, c)"),
    (Server::PostgreSql, "SELECT 1 FROM t WHERE a IN (1)", "SELECT 1 FROM t WHERE a NOT IN (1)"),
    (Server::PostgreSql, "SELECT 1 FROM t WHERE a IN (SELECT 1)", "SELECT 1 FROM t WHERE a IN (1)"),
    (Server::PostgreSql, "INSERT INTO t VALUES (1, now())", "INSERT INTO t VALUES (1, random())"),
    (Server::PostgreSql, "INSERT INTO t VALUES (1, a)", "INSERT INTO t VALUES (1), (a)"),
    (Server::PostgreSql, "INSERT INTO t (a) VALUES (1)", "INSERT INTO t (b) VALUES (1)"),
    (Server::PostgreSql, "SELECT 1; SELECT a", "SELECT 1; SELECT b"),
    (Server::PostgreSql, "SELECT 1", "SELECT 1; SELECT 1"),
    (Server::PostgreSql, "SELECT a FROM t LIMIT 1", "SELECT a FROM t OFFSET 1"),
    (Server::PostgreSql, "SELECT a FROM t1", "SELECT a FROM t2"),
    (Server::PostgreSql, "ALTER ROLE a PASSWORD 'x'", "ALTER ROLE b PASSWORD 'x'"),
    (Server::PostgreSql, "CREATE ROLE a PASSWORD 'x'", "ALTER ROLE a PASSWORD 'x'"),
    (Server::PostgreSql, "CREATE SUBSCRIPTION a CONNECTION 'x' PUBLICATION p", "DROP SUBSCRIPTION a"),
    (Server::PostgreSql, "EXECUTE a(1)", "EXECUTE b(1)"),
    (Server::PostgreSql, "", "SELECT"),
    (Server::PostgreSql, "SELECT f(1)", "SELECT f(1, 2)"),
    (Server::PostgreSql, "SELECT f(1)", "SELECT f(a)"),
    (Server::PostgreSql, "SELECT f(1)", "SELECT f()"),
    (Server::PostgreSql, "SELECT 1", "SELECT 1, 2"),
    (Server::PostgreSql, "SELECT a IN (1) FROM t; SELECT b", "SELECT a IN (1) FROM t; SELECT c"),
    (Server::PostgreSql, "INSERT INTO t VALUES (1); INSERT INTO u VALUES (1)", "INSERT INTO t VALUES (1)"),
    (
        Server::PostgreSql,
        "INSERT INTO t VALUES (1), (2); DELETE FROM u",
        "INSERT INTO t VALUES (1), (2); DELETE FROM v",
    ),
    (Server::PostgreSql, "INSERT INTO t VALUES (1) ON CONFLICT DO NOTHING", "INSERT INTO t VALUES (1)"),
    (Server::PostgreSql, "SELECT a FROM (VALUES (1), (2)) AS b (c)", "SELECT a FROM (VALUES (1), (2)) AS b (d)"),
    (Server::PostgreSql, "SELECT a AS b FROM t", "SELECT a AS c FROM t"),
    (Server::PostgreSql, "SELECT a FROM t JOIN u ON b", "SELECT a FROM t LEFT JOIN u ON b"),
    (Server::PostgreSql, "SELECT a FROM s.t", "SELECT a FROM r.t"),
    (Server::PostgreSql, "SELECT a FROM t ORDER BY b", "SELECT a FROM t ORDER BY b DESC"),
    (Server::MySql, "REPLACE t VALUE (1), (2); REPLACE t (a) VALUES (1)", "REPLACE t VALUE (1), (2)"),
    (Server::MySql, "INSERT INTO t VALUES ROW(1, 2), ROW(3, 4)", "INSERT INTO t VALUES ROW(1, a)"),
    (Server::MySql, "SELECT f(a)", "SELECT f(1)"),
    (Server::MySql, "SELECT a FROM t WHERE b = 1", "SELECT a FROM t WHERE b <=> 1"),
    (Server::MySql, "SELECT a FROM `t u`", "SELECT a FROM t u"),
    (Server::MySql, "SELECT `a.b` FROM t", "SELECT a.b FROM t"),
    (Server::MySql, "SELECT `a``b` FROM t", "SELECT `a` `b` FROM t"),
    (Server::MySql, "SELECT @@a", "SELECT @a"),
    (Server::MySql, "SELECT 1 /*!50000 + a */", "SELECT 1 /*!50000 + b */"),
    (Server::MySql, "SELECT a -> '$.a' FROM t", "SELECT a ->> '$.a' FROM t"),
    (Server::MySql, "SELECT a FROM t FOR UPDATE", "SELECT a FROM t FOR SHARE"),
    (Server::MySql, "CREATE USER a IDENTIFIED BY 'x'", "DROP USER a"),
];

#[test]
fn what_is_another_statement_has_another_fingerprint() {
    let mut failures = Vec::new();
    for &(server, one, other) in DIFFERENT {
        let (first, second) = (normalise(one, server.usual()), normalise(other, server.usual()));
        if first.hash == second.hash {
            failures.push(format!("{one} -> {}\n  {other} -> {}", first.text, second.text));
        }
    }
    assert!(failures.is_empty(), "{} failures\n{}", failures.len(), failures.join("\n"));
}

/// What the digests of MySQL keep apart and we do not, and why.
const MERGED: &[(&str, &str, &str)] = &[
    ("SELECT a FROM t LIMIT 10", "SELECT a FROM t LIMIT 10, 20", LISTS),
    ("SELECT f(1)", "SELECT f(1, 2)", LISTS),
    ("SELECT 1", "SELECT 1, 2", LISTS),
    (
        "SELECT a FROM T",
        "SELECT a FROM t",
        "columns and aliases have no case, and which name is a table's is not known without a parser",
    ),
    ("SELECT @a", "SELECT @b", "a variable of the session stands for a value"),
    ("SELECT /*+ NO_ICP(t) */ a FROM t", "SELECT a FROM t", "hints are comments"),
];

const LISTS: &str = "a list of values is one value, whatever its length; `?, ...` of a digest is any length but one";

#[test]
fn what_is_merged_is_listed() {
    let mode = Server::MySql.usual();
    for (one, other, argument) in MERGED {
        assert_eq!(fingerprint(one, mode), fingerprint(other, mode), "no longer so: {one} | {other} ({argument})");
    }
}

/// A pair that we class otherwise than the reference does, and why.
struct Difference {
    one: &'static str,
    other: &'static str,
    /// Whether it is one statement for us.
    equal: bool,
    #[allow(dead_code, reason = "for readers")]
    argument: &'static str,
}

const fn difference(one: &'static str, other: &'static str, equal: bool, argument: &'static str) -> Difference {
    Difference { one, other, equal, argument }
}

const Y_IS: &str = "SELECT * FROM x WHERE y = $1";
const Y_ANY: &str = "SELECT * FROM x WHERE y = ANY ($1)";
const Y_IN_ONE: &str = "SELECT * FROM x WHERE y IN ($1)";
const Y_IN: &str = "SELECT * FROM x WHERE y IN ($1, $2, $3)";
const Y_IN_ONE_CAST: &str = "SELECT * FROM x WHERE y IN ( $1::uuid )";
const Y_IN_CAST: &str = "SELECT * FROM x WHERE y IN ( $1::uuid, $2::uuid, $3::uuid )";

const OTHER_OPERATOR: &str =
    "equality, IN and ANY are other operators, with other plans and row counts; servers keep them apart";
const OTHER_CAST: &str = "a cast is code, and decides whether an index is used; servers keep it apart";

const PG_QUERY: &[Difference] = &[
    difference(Y_IS, Y_ANY, false, OTHER_OPERATOR),
    difference(Y_IS, Y_IN_ONE, false, OTHER_OPERATOR),
    difference(Y_IS, Y_IN, false, OTHER_OPERATOR),
    difference(Y_IS, Y_IN_ONE_CAST, false, OTHER_OPERATOR),
    difference(Y_IS, Y_IN_CAST, false, OTHER_OPERATOR),
    difference(Y_ANY, Y_IN_ONE, false, OTHER_OPERATOR),
    difference(Y_ANY, Y_IN, false, OTHER_OPERATOR),
    difference(Y_ANY, Y_IN_ONE_CAST, false, OTHER_OPERATOR),
    difference(Y_ANY, Y_IN_CAST, false, OTHER_OPERATOR),
    difference(Y_IN_ONE, Y_IN_ONE_CAST, false, OTHER_CAST),
    difference(Y_IN_ONE, Y_IN_CAST, false, OTHER_CAST),
    difference(Y_IN, Y_IN_ONE_CAST, false, OTHER_CAST),
    difference(Y_IN, Y_IN_CAST, false, OTHER_CAST),
    difference(
        "SELECT * FROM a",
        "SELECT * FROM a AS b",
        false,
        "an alias is a name of the text; without a parser it is kept",
    ),
    difference("UNLISTEN virtual", "UNLISTEN *", false, "one channel is not all channels"),
];

const GO_MYSQL: &[Difference] = &[
    difference(
        "INSERT INTO t (ts) VALUES (NOW())",
        r"INSERT INTO t (ts) VALUES ('()', '\(', '\)')",
        false,
        "a call is code, not a value; the digest of the server keeps it apart",
    ),
    difference(
        "INSERT INTO test (ID, `Value`) VALUES (1 ,1)",
        "INSERT INTO test (ID, Value) VALUES (1 ,1)",
        true,
        "quotes do not make another name",
    ),
    difference("SELECT '' '' ''", "SELECT 'a' 'b' 'c' 'd'", true, "strings side by side are one string"),
];

/// All pairs of `cases` (text, class of the reference) that we class otherwise.
fn differences(cases: &[(String, String)], mode: Mode) -> BTreeSet<(&str, &str, bool)> {
    let hashes: Vec<u128> = cases.iter().map(|(sql, _)| fingerprint(sql, mode)).collect();
    let mut found = BTreeSet::new();
    for (first, (one, class)) in cases.iter().enumerate() {
        for (second, (other, other_class)) in cases.iter().enumerate().skip(first + 1) {
            let equal = hashes[first] == hashes[second];
            if one != other && equal != (class == other_class) {
                found.insert((one.as_str(), other.as_str(), equal));
            }
        }
    }
    found
}

fn assert_only(cases: &[(String, String)], mode: Mode, table: &[Difference]) {
    let found = differences(cases, mode);
    let listed = table.iter().map(|Difference { one, other, equal, .. }| (*one, *other, *equal)).collect();
    let unlisted: Vec<_> = found.difference(&listed).collect();
    let gone: Vec<_> = listed.difference(&found).collect();
    assert!(unlisted.is_empty() && gone.is_empty(), "not in the table: {unlisted:#?}\nno longer so: {gone:#?}");
}

#[test]
fn pg_query_agrees_but_for_a_list() {
    let cases = lines("pg-query-fingerprint/fingerprint.jsonl");
    let cases: Vec<_> =
        cases.iter().map(|case| (text(case, "sql").to_owned(), text(case, "class").to_owned())).collect();
    assert_only(&cases, Server::PostgreSql.usual(), PG_QUERY);
}

#[test]
fn go_mysql_agrees_but_for_a_list() {
    let cases = lines("percona/fingerprint.jsonl");
    let cases: Vec<_> =
        cases.iter().map(|case| (text(case, "sql").to_owned(), text(case, "expected").to_owned())).collect();
    assert_only(&cases, Server::MySql.usual(), GO_MYSQL);
}

#[test]
fn libpg_query_makes_a_text_of_the_same_statement() {
    for case in lines("libpg-query-normalize/normalize.jsonl") {
        if let Some(expected) = case["expected"].as_str() {
            let mode = Server::PostgreSql.usual();
            let (ours, theirs) = (normalise(text(&case, "sql"), mode), normalise(expected, mode));
            assert_eq!(ours.hash, theirs.hash, "\n{case}\n{}\n{}", ours.text, theirs.text);
        }
    }
}
