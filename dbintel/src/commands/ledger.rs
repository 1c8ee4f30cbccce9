//! `dbintel ledger verify`: the books of every group and pipeline, checked from outside.

use std::io::{self, IsTerminal as _, Write as _};
use std::rc::Rc;
use std::time::{Duration, Instant};

use dbintel_bus::{Bus, topic_name};
use dbintel_config::Environment;
use dbintel_schemas::Topic;
use dbintel_schemas::rfc3339;
use serde_json::{Value, json};

use crate::cli::VerifyArguments;
use crate::clock;
use crate::failure::Failure;
use crate::ledger::{Booked, Checked, check, pipelines};
use crate::output;
use crate::settings;

/// Time between two looks at how far it has come.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(500);

/// One pipeline of a group on one partition.
struct Row {
    group: String,
    pipeline: String,
    partition: u32,
    checked: Checked,
}

/// Checks, and prints what was found.
pub fn verify(arguments: &VerifyArguments, environment: &Environment) -> Result<(), Failure> {
    let settings = settings::load_to_look(&arguments.config, environment)?.config;
    super::refuse_registry(&settings)?;
    let bus = super::open_to_read(&settings).map_err(Failure::runtime)?;
    let partitions = partitions(&*bus, arguments.partition)?;
    let rows = check_all(&*bus, &partitions, arguments.pipeline.as_deref())?;
    let lines = if arguments.json.json { vec![to_json(&rows).to_string()] } else { to_text(&rows) };
    for line in &lines {
        output::line(line);
    }
    if rows.iter().all(|row| row.checked.balances()) { Ok(()) } else { Err(Failure::Said(1)) }
}

fn partitions(bus: &dyn Bus, only: Option<u32>) -> Result<Vec<u32>, Failure> {
    let name = topic_name(Topic::Ledger);
    let count = super::partitions_of(bus, &name)?;
    match only {
        Some(partition) if partition >= count => {
            Err(Failure::Usage(format!("{name} has no partition {partition}, the last one is {}", count - 1)))
        }
        Some(partition) => Ok(vec![partition]),
        None => Ok((0..count).collect()),
    }
}

fn check_all(bus: &dyn Bus, partitions: &[u32], only: Option<&str>) -> Result<Vec<Row>, Failure> {
    let schemas = Rc::new(super::schemas_of(bus)?);
    let mut rows = Vec::new();
    let mut progress = Progress::new();
    for partition in partitions {
        let found = pipelines(bus, &schemas, *partition).map_err(Failure::runtime)?;
        for booked in found.into_iter().filter(|booked| only.is_none_or(|only| only == booked.pipeline)) {
            let mut tell = |checked: &Checked| progress.show(&booked.pipeline, *partition, checked);
            let checked = check(bus, &schemas, &booked, *partition, &mut tell).map_err(Failure::runtime)?;
            let Booked { group, pipeline, .. } = booked;
            rows.push(Row { group, pipeline, partition: *partition, checked });
        }
    }
    progress.clear();
    Ok(rows)
}

/// How far it has come, on a terminal that shows nothing else.
struct Progress {
    next: Option<Instant>,
    is_shown: bool,
}

impl Progress {
    fn new() -> Progress {
        let is_wanted = io::stderr().is_terminal();
        Progress { next: is_wanted.then(|| clock::now() + PROGRESS_INTERVAL), is_shown: false }
    }

    fn show(&mut self, pipeline: &str, partition: u32, checked: &Checked) {
        let now = clock::now();
        if self.next.is_some_and(|next| now >= next) {
            (self.next, self.is_shown) = (Some(now + PROGRESS_INTERVAL), true);
            let (records, findings) = (checked.records(), checked.findings.len());
            write(&format!("\r\x1b[K{pipeline} partition {partition}: {records} records checked, {findings} findings"));
        }
    }

    fn clear(&self) {
        if self.is_shown {
            write("\r\x1b[K");
        }
    }
}

fn write(text: &str) {
    let mut stderr = io::stderr().lock();
    // Nobody is left to tell if this fails.
    let _ = stderr.write_all(text.as_bytes()).and_then(|()| stderr.flush());
}

