//! The table of all metrics, as `docs/metrics.md` has it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use dbintel_pollers::metric::{Kind, Number, Series};
use dbintel_pollers::view::{View, read_from};
use dbintel_pollers::{mysql, postgresql};
use dbintel_sinks::prometheus::{Shape, metric_name};

mod receivers;

use receivers::{ELSEWHERE, MYSQL, Metric, POSTGRESQL};

/// A metric with all that is known of it.
struct Entry {
    unit: &'static str,
    kind: Kind,
    number: Number,
    attributes: BTreeMap<&'static str, BTreeSet<&'static str>>,
    sources: BTreeSet<String>,
}

type Table = BTreeMap<&'static str, Entry>;

/// The document.
///
/// # Panics
/// If a metric has two units or kinds, or one of a receiver is missing or is not as the receiver has it.
#[must_use]
pub fn markdown() -> String {
    let (postgresql, mysql) = (of_postgresql(), of_mysql());
    let mut text = format!(
        "# Metrics\n\nWhat pollers publish to `raw.metrics`, under the names of the Collector's receivers (release {}) where they have \
         the same thing.\nA server gives those that its version and the rights of our account allow; what is missing is said in \
         `raw.polls`.\nMade by `cargo run -p dbintel-tests --bin write-metrics`; a test compares.\n",
        postgresql::mapping::RECEIVER_VERSION
    );
    section(&mut text, "PostgreSQL", &postgresql);
    section(&mut text, "MySQL and MariaDB", &mysql);
    text.push_str("\n## Beside the Collector's receivers\n\n| receiver | metric | here |\n|---|---|---|\n");
    for (receiver, theirs, ours) in [("postgresql", POSTGRESQL, &postgresql), ("mysql", MYSQL, &mysql)] {
        for metric in theirs {
            let _ = writeln!(text, "| {receiver} | `{}` | {} |", metric.0, place(metric, ours));
        }
    }
    text
}

fn place(metric: &Metric, ours: &Table) -> String {
    let (name, unit, kind, number) = *metric;
    if let Some((_, elsewhere)) = ELSEWHERE.iter().find(|(prefix, _)| name.starts_with(prefix)) {
        return (*elsewhere).to_owned();
    }
    let entry = ours.get(name).unwrap_or_else(|| panic!("{name} is missing"));
    assert_eq!((entry.unit, entry.kind, entry.number), (unit, kind, number), "{name} is not as the receiver has it");
    "the same".to_owned()
}

fn section(text: &mut String, title: &str, table: &Table) {
    let _ = write!(
        text,
        "\n## {title}\n\n{} metrics.\n\n| metric | unit | kind | attributes | read from | Prometheus |\n|---|---|---|---|---|---|\n",
        table.len()
    );
    for (name, entry) in table {
        let shape = match entry.kind {
            Kind::Gauge => Shape::Gauge,
            Kind::Sum => Shape::Sum,
            Kind::Counter => Shape::Counter,
        };
        let attributes = entry.attributes.iter().map(|(name, values)| match values.is_empty() {
            true => format!("`{name}`"),
            false => format!("`{name}`: {}", values.iter().copied().collect::<Vec<_>>().join(", ")),
        });
        let _ = writeln!(
            text,
            "| `{name}` | {} | {} | {} | {} | `{}` |",
            entry.unit,
            entry.kind.name(),
            attributes.collect::<Vec<_>>().join("; "),
            entry.sources.iter().cloned().collect::<Vec<_>>().join(", "),
            metric_name("", name, entry.unit, shape),
        );
    }
}

fn of_postgresql() -> Table {
    let mut table = Table::new();
    for view in postgresql::views::all() {
        add_view(&mut table, view);
    }
    for series in &postgresql::mapping::STATEMENTS {
        add(&mut table, series, &[], "`pg_stat_statements`");
    }
    add(&mut table, &postgresql::mapping::CLOCK, &[], "its clock and ours");
    add(&mut table, &postgresql::mapping::STATEMENTS_BY_DATABASE, &["database"], "`pg_stat_statements`");
    table
}

fn of_mysql() -> Table {
    use mysql::mapping;
    let mut table = Table::new();
    for view in mysql::views::all() {
        add_view(&mut table, view);
    }
    for series in mapping::STATUS.iter().flat_map(|group| group.iter()) {
        add(&mut table, series, &[], &format!("status `{}`", series.column));
    }
    for series in mapping::VARIABLES {
        add(&mut table, series, &[], &format!("variable `{}`", series.column));
    }
    for series in mapping::CHANNEL {
        let object = ["mysql.replica.channel.name", "source"];
        add(&mut table, series, &object, &format!("SHOW REPLICA STATUS `{}`", series.column));
    }
    for series in mapping::BINARY_LOGS {
        add(&mut table, series, &[], "SHOW BINARY LOGS");
    }
    add(&mut table, &mapping::CLOCK, &[], "its clock and ours");
    add(&mut table, &mapping::HEALTHY, &[], "the answer");
    add(&mut table, &mapping::GLOBAL_STATUS, &["variable"], "every other status variable");
    add(&mut table, &mapping::GLOBAL_VARIABLE, &["variable"], "every variable that is a number or a switch");
    add(&mut table, &mapping::INNODB_METRIC, &["name"], "`innodb_metrics`, what is switched on");
    table
}

fn add_view(table: &mut Table, view: &'static View) {
    let object: Vec<&'static str> = view.identity.iter().map(|(name, _)| *name).collect();
    for series in view.series {
        add(table, series, &object, &read_from(view, series));
    }
}

fn add(table: &mut Table, series: &'static Series, object: &[&'static str], source: &str) {
    let entry = table.entry(series.metric).or_insert_with(|| Entry {
        unit: series.unit,
        kind: series.kind,
        number: series.number,
        attributes: BTreeMap::new(),
        sources: BTreeSet::new(),
    });
    let (known, new) = ((entry.unit, entry.kind, entry.number), (series.unit, series.kind, series.number));
    assert_eq!(known, new, "{} has two meanings", series.metric);
    for name in object {
        entry.attributes.entry(name).or_default();
    }
    for (name, value) in series.attributes {
        entry.attributes.entry(name).or_default().insert(value);
    }
    entry.sources.insert(source.to_owned());
}
