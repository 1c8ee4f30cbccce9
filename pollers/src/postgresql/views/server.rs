//! The server: since when it runs, in which role, for how many connections.

use crate::postgresql::mapping;
use crate::view::{Source, VIEW, View};

/// Facts of the server.
pub const SERVER: View = View { name: "server", source: Source::Any, series: mapping::SERVER, ..VIEW };
