//! Processes that share the targets of a fleet, while they are killed, frozen, and restarted one after the other. One process
//! polls a target at a time, no target is left alone for long, and nothing is counted twice.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use dbintel_bus::Bus;
use dbintel_bus::kafka::{self, Kafka as KafkaBus};
use dbintel_schemas::records::{EnrichedQuery, RawPoll, RawQuery};
use dbintel_schemas::wire::unframe;
use dbintel_schemas::{Record, Topic};
use dbintel_tests::books::read_all;
use dbintel_tests::scratch::Scratch;
use dbintel_tests::servers::HOST;
use dbintel_tests::servers::kafka::{Kafka, Setup};
use dbintel_tests::servers::postgres::{Major, Postgres};
use dbintel_tests::wait;

use super::{SESSION_TIMEOUT, SHORT_SESSIONS, number_of, say};
use crate::cli_rig::{FREE_OWN_PORTS, FREE_PORTS, LIMIT, Running, json_lines, run, said, text};
use crate::engine::{PIPELINE, check_books, create_topics, wait_until_caught_up};

const PROCESSES: usize = 3;
const PARTITIONS: u32 = 4;
/// What one target may see at any moment: a connection for the server, one for its database, and one of each that is being
/// opened or closed.
const CONNECTIONS_MAX: i64 = 4;
/// Time without a poll that a dead owner may cost: its session, and as long as it takes to share out again.
const GAP_MAX: Duration = Duration::from_secs(SESSION_TIMEOUT.as_secs() + 6);
/// As much in a restart of one process after the other, with 12 targets at an interval of a second. Alone it is 2 to 3 s.
const GAP_IN_ORDER_MAX: Duration = Duration::from_secs(6);

struct Fleet {
    bus: Arc<dyn Bus>,
    servers: Vec<Postgres>,
    targets: usize,
    configuration: PathBuf,
    scratch: Scratch,
    _kafka: Kafka,
}

/// A poll of the sessions of a target.
#[derive(Debug, Clone, Copy)]
struct Polled {
    at: i64,
    epoch: i64,
}

impl Fleet {
    fn start(targets: usize) -> Fleet {
        let kafka = Kafka::set_up(&Setup { properties: &[SHORT_SESSIONS], ..Setup::default() });
        let most = (targets * 4 + 20).to_string();
        let servers: Vec<Postgres> =
            [Major::V12, Major::V18].map(|major| Postgres::start_with(major, &[("max_connections", &most)])).into();
        let mut pollers = String::new();
        for target in 0..targets {
            let port = servers[target % servers.len()].port;
            writeln!(
                pollers,
                "  postgresql/t{target}: {{endpoint: '{HOST}:{port}', username: postgres, databases: [postgres], connections_max: 1, \
                 application_name: t{target}, collection_interval: 1s, labels: {{number: '{target}'}}}}"
            )
            .unwrap();
        }
        let names: Vec<String> = (0..targets).map(|target| format!("postgresql/t{target}")).collect();
        let configuration = format!(
            "pollers:
{pollers}pipelines: {{{PIPELINE}: {{pollers: [{}]}}}}
bus: {{kafka: {{bootstrap_servers: ['{}'], partitions: {PARTITIONS}, session_timeout: {}s}}}}
",
            names.join(", "),
            kafka.bootstrap,
            SESSION_TIMEOUT.as_secs()
        );
        let scratch = Scratch::new("sharing");
        let configuration = scratch.write("dbintel.yaml", &configuration);
        let bus: Arc<dyn Bus> = Arc::new(
            KafkaBus::open(&kafka::Config { bootstrap_servers: vec![kafka.bootstrap.clone()], ..Default::default() })
                .unwrap(),
        );
        create_topics(&*bus, PARTITIONS);
        Fleet { bus, servers, targets, configuration, scratch, _kafka: kafka }
    }

    fn poller(&self, number: usize) -> Running {
        let state = self.scratch.path().join(format!("state-{number}"));
        let arguments: Vec<&str> =
            ["poller", "--config", text(&self.configuration)].into_iter().chain(FREE_OWN_PORTS).collect();
        Running::start(&arguments, &[("DBINTEL_STATE_DIRECTORY", text(&state))])
    }

    fn processor(&self) -> Running {
        let arguments: Vec<&str> = ["processor", "--config", text(&self.configuration)]
            .into_iter()
            .chain(FREE_PORTS.into_iter().take(4))
            .collect();
        Running::start(&arguments, &[])
    }

    fn values(&self, topic: Topic) -> Vec<Vec<u8>> {
        (0..PARTITIONS)
            .flat_map(|partition| read_all(&*self.bus, topic, partition))
            .map(|copied| copied.value)
            .collect()
    }

