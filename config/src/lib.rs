//! How a process starts: its configuration, read from YAML with every mistake reported at once.
//!
//! [`load`] parses a file and expands its references (`${env:VAR}`, `${env:VAR:-default}`,
//! `${file:/run/secrets/x}`, `$$`). [`Document::read`] hands its top to a reader as a [`Section`];
//! [`Topology`] cuts it into components, pipelines, bus and service. This crate knows no component:
//! each has its `Config` beside it, and reads that from its own section:
//!
//! ```
//! use std::time::Duration;
//!
//! use dbintel_config::{Document, Environment, Secret, Section};
//!
//! /// The settings of a poller.
//! struct Config {
//!     endpoint: String,
//!     password: Option<Secret>,
//!     interval: Duration,
//!     rows_max: u32,
//!     tls: Tls,
//! }
//!
//! /// The settings of its encryption.
//! struct Tls {
//!     insecure: bool,
//!     ca_file: Option<String>,
//! }
//!
//! impl Config {
//!     fn read(section: &mut Section) -> Config {
//!         Config {
//!             endpoint: section.doc("Host and port of the server.").text("endpoint", "localhost:5432"),
//!             password: section.doc("Password of the monitoring user.").secret("password"),
//!             interval: section.doc("Time between two polls.").duration_within("interval", "10s", "1s"..="1h"),
//!             rows_max: section.doc("Statements per poll.").integer("rows_max", 5000, 1..=100_000),
//!             tls: Tls::read(&mut section.section("tls")),
//!         }
//!     }
//! }
//!
//! impl Tls {
//!     fn read(section: &mut Section) -> Tls {
//!         let tls = Tls {
//!             insecure: section.boolean("insecure", false),
//!             ca_file: section.optional_text("ca_file"),
//!         };
//!         if tls.insecure && tls.ca_file.is_some() {
//!             section.problem("ca_file", "means nothing while `insecure` is true; leave out one of them");
//!         }
//!         tls
//!     }
//! }
//!
//! let environment = Environment::from_iter([("POSTGRES_PASSWORD", "correct horse")]);
//! let good = "endpoint: db1:5432\npassword: ${env:POSTGRES_PASSWORD}\ninterval: 30s\n";
//! let loaded = Document::from_text("good.yaml", good, &environment)?.read(Config::read)?;
//! assert_eq!(loaded.config.endpoint, "db1:5432");
//! assert_eq!(loaded.config.interval, Duration::from_secs(30));
//! assert_eq!(loaded.config.rows_max, 5000);
//! assert_eq!(
//!     loaded.effective.to_yaml(),
//!     r#"endpoint: db1:5432
//! password: "****"
//! interval: 30s
//! rows_max: 5000
//! tls:
//!   insecure: false
//!   ca_file: null
//! "#
//! );
//!
//! let bad = "intervl: 30s\nrows_max: many\ntls:\n  insecure: yes\npassword: ${env:PASSWORD}\n";
//! let problems = Document::from_text("bad.yaml", bad, &environment)?.read(Config::read).err().unwrap();
//! assert_eq!(
//!     problems.to_string(),
//!     "bad.yaml:1:1: intervl: unknown key `intervl`, did you mean `interval`? \
//!      known: endpoint, password, interval, rows_max, tls\n\
//!      bad.yaml:2:11: rows_max: expected a whole number from 1 to 100000, found `many`\n\
//!      bad.yaml:4:13: tls.insecure: expected `true` or `false`, found `yes`\n\
//!      bad.yaml:5:11: password: environment variable `PASSWORD` is not set; \
//!      set it, or write `${env:PASSWORD:-default}`\n\
//!      4 problems"
//! );
//! # Ok::<(), dbintel_config::Problems>(())
//! ```
//!
//! Nothing here prints a secret: a [`Secret`] shows as `****`, and a text that came from a variable
//! or a file is shown, in messages and in the printed configuration, as the reference that it came
//! through. Everything is bounded: [`FILE_BYTES_MAX`], [`NODES_MAX`], [`DEPTH_MAX`],
//! [`SECRET_FILE_BYTES_MAX`].

mod component;
mod document;
mod effective;
mod environment;
mod expand;
mod load;
mod parse;
mod pipeline;
mod problem;
mod secret;
mod section;
mod suggest;
mod units;

#[cfg(test)]
mod testing;

pub use component::{ComponentId, ComponentIdError};
pub use document::{Entry, Node, Position, Scalar, Value};
pub use effective::{Effective, Kind, Printable, Setting};
pub use environment::Environment;
pub use expand::SECRET_FILE_BYTES_MAX;
pub use load::{Document, EXIT_CONFIG, FILE_BYTES_MAX, Loaded, load};
pub use parse::{DEPTH_MAX, NODES_MAX};
pub use pipeline::{Component, Pipeline, Role, Topology};
pub use problem::{Path, Problem, Problems, Segment, Severity};
pub use secret::Secret;
pub use section::{Integer, Section};
pub use suggest::way_out;
pub use units::{parse_bytes, parse_duration};
