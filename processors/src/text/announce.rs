//! Events about statements: one that is seen for the first time, and a target that has too many of them.

use dbintel_schemas::List;
use dbintel_schemas::TextMap;
use dbintel_schemas::record_id::hash128;
use dbintel_schemas::records::{EnrichedSession, EnrichedText, Event};
use dbintel_schemas::topics::Topic;

use super::NEW_PER_DAY_MAX;
use super::state::News;
use crate::engine::Context;

/// Time in µs for which the statements of a target that was just added are no news: 5 minutes.
const LEARNING: i64 = 5 * MINUTE;
/// Most statements of a target that are announced in a minute; the next announcement says how many were not.
const PER_MINUTE_MAX: i64 = 60;
const MINUTE: i64 = 60_000_000;

/// A statement that is seen for the first time.
pub struct Announcement<'a> {
    /// Of which server.
    pub target: &'a str,
    origin: Topic,
    labels: TextMap<'a>,
    database: Option<&'a str>,
    fingerprint: &'a str,
    fingerprint_version: Option<i64>,
    verb: Option<&'a str>,
    tables: List<'a, &'a str>,
}

impl<'a> Announcement<'a> {
    /// One that the statistics of a server have.
    pub fn of_text(text: &EnrichedText<'a>) -> Self {
        Self {
            target: text.target,
            origin: Topic::RawTexts,
            labels: text.labels,
            database: text.database,
            fingerprint: text.fingerprint.unwrap_or_default(),
            fingerprint_version: text.fingerprint_version,
            verb: text.verb,
            tables: text.tables,
        }
    }

    /// One that a session executes.
    pub fn of_session(row: &EnrichedSession<'a>) -> Self {
        Self {
            target: row.target,
            origin: Topic::RawSessions,
            labels: row.labels,
            database: row.database,
            fingerprint: row.fingerprint.unwrap_or_default(),
            fingerprint_version: row.fingerprint_version,
            verb: row.verb,
            tables: row.tables,
        }
    }

    /// Announces it, unless the target is new or had many announcements this minute.
    pub fn make(&self, news: &mut News, context: &mut Context<'_, '_>) {
        if context.now < news.since.saturating_add(LEARNING) {
            return;
        }
        let minute = context.now.div_euclid(MINUTE);
        if news.minute != minute {
            (news.minute, news.announced) = (minute, 0);
        }
        if news.announced >= PER_MINUTE_MAX {
            news.unannounced += 1;
            return;
        }
        news.announced += 1;
        self.emit(std::mem::take(&mut news.unannounced), context);
    }

    fn emit(&self, unannounced: i64, context: &mut Context<'_, '_>) {
        let tables = self.tables.iter().collect::<Vec<_>>().join(", ");
        let what = self.verb.unwrap_or("a statement");
        let on = if tables.is_empty() { String::new() } else { format!(" on {tables}") };
        let (version, unannounced) = (self.fingerprint_version.unwrap_or(0).to_string(), unannounced.to_string());
        let attributes = [
            ("fingerprint", self.fingerprint),
            ("fingerprint_version", &version),
            ("tables", &tables),
            ("unannounced_before", &unannounced),
            ("verb", self.verb.unwrap_or_default()),
        ];
        let event = Event {
            event_id: hash128(&[b"new_statement", self.target.as_bytes(), self.fingerprint.as_bytes()]),
            origin_topic: self.origin.name(),
            labels: self.labels,
            database: self.database,
            event_type: "new_statement",
            severity: "info",
            message: &format!("a statement was seen for the first time: {what}{on}"),
            attributes: TextMap::from_slice(&attributes),
            ..of(self.target, context)
        };
        context.emit(&event, self.target);
    }
}

/// Says that a target has more new statements than are remembered in a day.
pub fn statement_limit(target: &str, day: i64, context: &mut Context<'_, '_>) {
    let event = Event {
        event_id: hash128(&[b"statement_limit", target.as_bytes(), &day.to_be_bytes()]),
        event_type: "statement_limit",
        severity: "warning",
        message: &format!(
            "more than {NEW_PER_DAY_MAX} new statements today: those that follow are not remembered; names that differ in \
             digits alone are one with `generalise_names: true`"
        ),
        ..of(target, context)
    };
    context.emit(&event, target);
}

fn of<'e>(target: &'e str, context: &Context<'e, '_>) -> Event<'e> {
    Event {
        pipeline: context.pipeline,
        origin_partition: i64::from(context.partition),
        origin_offset: context.offset,
        target,
        occurred_at: context.now,
        ..Event::default()
    }
}
