//! dbintel-pollers
