//! Which statements are the same, and what never changes.

use crate::{Dialect, Normalizer, Options, SqlMode, partial};

const PG: Dialect = Dialect::PostgreSql;
const MY: Dialect = Dialect::MySql(SqlMode { ansi_quotes: Some(false), no_backslash_escapes: Some(false) });

fn hash(dialect: Dialect, sql: &str) -> u128 {
    Normalizer::new(dialect, Options::default()).normalize(sql.as_bytes()).fingerprint.hash
}

#[track_caller]
fn check_same(dialect: Dialect, statements: &[&str]) {
    for statement in statements {
        assert_eq!(hash(dialect, statement), hash(dialect, statements[0]), "{statement}");
    }
}

#[track_caller]
fn check_different(dialect: Dialect, statements: &[&str]) {
    for (index, statement) in statements.iter().enumerate() {
        for other in &statements[..index] {
            assert_ne!(hash(dialect, statement), hash(dialect, other), "{statement} / {other}");
        }
    }
}

#[test]
fn the_server_and_the_client_agree() {
    check_same(
        PG,
        &[
            "SELECT * FROM t WHERE a = 5",
            "SELECT * FROM t WHERE a = $1",
            "select * from T where A=?",
            "SELECT * FROM \"t\" WHERE a = -5;",
        ],
    );
    check_same(
        PG,
        &[
            "SELECT a FROM t WHERE b IN (1, 2)",
            "SELECT a FROM t WHERE b IN ($1 /*, ... */)",
            "select a from t where b in ($1,$2,$3)",
        ],
    );
    check_same(PG, &["SELECT EXTRACT(epoch FROM a)", "SELECT EXTRACT($1 FROM a)"]);
    check_same(PG, &["SELECT a FROM t LIMIT ALL", "SELECT a FROM t LIMIT $1"]);
    check_same(PG, &["SAVEPOINT a", "savepoint \"B\"", "SAVEPOINT $1"]);
    check_same(PG, &["ROLLBACK TO SAVEPOINT a", "rollback to savepoint $1"]);
    check_same(PG, &["DEALLOCATE a", "deallocate $1", "DEALLOCATE p_2"]);
    check_same(PG, &["SELECT normalize('x', NFC)", "SELECT normalize($1, $2)"]);
    check_same(PG, &["SELECT true, NULL, U&'x' UESCAPE '!'", "SELECT $1, $2, $3 UESCAPE '!'"]);
    check_same(PG, &["SET work_mem = '64MB'", "SET work_mem = 1", "SET work_mem = $1"]);
    check_same(
        MY,
        &[
            "select count(*) from a.b where X = 1 and y in (1,2) limit 5,10",
            "SELECT COUNT ( * ) FROM `a` . `b` WHERE `X` = ? AND `y` IN (...) LIMIT ?, ...",
        ],
    );
    check_same(
        MY,
        &["insert into t (a, b) values (1, null), (-2, 'x')", "INSERT INTO `t` ( `a` , `b` ) VALUES (...) /* , ... */"],
    );
    check_same(
        MY,
        &[
            "select substr(a, 1), current_timestamp() from t where a <> 1",
            "SELECT SUBSTRING ( `a` , ? ) , NOW ( ) FROM `t` WHERE `a` != ?",
        ],
    );
    check_same(
        MY,
        &["select _utf8mb4'x', b from t", "SELECT _utf8mb4 ? , `b` FROM `t`", "SELECT (_charset) ? , `b` FROM `t`"],
    );
    check_same(
        MY,
        &[
            "select @@session.sql_mode, @a",
            "SELECT @@SESSION . `sql_mode` , @ ?",
            "SELECT @@`session` . sql_mode, @`a`",
        ],
    );
    check_same(MY, &["create user 'bob'@'%' identified by 'x'", "CREATE SYSTEM_USER ? @? IDENTIFIED BY ?"]);
}

