//! `dbintel tap`: the records of a topic as JSON lines, from a place on, until it is told to stop.

use std::ops::ControlFlow;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use dbintel_bus::registry::Registry;
use dbintel_bus::{Bus, BusError, Isolation, Position, ReaderSpec, Record, Start};
use dbintel_config::{Environment, parse_duration};
use dbintel_schemas::topics::PREFIX;

use crate::cli::TapArguments;
use crate::clock;
use crate::failure::Failure;
use crate::output::{self, Reader};
use crate::settings;
use crate::signals;
use crate::tap::filter::Filter;
use crate::tap::line::Lines;
use crate::tap::lookup::Lookup;
use crate::tap::start;
use crate::tap::writers::{ReadError, Writers};

/// Longest wait for a record before the time-out is looked at.
const POLL_TIMEOUT: Duration = Duration::from_millis(200);
/// Records that are taken at a time.
const POLL_RECORDS: usize = 500;

/// Prints records.
pub fn run(arguments: &TapArguments, environment: &Environment) -> Result<(), Failure> {
    let start = start::parse(&arguments.from, clock::wall_ms()).map_err(Failure::Usage)?;
    let timeout = arguments.timeout.as_deref().map(read_timeout).transpose()?;
    let filters = arguments.filter.iter().map(|filter| Filter::parse(filter)).collect::<Result<Vec<_>, _>>();
    let settings = settings::load_to_look(&arguments.config, environment)?.config;
    let asked = signals::asked().map_err(Failure::runtime)?;
    let bus = super::open_to_read(&settings).map_err(Failure::runtime)?;
    let topic = full_name(&arguments.topic);
    let partitions = positions(&*bus, &topic, arguments.partition, start)?;
    let mut reader =
        bus.reader(&ReaderSpec { partitions, isolation: Isolation::Committed }).map_err(Failure::runtime)?;
    let lines = Lines::new(&topic, filters.map_err(Failure::Usage)?, arguments.reveal);
    let deadline = timeout.map(|timeout| clock::now() + timeout);
    let registry = settings.bus.registry.as_ref().map(Registry::new).transpose().map_err(Failure::runtime)?;
    let lookup = Lookup::new(&*bus, registry);
    let mut tap = Tap { lookup, lines, writers: Writers::ours(), left: arguments.count.unwrap_or(u64::MAX) };
    while tap.left > 0 && !asked.load(Ordering::Relaxed) && deadline.is_none_or(|deadline| clock::now() < deadline) {
        let mut flow = ControlFlow::Continue(());
        reader
            .read(until(deadline), POLL_RECORDS, &mut |record: Record<'_>| {
                if flow.is_continue() {
                    flow = tap.show(&record);
                }
            })
            .map_err(Failure::runtime)?;
        if flow.is_break() {
            break;
        }
    }
    Ok(())
}

struct Tap<'b> {
    lookup: Lookup<'b>,
    lines: Lines,
    writers: Writers,
    /// Records still to be shown.
    left: u64,
}

impl Tap<'_> {
    /// Shows a record, unless a filter is against it.
    fn show(&mut self, record: &Record<'_>) -> ControlFlow<()> {
        let Some(line) = self.line(record) else { return ControlFlow::Continue(()) };
        self.left -= 1;
        match output::line(&line) {
            Reader::Present if self.left > 0 => ControlFlow::Continue(()),
            _ => ControlFlow::Break(()),
        }
    }

    /// The line of a record. A schema that is not known is looked for.
    fn line(&mut self, record: &Record<'_>) -> Option<String> {
        match self.lines.line(record, &self.writers, false) {
            Ok(line) => line,
            Err(ReadError::UnknownSchema(writer)) => {
                if let Err(error) = self.lookup.look(writer, &mut self.writers, clock::now()) {
                    output::complain(&format!("dbintel: could not find the schema with {writer}: {error}"));
                }
                self.lines.line(record, &self.writers, true).ok().flatten()
            }
            Err(_) => None,
        }
    }
}

fn read_timeout(text: &str) -> Result<Duration, Failure> {
    parse_duration(text).ok_or_else(|| Failure::Usage(format!("`{text}` is no duration: write 10s or 5m")))
}

/// How long to wait for the next record.
fn until(deadline: Option<Instant>) -> Duration {
    let left = deadline.map(|deadline| deadline.saturating_duration_since(clock::now()));
    left.map_or(POLL_TIMEOUT, |left| left.min(POLL_TIMEOUT))
}

/// The name on the log: the prefix may be left out.
fn full_name(topic: &str) -> String {
    if topic.starts_with(PREFIX) { topic.to_owned() } else { format!("{PREFIX}{topic}") }
}

fn positions(bus: &dyn Bus, topic: &str, only: Option<u32>, start: Start) -> Result<Vec<Position>, Failure> {
    let described = bus.describe_topics(topic).map_err(Failure::runtime)?;
    let Some(description) = described.iter().find(|description| description.name == topic) else {
        return Err(Failure::runtime(unknown_topic(bus, topic)?));
    };
    if only.is_some_and(|partition| partition >= description.partitions) {
        let last = description.partitions - 1;
        return Err(Failure::Usage(format!("{topic} has no such partition, the last one is {last}")));
    }
    let wanted = (0..description.partitions).filter(|partition| only.is_none_or(|only| only == *partition));
    Ok(wanted.map(|partition| Position { topic: topic.to_owned(), partition, start }).collect())
}

fn unknown_topic(bus: &dyn Bus, topic: &str) -> Result<BusError, Failure> {
    let described = bus.describe_topics(PREFIX).map_err(Failure::runtime)?;
    let known: Vec<&str> = described.iter().map(|topic| topic.name.trim_start_matches(PREFIX)).collect();
    let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
    Ok(BusError::Fatal {
        operation: format!("read {topic}"),
        message: format!("there is no such topic; there are: {known}"),
    })
}
