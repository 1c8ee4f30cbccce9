//! A schedule: processes that come and go on one log, and time that passes.

use std::sync::Arc;
use std::time::Duration;

use dbintel_bus::model::{Config, Model};
use dbintel_bus::{Bus, time};

use super::disk::Disks;
use super::faults::{Faults, Hits, Random, Shaken};
use super::left::{Left, committed, left};
use super::scene::{self, Layout, PARTITIONS, POLLS, Part};
use crate::engine::group::Shared;
use crate::engine::worker::Worker;

/// Things that happen in a schedule before it may come to its end.
const ACTS: usize = 180;
/// Longer than a transaction may be open.
const LONG: Duration = Duration::from_secs(100);
/// Longest time that a killed process stays away, in acts.
const AWAY_MAX: usize = 80;
/// Turns until the work has to be done once nothing goes wrong any more.
const TURNS_MAX: usize = 5_000;

struct Play<'a> {
    bus: &'a Model,
    parts: &'a [Part],
    processes: &'a [Shared],
    workers: Vec<Option<Worker<'a>>>,
    /// Acts until a process may start again that was killed.
    away: Vec<usize>,
    disks: Disks,
    faults: Shaken,
    random: Random,
    polls: i64,
    records: u64,
}

impl Play<'_> {
    /// A process goes on, or starts.
    fn turn(&mut self, number: usize) {
        let joined = self.workers[number].take().map_or_else(|| Worker::join(&self.processes[number], 0), Ok);
        if let Ok(mut worker) = joined {
            match worker.turn() {
                Ok(()) => {
                    let shown = self.processes[number].metrics.partitions.get();
                    assert_eq!(shown, worker.tasks.len() as i64, "partitions that process {number} says it owns");
                    self.workers[number] = Some(worker);
                }
                Err(_) if self.faults.lock().killed => drop(worker),
                // It joins again with its next turn.
                Err(error) => drop(worker.end(Err(error))),
            }
        }
        self.bury(number);
    }

    /// A process that was killed is gone.
    fn bury(&mut self, number: usize) {
        if std::mem::take(&mut self.faults.lock().killed) {
            self.kill(number);
        }
    }

    fn kill(&mut self, number: usize) {
        self.workers[number] = None;
        self.processes[number].metrics.partitions.set(0);
        // Some come again at once. While others stay away, what they had open holds readers back.
        self.away[number] = if self.random.below(2) == 0 { 0 } else { self.random.below(AWAY_MAX) };
        self.disks.after_death(&self.processes[number].config.state_directory, &mut self.random);
    }

    /// A process stops in order.
    fn stop(&mut self, number: usize) {
        if let Some(mut worker) = self.workers[number].take() {
            let outcome = worker.finish();
            drop(worker.end(outcome));
        }
        self.bury(number);
    }

    fn publish(&mut self) {
        if self.polls < POLLS {
            self.polls += 1;
            self.records += scene::publish(self.bus, self.polls);
        }
    }

    /// Nobody was there for so long that the group's positions are forgotten. There is still something to do.
    fn forget_positions(&mut self) {
        if self.polls < POLLS {
            (0..self.processes.len()).for_each(|number| self.stop(number));
            time::sleep(LONG);
            self.bus.deliver_late();
            self.parts.iter().for_each(|part| self.bus.forget_positions(part.group));
        }
    }

    /// Something happens.
    fn act(&mut self) {
        let number = self.random.below(self.processes.len());
        self.away.iter_mut().for_each(|acts| *acts = acts.saturating_sub(1));
        match self.random.below(1000) {
            0..30 => self.kill(number),
            30..60 => self.stop(number),
            60..100 => time::sleep(Duration::from_secs(self.random.below(25) as u64)),
            100..130 => self.bus.deliver_late(),
            130..200 => self.publish(),
            200..203 => self.forget_positions(),
            _ if self.away[number] > 0 => {}
            _ => self.turn(number),
        }
    }

    fn is_done(&self) -> bool {
        let positions = |part: &Part| self.bus.committed(part.group, &part.input_names()).unwrap();
        let first: i64 = positions(&self.parts[0]).iter().map(|position| position.next_offset).sum();
        first as u64 == self.records
            && self.parts[1..].iter().all(|part| {
                let (topics, committed) = (part.input_names(), positions(part));
                let next =
                    |partition| committed.iter().find(|at| at.partition == partition).map_or(0, |at| at.next_offset);
                // What a dead process has open hides what others have committed behind it.
                let is_stable = |partition| {
                    let log = self.bus.offsets(&topics[0], partition).unwrap();
                    log.stable_end == log.end
                };
                let is_read = |partition| next(partition) > last_offset(self.bus, &topics[0], partition);
                (0..PARTITIONS).all(|partition| is_stable(partition) && is_read(partition))
            })
    }

    /// Lets everything come to its end; false if it does not.
    fn settle(&mut self) -> bool {
        self.faults.lock().end();
        while self.polls < POLLS {
            self.publish();
        }
        self.bus.deliver_late();
        for turn in 0..TURNS_MAX {
            if turn % self.processes.len() == 0 && self.is_done() {
                (0..self.processes.len()).for_each(|number| self.stop(number));
                // What a process that never came again had open holds readers back until then.
                time::sleep(LONG);
                return true;
            }
            self.turn(turn % self.processes.len());
        }
        false
    }
}

/// Offset of the last committed record of a topic; -1 if there is none.
fn last_offset(bus: &Model, topic: &str, partition: u32) -> i64 {
    committed(bus, topic, partition).last().map_or(-1, |(offset, _)| *offset)
}

/// Plays the schedule of a seed, or one without faults; what is left of each partition, and what went wrong.
pub fn play(layout: Layout, seed: Option<u64>) -> (Vec<Left>, Hits) {
    let run = seed.map_or(format!("undisturbed {layout:?}"), |seed| format!("seed {seed}"));
    let faults = Shaken::new(seed.map_or_else(Faults::none, Faults::of));
    let config = Config { pending_timeout: Duration::from_secs(1), ..Config::default() };
    let bus = Arc::new(Model::scripted(config, Box::new(faults.clone())));
    bus.create_topics(&scene::topics()).unwrap();
    let disks = Disks::default();
    let parts = layout.parts();
    let processes = scene::processes(&parts, &bus, &disks, &faults);
    let mut play = Play {
        bus: &bus,
        parts: &parts,
        processes: &processes,
        workers: processes.iter().map(|_| None).collect(),
        away: vec![0; processes.len()],
        disks,
        faults,
        random: Random(seed.unwrap_or(0) ^ 0x5eed),
        polls: 0,
        records: 0,
    };
    if seed.is_some() {
        (0..ACTS).for_each(|_| play.act());
    }
    assert!(play.settle(), "{run}: the work does not end, though nothing goes wrong any more");
    let left = (0..PARTITIONS).map(|partition| left(&bus, &parts, partition, &run)).collect();
    let hits = std::mem::take(&mut play.faults.lock().hits);
    (left, hits)
}
