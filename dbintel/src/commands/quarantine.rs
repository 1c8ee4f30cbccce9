//! `dbintel quarantine`: what could not be processed, to be looked at, given back and deleted.

use std::sync::Arc;
use std::time::Duration;

use dbintel_bus::{Bus, Outgoing, Record, SendError, topic_name};
use dbintel_config::Environment;
use dbintel_schemas::Topic;
use dbintel_schemas::records::Quarantined;
use dbintel_schemas::rfc3339;
use dbintel_schemas::topics::PREFIX;
use dbintel_schemas::wire::{ReadError, Schemas};
use serde_json::json;

use crate::cli::{
    ConfigArgument, QuarantineDropArguments, QuarantineFilter, QuarantineListArguments, QuarantineRetryArguments,
    QuarantineShowArguments,
};
use crate::failure::Failure;
use crate::output::{self, Reader};
use crate::settings;
use crate::stream::Stream;

/// Longest wait for the log to take what is given back.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(30);
const FULL_WAIT: Duration = Duration::from_millis(10);

/// A record of the quarantine.
struct Item {
    partition: u32,
    offset: i64,
    /// When it was put there, in ms.
    quarantined_ms: i64,
    group: String,
    pipeline: String,
    topic: String,
    input_offset: i64,
    /// Timestamp of the input in µs.
    timestamp_at: i64,
    reason: String,
    detail: String,
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    value_length: i64,
    truncated: bool,
    code_version: String,
}

/// Prints a line per record.
pub fn list(arguments: &QuarantineListArguments, environment: &Environment) -> Result<(), Failure> {
    let bus = look(&arguments.config, environment)?;
    if !arguments.json.json {
        output::line(&heading());
    }
    let mut listed = 0u64;
    each(&*bus, &arguments.filter, &mut |item| {
        listed += 1;
        let line = if arguments.json.json { to_json(&item) } else { to_line(&item) };
        output::line(&line)
    })?;
    if listed == 0 && !arguments.json.json {
        output::line("nothing is in quarantine");
    }
    Ok(())
}

/// Prints one record.
pub fn show(arguments: &QuarantineShowArguments, environment: &Environment) -> Result<(), Failure> {
    let bus = look(&arguments.config, environment)?;
    let item = find(&*bus, arguments.partition, arguments.offset)?;
    output::line(&describe(&item, arguments.reveal));
    Ok(())
}

/// Writes records to their input topics once more.
pub fn retry(arguments: &QuarantineRetryArguments, environment: &Environment) -> Result<(), Failure> {
    let places = arguments.places.iter().map(|place| parse_place(place)).collect::<Result<Vec<_>, _>>()?;
    let bus =
        if arguments.dry_run { look(&arguments.config, environment)? } else { open(&arguments.config, environment)? };
    let mut items = Vec::new();
    if arguments.all {
        each(&*bus, &arguments.filter, &mut |item| {
            items.push(item);
            Reader::Present
        })?;
    }
    for (partition, offset) in places {
        items.push(find(&*bus, partition, offset)?);
    }
    // Several pipelines may have refused the same record.
    items.sort_by(|a, b| (a.partition, &a.topic, a.input_offset).cmp(&(b.partition, &b.topic, b.input_offset)));
    items.dedup_by(|a, b| (a.partition, &a.topic, a.input_offset) == (b.partition, &b.topic, b.input_offset));
    let (whole, cut): (Vec<Item>, Vec<Item>) = items.into_iter().partition(|item| !item.truncated);
    if !arguments.dry_run {
        send_again(&*bus, &whole)?;
    }
    let did = if arguments.dry_run { "would write" } else { "wrote" };
    for item in &whole {
        let Item { partition, offset, topic, .. } = item;
        output::line(&format!("{did} {partition}:{offset} to {topic} partition {partition}"));
    }
    for Item { partition, offset, value_length, .. } in &cut {
        output::complain(&format!(
            "dbintel: {partition}:{offset} cannot be given back: of its {value_length} bytes only the beginning was kept"
        ));
    }
    if cut.is_empty() { Ok(()) } else { Err(Failure::Said(1)) }
}

