//! The binary: reads the command line and runs one subcommand of [`commands`].

mod cli;
mod clock;
mod commands;
mod demo;
mod drift;
mod failure;
mod health;
mod lag;
mod ledger;
mod listen;
mod logging;
mod metrics;
mod output;
mod probe;
mod roles;
mod runtime;
mod sampler_metrics;
mod settings;
mod signals;
mod slot;
mod stream;
mod tap;

use std::process::ExitCode;

use dbintel_config::Environment;

/// Serves C and C++ as well: large buffers come and go with each commit, and the system's allocator gives them back to the kernel,
/// which clears them each time.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    let environment = Environment::of_process();
    logging::tell_of_panics();
    match commands::run(cli::parse(&environment), &environment) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            let message = failure.to_string();
            if !message.is_empty() {
                output::complain(&message);
            }
            failure.exit_code()
        }
    }
}
