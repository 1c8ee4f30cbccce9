//! `dbintel poller`, `processor`, `sink`: one role, to be run as often as there is work for it.

use dbintel_config::Environment;

use crate::cli::ServeArguments;
use crate::failure::Failure;
use crate::logging;
use crate::roles::Roles;
use crate::runtime::{self, Display, Launch};
use crate::settings::{self, BuiltIn};
use crate::signals::Signals;

/// Runs one role.
pub fn run(roles: Roles, arguments: &ServeArguments, environment: &Environment) -> Result<(), Failure> {
    let launch = launch(roles, Display::None, BuiltIn::Kafka, arguments, environment)?;
    block_on(async move {
        let mut signals = Signals::listen().map_err(Failure::runtime)?;
        runtime::run(launch, &mut signals).await
    })
}

/// Loads the configuration and starts to log.
pub fn launch(
    roles: Roles,
    display: Display,
    built_in: BuiltIn,
    arguments: &ServeArguments,
    environment: &Environment,
) -> Result<Launch, Failure> {
    arguments.check()?;
    let loaded = settings::load(&arguments.config, built_in, environment)?;
    let mut settings = loaded.config;
    settings.service = settings.service.with_flags(arguments);
    logging::start(&settings.service.logs);
    loaded.warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
    let (argument, again) = (arguments.config.clone(), environment.clone());
    Ok(Launch {
        settings,
        roles,
        export_address: arguments.export_address.clone(),
        display,
        hints: Vec::new(),
        validate_again: Box::new(move || settings::load(&argument, built_in, &again).map(drop)),
    })
}

/// Runs on a runtime that does not wait for what is left over at the end.
pub fn block_on(work: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(Failure::runtime)?;
    let result = runtime.block_on(work);
    runtime.shutdown_background();
    result
}