/// Deletes the beginning of a partition.
pub fn drop_until(arguments: &QuarantineDropArguments, environment: &Environment) -> Result<(), Failure> {
    let QuarantineDropArguments { partition, before, .. } = *arguments;
    let bus = if arguments.yes { open(&arguments.config, environment)? } else { look(&arguments.config, environment)? };
    check_partition(&*bus, partition)?;
    let topic = topic_name(Topic::Quarantine);
    let filter = QuarantineFilter { reason: None, topic: None, pipeline: None, partition: Some(partition) };
    let mut records = 0u64;
    each(&*bus, &filter, &mut |item| {
        records += u64::from(item.offset < before);
        if item.offset < before { Reader::Present } else { Reader::Gone }
    })?;
    if arguments.yes {
        bus.trim(&topic, partition, before).map_err(Failure::runtime)?;
        output::line(&format!("deleted {records} records of {topic} partition {partition} before offset {before}"));
    } else {
        output::line(&format!(
            "would delete {records} records of {topic} partition {partition} before offset {before}; --yes does it"
        ));
    }
    Ok(())
}

fn look(config: &ConfigArgument, environment: &Environment) -> Result<Arc<dyn Bus>, Failure> {
    let settings = settings::load_to_look(config, environment)?.config;
    super::refuse_registry(&settings)?;
    super::open_to_read(&settings).map_err(Failure::runtime)
}

fn open(config: &ConfigArgument, environment: &Environment) -> Result<Arc<dyn Bus>, Failure> {
    let settings = settings::load_to_look(config, environment)?.config;
    super::refuse_registry(&settings)?;
    super::open_to_write(&settings).map_err(Failure::runtime)
}

fn check_partition(bus: &dyn Bus, partition: u32) -> Result<u32, Failure> {
    let count = super::partitions_of(bus, &topic_name(Topic::Quarantine))?;
    if partition < count {
        return Ok(count);
    }
    Err(Failure::Usage(format!("the quarantine has no partition {partition}, the last one is {}", count - 1)))
}

/// Hands over every record that the filter lets through, until nobody wants more.
fn each(bus: &dyn Bus, filter: &QuarantineFilter, take: &mut dyn FnMut(Item) -> Reader) -> Result<(), Failure> {
    let schemas = super::schemas_of(bus)?;
    let wanted = match filter.partition {
        Some(partition) => partition..check_partition(bus, partition)?.min(partition + 1),
        None => 0..super::partitions_of(bus, &topic_name(Topic::Quarantine))?,
    };
    for partition in wanted {
        let mut items = items(bus, &schemas, partition)?;
        while let Some(item) = items.next().map_err(Failure::runtime)? {
            if passes(filter, &item) && take(item) == Reader::Gone {
                return Ok(());
            }
        }
    }
    Ok(())
}

fn passes(filter: &QuarantineFilter, item: &Item) -> bool {
    let is = |wanted: &Option<String>, value: &str| wanted.as_ref().is_none_or(|wanted| wanted == value);
    let topic = filter.topic.as_ref().map(|topic| topic.trim_start_matches(PREFIX).to_owned());
    is(&filter.reason, &item.reason) && is(&topic, &item.topic) && is(&filter.pipeline, &item.pipeline)
}

fn find(bus: &dyn Bus, partition: u32, offset: i64) -> Result<Item, Failure> {
    check_partition(bus, partition)?;
    let schemas = super::schemas_of(bus)?;
    let mut items = items(bus, &schemas, partition)?;
    while let Some(item) = items.next().map_err(Failure::runtime)? {
        if item.offset == offset {
            return Ok(item);
        }
    }
    Err(Failure::Usage(format!(
        "the quarantine has no record {partition}:{offset}; `dbintel quarantine list` shows them"
    )))
}

fn items<'a>(bus: &dyn Bus, schemas: &'a Schemas, partition: u32) -> Result<Stream<'a, Item>, Failure> {
    let topic = topic_name(Topic::Quarantine);
    Stream::open(bus, &topic, partition, move |record| Some(item(schemas, partition, record))).map_err(Failure::runtime)
}

