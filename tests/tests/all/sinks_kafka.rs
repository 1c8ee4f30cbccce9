//! Sinks on a genuine Kafka: what is accepted, committed and recorded when processes, members, the broker, the receiver or
//! the registry go away, and where a sink begins.

mod outages;
mod process;
mod rebalance;
mod scene;
mod start;
