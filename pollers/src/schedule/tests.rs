use super::*;

fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

fn run(job: &str, skipped: u64) -> Next<&str> {
    Next::Run(Turn { job, skipped })
}

/// Each step: at this time, expect this; a run ends after so many milliseconds.
fn check(schedule: &mut Schedule<&'static str>, steps: &[(u64, Next<&'static str>, u64)]) {
    for (at, expected, takes) in steps {
        let next = schedule.next(ms(*at));
        assert_eq!(&next, expected, "at {at} ms");
        if let Next::Run(turn) = next {
            schedule.finish(&turn.job, ms(at + takes));
        }
    }
}

#[test]
fn a_job_runs_on_its_grid() {
    let mut schedule = Schedule::default();
    schedule.every("sessions", ms(1000), ms(300));
    check(
        &mut schedule,
        &[
            (0, Next::WaitUntil(ms(300)), 0),
            (300, run("sessions", 0), 50),
            (350, Next::WaitUntil(ms(1300)), 0),
            (1310, run("sessions", 0), 50),
            (1360, Next::WaitUntil(ms(2300)), 0),
            (2300, run("sessions", 0), 700),
            (3000, Next::WaitUntil(ms(3300)), 0),
        ],
    );
}

#[test]
fn the_grid_may_begin_later_or_sooner_than_after_an_interval() {
    for (step, second) in [(1400, 1500), (600, 700)] {
        let mut schedule = Schedule::default();
        assert!(schedule.every("statements", ms(1000), ms(100)));
        assert!(!schedule.every("statements", ms(5000), ms(0)), "it is there already");
        schedule.begin_grid_after(&"statements", ms(step));
        check(
            &mut schedule,
            &[
                (100, run("statements", 0), 10),
                (110, Next::WaitUntil(ms(second)), 0),
                (second, run("statements", 0), 10),
                (second + 10, Next::WaitUntil(ms(second + 1000)), 0),
            ],
        );
    }
    let mut schedule = Schedule::default();
    schedule.every("statements", ms(1000), ms(0));
    schedule.begin_grid_after(&"statements", ms(600));
    // The first run took until 2.1 s: the points at 0.6 and 1.6 s are gone.
    check(&mut schedule, &[(0, run("statements", 0), 2100), (2600, run("statements", 2), 10)]);
}

#[test]
fn grid_points_that_pass_are_skipped_and_counted() {
    let mut schedule = Schedule::default();
    schedule.every("sessions", ms(1000), ms(0));
    check(
        &mut schedule,
        &[
            // Ran until 3.5 s: the points at 1, 2 and 3 s are gone.
            (0, run("sessions", 0), 3500),
            (3500, Next::WaitUntil(ms(4000)), 0),
            (4000, run("sessions", 3), 10),
            // The connection was busy with something else until 7.2 s: the points at 5 and 6 s are gone, 7 s runs now.
            (7200, run("sessions", 2), 10),
            (8000, run("sessions", 0), 10),
        ],
    );
}

#[test]
fn a_running_job_is_not_started_again() {
    let mut schedule = Schedule::default();
    schedule.every("sizes", ms(100), ms(0));
    assert_eq!(schedule.next(ms(0)), run("sizes", 0));
    assert_eq!(schedule.next(ms(1000)), Next::Idle);
    schedule.finish(&"sizes", ms(1050));
    assert_eq!(schedule.next(ms(1050)), Next::WaitUntil(ms(1100)));
    assert_eq!(schedule.next(ms(1100)), run("sizes", 10));
}

#[test]
fn the_job_that_waits_longest_goes_first() {
    let mut schedule = Schedule::default();
    schedule.every("sessions", ms(1000), ms(0));
    schedule.every("statements", ms(10_000), ms(500));
    schedule.every("metrics", ms(10_000), ms(700));
    check(
        &mut schedule,
        &[
            (0, run("sessions", 0), 900),
            (900, run("statements", 0), 1200),
            (2100, run("metrics", 0), 100),
            (2200, run("sessions", 1), 100),
        ],
    );
}

