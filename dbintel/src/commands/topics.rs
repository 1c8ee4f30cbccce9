//! `dbintel topics`: makes the topics of the table, and shows how those that exist differ from it.

use dbintel_bus::{NewTopic, planned_topics, retention_text};
use dbintel_config::Environment;
use dbintel_schemas::topics::PREFIX;
use serde_json::{Value, json};

use crate::cli::{ConfigArgument, JsonArgument};
use crate::drift::{self, Finding};
use crate::failure::Failure;
use crate::output;
use crate::settings::{self, Settings};

/// Creates what is missing.
pub fn create(argument: &ConfigArgument, environment: &Environment) -> Result<(), Failure> {
    let settings = settings::load_to_look(argument, environment)?.config;
    let planned = planned(&settings);
    let bus = super::open_to_write(&settings).map_err(Failure::runtime)?;
    let created = bus.create_topics(&planned).map_err(Failure::runtime)?;
    for name in &created {
        output::line(&format!("created {name}"));
    }
    let existed = planned.len() - created.len();
    output::line(&format!("{} topics created, {existed} existed, in {}", created.len(), settings.bus.place()));
    Ok(())
}

/// Lists the topics; fails if any differs.
pub fn describe(argument: &ConfigArgument, json: JsonArgument, environment: &Environment) -> Result<(), Failure> {
    let settings = settings::load_to_look(argument, environment)?.config;
    let bus = super::open_to_read(&settings).map_err(Failure::runtime)?;
    let described = bus.describe_topics(PREFIX).map_err(Failure::runtime)?;
    let findings = drift::compare(&planned(&settings), &described);
    let lines: Vec<String> = match json.json {
        true => vec![Value::Array(findings.iter().map(to_json).collect()).to_string()],
        false => std::iter::once(heading()).chain(findings.iter().map(to_text)).collect(),
    };
    for line in &lines {
        output::line(line);
    }
    if findings.iter().all(|finding| finding.drift.is_empty()) { Ok(()) } else { Err(Failure::Said(1)) }
}

/// The topics that this configuration needs.
pub fn planned(settings: &Settings) -> Vec<NewTopic> {
    planned_topics(settings.bus.partitions, &settings.group_names())
}

fn heading() -> String {
    row("TOPIC", "PARTITIONS", "RETENTION", "LARGEST MESSAGE", "RECORDS", "DRIFT")
}

fn to_text(finding: &Finding) -> String {
    let drift = match (&finding.planned, finding.drift.is_empty()) {
        (None, _) => "not one of ours".to_owned(),
        (Some(_), true) => "-".to_owned(),
        (Some(_), false) => finding.drift.join("; "),
    };
    let Some(actual) = &finding.actual else { return row(&finding.name, "-", "-", "-", "-", &drift) };
    row(
        &finding.name,
        &actual.partitions.to_string(),
        &retention_text(&actual.retention),
        &actual.message_bytes_max.to_string(),
        &actual.records.to_string(),
        &drift,
    )
}

fn row(name: &str, partitions: &str, retention: &str, largest: &str, records: &str, drift: &str) -> String {
    format!("{name:<34} {partitions:>10}  {retention:<21} {largest:>15} {records:>12}  {drift}")
}

fn to_json(finding: &Finding) -> Value {
    let actual = finding.actual.as_ref().map(|actual| {
        json!({
            "partitions": actual.partitions,
            "retention": retention_text(&actual.retention),
            "message_bytes_max": actual.message_bytes_max,
            "records": actual.records,
        })
    });
    json!({ "topic": finding.name, "ours": finding.planned.is_some(), "actual": actual, "drift": finding.drift })
}
