//! Faults of the roles at both ends, with a real server in front and a receiver behind: pollers and sinks that are killed and
//! frozen, and all roles at once. What the server counted is what was delivered.

#![expect(clippy::disallowed_methods, reason = "measures how long nothing is delivered")]

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use dbintel_schemas::Topic;
use dbintel_schemas::records::{EnrichedQuery, RawQuery};
use dbintel_schemas::wire::Schemas;
use dbintel_tests::books;
use dbintel_tests::otlp_peer::{Export, OtlpPeer};
use dbintel_tests::servers::postgres::{Major, Postgres};
use dbintel_tests::wait;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::interval;
use tokio_postgres::Client;

use super::{SESSION_TIMEOUT, Scene, end, ledger, number_of, say};
use crate::cli_outage::accepted;
use crate::cli_rig::{FREE_OWN_PORTS, LIMIT, Running, text};
use crate::engine::{PIPELINE, check_books, wait_until_caught_up};
use crate::pollers_statements::{connect_as, open_shop};

const ROLES: [&str; 3] = ["poller", "processor", "sink"];
/// Statements that move between two polls.
const STATEMENTS: usize = 40;

/// A fault: what it is called, which roles it meets, and what becomes of them.
type Fault = (&'static str, &'static [usize], Ill);

#[derive(Clone, Copy)]
enum Ill {
    Killed,
    Frozen(Duration),
    Stopped,
}

const FAULTS: [Fault; 7] = [
    ("the poller is killed", &[0], Ill::Killed),
    ("the poller is frozen", &[0], Ill::Frozen(SESSION_TIMEOUT)),
    ("the sink is killed", &[2], Ill::Killed),
    ("the sink is frozen for longer than a session", &[2], Ill::Frozen(Duration::from_secs(8))),
    ("the poller is stopped in order", &[0], Ill::Stopped),
    ("the sink is stopped in order", &[2], Ill::Stopped),
    ("every role is killed", &[0, 1, 2], Ill::Killed),
];

struct Fleet {
    scene: Scene,
    postgres: Postgres,
    peer: OtlpPeer,
    roles: Vec<Option<Running>>,
}

impl Fleet {
    async fn start() -> Fleet {
        let (scene, postgres, peer) = (Scene::new(1, 1), Postgres::start(Major::V18), OtlpPeer::start());
        let _admin = open_shop(&postgres).await;
        let content = std::fs::read_to_string(&scene.configuration).unwrap();
        let bus = &content[content.find("bus:").unwrap()..];
        let configuration = format!(
            "service: {{memory: 8MiB}}
pollers: {{postgresql: {{endpoint: '127.0.0.1:{}', username: watcher, collection_interval: 500ms}}}}
sinks: {{otlp: {{endpoint: '{}', tls: {{insecure: true}}, start_at: beginning}}}}
pipelines: {{{PIPELINE}: {{pollers: [postgresql], sinks: [otlp]}}}}
{bus}",
            postgres.port, peer.grpc
        );
        scene.scratch.write("dbintel.yaml", &configuration);
        let mut fleet = Fleet { scene, postgres, peer, roles: vec![None, None, None] };
        (0..ROLES.len()).for_each(|role| fleet.begin(role));
        fleet
    }

    fn begin(&mut self, role: usize) {
        let state = self.scene.scratch.path().join(ROLES[role]);
        let arguments: Vec<&str> =
            [ROLES[role], "--config", text(&self.scene.configuration)].into_iter().chain(FREE_OWN_PORTS).collect();
        self.roles[role] = Some(Running::start(&arguments, &[("DBINTEL_STATE_DIRECTORY", text(&state))]));
    }

    fn suffer(&mut self, roles: &[usize], ill: Ill) {
        for role in roles {
            let running = self.roles[*role].as_mut().expect("it runs");
            match ill {
                Ill::Killed => drop(running.process.kill9()),
                Ill::Stopped => end(running),
                Ill::Frozen(_) => running.process.sigstop(),
            }
        }
        if let Ill::Frozen(time) = ill {
            std::thread::sleep(time);
            roles.iter().for_each(|role| self.roles[*role].as_mut().expect("it runs").process.sigcont());
        } else {
            roles.iter().for_each(|role| self.begin(*role));
        }
    }

    /// Waits until something is delivered that a poll after now has read; gives the time that took.
    fn wait_until_delivered(&self) -> Duration {
        let began = Instant::now();
        let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_nanos() as u64;
        wait::blocking(LIMIT, "a delivery", || {
            let requests = self.peer.accepted();
            requests.iter().rev().take(20).any(|request| newest(request) > now).then_some(())
        });
        began.elapsed()
    }
}

