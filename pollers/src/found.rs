//! What a server says to whoever asks whether a configuration works.

use crate::poll::Capability;

/// What a server says to whoever asks whether a configuration works.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Kind of server and its version, in its own words.
    pub version: String,
    /// primary or standby.
    pub role: &'static str,
    /// What is missing, and what mends it.
    pub missing: Vec<Capability>,
    /// Settings that make some of it poorer than it could be, and what mends them.
    pub advice: Vec<Capability>,
    /// What this version of the server does not have, and nothing mends.
    pub absent: Vec<Capability>,
    /// Statements that an administrator runs to set our account up on this server.
    pub setup: String,
}
