//! Processors that die at one statement, as a stack that overflows or a system without memory would kill them: what the test of
//! a crash loop needs. Arguments: address of the brokers, state directory, id of the statement.

use std::error::Error;
use std::path::PathBuf;
use std::sync::Arc;

use dbintel_bus::kafka::{Config, Kafka};
use dbintel_bus::{Bus, Slot};
use dbintel_processors::delta::Delta;
use dbintel_processors::engine::store::StoreMemory;
use dbintel_processors::engine::{
    Context, Disposition, Group, GroupConfig, Metrics, Pipeline, Processor, ProcessorFactory, Row, StateError,
};

struct Mortal(String);

impl Processor for Mortal {
    fn process<'a>(&mut self, row: &mut Row<'a>, _: &mut Context<'a, '_>) -> Result<Disposition, StateError> {
        match row {
            Row::RawQuery(raw) if raw.query_id == self.0 => std::process::abort(),
            _ => Ok(Disposition::Forwarded),
        }
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [servers, state, statement] = arguments.as_slice() else { return Err("three arguments".into()) };
    let bus: Arc<dyn Bus> =
        Arc::new(Kafka::open(&Config { bootstrap_servers: vec![servers.clone()], ..Config::default() })?);
    let statement = statement.clone();
    let mortal: ProcessorFactory = Arc::new(move || Box::new(Mortal(statement.clone())));
    let delta: ProcessorFactory = Arc::new(|| Box::new(Delta::new()));
    let processors = vec![("mortal".to_owned(), mortal), ("delta".to_owned(), delta)];
    let pipeline = Pipeline { name: "main".into(), pollers: vec!["postgresql".into()], processors, next: None };
    let mut config = GroupConfig::new("dbintel.enrich", vec![pipeline], PathBuf::from(state));
    config.slot = Slot { name: "mortal".into(), kept: true };
    let metrics = Metrics::register(&prometheus::Registry::new(), "dbintel.enrich")?;
    let _group = Group::start(config, bus, metrics, StoreMemory::new(16 << 20).stores())?;
    loop {
        std::thread::park();
    }
}
