//! Names, units and attributes of metrics: those of the Collector's `postgresql` receiver, exactly, so that dashboards go
//! on. One table; the receiver still renames things, so what is true of which version of it is said here and nowhere else.

use crate::metric::{Kind, Number, Series};

mod databases;
mod replication;
mod server;

pub use databases::*;
pub use replication::*;
pub use server::*;

/// The receiver's release whose metadata this table follows.
pub const RECEIVER_VERSION: &str = "0.162.0";

type Attributes = &'static [(&'static str, &'static str)];

/// No attributes.
pub const NONE: Attributes = &[];

const fn series(
    column: &'static str,
    metric: &'static str,
    unit: &'static str,
    kind: Kind,
    attributes: Attributes,
) -> Series {
    Series { column, metric, unit, kind, number: Number::Integer, attributes }
}

/// A sum that only grows.
pub const fn counter(column: &'static str, metric: &'static str, unit: &'static str, attributes: Attributes) -> Series {
    series(column, metric, unit, Kind::Counter, attributes)
}

/// A sum that may fall.
pub const fn sum(column: &'static str, metric: &'static str, unit: &'static str, attributes: Attributes) -> Series {
    series(column, metric, unit, Kind::Sum, attributes)
}

/// A value as it is.
pub const fn gauge(column: &'static str, metric: &'static str, unit: &'static str, attributes: Attributes) -> Series {
    series(column, metric, unit, Kind::Gauge, attributes)
}

/// With a fraction.
pub const fn double(series: Series) -> Series {
    Series { number: Number::Double, ..series }
}

#[cfg(test)]
mod tests;
