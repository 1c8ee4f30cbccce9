//! Rows as log records: which column says what.

use dbintel_config::Section;
use dbintel_schemas::rfc3339;

use super::{Query, Table, cut};
use crate::failure::Failure;
use crate::rows::LogRow;
use crate::sqlquery::interned;
use crate::text::{StatementText, TEXT_BYTES_MAX, TextReader};

/// Words for severities, and the number that OpenTelemetry has for each.
const SEVERITIES: [(&[&str], i64); 7] = [
    (&["trace"], 1),
    (&["debug", "debug1", "debug2", "debug3", "debug4", "debug5"], 5),
    (&["info", "log", "information", "system"], 9),
    (&["notice", "note"], 10),
    (&["warning", "warn"], 13),
    (&["error", "err"], 17),
    (&["fatal", "panic", "critical"], 21),
];

/// What each row says as a log record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    body: &'static str,
    /// The body is a statement, of which literals are hidden; else it is published as it is.
    is_statement: bool,
    severity: Option<&'static str>,
    timestamp: Option<&'static str>,
    /// Columns whose values are attributes.
    attributes: Vec<&'static str>,
    /// Attributes with fixed values.
    fixed: Vec<(&'static str, String)>,
}

impl Log {
    /// Reads an item of `logs`.
    pub fn read(section: &mut Section) -> Log {
        let body = section.doc("Column with what the record says.").required_text("body_column");
        let is_statement = section.doc("What the body is: a statement, whose literals are hidden, or a text as it is.");
        let is_statement = is_statement.choice("body", &["statement", "text"], "statement") == "statement";
        let severity = section.doc("Column with the severity, such as ERROR.").optional_text("severity_column");
        let timestamp = section.doc("Column with the time at which it happened; that of the poll if not set.");
        let timestamp = timestamp.optional_text("timestamp_column");
        let attributes = section.doc("Columns whose values are attributes.").list_of_text("attribute_columns", &[]);
        let fixed = section.doc("Attributes with fixed values.").text_map("static_attributes");
        let name = |column: Option<String>| column.map(|column| interned::text(&column));
        Log {
            body: interned::text(&body),
            is_statement,
            severity: name(severity),
            timestamp: name(timestamp),
            attributes: attributes.iter().map(|column| interned::text(column)).collect(),
            fixed: fixed.iter().map(|(name, value)| (interned::text(name), value.clone())).collect(),
        }
    }

    /// Appends the log records of a result.
    ///
    /// # Errors
    /// A column that is not there, or a time that is none.
    pub(super) fn rows(
        &self,
        query: &Query,
        table: &Table,
        texts: &mut TextReader,
        rows: &mut Vec<LogRow>,
    ) -> Result<(), Failure> {
        let place = |column: &str| query.place(column, table);
        let body = place(self.body)?;
        let severity = self.severity.map(place).transpose()?;
        let timestamp = self.timestamp.map(|column| Ok::<_, Failure>((column, place(column)?))).transpose()?;
        let attributes = self.attributes.iter().map(|column| Ok((*column, place(column)?)));
        let attributes = attributes.collect::<Result<Vec<_>, Failure>>()?;
        for (number, row) in table.rows.iter().enumerate() {
            let told = timestamp.and_then(|(column, place)| Some((column, row[place].as_ref()?)));
            let read = |(column, text): (&str, &String)| {
                time(text).ok_or_else(|| query.unfit(column, number, text, "a time (`timestamp_column`)"))
            };
            let occurred_at = told.filter(|(_, text)| !is_no_moment(text)).map(read).transpose()?;
            let severity = severity.and_then(|place| row[place].clone()).map(|severity| cut(&severity));
            let of_columns = attributes.iter().filter_map(|(name, place)| Some((*name, cut(row[*place].as_deref()?))));
            rows.push(LogRow {
                query: query.name,
                occurred_at,
                severity_number: severity.as_deref().and_then(severity_number),
                severity,
                body: row[body].as_ref().map(|text| self.body(text, texts)),
                attributes: of_columns.chain(self.fixed.iter().cloned()).collect(),
            });
        }
        Ok(())
    }

    fn body(&self, text: &str, texts: &mut TextReader) -> StatementText {
        if self.is_statement {
            return texts.statement(text.as_bytes(), false);
        }
        let kept = &text[..text.floor_char_boundary(TEXT_BYTES_MAX)];
        StatementText { text: Some(kept.to_owned()), truncated: kept.len() < text.len(), ..StatementText::default() }
    }
}

fn severity_number(text: &str) -> Option<i64> {
    let is_it = |words: &[&str]| words.iter().any(|word| word.eq_ignore_ascii_case(text));
    SEVERITIES.iter().find(|(words, _)| is_it(words)).map(|(_, number)| *number)
}

/// What servers have in place of a time.
fn is_no_moment(text: &str) -> bool {
    matches!(text, "infinity" | "-infinity") || text.starts_with("0000-00-00")
}

/// The time in µs since the epoch: as SQL or RFC 3339 write it, in UTC if it does not say, or seconds since the epoch.
fn time(text: &str) -> Option<i64> {
    let in_utc = || format!("{text}Z");
    // PostgreSQL leaves the minutes of an offset out.
    let with_minutes = || format!("{text}:00");
    let at_midnight = || format!("{text}T00:00:00Z");
    let read = rfc3339::parse_us(text);
    let read = read.or_else(|| rfc3339::parse_us(&in_utc())).or_else(|| rfc3339::parse_us(&with_minutes()));
    let read = read.or_else(|| rfc3339::parse_us(&at_midnight()));
    let seconds = || text.parse::<f64>().ok().filter(|seconds| seconds.is_finite() && seconds.abs() < 1e11);
    read.or_else(|| seconds().map(|seconds| (seconds * 1e6).round() as i64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_servers_write_them() {
        let noon = 1_780_315_200_000_000;
        let cases = [
            ("2026-06-01T12:00:00+00:00", Some(noon)),
            ("2026-06-01 14:00:00.25+02", Some(noon + 250_000)),
            ("2026-06-01 12:00:00.000001", Some(noon + 1)),
            ("1780315200.5", Some(noon + 500_000)),
            ("1780315200", Some(noon)),
            ("2026-06-01", Some(noon - 43_200_000_000)),
            ("yesterday", None),
            ("99999999999-01-01 00:00:00", None),
            ("", None),
        ];
        for (text, expected) in cases {
            assert_eq!(time(text), expected, "{text}");
        }
    }

    #[test]
    fn severities_have_numbers_where_they_are_known() {
        for (text, expected) in [("ERROR", Some(17)), ("Warning", Some(13)), ("LOG", Some(9)), ("active", None)] {
            assert_eq!(severity_number(text), expected, "{text}");
        }
    }
}
