//! dbintel-processors
