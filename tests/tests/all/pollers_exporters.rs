//! What pollers read agrees with what the exporters for Prometheus read from the same server at the same time, for every
//! number that both have.

use std::collections::BTreeMap;
use std::time::Duration;

use dbintel_pollers::mysql::{Config as MySqlConfig, mapping};
use dbintel_pollers::postgresql::Config;
use dbintel_tests::servers::HOST;
use dbintel_tests::servers::exporters::{Exporter, Samples};
use dbintel_tests::servers::mysql::{Flavour, Mysql};
use dbintel_tests::servers::postgres::{Major, Postgres};
use mysql_async::prelude::Queryable;

use crate::pollers_tape::{Tape, settings};

type Values = BTreeMap<(String, String), f64>;

/// Names of the exporter for counters of databases, and ours, with attributes.
const OF_DATABASE: [(&str, &str, &str); 15] = [
    ("pg_stat_database_xact_commit", "postgresql.commits", ""),
    ("pg_stat_database_xact_rollback", "postgresql.rollbacks", ""),
    ("pg_stat_database_blks_read", "postgresql.blks_read", ""),
    ("pg_stat_database_blks_hit", "postgresql.blks_hit", ""),
    ("pg_stat_database_tup_returned", "postgresql.tup_returned", ""),
    ("pg_stat_database_tup_fetched", "postgresql.tup_fetched", ""),
    ("pg_stat_database_tup_inserted", "postgresql.tup_inserted", ""),
    ("pg_stat_database_tup_updated", "postgresql.tup_updated", ""),
    ("pg_stat_database_tup_deleted", "postgresql.tup_deleted", ""),
    ("pg_stat_database_conflicts", "postgresql.database.conflicts", ""),
    ("pg_stat_database_temp_files", "postgresql.temp_files", ""),
    ("pg_stat_database_temp_bytes", "postgresql.temp.io", ""),
    ("pg_stat_database_deadlocks", "postgresql.deadlocks", ""),
    ("pg_database_size_bytes", "postgresql.db_size", ""),
    ("pg_stat_database_blk_read_time", "postgresql.database.io.duration", ",operation=read"),
];

/// The same for the server.
const OF_SERVER: [(&str, &str, &str); 11] = [
    ("pg_stat_bgwriter_buffers_alloc_total", "postgresql.bgwriter.buffers.allocated", ""),
    ("pg_stat_bgwriter_buffers_clean_total", "postgresql.bgwriter.buffers.writes", "source=bgwriter"),
    ("pg_stat_bgwriter_buffers_checkpoint_total", "postgresql.bgwriter.buffers.writes", "source=checkpoints"),
    ("pg_stat_bgwriter_buffers_backend_total", "postgresql.bgwriter.buffers.writes", "source=backend"),
    ("pg_stat_bgwriter_maxwritten_clean_total", "postgresql.bgwriter.maxwritten", ""),
    ("pg_stat_bgwriter_checkpoints_req_total", "postgresql.bgwriter.checkpoint.count", "type=requested"),
    ("pg_stat_bgwriter_checkpoints_timed_total", "postgresql.bgwriter.checkpoint.count", "type=scheduled"),
    ("pg_stat_archiver_archived_count", "postgresql.archiver.segments", "outcome=archived"),
    ("pg_stat_archiver_failed_count", "postgresql.archiver.segments", "outcome=failed"),
    ("pg_settings_max_connections", "postgresql.connection.max", ""),
    ("pg_settings_superuser_reserved_connections", "postgresql.connection.reserved", ""),
];

