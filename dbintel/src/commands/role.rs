//! `dbintel poller`, `processor`, `sink`: one role, to be run as often as there is work for it.

use dbintel_config::Environment;
use dbintel_sinks::SinkConfig;

use crate::cli::{ServeArguments, is_typed};
use crate::failure::Failure;
use crate::listen::{Address, EXPORT};
use crate::logging;
use crate::roles::Roles;
use crate::runtime::{self, Display, Launch};
use crate::settings::{self, BuiltIn, Settings};
use crate::signals::Signals;

/// Runs one role.
pub fn run(roles: Roles, arguments: &ServeArguments, environment: &Environment) -> Result<(), Failure> {
    serve(roles, Display::None, BuiltIn::Kafka, arguments, environment)
}

/// Runs roles until they are told to stop.
pub fn serve(
    roles: Roles,
    display: Display,
    built_in: BuiltIn,
    arguments: &ServeArguments,
    environment: &Environment,
) -> Result<(), Failure> {
    let launch = launch(roles, display, built_in, arguments, environment)?;
    block_on(async move {
        let mut signals = Signals::listen().map_err(Failure::runtime)?;
        runtime::run(launch, &mut signals).await
    })
}

/// Loads the configuration and starts to log.
fn launch(
    roles: Roles,
    display: Display,
    built_in: BuiltIn,
    arguments: &ServeArguments,
    environment: &Environment,
) -> Result<Launch, Failure> {
    let loaded = settings::load(&arguments.config, built_in, environment)?;
    let mut settings = loaded.config;
    settings.service = settings.service.with_flags(arguments)?;
    settings.carry_only(&arguments.group)?;
    logging::start(&settings.service.logs);
    let export_address = export_address(roles, &settings, arguments, environment)?;
    loaded.warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
    let (arguments, environment) = (arguments.clone(), environment.clone());
    let again = move || launch(roles, display, built_in, &arguments, &environment);
    Ok(Launch {
        settings,
        roles,
        export_address,
        display,
        hints: Vec::new(),
        // Whoever closes the terminal that shows the table wants an end.
        again: (display != Display::InPlace).then(|| Box::new(again) as _),
    })
}

/// The address that wins over the endpoint of the `prometheus` sink. Two of them cannot share it.
pub fn export_address(
    roles: Roles,
    settings: &Settings,
    arguments: &ServeArguments,
    environment: &Environment,
) -> Result<Option<Address>, Failure> {
    let is_prometheus = |sink: &&settings::Sink| matches!(sink.config, SinkConfig::Prometheus(_));
    let sinks = settings.sinks.iter().filter(is_prometheus).count();
    let Some(address) = arguments.export_address.clone().filter(|_| roles.sink) else { return Ok(None) };
    if sinks == 1 {
        return Ok(Some(address));
    }
    let message = format!("is for one `prometheus` sink, and the configuration has {sinks}: set their `endpoint`");
    if is_typed(Some(&address), EXPORT.variable, environment) {
        return Err(Failure::Usage(format!("{} {message}", EXPORT.flag)));
    }
    tracing::warn!("{} {message}; it is ignored", EXPORT.variable);
    Ok(None)
}

/// Runs on a runtime that does not wait for what is left over at the end.
pub fn block_on(work: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(Failure::runtime)?;
    let result = runtime.block_on(work);
    runtime.shutdown_background();
    result
}
