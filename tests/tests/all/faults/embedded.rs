//! `up` on the embedded log, killed in the middle of its work again and again, its state deleted or cut meanwhile: what was
//! published is processed once, and no delta is lost or counted twice.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use dbintel_bus::Bus;
use dbintel_bus::embedded::{Config, Embedded};
use dbintel_tests::scratch::Scratch;
use dbintel_tests::servers::postgres::{Major, Postgres};
use tokio_postgres::Client;

use super::chaos::cut_files;
use super::{end, number_of};
use crate::cli_rig::{FREE_OWN_PORTS, Running, said, text};
use crate::engine::{GROUP, PIPELINE, check_books, wait_until_caught_up};
use crate::pollers_statements::{connect_as, open_shop};

/// How long it works before it is killed: each time longer, so that every moment of a poll and of a commit gets its turn.
const STEP: Duration = Duration::from_millis(137);

/// Executes statements until it is told to stop, and gives how many of each.
async fn work(shop: Client, stop: Arc<AtomicBool>) -> usize {
    let mut rounds = 0;
    while !stop.load(Ordering::Relaxed) {
        for columns in 1..20 {
            shop.simple_query(&format!("SELECT 1{}", ", 1".repeat(columns))).await.unwrap();
        }
        rounds += 1;
    }
    rounds
}

fn start(postgres: &Postgres, scratch: &Scratch) -> (Running, PathBuf) {
    let configuration = format!(
        "pollers: {{postgresql/shop: {{endpoint: '127.0.0.1:{}', username: watcher, collection_interval: 200ms}}}}
pipelines: {{{PIPELINE}: {{pollers: [postgresql/shop]}}}}
",
        postgres.port
    );
    let file = scratch.write("dbintel.yaml", &configuration);
    let arguments: Vec<&str> =
        ["up", "--quiet", "--config", text(&file)].into_iter().chain(FREE_OWN_PORTS.into_iter().take(4)).collect();
    (Running::start(&arguments, &[]), file)
}

#[tokio::test(flavor = "multi_thread")]
async fn up_may_die_at_any_moment_and_the_books_balance() {
    let postgres = Postgres::start(Major::V18);
    let _admin = open_shop(&postgres).await;
    let stop = Arc::new(AtomicBool::new(false));
    let working = tokio::spawn(work(connect_as(&postgres, "shop").await, Arc::clone(&stop)));
    let scratch = Scratch::new("embedded");
    let (mut up, file) = start(&postgres, &scratch);
    let directory = up.scratch.path().to_path_buf();
    let stores = directory.join("slot-0/processors").join(GROUP);
    for kill in 0..number_of("EMBEDDED_KILLS", 12) as u32 {
        up.wait_until_ready();
        tokio::time::sleep(STEP * kill).await;
        if kill % 4 == 3 {
            end(&mut up);
            cut_files(&stores);
        } else {
            up.process.kill9();
        }
        if kill % 4 == 1 {
            std::fs::remove_dir_all(&stores).unwrap();
        }
        up.process.start_again();
    }
    up.wait_until_ready();
    stop.store(true, Ordering::Relaxed);
    assert!(working.await.unwrap() > 100);

    let config = Config { directory: directory.join("log"), ..Config::default() };
    let log: Box<dyn Bus> = Box::new(Embedded::open_reader(&config).unwrap());
    wait_until_caught_up(&*log, 1);
    end(&mut up);
    let balance = check_books(&*log, 1);
    assert!(balance.dispositions["forwarded"] > 100 && balance.reasons["baseline"] > 20, "{balance:?}");
    let verified =
        said(&["ledger", "verify", "--config", text(&file)], &[("DBINTEL_STATE_DIRECTORY", text(&directory))]);
    assert!(!verified.is_empty());
}
