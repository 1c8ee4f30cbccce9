//! Every variable and every column of every view of MySQL and MariaDB against the server's own view of it, at two moments
//! between which a load changed it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use dbintel_pollers::metric::Series;
use dbintel_pollers::mysql::{Config, mapping, views};
use dbintel_pollers::view::{Source, View};
use dbintel_tests::servers::HOST;
use dbintel_tests::servers::mysql::{Flavour, Mysql};
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Row, Value};

use crate::pollers_tape::Tape;

type Values = BTreeMap<(String, String), f64>;
type Texts = BTreeMap<String, String>;

/// What the account of the poller is given, and nothing else.
const GRANTS: [&str; 5] = [
    "CREATE USER 'watcher'@'%' IDENTIFIED BY 'watcher'",
    "GRANT SELECT ON performance_schema.* TO 'watcher'@'%'",
    "CREATE DATABASE shop",
    "CREATE TABLE shop.held (id int PRIMARY KEY)",
    "CREATE TABLE shop.goods (id int PRIMARY KEY AUTO_INCREMENT, price int, large text, KEY (price))",
];

/// What is read otherwise, again in other words: metric, identity and value.
const BY_HAND: [(&str, &str, &str); 6] = [
    ("mysql.buffer_pool.limit", "", "SELECT @@innodb_buffer_pool_size"),
    ("mysql.page_size", "", "SELECT @@innodb_page_size"),
    ("mysql.connection.max", "", "SELECT @@max_connections"),
    ("mysql.global_variable", "variable=sync_binlog", "SELECT @@sync_binlog"),
    ("mysql.innodb.transaction.active.count", "", "SELECT COUNT(*) FROM information_schema.innodb_trx"),
    (
        "mysql.innodb.transaction.active.duration.max",
        "",
        "SELECT UNIX_TIMESTAMP() - UNIX_TIMESTAMP(MIN(trx_started)) FROM information_schema.innodb_trx",
    ),
];

/// What a load like this moves, on every server.
const MOVED: [&str; 22] = [
    "mysql.buffer_pool.operations",
    "mysql.buffer_pool.pages",
    "mysql.client.network.io",
    "mysql.commands",
    "mysql.connection.count",
    "mysql.global_status",
    "mysql.handlers",
    "mysql.index.io.wait.count",
    "mysql.index.io.wait.time",
    "mysql.innodb.redo_log.lsn.current",
    "mysql.joins",
    "mysql.locks",
    "mysql.log_operations",
    "mysql.opened_resources",
    "mysql.page_operations",
    "mysql.prepared_statements",
    "mysql.query.client.count",
    "mysql.query.count",
    "mysql.sorts",
    "mysql.table.io.wait.count",
    "mysql.table.io.wait.time",
    "mysql.tmp_resources",
];

/// And what it moves on MySQL alone: MariaDB counts it no more, or when it likes.
const MOVED_ON_MYSQL: [&str; 2] = ["mysql.innodb.data_file.io", "mysql.row_operations"];

#[tokio::test]
async fn variables_and_columns_are_those_of_the_server_on_every_flavour() {
    for flavour in Flavour::ALL {
        let mysql = Mysql::start(flavour);
        mysql.run(&GRANTS).await;
        let grants = match flavour {
            Flavour::Mysql9 => "GRANT PROCESS, REPLICATION CLIENT, SHOW VIEW ON *.* TO 'watcher'@'%'",
            _ => "GRANT PROCESS, BINLOG MONITOR, SLAVE MONITOR, SHOW VIEW ON *.* TO 'watcher'@'%'",
        };
        mysql.run(&[grants]).await;
        let mut admin = mysql.admin().await;
        let mut holder = mysql.admin().await;
        holder.query_drop("START TRANSACTION").await.unwrap();
        holder.query_drop("INSERT INTO shop.held VALUES (1)").await.unwrap();
        let tape = Tape::of(watcher(&mysql));
        let mut moments: Vec<Values> = Vec::new();
        for _ in 0..2 {
            work(&mut admin).await;
            mysql.run(&["DO 1"]).await;
            let after = agree(flavour, &mut admin, &tape).await;
            moments.push(after);
        }
        let moved: BTreeSet<_> = moments[0]
            .iter()
            .filter(|(key, value)| moments[1].get(*key).is_some_and(|now| now != *value))
            .map(|((metric, _), _)| metric.as_str())
            .collect();
        let on_mysql = MOVED_ON_MYSQL.iter().filter(|_| flavour == Flavour::Mysql9);
        let still: Vec<_> = MOVED.iter().chain(on_mysql).filter(|metric| !moved.contains(**metric)).collect();
        assert!(still.is_empty(), "{flavour:?}: did not move: {still:?}");
        let skew = tape.metrics()[&("mysql.clock.skew".to_owned(), String::new())];
        assert!(skew.abs() < 1.0, "{flavour:?}: {skew} s on one machine");
        let failed: Vec<_> = tape.polls().into_iter().filter(|poll| poll.outcome != "ok").collect();
        assert!(failed.is_empty(), "{flavour:?}: {failed:?}");
        let refused: BTreeSet<_> = tape
            .polls()
            .into_iter()
            .flat_map(|poll| poll.capabilities)
            .filter(|(_, consequence, _)| consequence.starts_with("its metrics are missing"))
            .collect();
        assert!(refused.is_empty(), "{flavour:?}: {refused:?}");
        tape.stop().await;
    }
}

