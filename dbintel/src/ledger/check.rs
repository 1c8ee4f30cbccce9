//! Holds the commits of one pipeline on one partition against what the topics hold.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use dbintel_bus::{Bus, BusError, Record, topic_name};
use dbintel_schemas::Topic;
use dbintel_schemas::records::LedgerEntry;
use dbintel_schemas::topics::PREFIX;
use dbintel_schemas::wire::{ReadError, Schemas};

use super::commit::{Commit, Input};
use super::outlet::{Outlet, Taken};
use super::rows::FLOWS;
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
    /// Takes down what does not balance.
    pub(super) fn find(&mut self, finding: String) {
        if self.findings.len() < FINDINGS_MAX {
            self.findings.push(finding);
        } else {
            self.more += 1;
        }
    }

    fn findings_made(&self) -> u64 {
        self.findings.len() as u64 + self.more
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

/// A pipeline of a group, as its entries on a partition show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Booked {
    /// Consumer group.
    pub group: String,
    /// Pipeline.
    pub pipeline: String,
    /// The topic to the next group, if its rows go on there.
    pub next: Option<Topic>,
}

/// Groups and pipelines of all entries of a partition.
pub fn pipelines(bus: &dyn Bus, schemas: &Rc<Schemas>, partition: u32) -> Result<Vec<Booked>, BusError> {
    let mut found: BTreeMap<(String, String), Option<Topic>> = BTreeMap::new();
    let mut entries = Stream::open(bus, &topic_name(Topic::Ledger), partition, |record| {
        let mut scratch = Vec::new();
        let entry: LedgerEntry<'_> = schemas.read(record.value.unwrap_or_default(), &mut scratch).ok()?;
        let next = entry.outputs.iter().filter_map(|output| Topic::parse(output.topic)).find(|of| of.stage().is_some());
        Some(((entry.group.to_owned(), entry.pipeline.to_owned()), next))
    })?;
    while let Some((of, next)) = entries.next()? {
        let known = found.entry(of).or_default();
        *known = next.or(*known);
    }
    Ok(found.into_iter().map(|((group, pipeline), next)| Booked { group, pipeline, next }).collect())
}

/// Checks one pipeline on one partition. `progress` is told of every commit.
pub fn check(
    bus: &dyn Bus,
    schemas: &Rc<Schemas>,
    booked: &Booked,
    partition: u32,
    progress: &mut dyn FnMut(&Checked),
) -> Result<Checked, BusError> {
    let Booked { group, pipeline, .. } = booked;
    let mut checked = Checked::default();
    // The ledger first: what is written while we read is behind its end.
    let mut entries =
        Stream::open(bus, &topic_name(Topic::Ledger), partition, |record| entry(schemas, record, group, pipeline))?;
    let is_cut = entries.log_start > 0;
    let mut flows = Flow::all(bus, schemas, booked, partition)?;
    while let Some(entry) = entries.next()? {
        let commit = match entry {
            Ok(commit) => commit,
            Err(finding) => {
                checked.find(finding);
                continue;
            }
        };
        follow(&mut checked, &commit, is_cut);
        let (findings, mut counted) = (checked.findings_made(), Counted::default());
        let mut is_whole = true;
        for flow in &mut flows {
            is_whole &= flow.check(&commit, is_cut, &mut counted, &mut checked)?;
        }
        if is_whole && checked.findings_made() == findings {
            compare(&commit, &counted, &mut checked);
        }
        checked.partly += i64::from(!is_whole);
        progress(&checked);
    }
    for flow in &mut flows {
        flow.end(&mut checked)?;
    }
    Ok(checked)
}

/// Records of each output topic, and their summed hash.
type Counted = BTreeMap<Topic, (i64, u128)>;

