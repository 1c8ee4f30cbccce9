//! The engine on the embedded log, within this process.

use std::sync::Arc;

use dbintel_bus::embedded::{Config, Embedded};
use dbintel_bus::{Bus, Framings, Publisher};

use super::{check_books, create_topics, load, poison, start, wait_until_caught_up};

fn open(directory: &std::path::Path) -> Arc<dyn Bus> {
    let config = Config { directory: directory.to_path_buf(), ..Config::default() };
    Arc::new(Embedded::open(&config).expect("log"))
}

#[test]
fn the_books_balance_over_a_restart() {
    let scratch = tempfile::tempdir().unwrap();
    let (log, state) = (scratch.path().join("log"), scratch.path().join("state"));
    for round in 0..3 {
        let bus = open(&log);
        create_topics(&*bus, 2);
        let publisher = Publisher::new(bus.producer().unwrap(), Framings::single_object(), 2);
        let group = start(&bus, &state, "a");
        load::publish(&publisher, 5, 40, round * 10 + 1..round * 10 + 11);
        wait_until_caught_up(&*bus, 2);
        group.stop();
        let balance = check_books(&*bus, 2);
        assert_eq!((balance.raw, balance.reasons["baseline"]), ((round as usize + 1) * 10 * 5 * 41, 5 * 40));
        assert!(balance.dispositions["forwarded"] > 100, "{balance:?}");
    }
}

#[test]
fn poison_goes_to_quarantine_and_the_flow_goes_on() {
    let scratch = tempfile::tempdir().unwrap();
    let bus = open(&scratch.path().join("log"));
    create_topics(&*bus, 1);
    let publisher = Publisher::new(bus.producer().unwrap(), Framings::single_object(), 1);
    poison(&bus, &publisher, scratch.path());
}
