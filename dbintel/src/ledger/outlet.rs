//! One way that rows of an input take: to the outputs of a kind, or to quarantine.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use dbintel_bus::{Bus, BusError};
use dbintel_schemas::Topic;
use dbintel_schemas::wire::Schemas;

use super::check::{Booked, Checked};
use super::commit::Input;
use super::rows::{self, Came};
use crate::stream::Stream;

/// What came out of one input, in the order of its topic.
pub struct Outlet<'a> {
    /// Where it came out.
    pub topic: Topic,
    came: Stream<'a, Came>,
    inputs: Inputs<'a>,
}

/// How the origin of what came out tells the offset of the input.
enum Inputs<'a> {
    /// It is the offset.
    Same,
    /// The input is a topic between groups: its rows have an origin too.
    Staged(Staged<'a>),
}

struct Staged<'a> {
    /// Origin and offset.
    rows: Stream<'a, (i64, i64)>,
    /// Those of the commit that is being checked, by origin.
    current: BTreeMap<i64, i64>,
    /// The origin of something was found: from then on each is.
    is_known: bool,
}

/// Where the input of something stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// At this offset.
    At(i64),
    /// In a later commit.
    Later,
    /// In none.
    Nowhere,
    /// In one that cannot be checked any more.
    Forgotten,
}

/// What was taken for a commit.
#[derive(Debug, Default)]
pub struct Taken {
    /// Offsets of the input that something came of.
    pub offsets: BTreeSet<i64>,
    /// Summed hash.
    pub hash: u128,
    /// Nothing of it has been deleted.
    pub is_whole: bool,
}

impl Taken {
    /// An offset with a disposition that nothing came of.
    pub fn missing(&self, input: &Input, disposition: &str) -> Option<i64> {
        input.with(disposition).find(|offset| !self.offsets.contains(offset))
    }
}

impl<'a> Outlet<'a> {
    /// What a pipeline wrote to a topic of rows of a raw topic, which came by a topic between groups or not.
    pub fn open(
        bus: &dyn Bus,
        schemas: &Rc<Schemas>,
        (raw, staged, topic): (Topic, Option<Topic>, Topic),
        pipeline: &'a str,
        partition: u32,
    ) -> Result<Self, BusError> {
        let inputs = match staged {
            None => Inputs::Same,
            Some(staged) => {
                let rows = rows::staged(bus, schemas, (raw, staged), pipeline, partition)?;
                Inputs::Staged(Staged { rows, current: BTreeMap::new(), is_known: false })
            }
        };
        Ok(Self { topic, came: rows::outputs(bus, schemas, (raw, topic), pipeline, partition)?, inputs })
    }

    /// What was refused of an input.
    pub fn refused(
        bus: &dyn Bus,
        schemas: &Rc<Schemas>,
        input: Topic,
        booked: &'a Booked,
        partition: u32,
    ) -> Result<Self, BusError> {
        let came = rows::refused(bus, schemas, input, (&booked.group, &booked.pipeline), partition)?;
        Ok(Self { topic: Topic::Quarantine, came, inputs: Inputs::Same })
    }

    /// Takes what came of a commit: each of an offset with the disposition, and no two of one.
    pub fn take(
        &mut self,
        input: &Input,
        disposition: &str,
        is_first: bool,
        place: &str,
        checked: &mut Checked,
    ) -> Result<Taken, BusError> {
        let inputs_are_whole = self.inputs.load(input)?;
        let mut taken = Taken { is_whole: inputs_are_whole && !self.is_cut(input, is_first)?, ..Taken::default() };
        while let Some(came) = self.came.peek()?.copied() {
            let found = came.origin.map_or(Place::Nowhere, |origin| self.inputs.place(origin, input, is_first));
            if found == Place::Later {
                break;
            }
            self.came.next()?;
            let (topic, offset) = (self.topic.name(), came.offset);
            match (found, came.origin) {
                (_, None) => checked.find(format!("{place}: {topic} offset {offset} cannot be read")),
                (Place::At(at), _) if input.has(disposition, at) => {
                    if taken.offsets.insert(at) {
                        taken.hash = taken.hash.wrapping_add(came.hash);
                    } else {
                        checked.find(format!("{place}: {topic} offset {offset} is a second one of offset {at}"));
                    }
                }
                (Place::At(at), _) => checked.find(format!(
                    "{place}: {topic} offset {offset} is of offset {at}, which was not {disposition} here"
                )),
                (Place::Nowhere, Some(origin)) => checked.find(format!(
                    "{place}: {topic} offset {offset} is of raw offset {origin}, which did not come here"
                )),
                (Place::Forgotten | Place::Later, _) => {}
            }
        }
        Ok(taken)
    }

    /// What would come first may have been deleted.
    fn is_cut(&mut self, input: &Input, is_first: bool) -> Result<bool, BusError> {
        if self.came.log_start == 0 || !self.came.is_untouched {
            return Ok(false);
        }
        let Some(first) = self.came.peek()?.copied() else { return Ok(true) };
        let place = first.origin.map_or(Place::Nowhere, |origin| self.inputs.place(origin, input, is_first));
        Ok(!matches!(place, Place::At(offset) if offset <= input.first_offset) && place != Place::Forgotten)
    }

    /// Offsets of what is left and belongs to no commit. What has a later origin is of commits that were made while we read.
    pub fn rest_before(&mut self, next_offset: i64) -> Result<Vec<i64>, BusError> {
        let mut rest = Vec::new();
        // Of a topic between groups all up to the last origin was taken.
        let limit = if matches!(self.inputs, Inputs::Same) { next_offset } else { i64::MIN };
        while let Some(came) = self.came.next()? {
            if came.origin.is_none_or(|origin| origin < limit) {
                rest.push(came.offset);
            }
        }
        Ok(rest)
    }
}

impl Inputs<'_> {
    /// Gets the inputs of a commit; whether all of them are still there.
    fn load(&mut self, input: &Input) -> Result<bool, BusError> {
        let Inputs::Staged(staged) = self else { return Ok(true) };
        staged.current.clear();
        while let Some((origin, offset)) = staged.rows.next_if(|(_, offset)| *offset < input.next_offset)? {
            if offset >= input.first_offset {
                staged.current.insert(origin, offset);
            }
        }
        Ok(staged.rows.log_start <= input.first_offset)
    }

    fn place(&mut self, origin: i64, input: &Input, is_first: bool) -> Place {
        match self {
            Inputs::Same if origin >= input.next_offset => Place::Later,
            Inputs::Same if is_first && origin < input.first_offset => Place::Forgotten,
            Inputs::Same => Place::At(origin),
            Inputs::Staged(staged) => match (staged.current.get(&origin), staged.current.last_key_value()) {
                (Some(offset), _) => {
                    staged.is_known = true;
                    Place::At(*offset)
                }
                (None, Some((last, _))) if origin < *last => {
                    let may_be_old = is_first || staged.rows.log_start > 0;
                    if may_be_old && !staged.is_known { Place::Forgotten } else { Place::Nowhere }
                }
                _ => Place::Later,
            },
        }
    }
}