/// Time of the newest log record of a request, in ns.
fn newest(request: &Export) -> u64 {
    let Export::Logs(logs) = request else { return 0 };
    let records = logs.resource_logs.iter().flat_map(|of| &of.scope_logs).flat_map(|of| &of.log_records);
    records.map(|record| record.time_unix_nano).max().unwrap_or(0)
}

/// Work of the shop without a pause, until it is told to stop.
async fn work(postgres: &Postgres) -> (watch::Sender<bool>, JoinHandle<()>) {
    let shop = connect_as(postgres, "shop").await;
    let (stop, stopped) = watch::channel(false);
    let working = tokio::spawn(async move {
        let mut rounds = interval(Duration::from_millis(100));
        while !*stopped.borrow() {
            rounds.tick().await;
            for number in 0..STATEMENTS {
                shop.simple_query(&statement(number)).await.unwrap();
            }
        }
    });
    (stop, working)
}

/// Statements that the server tells apart by which columns are selected.
fn statement(number: usize) -> String {
    let column = |bit: usize| if number >> bit & 1 == 0 { "id" } else { "price" };
    format!("SELECT {} FROM goods", (0..7).map(column).collect::<Vec<_>>().join(", "))
}

/// Calls that the server has counted, by identifier.
async fn counted(admin: &Client) -> BTreeMap<String, i64> {
    let sql = "SELECT queryid::text, calls FROM pg_stat_statements s JOIN pg_roles r ON r.oid = s.userid
               WHERE rolname = 'shop' AND query LIKE '%FROM goods'";
    let rows = admin.query(sql, &[]).await.unwrap();
    rows.iter().map(|row| (row.get(0), row.get(1))).collect()
}

/// Last calls of each statement on `raw.queries`.
fn published(scene: &Scene) -> BTreeMap<String, i64> {
    let schemas = Schemas::new();
    let mut last = BTreeMap::new();
    for record in books::read_all(&*scene.bus, Topic::RawQueries, 0) {
        let mut scratch = Vec::new();
        let row: RawQuery<'_> = schemas.read(&record.value, &mut scratch).unwrap();
        last.insert(row.query_id.to_owned(), row.counters.calls().unwrap());
    }
    last
}

fn row_ids(scene: &Scene) -> BTreeSet<String> {
    let schemas = Schemas::new();
    let mut ids = BTreeSet::new();
    for record in books::read_all(&*scene.bus, Topic::EnrichedQueries, 0) {
        let mut scratch = Vec::new();
        let row: EnrichedQuery<'_> = schemas.read(&record.value, &mut scratch).unwrap();
        ids.insert(row.record_id.iter().map(|byte| format!("{byte:02x}")).collect());
    }
    ids
}

#[tokio::test(flavor = "multi_thread")]
async fn pollers_and_sinks_may_die_and_freeze_and_what_was_counted_is_delivered() {
    let mut fleet = Fleet::start().await;
    let (stop, working) = work(&fleet.postgres).await;
    tokio::task::block_in_place(|| {
        fleet.wait_until_delivered();
        say!("{:<52} {:>9}", "fault", "gap s");
        for _ in 0..number_of("FLEET_ROUNDS", 1) {
            for (name, roles, ill) in FAULTS {
                let began = Instant::now();
                fleet.suffer(roles, ill);
                fleet.wait_until_delivered();
                say!("{name:<52} {:>9.2}", began.elapsed().as_secs_f64());
            }
        }
    });
    stop.send_replace(true);
    working.await.unwrap();
    let admin = fleet.postgres.client("postgres").await;
    let counted = counted(&admin).await;
    assert_eq!(counted.len(), STATEMENTS, "{counted:?}");
    tokio::task::block_in_place(|| {
        wait::blocking(LIMIT, "the last readings", || {
            let published = published(&fleet.scene);
            counted.iter().all(|(id, calls)| published.get(id) == Some(calls)).then_some(())
        });
        wait_until_caught_up(&*fleet.scene.bus, 1);
        let rows = row_ids(&fleet.scene);
        wait::blocking(LIMIT, "the delivery of all rows", || rows.is_subset(&accepted(&fleet.peer)).then_some(()));
        fleet.roles.iter_mut().flatten().for_each(end);
        // Each delta is the difference of two readings, from the first to the last.
        let balance = check_books(&*fleet.scene.bus, 1);
        ledger::agrees(&fleet.scene, &balance);
        say!("{} rows delivered, books: {balance:?}", rows.len());
    });
}