#[test]
fn other_statements_are_different() {
    check_different(
        PG,
        &[
            "select a from t",
            "select b from t",
            "select a from u",
            "select a from \"T\"",
            "select a from t where a = 1",
            "select a from t where a > 1",
        ],
    );
    check_different(PG, &["select user", "select \"user\"", "select \"a b\"", "select a b"]);
    check_different(PG, &["select a ? 'x'", "select a = 'x'", "select a 'x'"]);
    check_different(PG, &["select f(1)", "select f(1, 2)", "select a - 1", "select -1"]);
    check_different(MY, &["select a from t", "select a from t, u", "select a from t join u", "select `select` from t"]);
}

#[test]
fn what_is_cut_is_never_equal_to_a_whole_one() {
    let sql = "SELECT a, 'secret', b FROM t WHERE c IN (1, 2, 3) AND d = 'secret' ORDER BY 1";
    for dialect in [PG, MY] {
        let mut normalizer = Normalizer::new(dialect, Options::default());
        let whole = normalizer.normalize(sql.as_bytes());
        let (whole_fingerprint, canonical) = (whole.fingerprint, whole.canonical.to_owned());
        for length in 0..sql.len() {
            let cut = normalizer.normalize_cut(&sql.as_bytes()[..length]);
            assert!(cut.cut && !cut.text.contains("secret"), "{}", cut.text);
            assert_ne!(cut.fingerprint, whole_fingerprint);
            assert!(canonical.starts_with(cut.canonical), "{length} {}", String::from_utf8_lossy(cut.canonical));
        }
        let cut = normalizer.normalize_cut(&sql.as_bytes()[..60]).canonical.to_owned();
        assert_eq!(partial::find(&[canonical], &cut), partial::Found::One(0));
    }
}

#[test]
fn names_with_numbers_are_one_if_wanted() {
    let mut normalizer = Normalizer::new(PG, Options { generalise_names: true });
    let mut hash = |sql: &str| normalizer.normalize(sql.as_bytes()).fingerprint.hash;
    assert_eq!(hash("select a from events_2024_01"), hash("select a from events_2025_12"));
    assert_eq!(hash("declare c1 cursor for select 1"), hash("declare c23 cursor for select 1"));
    assert_ne!(hash("select address1 from t"), hash("select address2 from t"));
}

/// These never change within a version.
#[test]
fn golden_values() {
    let cases = [
        (PG, "", "00000000000000000000000000000000"),
        (PG, "SELECT * FROM t WHERE a = 5", "a1315286ce0f6f8db0b3291028f5a49b"),
        (
            PG,
            "INSERT INTO \"Orders\" (id, total) VALUES (1, 2.5), (2, 3.5) RETURNING id",
            "13471f7f7369861d218a66fd1248cd32",
        ),
        (MY, "SELECT * FROM t WHERE a = 5", "a1315286ce0f6f8db0b3291028f5a49b"),
        (MY, "UPDATE `a`.`b` SET c = 'x', d = NOW() WHERE e IN (1, 2) LIMIT 10", "df518c8dfd019f7e82e27ed7459c0743"),
        (PG, "SELECT a, 'cut", "6c88d27f67ad3583e9338bb306b41679"),
        (PG, "ALTER ROLE bob PASSWORD 'x'", "e533db3cf272c8d8de9235de85e30e9f"),
    ];
    for (dialect, sql, expected) in cases {
        let found = Normalizer::new(dialect, Options::default()).normalize(sql.as_bytes()).fingerprint.to_string();
        assert_eq!(found, expected, "{sql}");
    }
}

#[test]
fn empty_statements_are_none() {
    let whole = hash(PG, "select 1; select 2");
    for same in ["select 1;; select 2;;", "; select 1; /* one */; select 2", "select 1; select 2;;;"] {
        assert_eq!(hash(PG, same), whole, "{same}");
    }
    assert_eq!(hash(PG, "select 1;;"), hash(PG, "select 1"));
}
