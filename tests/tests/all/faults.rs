//! Processes of the product that come, go and die under load, while the books have to balance and nothing is forgotten.

mod brokers;
mod chaos;
mod clock;
mod embedded;
mod fleet;
mod kills;
mod ledger;
mod network;
mod producer;
mod quarantine;
mod rehearsal;
mod sharing;
mod slots;
mod split;
mod storage;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use dbintel_bus::kafka::{self, Kafka as KafkaBus};
use dbintel_bus::{Bus, Framings, Publisher};
use dbintel_tests::books::Balance;
use dbintel_tests::proxy::Proxy;
use dbintel_tests::scratch::Scratch;
use dbintel_tests::servers::kafka::{Kafka, Setup};
use dbintel_tests::{http, ports};
use rustix::process::Signal;

use crate::cli_rig::{FREE_PORTS, LIMIT, Running, said, text};
use crate::engine::load::Flow;
use crate::engine::{PIPELINE, check_books, wait_until_caught_up};

/// After this long in silence a process loses its partitions.
const SESSION_TIMEOUT: Duration = Duration::from_secs(3);

/// Lets the broker take such short sessions.
const SHORT_SESSIONS: (&str, &str) = ("group.min.session.timeout.ms", "1000");

/// Listener that is reached through a proxy alone.
const PROXIED: &str = "PROXIED";

const TARGETS: usize = 8;

/// Says something at once, which the test runner would keep to itself until the test fails.
macro_rules! say {
    ($($text:tt)*) => {
        {
            use std::io::Write as _;
            let mut output = std::io::stdout();
            writeln!(output, $($text)*).unwrap()
        }
    };
}

pub(crate) use say;

/// A number from the environment.
#[expect(clippy::disallowed_methods, reason = "the length of the test comes from `make`")]
pub fn number_of(name: &str, otherwise: u64) -> u64 {
    let text = std::env::var_os(name).map(|text| text.into_string().unwrap()).filter(|text| !text.is_empty());
    text.map_or(otherwise, |text| text.parse().unwrap_or_else(|_| panic!("{name} has to be a number, and is {text}")))
}

/// A broker with a load, and what processors need to share it.
struct Scene {
    kafka: Kafka,
    bus: Arc<dyn Bus>,
    partitions: u32,
    statements: usize,
    publisher: Publisher,
    configuration: PathBuf,
    scratch: Scratch,
}

impl Scene {
    /// All topics are there; nothing runs. Each target has so many statements.
    fn new(partitions: u32, statements: usize) -> Scene {
        let kafka = Kafka::set_up(&Setup { properties: &[SHORT_SESSIONS], ..Setup::default() });
        let bootstrap = kafka.bootstrap.clone();
        Scene::on(kafka, &bootstrap, partitions, statements)
    }

    /// As [`Scene::new`], with a proxy between the processors and the broker.
    fn behind_a_proxy(partitions: u32, statements: usize) -> (Scene, Proxy) {
        let port = ports::free();
        let kafka = Kafka::set_up(&Setup {
            properties: &[SHORT_SESSIONS],
            listeners: &[(PROXIED, "PLAINTEXT")],
            advertised: &[(PROXIED, port)],
            ..Setup::default()
        });
        let proxy = Proxy::start(port, &kafka.listeners[PROXIED]);
        (Scene::on(kafka, &format!("127.0.0.1:{port}"), partitions, statements), proxy)
    }

    /// As [`Scene::new`], with another address of the broker for the processors.
    fn on(kafka: Kafka, bootstrap: &str, partitions: u32, statements: usize) -> Scene {
        let scratch = Scratch::new("faults");
        let seconds = SESSION_TIMEOUT.as_secs();
        let configuration = format!(
            "service: {{memory: 8MiB}}
pollers: {{postgresql: {{endpoint: '127.0.0.1:1', username: nobody}}}}
pipelines: {{{PIPELINE}: {{pollers: [postgresql]}}}}
bus:
  kafka:
    bootstrap_servers: ['{bootstrap}']
    partitions: {partitions}
    session_timeout: {seconds}s
    transaction_timeout: 5s
"
        );
        let configuration = scratch.write("dbintel.yaml", &configuration);
        said(&["topics", "create", "--config", text(&configuration)], &[]);
        let config = kafka::Config { bootstrap_servers: vec![kafka.bootstrap.clone()], ..kafka::Config::default() };
        let bus: Arc<dyn Bus> = Arc::new(KafkaBus::open(&config).unwrap());
        let publisher = Publisher::new(bus.producer().unwrap(), Framings::single_object(), partitions);
        Scene { kafka, bus, partitions, statements, publisher, configuration, scratch }
    }

