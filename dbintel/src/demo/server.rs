//! A PostgreSQL in a scratch directory that nothing outlives.
//!
//! The server is the child of a guard, a shell that waits for the end of its standard input: that comes when we stop and
//! when we are killed. The guard then stops the server and removes the directory. PostgreSQL refuses to run as root, so
//! root gives it the user `nobody`.

use std::fs::{self, Permissions};
use std::io::{self, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tokio_postgres::{Client, NoTls};

use super::installation::Installation;

/// Who runs the server when we are root.
const NOBODY: u32 = 65534;
/// Time that the server has to answer its first connection.
const START_TIMEOUT: Duration = Duration::from_secs(10);
/// How long we wait for the guard to stop the server and to remove the directory. It goes on if we end before.
const STOP_TIMEOUT: Duration = Duration::from_millis(1500);
/// Pause between two tries to connect.
const CONNECT_PAUSE: Duration = Duration::from_millis(30);
/// Last bytes of the server's log that are shown when it does not start.
const LOG_BYTES_MAX: usize = 1500;
/// The superuser; it can connect through the local socket only.
const SUPERUSER: &str = "postgres";

/// Folder of a copied installation.
const COPY: &str = "postgresql";

const GUARD: &str = include_str!("guard.sh");

/// A server that runs.
#[derive(Debug)]
pub struct Server {
    directory: PathBuf,
    port: u16,
    monitor_password: String,
    guard: Child,
}

/// The server did not start.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// The scratch directory does not work.
    #[error("could not prepare a scratch directory for the demo: {0}")]
    Directory(#[source] io::Error),
    /// A program did not run.
    #[error("could not run {program}: {source}")]
    Run {
        /// Which one.
        program: String,
        /// What the system says.
        source: io::Error,
    },
    /// A program said no.
    #[error("{program} failed: {output}")]
    Failed {
        /// Which one.
        program: String,
        /// What it said.
        output: String,
    },
    /// It does not answer.
    #[error("the demo's PostgreSQL does not answer: {source}; its log ends with: {log}")]
    Silent {
        /// Last try.
        source: tokio_postgres::Error,
        /// End of its log.
        log: String,
    },
}

impl Server {
    /// Makes a data directory, starts a server on it, and waits until it answers.
    pub async fn start(installation: &Installation) -> Result<Server, ServerError> {
        let installation = installation.clone();
        let prepared = tokio::task::spawn_blocking(move || Server::prepare(&installation));
        let server = prepared.await.map_err(|error| ServerError::Directory(io::Error::other(error)))??;
        if tokio::time::timeout(START_TIMEOUT, server.answered()).await.is_ok() {
            return Ok(server);
        }
        let (log, last_try) = (server.log(), server.connect("postgres", SUPERUSER).await);
        server.stop().await;
        match last_try {
            Err(source) => Err(ServerError::Silent { source, log }),
            Ok(_) => Err(ServerError::Failed { program: "postgres".to_owned(), output: "it was too slow".to_owned() }),
        }
    }

    /// Everything up to the start of the server. Whatever fails, the guard removes what was made.
    fn prepare(installation: &Installation) -> Result<Server, ServerError> {
        let directory = scratch_directory().map_err(ServerError::Directory)?;
        let port = free_port().map_err(ServerError::Directory)?;
        let monitor_password = unguessable().map_err(ServerError::Directory)?;
        let bin = bin_within_reach(installation, &directory)?;
        let mut guard = spawn_guard(&bin.path, &directory, port)?;
        if let Some(prefix) = bin.copy_of {
            copy_installation(&prefix, &directory.join(COPY))?;
        }
        initialise(&bin.path, &directory)?;
        if let Some(stdin) = &mut guard.stdin {
            stdin.write_all(b"start\n").map_err(ServerError::Directory)?;
        }
        Ok(Server { directory, port, monitor_password, guard })
    }

    async fn answered(&self) {
        while self.connect("postgres", SUPERUSER).await.is_err() {
            tokio::time::sleep(CONNECT_PAUSE).await;
        }
    }

    /// A connection of the superuser.
    pub async fn connect_as_superuser(&self, database: &str) -> Result<Client, tokio_postgres::Error> {
        self.connect(database, SUPERUSER).await
    }

    /// A connection through the local socket, which only this user and root can reach.
    pub async fn connect(&self, database: &str, user: &str) -> Result<Client, tokio_postgres::Error> {
        connect(&self.directory, self.port, database, user).await
    }

    /// Opens connections elsewhere.
    pub fn connector(&self, database: &str, user: &str) -> Connector {
        let (directory, port) = (self.directory.clone(), self.port);
        Connector { directory, port, database: database.to_owned(), user: user.to_owned() }
    }

    /// Where it listens: host and port.
    pub fn endpoint(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// How a person connects as the superuser.
    pub fn connection(&self) -> String {
        format!("psql -h {} -p {} -U {SUPERUSER} shop", self.directory.display(), self.port)
    }

    /// Password that the monitoring role gets.
    pub fn monitor_password(&self) -> &str {
        &self.monitor_password
    }

    /// The scratch directory.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Stops the server and removes the scratch directory.
    pub async fn stop(mut self) {
        drop(self.guard.stdin.take());
        let mut guard = self.guard;
        let waited = tokio::task::spawn_blocking(move || guard.wait());
        if tokio::time::timeout(STOP_TIMEOUT, waited).await.is_err() {
            tracing::warn!(directory = %self.directory.display(), "the demo's server takes its time to stop");
        }
    }

    fn log(&self) -> String {
        let text = fs::read(self.directory.join("server.log")).unwrap_or_default();
        String::from_utf8_lossy(&text[text.len().saturating_sub(LOG_BYTES_MAX)..]).trim().to_owned()
    }
}

/// Opens connections to a database as a user.
#[derive(Debug, Clone)]
pub struct Connector {
    directory: PathBuf,
    port: u16,
    database: String,
    user: String,
}

impl Connector {
    /// A new connection.
    pub async fn connect(&self) -> Result<Client, tokio_postgres::Error> {
        connect(&self.directory, self.port, &self.database, &self.user).await
    }
}

async fn connect(directory: &Path, port: u16, database: &str, user: &str) -> Result<Client, tokio_postgres::Error> {
    let mut config = tokio_postgres::Config::new();
    config.host_path(directory).port(port).dbname(database).user(user).application_name("shop");
    let (client, connection) = config.connect(NoTls).await?;
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "a connection of the demo ended");
        }
    });
    Ok(client)
}

