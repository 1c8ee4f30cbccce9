//! One subcommand per file.

pub mod completions;
pub mod up;
pub mod version;

use crate::cli::{Cli, Command};
use crate::failure::Failure;

/// Runs what the command line asks for.
pub fn run(cli: Cli) -> Result<(), Failure> {
    match cli.command {
        Command::Version(arguments) => version::run(arguments),
        Command::Completions { shell } => completions::run(shell),
        Command::Up(arguments) => up::run(arguments),
        _ => Ok(()),
    }
}
