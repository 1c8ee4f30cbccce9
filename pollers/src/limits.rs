//! What steers a target from outside: the state of its circuits. The poller obeys it within one poll.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::poll::Class;

/// Time between the polls of sessions while a circuit is open: the heartbeat that keeps an incident visible.
pub const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(10);

/// State of the circuits of one target. The default steers nothing: local limits alone hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Limits {
    /// Circuit of the server as a whole.
    pub server: Circuit,
    /// Circuits of databases that have one of their own.
    pub databases: BTreeMap<String, Circuit>,
}

/// State of a circuit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Circuit {
    /// All polls run.
    #[default]
    Closed,
    /// All polls run, as probes: the processors judge by them whether to close or to open again.
    HalfOpen,
    /// Only the heartbeat runs.
    Open,
}

impl Limits {
    /// Whether a poll may run.
    pub fn allow(&self, class: Class, database: Option<&str>) -> bool {
        let own = database.and_then(|database| self.databases.get(database)).copied().unwrap_or_default();
        let open = self.server == Circuit::Open || own == Circuit::Open;
        !open || class == Class::Sessions
    }

    /// Interval of the polls of sessions, which is otherwise `interval`.
    pub fn sessions_interval(&self, interval: Duration) -> Duration {
        if self.server == Circuit::Open { interval.max(HEARTBEAT_INTERVAL) } else { interval }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_open_circuit_leaves_the_heartbeat() {
        let database = |circuit| Limits { databases: [("orders".to_owned(), circuit)].into(), ..Limits::default() };
        let server = |server| Limits { server, ..Limits::default() };
        let cases = [
            (Limits::default(), Class::Tables, Some("orders"), true),
            (server(Circuit::HalfOpen), Class::Statements, None, true),
            (server(Circuit::Open), Class::Statements, None, false),
            (server(Circuit::Open), Class::Tables, Some("orders"), false),
            (server(Circuit::Open), Class::Sessions, None, true),
            (database(Circuit::Open), Class::Tables, Some("orders"), false),
            (database(Circuit::Open), Class::Tables, Some("billing"), true),
            (database(Circuit::Open), Class::Statements, None, true),
            (database(Circuit::HalfOpen), Class::Sizes, Some("orders"), true),
        ];
        for (limits, class, database, allowed) in cases {
            assert_eq!(limits.allow(class, database), allowed, "{limits:?} {class:?} {database:?}");
        }
    }

    #[test]
    fn the_heartbeat_is_slower_than_the_sessions() {
        let open = Limits { server: Circuit::Open, ..Limits::default() };
        let (second, minute) = (Duration::from_secs(1), Duration::from_secs(60));
        assert_eq!(Limits::default().sessions_interval(second), second);
        assert_eq!(open.sessions_interval(second), HEARTBEAT_INTERVAL);
        assert_eq!(open.sessions_interval(minute), minute);
    }
}
