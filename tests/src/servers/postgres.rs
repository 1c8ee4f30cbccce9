//! PostgreSQL with `pg_stat_statements` and `auto_explain` loaded, on a database directory of its own.

use std::fs;

use rustix::process::Signal;
use tokio_postgres::{Client, NoTls};

use super::clock::Clock;
use super::{HOST, installed, text};
use crate::ports;
use crate::process::{Process, Program};
use crate::scratch::Scratch;

/// The majors that are installed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Major {
    /// The oldest that is supported.
    V12,
    /// 13.
    V13,
    /// 14.
    V14,
    /// 15.
    V15,
    /// 16.
    V16,
    /// 17.
    V17,
    /// The newest.
    V18,
}

impl Major {
    /// All, the oldest first.
    pub const ALL: [Major; 7] = [Major::V12, Major::V13, Major::V14, Major::V15, Major::V16, Major::V17, Major::V18];

    fn server(self) -> &'static str {
        match self {
            Major::V12 => "postgres-12",
            Major::V13 => "postgres-13",
            Major::V14 => "postgres-14",
            Major::V15 => "postgres-15",
            Major::V16 => "postgres-16",
            Major::V17 => "postgres-17",
            Major::V18 => "postgres-18",
        }
    }
}

/// A database server; its process ends with the value.
#[derive(Debug)]
pub struct Postgres {
    /// Where it listens, on 127.0.0.1.
    pub port: u16,
    /// The postmaster. `process.stop()` is a fast shutdown: it does not wait for clients.
    pub process: Process,
    scratch: Scratch,
}

impl Postgres {
    /// Starts a server with the superuser `postgres`, who needs no password, in about a second.
    ///
    /// # Panics
    /// If it is not installed or does not start.
    #[must_use]
    pub fn start(major: Major) -> Postgres {
        Postgres::start_with(major, &[])
    }

    /// As [`Postgres::start`], with settings such as `("pg_stat_statements.max", "100")` in
    /// addition to or in place of the harness's.
    ///
    /// # Panics
    /// As [`Postgres::start`].
    #[must_use]
    pub fn start_with(major: Major, settings: &[(&str, &str)]) -> Postgres {
        Postgres::start_installed(major.server(), settings)
    }

    /// Debian's server, which compiles just in time and has the extension `pg_stat_kcache`.
    ///
    /// # Panics
    /// As [`Postgres::start`].
    #[must_use]
    pub fn start_extended(settings: &[(&str, &str)]) -> Postgres {
        Postgres::start_installed("extensions", settings)
    }

    fn start_installed(server: &str, settings: &[(&str, &str)]) -> Postgres {
        let binaries = installed(server).join("bin");
        let scratch = Scratch::new(server);
        scratch.give_away();
        let data = scratch.path().join("data");
        let port = ports::free();

        let mut make = Program::new(binaries.join("initdb"), scratch.path())
            .arguments(["-D".to_owned(), text(&data)])
            .arguments(["-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"]);
        make.refuses_root = true;
        make.run();

        let mut server = Program::new(binaries.join("postgres"), scratch.path());
        server = server.arguments(["-D".to_owned(), text(&data)]);
        for (name, value) in harness_settings(port, &scratch) {
            server = server.arguments(["-c".to_owned(), format!("{name}={value}")]);
        }
        for (name, value) in settings {
            server = server.arguments(["-c".to_owned(), format!("{name}={value}")]);
        }
        server.refuses_root = true;
        server.stop_signal = Signal::INT;
        server.drop_signal = Signal::QUIT;

        let mut postgres = Postgres { port, process: Process::start(server), scratch };
        postgres.wait_until_it_answers();
        postgres
    }

    /// A connection string for the superuser.
    #[must_use]
    pub fn conninfo(&self, database: &str) -> String {
        conninfo(self.port, database)
    }

    /// Connects as the superuser. The connection ends with the client.
    ///
    /// # Panics
    /// If the server refuses.
    pub async fn client(&self, database: &str) -> Client {
        connect(&self.conninfo(database)).await
    }

    /// Starts the server again after `process.stop()` or `process.kill9()`, with its data.
    ///
    /// # Panics
    /// If it does not start.
    pub fn start_again(&mut self) {
        self.process.start_again();
        self.wait_until_it_answers();
    }

    /// A fast shutdown and a start.
    ///
    /// # Panics
    /// If it does not start.
    pub fn restart(&mut self) {
        self.process.stop();
        self.start_again();
    }

    /// A fast shutdown and a start after which the server goes by this clock.
    ///
    /// # Panics
    /// If it does not start.
    pub fn restart_by(&mut self, clock: &Clock) {
        self.process.add_environment(clock.environment());
        self.restart();
    }

    /// As `pg_ctl` does: the server writes its state into the eighth line of its pid file.
    fn wait_until_it_answers(&mut self) {
        let pid_file = self.scratch.path().join("data/postmaster.pid");
        self.process.wait_until(|process| {
            let state = fs::read_to_string(&pid_file).unwrap_or_default();
            let lines: Vec<&str> = state.lines().map(str::trim).collect();
            let written_by_this_start = lines.first() == Some(&process.id().to_string().as_str());
            written_by_this_start && lines.get(7) == Some(&"ready")
        });
    }
}

fn harness_settings(port: u16, scratch: &Scratch) -> Vec<(&'static str, String)> {
    vec![
        ("listen_addresses", HOST.to_owned()),
        ("port", port.to_string()),
        ("unix_socket_directories", text(scratch.path())),
        ("fsync", "off".to_owned()),
        // In the data directory, where nothing is left behind by a kill.
        ("dynamic_shared_memory_type", "mmap".to_owned()),
        ("shared_preload_libraries", "pg_stat_statements,auto_explain".to_owned()),
    ]
}

pub(super) fn conninfo(port: u16, database: &str) -> String {
    format!("host={HOST} port={port} user=postgres dbname={database}")
}

pub(super) async fn connect(conninfo: &str) -> Client {
    let connected = tokio_postgres::connect(conninfo, NoTls).await;
    let (client, connection) = connected.unwrap_or_else(|error| panic!("could not connect to {conninfo}: {error}"));
    tokio::spawn(async move {
        // A test that kills the server sees the error at its client.
        drop(connection.await);
    });
    client
}