    /// A flow that begins with this poll.
    fn flow(&self, first: i64, pause: Duration) -> Flow {
        Flow::start(self.publisher.clone(), TARGETS, self.statements, first, pause)
    }

    /// A process with processors, on a state directory of this name.
    fn processor(&self, state: &str) -> Running {
        processor(&self.configuration, &self.scratch.path().join(state))
    }

    /// Ends the flow, waits until all of it is processed, ends the processes in order, and checks the books.
    fn settle(&self, flow: Flow, processes: &mut [Running]) -> Balance {
        let polls = flow.stop() as usize - 1;
        wait_until_caught_up(&*self.bus, self.partitions);
        processes.iter_mut().for_each(end);
        let balance = check_books(&*self.bus, self.partitions);
        ledger::agrees(self, &balance);
        assert_eq!(balance.reasons["baseline"], TARGETS * self.statements, "{balance:?}");
        // Whoever publishes sends again what a broker did not acknowledge.
        assert!(balance.raw >= polls * TARGETS * (self.statements + 1), "{polls} polls: {balance:?}");
        balance
    }
}

/// Starts a process with processors, and waits until it has said where it listens.
pub fn processor(configuration: &Path, state: &Path) -> Running {
    processor_with(configuration, state, &[], &[])
}

/// As [`processor`], with more arguments and environment.
fn processor_with(configuration: &Path, state: &Path, more: &[&str], environment: &[(&str, &str)]) -> Running {
    let arguments = [&["processor", "--config", text(configuration)], more, &FREE_PORTS].concat();
    let environment = [&[("DBINTEL_STATE_DIRECTORY", text(state))], environment].concat();
    let mut running = Running::start(&arguments, &environment);
    running.port("health");
    running
}

fn end(running: &mut Running) {
    running.process.signal(Signal::TERM);
    assert!(running.process.wait_for_end(LIMIT).success(), "{}", running.process.log());
}

/// The series of this name with this label, on the page of metrics at a port; 0 as long as it is not there.
fn sample(port: u16, name: &str, label: &str) -> f64 {
    let page = http::get(port, "/metrics").map_or_else(|_| String::new(), |page| page.text());
    let line = page.lines().find(|line| line.starts_with(&format!("{name}{{")) && line.contains(label));
    line.and_then(|line| line.rsplit(' ').next()?.parse().ok()).unwrap_or(0.0)
}

/// Partitions that the processors behind a port own.
fn owned(port: u16) -> f64 {
    sample(port, "dbintel_processor_partitions", "")
}

fn aborts(port: u16) -> f64 {
    sample(port, "dbintel_processor_aborts_total", "")
}

fn commits(port: u16) -> f64 {
    sample(port, "dbintel_processor_commits_total", "")
}

/// Waits until the process owns partitions and has made so many commits more.
fn wait_until_busy(running: &mut Running, more: usize) {
    let port = running.port("metrics");
    let wanted = commits(port) + more as f64;
    running.process.wait_until(|_| owned(port) > 0.0 && commits(port) >= wanted);
}

#[test]
fn processors_join_leave_and_die_on_kafka_and_the_books_balance() {
    let scene = Scene::new(4, 200);
    let flow = scene.flow(1, Duration::from_millis(250));
    let mut first = scene.processor("first");
    let mut second = scene.processor("second");
    wait_until_busy(&mut first, 2);
    wait_until_busy(&mut second, 2);
    let mut third = scene.processor("third");
    for running in [&mut third, &mut first, &mut second] {
        wait_until_busy(running, 2);
    }
    end(&mut third);
    wait_until_busy(&mut second, 2);
    second.process.kill9();
    wait_until_busy(&mut first, 2);
    let mut again = scene.processor("second");
    wait_until_busy(&mut again, 2);
    wait_until_busy(&mut first, 2);
    scene.settle(flow, &mut [first, again]);
}
