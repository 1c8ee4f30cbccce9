//! A running process: starts its roles, shows itself, obeys signals, and ends in order.

mod ground;
mod running;
mod table;

use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};

pub use self::running::groups;
pub use self::table::Display;

use self::running::Running;
use self::table::Table;
use crate::failure::Failure;
use crate::health::{Health, Phase};
use crate::listen::Address;
use crate::output::Writer;
use crate::roles::Roles;
use crate::settings::Settings;
use crate::signals::{Ask, Signals};

/// How often it is looked at whether a role has ended by itself.
const FAILURE_INTERVAL: Duration = Duration::from_millis(500);
/// Time between two tables.
const TABLE_INTERVAL: Duration = Duration::from_secs(2);
/// Longest wait at the end for a reader of standard output.
const OUTPUT_TIMEOUT: Duration = Duration::from_millis(200);

/// What to run, and how.
pub struct Launch {
    /// The configuration.
    pub settings: Settings,
    /// Roles to carry.
    pub roles: Roles,
    /// Wins over the endpoint of the `prometheus` sink.
    pub export_address: Option<Address>,
    /// Whether there is a live table.
    pub display: Display,
    /// Further lines to print when all runs.
    pub hints: Vec<String>,
    /// Reads the configuration again, for SIGHUP. Without it SIGHUP asks for the end.
    pub again: Option<Again>,
}

/// Reads a configuration again.
pub type Again = Box<dyn Fn() -> Result<Launch, Failure> + Send>;

/// How one life of the roles ended.
enum Ended {
    /// They could not be started.
    AtStart(Failure),
    /// They were stopped: somebody asked for it, or one could not go on.
    Stopped(Result<(), Failure>),
    /// They were stopped, and this is to be started.
    For(Box<Launch>),
}

/// Runs until a signal asks for the end, or until a role cannot go on. A new configuration is started in place of the old
/// one; if that fails, the old one is started again.
pub async fn run(launch: Launch, signals: &mut Signals) -> Result<(), Failure> {
    let output = Writer::start().map_err(Failure::runtime)?;
    let (mut current, mut before) = (launch, None);
    let result = loop {
        match live(&current, &output, signals).await {
            Ended::Stopped(result) => break result,
            Ended::For(next) => before = Some(std::mem::replace(&mut current, *next)),
            Ended::AtStart(failure) => match before.take() {
                None => break Err(failure),
                Some(old) => {
                    tracing::error!("the new configuration cannot be started, the old one goes on: {failure}");
                    current = old;
                }
            },
        }
    };
    output.finish(OUTPUT_TIMEOUT);
    result
}

/// One life of the roles.
async fn live(launch: &Launch, output: &Writer, signals: &mut Signals) -> Ended {
    let health = Health::new();
    let started = tokio::select! {
        started = Running::start(launch, &health) => match started {
            Ok(started) => started,
            Err(failure) => return Ended::AtStart(failure),
        },
        () = signals.stop() => return Ended::Stopped(Ok(())),
    };
    health.enter(Phase::Running);
    let lines: Vec<&str> = started.addresses().iter().chain(&launch.hints).map(String::as_str).collect();
    output.offer(lines.join("\n"));
    let reason = until_the_end(launch, &started, output, signals).await;
    health.enter(Phase::Stopping);
    stop(launch, started, reason, signals).await
}

/// Returns when there is a reason to stop; with what to start next, if somebody asked for that.
async fn until_the_end(
    launch: &Launch,
    running: &Running,
    output: &Writer,
    signals: &mut Signals,
) -> Result<Option<Box<Launch>>, Failure> {
    let mut table = running.screen().map(|screen| Table::new(screen, launch.display));
    let (mut failures, mut tables) = (interval(FAILURE_INTERVAL), interval(TABLE_INTERVAL));
    failures.set_missed_tick_behavior(MissedTickBehavior::Delay);
    tables.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            ask = signals.next() => match (ask, &launch.again) {
                (Ask::Stop, _) | (Ask::Reload, None) => return Ok(None),
                (Ask::Reload, Some(again)) => match again() {
                    Ok(next) => return Ok(Some(Box::new(next))),
                    Err(failure) => refuse(&failure),
                },
            },
            _ = failures.tick() => {
                if let Some(failure) = running.failure() {
                    return Err(failure);
                }
            }
            _ = tables.tick() => {
                if let Some(table) = &mut table {
                    table.show(&running.flow(), output);
                }
            }
        }
    }
}

/// Says what is wrong with a new configuration.
fn refuse(failure: &Failure) {
    tracing::error!("the new configuration is refused, the old one goes on");
    failure.to_string().lines().for_each(|line| tracing::error!("{line}"));
}

/// Stops in order. The end has a time limit; before another start everything has to be gone.
async fn stop(
    launch: &Launch,
    running: Running,
    reason: Result<Option<Box<Launch>>, Failure>,
    signals: &mut Signals,
) -> Ended {
    tracing::info!("stopping");
    let mut stopped = Box::pin(running.stop());
    let result = match reason {
        Err(failure) => Err(failure),
        Ok(None) => Ok(()),
        Ok(Some(next)) => tokio::select! {
            remains = &mut stopped => {
                remains.gone().await;
                tracing::info!("starting with the new configuration");
                return Ended::For(next);
            }
            () = signals.stop() => Ok(()),
        },
    };
    let timeout = launch.settings.service.shutdown_timeout;
    // A thread that still holds the log when the process ends would meet the end of RocksDB's own threads.
    let gone = async { stopped.await.gone().await };
    tokio::select! {
        stopped = tokio::time::timeout(timeout, gone) => match stopped {
            Ok(()) => tracing::info!("stopped"),
            Err(_) => tracing::warn!(?timeout, "ended before all was delivered; the next start goes on from there"),
        },
        () = signals.stop() => {
            return Ended::Stopped(Err(Failure::Runtime("ended at once, at the second signal".to_owned())));
        }
    }
    Ended::Stopped(result)
}
