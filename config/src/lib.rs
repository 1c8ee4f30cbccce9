//! dbintel-config
