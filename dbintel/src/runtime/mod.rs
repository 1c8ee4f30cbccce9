//! A running process: starts its roles, shows itself, obeys signals, and ends in order.

mod ground;
mod running;
mod table;

use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};

pub use self::table::Display;

use self::running::Running;
use self::table::Table;
use crate::failure::Failure;
use crate::health::{Health, Phase};
use crate::output;
use crate::roles::Roles;
use crate::settings::Settings;
use crate::signals::{Ask, Signals};

/// How often it is looked at whether a role has ended by itself.
const FAILURE_INTERVAL: Duration = Duration::from_millis(500);
/// Time between two tables.
const TABLE_INTERVAL: Duration = Duration::from_secs(2);

/// What to run, and how.
pub struct Launch {
    /// The configuration.
    pub settings: Settings,
    /// Roles to carry.
    pub roles: Roles,
    /// Wins over the endpoint of the `prometheus` sink.
    pub export_address: Option<String>,
    /// Whether there is a live table.
    pub display: Display,
    /// Further lines to print when all runs.
    pub hints: Vec<String>,
    /// Reads the configuration again, for SIGHUP.
    pub validate_again: Box<dyn Fn() -> Result<(), Failure> + Send>,
}

/// Runs until a signal asks for the end, or until a role cannot go on.
pub async fn run(launch: Launch, signals: &mut Signals) -> Result<(), Failure> {
    let health = Health::new();
    let started = tokio::select! {
        started = Running::start(&launch, &health) => started?,
        () = signals.stop() => return Ok(()),
    };
    health.enter(Phase::Running);
    started.addresses().iter().chain(&launch.hints).for_each(|line| {
        output::line(line);
    });
    let ended = until_the_end(&launch, &started, signals).await;
    health.enter(Phase::Stopping);
    tracing::info!("stopping");
    let timeout = launch.settings.service.shutdown_timeout;
    tokio::select! {
        stopped = tokio::time::timeout(timeout, started.stop()) => match stopped {
            Ok(()) => tracing::info!("stopped"),
            Err(_) => tracing::warn!(?timeout, "ended before all was delivered; the next start goes on from there"),
        },
        () = signals.stop() => return Err(Failure::Runtime("ended at once, at the second signal".to_owned())),
    }
    ended
}

async fn until_the_end(launch: &Launch, running: &Running, signals: &mut Signals) -> Result<(), Failure> {
    let mut table = running.screen().map(|screen| Table::new(screen, launch.display));
    let (mut failures, mut tables) = (interval(FAILURE_INTERVAL), interval(TABLE_INTERVAL));
    failures.set_missed_tick_behavior(MissedTickBehavior::Delay);
    tables.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            ask = signals.next() => match ask {
                Ask::Stop => return Ok(()),
                Ask::Reload => reload(launch),
            },
            _ = failures.tick() => {
                if let Some(failure) = running.failure() {
                    return Err(failure);
                }
            }
            _ = tables.tick() => {
                if let Some(table) = &mut table {
                    table.show(&running.flow());
                }
            }
        }
    }
}

/// Says whether the configuration could be started with; what runs is left alone.
fn reload(launch: &Launch) {
    match (launch.validate_again)() {
        Ok(()) => tracing::warn!("the configuration is valid; restart to apply what has changed"),
        Err(failure) => tracing::error!("the new configuration is refused, the old one goes on: {failure}"),
    }
}