fn to_text(rows: &[Row]) -> Vec<String> {
    if rows.is_empty() {
        return vec!["The ledger is empty: nothing was processed yet.".to_owned()];
    }
    let mut lines = vec![line(&[
        "GROUP",
        "PIPELINE",
        "PARTITION",
        "RECORDS",
        "FORWARDED",
        "ABSORBED",
        "SAMPLED OUT",
        "QUARANTINED",
        "OPEN",
        "COMMITS",
    ])];
    lines.extend(rows.iter().map(row_text));
    if rows.len() > 1 {
        lines.push(total(rows));
    }
    lines.push(String::new());
    for row in rows.iter().filter(|row| !row.checked.balances()) {
        let place = format!("{} {} partition {}", row.group, row.pipeline, row.partition);
        lines.extend(row.checked.findings.iter().map(|finding| format!("{place}: {finding}")));
        if row.checked.more > 0 {
            lines.push(format!("{place}: and {} findings more", row.checked.more));
        }
    }
    lines.push(verdict(rows));
    lines
}

fn verdict(rows: &[Row]) -> String {
    let findings: u64 = rows.iter().map(|row| row.checked.findings.len() as u64 + row.checked.more).sum();
    let partly: i64 = rows.iter().map(|row| row.checked.partly).sum();
    let times = rows.iter().filter_map(|row| row.checked.times);
    let range =
        times.reduce(|(first, last), (from, to)| (first.min(from), last.max(to))).map_or(String::new(), |range| {
            let [from, to] = [range.0, range.1].map(|time| rfc3339::format_ms(time / 1000));
            format!(" for event times from {from} to {to}")
        });
    let part = match partly {
        0 => String::new(),
        _ => format!("; {partly} commits were checked in part, retention has deleted what they are about"),
    };
    match findings {
        0 => format!("The books balance{range}{part}."),
        1 => format!("The books do not balance: 1 finding{range}{part}."),
        _ => format!("The books do not balance: {findings} findings{range}{part}."),
    }
}

fn line(cells: &[&str; 10]) -> String {
    let [group, pipeline, partition, records, forwarded, absorbed, sampled_out, quarantined, open, commits] = cells;
    format!(
        "{group:<20} {pipeline:<16} {partition:>9} {records:>12} {forwarded:>12} {absorbed:>12} {sampled_out:>12} \
         {quarantined:>11} {open:>10}  {commits}"
    )
}

fn of(checked: &Checked, disposition: &str) -> i64 {
    checked.dispositions.get(disposition).copied().unwrap_or_default()
}

fn row_text(row: &Row) -> String {
    let Row { group, pipeline, partition, checked } = row;
    let commits = checked.commits.map_or("-".to_owned(), |(first, last)| format!("{first}-{last}"));
    let [forwarded, absorbed, sampled_out, quarantined] = numbers(checked).map(|number| number.to_string());
    let (records, open) = (checked.records().to_string(), checked.open.to_string());
    line(&[
        group,
        pipeline,
        &partition.to_string(),
        &records,
        &forwarded,
        &absorbed,
        &sampled_out,
        &quarantined,
        &open,
        &commits,
    ])
}

fn numbers(checked: &Checked) -> [i64; 4] {
    ["forwarded", "absorbed", "sampled_out", "quarantined"].map(|disposition| of(checked, disposition))
}

fn total(rows: &[Row]) -> String {
    let sum = |number: fn(&Checked) -> i64| rows.iter().map(|row| number(&row.checked)).sum::<i64>().to_string();
    let cells = [
        sum(Checked::records),
        sum(|checked| of(checked, "forwarded")),
        sum(|checked| of(checked, "absorbed")),
        sum(|checked| of(checked, "sampled_out")),
        sum(|checked| of(checked, "quarantined")),
        sum(|checked| checked.open as i64),
    ];
    let [records, forwarded, absorbed, sampled_out, quarantined, open] = &cells;
    line(&["total", "", "", records, forwarded, absorbed, sampled_out, quarantined, open, ""])
}

fn to_json(rows: &[Row]) -> Value {
    let row = |row: &Row| {
        let Row { group, pipeline, partition, checked } = row;
        let [forwarded, absorbed, sampled_out, quarantined] = numbers(checked);
        json!({
            "group": group, "pipeline": pipeline, "partition": partition,
            "records": checked.records(), "forwarded": forwarded, "absorbed": absorbed, "sampled_out": sampled_out,
            "quarantined": quarantined, "open": checked.open,
            "first_commit": checked.commits.map(|(first, _)| first), "last_commit": checked.commits.map(|(_, last)| last),
            "first_time_us": checked.times.map(|(first, _)| first), "last_time_us": checked.times.map(|(_, last)| last),
            "commits_checked_in_part": checked.partly,
            "findings": checked.findings, "further_findings": checked.more,
        })
    };
    json!({ "balances": rows.iter().all(|row| row.checked.balances()), "partitions": rows.iter().map(row).collect::<Vec<_>>() })
}
