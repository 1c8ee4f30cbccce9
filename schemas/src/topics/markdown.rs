//! The table of topics for people.

use std::time::Duration;

use super::{KeyRule, Partitions, Retention, TABLE, TopicSpec};

const HEAD: &str = "\
| Topic | Key | Value | Partitions | Retention | Compacted | Largest value | Records/day | Bytes/day | Writer | Readers | Restricted |
|---|---|---|---|---|---|---|---|---|---|---|---|
";
const CHANGELOG: &str = "\
| `<group>-changelog` | — | changes of state, in the engine's own format | as the inputs | trimmed by the engine | no | 8 MiB | — | — \
| processors | processors | no |
";
const HOUR: u64 = 60 * 60;
const DAY: u64 = 24 * HOUR;

/// The table of topics in Markdown, as README.md has it.
#[must_use]
pub fn markdown() -> String {
    let rows: String = TABLE.iter().map(row).collect();
    format!("{HEAD}{rows}{CHANGELOG}")
}

fn row(spec: &TopicSpec) -> String {
    let (retention, compacted) = match spec.retention {
        Retention::Time(time) => (duration(time), "no"),
        Retention::Compacted => ("for ever".to_owned(), "yes"),
    };
    let partitions = match spec.partitions {
        Partitions::CoPartitioned => "12",
        Partitions::One => "1",
    };
    let key = match spec.key {
        KeyRule::Target => "target".to_owned(),
        KeyRule::TargetAnd(identity) => format!("target, 0x1F, {identity}"),
        KeyRule::Other(key) => key.to_owned(),
    };
    let value = spec.record.map_or("kept for later".to_owned(), |record| format!("`{record}`"));
    let restricted = if spec.restricted { "**yes**" } else { "no" };
    format!(
        "| `{}` | {key} | {value} | {partitions} | {retention} | {compacted} | {} MiB | {} | {} | {} | {} | {restricted} |\n",
        spec.topic,
        spec.max_message_bytes / (1024 * 1024),
        count(spec.load.records_per_day),
        bytes(spec.load.bytes_per_day()),
        spec.writer,
        spec.readers,
    )
}

fn duration(duration: Duration) -> String {
    match duration.as_secs() {
        seconds if seconds > DAY && seconds.is_multiple_of(DAY) => format!("{} d", seconds / DAY),
        seconds if seconds.is_multiple_of(HOUR) => format!("{} h", seconds / HOUR),
        seconds => format!("{seconds} s"),
    }
}

fn count(count: u64) -> String {
    scaled(count, &["", " k", " M", " G"])
}

fn bytes(bytes: u64) -> String {
    scaled(bytes, &[" B", " kB", " MB", " GB", " TB"])
}

/// Two significant digits or more; nothing for zero.
fn scaled(value: u64, units: &[&str]) -> String {
    let mut scale = 1;
    let mut unit = 0;
    while value / scale >= 1000 && unit + 1 < units.len() {
        scale *= 1000;
        unit += 1;
    }
    match (value, value / scale) {
        (0, _) => "—".to_owned(),
        (_, whole) if whole < 10 && unit > 0 => format!("{whole}.{}{}", value % scale * 10 / scale, units[unit]),
        (_, whole) => format!("{whole}{}", units[unit]),
    }
}
