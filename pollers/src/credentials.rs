//! Where the password of an account comes from: the configuration, a file, or a command, the way to tokens of clouds. A file
//! or command is asked for each new connection, so that a new password needs no restart.

use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use dbintel_config::{Secret, Section};
use tokio::process::Command as Process;
use tokio::sync::Mutex;

use crate::clock::Clock;
use crate::failure::Failure;

/// Class of failures to get a password.
const CLASS: &str = "credentials";
/// Most bytes of a password or token.
const PASSWORD_BYTES_MAX: usize = 64 << 10;
/// Time for a command.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(10);

/// Where a password comes from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Credentials {
    /// The server asks for none.
    #[default]
    None,
    /// The configuration has it.
    Fixed(Secret),
    /// The file has it, as its first line.
    File(String),
    /// The command prints it, as its first line.
    Command(Command),
}

/// A command that prints a password.
#[derive(Debug, Clone)]
pub struct Command {
    /// Program and arguments; no shell is between.
    arguments: Vec<String>,
    /// Time for which what it printed is good.
    ttl: Duration,
    clock: Clock,
    /// What it printed last, and when.
    issued: Arc<Mutex<Option<(Secret, Duration)>>>,
}

impl PartialEq for Command {
    fn eq(&self, other: &Command) -> bool {
        (&self.arguments, self.ttl) == (&other.arguments, other.ttl)
    }
}

impl Eq for Command {}

impl From<Secret> for Credentials {
    fn from(password: Secret) -> Credentials {
        Credentials::Fixed(password)
    }
}

impl Credentials {
    /// Reads the keys of a poller.
    pub fn read(section: &mut Section) -> Credentials {
        let password = section.doc("Password of the account.").secret("password");
        let file = section
            .doc("File with the password as its first line, read again for each new connection.")
            .optional_text("password_file");
        let arguments = section
            .doc("Program and arguments that print the password, such as a token of a cloud, as the first line.")
            .list_of_text("password_command", &[]);
        let ttl = section
            .doc("Time for which a printed password is good; it is renewed when 4/5 are over.")
            .duration_within("password_ttl", "10m", "1s"..="1d");
        let given = [password.is_some(), file.is_some(), !arguments.is_empty()];
        if given.into_iter().filter(|is_given| *is_given).count() > 1 {
            let message = "only one of `password`, `password_file` and `password_command` can be set";
            section.problem("password", message);
        }
        match (password, file) {
            (Some(password), _) => Credentials::Fixed(password),
            (None, Some(file)) => Credentials::File(file),
            (None, None) if arguments.is_empty() => Credentials::None,
            (None, None) => Credentials::Command(Command::new(arguments, ttl)),
        }
    }

    /// The password as it is now.
    pub async fn password(&self) -> Result<Option<Secret>, Failure> {
        match self {
            Credentials::None => Ok(None),
            Credentials::Fixed(password) => Ok(Some(password.clone())),
            Credentials::File(path) => {
                let text = tokio::fs::read(path).await.map_err(|error| refused(path, &error.to_string()))?;
                first_line(&text).ok_or_else(|| refused(path, "its first line is empty or no text")).map(Some)
            }
            Credentials::Command(command) => command.password().await.map(Some),
        }
    }

    /// The server did not take the password: the next one is a new one.
    pub async fn reject(&self) {
        if let Credentials::Command(command) = self {
            *command.issued.lock().await = None;
        }
    }
}

impl Command {
    /// A command that was not run yet.
    pub fn new(arguments: Vec<String>, ttl: Duration) -> Command {
        Command { arguments, ttl, clock: Clock::start(), issued: Arc::default() }
    }

    async fn password(&self) -> Result<Secret, Failure> {
        let mut issued = self.issued.lock().await;
        let now = self.clock.monotonic();
        if let Some((password, at)) = &*issued
            && now < *at + self.ttl * 4 / 5
        {
            return Ok(password.clone());
        }
        let password = self.run().await?;
        *issued = Some((password.clone(), now));
        Ok(password)
    }

    async fn run(&self) -> Result<Secret, Failure> {
        let program = &self.arguments[0];
        let mut process = Process::new(program);
        process.args(&self.arguments[1..]).stdin(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
        let output = tokio::time::timeout(COMMAND_TIMEOUT, process.output()).await;
        let output = output.map_err(|_| refused(program, &format!("it did not end within {COMMAND_TIMEOUT:?}")))?;
        let output = output.map_err(|error| refused(program, &error.to_string()))?;
        if !output.status.success() {
            return Err(refused(program, &format!("it failed: {}", output.status)));
        }
        first_line(&output.stdout).ok_or_else(|| refused(program, "the first line that it printed is empty or no text"))
    }
}

fn refused(source: &str, reason: &str) -> Failure {
    Failure::refused(CLASS, format!("no password from {source}: {reason}"))
}

fn first_line(text: &[u8]) -> Option<Secret> {
    let line = text.split(|byte| *byte == b'\n').next()?;
    let line = std::str::from_utf8(line.strip_suffix(b"\r").unwrap_or(line)).ok()?;
    (!line.is_empty() && line.len() <= PASSWORD_BYTES_MAX).then(|| Secret::new(line))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_the_first_line() {
        let cases: [(&[u8], Option<&str>); 6] = [
            (b"hunter2", Some("hunter2")),
            (b"hunter2\n", Some("hunter2")),
            (b" hunter 2 \r\nmore", Some(" hunter 2 ")),
            (b"\nhunter2", None),
            (b"", None),
            (b"\xff\n", None),
        ];
        for (text, expected) in cases {
            assert_eq!(first_line(text), expected.map(Secret::new), "{text:?}");
        }
    }

    #[tokio::test]
    async fn a_command_is_run_again_when_its_time_is_nearly_over() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("runs");
        let script = format!("echo run >> {0}; wc -l < {0}", file.display());
        let command = Command::new(["sh", "-c", &script].map(str::to_owned).to_vec(), Duration::from_millis(500));
        let credentials = Credentials::Command(command);
        let first = credentials.password().await.unwrap();
        assert_eq!(credentials.password().await.unwrap(), first);
        credentials.reject().await;
        let second = credentials.password().await.unwrap();
        assert!(
            first == Some(Secret::new("1")) && second == Some(Secret::new("2")),
            "the server did not take the first"
        );
        tokio::time::sleep(Duration::from_millis(450)).await;
        assert_eq!(credentials.password().await.unwrap(), Some(Secret::new("3")));
    }

    #[tokio::test]
    async fn what_goes_wrong_is_named_and_nothing_that_was_printed() {
        let fails =
            Command::new(["sh", "-c", "echo hunter2; exit 3"].map(str::to_owned).to_vec(), Duration::from_secs(1));
        let failure = Credentials::Command(fails).password().await.unwrap_err();
        assert!(failure.message.contains("exit status: 3") && !failure.message.contains("hunter2"), "{failure}");
        let failure = Credentials::File("/nonexistent/password".to_owned()).password().await.unwrap_err();
        assert!(failure.message.contains("/nonexistent/password") && failure.class == CLASS, "{failure}");
    }
}
