//! Records in, records out: the exactly-once engine and the processors that run on it.
//!
//! [`engine`] owns everything that is hard about stateful stream processing (transactions, state, order, books). A
//! processor is a folder of its own beside it: pure logic that gives each row one [`engine::Disposition`].

pub mod adaptive_sampler;
pub mod delta;
pub mod engine;
pub mod text;

#[cfg(test)]
mod testing;