/// Each output topic holds what the commit counted.
fn compare(commit: &Commit, counted: &Counted, checked: &mut Checked) {
    let booked: Counted = commit
        .outputs
        .iter()
        .filter_map(|(topic, records, hash)| Some((Topic::parse(topic)?, (*records, *hash))))
        .collect();
    for topic in booked.keys().chain(counted.keys().filter(|topic| !booked.contains_key(topic))) {
        if booked.get(topic) != counted.get(topic) {
            checked.find(format!("commit {}: {} does not hold what was written", commit.seq, topic.name()));
        }
    }
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
    raw: Stream<'a, i64>,
    outlets: Vec<Outlet<'a>>,
    refused: Outlet<'a>,
    /// Offset after the last one with a disposition; none before the first commit.
    next_offset: Option<i64>,
}

impl<'a> Flow<'a> {
    /// The inputs of a group. Raw topics, unless it is a group behind another one.
    fn all(bus: &dyn Bus, schemas: &Rc<Schemas>, booked: &'a Booked, partition: u32) -> Result<Vec<Self>, BusError> {
        let staged = booked.group.strip_prefix(PREFIX).and_then(Topic::staged_for);
        let mut flows: Vec<Self> = Vec::new();
        for (raw, enriched) in FLOWS {
            let input = staged.unwrap_or(raw);
            if flows.last().is_none_or(|flow| flow.input != input) {
                flows.push(Flow {
                    input,
                    raw: Stream::open(bus, &topic_name(input), partition, |record| Some(record.offset))?,
                    outlets: Vec::new(),
                    refused: Outlet::refused(bus, schemas, input, booked, partition)?,
                    next_offset: None,
                });
            }
            if let (Some(flow), Some(output)) = (flows.last_mut(), booked.next.or(enriched)) {
                flow.outlets.push(Outlet::open(bus, schemas, (raw, staged, output), &booked.pipeline, partition)?);
            }
        }
        Ok(flows)
    }

    /// Checks what a commit says of this input; whether everything of it is still there.
    fn check(
        &mut self,
        commit: &Commit,
        ledger_is_cut: bool,
        counted: &mut Counted,
        checked: &mut Checked,
    ) -> Result<bool, BusError> {
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
        let is_first = ledger_is_cut && self.next_offset.is_none();
        while is_first && self.raw.next_if(|offset| *offset < input.first_offset)?.is_some() {}
        let mut is_whole = self.check_raw(input, &place, checked)?;
        self.next_offset = Some(input.next_offset);
        is_whole &= self.check_outputs(input, is_first, &place, counted, checked)?;
        let refused = self.refused.take(input, "quarantined", is_first, &place, checked)?;
        if let (true, Some(missing)) = (refused.is_whole, refused.missing(input, "quarantined")) {
            checked.find(format!("{place}: offset {missing} was quarantined, and is not in quarantine"));
        }
        Ok(is_whole & refused.is_whole)
    }

    /// Each offset that was forwarded has exactly one output.
    fn check_outputs(
        &mut self,
        input: &Input,
        is_first: bool,
        place: &str,
        counted: &mut Counted,
        checked: &mut Checked,
    ) -> Result<bool, BusError> {
        let mut all = Taken { is_whole: true, ..Taken::default() };
        for outlet in &mut self.outlets {
            let taken = outlet.take(input, "forwarded", is_first, place, checked)?;
            if !taken.offsets.is_empty() {
                let sum = counted.entry(outlet.topic).or_default();
                *sum = (sum.0 + taken.offsets.len() as i64, sum.1.wrapping_add(taken.hash));
            }
            all.is_whole &= taken.is_whole;
            all.offsets.extend(taken.offsets);
        }
        if let (true, Some(missing)) = (all.is_whole, all.missing(input, "forwarded")) {
            let outputs: BTreeSet<&str> = self.outlets.iter().map(|outlet| outlet.topic.name()).collect();
            let outputs = outputs.into_iter().collect::<Vec<_>>().join(" or ");
            checked.find(format!("{place}: offset {missing} was forwarded, and is not in {outputs}"));
        }
        Ok(all.is_whole)
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
        for outlet in self.outlets.iter_mut().chain([&mut self.refused]) {
            for offset in outlet.rest_before(next_offset)? {
                checked.find(format!("{}: {} offset {offset} has no commit", self.input.name(), outlet.topic.name()));
            }
        }
        Ok(())
    }
}
