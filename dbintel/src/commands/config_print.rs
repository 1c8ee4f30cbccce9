//! `dbintel config print`: every setting in effect, as YAML that loads again.

use dbintel_config::Environment;

use crate::cli::ConfigArgument;
use crate::failure::Failure;
use crate::output;
use crate::settings;

/// Prints the configuration.
pub fn run(argument: &ConfigArgument, environment: &Environment) -> Result<(), Failure> {
    let loaded = settings::load_to_look(argument, environment)?;
    output::line(loaded.effective.to_yaml().trim_end());
    Ok(())
}
