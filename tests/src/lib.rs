//! dbintel-tests
