//! A genuine Apache Kafka: one process that is broker and controller, or a cluster of such, with plain text on loopback and,
//! where a test asks for them, listeners that encrypt and authenticate.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::OnceLock;
use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};

use super::{HOST, installed, text};
use crate::ports;
use crate::process::{Process, Program};
use crate::scratch::Scratch;

const ADMIN_LIMIT: Duration = Duration::from_secs(20);

/// Any 16 bytes in base64 do.
const CLUSTER_ID: &str = "ZGJpbnRlbC10ZXN0cy0xMQ";

const LOGGING: &str = "\
appender.console.type=Console
appender.console.name=console
appender.console.layout.type=PatternLayout
appender.console.layout.pattern=%d %p %c{1}: %m%n
rootLogger.level=INFO
rootLogger.appenderRef.console.ref=console
";

/// What a broker has besides the harness's settings and its listener in plain text.
#[derive(Clone, Copy, Debug, Default)]
pub struct Setup<'a> {
    /// Broker properties, in addition to or in place of the harness's.
    pub properties: &'a [(&'a str, &'a str)],
    /// Further listeners: name, such as `TLS`, and security protocol, such as `SASL_SSL`.
    pub listeners: &'a [(&'a str, &'a str)],
    /// Ports at which clients are told to find further listeners, such as that of a proxy: name and port.
    pub advertised: &'a [(&'a str, u16)],
    /// More than one broker, each a controller too, with every topic on all of them. None: one.
    pub brokers: Option<usize>,
    /// Users with passwords for SCRAM, as `SCRAM-SHA-512=[name=alice,password=secret]`.
    pub scram: &'a [&'a str],
}

/// A broker; its process ends with the value.
#[derive(Debug)]
pub struct Kafka {
    /// For `bootstrap.servers`.
    pub bootstrap: String,
    /// For `bootstrap.servers` by way of the further listeners, by their names.
    pub listeners: BTreeMap<String, String>,
    /// The broker's process; of several the first.
    pub process: Process,
    /// The processes of further brokers.
    pub others: Vec<Process>,
    _scratch: Scratch,
}

/// One broker of a cluster.
struct Node {
    id: usize,
    /// Its listener in plain text.
    address: String,
    controller: String,
}

impl Kafka {
    /// Starts a broker of its own with default settings, in about 4 seconds.
    ///
    /// # Panics
    /// If it is not installed or does not start.
    #[must_use]
    pub fn start() -> Kafka {
        Kafka::start_with(&[])
    }

    /// As [`Kafka::start`], with broker properties in addition to or in place of the harness's.
    ///
    /// # Panics
    /// As [`Kafka::start`].
    #[must_use]
    pub fn start_with(properties: &[(&str, &str)]) -> Kafka {
        Kafka::set_up(&Setup { properties, ..Setup::default() })
    }

    /// As [`Kafka::start`], with more than properties.
    ///
    /// # Panics
    /// As [`Kafka::start`].
    #[must_use]
    pub fn set_up(setup: &Setup<'_>) -> Kafka {
        let scratch = Scratch::new("kafka");
        let address = || format!("{HOST}:{}", ports::free());
        let node = |id| Node { id, address: address(), controller: address() };
        let nodes: Vec<Node> = (1..=setup.brokers.unwrap_or(1)).map(node).collect();
        let listeners = setup.listeners.iter().map(|(name, _)| ((*name).to_owned(), address())).collect();
        let programs: Vec<Program> =
            nodes.iter().map(|node| prepare(node, &nodes, &listeners, &scratch, setup)).collect();
        let mut processes = programs.into_iter().map(Process::start);
        let process = processes.next().expect("at least one broker");
        let others = processes.collect();
        let addresses: Vec<&str> = nodes.iter().map(|node| &*node.address).collect();
        let mut kafka = Kafka { bootstrap: addresses.join(","), listeners, process, others, _scratch: scratch };
        kafka.wait_until_it_answers();
        kafka
    }

    /// Waits until every partition of these topics is on so many brokers, up to date.
    ///
    /// # Panics
    /// If that takes too long.
    pub fn wait_until_in_sync(&mut self, topics: &[String], brokers: usize) {
        let client: BaseConsumer = self.client().create().expect("a client needs no more than an address");
        let in_sync = |name: &String| {
            let metadata = client.fetch_metadata(Some(name), Duration::from_secs(5));
            metadata.is_ok_and(|metadata| {
                metadata.topics().iter().flat_map(|topic| topic.partitions()).all(|part| part.isr().len() == brokers)
            })
        };
        self.process.wait_until(|_| topics.iter().all(in_sync));
    }

