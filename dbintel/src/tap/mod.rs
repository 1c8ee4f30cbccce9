//! What `dbintel tap` makes of the records of a topic: JSON, without what may be personal unless that is asked for.

pub mod filter;
pub mod line;
pub mod lookup;
pub mod shown;
pub mod start;
pub mod value;
pub mod writers;
