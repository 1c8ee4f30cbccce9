//! `dbintel completions`: what a shell completes.

use clap::CommandFactory as _;
use clap_complete::Shell;

use crate::cli::Cli;
use crate::failure::Failure;
use crate::output;

/// Prints the completions for a shell.
pub fn run(shell: Shell) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "dbintel", &mut script);
    output::line(String::from_utf8_lossy(&script).trim_end());
    Ok(())
}
