//! Holds the commits of one pipeline on one partition against what the topics hold.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use dbintel_bus::{Bus, BusError, Record, topic_name};
use dbintel_schemas::Topic;
use dbintel_schemas::records::LedgerEntry;
use dbintel_schemas::wire::{ReadError, Schemas};

use super::commit::{Commit, Input};
use super::rows::{self, Came, FLOWS};
use crate::stream::Stream;

/// Findings that are kept of one partition; more are counted.
const FINDINGS_MAX: usize = 20;
const DISPOSITIONS: [&str; 4] = ["forwarded", "absorbed", "sampled_out", "quarantined"];

/// What came of checking one pipeline on one partition.
#[derive(Debug, Default)]
pub struct Checked {
    /// Records by disposition, as the ledger counts them.
    pub dispositions: BTreeMap<String, i64>,
    /// Raw records behind the last commit: not processed yet.
    pub open: u64,
    /// First and last commit that was checked.
    pub commits: Option<(i64, i64)>,
    /// Event time of the first and the last commit in µs.
    pub times: Option<(i64, i64)>,
    /// Commits of which not everything could be held against its topic, because retention deleted it.
    pub partly: i64,
    /// What does not balance, in words.
    pub findings: Vec<String>,
    /// Findings that are not kept.
    pub more: u64,
}

impl Checked {
    fn find(&mut self, finding: String) {
        if self.findings.len() < FINDINGS_MAX {
            self.findings.push(finding);
        } else {
            self.more += 1;
        }
    }

    /// Nothing was found.
    pub fn balances(&self) -> bool {
        self.findings.is_empty()
    }

    /// Raw records with a disposition.
    pub fn records(&self) -> i64 {
        self.dispositions.values().sum()
    }
}

/// Group and pipeline of all entries of a partition.
pub fn pipelines(bus: &dyn Bus, schemas: &Rc<Schemas>, partition: u32) -> Result<BTreeSet<(String, String)>, BusError> {
    let mut found = BTreeSet::new();
    let mut entries = Stream::open(bus, &topic_name(Topic::Ledger), partition, |record| {
        let mut scratch = Vec::new();
        let entry: LedgerEntry<'_> = schemas.read(record.value.unwrap_or_default(), &mut scratch).ok()?;
        Some((entry.group.to_owned(), entry.pipeline.to_owned()))
    })?;
    while let Some(entry) = entries.next()? {
        found.insert(entry);
    }
    Ok(found)
}

/// Checks one pipeline on one partition. `progress` is told of every commit.
pub fn check(
    bus: &dyn Bus,
    schemas: &Rc<Schemas>,
    (group, pipeline): (&str, &str),
    partition: u32,
    progress: &mut dyn FnMut(&Checked),
) -> Result<Checked, BusError> {
    let mut checked = Checked::default();
    // The ledger first: what is written while we read is behind its end.
    let mut entries =
        Stream::open(bus, &topic_name(Topic::Ledger), partition, |record| entry(schemas, record, group, pipeline))?;
    let is_cut = entries.log_start > 0;
    let mut flows = Vec::new();
    for (input, output) in FLOWS {
        flows.push(Flow::open(bus, schemas, input, output, (group, pipeline), partition)?);
    }
    while let Some(entry) = entries.next()? {
        let commit = match entry {
            Ok(commit) => commit,
            Err(finding) => {
                checked.find(finding);
                continue;
            }
        };
        follow(&mut checked, &commit, is_cut);
        let mut is_whole = true;
        for flow in &mut flows {
            is_whole &= flow.check(&commit, is_cut, &mut checked)?;
        }
        checked.partly += i64::from(!is_whole);
        progress(&checked);
    }
    for flow in &mut flows {
        flow.end(&mut checked)?;
    }
    Ok(checked)
}

type Entry = Result<Commit, String>;

fn entry(schemas: &Schemas, record: &Record<'_>, group: &str, pipeline: &str) -> Option<Entry> {
    let mut scratch = Vec::new();
    let read: Result<LedgerEntry<'_>, ReadError> = schemas.read(record.value.unwrap_or_default(), &mut scratch);
    let offset = record.offset;
    match read {
        Err(error) => Some(Err(format!("ledger offset {offset} cannot be read: {error}"))),
        Ok(entry) if entry.group == group && entry.pipeline == pipeline => {
            Some(Commit::of(&entry).map_err(|error| format!("ledger offset {offset}: {error}")))
        }
        Ok(_) => None,
    }
}

/// Commits of a task are dense; the first one is 1, unless the ledger was cut.
fn follow(checked: &mut Checked, commit: &Commit, is_cut: bool) {
    let before_first = if is_cut { commit.seq - 1 } else { 0 };
    let (first, last) = checked.commits.unwrap_or((commit.seq, before_first));
    if commit.seq != last + 1 {
        checked.find(format!("commit {} follows commit {last}", commit.seq));
    }
    checked.commits = Some((first, commit.seq));
    checked.times = Some((checked.times.map_or(commit.task_time, |(first, _)| first), commit.task_time));
}

/// One input, with what comes of it.
struct Flow<'a> {
    input: Topic,
    output: Option<Topic>,
    raw: Stream<'a, i64>,
    outputs: Option<Stream<'a, Came>>,
    refused: Stream<'a, Came>,
    /// Offset after the last one with a disposition; none before the first commit.
    next_offset: Option<i64>,
}

