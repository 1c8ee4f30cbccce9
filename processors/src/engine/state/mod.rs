//! State of processors: typed tables over a store.

pub mod numbers;
mod table;
mod value;

pub use table::{StateTable, Table};
pub use value::{Fields, read_unsigned, write_number, write_optional, write_text, write_unsigned, zigzag};

use super::store::StoreError;

/// A value that a table keeps.
pub trait StateValue: Clone + Send + 'static {
    /// Appends the value; the format is the value's own and starts with a version byte.
    fn encode(&self, out: &mut Vec<u8>);

    /// Reads what [`StateValue::encode`] of this or the previous release wrote.
    fn decode(bytes: &[u8]) -> Result<Self, StateError>;

    /// Appends the difference to the value before, for values that are stored as [`numbers`]: the changelog then has the
    /// difference in place of the value, and so has the undo list. Others append nothing and say false.
    fn difference(&self, _before: &Self, _out: &mut Vec<u8>) -> bool {
        false
    }

    /// Takes back what [`StateValue::difference`] wrote.
    fn undo(&mut self, _difference: &[u8]) {}

    /// Event time in µs from which on the value is as good as absent; the checkpoint removes it some time after that. A
    /// processor must not use it either, so that it makes no difference when it is removed.
    fn expires_at(&self) -> Option<i64> {
        None
    }

    /// [`StateValue::expires_at`] of an encoded value. Worth its own code where decoding costs much: the checkpoint asks it of
    /// every value that it passes over.
    fn stored_expires_at(bytes: &[u8]) -> Result<Option<i64>, StateError> {
        Ok(Self::decode(bytes)?.expires_at())
    }
}

/// State could not be read or written. The task aborts and starts again from the changelog.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A stored value is not what its table writes.
    #[error(
        "table {table}: a stored value cannot be decoded: {detail}; stop the process; `dbintel state discard` deletes its copy \
         of the state, and the next start fills it anew from the changelog"
    )]
    Decode {
        /// Name of the table.
        table: String,
        /// What is wrong.
        detail: String,
    },
}
