//! A server process: started in a process group of its own with its output in a log file, awaited,
//! stopped by its id, killed when dropped.

use std::fs::{self, File};
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc::{self, Sender};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::scratch::UNPRIVILEGED;
use crate::wait::{self, Deadline};

const START_LIMIT: Duration = Duration::from_secs(120);
const STOP_LIMIT: Duration = Duration::from_secs(20);
const DROP_LIMIT: Duration = Duration::from_secs(2);
const LOG_LINES_SHOWN: usize = 30;

/// What to start.
#[derive(Clone, Debug)]
pub struct Program {
    /// The executable.
    pub path: PathBuf,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// Added to the environment.
    pub environment: Vec<(String, String)>,
    /// Nothing else is in its environment.
    pub environment_is_all: bool,
    /// Where it runs and where its log is.
    pub directory: PathBuf,
    /// Where its standard output goes, if that is not to be in the log.
    pub output: Option<PathBuf>,
    /// Run as nobody if the caller is root, for servers that refuse root.
    pub refuses_root: bool,
    /// Asks for an orderly end.
    pub stop_signal: Signal,
    /// Sent when the value is dropped; what does not obey is killed.
    pub drop_signal: Signal,
}

impl Program {
    /// A program that runs in `directory`, ends on SIGTERM and is killed when dropped.
    pub fn new(path: impl Into<PathBuf>, directory: &Path) -> Program {
        Program {
            path: path.into(),
            arguments: Vec::new(),
            environment: Vec::new(),
            environment_is_all: false,
            directory: directory.to_owned(),
            output: None,
            refuses_root: false,
            stop_signal: Signal::TERM,
            drop_signal: Signal::KILL,
        }
    }

    /// Adds arguments.
    #[must_use]
    pub fn arguments<A: Into<String>>(mut self, arguments: impl IntoIterator<Item = A>) -> Program {
        self.arguments.extend(arguments.into_iter().map(Into::into));
        self
    }

    /// Runs it to its end, with its output in the log.
    ///
    /// # Panics
    /// If it cannot be started or fails, with the end of its log.
    pub fn run(self) {
        let mut process = Process::start(self);
        let status = process.wait_for_end(START_LIMIT);
        assert!(status.success(), "{} failed ({status}), its log ends:\n{}", process.name(), process.log_end());
    }

    /// `setpriv` becomes the program: it asks the kernel to kill it with this process, and lays
    /// down root. What is left is the right to pass through folders, for a cache in root's home;
    /// without that secure bit, access(2) would not know of the right.
    fn command(&self) -> Command {
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL"]);
        if self.refuses_root && rustix::process::geteuid().is_root() {
            let id = UNPRIVILEGED.to_string();
            command.args(["--reuid", &id, "--regid", &id, "--clear-groups", "--no-new-privs"]);
            command.args(["--securebits", "+no_setuid_fixup"]);
            command.args(["--inh-caps=-all,+dac_override", "--ambient-caps=-all,+dac_override"]);
        }
        command.arg("--").arg(&self.path).args(&self.arguments);
        if self.environment_is_all {
            command.env_clear();
        }
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }

    fn log_path(&self) -> PathBuf {
        let name = self.path.file_name().unwrap_or_default().to_string_lossy();
        self.directory.join(format!("{name}.log"))
    }

    fn spawn(&self) -> io::Result<Child> {
        let open = |path: &Path| File::options().create(true).append(true).open(path);
        let log = open(&self.log_path())?;
        let output = self.output.as_deref().map_or_else(|| log.try_clone(), open)?;
        let mut command = self.command();
        command.current_dir(&self.directory).process_group(0);
        command.stdin(Stdio::null()).stdout(output).stderr(log);
        spawn_on_lasting_thread(command)
    }
}

/// The kernel kills a child with the thread that started it, and a test's thread ends with the
/// test: so all are started by one thread that lasts as long as the process.
fn spawn_on_lasting_thread(command: Command) -> io::Result<Child> {
    type Order = (Command, Sender<io::Result<Child>>);
    static STARTER: OnceLock<Sender<Order>> = OnceLock::new();
    let starter = STARTER.get_or_init(|| {
        let (orders, received) = mpsc::channel::<Order>();
        thread::spawn(move || {
            for (mut command, reply) in received {
                // The caller waits for this reply; if it is gone, dropping the child is right.
                drop(reply.send(command.spawn()));
            }
        });
        orders
    });
    let (reply, child) = mpsc::channel();
    starter.send((command, reply)).expect("the starting thread never ends");
    child.recv().expect("the starting thread answers each order")
}

/// A process that was started. It is killed when dropped.
#[derive(Debug)]
pub struct Process {
    program: Program,
    child: Child,
    /// How long the log was when the process was last started.
    log_start: usize,
}

impl Process {
    /// Starts it, without waiting until it answers.
    ///
    /// # Panics
    /// If it cannot be started.
    #[must_use]
    pub fn start(program: Program) -> Process {
        assert!(
            program.path.components().count() == 1 || program.path.exists(),
            "{} is not there",
            program.path.display()
        );
        let log_start = fs::metadata(program.log_path()).map_or(0, |log| log.len());
        let log_start = usize::try_from(log_start).expect("a log fits in memory");
        let child =
            program.spawn().unwrap_or_else(|error| panic!("could not start {}: {error}", program.path.display()));
        Process { program, child, log_start }
    }

