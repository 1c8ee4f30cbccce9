//! What goes wrong, and when.

/// A request to the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request<'a> {
    /// What is asked for.
    pub step: Step,
    /// Topic that it is about; empty if it is about none or several.
    pub topic: &'a str,
}

/// What a request asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Step {
    /// To join a group.
    Join,
    /// To fetch, and to hear of the group.
    Poll,
    /// To be told the committed positions.
    Committed,
    /// To be told the ends of a partition.
    Offsets,
    /// To read outside of a group.
    Read,
    /// To begin to fetch what was assigned.
    Start,
    /// To add a record to the transaction.
    Send,
    /// To add the input positions to the transaction.
    SendPositions,
    /// To end the transaction with a commit.
    Commit,
    /// To end the transaction with an abort.
    Abort,
    /// To delete the beginning of a partition.
    Trim,
    /// To give the partitions back.
    Release,
    /// To leave the group.
    Close,
}

/// What becomes of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Fate {
    /// It is done, and answered.
    Done,
    /// It never arrives, and who asked learns that.
    Refused,
    /// It is done, but the answer is lost.
    Unanswered,
    /// It is on its way when the member gives it up; the log gets it at [`Model::deliver_late`](super::Model::deliver_late).
    Late,
    /// It is done and answered, and arrives once more at [`Model::deliver_late`](super::Model::deliver_late).
    Doubled,
    /// Who asks is dead already: it never arrives.
    Dead,
    /// It is done, but who asked does not live to see it.
    Killed,
}

/// Decides what becomes of each request.
pub trait Script: Send {
    /// The fate of the next request.
    fn fate(&mut self, request: Request<'_>) -> Fate;
}

/// Nothing goes wrong.
pub(super) struct AllGoesWell;

impl Script for AllGoesWell {
    fn fate(&mut self, _: Request<'_>) -> Fate {
        Fate::Done
    }
}