    /// Good polls of sessions, by target, in the order of their beginning.
    fn polls(&self) -> BTreeMap<String, Vec<Polled>> {
        let mut polls: BTreeMap<String, Vec<Polled>> = BTreeMap::new();
        for value in self.values(Topic::RawPolls) {
            let poll = RawPoll::decode(unframe(&value).unwrap().1).unwrap();
            if poll.poll_class == "sessions" && poll.outcome == "ok" {
                let polled = Polled { at: poll.started_at, epoch: poll.owner_epoch };
                polls.entry(poll.target.to_owned()).or_default().push(polled);
            }
        }
        polls.values_mut().for_each(|polls| polls.sort_by_key(|poll| poll.at));
        polls
    }

    /// Waits until every target was polled after now.
    fn wait_until_polled(&self) {
        let before: BTreeMap<String, i64> =
            self.polls().into_iter().filter_map(|(target, polls)| Some((target, polls.last()?.at))).collect();
        wait::blocking(LIMIT, "polls of every target", || {
            let polls = self.polls();
            let is_newer = |(target, polls): (&String, &Vec<Polled>)| {
                polls.last().is_some_and(|last| before.get(target).is_none_or(|before| last.at > *before))
            };
            (polls.len() == self.targets && polls.iter().all(is_newer)).then_some(())
        });
    }

    /// Most connections that a target has, as its server counts them.
    async fn connections(&self) -> i64 {
        let mut most = 0;
        for server in &self.servers {
            let rows = server
                .client("postgres")
                .await
                .query(
                    "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 't%' GROUP BY application_name",
                    &[],
                )
                .await
                .unwrap();
            most = rows.iter().map(|row| row.get(0)).fold(most, i64::max);
        }
        most
    }

    fn listed(&self) -> Vec<serde_json::Value> {
        json_lines(&said(&["targets", "list", "--json", "--config", text(&self.configuration)], &[]))
    }
}

/// Longest time between two polls of a target after `since`.
fn longest_gap(polls: &BTreeMap<String, Vec<Polled>>, since: i64) -> Duration {
    let gaps = polls
        .values()
        .flat_map(|polls| polls.windows(2).filter(|pair| pair[1].at >= since).map(|pair| pair[1].at - pair[0].at));
    Duration::from_micros(gaps.max().unwrap_or(0).unsigned_abs())
}

/// Polls that began after one of a later owner.
fn overlaps(polls: &BTreeMap<String, Vec<Polled>>) -> usize {
    polls.values().map(|polls| polls.windows(2).filter(|pair| pair[1].epoch < pair[0].epoch).count()).sum()
}

fn wall_us() -> i64 {
    i64::try_from(std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_micros()).unwrap()
}

/// What the processors counted of each statement is not more than what the server did.
fn check_deltas(fleet: &Fleet) {
    type Key = (String, String, String, String);
    let mut counted: BTreeMap<Key, i64> = BTreeMap::new();
    for value in fleet.values(Topic::EnrichedQueries) {
        let query = EnrichedQuery::decode(unframe(&value).unwrap().1).unwrap();
        let key = [query.target, query.database_id, query.user_id, query.query_id].map(str::to_owned);
        let [target, database, user, id] = key;
        *counted.entry((target, database, user, id)).or_default() += query.delta.calls().unwrap_or(0);
    }
    let mut ends: BTreeMap<Key, (i64, i64)> = BTreeMap::new();
    for value in fleet.values(Topic::RawQueries) {
        let query = RawQuery::decode(unframe(&value).unwrap().1).unwrap();
        let calls = query.counters.calls().unwrap_or(0);
        let [target, database, user, id] =
            [query.target, query.database_id, query.user_id, query.query_id].map(str::to_owned);
        // An entry that says since when it is there may be counted from 0.
        let begin = if query.entry_since_at.is_some() { 0 } else { calls };
        let (first, last) = ends.entry((target, database, user, id)).or_insert((begin, calls));
        (*first, *last) = ((*first).min(begin), (*last).max(calls));
    }
    assert!(counted.values().sum::<i64>() > 0, "nothing was counted");
    for (key, counted) in counted {
        let (first, last) = ends[&key];
        assert!(counted <= last - first, "{key:?}: {counted} calls were counted of {first} to {last}");
    }
}

/// The owner of a target takes a higher epoch when somebody says that one was there.
fn adopt(fleet: &Fleet) {
    let epoch = |target: &str| {
        let listed = fleet.listed().into_iter().find(|listed| listed["target"] == target).unwrap();
        listed["owner"].as_str().and(listed["owner_epoch"].as_i64())
    };
    let before = epoch("t0").unwrap();
    let arguments = ["targets", "adopt", "t0", "--config", text(&fleet.configuration)];
    let would = said(&arguments, &[]);
    assert!(
        would.contains(&format!("the next would be {}", before + 1)) && would.contains("nothing was written"),
        "{would}"
    );
    assert_eq!(epoch("t0"), Some(before));
    said(&[&arguments[..], &["--yes"]].concat(), &[]);
    wait::blocking(LIMIT, "a higher epoch", || epoch("t0").filter(|after| *after > before));
    let unknown = run(&["targets", "adopt", "t9999", "--config", text(&fleet.configuration)], &[]);
    assert!(unknown.code != Some(0) && unknown.stderr.contains("there is no target `t9999`"), "{unknown:?}");
}

