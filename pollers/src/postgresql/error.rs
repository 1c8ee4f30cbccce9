//! What can go wrong with a poll, sorted by what `raw.polls` and the loop have to know about it.

use std::error::Error as _;

use tokio_postgres::error::SqlState;

use crate::poll::Outcome;

/// A poll that gave nothing. Prints what happened and what helps, without values and credentials.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// How the poll ended.
    pub outcome: Outcome,
    /// SQLSTATE, or io, tls, timeout, pooler, endpoint, protocol.
    pub class: String,
    /// What happened and what helps.
    pub message: String,
    /// The connection is of no more use.
    pub connection_lost: bool,
}

impl Failure {
    /// The poll as a whole took longer than it may. The connection is given up: nobody knows what it will answer next.
    pub fn deadline() -> Failure {
        let message = "the poll did not end in time and was given up".to_owned();
        Failure { outcome: Outcome::Timeout, class: "timeout".to_owned(), message, connection_lost: true }
    }

    /// Another server answers, or the server has another role since it was asked who it is.
    pub fn server_changed() -> Failure {
        let message = "the server changed its role or was replaced: connecting again".to_owned();
        Failure { outcome: Outcome::Error, class: "server_changed".to_owned(), message, connection_lost: true }
    }

    /// There is no connection, and none is wanted to this server.
    pub fn refused(class: &str, message: impl Into<String>) -> Failure {
        let message = message.into();
        Failure { outcome: Outcome::Refused, class: class.to_owned(), message, connection_lost: true }
    }

    /// The server answered, but not what we understand.
    pub fn protocol(message: impl Into<String>) -> Failure {
        let message = message.into();
        Failure { outcome: Outcome::Error, class: "protocol".to_owned(), message, connection_lost: true }
    }

    /// The same failure while connecting: whatever the cause, there is no connection.
    pub fn while_connecting(self) -> Failure {
        Failure { outcome: Outcome::Refused, connection_lost: true, ..self }
    }

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

    /// Whether a statement waited for a lock for longer than it may.
    pub fn is_lock_timeout(&self) -> bool {
        self.class == SqlState::LOCK_NOT_AVAILABLE.code()
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
        message: format!("{}{}", error.message(), advice(state)),
        connection_lost: fatal,
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
