//! What is said about a statement besides its text: tables, verb, tags, trace.

use std::collections::BTreeSet;

use crate::corpora::{lines, text};
use crate::subject::{Server, mysql, normalise, normalise_cut};

const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

#[test]
fn tags_of_sqlcommenter_are_read_and_change_nothing() {
    let mut read = 0;
    for case in lines("sqlcommenter/examples.jsonl") {
        let sql = text(&case, "query");
        for server in [Server::PostgreSql, Server::MySql] {
            let found = normalise(sql, server.usual());
            let bare = &sql[..sql.find("/*").unwrap()];
            assert_eq!(found.hash, normalise(bare, server.usual()).hash, "{sql}");
            assert_eq!(found.text, bare.trim_end().replace(" 1", " ?"), "{sql}");
            let expected = case["tags"].as_object().unwrap();
            for (key, value) in &found.tags {
                // The corpus was decoded with `+` kept, as the specification says.
                assert_eq!(expected.get(*key).and_then(|value| value.as_str()), Some(value.as_str()), "{sql}: {key}");
            }
            read += found.tags.len();
        }
    }
    assert!(read > 50, "only {read} tags are read");
}

#[test]
fn a_valid_traceparent_is_read_in_any_comment() {
    for sql in [
        format!("SELECT 1 /*traceparent='{TRACE}'*/"),
        format!("SELECT 1 /*application='a',traceparent='{TRACE}',tracestate='b%3Dc'*/"),
        format!("/*traceparent='{TRACE}'*/ SELECT 1"),
        format!("SELECT 1 /* traceparent='{TRACE}' */"),
        format!("SELECT 1 -- traceparent='{TRACE}'\n"),
        format!("/*traceparent='{TRACE}'*/ ALTER ROLE a PASSWORD 'hush'"),
    ] {
        for server in [Server::PostgreSql, Server::MySql] {
            let trace = normalise(&sql, server.usual()).traceparent;
            let trace = trace.unwrap_or_else(|| panic!("{server:?} {sql}: no trace"));
            assert_eq!(trace.trace_id, 0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736, "{sql}");
            assert_eq!((trace.parent_id, trace.flags), (0x00f0_67aa_0ba9_02b7, 1), "{sql}");
        }
    }
}

#[test]
fn a_traceparent_that_is_none_is_not_read() {
    for value in [
        "",
        "00",
        "%s-%s-%s-%02X",
        "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
        "00-4BF92F3577B34DA6A3CE929D0E0E4736-00F067AA0BA902B7-01",
        "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-1",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-x",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-011",
        "00-4bf92f3577b34da6a3ce929d0e0e473-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e473g-00f067aa0ba902b7-01",
        "00_4bf92f3577b34da6a3ce929d0e0e4736_00f067aa0ba902b7_01",
        "00-+bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    ] {
        let sql = format!("SELECT 1 /*traceparent='{value}'*/");
        assert_eq!(normalise(&sql, Server::PostgreSql.usual()).traceparent, None, "{sql}");
    }
}

#[test]
fn what_looks_like_a_comment_in_a_value_is_none() {
    for sql in [
        format!("SELECT '/*traceparent=''{TRACE}'',route=''hush''*/'"),
        format!("SELECT \"/*traceparent='{TRACE}',route='hush'*/\""),
        format!("SELECT '-- traceparent={TRACE}\n'"),
        format!("SELECT 1 /*traceparent='{TRACE}',route='hush'"),
    ] {
        for mode in [Server::PostgreSql.usual(), Server::MySql.usual(), mysql(None, None)] {
            let found = normalise(&sql, mode);
            assert_eq!((found.traceparent, found.tags.len()), (None, 0), "{mode:?} {sql}");
        }
    }
}

#[test]
fn only_known_tags_leave_a_comment() {
    let sql = "SELECT 1 /*password='hush',user='hush',application='app%2D%2F',action='hush%20hush',token=hush,sql='SELECT%20hush'*/";
    for server in [Server::PostgreSql, Server::MySql] {
        let found = normalise(sql, server.usual());
        assert_eq!(found.tags, [("application", "app-/".to_owned())]);
        assert!(!found.text.contains("hush"));
    }
}

