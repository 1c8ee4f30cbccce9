//! Views that polls do without for a while, so that what a server does not let us read, or not in time, costs only itself.

use std::collections::HashMap;

use crate::failure::Failure;
use crate::poll::{Capability, Class, Outcome, Poll};

/// What is left out, and what is being read.
#[derive(Default)]
pub struct LeftOut {
    views: HashMap<Place, Omission>,
    reading: Option<Place>,
}

/// A database, or none for the server, and a view.
type Place = (Option<String>, &'static str);

struct Omission {
    missing: Capability,
    /// Polls that are still to do without it; none if it is left out until the server is asked again what it offers.
    polls: Option<u32>,
}

impl LeftOut {
    /// The server was asked again what it offers: what it did not let us read is tried again.
    pub fn forget_forbidden(&mut self) {
        self.views.retain(|_, omission| omission.polls.is_some());
    }

    /// Begins to read a view for a poll. False if the poll is to do without it, which it then says.
    pub fn begin(&mut self, view: &'static str, poll: &mut Poll) -> bool {
        let place = (poll.database.clone(), view);
        let Some(omission) = self.views.get_mut(&place) else {
            self.reading = Some(place);
            return true;
        };
        poll.capabilities.push(omission.missing.clone());
        let polls = omission.polls.as_mut().map(|polls| {
            *polls -= 1;
            *polls
        });
        if polls == Some(0) {
            self.views.remove(&place);
        }
        false
    }

    /// What was begun was read.
    pub fn finish(&mut self) {
        self.reading = None;
    }

    /// A poll failed. True if it is known at which view, and the next ones do without that; `remedy` is what would let us
    /// read it, if the failure says that we may not.
    pub fn fail(&mut self, class: Class, failure: &Failure, remedy: Option<String>) -> bool {
        let Some(place) = self.reading.take() else { return false };
        let is_slow =
            failure.outcome == Outcome::Timeout && (!failure.connection_lost || *failure == Failure::deadline());
        let (slow, locked) = polls_without(class);
        let (remedy, polls) = match remedy {
            Some(remedy) => (remedy, None),
            None if failure.is_lock_timeout() => {
                ("none is needed: it is read again when the lock is gone".to_owned(), Some(locked))
            }
            None if is_slow => {
                (format!("raise the `timeout` of its class; it is read again after {slow} polls"), Some(slow))
            }
            None => return false,
        };
        let (name, consequence) = (place.1.to_owned(), format!("its metrics are missing: {}", failure.message));
        self.views.insert(place, Omission { missing: Capability { name, consequence, remedy }, polls });
        true
    }
}

/// Polls that do without a view that took too long, some minutes, and without one that waited for a lock.
fn polls_without(class: Class) -> (u32, u32) {
    match class {
        Class::Tables | Class::Sizes | Class::Settings => (3, 1),
        _ => (30, 6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::poll::Stamp;

    fn poll(database: Option<&str>) -> Poll {
        Poll { database: database.map(str::to_owned), ..Poll::new(Class::Tables, Stamp::default()) }
    }

    fn failure(outcome: Outcome, connection_lost: bool) -> Failure {
        Failure { outcome, class: String::new(), message: "no".to_owned(), connection_lost }
    }

    #[test]
    fn what_takes_too_long_is_left_out_in_its_database_for_some_polls() {
        let mut left_out = LeftOut::default();
        let shop = || poll(Some("shop"));
        assert!(left_out.begin("a", &mut shop()) && left_out.begin("b", &mut shop()));
        assert!(left_out.fail(Class::Tables, &failure(Outcome::Timeout, false), None));
        for _ in 0..3 {
            let mut poll = shop();
            assert!(left_out.begin("a", &mut poll) && !left_out.begin("b", &mut poll));
            assert_eq!(poll.capabilities.iter().map(|it| it.name.as_str()).collect::<Vec<_>>(), ["b"]);
            left_out.forget_forbidden();
        }
        assert!(left_out.begin("b", &mut shop()) && left_out.begin("b", &mut poll(Some("stock"))));
    }

    #[test]
    fn what_we_may_not_read_is_left_out_until_the_server_is_asked_again() {
        let mut left_out = LeftOut::default();
        assert!(left_out.begin("a", &mut poll(None)));
        assert!(left_out.fail(Class::Tables, &failure(Outcome::Error, false), Some("GRANT".to_owned())));
        for _ in 0..100 {
            assert!(!left_out.begin("a", &mut poll(None)));
        }
        left_out.forget_forbidden();
        assert!(left_out.begin("a", &mut poll(None)));
    }

    #[test]
    fn a_lock_is_gone_sooner_than_a_slow_view_is_fast() {
        let mut left_out = LeftOut::default();
        assert!(left_out.begin("a", &mut poll(None)));
        let locked = Failure { class: "55P03".to_owned(), ..failure(Outcome::Timeout, false) };
        assert!(left_out.fail(Class::Sizes, &locked, None));
        assert!(!left_out.begin("a", &mut poll(None)) && left_out.begin("a", &mut poll(None)));
    }

    #[test]
    fn other_failures_are_not_the_view_s() {
        let mut left_out = LeftOut::default();
        let timeout = failure(Outcome::Timeout, false);
        assert!(!left_out.fail(Class::Tables, &timeout, None), "nothing was read");
        for failure in [failure(Outcome::Error, false), failure(Outcome::Timeout, true)] {
            assert!(left_out.begin("a", &mut poll(None)));
            assert!(!left_out.fail(Class::Tables, &failure, None));
        }
        assert!(left_out.begin("a", &mut poll(None)));
        assert!(left_out.fail(Class::Tables, &Failure::deadline(), None), "the poll stood still at the view");
        assert!(left_out.begin("b", &mut poll(None)));
        left_out.finish();
        assert!(!left_out.fail(Class::Tables, &timeout, None), "it was read");
    }
}
