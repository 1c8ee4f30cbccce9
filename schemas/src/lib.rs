//! dbintel-schemas
