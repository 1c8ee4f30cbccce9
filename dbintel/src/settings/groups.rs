//! Which consumer groups carry the processors of the pipelines.

use dbintel_bus::topic_name;
use dbintel_config::Section;
use dbintel_processors::engine::{Pipeline, group};
use dbintel_schemas::Topic;
use dbintel_schemas::topics::{self, PREFIX};

/// Group of all processors, if they are in one.
const ONE: &str = "dbintel.enrich";

/// Groups that read raw topics, of every layout.
pub const FIRST: [&str; 2] = [ONE, "dbintel.delta"];

/// How processors are put into groups.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// One group: a row goes from processor to processor in memory.
    Compact,
    /// A group for each kind of processor: a row goes from group to group through a topic.
    Split,
}

/// A group of processors.
#[derive(Clone)]
pub struct ProcessorGroup {
    /// Full name.
    pub name: String,
    /// What it reads, in the order of rank.
    pub inputs: Vec<Topic>,
    /// Its part of each pipeline.
    pub pipelines: Vec<Pipeline>,
}

impl ProcessorGroup {
    /// Full name of its changelog.
    pub fn changelog(&self) -> String {
        topics::changelog(&self.name)
    }

    /// It reads what pollers write.
    pub fn is_first(&self) -> bool {
        self.inputs == group::INPUTS
    }

    /// Full names of what it reads.
    pub fn input_names(&self) -> Vec<String> {
        self.inputs.iter().map(|topic| topic_name(*topic)).collect()
    }
}

/// The groups of a layout. What a layout cannot do is a problem of the file.
pub fn of(layout: Layout, pipelines: &[Pipeline], root: &Section) -> Vec<ProcessorGroup> {
    match layout {
        Layout::Compact => {
            let (inputs, pipelines) = (group::INPUTS.to_vec(), pipelines.to_vec());
            vec![ProcessorGroup { name: ONE.to_owned(), inputs, pipelines }]
        }
        Layout::Split => {
            let mut groups = Vec::new();
            for pipeline in pipelines {
                if let Err(kind) = split(pipeline, &mut groups) {
                    let message = format!(
                        "`{}` has `{kind}` in two places: with `service: layout: split` a kind of processor stands in one",
                        pipeline.name
                    );
                    root.problem("pipelines", message);
                }
            }
            groups
        }
    }
}

/// Adds each part of a pipeline to the group of its kind of processor; gives a kind that stands in two places.
fn split(pipeline: &Pipeline, groups: &mut Vec<ProcessorGroup>) -> Result<(), String> {
    let stages: Vec<_> = pipeline.processors.chunk_by(|one, other| kind(&one.0) == kind(&other.0)).collect();
    for (place, processors) in stages.iter().enumerate() {
        let of = kind(&processors[0].0);
        if stages[..place].iter().any(|before| kind(&before[0].0) == of) {
            return Err(of.to_owned());
        }
        let (name, inputs) = (format!("{PREFIX}{of}"), inputs(of));
        let place_in = groups.iter().position(|group| group.name == name).unwrap_or_else(|| {
            groups.push(ProcessorGroup { name, inputs, pipelines: Vec::new() });
            groups.len() - 1
        });
        groups[place_in].pipelines.push(Pipeline {
            processors: processors.to_vec(),
            next: stages.get(place + 1).and_then(|next| Topic::staged_for(kind(&next[0].0))),
            ..pipeline.clone()
        });
    }
    Ok(())
}

/// What the group of a kind reads: the first one what pollers write.
fn inputs(kind: &str) -> Vec<Topic> {
    Topic::staged_for(kind).map_or_else(|| group::INPUTS.to_vec(), |topic| vec![topic])
}

/// `adaptive_sampler/slow` is of the kind `adaptive_sampler`.
fn kind(processor: &str) -> &str {
    processor.split('/').next().unwrap_or(processor)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use dbintel_processors::delta::Delta;
    use dbintel_processors::engine::ProcessorFactory;

    use super::*;

    fn pipeline(name: &str, processors: &[&str]) -> Pipeline {
        let factory: ProcessorFactory = Arc::new(|| Box::new(Delta::new()));
        let processors = processors.iter().map(|name| ((*name).to_owned(), Arc::clone(&factory))).collect();
        Pipeline { name: name.into(), pollers: vec!["postgresql".into()], processors, next: None }
    }

    #[test]
    fn each_kind_has_a_group_and_each_pipeline_goes_through_those_that_it_needs() {
        let mut groups = Vec::new();
        split(&pipeline("a", &["delta", "text", "adaptive_sampler/one", "adaptive_sampler/two"]), &mut groups).unwrap();
        split(&pipeline("b", &["delta", "adaptive_sampler"]), &mut groups).unwrap();
        let shown: Vec<String> = groups
            .iter()
            .flat_map(|group| group.pipelines.iter().map(move |pipeline| (group, pipeline)))
            .map(|(group, Pipeline { name, processors, next, .. })| {
                let processors: Vec<&str> = processors.iter().map(|(name, _)| &**name).collect();
                format!("{} {} {name} {processors:?} {next:?}", group.name, group.inputs.len())
            })
            .collect();
        assert_eq!(
            shown,
            [
                "dbintel.delta 6 a [\"delta\"] Some(StagedText)",
                "dbintel.delta 6 b [\"delta\"] Some(StagedAdaptiveSampler)",
                "dbintel.text 1 a [\"text\"] Some(StagedAdaptiveSampler)",
                "dbintel.adaptive_sampler 1 a [\"adaptive_sampler/one\", \"adaptive_sampler/two\"] None",
                "dbintel.adaptive_sampler 1 b [\"adaptive_sampler\"] None",
            ]
        );
    }

    #[test]
    fn what_reads_raw_topics_is_known_of_both_layouts() {
        let mut groups = Vec::new();
        split(&pipeline("a", &["delta", "text"]), &mut groups).unwrap();
        groups.push(ProcessorGroup { name: ONE.into(), inputs: group::INPUTS.to_vec(), pipelines: Vec::new() });
        let first: Vec<&str> = groups.iter().filter(|group| group.is_first()).map(|group| &*group.name).collect();
        assert_eq!(first, ["dbintel.delta", ONE]);
        assert!(first.iter().all(|name| FIRST.contains(name)));
    }

    #[test]
    fn a_kind_in_two_places_is_named() {
        let twice = pipeline("a", &["delta", "adaptive_sampler/one", "text", "adaptive_sampler/two"]);
        assert_eq!(split(&twice, &mut Vec::new()), Err("adaptive_sampler".to_owned()));
    }

    #[test]
    fn a_topic_leads_to_every_kind_that_may_stand_behind_delta() {
        for kind in super::super::processors::KNOWN.into_iter().chain(["text"]) {
            assert!(Topic::staged_for(kind).is_some(), "{kind}");
        }
    }
}