/// Replaces one process after the other; gives the longest gap.
fn replace_in_order(fleet: &Fleet, pollers: &mut [Running]) -> Duration {
    let began = wall_us();
    for (number, poller) in pollers.iter_mut().enumerate() {
        poller.process.stop();
        *poller = fleet.poller(number);
        poller.wait_until_ready();
        fleet.wait_until_polled();
    }
    longest_gap(&fleet.polls(), began)
}

/// Kills and freezes processes by turns; gives the longest gap, and the most connections that a target had.
async fn disturb(fleet: &Fleet, pollers: &mut [Running], faults: u64) -> (Duration, i64) {
    let (began, mut most) = (wall_us(), 0);
    for fault in 0..faults {
        let number = usize::try_from(fault).unwrap() % PROCESSES;
        if fault % 2 == 0 {
            pollers[number].process.kill9();
            most = most.max(watch(fleet, SESSION_TIMEOUT * 2).await);
            pollers[number] = fleet.poller(number);
        } else {
            pollers[number].process.sigstop();
            // What a frozen process leaves open is seen beside what the next owner opens.
            tokio::time::sleep(SESSION_TIMEOUT * 2).await;
            pollers[number].process.sigcont();
        }
        tokio::task::block_in_place(|| {
            pollers[number].wait_until_ready();
            fleet.wait_until_polled();
        });
        most = most.max(watch(fleet, Duration::from_secs(1)).await);
    }
    (longest_gap(&fleet.polls(), began), most)
}

#[tokio::test(flavor = "multi_thread")]
async fn pollers_share_a_fleet_while_they_are_killed_frozen_and_restarted() {
    let targets = usize::try_from(number_of("DBINTEL_SHARING_TARGETS", 12)).unwrap();
    let faults = number_of("DBINTEL_SHARING_FAULTS", 4);
    let fleet = Fleet::start(targets);
    for server in &fleet.servers {
        server.client("postgres").await.batch_execute("CREATE EXTENSION pg_stat_statements").await.unwrap();
    }
    let mut processor = fleet.processor();
    let mut pollers: Vec<Running> = (0..PROCESSES).map(|number| fleet.poller(number)).collect();
    let in_order = tokio::task::block_in_place(|| {
        processor.wait_until_ready();
        pollers.iter_mut().for_each(|poller| drop(poller.wait_until_ready()));
        fleet.wait_until_polled();
        let share = |poller: &mut Running| poller.sample("metrics", "poller_targets{").unwrap();
        let shares: Vec<f64> = pollers.iter_mut().map(share).collect();
        assert!(shares.iter().all(|share| *share > 0.0), "each process has some: {shares:?}");
        assert_eq!(shares.iter().sum::<f64>(), targets as f64, "{shares:?}");
        replace_in_order(&fleet, &mut pollers)
    });
    let (gap, most) = disturb(&fleet, &mut pollers, faults).await;
    let overlaps = overlaps(&fleet.polls());
    say!(
        "{targets} targets: {in_order:?} at most without a poll while processes are replaced in order; with {faults} faults \
         {gap:?}, {overlaps} polls beside a later owner, {most} connections of one target"
    );
    assert!(in_order <= if targets > 12 { GAP_MAX } else { GAP_IN_ORDER_MAX } && gap <= GAP_MAX);
    assert!(overlaps == 0 && most <= CONNECTIONS_MAX);
    tokio::task::block_in_place(|| {
        let listed = fleet.listed();
        assert_eq!(listed.len(), targets);
        for target in &listed {
            assert!(
                target["owner"].is_string() && target["owner_epoch"] == target["last_poll_owner_epoch"],
                "{target}"
            );
            assert!(target["last_poll_outcome"] == "ok" && target["labels"]["number"].is_string(), "{target}");
        }
        adopt(&fleet);
        for mut poller in pollers {
            // Who stops while the group shares out cannot give back what it was not given yet.
            fleet.wait_until_polled();
            poller.process.stop();
        }
        assert!(fleet.listed().iter().all(|target| target["owner"].is_null()), "all were given back");
        wait_until_caught_up(&*fleet.bus, PARTITIONS);
        check_books(&*fleet.bus, PARTITIONS);
    });
    check_deltas(&fleet);
}

/// Looks at the connections for a while; gives the most that a target had.
async fn watch(fleet: &Fleet, time: Duration) -> i64 {
    let mut most = 0;
    let looks = time.as_millis() / 200;
    for _ in 0..looks {
        most = most.max(fleet.connections().await);
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    most
}
