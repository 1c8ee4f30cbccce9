//! What can go wrong with a poll, sorted by what `raw.polls` and the loop have to know about it.

use crate::poll::Outcome;

/// Classes that say that the server as a whole is in trouble or out of reach: our own, of PostgreSQL, of MySQL.
const OF_SERVER: [&str; 13] =
    ["io", "timeout", "tls", "28P01", "53300", "57P03", "1040", "1045", "1053", "1130", "1820", "1862", "role"];
/// Classes that say that it has no connection left for us.
const NO_CONNECTION_LEFT: [&str; 3] = ["53300", "1040", "1203"];
/// Classes that say that a statement waited for a lock for longer than it may.
const LOCK_TIMEOUT: [&str; 2] = ["55P03", "1205"];

/// A poll that gave nothing. Prints what happened and what helps, without values and credentials.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// How the poll ended.
    pub outcome: Outcome,
    /// SQLSTATE or error number of the server, or io, tls, timeout, pooler, endpoint, protocol.
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

    /// Whether the server as a whole is in trouble or out of reach, and not only one database of it.
    pub fn is_of_server(&self) -> bool {
        OF_SERVER.contains(&self.class.as_str())
    }

    /// Whether the server has no connection left for us.
    pub fn has_no_connection_left(&self) -> bool {
        NO_CONNECTION_LEFT.contains(&self.class.as_str())
    }

    /// Whether a statement waited for a lock for longer than it may.
    pub fn is_lock_timeout(&self) -> bool {
        LOCK_TIMEOUT.contains(&self.class.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_database_that_refuses_us_is_no_trouble_of_the_server() {
        let cases =
            [("io", true), ("53300", true), ("57P03", true), ("28000", false), ("42501", false), ("3D000", false)];
        for (class, expected) in cases {
            assert_eq!(Failure::refused(class, "").is_of_server(), expected, "{class}");
        }
    }
}
