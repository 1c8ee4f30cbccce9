//! One subcommand per file.

pub mod completions;
pub mod config_print;
pub mod doctor;
pub mod group;
pub mod ledger;
pub mod quarantine;
pub mod role;
pub mod sql;
pub mod state;
pub mod tap;
pub mod targets;
pub mod topics;
pub mod up;
pub mod validate;
pub mod version;

use std::sync::Arc;

use dbintel_bus::{Bus, BusError, Config, Kind, embedded};
use dbintel_config::Environment;
use dbintel_processors::engine::read_schemas;
use dbintel_schemas::wire::Schemas;

use crate::cli::{
    Cli, Command, ConfigCommand, GroupCommand, LedgerCommand, QuarantineCommand, StateCommand, TargetsCommand,
    TopicsCommand,
};
use crate::failure::Failure;
use crate::roles::Roles;
use crate::settings::Settings;

/// Runs what the command line asks for.
pub fn run(cli: Cli, environment: &Environment) -> Result<(), Failure> {
    match cli.command {
        Command::Up(arguments) => up::run(&arguments, environment),
        Command::Poller(arguments) => role::run(Roles::POLLER, &arguments, environment),
        Command::Processor(arguments) => role::run(Roles::PROCESSOR, &arguments, environment),
        Command::Sink(arguments) => role::run(Roles::SINK, &arguments, environment),
        Command::Validate(arguments) => validate::run(&arguments, environment),
        Command::Doctor(arguments) => doctor::run(&arguments, environment),
        Command::Config(ConfigCommand::Print(argument)) => config_print::run(&argument, environment),
        Command::Topics(TopicsCommand::Create(argument)) => topics::create(&argument, environment),
        Command::Topics(TopicsCommand::Describe { config, json }) => topics::describe(&config, json, environment),
        Command::Targets(TargetsCommand::List { config, json }) => targets::list(&config, json, environment),
        Command::Targets(TargetsCommand::Adopt(arguments)) => targets::adopt(&arguments, environment),
        Command::Group(GroupCommand::Show { config, json }) => group::show(&config, json, environment),
        Command::Group(GroupCommand::Seek(arguments)) => group::seek(&arguments, environment),
        Command::Ledger(LedgerCommand::Verify(arguments)) => ledger::verify(&arguments, environment),
        Command::Quarantine(QuarantineCommand::List(arguments)) => quarantine::list(&arguments, environment),
        Command::Quarantine(QuarantineCommand::Show(arguments)) => quarantine::show(&arguments, environment),
        Command::Quarantine(QuarantineCommand::Retry(arguments)) => quarantine::retry(&arguments, environment),
        Command::Quarantine(QuarantineCommand::Drop(arguments)) => quarantine::drop_until(&arguments, environment),
        Command::State(StateCommand::List { filter, config, json }) => state::list(&filter, &config, json, environment),
        Command::State(StateCommand::Rebuild(arguments)) => state::rebuild(&arguments, environment),
        Command::State(StateCommand::Discard(arguments)) => state::discard(&arguments, environment),
        Command::Tap(arguments) => tap::run(&arguments, environment),
        Command::Sql(command) => sql::run(&command),
        Command::Version(arguments) => version::run(arguments),
        Command::Completions { shell } => completions::run(shell),
    }
}

/// The log for a command that writes to it: an embedded one must not have another writer.
fn open_to_write(settings: &Settings) -> Result<Arc<dyn Bus>, BusError> {
    dbintel_bus::open(&Config { kind: settings.bus.kind.clone() })
}

/// Number of partitions of a topic that has to be there.
fn partitions_of(bus: &dyn Bus, topic: &str) -> Result<u32, Failure> {
    let described = bus.describe_topics(topic).map_err(Failure::runtime)?;
    let found = described.iter().find(|found| found.name == topic).map(|found| found.partitions);
    found.ok_or_else(|| Failure::Runtime(format!("there is no topic {topic}: `dbintel topics create` makes it")))
}

/// Our schemas, and those that writers have left on the log.
fn schemas_of(bus: &dyn Bus) -> Result<Schemas, Failure> {
    let mut schemas = Schemas::new();
    read_schemas(bus, &mut schemas).map_err(Failure::runtime)?;
    Ok(schemas)
}

/// For commands that cannot read yet what was written with the schemas of a registry.
fn refuse_registry(settings: &Settings) -> Result<(), Failure> {
    match settings.bus.registry {
        None => Ok(()),
        Some(_) => Err(Failure::Runtime(
            "this command reads records without a schema registry only, and the configuration names one; `dbintel tap` reads both"
                .to_owned(),
        )),
    }
}

/// The log for a command that looks at it: the embedded one beside the process that writes it.
fn open_to_read(settings: &Settings) -> Result<Arc<dyn Bus>, BusError> {
    match &settings.bus.kind {
        Kind::Embedded(config) => Ok(Arc::new(embedded::Embedded::open_reader(config)?)),
        Kind::Kafka(_) => dbintel_bus::open(&Config { kind: settings.bus.kind.clone() }),
    }
}