fn item(schemas: &Schemas, partition: u32, record: &Record<'_>) -> Item {
    let mut scratch = Vec::new();
    let read: Result<Quarantined<'_>, ReadError> = schemas.read(record.value.unwrap_or_default(), &mut scratch);
    let unreadable = |error: &ReadError| Quarantined {
        topic: "?",
        reason: "unreadable",
        truncated: true,
        ..Quarantined {
            detail: if matches!(error, ReadError::UnknownSchema(_)) { "schema" } else { "bytes" },
            ..Quarantined::default()
        }
    };
    let of = read.unwrap_or_else(|error| unreadable(&error));
    Item {
        partition,
        offset: record.offset,
        quarantined_ms: record.timestamp,
        group: of.group.to_owned(),
        pipeline: of.pipeline.to_owned(),
        topic: of.topic.to_owned(),
        input_offset: of.offset,
        timestamp_at: of.timestamp_at,
        reason: of.reason.to_owned(),
        detail: of.detail.to_owned(),
        key: of.key.map(<[u8]>::to_vec),
        value: of.value.map(<[u8]>::to_vec),
        value_length: of.value_length,
        truncated: of.truncated,
        code_version: of.code_version.to_owned(),
    }
}

fn parse_place(text: &str) -> Result<(u32, i64), Failure> {
    let parts =
        text.split_once(':').and_then(|(partition, offset)| Some((partition.parse().ok()?, offset.parse().ok()?)));
    parts.ok_or_else(|| Failure::Usage(format!("`{text}` is no place: write PARTITION:OFFSET, such as 3:17")))
}

fn send_again(bus: &dyn Bus, items: &[Item]) -> Result<(), Failure> {
    let producer = bus.producer().map_err(Failure::runtime)?;
    for item in items {
        let topic = format!("{PREFIX}{}", item.topic);
        let record = Outgoing {
            topic: &topic,
            partition: item.partition,
            timestamp: item.timestamp_at / 1000,
            key: item.key.as_deref(),
            value: item.value.as_deref(),
            headers: &[],
        };
        while let Err(error) = producer.send(record) {
            match error {
                SendError::Full => std::thread::sleep(FULL_WAIT),
                error => return Err(Failure::runtime(error)),
            }
        }
    }
    producer.flush(FLUSH_TIMEOUT).map_err(Failure::runtime)
}

fn heading() -> String {
    line("PLACE", "TIME", "REASON", "PIPELINE", "INPUT", "BYTES", "DETAIL")
}

fn to_line(item: &Item) -> String {
    line(
        &format!("{}:{}", item.partition, item.offset),
        &rfc3339::format_ms(item.quarantined_ms),
        &item.reason,
        &item.pipeline,
        &format!("{} {}", item.topic, item.input_offset),
        &item.value_length.to_string(),
        &item.detail,
    )
}

fn line(place: &str, time: &str, reason: &str, pipeline: &str, input: &str, bytes: &str, detail: &str) -> String {
    format!("{place:<12} {time:<24} {reason:<11} {pipeline:<16} {input:<26} {bytes:>9}  {detail}")
}

fn to_json(item: &Item) -> String {
    json!({
        "partition": item.partition, "offset": item.offset, "quarantined_at": rfc3339::format_ms(item.quarantined_ms),
        "group": item.group, "pipeline": item.pipeline, "topic": item.topic, "input_offset": item.input_offset,
        "timestamp_us": item.timestamp_at, "reason": item.reason, "detail": item.detail, "value_length": item.value_length,
        "truncated": item.truncated, "code_version": item.code_version,
    })
    .to_string()
}

fn describe(item: &Item, reveal: bool) -> String {
    let bytes = |bytes: &Option<Vec<u8>>| match bytes {
        None => "none".to_owned(),
        Some(bytes) if reveal => format!("{}", bytes.escape_ascii()),
        Some(bytes) => format!("{} bytes (--reveal shows them)", bytes.len()),
    };
    let kept = if item.truncated { ", of which the beginning was kept" } else { "" };
    let lines = [
        ("place", format!("{}:{}", item.partition, item.offset)),
        ("time", rfc3339::format_ms(item.quarantined_ms)),
        ("reason", item.reason.clone()),
        ("detail", item.detail.clone()),
        ("group", item.group.clone()),
        ("pipeline", item.pipeline.clone()),
        ("input", format!("{} partition {} offset {}", item.topic, item.partition, item.input_offset)),
        ("written by", format!("dbintel {}", item.code_version)),
        ("length", format!("{} bytes{kept}", item.value_length)),
        ("key", bytes(&item.key)),
        ("value", bytes(&item.value)),
    ];
    lines.map(|(name, value)| format!("{name:<12}{value}")).join("\n")
}
