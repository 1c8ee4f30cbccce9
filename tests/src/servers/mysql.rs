//! MySQL and MariaDB with statement digests and a socket for the administrator, on a data directory of its own.

use std::fs;
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, OptsBuilder, Row};

use super::clock::Clock;
use super::{HOST, installed, text};
use crate::ports;
use crate::process::{Process, Program};
use crate::scratch::Scratch;

/// What is installed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flavour {
    /// MySQL 9.
    Mysql9,
    /// The MariaDB of Debian's stable suite: 10.11 or later.
    MariadbStable,
    /// MariaDB 11.
    Mariadb11,
}

impl Flavour {
    /// All of them.
    pub const ALL: [Flavour; 3] = [Flavour::Mysql9, Flavour::MariadbStable, Flavour::Mariadb11];

    /// Name in records.
    #[must_use]
    pub fn engine(self) -> &'static str {
        if self == Flavour::Mysql9 { "mysql" } else { "mariadb" }
    }

    fn server(self) -> &'static str {
        match self {
            Flavour::Mysql9 => "mysql-9",
            Flavour::MariadbStable => "mariadb-10",
            Flavour::Mariadb11 => "mariadb-11",
        }
    }
}

/// A database server; its process ends with the value.
#[derive(Debug)]
pub struct Mysql {
    /// Where it listens, on 127.0.0.1.
    pub port: u16,
    /// The server. `process.stop()` is an orderly shutdown.
    pub process: Process,
    scratch: Scratch,
}

impl Mysql {
    /// Starts a server, whose administrator `root` needs no password on its socket.
    ///
    /// # Panics
    /// If it is not installed or does not start.
    #[must_use]
    pub fn start(flavour: Flavour) -> Mysql {
        Mysql::start_with(flavour, &[])
    }

    /// As [`Mysql::start`], with options such as `--max-digest-length=100` after those of the harness.
    ///
    /// # Panics
    /// As [`Mysql::start`].
    #[must_use]
    pub fn start_with(flavour: Flavour, options: &[&str]) -> Mysql {
        let root = installed(flavour.server());
        let scratch = Scratch::new("sql");
        copy_folder(&root.join("template"), &scratch.path().join("data"));
        let port = ports::free();
        let server = program(flavour, &root, &scratch)
            .arguments(harness_options(flavour, &root, &scratch, port))
            .arguments(options.iter().copied());
        let mut mysql = Mysql { port, process: Process::start(server), scratch };
        mysql.wait_until_it_answers();
        mysql
    }

    /// Connects as the administrator.
    ///
    /// # Panics
    /// If the server refuses.
    pub async fn admin(&self) -> Conn {
        let socket = text(&self.socket());
        connect(OptsBuilder::default().socket(Some(socket)).user(Some("root")).prefer_socket(true)).await
    }

    /// Connects over TCP.
    ///
    /// # Panics
    /// If the server refuses.
    pub async fn client(&self, user: &str, password: &str, database: Option<&str>) -> Conn {
        let options = OptsBuilder::default().ip_or_hostname(HOST).tcp_port(self.port).prefer_socket(false);
        connect(options.user(Some(user)).pass(Some(password)).db_name(database)).await
    }

    /// Runs statements as the administrator.
    ///
    /// # Panics
    /// At the first that fails.
    pub async fn run(&self, statements: &[&str]) {
        let mut admin = self.admin().await;
        for statement in statements {
            admin.query_drop(*statement).await.unwrap_or_else(|error| panic!("{statement}: {error}"));
        }
        admin.disconnect().await.expect("an orderly end");
    }

    /// The rows of a statement, as the administrator sees them.
    ///
    /// # Panics
    /// If it fails.
    pub async fn rows(&self, statement: &str) -> Vec<Row> {
        let mut admin = self.admin().await;
        let rows = admin.query(statement).await.unwrap_or_else(|error| panic!("{statement}: {error}"));
        admin.disconnect().await.expect("an orderly end");
        rows
    }

    /// A shutdown and a start after which the server goes by this clock.
    ///
    /// # Panics
    /// If it does not start.
    pub fn restart_by(&mut self, clock: &Clock) {
        self.process.add_environment(clock.environment());
        self.process.stop();
        self.start_again();
    }

    /// Starts the server again after `process.stop()` or `process.kill9()`, with its data.
    ///
    /// # Panics
    /// If it does not start.
    pub fn start_again(&mut self) {
        self.process.start_again();
        self.wait_until_it_answers();
    }

    fn socket(&self) -> PathBuf {
        self.scratch.path().join("s")
    }

    fn wait_until_it_answers(&mut self) {
        let (port, socket) = (self.port, self.socket());
        self.process.wait_until(|_| TcpStream::connect((HOST, port)).is_ok() && UnixStream::connect(&socket).is_ok());
    }
}

async fn connect(options: OptsBuilder) -> Conn {
    Conn::new(options).await.unwrap_or_else(|error| panic!("could not connect: {error}"))
}

/// The server with the loader and the libraries that it was installed with.
fn program(flavour: Flavour, root: &Path, scratch: &Scratch) -> Program {
    let libraries = text(&root.join("usr/lib/x86_64-linux-gnu"));
    let daemon = if flavour == Flavour::Mysql9 { "usr/sbin/mysqld" } else { "usr/sbin/mariadbd" };
    let loader = root.join("usr/lib64/ld-linux-x86-64.so.2");
    let daemon = root.join(daemon);
    if loader.exists() {
        Program::new(loader, scratch.path()).arguments(["--library-path".to_owned(), libraries, text(&daemon)])
    } else {
        let mut program = Program::new(daemon, scratch.path());
        let all = format!("{libraries}:{}", text(&root.join("lib/x86_64-linux-gnu")));
        program.environment = vec![("LD_LIBRARY_PATH".to_owned(), all)];
        program
    }
}

fn harness_options(flavour: Flavour, root: &Path, scratch: &Scratch, port: u16) -> Vec<String> {
    let share = root.join("share");
    let mut options = vec![
        "--no-defaults".to_owned(),
        format!("--basedir={}", text(&root.join("usr"))),
        format!("--lc-messages-dir={}", text(&share)),
        format!("--character-sets-dir={}", text(&share.join("charsets"))),
        format!("--datadir={}", text(&scratch.path().join("data"))),
        format!("--socket={}", text(&scratch.path().join("s"))),
        format!("--pid-file={}", text(&scratch.path().join("pid"))),
        format!("--tmpdir={}", text(scratch.path())),
        format!("--bind-address={HOST}"),
        format!("--port={port}"),
    ];
    options.extend(
        [
            "--innodb-buffer-pool-size=64M",
            "--innodb-flush-log-at-trx-commit=2",
            "--max-connections=50",
            "--performance-schema=ON",
            "--performance-schema-digests-size=2000",
            "--skip-log-bin",
            "--skip-name-resolve",
            "--table-open-cache=200",
        ]
        .map(str::to_owned),
    );
    if flavour == Flavour::Mysql9 {
        options.push(format!("--plugin-dir={}", text(&root.join("usr/lib/mysql/plugin"))));
        options.extend(["--mysqlx=OFF".to_owned(), "--secure-file-priv=NULL".to_owned()]);
    }
    if rustix::process::geteuid().is_root() {
        options.push("--user=root".to_owned());
    }
    options
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder in the scratch directory");
    for entry in fs::read_dir(from).expect("the template is installed") {
        let entry = entry.expect("an entry of the template");
        let target = to.join(entry.file_name());
        if entry.file_type().expect("its type").is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).expect("room for a copy");
        }
    }
}
