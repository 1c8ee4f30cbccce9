//! A statement for people and for programs.

use std::borrow::Cow;
use std::io::{self, Write};

use dbintel_sqltext::Statement;
use serde_json::{Map, Value, json};

/// Everything about a statement.
pub fn object(statement: &Statement<'_>) -> Value {
    let tags: Map<String, Value> = statement.tags().map(|tag| (tag.key.to_owned(), tag.value.into())).collect();
    json!({
        "text": statement.text,
        "fingerprint": statement.fingerprint.to_string(),
        "version": statement.fingerprint.version,
        "verb": (!statement.verb.is_empty()).then_some(statement.verb),
        "tables": statement.tables().collect::<Vec<_>>(),
        "tables_certain": statement.tables_certain,
        "cut": statement.cut,
        "withheld": statement.withheld.map(|reason| reason.name()),
        "tags": tags,
        "traceparent": statement.traceparent.map(|traceparent| traceparent.to_string()),
    })
}

/// The fingerprint, and what is to be known of the text that it is made of if that is not a whole one.
pub fn fingerprint(statement: &Statement<'_>) -> String {
    let fingerprint = statement.fingerprint;
    match (statement.is_whole(), statement.cut, statement.withheld) {
        (true, _, _) => fingerprint.to_string(),
        (_, true, _) => format!("{fingerprint} cut"),
        (_, _, reason) => format!("{fingerprint} withheld {}", reason.map_or("", |reason| reason.name())),
    }
}

/// Writes what is known about a statement, a fact on a line.
pub fn facts(output: &mut impl Write, statement: &Statement<'_>) -> io::Result<()> {
    let or_none = |text: String| if text.is_empty() { "-".to_owned() } else { text };
    let join = |parts: Vec<String>| or_none(parts.join(", "));
    let tables = join(statement.tables().map(|table| printable(table).into_owned()).collect());
    let certain = if statement.tables_certain { "certain" } else { "not certain" };
    let fingerprint = statement.fingerprint;
    writeln!(output, "text         {}", or_none(printable(statement.text).into_owned()))?;
    writeln!(output, "fingerprint  {fingerprint} (version {})", fingerprint.version)?;
    writeln!(output, "verb         {}", or_none(statement.verb.to_owned()))?;
    writeln!(output, "tables       {tables} ({certain})")?;
    writeln!(output, "cut          {}", if statement.cut { "yes" } else { "no" })?;
    writeln!(output, "withheld     {}", statement.withheld.map_or("-", |reason| reason.name()))?;
    let tags = statement.tags().map(|tag| format!("{}={}", tag.key, printable(tag.value))).collect();
    writeln!(output, "tags         {}", join(tags))?;
    let traceparent = statement.traceparent.map(|traceparent| traceparent.to_string());
    writeln!(output, "traceparent  {}", or_none(traceparent.unwrap_or_default()))
}

/// Text that stays on its line and does nothing to a terminal.
pub fn printable(text: &str) -> Cow<'_, str> {
    if !text.contains(char::is_control) {
        return Cow::Borrowed(text);
    }
    let escaped = text.chars().flat_map(|character| {
        let (plain, escape) = match character.is_control() {
            true => (None, Some(character.escape_default())),
            false => (Some(character), None),
        };
        plain.into_iter().chain(escape.into_iter().flatten())
    });
    Cow::Owned(escaped.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_escaped() {
        assert_eq!(printable("a\n\x1b[2J\u{85}é"), "a\\n\\u{1b}[2J\\u{85}é");
        assert_eq!(printable("a ? é"), "a ? é");
    }
}
