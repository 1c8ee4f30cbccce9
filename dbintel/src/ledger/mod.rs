//! The books, checked as an outsider would: from raw topics, outputs, quarantine and ledger alone, in one pass over each and
//! in constant memory.
//!
//! A commit of the ledger says which offsets of each input were forwarded, absorbed, sampled out and quarantined, and how
//! many outputs there are with which hash. [`check`] holds that against what the topics hold: each raw record has exactly one
//! disposition, each forwarded one exactly one output with the bytes that were counted, each quarantined one its record. What
//! retention has deleted, on either side, cannot be checked; the report names the range that could.

mod check;
mod commit;
mod outlet;
mod rows;

pub use check::{Booked, Checked, check, pipelines};
