//! What PostgreSQL and its driver say when something goes wrong, as a [`Failure`].

use std::error::Error as _;

use tokio_postgres::error::SqlState;

use crate::failure::Failure;
use crate::poll::Outcome;

/// Classes and states of errors whose words hold nothing but names of databases, roles and objects, and settings.
const WORDS_TOLD: [&str; 8] = ["3D", "53", "55", "57", "42501", "42P01", "42703", "42883"];

impl Failure {
    /// Whether the server lacks something (an extension, a view, a column, a grant): a capability record, not a failure.
    pub fn is_missing_capability(&self) -> bool {
        let states = [
            SqlState::INSUFFICIENT_PRIVILEGE,
            SqlState::UNDEFINED_FUNCTION,
            SqlState::UNDEFINED_TABLE,
            SqlState::UNDEFINED_COLUMN,
            SqlState::INVALID_SCHEMA_NAME,
            SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE,
            SqlState::FEATURE_NOT_SUPPORTED,
        ];
        states.iter().any(|state| state.code() == self.class)
    }

    /// Whether a text has bytes that the encoding of our database does not have.
    pub fn is_of_encoding(&self) -> bool {
        let states = [SqlState::CHARACTER_NOT_IN_REPERTOIRE, SqlState::UNTRANSLATABLE_CHARACTER];
        states.iter().any(|state| state.code() == self.class)
    }
}

impl From<tokio_postgres::Error> for Failure {
    fn from(error: tokio_postgres::Error) -> Failure {
        if let Some(server) = error.as_db_error() {
            return of_server(server);
        }
        let source = error.source().map(ToString::to_string);
        let message = source.map_or_else(|| error.to_string(), |source| format!("{error}: {source}"));
        let class = class_of(&error);
        let outcome = if class == "timeout" { Outcome::Timeout } else { Outcome::Error };
        Failure { outcome, class: class.to_owned(), message, connection_lost: true }
    }
}

fn of_server(error: &tokio_postgres::error::DbError) -> Failure {
    let state = error.code();
    let timed_out = *state == SqlState::QUERY_CANCELED || *state == SqlState::LOCK_NOT_AVAILABLE;
    let fatal = matches!(error.severity(), "FATAL" | "PANIC");
    Failure {
        outcome: if timed_out { Outcome::Timeout } else { Outcome::Error },
        class: state.code().to_owned(),
        message: message(state, error.message()),
        connection_lost: fatal,
    }
}

/// The server's words, where they can only name what we asked for. Others may quote texts of applications, and refusals to
/// let us in quote addresses and rules: of those only the class is told.
fn message(state: &SqlState, words: &str) -> String {
    let code = state.code();
    let advice = advice(state);
    if code.starts_with("28") {
        return format!("the server does not let us in{advice}");
    }
    match WORDS_TOLD.iter().any(|class| code.starts_with(class)) {
        true => format!("{words}{advice}"),
        false => format!("the server refused the statement with SQLSTATE {code}{advice}"),
    }
}

/// The driver has no public kinds of errors: they are told apart by source and by the driver's own words.
fn class_of(error: &tokio_postgres::Error) -> &'static str {
    let timed_out = |source: &std::io::Error| source.kind() == std::io::ErrorKind::TimedOut;
    let words = error.to_string();
    match error.source().and_then(|source| source.downcast_ref::<std::io::Error>()) {
        _ if words.contains("TLS") => "tls",
        Some(source) if timed_out(source) => "timeout",
        _ if words.contains("timeout") => "timeout",
        Some(_) => "io",
        None if error.is_closed() || words.contains("communicating") || words.contains("connecting") => "io",
        None if words.contains("authentication") || words.contains("configuration") => "auth",
        None => "protocol",
    }
}

/// What the reader of the message can do about it.
fn advice(state: &SqlState) -> &'static str {
    match *state {
        SqlState::INVALID_PASSWORD => ": check `username` and `password`",
        SqlState::INVALID_AUTHORIZATION_SPECIFICATION => ": check `username` and pg_hba.conf",
        SqlState::INVALID_CATALOG_NAME => ": check `connect_database`",
        SqlState::TOO_MANY_CONNECTIONS => ": the server has no connection left",
        SqlState::QUERY_CANCELED => ": it took longer than the `timeout` of its class",
        SqlState::LOCK_NOT_AVAILABLE => ": something holds an exclusive lock on what we read",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_of_the_server_are_told_only_where_they_are_about_us() {
        let cases = [
            ("3D000", "database \"x\" does not exist", "database \"x\" does not exist: check `connect_database`"),
            ("42501", "permission denied for view x", "permission denied for view x"),
            ("28P01", "password authentication failed for user \"x\"", LOGIN),
            ("28000", "no pg_hba.conf entry for host \"10.0.0.1\"", RULES),
            ("22021", "invalid byte sequence: 0xe9", "the server refused the statement with SQLSTATE 22021"),
            ("42601", "syntax error at or near \"secret\"", "the server refused the statement with SQLSTATE 42601"),
        ];
        for (code, words, expected) in cases {
            assert_eq!(message(&SqlState::from_code(code), words), expected);
        }
    }

    const LOGIN: &str = "the server does not let us in: check `username` and `password`";
    const RULES: &str = "the server does not let us in: check `username` and pg_hba.conf";
}
