//! dbintel-sinks
