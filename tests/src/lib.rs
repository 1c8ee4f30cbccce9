//! The harness of the tests: starts real servers on free loopback ports in scratch directories,
//! waits until they answer, and stops them by their process id.
//!
//! Nothing of a server outlives the test process, even if that is killed: the kernel kills the
//! servers with it, and a watchdog removes the scratch directories. A server that is not installed
//! is a failure that says so, never a skipped test; `tests/servers/install.sh` installs them.
//!
//! A start that fails panics with the end of the server's own log, since no test can go on then.

pub mod books;
pub mod certificates;
pub mod conformance;
pub mod http;
pub mod metrics;
pub mod otlp_peer;
pub mod ports;
pub mod process;
pub mod proxy;
pub mod scratch;
pub mod servers;
pub mod wait;
