//! What has to be there before a role can start: a slot, the log with its topics, and the framing of records.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use dbintel_bus::registry::{Registry as SchemaRegistry, RegistryError};
use dbintel_bus::{Bus, BusError, Framings, NewTopic, planned_topics, topic_name};
use dbintel_schemas::records::DEFINITIONS;
use dbintel_schemas::topics::PREFIX;
use dbintel_schemas::wire::Framing;
use prometheus::Registry;

use crate::failure::Failure;
use crate::health::Health;
use crate::roles::{Ground, processor};
use crate::settings::{FIRST, Settings};
use crate::slot::Slot;

/// Longest wait until the schemas are on the log, before it is said that they are not.
const ANNOUNCE_TIMEOUT: Duration = Duration::from_secs(10);
/// Pause before something that is away is asked again.
const RETRY_PAUSE: Duration = Duration::from_secs(2);

/// Prepares everything. What is away is waited for, for ever; what a person has to mend is an error.
pub async fn prepare(settings: &Settings, metrics: &Registry, health: &Health) -> Result<(Ground, Slot), Failure> {
    let slot =
        Slot::take(&settings.service.state_directory, settings.service.slot.as_deref()).map_err(Failure::runtime)?;
    let config = dbintel_bus::Config { kind: settings.bus.kind.clone() };
    let bus = patiently("open the log", move || dbintel_bus::open(&config)).await?;
    // A question that hangs must not keep the log open.
    let asked = Arc::downgrade(&bus);
    health.watch("bus", move || match asked.upgrade() {
        Some(bus) => bus.health().map(|()| None).map_err(|error| error.to_string()),
        None => Err("it is closed".to_owned()),
    });
    let planned = planned_topics(settings.bus.partitions, &settings.group_names());
    if settings.bus.is_embedded() {
        let planned = planned.clone();
        let bus = Arc::clone(&bus);
        patiently("create the topics", move || bus.create_topics(&planned)).await?;
    }
    check_topics(settings, &bus, &planned).await?;
    let announced = processor::announce(&*bus).map_err(Failure::runtime)?;
    patiently("announce the schemas", move || announced.flush(ANNOUNCE_TIMEOUT)).await?;
    let schema_registry =
        settings.bus.registry.as_ref().map(SchemaRegistry::new).transpose().map_err(Failure::runtime)?;
    let schema_registry = schema_registry.map(Arc::new);
    let ground = Ground {
        bus,
        partitions: settings.bus.partitions,
        framings: match &schema_registry {
            Some(schema_registry) => registered(schema_registry).await?,
            None => Framings::single_object(),
        },
        schema_registry,
        slot: slot.member().clone(),
        directory: settings.service.state_directory.join(format!("slot-{}", slot.id())),
        metrics: metrics.clone(),
        memory_bytes: settings.service.memory_bytes,
    };
    Ok((ground, slot))
}

/// The topics of a cluster are made by whoever runs it; we say how. The number of partitions has to be right everywhere.
async fn check_topics(settings: &Settings, bus: &Arc<dyn Bus>, planned: &[NewTopic]) -> Result<(), Failure> {
    let bus = Arc::clone(bus);
    let described = patiently("look at the topics", move || bus.describe_topics(PREFIX)).await?;
    let partitions = |name: &str| described.iter().find(|topic| topic.name == name).map(|topic| topic.partitions);
    let missing: Vec<&str> =
        planned.iter().map(|topic| topic.name.as_str()).filter(|name| partitions(name).is_none()).collect();
    if !missing.is_empty() {
        let missing = missing.join(", ");
        return Err(Failure::Runtime(format!("topics are missing: {missing}; make them with `dbintel topics create`")));
    }
    let (right, different): (Vec<&NewTopic>, Vec<&NewTopic>) =
        planned.iter().partition(|topic| partitions(&topic.name) == Some(topic.partitions));
    // If most are right, the configuration is: somebody gave a topic on Kafka more partitions, which nobody reads.
    let may_grow = !settings.bus.is_embedded() && right.len() > different.len();
    let has_grown = |topic: &&NewTopic| may_grow && partitions(&topic.name) > Some(topic.partitions);
    if let Some(topic) = different.iter().find(|topic| !has_grown(topic)) {
        let (name, wanted, found) = (&topic.name, topic.partitions, partitions(&topic.name).unwrap_or_default());
        let way_out = match settings.bus.is_embedded() {
            true => "begin with another folder for the log".to_owned(),
            false => format!("set `bus: kafka: partitions` to {found}"),
        };
        return Err(Failure::Runtime(format!(
            "{name} has {found} partitions and has to have {wanted}: {way_out}; `dbintel topics describe` shows all \
             differences"
        )));
    }
    Ok(())
}

/// A group that has never run would begin with all raw records that are kept: after a change of the layout all of them a second
/// time.
pub async fn check_layout(settings: &Settings, bus: &Arc<dyn Bus>) -> Result<(), Failure> {
    for group in settings.carried_groups().filter(|group| group.is_first()) {
        for other in FIRST.into_iter().filter(|other| *other != group.name) {
            let (bus, inputs) = (Arc::clone(bus), group.input_names());
            let (name, before) = (group.name.clone(), other.to_owned());
            let is_changed =
                move || Ok(bus.committed(&name, &inputs)?.is_empty() && !bus.committed(&before, &inputs)?.is_empty());
            if patiently("look at the positions of the processors", is_changed).await? {
                let name = &group.name;
                return Err(Failure::Runtime(format!(
                    "{name} has never run and {other} has: with another `service: layout` every raw record would be processed a \
                     second time; `dbintel group seek --group {name} --to end` says what it means to begin at the end, and does it \
                     with --yes"
                )));
            }
        }
    }
    Ok(())
}

/// The frames of a registry that has the schemas of all our topics. It is waited for.
async fn registered(registry: &Arc<SchemaRegistry>) -> Result<Framings, Failure> {
    let mut framings = BTreeMap::new();
    for definition in DEFINITIONS {
        let schema_id = loop {
            let registry = Arc::clone(registry);
            let register = move || registry.register(&topic_name(definition.topic), definition.schema);
            match blocking(register).await? {
                Ok(schema_id) => break schema_id,
                Err(error @ RegistryError::Unavailable(_)) => {
                    tracing::warn!(%error, "waiting for the schema registry");
                    tokio::time::sleep(RETRY_PAUSE).await;
                }
                Err(error) => return Err(Failure::runtime(error)),
            }
        };
        framings.insert(definition.topic, Framing::Confluent { schema_id });
    }
    Ok(Framings::registered(framings))
}

/// Asks the log until it answers.
async fn patiently<T: Send + 'static>(
    what: &'static str,
    ask: impl Fn() -> Result<T, BusError> + Clone + Send + 'static,
) -> Result<T, Failure> {
    loop {
        match blocking(ask.clone()).await? {
            Ok(answer) => return Ok(answer),
            Err(error @ BusError::Fatal { .. }) => return Err(Failure::runtime(error)),
            Err(error) => {
                tracing::warn!(%error, to = what, "waiting for the log");
                tokio::time::sleep(RETRY_PAUSE).await;
            }
        }
    }
}

/// Runs what blocks where it may.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Failure> {
    tokio::task::spawn_blocking(work).await.map_err(Failure::runtime)
}
