//! Several servers that one target may be at, as libpq knows them: they are tried in their order, and the first one that answers
//! and has the wanted role is connected to.

use std::str::FromStr;

use dbintel_config::Section;

use crate::failure::Failure;
use crate::settings::{Endpoint, EndpointError};

/// Where else a server may be, and what it has to be.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Hosts {
    /// Endpoints that are tried after the first one.
    pub others: Vec<Endpoint>,
    /// What it has to be.
    pub wanted: Wanted,
}

/// What the server has to be that is connected to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Wanted {
    /// Whatever answers.
    #[default]
    Any,
    /// One that takes writes.
    Primary,
    /// One that only reads.
    Standby,
    /// One that only reads, or whatever answers if there is none.
    PreferStandby,
}

/// Class of failures whose cause is a server that is not what is wanted.
const ROLE: &str = "role";

/// Names of libpq.
const WANTED: [(&str, Wanted); 6] = [
    ("any", Wanted::Any),
    ("primary", Wanted::Primary),
    ("read-write", Wanted::Primary),
    ("standby", Wanted::Standby),
    ("read-only", Wanted::Standby),
    ("prefer-standby", Wanted::PreferStandby),
];

/// Endpoints with commas between them.
struct Endpoints(Vec<Endpoint>);

impl FromStr for Endpoints {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Endpoints, EndpointError> {
        text.split(',').map(|endpoint| endpoint.trim().parse()).collect::<Result<_, _>>().map(Endpoints)
    }
}

impl Hosts {
    /// Reads `endpoint` and `target_session_attrs`; gives the first endpoint, which names the target, and the rest.
    pub fn read(section: &mut Section, doc: &'static str, default: &str, wanted: &str) -> (Endpoint, Hosts) {
        let Endpoints(mut others) = section.doc(doc).parsed("endpoint", default, wanted);
        let first = others.remove(0);
        let attributes = section.doc("What the server has to be, of several: names of libpq.");
        let wanted = attributes.variant("target_session_attrs", &WANTED, "any");
        (first, Hosts { others, wanted })
    }

    /// What is asked for, one after the other, at each of the endpoints.
    fn rounds(&self) -> &'static [Wanted] {
        match self.wanted {
            Wanted::Any => &[Wanted::Any],
            Wanted::Primary => &[Wanted::Primary],
            Wanted::Standby => &[Wanted::Standby],
            Wanted::PreferStandby => &[Wanted::Standby, Wanted::Any],
        }
    }

    /// The attempts at a connection, in their order.
    pub fn attempts<'a>(&'a self, first: &'a Endpoint) -> impl Iterator<Item = (&'a Endpoint, Wanted)> {
        let all = move || std::iter::once(first).chain(&self.others);
        self.rounds().iter().flat_map(move |wanted| all().map(|endpoint| (endpoint, *wanted)))
    }
}

impl Wanted {
    /// Whether a role has to be asked for.
    pub fn is_particular(self) -> bool {
        self != Wanted::Any
    }

    /// That a server is not what is wanted.
    pub fn check(self, is_standby: bool) -> Result<(), Failure> {
        match (self, is_standby) {
            (Wanted::Primary, true) => Err(Failure::refused(ROLE, "it is a standby, and a primary is wanted")),
            (Wanted::Standby, false) => Err(Failure::refused(ROLE, "it is a primary, and a standby is wanted")),
            _ => Ok(()),
        }
    }
}

/// What went wrong at each attempt, as one failure with the words of all: the first one but those of servers that are not wanted.
pub fn all_failed(failures: Vec<(String, Failure)>) -> Failure {
    let words = failures.iter().map(|(endpoint, failure)| format!("{endpoint}: {}", failure.message));
    let words = words.collect::<Vec<_>>().join("; ");
    let several = failures.len() > 1;
    let place = failures.iter().position(|(_, failure)| failure.class != ROLE).unwrap_or(0);
    match failures.into_iter().nth(place) {
        Some((_, told)) if several => Failure { message: words, ..told },
        Some((_, told)) => told,
        None => Failure::refused("io", "there is no endpoint"),
    }
}

#[cfg(test)]
mod tests {
    use dbintel_config::{Document, Environment};

    use super::*;

    fn read(text: &str) -> Result<(Endpoint, Hosts), String> {
        let document = Document::from_text("t.yaml", text, &Environment::from_iter::<[(&str, &str); 0]>([])).unwrap();
        let loaded = document.read(|section| Hosts::read(section, "Where.", "localhost:5432", "an endpoint"));
        loaded.map(|loaded| loaded.config).map_err(|problems| problems.to_string())
    }

    fn attempts(text: &str) -> Vec<(String, Wanted)> {
        let (first, hosts) = read(text).unwrap();
        hosts.attempts(&first).map(|(endpoint, wanted)| (endpoint.to_string(), wanted)).collect()
    }

    #[test]
    fn endpoints_are_tried_in_order() {
        let at = |endpoint: &str, wanted| (endpoint.to_owned(), wanted);
        assert_eq!(attempts("{}"), [at("localhost:5432", Wanted::Any)]);
        assert_eq!(
            attempts("{endpoint: 'a:1, [::1]:2', target_session_attrs: read-write}"),
            [at("a:1", Wanted::Primary), at("[::1]:2", Wanted::Primary)]
        );
        assert_eq!(
            attempts("{endpoint: 'a:1,b:2', target_session_attrs: prefer-standby}"),
            [at("a:1", Wanted::Standby), at("b:2", Wanted::Standby), at("a:1", Wanted::Any), at("b:2", Wanted::Any)]
        );
        assert!(read("{endpoint: 'a:1,'}").unwrap_err().contains("expected host:port"));
    }

    #[test]
    fn all_failures_are_told() {
        let failures = |count: usize| {
            let of = |number: usize| (format!("db{number}:1"), Failure::refused("io", format!("trouble {number}")));
            all_failed((1..=count).map(of).collect()).message
        };
        assert_eq!(failures(1), "trouble 1");
        assert_eq!(failures(2), "db1:1: trouble 1; db2:1: trouble 2");
    }
}
