//! Schedules of faults, each from its seed, played with the real workers on the model of a broker: in the end outputs, books and
//! state are those of a run in which nothing went wrong.
//!
//! `make simulate SEEDS=1000000` plays more of them, `make simulate SEEDS=1 SEED=4711` a single one.

mod disk;
mod faults;
mod left;
mod play;
mod scene;

use std::ops::Range;
use std::panic;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use dbintel_bus::model::Fate;
use dbintel_bus::time;

use self::faults::{Hits, POINTS, every_fault};
use self::left::{Left, REFUSED};
use self::play::play;
use self::scene::{Layout, PANICKED};

/// Schedules of a run of all tests. `make simulate` plays more, with optimized code.
const SEEDS: u64 = 5_000;
/// So many schedules, and more, have to meet each fault [`HITS_MIN`] times.
const SEEDS_FOR_HITS: u64 = 100_000;
const HITS_MIN: u64 = 100;
/// Seeds that found something once, with one group.
const FOUND: [u64; 2] = [46_686, 1_798_907];
const PROGRESS_EVERY: u64 = 100_000;

#[test]
fn whatever_goes_wrong_the_books_balance() {
    be_silent_about_the_panic_of_the_scene();
    let undisturbed = Undisturbed::play();
    check_undisturbed(&undisturbed);
    FOUND.iter().for_each(|seed| drop(check(Layout::Compact, *seed, &undisturbed)));
    let (first, seeds) = (number("SEED").unwrap_or(0), number("SEEDS").unwrap_or(SEEDS));
    let all = check_all(first..first + seeds, &undisturbed);
    print_table(&all);
    if seeds >= SEEDS_FOR_HITS {
        for fault in every_fault() {
            let hits = all.get(&fault).copied().unwrap_or_default();
            assert!(hits >= HITS_MIN, "{fault:?} was met {hits} times only");
        }
    }
}

/// Runs in which nothing went wrong, which all others are measured by.
struct Undisturbed {
    compact: Vec<Left>,
    split: Vec<Left>,
}

impl Undisturbed {
    fn play() -> Self {
        let [compact, split] = [Layout::Compact, Layout::Split].map(|layout| time::simulate(|| play(layout, None)).0);
        Self { compact, split }
    }

    fn of(&self, layout: Layout) -> &[Left] {
        match layout {
            Layout::Compact => &self.compact,
            Layout::Split => &self.split,
        }
    }
}

/// They do what they have to, and both layouts the same; only of what they refuse each says where it was refused.
fn check_undisturbed(undisturbed: &Undisturbed) {
    for (compact, split) in undisturbed.compact.iter().zip(&undisturbed.split) {
        assert_eq!(compact.outputs[..REFUSED], split.outputs[..REFUSED], "undisturbed: the layouts differ");
        assert_eq!(compact.outputs[REFUSED].len(), split.outputs[REFUSED].len(), "undisturbed: what is refused");
    }
    for left in undisturbed.compact.iter().chain(&undisturbed.split) {
        let count = |disposition: &str, reason: &str| {
            left.books.iter().filter(|(_, _, name, why)| name == disposition && why == reason).count()
        };
        for (disposition, reason) in [
            ("quarantined", "decode"),
            ("quarantined", "panic"),
            ("quarantined", "oversize"),
            ("absorbed", "stale_owner"),
        ] {
            assert!(count(disposition, reason) > 0, "undisturbed: the books have nothing {disposition} as {reason}");
        }
        let counts = [count("forwarded", ""), count("absorbed", "baseline"), count("sampled_out", "rate")];
        assert!(
            counts.iter().all(|rows| *rows >= 10),
            "undisturbed: the books have {counts:?} forwarded, baselines, sampled out"
        );
        assert!(
            left.outputs.iter().all(|values| !values.is_empty()),
            "undisturbed: the outputs of a topic are missing"
        );
        assert!(left.states.iter().all(|state| !state.is_empty()), "undisturbed: the state is empty");
    }
}

/// Plays schedules on all cores, until one fails.
fn check_all(seeds: Range<u64>, undisturbed: &Undisturbed) -> Hits {
    let next = AtomicU64::new(seeds.start);
    let of_thread = || {
        let mut hits = Hits::new();
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds.end {
                return hits;
            }
            let failing = StopOthers { next: &next, end: seeds.end };
            add(&mut hits, check(Layout::of(seed), seed, undisturbed));
            drop(failing);
            let played = seed + 1 - seeds.start;
            if played.is_multiple_of(PROGRESS_EVERY) {
                println!("{played} of {} schedules", seeds.end - seeds.start);
            }
        }
    };
    let mut all = Hits::new();
    thread::scope(|scope| {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let threads: Vec<_> = (0..cores).map(|_| scope.spawn(of_thread)).collect();
        threads.into_iter().for_each(|thread| add(&mut all, thread.join().expect("a schedule failed")));
    });
    all
}

/// Ends the run when a schedule fails.
struct StopOthers<'a> {
    next: &'a AtomicU64,
    end: u64,
}

impl Drop for StopOthers<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.next.store(self.end, Ordering::Relaxed);
        }
    }
}

fn check(layout: Layout, seed: u64, undisturbed: &Undisturbed) -> Hits {
    let (left, hits) = time::simulate(|| play(layout, Some(seed)));
    for (partition, (left, expected)) in left.iter().zip(undisturbed.of(layout)).enumerate() {
        assert_eq!(left.books, expected.books, "seed {seed}: the books of partition {partition}");
        assert!(left.outputs == expected.outputs, "seed {seed}: the outputs of partition {partition}");
        assert!(left.states == expected.states, "seed {seed}: the state of partition {partition}");
    }
    hits
}

fn add(all: &mut Hits, hits: Hits) {
    for (hit, times) in hits {
        *all.entry(hit).or_default() += times;
    }
}

fn print_table(hits: &Hits) {
    const FATES: [Fate; 6] = [Fate::Refused, Fate::Unanswered, Fate::Late, Fate::Doubled, Fate::Dead, Fate::Killed];
    let columns: String = FATES.iter().map(|fate| format!("{:>12}", format!("{fate:?}"))).collect();
    println!("{:<16}{columns}", "");
    for (point, fates) in POINTS {
        let cell = |fate: &Fate| match fates.contains(fate) {
            true => hits.get(&(point, *fate)).copied().unwrap_or_default().to_string(),
            false => "-".to_owned(),
        };
        let cells: String = FATES.iter().map(|fate| format!("{:>12}", cell(fate))).collect();
        println!("{:<16}{cells}", format!("{point:?}"));
    }
}

/// A number from the environment, which `make simulate` sets.
#[expect(clippy::disallowed_methods, reason = "a test has no configuration file")]
fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok().filter(|text| !text.is_empty())?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name}={text} is not a number")))
}

fn be_silent_about_the_panic_of_the_scene() {
    let others = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        if info.payload().downcast_ref::<&str>() != Some(&PANICKED) {
            others(info);
        }
    }));
}