#[test]
fn a_job_on_demand_runs_once_for_each_demand() {
    let mut schedule = Schedule::default();
    schedule.on_demand("texts");
    assert_eq!(schedule.next(ms(0)), Next::Idle);
    schedule.ask(&"texts", ms(500));
    schedule.ask(&"texts", ms(200));
    schedule.ask(&"texts", ms(300));
    check(&mut schedule, &[(0, Next::WaitUntil(ms(200)), 0), (250, run("texts", 0), 30), (300, Next::Idle, 0)]);
    schedule.ask(&"texts", ms(100));
    check(&mut schedule, &[(400, run("texts", 0), 10), (500, Next::Idle, 0)]);
}

#[test]
fn a_demand_during_a_run_is_kept() {
    let mut schedule = Schedule::default();
    schedule.on_demand("texts");
    schedule.ask(&"texts", ms(0));
    assert_eq!(schedule.next(ms(0)), run("texts", 0));
    schedule.ask(&"texts", ms(10));
    assert_eq!(schedule.next(ms(20)), Next::Idle);
    schedule.finish(&"texts", ms(30));
    assert_eq!(schedule.next(ms(30)), run("texts", 0));
}

#[test]
fn a_longer_interval_holds_from_the_next_run() {
    let mut schedule = Schedule::default();
    schedule.every("sessions", ms(1000), ms(0));
    check(&mut schedule, &[(0, run("sessions", 0), 1)]);
    schedule.set_interval(&"sessions", ms(10_000));
    check(&mut schedule, &[(1000, run("sessions", 0), 1), (1001, Next::WaitUntil(ms(11_000)), 0)]);
}

#[test]
fn jobs_come_and_go() {
    let mut schedule = Schedule::default();
    schedule.every("a", ms(1000), ms(0));
    schedule.every("b", ms(1000), ms(10));
    schedule.every("a", ms(5), ms(5));
    schedule.retain(|job| *job != "b");
    check(&mut schedule, &[(0, run("a", 0), 1), (1, Next::WaitUntil(ms(1000)), 0)]);
    schedule.finish(&"b", ms(20));
    schedule.ask(&"b", ms(20));
    assert_eq!(schedule.next(ms(30)), Next::WaitUntil(ms(1000)));
}

#[test]
fn an_interval_of_zero_and_a_long_sleep_are_survived() {
    let mut schedule = Schedule::default();
    schedule.every("x", Duration::ZERO, ms(0));
    let century = Duration::from_secs(3_200_000_000);
    assert!(matches!(schedule.next(century), Next::Run(_)));
    schedule.finish(&"x", century);
    assert!(matches!(schedule.next(century + century), Next::Run(_)));
}

/// Runs and skips together account for every grid point, whatever the polls take.
#[test]
fn runs_and_skips_add_up() {
    let mut schedule = Schedule::default();
    schedule.every("x", ms(100), ms(0));
    let (mut now, mut runs, mut skipped) = (0, 0, 0);
    for step in 0..1000_u64 {
        match schedule.next(ms(now)) {
            Next::Run(turn) => {
                runs += 1;
                skipped += turn.skipped;
                now += step * 7919 % 450;
                schedule.finish(&"x", ms(now));
            }
            Next::WaitUntil(at) => now = at.as_millis() as u64,
            Next::Idle => unreachable!("the job is not running"),
        }
    }
    let last = loop {
        match schedule.next(ms(now)) {
            Next::Run(turn) => break turn,
            Next::WaitUntil(at) => now = at.as_millis() as u64,
            Next::Idle => unreachable!("the job is not running"),
        }
    };
    assert_eq!(runs + 1 + skipped + last.skipped, now / 100 + 1);
}

#[test]
fn postponed_jobs_wait_and_the_others_do_not() {
    let mut schedule = Schedule::default();
    schedule.every("closed", ms(1000), ms(0));
    schedule.every("open", ms(1000), ms(100));
    schedule.on_demand("texts");
    check(&mut schedule, &[(0, run("closed", 0), 10)]);
    schedule.postpone(|job| *job != "open", ms(3500));
    check(
        &mut schedule,
        &[
            (100, run("open", 0), 10),
            (110, Next::WaitUntil(ms(1100)), 0),
            (3450, run("open", 2), 10),
            // The points at 1 and 2 s are gone, that of 3 s runs now.
            (3500, run("closed", 2), 10),
            (3510, Next::WaitUntil(ms(4100)), 0),
        ],
    );
    schedule.postpone(|_| true, ms(4050));
    check(&mut schedule, &[(4050, Next::WaitUntil(ms(4100)), 0)]);
}