fn watcher(mysql: &Mysql) -> Config {
    let mut config = Config { username: "watcher".to_owned(), ..Config::default() };
    config.password = dbintel_config::Secret::new("watcher").into();
    config.endpoint = format!("{HOST}:{}", mysql.port).parse().unwrap();
    let often = Duration::from_millis(200);
    config.metrics.interval = often;
    config.replication.interval = often;
    config.settings.interval = often;
    config.tables.interval = often;
    config.sizes.interval = often;
    config
}

async fn work(admin: &mut Conn) {
    let statements = [
        "INSERT INTO shop.goods (price, large) SELECT a.ORDINAL_POSITION, REPEAT('x', 5000)
         FROM information_schema.columns AS a WHERE a.TABLE_SCHEMA = 'information_schema' LIMIT 200",
        "UPDATE shop.goods SET price = price + 1 WHERE id % 3 = 0 AND price >= 0",
        "DELETE FROM shop.goods WHERE id % 7 = 0 AND price >= 0",
        "SELECT COUNT(*) FROM shop.goods WHERE price BETWEEN 3 AND 10",
        "SELECT a.large FROM shop.goods AS a JOIN shop.goods AS b ON a.large = b.large ORDER BY a.large DESC, b.id LIMIT 1",
        "SELECT DISTINCT large FROM shop.goods ORDER BY large",
        "SELECT COUNT(DISTINCT large) FROM (SELECT large FROM shop.goods UNION SELECT 'y') AS t",
        "CREATE TABLE IF NOT EXISTS shop.more (id int)",
        "DROP TABLE shop.more",
    ];
    for statement in statements {
        admin.query_drop(statement).await.unwrap_or_else(|error| panic!("{statement}: {error}"));
    }
    let prepared = admin.prep("SELECT price FROM shop.goods WHERE id = ?").await.unwrap();
    admin.exec_drop(&prepared, (1,)).await.unwrap();
    admin.close(prepared).await.unwrap();
}

async fn values_of_server(admin: &mut Conn) -> Values {
    let mut values = Values::new();
    for (metric, identity, sql) in BY_HAND {
        let value: f64 = admin.query_first(sql).await.unwrap().unwrap();
        values.insert((metric.to_owned(), identity.to_owned()), value);
    }
    let status: Vec<(String, String)> = admin.query("SHOW GLOBAL STATUS").await.unwrap();
    let status: Texts = status.into_iter().map(|(name, value)| (name.to_ascii_lowercase(), value)).collect();
    for series in mapping::STATUS.iter().flat_map(|group| group.iter()) {
        add(&mut values, series, &status, Vec::new());
    }
    let named: Vec<_> = mapping::STATUS.iter().flat_map(|group| group.iter()).map(|series| series.column).collect();
    for (name, value) in &status {
        let has_own_name = named.contains(&name.as_str());
        if let (false, Ok(value)) = (has_own_name, value.parse()) {
            values.insert(("mysql.global_status".to_owned(), format!("variable={name}")), value);
        }
    }
    for view in views::all().filter(|view| view.source == Source::Relation && !view.rest.contains("GROUP BY")) {
        let Some((schema, _)) = view.from.split_once('.') else { continue };
        let Ok(rows) = admin.query::<Row, _>(format!("SELECT * FROM {schema}.{}", view.name)).await else { continue };
        for row in &rows {
            add_row(&mut values, view, &texts(row));
        }
    }
    values
}

