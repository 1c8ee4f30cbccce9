//! From the log to a sink, at least once.
//!
//! Reads: `enriched.queries`, `enriched.sessions`, `enriched.metrics` and `events` as one consumer group per sink, and
//! the dictionary `enriched.texts` outside of the group. Writes: one `exports` record per input partition, in the same
//! transaction as its position. State: rows that were taken and are not settled, bounded by the sink. Guarantee: a
//! position is committed only when every row before it was accepted by the receiver, or rejected for good and counted;
//! after a crash or a rebalance the rows since the last commit are delivered again. Failure: a receiver that is away
//! pauses the partitions; a record that cannot be decoded is counted and passed over; a log or a registry that is away is
//! waited for; what retention deleted before it was delivered is counted and said.
//!
//! From the outside in: [`pump`] is the thread and its loop, [`inbox`] takes what a poll brings, [`settle`] knows which
//! positions may be committed, [`start`] where to begin, [`sink`] is what each sink implements, [`decoder`] and [`texts`]
//! turn bytes into rows.

mod decoder;
mod exports;
mod inbox;
mod metrics;
mod pump;
mod selection;
mod settle;
mod sink;
mod start;
mod texts;

pub use decoder::Sources;
pub use metrics::Metrics;
pub use pump::{Pump, Settings};
pub use selection::Selection;
pub use sink::{Arrival, Outcome, Report, Row, Settlement, Sink, StartAt, Taken, Ticket};
pub use start::FirstStart;
pub use texts::{StatementKey, TEXT_BYTES_MAX, Texts, cut, statement_key};
