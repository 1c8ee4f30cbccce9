//! The view as text.

use std::fmt::Write;
use std::time::Duration;

use super::state::{View, Work};

/// A terminal that says that it is narrower does not know its width.
const WIDTH_MIN: usize = 20;
/// Width for such a terminal.
const WIDTH_USUAL: usize = 80;
/// Columns before the statement.
const FIXED_COLUMNS: usize = 47;
/// Columns of the database.
const DATABASE_COLUMNS: usize = 8;

/// How rows flow through the process, as its other parts count it.
#[derive(Debug, Clone, Copy, Default)]
pub struct Flow {
    /// Rows that pollers wrote.
    pub records_in: u64,
    /// Rows that sinks delivered.
    pub records_out: u64,
    /// How far the slowest sink is behind.
    pub lag: Duration,
}

/// The view as lines of at most `width` columns.
pub fn render(view: &View, flow: &Flow, width: usize) -> String {
    let width = if width < WIDTH_MIN { WIDTH_USUAL } else { width };
    let mut out = String::new();
    let (records_in, records_out) = (grouped(flow.records_in), grouped(flow.records_out));
    line(
        &mut out,
        width,
        &format!("records in {records_in}   out {records_out}   lag {}", seconds(flow.lag.as_secs_f64())),
    );
    line(&mut out, width, "");
    let header = format!("{:>7} {:>9} {:>9} {:>9} {:<8} statement", "load", "calls/s", "mean", "rows/s", "database");
    line(&mut out, width, &header);
    for statement in &view.statements {
        line(&mut out, width, &row(statement, width));
    }
    if view.statements.is_empty() {
        line(&mut out, width, "      - no statement has moved yet");
    }
    line(&mut out, width, "");
    line(&mut out, width, &format!("active sessions {}", count(view.active)));
    for (wait, sessions) in &view.sessions {
        line(&mut out, width, &format!("{:>7} {wait}", count(*sessions)));
    }
    out
}

fn row(work: &Work, width: usize) -> String {
    let (load, calls, rows) = (number(work.load), number(work.calls), number(work.rows));
    let (mean, database) = (seconds(work.mean), shortened(&work.database, DATABASE_COLUMNS));
    let space = " ".repeat(DATABASE_COLUMNS.saturating_sub(columns(&database)));
    let text = shortened(&work.text, width.saturating_sub(FIXED_COLUMNS));
    format!("{load:>7} {calls:>9} {mean:>9} {rows:>9} {database}{space} {text}")
}

fn line(out: &mut String, width: usize, text: &str) {
    let _ = writeln!(out, "{}", shortened(text, width).trim_end());
}

/// At most this many columns, and at least an ellipsis for what is missing.
fn shortened(text: &str, columns_max: usize) -> String {
    if columns(text) <= columns_max {
        return text.to_owned();
    }
    let mut used = 0;
    let fits = |character: &char| {
        used += column_count(*character);
        used < columns_max
    };
    let mut short: String = text.chars().take_while(fits).collect();
    short.push('…');
    short
}

fn columns(text: &str) -> usize {
    text.chars().map(column_count).sum()
}

/// Columns that a terminal gives a character, at most: two to those of East Asia and to pictures.
fn column_count(character: char) -> usize {
    match character {
        '\u{1100}'..='\u{115f}' | '\u{2e80}'..='\u{a4cf}' | '\u{ac00}'..='\u{d7a3}' | '\u{f900}'..='\u{faff}' => 2,
        '\u{fe30}'..='\u{fe6f}' | '\u{ff00}'..='\u{ff60}' | '\u{ffe0}'..='\u{ffe6}' | '\u{1f300}'.. => 2,
        _ => 1,
    }
}

fn number(value: f64) -> String {
    match value {
        value if value >= 1e6 => format!("{:.1}M", value / 1e6),
        value if value >= 1e4 => format!("{:.1}k", value / 1e3),
        value if value >= 100.0 => format!("{value:.0}"),
        value if value >= 10.0 => format!("{value:.1}"),
        value => format!("{value:.2}"),
    }
}

/// A whole number of sessions, or an estimate when rows were sampled.
fn count(value: f64) -> String {
    if value.fract() == 0.0 { format!("{value:.0}") } else { format!("{value:.1}") }
}

fn seconds(value: f64) -> String {
    match value {
        value if value >= 1e3 => format!("{value:.0} s"),
        value if value >= 1.0 => format!("{value:.2} s"),
        value if value >= 1e-3 => format!("{:.1} ms", value * 1e3),
        0.0 => "0 s".to_owned(),
        value => format!("{:.0} µs", value * 1e6),
    }
}

/// Digits in groups of three.
fn grouped(value: u64) -> String {
    let digits = value.to_string();
    let mut out = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}
