//! What Prometheus has of a process at work: the numbers are the server's, the pages are clean, the guide's rules load.

use std::collections::BTreeMap;
use std::path::Path;

use dbintel_tests::scratch::Scratch;
use dbintel_tests::servers::postgres::{Major, Postgres};
use dbintel_tests::servers::prometheus::{Prometheus, promtool_check_metrics};
use dbintel_tests::wait;
use serde_json::Value;
use tokio_postgres::Client;

use crate::cli_rig::{FREE_PORTS, LIMIT, Running, text};
use crate::pollers_statements::{connect_as, open_shop};

/// Rounds of work before each look at the numbers.
const BURSTS: [usize; 3] = [20, 70, 45];

/// Shown of each statement: name of the series, and what the server has for it.
const SHOWN: [(&str, &str); 3] = [
    ("query_calls_total", "calls::float8"),
    ("query_rows_total", "rows::float8"),
    ("query_exec_seconds_total", "total_exec_time / 1000"),
];

/// The server counts in ms as a double, we in ns: each number may be rounded by as much.
const SECONDS_TOLERANCE: f64 = 2e-9;

/// The job that the guide's rules name.
const OWN_JOB: &str = "database-intelligence";
const EXPORT_JOB: &str = "databases";

/// The shown numbers of each of the shop's statements, by its identifier.
type Numbers = BTreeMap<String, [f64; SHOWN.len()]>;

fn start(postgres: &Postgres, scratch: &Scratch) -> Running {
    let configuration = format!(
        "pollers: {{postgresql/shop: {{endpoint: '127.0.0.1:{}', username: watcher, collection_interval: 1s}}}}
processors: {{adaptive_sampler: {{default_sampling_rate: 100}}}}
sinks: {{prometheus: {{namespace: db_intelligence}}}}
pipelines: {{main: {{pollers: [postgresql/shop], processors: [adaptive_sampler], sinks: [prometheus]}}}}
",
        postgres.port
    );
    let file = scratch.write("dbintel.yaml", &configuration);
    let arguments: Vec<&str> = ["up", "--quiet", "--config", text(&file)].into_iter().chain(FREE_PORTS).collect();
    Running::start(&arguments, &[])
}

/// A Prometheus that scrapes both pages of the process and has the rules that are shipped.
fn scrape(up: &mut Running) -> Prometheus {
    let rules = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/rules");
    let [guide, own_rules] = ["database-intelligence.yml", "dbintel.yml"].map(|name| rules.join(name));
    let [own, export] = ["metrics", "export"].map(|of| format!("127.0.0.1:{}", up.port(of)));
    Prometheus::start(&[(OWN_JOB, &own), (EXPORT_JOB, &export)], &[&guide, &own_rules])
}

async fn work(shop: &Client, rounds: usize) {
    for round in 0..rounds {
        let insert = format!("INSERT INTO goods SELECT n, n FROM generate_series(1, {}) AS n", 1 + round % 7);
        for statement in [&*insert, "SELECT count(*) FROM goods WHERE price > 5", "SELECT id FROM goods LIMIT 3"] {
            shop.simple_query(statement).await.unwrap();
        }
    }
}

async fn of_server(admin: &Client) -> Numbers {
    let columns = SHOWN.map(|(_, column)| column).join(", ");
    let sql = format!("SELECT queryid::text, {columns} FROM pg_stat_statements(false) WHERE userid = 'shop'::regrole");
    let rows = admin.query(&sql, &[]).await.unwrap();
    rows.iter().map(|row| (row.get(0), [row.get(1), row.get(2), row.get(3)])).collect()
}

fn of_prometheus(prometheus: &Prometheus) -> Numbers {
    let mut numbers = Numbers::new();
    for (index, (name, _)) in SHOWN.iter().enumerate() {
        for sample in prometheus.query(&format!("db_intelligence_{name}{{user=\"shop\"}}")) {
            numbers.entry(sample.labels["query_id"].clone()).or_default()[index] = sample.value;
        }
    }
    numbers
}

