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
//!
//! # Adding a processor
//!
//! A processor is one type. It says where its state is, and gives each row a disposition; the rest is the engine's:
//!
//! ```
//! use dbintel_processors::engine::{Context, Disposition, Processor, Row, StateError, StateTable, StateValue, Table};
//!
//! /// Lets the first of every `n` sessions of a target through.
//! struct EveryNth {
//!     n: u64,
//!     seen: Table<Seen>,
//! }
//!
//! #[derive(Clone)]
//! struct Seen(u64);
//!
//! impl StateValue for Seen {
//!     fn encode(&self, out: &mut Vec<u8>) {
//!         out.extend_from_slice(&self.0.to_le_bytes());
//!     }
//!
//!     fn decode(bytes: &[u8]) -> Result<Self, StateError> {
//!         let cut = |_| StateError::Decode { table: "seen".into(), detail: "not 8 bytes".into() };
//!         Ok(Seen(u64::from_le_bytes(bytes.try_into().map_err(cut)?)))
//!     }
//! }
//!
//! impl Processor for EveryNth {
//!     fn tables(&mut self) -> Vec<&mut dyn StateTable> {
//!         vec![&mut self.seen]
//!     }
//!
//!     fn process<'a>(&mut self, row: &mut Row<'a>, _: &mut Context<'a, '_>) -> Result<Disposition, StateError> {
//!         let Row::Session(session) = row else { return Ok(Disposition::Forwarded) };
//!         let seen = self.seen.get(session.target.as_bytes())?.map_or(0, |seen| seen.0);
//!         self.seen.insert(session.target.as_bytes(), Seen(seen + 1))?;
//!         Ok(if seen.is_multiple_of(self.n) { Disposition::Forwarded } else { Disposition::Absorbed("not_the_first") })
//!     }
//! }
//!
//! let mut every_third = EveryNth { n: 3, seen: Table::new("seen") };
//! assert_eq!(every_third.tables().len(), 1);
//! ```

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
mod staged;
pub mod state;
pub mod store;
mod targets;
pub mod task;
pub mod worker;

pub use group::{Group, GroupConfig, Pipeline, ProcessorFactory};
pub use metrics::Metrics;
pub use processor::{Context, Disposition, Processor, Tick};
pub use row::Row;
pub use schema_lookup::read_schemas;
pub use state::{StateError, StateTable, StateValue, Table};
