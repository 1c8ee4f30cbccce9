//! Fields that conditions may name, and their values in a row. Times are in ms, as in the guide.

use dbintel_schemas::records::QueryCounters;

use crate::engine::Row;

/// A field, found once when the condition is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Field {
    /// Mean execution time within the interval.
    MeanExecTime,
    /// Mean execution time since the entry began.
    CumulativeMeanExecTime,
    /// A counter's increase within the interval, by its place.
    Counter(usize),
    /// A counter's increase that is a time.
    CounterTime(usize),
    /// How long the session's statement has run.
    QueryDuration,
    /// Severity as a number: no row has one yet.
    Severity,
    /// A text.
    Text(TextField),
}

/// A text field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TextField {
    /// Name of the target.
    Target,
    /// Database.
    Database,
    /// User.
    User,
    /// Engine.
    Engine,
    /// State of the session.
    State,
    /// Class of the wait.
    WaitEventType,
    /// The wait.
    WaitEvent,
    /// Application of the session.
    Application,
    /// Main verb of the statement, in upper case.
    Verb,
    /// Identity of the statement.
    Fingerprint,
    /// Severity: no row has one yet.
    Severity,
}

const NAMED: [(&str, Field); 19] = [
    ("mean_exec_time", Field::MeanExecTime),
    ("cumulative_mean_exec_time", Field::CumulativeMeanExecTime),
    ("query_duration", Field::QueryDuration),
    ("target", Field::Text(TextField::Target)),
    ("database", Field::Text(TextField::Database)),
    ("datname", Field::Text(TextField::Database)),
    ("user", Field::Text(TextField::User)),
    ("usename", Field::Text(TextField::User)),
    ("engine", Field::Text(TextField::Engine)),
    ("state", Field::Text(TextField::State)),
    ("wait_event_type", Field::Text(TextField::WaitEventType)),
    ("wait_event", Field::Text(TextField::WaitEvent)),
    ("application", Field::Text(TextField::Application)),
    ("application_name", Field::Text(TextField::Application)),
    ("verb", Field::Text(TextField::Verb)),
    ("fingerprint", Field::Text(TextField::Fingerprint)),
    // The guide's rules name these; no statement or session has a severity, so they are unknown and match nothing.
    ("severity", Field::Text(TextField::Severity)),
    ("severity_text", Field::Text(TextField::Severity)),
    ("severity_number", Field::Severity),
];

impl Field {
    /// The field of a name: ours, or the guide's.
    pub fn find(name: &str) -> Option<Self> {
        if let Some((_, field)) = NAMED.iter().find(|(known, _)| *known == name) {
            return Some(*field);
        }
        let timed = format!("{name}_ns");
        QueryCounters::FIELDS.iter().enumerate().find_map(|(index, counter)| {
            if *counter == name {
                Some(Field::Counter(index))
            } else {
                (*counter == timed).then_some(Field::CounterTime(index))
            }
        })
    }

    /// All names, for messages.
    pub fn names() -> Vec<&'static str> {
        let counters = QueryCounters::FIELDS.iter().map(|counter| counter.strip_suffix("_ns").unwrap_or(counter));
        NAMED.iter().map(|(name, _)| *name).chain(counters).collect()
    }

    /// Value of a numeric field; none when the row does not have it.
    pub fn number(self, row: &Row<'_>) -> Option<f64> {
        const NS_PER_MS: f64 = 1e6;
        match (self, row) {
            (Field::MeanExecTime, Row::Query(query)) => Some(query.mean_exec_time_ns? as f64 / NS_PER_MS),
            (Field::CumulativeMeanExecTime, Row::Query(query)) => {
                Some(query.cumulative_mean_exec_time_ns? as f64 / NS_PER_MS)
            }
            (Field::Counter(index), Row::Query(query)) => Some(query.delta.get(index)? as f64),
            (Field::CounterTime(index), Row::Query(query)) => Some(query.delta.get(index)? as f64 / NS_PER_MS),
            (Field::QueryDuration, Row::Session(session)) => {
                Some((session.observed_at - session.query_started_at?) as f64 / 1e3)
            }
            _ => None,
        }
    }

    /// Value of a text field; none when the row does not have it.
    pub fn text<'a>(self, row: &Row<'a>) -> Option<&'a str> {
        let Field::Text(field) = self else { return None };
        match (field, row) {
            (TextField::Target, Row::Query(query)) => Some(query.target),
            (TextField::Target, Row::Session(session)) => Some(session.target),
            (TextField::Database, Row::Query(query)) => query.database,
            (TextField::Database, Row::Session(session)) => session.database,
            (TextField::User, Row::Query(query)) => query.user,
            (TextField::User, Row::Session(session)) => session.user,
            (TextField::Engine, Row::Query(query)) => Some(query.engine),
            (TextField::Engine, Row::Session(session)) => Some(session.engine),
            (TextField::State, Row::Session(session)) => session.state,
            (TextField::WaitEventType, Row::Session(session)) => session.wait_event_type,
            (TextField::WaitEvent, Row::Session(session)) => session.wait_event,
            (TextField::Application, Row::Session(session)) => session.application,
            (TextField::Verb, Row::Query(query)) => query.verb,
            (TextField::Verb, Row::Session(session)) => session.verb,
            (TextField::Fingerprint, Row::Query(query)) => query.fingerprint,
            (TextField::Fingerprint, Row::Session(session)) => session.fingerprint,
            _ => None,
        }
    }

    /// The field holds text.
    pub fn holds_text(self) -> bool {
        matches!(self, Field::Text(_))
    }
}