#[tokio::test]
async fn postgresql_says_the_same_to_its_exporter() {
    for major in [Major::V12, Major::V14, Major::V16] {
        let quiet =
            [("autovacuum", "off"), ("archive_mode", "on"), ("archive_command", "true"), ("track_io_timing", "on")];
        let postgres = Postgres::start_with(major, &quiet);
        let admin = postgres.client("postgres").await;
        admin
            .batch_execute("CREATE TABLE goods AS SELECT n, n * 2 AS price FROM generate_series(1, 10000) AS n")
            .await
            .unwrap();
        let exporter = Exporter::of_postgres(postgres.port, "postgres");
        let tape = Tape::of(Config { connections_max: 1, ..settings(postgres.port) });
        for round in 1..3 {
            let load = format!(
                "UPDATE goods SET price = {round} WHERE n % 3 = 0; DELETE FROM goods WHERE n = {round}; CHECKPOINT"
            );
            for statement in load.split("; ") {
                admin.simple_query(statement).await.unwrap();
            }
            let before = exporter.samples();
            tape.whole_poll("metrics").await;
            tape.whole_poll("sizes").await;
            let (published, after) = (tape.metrics(), exporter.samples());
            let mut compared = 0;
            for (theirs, ours, more) in OF_DATABASE {
                let of_database = |samples: &Samples| {
                    let is_it =
                        |(name, labels): &(String, String)| name == theirs && labels.contains("datname=\"postgres\"");
                    samples.iter().find(|(key, _)| is_it(key)).map(|(_, value)| *value)
                };
                let ours = (ours.to_owned(), format!("database=postgres{more}"));
                compared +=
                    compare(&format!("{major:?}"), &published, &ours, of_database(&before), of_database(&after));
            }
            for (theirs, ours, attributes) in OF_SERVER {
                let of_server = |samples: &Samples| {
                    let short = theirs.trim_end_matches("_total");
                    let is_it = |name: &str| name == theirs || name == short;
                    samples.iter().find(|((name, _), _)| is_it(name)).map(|(_, value)| *value)
                };
                let ours = (ours.to_owned(), attributes.to_owned());
                compared += compare(&format!("{major:?}"), &published, &ours, of_server(&before), of_server(&after));
            }
            assert!(compared >= 24, "{major:?}: only {compared} of {} numbers", OF_DATABASE.len() + OF_SERVER.len());
        }
        tape.stop().await;
    }
}

/// Ours lies between theirs before and after. 1 if both have it.
fn compare(
    server: &str,
    published: &Values,
    ours: &(String, String),
    before: Option<f64>,
    after: Option<f64>,
) -> usize {
    let (Some(before), Some(after)) = (before, after) else { return 0 };
    let value = published.get(ours).unwrap_or_else(|| panic!("{server}: {ours:?} is missing"));
    // Times are whole ns here.
    let slack = if after.fract() == 0.0 { 1e-9 * after.abs() } else { 1.0_f64.min(after.abs()) };
    let range = before.min(after) - slack..=before.max(after) + slack;
    assert!(range.contains(value), "{server}: {ours:?} is {value}, the exporter says {before} and {after}");
    1
}

#[tokio::test]
async fn mysql_and_mariadb_say_the_same_to_their_exporter() {
    for flavour in Flavour::ALL {
        let mysql = Mysql::start(flavour);
        let rights = "GRANT PROCESS, REPLICATION CLIENT, SELECT ON *.* TO 'watcher'@'%'";
        mysql.run(&["CREATE USER 'watcher'@'%' IDENTIFIED BY 'watcher'", rights, "CREATE DATABASE shop"]).await;
        if flavour != Flavour::Mysql9 {
            mysql.run(&["GRANT SLAVE MONITOR ON *.* TO 'watcher'@'%'"]).await;
        }
        mysql.run(&["CREATE TABLE shop.goods (id int PRIMARY KEY, price int)"]).await;
        let exporter = Exporter::of_mysql(mysql.port, "watcher", "watcher");
        let mut config = MySqlConfig { username: "watcher".to_owned(), ..MySqlConfig::default() };
        config.password = dbintel_config::Secret::new("watcher").into();
        config.endpoint = format!("{HOST}:{}", mysql.port).parse().unwrap();
        let often = Duration::from_millis(200);
        (config.metrics.interval, config.settings.interval, config.tables.interval) = (often, often, often);
        let tape = Tape::of(config);
        let mut admin = mysql.admin().await;
        for round in 0..2 {
            admin.query_drop(format!("INSERT INTO shop.goods VALUES ({round}, 1)")).await.unwrap();
            admin.query_drop("SELECT SUM(price) FROM shop.goods").await.unwrap();
            let before = exporter.samples();
            for class in ["metrics", "settings", "tables"] {
                tape.whole_poll(class).await;
            }
            let (published, after) = (tape.metrics(), exporter.samples());
            let server = format!("{flavour:?}");
            let mut compared = 0;
            for (key, low) in &before {
                if let (Some((ours, scale)), Some(high)) = (ours(key), after.get(key)) {
                    compared += compare(&server, &published, &ours, Some(low * scale), Some(high * scale));
                }
            }
            assert!(compared > 300, "{flavour:?}: only {compared} numbers");
        }
        tape.stop().await;
    }
}

