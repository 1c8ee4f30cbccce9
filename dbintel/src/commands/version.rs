//! `dbintel version`: what runs here.

use serde_json::json;

use crate::cli::JsonArgument;
use crate::failure::Failure;
use crate::output;

/// Prints the version.
pub fn run(arguments: JsonArgument) -> Result<(), Failure> {
    let version = env!("CARGO_PKG_VERSION");
    let text = match arguments.json {
        true => json!({ "name": "dbintel", "version": version, "target": target() }).to_string(),
        false => format!("dbintel {version}"),
    };
    output::line(&text);
    Ok(())
}

fn target() -> String {
    format!("{}-{}", std::env::consts::ARCH, std::env::consts::OS)
}
