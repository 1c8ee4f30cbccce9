//! The exactly-once engine: workers, tasks, state, books.
//!
//! Reads: the input topics of one group. Writes: the outputs of its processors, `quarantine`, `ledger` and the group's
//! changelog, in one transaction with the input positions. State: tables in a [`store::Store`] per partition, always
//! behind the changelog, never ahead. Guarantee: each input offset has exactly one [`Disposition`] per pipeline and each
//! forwarded one exactly one output, for readers of committed data, across crashes and rebalances. Failure: the
//! transaction is aborted, the task goes back to its committed positions and processes again.
//!
//! From the outside in: [`group`] says what runs, [`worker`] is one thread with one member of the group, [`task`] is one
//! partition number, [`inbox`] puts its inputs in order, [`processor`] is what a newcomer implements, [`state`] and
//! [`store`] keep tables, [`changelog`] and [`restore`] move them between machines, [`books`] fill the ledger.

pub mod books;
pub mod changelog;
mod clock;
pub mod group;
pub mod inbox;
mod metrics;
pub(crate) mod outbox;
pub mod processor;
mod quarantine;
pub mod restore;
pub mod row;
pub(crate) mod schema_lookup;
pub mod state;
pub mod store;
mod targets;
pub mod task;
pub mod worker;

pub use group::{Group, GroupConfig, Pipeline, ProcessorFactory};
pub use metrics::Metrics;
pub use processor::{Context, Disposition, Processor, Tick};
pub use row::Row;
pub use state::{StateError, StateTable, StateValue, Table};
