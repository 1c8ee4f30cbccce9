//! sinks
pub mod clock;
pub mod delivery;
pub mod otlp;
