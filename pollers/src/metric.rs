//! What a value of a view means as a metric: name, unit, kind and attributes.

/// One metric that is read from one column.
#[derive(Debug, PartialEq, Eq)]
pub struct Series {
    /// Name that the query gives to the column.
    pub column: &'static str,
    /// OpenTelemetry name.
    pub metric: &'static str,
    /// UCUM unit.
    pub unit: &'static str,
    /// How values add up over time.
    pub kind: Kind,
    /// Type of the values.
    pub number: Number,
    /// Attributes that tell this series from others of the metric.
    pub attributes: &'static [(&'static str, &'static str)],
}

/// How values add up over time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The value as it is.
    Gauge,
    /// A sum that may fall.
    Sum,
    /// A sum that only grows, until its statistics are reset.
    Counter,
}

impl Kind {
    /// The name in records.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Gauge => "gauge",
            Kind::Sum => "sum",
            Kind::Counter => "counter",
        }
    }

    /// Whether it counts from a start.
    pub fn is_cumulative(self) -> bool {
        self == Kind::Counter
    }
}

/// Type of values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Number {
    /// Whole numbers.
    Integer,
    /// Numbers with a fraction, because the metric's unit is larger than what is counted.
    Double,
}

/// One value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value {
    /// A whole number.
    Integer(i64),
    /// A number with a fraction.
    Double(f64),
}

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
