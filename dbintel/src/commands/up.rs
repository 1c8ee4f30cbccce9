//! `dbintel up`: all roles in one process, and with `--demo` something for them to watch.

use dbintel_config::Environment;

use super::role;
use crate::cli::UpArguments;
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
    if arguments.demo {
        arguments.serve.check()?;
        return role::block_on(with_demo(arguments, display, environment));
    }
    let launch = role::launch(Roles::ALL, display, BuiltIn::Embedded, &arguments.serve, environment)?;
    role::block_on(async move {
        let mut signals = Signals::listen().map_err(Failure::runtime)?;
        runtime::run(launch, &mut signals).await
    })
}

/// Starts the demo, runs, and takes it away again whatever happened.
async fn with_demo(arguments: &UpArguments, display: Display, environment: &Environment) -> Result<(), Failure> {
    let mut signals = Signals::listen().map_err(Failure::runtime)?;
    let demo = tokio::select! {
        demo = Demo::start(arguments.postgres_bin.as_deref(), environment) => demo?,
        () = signals.stop() => return Ok(()),
    };
    let result = match launch(arguments, display, &demo) {
        Ok(launch) => runtime::run(launch, &mut signals).await,
        Err(failure) => Err(failure),
    };
    demo.stop().await;
    result
}

fn launch(arguments: &UpArguments, display: Display, demo: &Demo) -> Result<Launch, Failure> {
    let loaded = settings::load_text("(built in) demo.yaml", demo::CONFIGURATION, &demo.environment())?;
    let mut settings = loaded.config;
    settings.service = settings.service.with_flags(&arguments.serve);
    logging::start(&settings.service.logs);
    let configuration = demo.write_configuration().map_err(Failure::runtime)?.display().to_string();
    Ok(Launch {
        settings,
        roles: Roles::ALL,
        export_address: arguments.serve.export_address.clone(),
        display,
        hints: vec![
            format!("  database {}", demo.connection()),
            format!("  try      dbintel tap enriched.queries --from -1m --config {configuration}"),
        ],
        validate_again: Box::new(|| Ok(())),
    })
}
