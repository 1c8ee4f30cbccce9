//! A real server that restarts, dies, is reset, evicts and locks: no delta is wrong, and each event can be seen.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

use dbintel_bus::Bus;
use dbintel_bus::embedded::{Config, Embedded};
use dbintel_schemas::Topic;
use dbintel_schemas::records::{EnrichedQuery, QueryCounters, RawPoll};
use dbintel_schemas::wire::Schemas;
use dbintel_tests::books::read_all;
use dbintel_tests::scratch::Scratch;
use dbintel_tests::servers::postgres::{Major, Postgres};
use dbintel_tests::wait;
use tokio_postgres::Client;

use crate::cli_rig::{FREE_OWN_PORTS, LIMIT, Running, text};
use crate::engine::wait_until_caught_up;
use crate::pollers_statements::{connect_as, open_shop};

/// Executed so often that the server keeps them.
const FREQUENT: [&str; 2] = ["SELECT count(*) FROM goods", "SELECT max(price) FROM goods"];
/// Executed so seldom that the server evicts it.
const RARE: &str = "SELECT sum(id + price) FROM goods";
/// Executions that the polls before and after a break tell nothing about.
const UNSEEN: i64 = 5;
/// Executions that are well within a life of the counters.
const SEEN: i64 = 40;
/// Breaks that every statement sees.
const BREAKS: i64 = 2;

/// A poll of statements, as far as it is looked at.
#[derive(Debug)]
struct Polled {
    class: String,
    outcome: String,
    error_class: Option<String>,
    started_at: Option<i64>,
    reset_at: Option<i64>,
    evictions: Option<i64>,
}

/// A statement's rows in `enriched.queries`.
#[derive(Debug, Default)]
struct Seen {
    calls: i64,
    breaks: Vec<String>,
}

struct Scene {
    postgres: Postgres,
    up: Running,
    admin: Client,
    shop: Client,
    /// Executions by statement.
    executed: BTreeMap<&'static str, i64>,
    /// The process's log, beside it.
    log: Box<dyn Bus>,
    _scratch: Scratch,
}

impl Scene {
    async fn new() -> Scene {
        let postgres = Postgres::start_with(Major::V18, &[("pg_stat_statements.max", "100")]);
        let (admin, scratch) = (open_shop(&postgres).await, Scratch::new("deltas"));
        let shop = connect_as(&postgres, "shop").await;
        let configuration = format!(
            "pollers: {{postgresql/shop: {{endpoint: '127.0.0.1:{}', username: watcher, collection_interval: 500ms}}}}
pipelines: {{main: {{pollers: [postgresql/shop]}}}}
",
            postgres.port
        );
        let file = scratch.write("dbintel.yaml", &configuration);
        let arguments: Vec<&str> =
            ["up", "--quiet", "--config", text(&file)].into_iter().chain(FREE_OWN_PORTS.into_iter().take(4)).collect();
        let mut up = Running::start(&arguments, &[]);
        up.wait_until_ready();
        let config = Config { directory: up.scratch.path().join("log"), ..Config::default() };
        let log = Box::new(Embedded::open_reader(&config).unwrap());
        Scene { postgres, up, admin, shop, executed: BTreeMap::new(), log, _scratch: scratch }
    }

    async fn execute(&mut self, statement: &'static str, times: i64) {
        for _ in 0..times {
            self.shop.simple_query(statement).await.unwrap();
        }
        *self.executed.entry(statement).or_default() += times;
    }

    async fn execute_frequent(&mut self, times: i64) {
        for statement in FREQUENT {
            self.execute(statement, times).await;
        }
    }

    async fn connect_again(&mut self) {
        self.admin = self.postgres.client("postgres").await;
        self.shop = connect_as(&self.postgres, "shop").await;
    }

    fn polls(&self) -> Vec<Polled> {
        let schemas = Schemas::new();
        let read = |value: &[u8]| {
            let mut scratch = Vec::new();
            let poll: RawPoll<'_> = schemas.read(value, &mut scratch).unwrap();
            Polled {
                class: poll.poll_class.to_owned(),
                outcome: poll.outcome.to_owned(),
                error_class: poll.error_class.map(str::to_owned),
                started_at: poll.instance.started_at,
                reset_at: poll.instance.statistics_reset_at,
                evictions: poll.evictions,
            }
        };
        read_all(&*self.log, Topic::RawPolls, 0).iter().map(|record| read(&record.value)).collect()
    }

    /// Waits for a poll after now, of which this is true.
    fn wait_for_poll(&self, what: &str, is_it: impl Fn(&Polled) -> bool) {
        let before = self.polls().len();
        wait::blocking(LIMIT, what, || self.polls()[before..].iter().any(&is_it).then_some(()));
    }

    /// Waits until statements were read by a poll that began after now: the first one may be under way already.
    fn wait_until_polled(&self) {
        for _ in 0..2 {
            self.wait_for_poll("a poll of statements", |poll| poll.class == "statements" && poll.outcome == "ok");
        }
    }

    /// What became of each statement. Nothing in any row is negative.
    async fn seen(&self) -> BTreeMap<String, Seen> {
        wait_until_caught_up(&*self.log, 1);
        let (schemas, mut seen) = (Schemas::new(), BTreeMap::<String, Seen>::new());
        for record in read_all(&*self.log, Topic::EnrichedQueries, 0) {
            let mut scratch = Vec::new();
            let row: EnrichedQuery<'_> = schemas.read(&record.value, &mut scratch).unwrap();
            let mut counters =
                (0..QueryCounters::FIELDS.len()).flat_map(|index| [row.delta.get(index), row.total.get(index)]);
            assert!(counters.all(|counter| counter.is_none_or(|counter| counter >= 0)), "{row:?}");
            let of = seen.entry(format!("{}/{}", row.user_id, row.query_id)).or_default();
            match row.delta_valid {
                true => of.calls += row.delta.calls().unwrap(),
                false => {
                    assert_eq!(row.delta, QueryCounters::default(), "{row:?}");
                    of.breaks.push(row.delta_reason.unwrap().to_owned());
                }
            }
            assert_eq!(row.total.calls().unwrap_or(0), of.calls, "the running total is the sum: {row:?}");
        }
        seen
    }

