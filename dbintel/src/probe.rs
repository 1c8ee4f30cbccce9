//! `validate --probe`: whether the log and each server can be reached.

use std::time::Duration;

use dbintel_bus::{Bus as _, Kind, embedded};
use dbintel_config::ComponentId;
use dbintel_pollers::Config;

use crate::failure::Failure;
use crate::settings::Settings;

/// What was tried and what came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probe {
    /// What was to be reached.
    pub what: String,
    /// What it said, or why it could not be reached.
    pub result: Result<String, String>,
}

/// Longest wait for a log that is far away.
const LOG_TIMEOUT: Duration = Duration::from_secs(15);

/// Tries everything at once.
pub fn run(settings: &Settings) -> Result<Vec<Probe>, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Failure::runtime)?;
    let probes = runtime.block_on(async {
        let kind = settings.bus.kind.clone();
        let log = tokio::task::spawn_blocking(move || log(&kind));
        let (mut servers, mut probes) = (Vec::new(), Vec::new());
        for poller in &settings.pollers {
            match poller.targets() {
                Ok(targets) => {
                    let id = &poller.id;
                    let probe = |(target, config)| tokio::spawn(server(target, id.clone(), config));
                    servers.extend(targets.into_iter().map(probe));
                }
                Err(trouble) => probes.push(Probe { what: format!("targets of {}", poller.id), result: Err(trouble) }),
            }
        }
        let answer = tokio::time::timeout(LOG_TIMEOUT, log).await;
        let result = match answer {
            Ok(Ok(result)) => result,
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err(format!("no answer within {} s", LOG_TIMEOUT.as_secs())),
        };
        probes.insert(0, Probe { what: settings.bus.place(), result });
        for server in servers {
            probes.extend(server.await);
        }
        probes
    });
    runtime.shutdown_background();
    Ok(probes)
}

/// Whether the log answers. An embedded one that is not there yet is made by the first start.
fn log(kind: &Kind) -> Result<String, String> {
    let bus = match kind {
        Kind::Embedded(config) if !config.directory.exists() => {
            return Ok("is made at the first start".to_owned());
        }
        Kind::Embedded(config) => {
            let reader = embedded::Embedded::open_reader(config).map_err(|error| error.to_string())?;
            return reader.health().map(|()| "can be read".to_owned()).map_err(|error| error.to_string());
        }
        Kind::Kafka(_) => dbintel_bus::open(&dbintel_bus::Config { kind: kind.clone() }),
    };
    let bus = bus.map_err(|error| error.to_string())?;
    bus.health().map(|()| "answers".to_owned()).map_err(|error| error.to_string())
}

async fn server(target: String, poller: ComponentId, config: Config) -> Probe {
    let what = format!("{target} ({poller} at {})", config.endpoint());
    let result = match config.probe().await {
        Err(failure) => Err(failure.message),
        Ok(found) => {
            let missing: Vec<String> = found.missing.iter().map(|missing| missing.name.clone()).collect();
            let missing = if missing.is_empty() { String::new() } else { format!(", without {}", missing.join(", ")) };
            Ok(format!("{}, {}{missing}", found.version, found.role))
        }
    };
    Probe { what, result }
}