fn growth(before: &Numbers, after: &Numbers) -> Numbers {
    let grown = |(id, after): (&String, &[f64; SHOWN.len()])| {
        let before = before.get(id).copied().unwrap_or_default();
        (id.clone(), std::array::from_fn(|index| after[index] - before[index]))
    };
    after.iter().map(grown).collect()
}

fn agree(ours: &Numbers, servers: &Numbers) -> bool {
    let same = |(ours, servers): (&[f64; SHOWN.len()], &[f64; SHOWN.len()])| {
        ours.iter().zip(servers).all(|(ours, server)| (ours - server).abs() <= SECONDS_TOLERANCE)
    };
    ours.keys().eq(servers.keys()) && ours.values().zip(servers.values()).all(same)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_numbers_of_each_statement_are_the_servers_and_the_guides_rules_load() {
    let (postgres, scratch) = (Postgres::start(Major::V18), Scratch::new("scraped"));
    let admin = open_shop(&postgres).await;
    let shop = connect_as(&postgres, "shop").await;
    let mut up = start(&postgres, &scratch);
    let prometheus = scrape(&mut up);
    // From here on each statement of the shop is watched from its first execution on.
    let has_polled = "poller_polls_total{class=\"statements\",outcome=\"ok\"";
    wait::blocking(LIMIT, "a poll", || up.sample("metrics", has_polled).filter(|polls| *polls > 0.0));

    let (mut server_before, mut seen_before) = (Numbers::new(), Numbers::new());
    for rounds in BURSTS {
        work(&shop, rounds).await;
        let server = of_server(&admin).await;
        let expected = growth(&server_before, &server);
        let what = format!("growth of {expected:?}");
        let seen = wait::blocking(LIMIT, &what, || {
            let seen = of_prometheus(&prometheus);
            agree(&growth(&seen_before, &seen), &expected).then_some(seen)
        });
        assert_eq!(of_server(&admin).await, server, "the shop rests");
        assert!(expected.len() >= 3 && expected.values().all(|grown| grown.iter().all(|number| *number > 0.0)));
        (server_before, seen_before) = (server, seen);
    }

    assert_both_pages_are_clean(&mut up);
    for job in [OWN_JOB, EXPORT_JOB] {
        let is_up = prometheus.query(&format!("up{{job=\"{job}\"}}"));
        assert_eq!(is_up.iter().map(|sample| sample.value).collect::<Vec<_>>(), [1.0], "{job}");
    }
    assert_rules_are_healthy(&prometheus);
}

/// Names that the Collector and its receivers made known stay as they are, though promtool has another taste.
fn assert_both_pages_are_clean(up: &mut Running) {
    for of in ["metrics", "export"] {
        let page = up.get(of, "/metrics").text();
        let complaints = promtool_check_metrics(&page).err().unwrap_or_default();
        let is_taste = |line: &&str| {
            let is_theirs = ["otelcol_", "db_intelligence_postgresql_"].iter().any(|begin| line.starts_with(begin));
            is_theirs && (line.contains(" suffix") || line.contains(" base unit "))
        };
        let ours: Vec<&str> = complaints.lines().filter(|line| !is_taste(line)).collect();
        assert_eq!(ours, Vec::<&str>::new(), "{of}");
    }
}

/// All are evaluated without an error, which takes Prometheus up to an interval of theirs.
fn assert_rules_are_healthy(prometheus: &Prometheus) {
    let rules = wait::blocking(LIMIT, "the evaluation of the rules", || {
        let answer = prometheus.api("rules");
        let groups = answer["data"]["groups"].as_array().unwrap();
        let rules: Vec<Value> = groups.iter().flat_map(|group| group["rules"].as_array().unwrap()).cloned().collect();
        rules.iter().all(|rule| rule["health"] != "unknown").then_some(rules)
    });
    let names: Vec<&str> = rules.iter().map(|rule| rule["name"].as_str().unwrap()).collect();
    let of_guide = ["CollectorDown", "CollectorHighMemory", "CircuitBreakerOpen", "HighErrorRate", "PIIDetected"];
    assert_eq!(names, [&of_guide[..], &["StaleOwner"]].concat());
    assert!(rules.iter().all(|rule| rule["health"] == "ok" && rule["state"] == "inactive"), "{rules:?}");
}
