//! `PgBouncer` in transaction mode: each transaction may get another connection of the server.

use std::net::TcpStream;

use tokio_postgres::Client;

use super::postgres::{Postgres, connect, conninfo};
use super::{HOST, installed, text};
use crate::ports;
use crate::process::{Process, Program};
use crate::scratch::Scratch;

/// A pooler; its process ends with the value.
#[derive(Debug)]
pub struct PgBouncer {
    /// Where it listens, on 127.0.0.1.
    pub port: u16,
    /// The pooler's process.
    pub process: Process,
    _scratch: Scratch,
}

impl PgBouncer {
    /// Starts a pooler with one connection per database of `postgres`, so that all clients share it.
    ///
    /// # Panics
    /// If it is not installed or does not start.
    #[must_use]
    pub fn in_front_of(postgres: &Postgres) -> PgBouncer {
        PgBouncer::with_pool_size(postgres, 1)
    }

    /// As [`PgBouncer::in_front_of`], with that many connections per database.
    ///
    /// # Panics
    /// As [`PgBouncer::in_front_of`].
    #[must_use]
    pub fn with_pool_size(postgres: &Postgres, connections: u16) -> PgBouncer {
        let folder = installed("pgbouncer");
        let scratch = Scratch::new("pgbouncer");
        let port = ports::free();
        let users = scratch.write("users.txt", "\"postgres\" \"\"\n");
        let settings = format!(
            "[databases]
* = host={HOST} port={}
[pgbouncer]
listen_addr = {HOST}
listen_port = {port}
unix_socket_dir =
pool_mode = transaction
default_pool_size = {connections}
auth_type = trust
auth_file = {}
admin_users = postgres
ignore_startup_parameters = extra_float_digits
",
            postgres.port,
            text(&users)
        );
        let settings = scratch.write("pgbouncer.ini", &settings);
        scratch.give_away();

        let mut program = Program::new(folder.join("usr/sbin/pgbouncer"), scratch.path()).arguments([text(&settings)]);
        let libraries = text(&folder.join("usr/lib/x86_64-linux-gnu"));
        program.environment.push(("LD_LIBRARY_PATH".to_owned(), libraries));
        program.refuses_root = true;
        // SIGTERM is "immediate" here, SIGINT waits for clients.
        let mut process = Process::start(program);
        process.wait_until(|_| TcpStream::connect((HOST, port)).is_ok());
        PgBouncer { port, process, _scratch: scratch }
    }

    /// A connection string for the superuser.
    #[must_use]
    pub fn conninfo(&self, database: &str) -> String {
        conninfo(self.port, database)
    }

    /// Connects through the pooler as the superuser. Database `pgbouncer` is the pooler's own,
    /// which knows `SHOW POOLS` and the like as simple queries.
    ///
    /// # Panics
    /// If the pooler refuses.
    pub async fn client(&self, database: &str) -> Client {
        connect(&self.conninfo(database)).await
    }
}
