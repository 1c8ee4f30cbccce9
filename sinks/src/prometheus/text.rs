//! The text formats that Prometheus reads: 0.0.4 and OpenMetrics 1.0.

use std::fmt::Write;

use super::store::Kind;

/// A value; integers are written without loss.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Number {
    /// An integer.
    Int(i64),
    /// A number.
    Double(f64),
}

impl Number {
    /// Whether a counter may have this value.
    pub fn is_count(self) -> bool {
        match self {
            Number::Int(value) => value >= 0,
            Number::Double(value) => value >= 0.0,
        }
    }
}

/// Which format to write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Prometheus text format 0.0.4.
    Text,
    /// OpenMetrics 1.0.
    OpenMetrics,
}

impl Format {
    /// The format that a scraper accepts.
    pub fn accepted(accept: &str) -> Format {
        let wants_open_metrics = |media: &str| media.trim_start().starts_with("application/openmetrics-text");
        if accept.split(',').any(wants_open_metrics) { Format::OpenMetrics } else { Format::Text }
    }

    /// Its media type.
    pub fn media_type(self) -> &'static str {
        match self {
            Format::Text => "text/plain; version=0.0.4; charset=utf-8",
            Format::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// A scrape in the making. INVARIANT: each family is begun once, and no two of its samples have the same labels.
#[derive(Debug)]
pub struct Exposition {
    format: Format,
    const_labels: Box<str>,
    name: String,
    header: String,
    out: String,
}

impl Exposition {
    /// With these labels on each sample, as they stand between braces.
    pub fn new(format: Format, const_labels: &str) -> Self {
        Exposition {
            format,
            const_labels: const_labels.into(),
            name: String::new(),
            header: String::new(),
            out: String::with_capacity(64 << 10),
        }
    }

    /// Begins a family. It shows when its first sample comes.
    pub fn family(&mut self, name: &str, kind: Kind, help: &str) {
        name.clone_into(&mut self.name);
        let family = match self.format {
            Format::OpenMetrics if kind == Kind::Counter => name.strip_suffix("_total").unwrap_or(name),
            _ => name,
        };
        let kind = if kind == Kind::Counter { "counter" } else { "gauge" };
        let help = help.replace('\\', "\\\\").replace('\n', "\\n");
        self.header.clear();
        let _ = write!(self.header, "# HELP {family} {help}\n# TYPE {family} {kind}\n");
    }

    /// Adds a sample of the family, with labels as they stand between braces.
    pub fn sample(&mut self, labels: &str, value: Number) {
        self.out.push_str(&self.header);
        self.header.clear();
        self.out.push_str(&self.name);
        let separator = if self.const_labels.is_empty() || labels.is_empty() { "" } else { "," };
        if !(self.const_labels.is_empty() && labels.is_empty()) {
            let _ = write!(self.out, "{{{}{separator}{labels}}}", self.const_labels);
        }
        let _ = match value {
            Number::Int(value) => writeln!(self.out, " {value}"),
            Number::Double(value) if value.is_nan() => writeln!(self.out, " NaN"),
            Number::Double(value) if value.is_infinite() && value > 0.0 => writeln!(self.out, " +Inf"),
            Number::Double(value) if value.is_infinite() => writeln!(self.out, " -Inf"),
            Number::Double(value) => writeln!(self.out, " {value}"),
        };
    }

    /// The whole text.
    pub fn finish(mut self) -> String {
        if self.format == Format::OpenMetrics {
            self.out.push_str("# EOF\n");
        }
        self.out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(format: Format) -> String {
        let mut out = Exposition::new(format, "env=\"test\"");
        out.family("calls_total", Kind::Counter, "a\nb\\c");
        out.sample("a=\"1\"", Number::Int(i64::MAX));
        out.family("empty", Kind::Gauge, "nothing");
        out.family("level", Kind::Gauge, "level");
        out.sample("", Number::Double(0.5));
        out.sample("a=\"2\"", Number::Double(f64::INFINITY));
        out.finish()
    }

    #[test]
    fn both_formats_are_written() {
        let text = "# HELP calls_total a\\nb\\\\c\n# TYPE calls_total counter\n\
            calls_total{env=\"test\",a=\"1\"} 9223372036854775807\n\
            # HELP level level\n# TYPE level gauge\nlevel{env=\"test\"} 0.5\nlevel{env=\"test\",a=\"2\"} +Inf\n";
        assert_eq!(shown(Format::Text), text);
        let open_metrics = text.replace("HELP calls_total", "HELP calls").replace("TYPE calls_total", "TYPE calls");
        assert_eq!(shown(Format::OpenMetrics), open_metrics + "# EOF\n");
    }

    #[test]
    fn the_format_is_the_one_that_the_scraper_accepts() {
        let prometheus = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,\
            text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
        assert_eq!(Format::accepted(prometheus), Format::OpenMetrics);
        assert_eq!(Format::accepted("text/plain, */*"), Format::Text);
        assert_eq!(Format::accepted(""), Format::Text);
    }
}
