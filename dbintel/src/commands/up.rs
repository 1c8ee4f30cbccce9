//! `dbintel up`: all roles in one process, and with `--demo` something for them to watch.

use std::path::Path;

use dbintel_config::Environment;

use super::role;
use crate::cli::{UpArguments, is_typed};
use crate::demo::{self, Demo};
use crate::failure::Failure;
use crate::logging;
use crate::roles::Roles;
use crate::runtime::{self, Display, Launch};
use crate::settings::{self, BuiltIn};
use crate::signals::Signals;

/// Runs all roles.
pub fn run(arguments: &UpArguments, environment: &Environment) -> Result<(), Failure> {
    let display = Display::chosen(arguments.quiet);
    if !arguments.demo {
        return role::serve(Roles::ALL, display, BuiltIn::Embedded, &arguments.serve, environment);
    }
    let config = arguments.serve.config.config.as_deref().map(Path::display);
    if is_typed(config, "DBINTEL_CONFIG", environment) {
        return Err(Failure::Usage("--demo has a configuration of its own: leave out --config".to_owned()));
    }
    arguments.serve.level()?;
    role::block_on(with_demo(arguments, display, environment))
}

/// Starts the demo, runs, and takes it away again whatever happened.
async fn with_demo(arguments: &UpArguments, display: Display, environment: &Environment) -> Result<(), Failure> {
    let mut signals = Signals::listen().map_err(Failure::runtime)?;
    let demo = tokio::select! {
        demo = Demo::start(arguments, environment) => demo?,
        // Also if the terminal was closed: there is no file to read again.
        _ = signals.next() => return Ok(()),
    };
    let result = match launch(arguments, display, &demo, environment) {
        Ok(launch) => runtime::run(launch, &mut signals).await,
        Err(failure) => Err(failure),
    };
    demo.stop().await;
    result
}

fn launch(
    arguments: &UpArguments,
    display: Display,
    demo: &Demo,
    environment: &Environment,
) -> Result<Launch, Failure> {
    let loaded = settings::load_text("(built in) demo.yaml", demo::CONFIGURATION, &demo.environment())?;
    let mut settings = loaded.config;
    settings.service = settings.service.with_flags(&arguments.serve)?;
    logging::start(&settings.service.logs);
    let export_address = role::export_address(Roles::ALL, &settings, &arguments.serve, environment)?;
    let hints = demo.hints(environment).map_err(Failure::runtime)?;
    Ok(Launch { settings, roles: Roles::ALL, export_address, display, hints, again: None })
}
