//! What goes wrong, and when.

/// A request of a member to the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Step {
    /// To fetch, and to hear of the group.
    Poll,
    /// To be told the committed positions.
    Committed,
    /// To add a record to the transaction.
    Send,
    /// To add the input positions to the transaction.
    SendPositions,
    /// To end the transaction with a commit.
    Commit,
    /// To end the transaction with an abort.
    Abort,
}

impl Step {
    /// All of them.
    pub const ALL: [Step; 6] =
        [Step::Poll, Step::Committed, Step::Send, Step::SendPositions, Step::Commit, Step::Abort];
}

/// What becomes of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Fate {
    /// It is done, and answered.
    Done,
    /// It never arrives, and the member learns that.
    Refused,
    /// It is done, but the answer is lost.
    Unanswered,
    /// It is on its way when the member gives it up; the log gets it at [`Model::deliver_late`](super::Model::deliver_late).
    Late,
}

/// Decides what becomes of each request.
pub trait Script: Send {
    /// The fate of the next request of the member on a slot.
    fn fate(&mut self, slot: &str, step: Step) -> Fate;
}

/// Nothing goes wrong.
pub(super) struct AllGoesWell;

impl Script for AllGoesWell {
    fn fate(&mut self, _: &str, _: Step) -> Fate {
        Fate::Done
    }
}