    /// Blocks until `answers` gives true.
    ///
    /// # Panics
    /// If the process ends before, or two minutes pass, with the end of its log.
    pub fn wait_until(&mut self, mut answers: impl FnMut(&Process) -> bool) {
        let deadline = Deadline::after(START_LIMIT);
        while !answers(self) {
            if let Some(status) = self.ended() {
                panic!("{} ended early ({status}), its log ends:\n{}", self.name(), self.log_end());
            }
            assert!(!deadline.passed(), "{} does not answer, its log ends:\n{}", self.name(), self.log_end());
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// The process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Whether it runs (or is stopped by [`Process::sigstop`]).
    pub fn running(&mut self) -> bool {
        self.ended().is_none()
    }

    /// Asks for an orderly end and waits for it; kills what has not ended after 20 seconds.
    /// Gives how it ended.
    pub fn stop(&mut self) -> ExitStatus {
        self.end_with(self.program.stop_signal, STOP_LIMIT)
    }

    /// Kills the process and its children with SIGKILL, and waits for its end.
    pub fn kill9(&mut self) -> ExitStatus {
        let children = if self.running() { descendants(self.id()) } else { Vec::new() };
        let status = self.end_with(Signal::KILL, STOP_LIMIT);
        wait::blocking(STOP_LIMIT, "the end of killed children", || {
            children.iter().all(|&child| is_dead(child)).then_some(())
        });
        status
    }

    /// Freezes the process and its children: connections stay open and nothing answers.
    pub fn sigstop(&mut self) {
        self.signal_with_children(Signal::STOP);
    }

    /// Ends what [`Process::sigstop`] began.
    pub fn sigcont(&mut self) {
        self.signal_with_children(Signal::CONT);
    }

    /// Adds to the environment of its next start.
    pub fn add_environment(&mut self, more: Vec<(String, String)>) {
        self.program.environment.extend(more);
    }

    /// Starts it again after its end, with the same program, log and directory.
    ///
    /// # Panics
    /// If it still runs or cannot be started.
    pub fn start_again(&mut self) {
        assert!(!self.running(), "{} still runs", self.name());
        *self = Process::start(self.program.clone());
    }

    /// Sends a signal to the process alone.
    pub fn signal(&mut self, signal: Signal) {
        if self.running() {
            send(self.id(), signal);
        }
    }

    /// Blocks until it ends of itself.
    ///
    /// # Panics
    /// If it does not within `limit`, with the end of its log.
    pub fn wait_for_end(&mut self, limit: Duration) -> ExitStatus {
        let deadline = Deadline::after(limit);
        loop {
            if let Some(status) = self.ended() {
                return status;
            }
            assert!(!deadline.passed(), "{} did not end, its log ends:\n{}", self.name(), self.log_end());
            thread::sleep(Duration::from_millis(2));
        }
    }

    /// What it has written since it was last started.
    #[must_use]
    pub fn log(&self) -> String {
        let log = fs::read(self.program.log_path()).unwrap_or_default();
        String::from_utf8_lossy(log.get(self.log_start..).unwrap_or_default()).into_owned()
    }

    /// The file that holds its standard error, and its output unless that goes elsewhere, of all its starts.
    #[must_use]
    pub fn log_path(&self) -> PathBuf {
        self.program.log_path()
    }

    fn log_end(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(LOG_LINES_SHOWN)..].join("\n")
    }

    fn name(&self) -> String {
        self.program.path.display().to_string()
    }

    fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("a child can be asked for its state")
    }

    fn end_with(&mut self, signal: Signal, limit: Duration) -> ExitStatus {
        if let Some(status) = self.ended() {
            return status;
        }
        // A frozen process cannot obey.
        self.signal_with_children(Signal::CONT);
        match signal {
            Signal::KILL => self.signal_with_children(signal),
            _ => send(self.id(), signal),
        }
        let deadline = Deadline::after(limit);
        while self.ended().is_none() && !deadline.passed() {
            thread::sleep(Duration::from_millis(2));
        }
        self.signal_with_children(Signal::KILL);
        self.child.wait().expect("a killed child ends")
    }

    /// The parent comes first, so that it starts no more children.
    fn signal_with_children(&mut self, signal: Signal) {
        if !self.running() {
            return;
        }
        let children = descendants(self.id());
        send(self.id(), signal);
        for child in children {
            send(child, signal);
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end_with(self.program.drop_signal, DROP_LIMIT);
    }
}

/// A process that has just ended is no error.
fn send(id: u32, signal: Signal) {
    if let Some(process) = i32::try_from(id).ok().and_then(Pid::from_raw) {
        let _ended = kill_process(process, signal);
    }
}

fn descendants(id: u32) -> Vec<u32> {
    let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap_or_default();
    let children = children.split_whitespace().filter_map(|child| child.parse().ok());
    children.flat_map(|child| [vec![child], descendants(child)].concat()).collect()
}

/// Gone, or a zombie that its new parent has not looked at yet.
fn is_dead(id: u32) -> bool {
    let state = fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
    state.is_empty() || state.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('Z'))
}

/// Blocks until `process` has written `text` since its last start.
///
/// # Panics
/// If it has not within `limit`.
pub fn wait_for_log(process: &Process, limit: Duration, text: &str) {
    wait::blocking(limit, &format!("the log line {text:?}"), || process.log().contains(text).then_some(()));
}