impl<'a> Flow<'a> {
    fn open(
        bus: &dyn Bus,
        schemas: &Rc<Schemas>,
        input: Topic,
        output: Option<Topic>,
        (group, pipeline): (&'a str, &'a str),
        partition: u32,
    ) -> Result<Self, BusError> {
        let outputs = output.map(|topic| rows::outputs(bus, schemas, topic, pipeline, partition)).transpose()?;
        Ok(Self {
            input,
            output,
            refused: rows::refused(bus, schemas, input, (group, pipeline), partition)?,
            outputs,
            raw: Stream::open(bus, &topic_name(input), partition, |record| Some(record.offset))?,
            next_offset: None,
        })
    }

    /// Checks what a commit says of this input; whether everything of it is still there.
    fn check(&mut self, commit: &Commit, ledger_is_cut: bool, checked: &mut Checked) -> Result<bool, BusError> {
        let Some(input) = commit.inputs.iter().find(|input| input.topic == self.input.name()) else { return Ok(true) };
        let place = format!("commit {}, {}", commit.seq, input.topic);
        for line in &input.lines {
            *checked.dispositions.entry(line.disposition.clone()).or_default() += line.offsets.len() as i64;
            if line.offsets.len() as i64 != line.records || !DISPOSITIONS.contains(&&*line.disposition) {
                checked.find(format!(
                    "{place}: {} {} are {} offsets",
                    line.records,
                    line.disposition,
                    line.offsets.len()
                ));
            }
        }
        // Of what stands before this commit nobody knows any more.
        let forget_before = (ledger_is_cut && self.next_offset.is_none()).then_some(input.first_offset);
        if let Some(first_offset) = forget_before {
            while self.raw.next_if(|offset| *offset < first_offset)?.is_some() {}
        }
        let mut is_whole = self.check_raw(input, &place, checked)?;
        self.next_offset = Some(input.next_offset);
        if let (Some(outputs), Some(output)) = (&mut self.outputs, self.output) {
            let (_, records, hash) =
                commit.outputs.iter().find(|(topic, _, _)| topic == output.name()).cloned().unwrap_or_default();
            let what = What { disposition: "forwarded", topic: output, counted: Some((records, hash)), forget_before };
            is_whole &= check_came(outputs, input, &what, &place, checked)?;
        }
        let what = What { disposition: "quarantined", topic: Topic::Quarantine, counted: None, forget_before };
        Ok(is_whole & check_came(&mut self.refused, input, &what, &place, checked)?)
    }

    /// Each raw record has exactly one disposition, and there are no others.
    fn check_raw(&mut self, input: &Input, place: &str, checked: &mut Checked) -> Result<bool, BusError> {
        let mut records = 0;
        while let Some(offset) = self.raw.next_if(|offset| *offset < input.next_offset)? {
            let dispositions = input.lines.iter().filter(|line| line.offsets.contains(offset)).count();
            if dispositions != 1 {
                checked.find(format!("{place}: offset {offset} has {dispositions} dispositions instead of one"));
            }
            records += 1;
        }
        if self.raw.log_start > input.first_offset {
            return Ok(false);
        }
        if records != input.records {
            checked.find(format!("{place}: {} records are booked, the topic has {records}", input.records));
        }
        Ok(true)
    }

    /// What follows the last commit.
    fn end(&mut self, checked: &mut Checked) -> Result<(), BusError> {
        while self.raw.next()?.is_some() {
            checked.open += 1;
        }
        let next_offset = self.next_offset.unwrap_or(0);
        for stream in self.outputs.iter_mut().chain([&mut self.refused]) {
            // Those with a later origin are of commits that were made while we read.
            while let Some(came) = stream.next()? {
                if came.origin.is_none_or(|origin| origin < next_offset) {
                    checked.find(format!("{}: offset {} has no commit", self.input.name(), came.offset));
                }
            }
        }
        Ok(())
    }
}

/// What has to come of rows with a disposition.
struct What {
    disposition: &'static str,
    topic: Topic,
    /// Number and summed hash, as the ledger has them.
    counted: Option<(i64, u128)>,
    /// Earlier origins are of commits that the ledger does not have any more.
    forget_before: Option<i64>,
}

/// Each offset with the disposition has exactly one record, with the bytes that were counted; whether all could be checked.
fn check_came(
    stream: &mut Stream<'_, Came>,
    input: &Input,
    what: &What,
    place: &str,
    checked: &mut Checked,
) -> Result<bool, BusError> {
    let What { disposition, topic, counted, forget_before } = what;
    let is_cut = stream.log_start > 0
        && stream.is_untouched
        && stream.peek()?.is_none_or(|first| first.origin.is_none_or(|origin| origin > input.first_offset));
    let mut seen = BTreeSet::new();
    let mut hash = 0u128;
    while let Some(came) = stream.next_if(|came| came.origin.is_none_or(|origin| origin < input.next_offset))? {
        let Came { origin, offset, .. } = came;
        match origin {
            None => checked.find(format!("{place}: {} offset {offset} cannot be read", topic.name())),
            Some(origin) if forget_before.is_some_and(|first| origin < first) => {}
            Some(origin) if !input.has(disposition, origin) => {
                let topic = topic.name();
                checked.find(format!(
                    "{place}: {topic} offset {offset} is of offset {origin}, which was not {disposition} here"
                ));
            }
            Some(origin) if !seen.insert(origin) => {
                checked.find(format!("{place}: {} offset {offset} is a second one of offset {origin}", topic.name()));
            }
            Some(_) => hash = hash.wrapping_add(came.hash),
        }
    }
    if is_cut {
        return Ok(false);
    }
    if let Some(missing) = input.with(disposition).find(|offset| !seen.contains(offset)) {
        checked.find(format!("{place}: offset {missing} was {disposition}, and is not in {}", topic.name()));
    } else if counted.is_some_and(|counted| counted != (seen.len() as i64, hash)) {
        checked.find(format!("{place}: {} does not hold what was written", topic.name()));
    }
    Ok(true)
}
