//! Why a command did not do what was asked, and what the process exits with.

use std::fmt::Display;
use std::process::ExitCode;

use dbintel_config::{EXIT_CONFIG, Problems};

/// What a command returns instead of a result.
#[derive(Debug)]
pub enum Failure {
    /// The configuration is refused: every mistake is printed, exit 78.
    Configuration(Problems),
    /// An argument makes no sense in this place: exit 2, as for arguments that clap refuses.
    Usage(String),
    /// Something went wrong: exit 1.
    Runtime(String),
    /// All was said on standard output: exit with this.
    Said(u8),
}

impl Failure {
    /// A failure at run time, with the chain of its causes.
    pub fn runtime(error: impl std::error::Error) -> Failure {
        let mut message = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            let text = cause.to_string();
            if !message.ends_with(&text) {
                message = format!("{message}: {text}");
            }
            source = cause.source();
        }
        Failure::Runtime(message)
    }

    /// What the process exits with.
    pub fn exit_code(&self) -> ExitCode {
        ExitCode::from(match self {
            Failure::Configuration(_) => EXIT_CONFIG as u8,
            Failure::Usage(_) => 2,
            Failure::Runtime(_) => 1,
            Failure::Said(code) => *code,
        })
    }
}

impl Display for Failure {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Failure::Configuration(problems) => write!(formatter, "{problems}"),
            Failure::Usage(message) | Failure::Runtime(message) => write!(formatter, "dbintel: {message}"),
            Failure::Said(_) => Ok(()),
        }
    }
}

impl From<Problems> for Failure {
    fn from(problems: Problems) -> Failure {
        Failure::Configuration(problems)
    }
}
