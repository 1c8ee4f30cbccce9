//! Where a configuration comes from: the file that was named, or the one that is built in.

use std::path::Path;

use dbintel_config::{Document, Environment, Loaded};

use super::Settings;
use crate::cli::ConfigArgument;
use crate::failure::Failure;

/// A configuration that is shipped, and used where none is named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BuiltIn {
    /// All roles on the embedded log.
    Embedded,
    /// One role on Kafka.
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

/// Loads the file that was named, or the one that is built in.
pub fn load(
    argument: &ConfigArgument,
    built_in: BuiltIn,
    environment: &Environment,
) -> Result<Loaded<Settings>, Failure> {
    let document = match &argument.config {
        Some(path) => dbintel_config::load(path, environment)?,
        None => {
            let (name, text) = built_in.file();
            Document::from_text(name, text, environment)?
        }
    };
    read(document, environment, argument.state_directory.as_deref())
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
