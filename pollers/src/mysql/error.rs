//! What MySQL, MariaDB and their driver say when something goes wrong, as a [`Failure`].

use std::io::ErrorKind;

use mysql_async::{DriverError, Error, IoError, ServerError};

use crate::failure::Failure;
use crate::poll::Outcome;

/// A statement took longer than `max_execution_time` (MySQL) or `max_statement_time` (MariaDB), was killed, or waited too
/// long for a lock.
const TIMED_OUT: [u16; 4] = [3024, 1969, 1317, 1205];
/// Errors of the connection as a whole: the server stops, is full, or does not let us in.
const FATAL: [u16; 10] = [1040, 1044, 1045, 1053, 1130, 1203, 1820, 1862, 1927, 3159];
/// Errors whose words hold nothing but names of databases, accounts and objects.
const WORDS_TOLD: [u16; 7] = [1040, 1054, 1142, 1143, 1146, 1203, 1227];

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        match error {
            Error::Server(error) => of_server(&error),
            Error::Io(IoError::Io(error)) if is_of_encryption(&error) => lost(Outcome::Error, "tls", error.to_string()),
            Error::Io(IoError::Io(error)) => {
                let timed_out = error.kind() == ErrorKind::TimedOut;
                let outcome = if timed_out { Outcome::Timeout } else { Outcome::Error };
                lost(outcome, if timed_out { "timeout" } else { "io" }, error.to_string())
            }
            Error::Io(error) => lost(Outcome::Error, "tls", error.to_string()),
            Error::Driver(error @ DriverError::NoClientSslFlagFromServer) => {
                lost(Outcome::Error, "tls", error.to_string())
            }
            Error::Driver(error @ DriverError::ConnectionClosed) => lost(Outcome::Error, "io", error.to_string()),
            Error::Driver(error) => lost(Outcome::Error, "protocol", error.to_string()),
            Error::Url(_) | Error::Other(_) => lost(Outcome::Error, "protocol", "the driver failed".to_owned()),
        }
    }
}

impl Failure {
    /// Whether a right is missing or a table or column does not exist: a capability record, not a failure.
    pub fn is_missing_on_mysql(&self) -> bool {
        ["1054", "1142", "1143", "1146", "1227"].contains(&self.class.as_str())
    }
}

/// Whether the statement itself is of another version of the server.
const UNKNOWN_STATEMENT: &str = "1064";

impl Failure {
    /// Whether the server does not know such a statement.
    pub fn is_unknown_statement(&self) -> bool {
        self.class == UNKNOWN_STATEMENT
    }
}

/// Whether the two sides did not agree on encryption, or the certificate is not the one that was expected.
fn is_of_encryption(error: &std::io::Error) -> bool {
    error.get_ref().is_some_and(|inner| inner.is::<rustls::Error>())
}

fn lost(outcome: Outcome, class: &str, message: String) -> Failure {
    Failure { outcome, class: class.to_owned(), message, connection_lost: true }
}

fn of_server(error: &ServerError) -> Failure {
    let outcome = if TIMED_OUT.contains(&error.code) { Outcome::Timeout } else { Outcome::Error };
    let message = match WORDS_TOLD.contains(&error.code) {
        true => format!("{}{}", error.message, advice(error.code)),
        false => format!("the server refused the statement with error {}{}", error.code, advice(error.code)),
    };
    Failure { outcome, class: error.code.to_string(), message, connection_lost: FATAL.contains(&error.code) }
}

fn advice(code: u16) -> &'static str {
    match code {
        1044 | 1045 | 1130 => ": it does not let us in, check `username`, `password`, and whether it asks for `tls`",
        1820 | 1862 => ": the password has expired, renew it",
        3159 => ": it asks for encryption, set `tls`",
        1040 | 1203 => ": the server has no connection left",
        1317 | 1969 | 3024 => ": it took longer than the `timeout` of its class",
        1205 => ": something holds a lock on what we read",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_sorted_and_quote_no_text_of_applications() {
        let of = |code, message: &str| {
            Failure::from(Error::Server(ServerError { code, message: message.to_owned(), state: "HY000".to_owned() }))
        };
        let cases = [
            (1064, "near 'secret'", "the server refused the statement with error 1064", Outcome::Error, false),
            (1142, "SELECT command denied for table 'x'", "SELECT command denied for table 'x'", Outcome::Error, false),
            (1045, "Access denied for 'x'@'10.0.0.1'", LOGIN, Outcome::Error, true),
            (3024, "interrupted", SLOW, Outcome::Timeout, false),
        ];
        for (code, words, message, outcome, connection_lost) in cases {
            let failure = of(code, words);
            assert_eq!((failure.message.as_str(), failure.outcome), (message, outcome));
            assert_eq!(failure.connection_lost, connection_lost, "{code}");
        }
        assert!(of(1227, "").is_missing_on_mysql() && of(1045, "").is_of_server());
    }

    const LOGIN: &str = "the server refused the statement with error 1045: it does not let us in, check `username`, `password`, and whether it asks for `tls`";
    const SLOW: &str =
        "the server refused the statement with error 3024: it took longer than the `timeout` of its class";
}