#[test]
fn a_tag_that_is_broken_is_not_guessed() {
    for (value, decoded) in
        [("a%2", None), ("a%zz", None), ("a%ff", None), ("a\\'b", None), ("a\\.b", Some("a.b")), ("%C3%A9", Some("é"))]
    {
        let sql = format!("SELECT 1 /*application='{value}'*/");
        let tags = normalise(&sql, Server::PostgreSql.usual()).tags;
        let found = tags.first().map(|(_, value)| value.as_str());
        assert_eq!(found, decoded, "{sql}");
    }
}

#[test]
fn verbs_are_the_main_ones() {
    for (sql, verb) in [
        ("select 1", "SELECT"),
        ("  /* x */ Update t set a = 1", "UPDATE"),
        ("WITH a AS (SELECT 1) SELECT * FROM a", "SELECT"),
        ("WITH a AS (SELECT 1) INSERT INTO t SELECT * FROM a", "INSERT"),
        ("WITH RECURSIVE a (b) AS (DELETE FROM t RETURNING *) UPDATE u SET c = 1", "UPDATE"),
        ("(SELECT 1) UNION (SELECT 2)", "SELECT"),
        ("MERGE INTO t USING u ON a = b WHEN MATCHED THEN DELETE", "MERGE"),
        ("BEGIN", "BEGIN"),
        ("COMMIT", "COMMIT"),
        ("CREATE TABLE a (b int)", "CREATE"),
        ("", ""),
        ("hush", ""),
        ("'hush'", ""),
    ] {
        assert_eq!(normalise(sql, Server::PostgreSql.usual()).verb, verb, "{sql}");
    }
}

fn plain(name: &str) -> String {
    name.replace(['"', '`'], "").to_lowercase()
}

#[test]
fn tables_that_are_certain_are_right() {
    let mut failures = Vec::new();
    let (mut certain, mut all) = (0, 0);
    for (file, server) in
        [("go-sqllexer/postgresql.jsonl", Server::PostgreSql), ("go-sqllexer/mysql.jsonl", Server::MySql)]
    {
        for case in lines(file) {
            let Some(expected) = case["tables"].as_array() else { continue };
            // Has `DELETE .. USING ..` with three tables, of which the corpus lists none.
            if text(&case, "name") == "complex/delete-complex-subqueries-joins" {
                continue;
            }
            let expected: BTreeSet<String> = expected.iter().map(|table| plain(table.as_str().unwrap())).collect();
            let found = normalise(text(&case, "sql"), server.usual());
            let tables: BTreeSet<String> = found.tables.iter().map(|table| plain(table)).collect();
            all += 1;
            certain += usize::from(found.tables_certain);
            if found.tables_certain && tables != expected {
                failures.push(format!("{}: {tables:?}, not {expected:?}\n  {}", case["name"], found.text));
            }
        }
    }
    assert!(failures.is_empty(), "{} failures\n{}", failures.len(), failures.join("\n"));
    assert!(certain * 2 > all, "only {certain} of {all} are certain");
}

#[test]
fn tables_are_never_values() {
    for (sql, server) in [
        ("SELECT * FROM 'hush'", Server::PostgreSql),
        ("SELECT * FROM \"hush\"", Server::MySql),
        ("SELECT * FROM shown, 'hush'", Server::MySql),
        ("INSERT INTO \"hush\" VALUES (1)", Server::MySql),
        ("SELECT * FROM /* hush */ shown", Server::MySql),
        ("SELECT * FROM $$hush$$", Server::PostgreSql),
        ("SELECT * FROM shown WHERE a = 'x' FROM 'hush", Server::PostgreSql),
        ("ALTER ROLE a PASSWORD hush FROM hush", Server::PostgreSql),
        ("COPY shown FROM STDIN;\nfrom hush\n", Server::PostgreSql),
    ] {
        for found in [normalise(sql, server.usual()), normalise_cut(sql, server.usual())] {
            assert!(!found.tables.iter().any(|table| table.contains("hush")), "{sql}: {:?}", found.tables);
            assert!(
                !found.canonical.windows(4).any(|bytes| bytes == b"hush"),
                "{sql}: {}",
                found.canonical.escape_ascii()
            );
        }
    }
}
