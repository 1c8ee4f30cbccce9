//! Avro's binary encoding of the types that the records are made of.
//!
//! Reading is total: any bytes give a value or a [`Fault`], after a number of steps that is bounded by their length. Depth is
//! bounded by the schema, which holds no recursive type, and every value takes at least one byte.

mod cursor;
mod datum;
mod output;

pub use cursor::{Block, Cursor, Failure};
pub use datum::Datum;
pub use output::Output;

/// A datum that is not of the schema it is read with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("could not read a {record}: {fault} (byte {offset})")]
pub struct DecodeError {
    /// Full name of the record type.
    pub record: &'static str,
    /// What is wrong.
    pub fault: Fault,
    /// Bytes that were read before.
    pub offset: usize,
}

impl DecodeError {
    pub(crate) fn new(record: &'static str, datum: &[u8], failure: Failure) -> Self {
        Self { record, fault: failure.fault, offset: datum.len() - failure.left }
    }
}

/// What is wrong with a datum.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The datum ends within a value.
    #[error("the bytes end within a value")]
    EndOfInput,
    /// A number has more than 64 bits.
    #[error("a number has more than 64 bits")]
    LongTooLarge,
    /// An int has more than 32 bits.
    #[error("an int has more than 32 bits")]
    IntTooLarge,
    /// A length or size is negative.
    #[error("a length is negative")]
    NegativeLength,
    /// A boolean is neither 0 nor 1.
    #[error("a boolean is neither 0 nor 1")]
    NotABoolean,
    /// A string is not UTF-8.
    #[error("a string is not UTF-8")]
    NotUtf8,
    /// A union has no such branch.
    #[error("a union has no such branch")]
    NoSuchBranch,
    /// The items of a block do not have the size that the block tells.
    #[error("a block does not have the size that it tells")]
    WrongBlockSize,
    /// Bytes are left after the last field.
    #[error("bytes are left after the last field")]
    TrailingBytes,
}
