//! The only place where the engine reads a clock: monotonic time, for waiting and for the pace of commits. No decision
//! about a row depends on it. On a thread that simulates, the time is the simulation's.

pub use dbintel_bus::time::{now, sleep};
