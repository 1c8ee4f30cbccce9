//! All tests against real servers, in one binary so that linking is paid once.

mod bus_embedded;
mod engine;
mod harness;
mod otlp_peer;
mod servers;
mod tidy;