/// A directory that the server's user owns and nobody else can enter.
fn scratch_directory() -> io::Result<PathBuf> {
    let mut builder = tempfile::Builder::new();
    let directory = builder.prefix("dbintel-demo-").permissions(Permissions::from_mode(0o700)).tempdir()?.keep();
    if we_are_root() {
        chown(&directory, Some(NOBODY), Some(NOBODY))?;
    }
    Ok(directory)
}

/// Where the programs are started from.
struct Bin {
    path: PathBuf,
    /// The installation that has to be copied first, because the server's user cannot reach it.
    copy_of: Option<PathBuf>,
}

fn bin_within_reach(installation: &Installation, directory: &Path) -> Result<Bin, ServerError> {
    let path = fs::canonicalize(&installation.bin).map_err(ServerError::Directory)?;
    let open_to_all = |folder: &Path| fs::metadata(folder).is_ok_and(|folder| folder.permissions().mode() & 0o001 != 0);
    if !we_are_root() || path.ancestors().all(open_to_all) {
        return Ok(Bin { path, copy_of: None });
    }
    let copy = directory.join(COPY).join(path.file_name().unwrap_or_default());
    Ok(Bin { path: copy, copy_of: path.parent().map(Path::to_owned) })
}

/// Copies an installation: by hard links, if it is on the same file system.
fn copy_installation(prefix: &Path, copy: &Path) -> Result<(), ServerError> {
    run(Command::new("cp").arg("-al").arg(prefix).arg(copy)).or_else(|_| {
        let _ = fs::remove_dir_all(copy);
        run(Command::new("cp").arg("-a").arg(prefix).arg(copy))
    })
}

fn initialise(bin: &Path, directory: &Path) -> Result<(), ServerError> {
    let mut initdb = as_server_user(&bin.join("initdb"), &["--pdeathsig", "KILL"]);
    initdb.arg("-D").arg(directory.join("data")).args(["-U", SUPERUSER, "--encoding=UTF8", "--locale=C", "--no-sync"]);
    initdb.args(["--auth-local=trust", "--auth-host=scram-sha-256"]).current_dir(directory);
    run(&mut initdb)
}

/// The guard with the server. In a process group of its own, so that Ctrl-C reaches only us.
fn spawn_guard(bin: &Path, directory: &Path, port: u16) -> Result<Child, ServerError> {
    let postgres = as_server_user(&bin.join("postgres"), &[]);
    let sockets = format!("unix_socket_directories={}", directory.display());
    let mut guard = Command::new("/bin/sh");
    guard.args(["-c", GUARD, "dbintel-demo"]).arg(directory);
    guard.arg(postgres.get_program()).args(postgres.get_args()).arg("-D").arg(directory.join("data"));
    for setting in ["listen_addresses=127.0.0.1", &format!("port={port}"), &sockets].iter().chain(&SETTINGS) {
        guard.args(["-c", setting]);
    }
    guard.current_dir(directory).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
    guard.spawn().map_err(|source| ServerError::Run { program: "/bin/sh".to_owned(), source })
}

/// Small, and without regard for its data.
const SETTINGS: [&str; 7] = [
    "shared_preload_libraries=pg_stat_statements",
    "fsync=off",
    "shared_buffers=32MB",
    "max_connections=40",
    "track_io_timing=on",
    "autovacuum=off",
    "max_wal_size=256MB",
];

/// `setpriv` and what follows it, when we are root.
fn as_server_user(program: &Path, pdeathsig: &[&str]) -> Command {
    if !we_are_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups", "--no-new-privs", "--inh-caps=-all"]);
    command.args(pdeathsig);
    command.arg(program);
    command
}

fn run(command: &mut Command) -> Result<(), ServerError> {
    let shown = command.get_args().find(|argument| !argument.as_encoded_bytes().starts_with(b"-"));
    let program = format!("{} {}", command.get_program().display(), shown.unwrap_or_default().display());
    let output = match command.stdin(Stdio::null()).output() {
        Ok(output) if output.status.success() => return Ok(()),
        Ok(output) => String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        Err(source) => return Err(ServerError::Run { program, source }),
    };
    Err(ServerError::Failed { program, output })
}

/// Whoever owns our entry in `/proc` is who we are.
fn we_are_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0)
}

/// A port that was free a moment ago.
fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// A password for a server that lives for minutes and listens on loopback.
fn unguessable() -> io::Result<String> {
    let uuid = fs::read_to_string("/proc/sys/kernel/random/uuid")?;
    Ok(uuid.trim().to_owned())
}
