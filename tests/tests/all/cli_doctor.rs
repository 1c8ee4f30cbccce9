//! `doctor`: what it prints for an administrator gives an account everything, and no right to read a table; what is missing is
//! said with what it costs and what mends it.

use dbintel_tests::scratch::Scratch;
use dbintel_tests::servers::HOST;
use dbintel_tests::servers::mysql::{Flavour, Mysql};
use dbintel_tests::servers::postgres::{Major, Postgres};
use mysql_async::prelude::Queryable;
use serde_json::Value;

use crate::cli_rig::{Ended, run, text};
use crate::pollers_statements::connect_as;

const HOME: [(&str, &str); 1] = [("HOME", "/nonexistent")];

fn doctor(scratch: &Scratch, arguments: &[&str]) -> Ended {
    let file = scratch.path().join("dbintel.yaml");
    run(&[&["doctor", "--config", text(&file)], arguments].concat(), &HOME)
}

/// A configuration with these pollers, all of which end in one pipeline.
fn write(scratch: &Scratch, pollers: &str) {
    let poller = pollers.split(['{', ':']).nth(2).unwrap().trim();
    let rest = format!("sinks: {{debug: {{}}}}\npipelines: {{main: {{pollers: [{poller}], sinks: [debug]}}}}");
    scratch.write("dbintel.yaml", &format!("{pollers}\n{rest}\n"));
}

fn report(scratch: &Scratch) -> (Value, Option<i32>) {
    let ended = doctor(scratch, &["--json"]);
    let report: Value = serde_json::from_str(&ended.stdout).unwrap_or_else(|_| panic!("{ended:?}"));
    (report[0].clone(), ended.code)
}

fn names(list: &Value) -> Vec<&str> {
    list.as_array().unwrap().iter().map(|it| it["name"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn what_it_prints_gives_postgresql_everything_but_tables() {
    for major in Major::ALL {
        let mut rich = vec![
            ("track_io_timing", "on"),
            ("track_activity_query_size", "4096"),
            ("track_functions", "pl"),
            ("pg_stat_statements.track_planning", "on"),
        ];
        rich.extend((major >= Major::V14).then_some(("track_wal_io_timing", "on")));
        let postgres = Postgres::start_with(major, &rich);
        let admin = postgres.client("postgres").await;
        admin.batch_execute("CREATE TABLE secrets AS SELECT 'hunter2' AS word").await.unwrap();
        let scratch = Scratch::new("doctor");
        let yaml =
            format!("pollers: {{postgresql/shop: {{endpoint: '{HOST}:{}', username: \"o'brien\"}}}}", postgres.port);
        write(&scratch, &yaml);
        let (before, code) = report(&scratch);
        assert_eq!((before["error"]["class"].as_str(), code), (Some("28000"), Some(1)), "{before}");
        let printed = doctor(&scratch, &["--sql"]);
        assert_eq!(printed.code, Some(0));
        for _ in 0..2 {
            admin.batch_execute(&printed.stdout).await.unwrap();
        }
        let (after, code) = report(&scratch);
        assert_eq!((names(&after["missing"]), code), (vec![], Some(0)), "{after}");
        assert!(names(&after["advice"]).is_empty(), "{after}");
        assert!(after["version"].as_str().unwrap().starts_with("PostgreSQL"));
        let watcher = connect_as(&postgres, "o'brien").await;
        let refused = watcher.simple_query("SELECT * FROM secrets").await.unwrap_err();
        assert_eq!(refused.code().unwrap().code(), "42501");
    }
}

#[tokio::test]
async fn what_is_missing_on_postgresql_is_said_with_its_price() {
    let postgres = Postgres::start(Major::V18);
    postgres.client("postgres").await.batch_execute("CREATE ROLE poor LOGIN").await.unwrap();
    let scratch = Scratch::new("doctor");
    let yaml = format!("pollers: {{postgresql/shop: {{endpoint: '{HOST}:{}', username: poor}}}}", postgres.port);
    write(&scratch, &yaml);
    let shown = doctor(&scratch, &[]);
    assert_eq!(shown.code, Some(1));
    let expected = [
        "shop (postgresql/shop at ",
        "PostgreSQL 18.4, primary",
        "pg_stat_statements: there are no counters of statements",
        "mend it with: CREATE EXTENSION pg_stat_statements; in database \"postgres\"",
        "mend it with: GRANT pg_monitor TO \"poor\"",
        "mend it with: GRANT EXECUTE ON FUNCTION pg_ls_waldir() TO \"poor\"",
        "track_io_timing: times of reads and writes are 0",
        "this version of the server does not count",
    ];
    for part in expected {
        assert!(shown.stdout.contains(part), "{part}: {}", shown.stdout);
    }
    let nobody = doctor(&scratch, &["--target", "nobody"]);
    assert!(nobody.code == Some(1) && nobody.stderr.contains("no target nobody"), "{nobody:?}");
}

#[tokio::test]
async fn what_it_prints_gives_mysql_and_mariadb_everything_but_tables() {
    for flavour in Flavour::ALL {
        let options = ["--performance-schema-max-digest-length=4096", "--performance-schema-max-sql-text-length=4096"];
        let mysql = Mysql::start_with(flavour, &options);
        mysql.run(&["CREATE DATABASE shop", "CREATE TABLE shop.secrets (word text)"]).await;
        let scratch = Scratch::new("doctor");
        let yaml = format!(
            "pollers: {{mysql/shop: {{endpoint: '{HOST}:{}', username: watcher, password: hunter2}}}}",
            mysql.port
        );
        write(&scratch, &yaml);
        let (before, code) = report(&scratch);
        // No account of that name, or none for that host.
        let class = before["error"]["class"].as_str();
        assert!(matches!(class, Some("1045" | "1130")) && code == Some(1), "{before}");
        let printed = doctor(&scratch, &["--sql"]).stdout;
        let (of_mysql, of_mariadb) = printed.split_once("-- For MariaDB:").unwrap();
        let statements = if flavour == Flavour::Mysql9 { of_mysql } else { of_mariadb };
        for _ in 0..2 {
            run_statements(&mysql, statements).await;
        }
        mysql.run(&["ALTER USER 'watcher'@'%' IDENTIFIED BY 'hunter2'"]).await;
        let (after, code) = report(&scratch);
        assert_eq!((names(&after["missing"]), code), (vec![], Some(0)), "{after}");
        // Once it is known which of the two it is, only the statements for that are printed.
        let printed = doctor(&scratch, &["--sql"]).stdout;
        assert!(!printed.contains("For MariaDB") && printed.contains("GRANT PROCESS"), "{printed}");
        run_statements(&mysql, &printed).await;
        let mut watcher = mysql.client("watcher", "hunter2", None).await;
        watcher.query_drop("SELECT * FROM shop.secrets").await.unwrap_err();
        let tables = "SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = 'shop'";
        assert_eq!(watcher.query_first::<i64, _>(tables).await.unwrap(), Some(1));
    }
}

async fn run_statements(mysql: &Mysql, printed: &str) {
    let lines: Vec<_> = printed.lines().filter(|line| !line.starts_with("--")).collect();
    let joined = lines.join("\n");
    let statements: Vec<_> = joined.split(';').map(str::trim).filter(|statement| !statement.is_empty()).collect();
    assert!(statements.len() == 4, "{statements:?}");
    mysql.run(&statements).await;
}