    /// The identity of a statement of the shop, while the server has it.
    async fn identity(&self, statement: &str) -> Option<String> {
        let sql =
            "SELECT userid || '/' || queryid FROM pg_stat_statements WHERE query = $1 AND userid = 'shop'::regrole";
        self.admin.query_opt(sql, &[&statement]).await.unwrap().map(|row| row.get(0))
    }

    /// The server stops in order: it keeps its counters, so that nothing is unseen.
    async fn restart(&mut self) {
        self.execute_frequent(UNSEEN).await;
        self.postgres.process.stop();
        self.wait_for_poll("a refused poll", |poll| poll.outcome == "refused");
        self.postgres.start_again();
        self.connect_again().await;
    }

    /// The server loses its counters.
    async fn crash(&mut self) {
        self.execute_frequent(UNSEEN).await;
        self.postgres.process.kill9();
        self.wait_for_poll("a refused poll", |poll| poll.outcome == "refused");
        self.postgres.start_again();
        self.connect_again().await;
        self.execute_frequent(UNSEEN).await;
    }

    async fn reset(&mut self) {
        self.execute_frequent(UNSEEN).await;
        self.admin.simple_query("SELECT pg_stat_statements_reset()").await.unwrap();
        self.execute_frequent(UNSEEN).await;
    }

    /// 300 distinct statements push the rare one out; then it comes back.
    async fn evict(&mut self) {
        for number in 0..300 {
            self.shop.simple_query(&distinct(number)).await.unwrap();
        }
        assert_eq!(self.identity(RARE).await, None, "the server evicts what is rare");
        self.wait_until_polled();
        self.execute(RARE, UNSEEN).await;
    }

    /// Somebody locks the catalogue for as long as a poll waits.
    async fn lock(&mut self) {
        let locker = self.postgres.client("postgres").await;
        locker.batch_execute("BEGIN; LOCK TABLE pg_catalog.pg_database IN ACCESS EXCLUSIVE MODE").await.unwrap();
        self.execute_frequent(UNSEEN).await;
        self.wait_for_poll("a poll that ran into the lock", |poll| poll.error_class.as_deref() == Some("55P03"));
        locker.batch_execute("ROLLBACK").await.unwrap();
    }

    /// Work that is seen whole: the counters live on from the poll before to the poll after.
    async fn work(&mut self) {
        self.wait_until_polled();
        self.execute_frequent(SEEN).await;
        self.wait_until_polled();
    }
}

/// One of 8,192 statements that the server tells apart: which columns are selected.
fn distinct(number: usize) -> String {
    let columns: Vec<_> = (0..13).map(|bit| if number >> bit & 1 == 0 { "id" } else { "price" }).collect();
    format!("SELECT {} FROM goods", columns.join(", "))
}

#[tokio::test(flavor = "multi_thread")]
async fn no_delta_of_a_troubled_server_is_wrong() {
    let mut scene = Scene::new().await;
    scene.work().await;
    let mut ids = BTreeMap::new();
    scene.restart().await;
    scene.work().await;
    scene.crash().await;
    scene.work().await;
    scene.reset().await;
    scene.work().await;
    scene.execute(RARE, 1).await;
    scene.work().await;
    for statement in FREQUENT.into_iter().chain([RARE]) {
        ids.insert(statement, scene.identity(statement).await.unwrap());
    }
    scene.evict().await;
    scene.work().await;
    scene.lock().await;
    scene.work().await;

    let seen = scene.seen().await;
    for statement in FREQUENT {
        let (seen, executed) = (&seen[&ids[statement]], scene.executed[statement]);
        let within: RangeInclusive<i64> = executed - BREAKS * 2 * UNSEEN..=executed;
        assert!(within.contains(&seen.calls), "{statement}: {seen:?} of {executed}");
        // A crash takes the time of the last reset, too.
        let reasons: Vec<&str> = seen.breaks.iter().map(String::as_str).collect();
        assert!(matches!(reasons[..], ["server_restart" | "statistics_reset", "statistics_reset"]), "{seen:?}");
    }
    let (rare, executed) = (&seen[&ids[RARE]], scene.executed[RARE]);
    assert!((executed - UNSEEN..=executed).contains(&rare.calls), "{rare:?} of {executed}");
    assert_eq!(rare.breaks, ["eviction"]);
    every_event_is_seen(&scene);
}

/// In `raw.polls`, and what the server did not do for us in the log of the process, too.
fn every_event_is_seen(scene: &Scene) {
    let polls = scene.polls();
    let starts: BTreeSet<i64> = polls.iter().filter_map(|poll| poll.started_at).collect();
    assert_eq!(starts.len(), 3, "{starts:?}");
    let resets: BTreeSet<i64> = polls.iter().filter_map(|poll| poll.reset_at).collect();
    assert!(resets.len() >= 2, "{resets:?}");
    assert!(polls.iter().any(|poll| poll.evictions > Some(0)));
    let said = scene.up.process.log();
    for line in [
        "could not connect",
        "connected",
        "a poll failed",
        "55P03",
        "polls succeed again",
        "the statistics of statements were reset",
        "the server evicts statements",
    ] {
        assert!(said.contains(line), "{line} is not in\n{said}");
    }
}
