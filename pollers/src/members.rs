//! Recognises an endpoint that leads to one server now and to another then, as that of a load balancer does.
//!
//! Whoever takes over at a fail-over is new. A server that answers again after another one did was there all the time.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::poll::Capability;

/// A server that answers again so soon was there all the time; and so long an endpoint is said to have several.
const WINDOW: Duration = Duration::from_secs(30 * 60);
/// Most servers that are told apart.
const MEMBERS_MAX: usize = 20;

/// The servers that answered at an endpoint.
#[derive(Debug, Default)]
pub struct Members(Mutex<Seen>);

#[derive(Debug, Default)]
struct Seen {
    /// The latest last.
    members: Vec<Member>,
    /// When one answered again, the last two times: a connection that outlives a fail-over for a moment makes one.
    returned_at: [Option<Duration>; 2],
}

#[derive(Debug)]
struct Member {
    key: String,
    description: Option<String>,
    seen_at: Duration,
}

impl Members {
    /// A server answered. `key` is what no other server has, and a server keeps as long as it runs.
    pub fn see(&self, key: &str, now: Duration) {
        let mut seen = self.seen();
        if let Some(latest) = seen.members.last_mut().filter(|latest| latest.key == key) {
            latest.seen_at = now;
            return;
        }
        let known = seen.members.iter().position(|member| member.key == key);
        let member = match known {
            Some(place) => {
                let member = seen.members.remove(place);
                if now <= member.seen_at + WINDOW {
                    seen.returned_at = [Some(now), seen.returned_at[0]];
                }
                Member { seen_at: now, ..member }
            }
            None => Member { key: key.to_owned(), description: None, seen_at: now },
        };
        seen.members.push(member);
        let surplus = seen.members.len().saturating_sub(MEMBERS_MAX);
        seen.members.drain(..surplus);
    }

    /// As [`Members::see`], of a server that was asked who it is.
    pub fn meet(&self, key: &str, description: String, now: Duration) {
        self.see(key, now);
        if let Some(member) = self.seen().members.iter_mut().find(|member| member.key == key) {
            member.description = Some(description);
        }
    }

    /// What is wrong with an endpoint that leads to several servers.
    pub fn capability(&self, now: Duration) -> Option<Capability> {
        let seen = self.seen();
        seen.returned_at[1].filter(|at| now <= *at + WINDOW)?;
        let recent = seen.members.iter().filter(|member| now <= member.seen_at + WINDOW);
        let mut members: Vec<_> = recent.map(|member| member.description.as_deref().unwrap_or("one more")).collect();
        members.sort_unstable();
        members.dedup();
        Some(Capability {
            name: "endpoint".to_owned(),
            consequence: format!(
                "the endpoint leads to several servers in turn, so counters begin anew each time: {}",
                members.join(", ")
            ),
            remedy: "make one poller for each server, with an endpoint of its own".to_owned(),
        })
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn an_endpoint_with_several_servers_behind_it_is_recognised() {
        let cases = [
            ("a", false),
            ("a", false),
            ("b", false),
            ("c", false),
            ("b", false),
            ("b", false),
            ("a", true),
            ("d", true),
        ];
        let members = Members::default();
        for (minute, (key, several)) in (0..).zip(cases) {
            members.meet(key, format!("server {key}"), minute * MINUTE);
            assert_eq!(members.capability(minute * MINUTE).is_some(), several, "minute {minute}");
        }
        let said = members.capability(8 * MINUTE).unwrap().consequence;
        assert!(said.ends_with("each time: server a, server b, server c, server d"), "{said}");
        assert!(members.capability(36 * MINUTE).is_none(), "it is over");
    }

    #[test]
    fn a_fail_over_and_one_back_later_are_no_balancing() {
        let members = Members::default();
        for (minute, key) in [(0, "a"), (10, "b"), (50, "a"), (120, "b")] {
            members.see(key, minute * MINUTE);
            assert_eq!(members.capability(minute * MINUTE), None);
        }
    }

    #[test]
    fn many_servers_are_not_remembered_for_ever() {
        let members = Members::default();
        for number in 0..1000 {
            members.see(&number.to_string(), MINUTE);
        }
        assert_eq!(members.seen().members.len(), MEMBERS_MAX);
    }
}