fn texts(row: &Row) -> Texts {
    let names = row.columns_ref().iter().map(|column| column.name_str().to_ascii_lowercase());
    let text = |place: usize| match row.as_ref(place)? {
        Value::NULL => None,
        Value::Bytes(bytes) => Some(String::from_utf8_lossy(bytes).into_owned()),
        Value::Int(number) => Some(number.to_string()),
        Value::UInt(number) => Some(number.to_string()),
        Value::Float(number) => Some(number.to_string()),
        Value::Double(number) => Some(number.to_string()),
        _ => None,
    };
    names.enumerate().filter_map(|(place, name)| Some((name, text(place)?))).collect()
}

/// A row of a table that is not the server's own.
fn add_row(values: &mut Values, view: &View, columns: &Texts) {
    let of = |name: &str| columns.get(name).map_or("", String::as_str);
    let schema = if view.name == "tables" { of("table_schema") } else { of("object_schema") };
    if schema != "shop" && view.identity.iter().any(|(name, _)| *name == "schema") {
        return;
    }
    let identity = view.identity.iter().map(|(name, expression)| {
        let column = expression.split("v.").nth(1).unwrap().split([',', ')']).next().unwrap();
        let default = if expression.contains("'NONE'") { "NONE" } else { "" };
        format!("{name}={}", columns.get(column).map_or(default, String::as_str))
    });
    let identity: Vec<_> = identity.collect();
    for series in view.series {
        add(values, series, columns, identity.clone());
    }
}

/// `column`, `column - other`, `column / number`, `v.column DIV 1000`.
fn add(values: &mut Values, series: &Series, columns: &Texts, mut identity: Vec<String>) {
    let parts: Vec<&str> = series.column.split(' ').collect();
    let of = |name: &str| columns.get(name.trim_start_matches("v.")).and_then(|text| text.parse::<f64>().ok());
    let value = match parts.as_slice() {
        [name] => of(name),
        [name, "-", other] => of(name).zip(of(other)).map(|(name, other)| name - other),
        [name, "/", by] => of(name).map(|value| value / by.parse::<f64>().unwrap()),
        [name, "DIV", "1000"] => of(name).map(|value| (value / 1000.0).floor()),
        _ => None,
    };
    identity.extend(series.attributes.iter().map(|(name, value)| format!("{name}={value}")));
    identity.sort_unstable();
    if let Some(value) = value {
        values.insert((series.metric.to_owned(), identity.join(",")), value);
    }
}

/// Compares until each value was once between what the server said before and after: those that go up and down at any moment may
/// miss a time or two. Gives what the server said last.
async fn agree(flavour: Flavour, admin: &mut Conn, tape: &Tape) -> Values {
    let mut differing: Option<BTreeMap<(String, String), String>> = None;
    for _ in 0..ATTEMPTS {
        let before = values_of_server(admin).await;
        for class in ["metrics", "replication", "settings", "tables", "sizes"] {
            tape.whole_poll(class).await;
        }
        let published = tape.metrics();
        let after = values_of_server(admin).await;
        let now = differences(flavour, &published, &before, &after);
        let still = now.into_iter().filter(|(key, _)| differing.as_ref().is_none_or(|before| before.contains_key(key)));
        let still: BTreeMap<_, _> = still.collect();
        if still.is_empty() {
            return after;
        }
        differing = Some(still);
    }
    panic!("{flavour:?}: {differing:#?}");
}

fn differences(
    flavour: Flavour,
    published: &Values,
    before: &Values,
    after: &Values,
) -> BTreeMap<(String, String), String> {
    let mut differing = BTreeMap::new();
    let mut compared = 0;
    for (key, low) in before {
        let Some(high) = after.get(key) else { continue };
        if key.0.starts_with("mysql.memory") {
            // To read it takes some.
            continue;
        }
        let Some(value) = published.get(key) else {
            // Only waits, files and memory that matter most are read.
            assert!(LISTED.contains(&key.0.as_str()), "{flavour:?}: {key:?} is missing");
            continue;
        };
        compared += 1;
        let slack = 1e-9 * high.abs();
        if !(low.min(*high) - slack..=low.max(*high) + slack).contains(value) {
            differing.insert(key.clone(), format!("{value}, server {low} and {high}"));
        }
    }
    assert!(compared > 300, "{flavour:?}: only {compared} values were compared");
    differing
}

/// Times that values are compared at most.
const ATTEMPTS: usize = 8;

/// Lists of which the first are read.
const LISTED: [&str; 12] = [
    "mysql.wait.count",
    "mysql.wait.time",
    "mysql.file.io.count",
    "mysql.file.io.time",
    "mysql.file.io.bytes",
    "mysql.memory.usage",
    "mysql.memory.usage.max",
    "mysql.errors",
    "mysql.user.connections",
    "mysql.user.connection.count",
    "mysql.host.connections",
    "mysql.host.connection.count",
];