/// What a sample of the exporter is called here, and what it has to be multiplied with; none for what is its own, what goes up and
/// down at any moment, and what it makes of texts.
fn ours((name, labels): &(String, String)) -> Option<((String, String), f64)> {
    let label = |wanted: &str| {
        let rest = labels.split_once(&format!("{wanted}=\""))?.1;
        Some(rest.split_once('"')?.0)
    };
    if let Some(variable) = name.strip_prefix("mysql_global_status_") {
        let variable = status_variable(variable, &label)?;
        let restless = [
            "threads",
            "memory",
            "innodb_lsn",
            "innodb_buffer_pool",
            "innodb_checkpoint",
            "uptime",
            "pages",
            "open_",
            "pending",
        ];
        let texts = ["connections_time", "ssl_server_not", "option_tracker", "wsrep"];
        let is_left_out = restless.iter().chain(&texts).any(|part| variable.contains(part));
        return (!is_left_out).then(|| (status_metric(&variable), 1.0));
    }
    if let Some(variable) = name.strip_prefix("mysql_global_variables_") {
        let is_made = ["gtid", "timestamp", "pseudo", "rand_seed"].iter().any(|part| variable.contains(part));
        let key = ("mysql.global_variable".to_owned(), format!("variable={variable}"));
        return (!is_made && KNOWN_VARIABLES.contains(&variable)).then_some((key, 1.0));
    }
    let (metric, scale) = match name.as_str() {
        "mysql_perf_schema_table_io_waits_total" => ("mysql.table.io.wait.count", 1.0),
        "mysql_perf_schema_table_io_waits_seconds_total" => ("mysql.table.io.wait.time", 1e9),
        _ => return None,
    };
    let (operation, schema, table) = (label("operation")?, label("schema")?, label("name")?);
    (schema == "shop")
        .then(|| ((metric.to_owned(), format!("operation={operation},schema={schema},table={table}")), scale))
}

/// Variables that all servers have as a number.
const KNOWN_VARIABLES: [&str; 8] = [
    "max_connections",
    "innodb_buffer_pool_size",
    "innodb_log_buffer_size",
    "key_buffer_size",
    "long_query_time",
    "table_open_cache",
    "thread_cache_size",
    "wait_timeout",
];

/// The status variable that a name and labels of the exporter stand for.
fn status_variable<'l>(name: &str, label: &impl Fn(&str) -> Option<&'l str>) -> Option<String> {
    Some(match name {
        "commands_total" => format!("com_{}", label("command")?),
        "handlers_total" => format!("handler_{}", label("handler")?),
        "connection_errors_total" => format!("connection_errors_{}", label("error")?),
        "innodb_row_ops_total" => format!("innodb_rows_{}", label("operation")?),
        "buffer_pool_pages" => format!("innodb_buffer_pool_pages_{}", label("state")?),
        "performance_schema_lost_total" => format!("performance_schema_{}", label("instrumentation")?),
        "buffer_pool_dirty_pages" => "innodb_buffer_pool_pages_dirty".to_owned(),
        "buffer_pool_page_changes_total" => format!("innodb_buffer_pool_pages_{}", label("operation")?),
        _ => name.to_owned(),
    })
}

/// Its metric: a name of its own, or one of the others.
fn status_metric(variable: &str) -> (String, String) {
    let named = mapping::STATUS.iter().flat_map(|group| group.iter()).find(|series| series.column == variable);
    match named {
        Some(series) => {
            let attributes: Vec<_> = series.attributes.iter().map(|(name, value)| format!("{name}={value}")).collect();
            (series.metric.to_owned(), attributes.join(","))
        }
        None => ("mysql.global_status".to_owned(), format!("variable={variable}")),
    }
}