    /// One broker for all tests of a process that do not stop it. Use topic names of your own.
    ///
    /// # Panics
    /// As [`Kafka::start`].
    pub fn shared() -> &'static Kafka {
        static SHARED: OnceLock<Kafka> = OnceLock::new();
        SHARED.get_or_init(Kafka::start)
    }

    /// Settings of a client of this broker.
    #[must_use]
    pub fn client(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.bootstrap);
        config
    }

    /// Creates a topic with properties such as `("cleanup.policy", "compact")`.
    ///
    /// # Panics
    /// If the broker refuses.
    pub async fn create_topic(&self, name: &str, partitions: i32, properties: &[(&str, &str)]) {
        let mut topic = NewTopic::new(name, partitions, TopicReplication::Fixed(1));
        for (key, value) in properties {
            topic = topic.set(key, value);
        }
        let options = AdminOptions::new().operation_timeout(Some(ADMIN_LIMIT));
        let created = self.admin().create_topics([&topic], &options).await;
        let created = created.expect("the broker answers a request to create a topic");
        if let Some(Err((topic, error))) = created.into_iter().next() {
            panic!("could not create topic {topic}: {error}");
        }
    }

    /// A client for administration.
    ///
    /// # Panics
    /// If librdkafka cannot make one.
    #[must_use]
    pub fn admin(&self) -> AdminClient<DefaultClientContext> {
        self.client().create().expect("an administration client needs no more than an address")
    }

    /// Starts the broker again after `process.stop()` or `process.kill9()`, with its data.
    ///
    /// # Panics
    /// If it does not start.
    pub fn start_again(&mut self) {
        self.process.start_again();
        self.wait_until_it_answers();
    }

    /// Stops the broker in order and starts it again.
    ///
    /// # Panics
    /// If it does not start.
    pub fn restart(&mut self) {
        self.process.stop();
        self.start_again();
    }

    fn wait_until_it_answers(&mut self) {
        self.process.wait_until(|process| process.log().contains("Kafka Server started"));
        let client: BaseConsumer = self.client().create().expect("a client needs no more than an address");
        self.process.wait_until(|_| client.fetch_metadata(None, Duration::from_secs(1)).is_ok());
    }
}

fn java(directory: &Path, class: &str) -> Program {
    let jars = format!("{}/*", text(&installed("kafka").join("lib")));
    let options = ["-Xmx768m", "-XX:+UseSerialGC", "-XX:-UsePerfData", "-cp", &jars, class];
    Program::new("java", directory).arguments(options)
}

/// Formats the storage of a broker, and gives the program that runs it.
fn prepare(
    node: &Node,
    nodes: &[Node],
    listeners: &BTreeMap<String, String>,
    scratch: &Scratch,
    setup: &Setup<'_>,
) -> Program {
    let directory = scratch.path().join(format!("broker-{}", node.id));
    fs::create_dir(&directory).expect("a scratch directory can be written to");
    let mut properties = server_properties(node, listeners, &directory.join("data"), setup);
    // Of several each knows the others from the start.
    let alone = nodes.len() == 1;
    if !alone {
        properties.push_str(&of_a_cluster(nodes));
    }
    // The last line of a key is the one that counts.
    for (key, value) in setup.properties {
        properties.push_str(&format!("{key}={value}\n"));
    }
    let name = |of: &str| format!("{of}-{}", node.id);
    let settings = scratch.write(&name("server.properties"), &properties);
    let logging = scratch.write("log4j2.properties", LOGGING);
    let format = ["format", "-t", CLUSTER_ID, "-c"].map(String::from);
    let mut format = java(&directory, "kafka.tools.StorageTool").arguments(format).arguments([text(&settings)]);
    if alone {
        format = format.arguments(["--standalone"]);
    }
    for user in setup.scram {
        format = format.arguments(["--add-scram", user]);
    }
    format.run();
    Program::new("java", &directory)
        .arguments([format!("-Dlog4j2.configurationFile={}", text(&logging))])
        .arguments(java(&directory, "kafka.Kafka").arguments)
        .arguments([text(&settings)])
}

fn of_a_cluster(nodes: &[Node]) -> String {
    let voters: Vec<String> = nodes.iter().map(|node| format!("{}@{}", node.id, node.controller)).collect();
    let copies = nodes.len();
    format!(
        "controller.quorum.bootstrap.servers=
controller.quorum.voters={}
default.replication.factor={copies}
min.insync.replicas=2
offsets.topic.replication.factor={copies}
transaction.state.log.replication.factor={copies}
transaction.state.log.min.isr=2
",
        voters.join(",")
    )
}

fn server_properties(node: &Node, listeners: &BTreeMap<String, String>, data: &Path, setup: &Setup<'_>) -> String {
    let (id, bootstrap, controller) = (node.id, &node.address, &node.controller);
    fs::create_dir(data).expect("a scratch directory can be written to");
    let mut addresses = format!("PLAINTEXT://{bootstrap},CONTROLLER://{controller}");
    let mut protocols = "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT".to_owned();
    let mut advertised = addresses.clone();
    for (name, protocol) in setup.listeners {
        addresses.push_str(&format!(",{name}://{}", listeners[*name]));
        let elsewhere = setup.advertised.iter().find(|(listener, _)| listener == name);
        let told = elsewhere.map_or_else(|| listeners[*name].clone(), |(_, port)| format!("{HOST}:{port}"));
        advertised.push_str(&format!(",{name}://{told}"));
        protocols.push_str(&format!(",{name}:{protocol}"));
    }
    // Records of tests have timestamps of long ago: nothing is deleted for its age.
    format!(
        "process.roles=broker,controller
node.id={id}
controller.quorum.bootstrap.servers={controller}
listeners={addresses}
advertised.listeners={advertised}
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
listener.security.protocol.map={protocols}
log.dirs={}
auto.create.topics.enable=false
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
transaction.abort.timed.out.transaction.cleanup.interval.ms=1000
log.retention.check.interval.ms=86400000
log.initial.task.delay.ms=86400000
",
        text(data)
    )
}
