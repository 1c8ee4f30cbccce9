//! Where a configuration comes from: the file that was named, or the one that is built in.

use std::path::Path;

use clap::ValueEnum;
use dbintel_config::{Document, Environment, Loaded};

use super::Settings;
use crate::cli::ConfigArgument;
use crate::failure::Failure;
use crate::output;

/// A configuration that is shipped, and used where none is named.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum BuiltIn {
    /// The embedded log: all roles in one process.
    Embedded,
    /// Kafka: each role in processes of its own.
    Kafka,
}

impl BuiltIn {
    fn file(self) -> (&'static str, &'static str) {
        match self {
            BuiltIn::Embedded => ("(built in) embedded.yaml", include_str!("../../../config/files/embedded.yaml")),
            BuiltIn::Kafka => ("(built in) kafka.yaml", include_str!("../../../config/files/kafka.yaml")),
        }
    }
}

/// Loads the file that was named, or else the built-in configuration that was, or else `otherwise`.
pub fn load(
    argument: &ConfigArgument,
    otherwise: BuiltIn,
    environment: &Environment,
) -> Result<Loaded<Settings>, Failure> {
    let document = match &argument.config {
        Some(path) => dbintel_config::load(path, environment)?,
        None => {
            let (name, text) = argument.built_in.unwrap_or(otherwise).file();
            Document::from_text(name, text, environment)?
        }
    };
    read(document, environment, argument.state_directory.as_deref())
}

/// The same for a command that runs no role. Without a file, it says first which configuration that is.
pub fn load_to_look(argument: &ConfigArgument, environment: &Environment) -> Result<Loaded<Settings>, Failure> {
    if argument.config.is_none() {
        let (name, _) = argument.built_in.unwrap_or(BuiltIn::Embedded).file();
        output::complain(&format!("dbintel: the configuration is {name}; --config or --built-in name another"));
    }
    load(argument, BuiltIn::Embedded, environment)
}

/// Loads a text.
pub fn load_text(name: &str, text: &str, environment: &Environment) -> Result<Loaded<Settings>, Failure> {
    read(Document::from_text(name, text, environment)?, environment, None)
}

fn read(
    document: Document,
    environment: &Environment,
    state_directory: Option<&Path>,
) -> Result<Loaded<Settings>, Failure> {
    Ok(document.read(|root| Settings::read(root, environment, state_directory))?)
}
