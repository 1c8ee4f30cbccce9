//! The section `service`: how the process shows itself, and where it keeps things.

use std::path::PathBuf;
use std::time::Duration;

use dbintel_config::{Environment, Section};

use crate::cli::{LogFormat, ServeArguments};
use crate::failure::Failure;
use crate::listen::Address;
use crate::logging::{self, Level};
use crate::settings::Layout;

const WANTED_ADDRESS: &str = "an address and a port";

/// Settings of the process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// Where health answers.
    pub health_address: Address,
    /// Where the own metrics are.
    pub metrics_address: Address,
    /// How to log.
    pub logs: logging::Settings,
    /// Where state, the embedded log and locks are kept.
    pub state_directory: PathBuf,
    /// How processors are put into consumer groups.
    pub layout: Layout,
    /// Full names of the groups of processors that this process takes part in; empty for all.
    pub only_groups: Vec<String>,
    /// Name of the process in its groups; without one the first free number.
    pub slot: Option<String>,
    /// Bytes that may wait in memory between the log, the processors and the sinks.
    pub memory_bytes: usize,
    /// Longest time for an orderly end.
    pub shutdown_timeout: Duration,
}

impl Service {
    /// Reads the section.
    pub fn read(section: &mut Section, environment: &Environment) -> Service {
        let health_address = section.section("health").doc("Where `/`, `/livez` and `/readyz` answer.").parsed(
            "address",
            "127.0.0.1:13133",
            WANTED_ADDRESS,
        );
        let mut telemetry = section.section("telemetry");
        let metrics_address = telemetry.section("metrics").doc("Where this process's own metrics are.").parsed(
            "address",
            "127.0.0.1:8888",
            WANTED_ADDRESS,
        );
        let logs = read_logs(&mut telemetry.section("logs"));
        let state_directory = section
            .doc("Where state, the embedded log and locks are kept.")
            .text("state_directory", &default_state_directory(environment));
        Service {
            health_address,
            metrics_address,
            logs,
            state_directory: PathBuf::from(state_directory),
            slot: None,
            only_groups: Vec::new(),
            layout: section
                .doc("How processors are put into consumer groups: `compact` is one group for all, `split` one for each kind.")
                .variant("layout", &[("compact", Layout::Compact), ("split", Layout::Split)], "compact"),
            memory_bytes: section
                .doc("Bytes that may wait in memory between the log, the processors and the sinks.")
                .bytes_within("memory", "64MiB", "4MiB"..="64GiB") as usize,
            shutdown_timeout: section
                .doc(
                    "Longest time for an orderly end; what is not delivered by then is delivered after the next start.",
                )
                .duration_within("shutdown_timeout", "4s", "100ms"..="10m"),
        }
    }

    /// Lets the command line have the last word.
    pub fn with_flags(mut self, flags: &ServeArguments) -> Result<Service, Failure> {
        override_with(&mut self.health_address, flags.health_address.as_ref());
        override_with(&mut self.metrics_address, flags.metrics_address.as_ref());
        override_with(&mut self.logs.level, flags.level()?.as_ref());
        override_with(&mut self.logs.format, flags.log_format.as_ref());
        self.slot.clone_from(&flags.slot);
        Ok(self)
    }
}

fn override_with<T: Clone>(setting: &mut T, flag: Option<&T>) {
    if let Some(flag) = flag {
        setting.clone_from(flag);
    }
}

fn read_logs(section: &mut Section) -> logging::Settings {
    let level: Level = section.doc("Least severity that is logged: error, warn, info, debug, trace or off.").parsed(
        "level",
        "info",
        "a level, or directives such as `info,rdkafka=warn`",
    );
    let encodings = [("text", LogFormat::Text), ("console", LogFormat::Text), ("json", LogFormat::Json)];
    let format = section.doc("Form of log lines.").variant("encoding", &encodings, "text");
    logging::Settings { level, format }
}

/// Where a user's programs keep state, else where those of the system do.
fn default_state_directory(environment: &Environment) -> String {
    let set = |name: &str| environment.get(name).filter(|value| value.starts_with('/'));
    match (set("XDG_STATE_HOME"), set("HOME")) {
        (Some(state), _) => format!("{state}/dbintel"),
        (None, Some(home)) => format!("{home}/.local/state/dbintel"),
        (None, None) => "/var/lib/dbintel".to_owned(),
    }
}
