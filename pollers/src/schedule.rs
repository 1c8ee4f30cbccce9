//! When which poll is due. Pure: monotonic time comes in as `now`, a duration since an arbitrary start.
//!
//! Each job stands on a grid of its own (`phase + n × interval`), so that intervals do not drift with the time that
//! polls take. The first run comes before the grid begins: soon, while the others are spread over the whole interval. A job never runs twice at once, and grid points that pass meanwhile are skipped and counted, never
//! made up for.

use std::time::Duration;

/// Jobs and when they are due. `J` names a job: a poll class, or a class and a database.
#[derive(Debug)]
pub struct Schedule<J> {
    entries: Vec<Entry<J>>,
}

#[derive(Debug)]
struct Entry<J> {
    job: J,
    /// None: the job runs only when asked for.
    interval: Option<Duration>,
    /// Next grid point, or the time asked for; none if the job waits to be asked.
    due_at: Option<Duration>,
    /// From the first run to the second, where the grid begins, if that is not an interval.
    first_step: Option<Duration>,
    running: bool,
    skipped: u64,
}

/// What to do now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next<J> {
    /// Run this job, and call [`Schedule::finish`] afterwards.
    Run(Turn<J>),
    /// Nothing is due before this time.
    WaitUntil(Duration),
    /// Nothing will ever be due: every job runs or waits to be asked.
    Idle,
}

/// One run of a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Turn<J> {
    /// The job.
    pub job: J,
    /// Runs that were skipped since the last one, because this job or another one on the same connection took too long.
    pub skipped: u64,
}

impl<J> Default for Schedule<J> {
    fn default() -> Self {
        Schedule { entries: Vec::new() }
    }
}

impl<J: Clone + PartialEq> Schedule<J> {
    /// Adds a job that is first due at `first_at` and then every `interval` (at least 1 ms). A job that is there already
    /// keeps its place; then this says false.
    pub fn every(&mut self, job: J, interval: Duration, first_at: Duration) -> bool {
        let interval = Some(interval.max(Duration::from_millis(1)));
        self.add(Entry { job, interval, due_at: Some(first_at), first_step: None, running: false, skipped: 0 })
    }

    /// Makes the second run of a job that has not run yet come `step` after the first; the grid goes on from there.
    pub fn begin_grid_after(&mut self, job: &J, step: Duration) {
        if let Some(entry) = self.entry(job) {
            entry.first_step = Some(step.max(Duration::from_millis(1)));
        }
    }

    /// Adds a job that runs only after [`Schedule::ask`].
    pub fn on_demand(&mut self, job: J) {
        self.add(Entry { job, interval: None, due_at: None, first_step: None, running: false, skipped: 0 });
    }

    /// Makes an on-demand job due at `at`, or earlier if it was asked for earlier.
    pub fn ask(&mut self, job: &J, at: Duration) {
        if let Some(entry) = self.entry(job) {
            entry.due_at = Some(entry.due_at.map_or(at, |due_at| due_at.min(at)));
        }
    }

    /// Gives a job another interval from its next grid point on.
    pub fn set_interval(&mut self, job: &J, interval: Duration) {
        if let Some(entry) = self.entry(job)
            && entry.interval.is_some()
        {
            entry.interval = Some(interval.max(Duration::from_millis(1)));
        }
    }

    /// Makes the jobs of which `concerns` is true due no earlier than `until`. Grid points before that are skipped.
    pub fn postpone(&mut self, concerns: impl Fn(&J) -> bool, until: Duration) {
        for entry in self.entries.iter_mut().filter(|entry| concerns(&entry.job)) {
            let Some(due_at) = entry.due_at.filter(|due_at| *due_at < until) else { continue };
            if let Some(interval) = entry.interval {
                entry.skipped += after(due_at, interval, until).1 - 1;
            }
            entry.due_at = Some(until);
        }
    }

    /// Drops the jobs for which `keep` says no.
    pub fn retain(&mut self, mut keep: impl FnMut(&J) -> bool) {
        self.entries.retain(|entry| keep(&entry.job));
    }

    /// The job that has been due for longest, if any is due at `now`.
    pub fn next(&mut self, now: Duration) -> Next<J> {
        let waiting = self.entries.iter_mut().filter(|entry| !entry.running);
        let first = waiting.filter_map(|entry| Some((entry.due_at?, entry))).min_by_key(|(due_at, _)| *due_at);
        match first {
            None => Next::Idle,
            Some((due_at, _)) if due_at > now => Next::WaitUntil(due_at),
            Some((_, entry)) => Next::Run(entry.start(now)),
        }
    }

    /// Notes that the job ended at `now`. Grid points that passed while it ran are counted as skipped.
    pub fn finish(&mut self, job: &J, now: Duration) {
        if let Some(entry) = self.entry(job) {
            entry.running = false;
            if let (Some(due_at), Some(interval)) = (entry.due_at, entry.interval)
                && due_at < now
            {
                let (next_at, passed) = after(due_at, interval, now);
                entry.due_at = Some(next_at);
                entry.skipped += passed;
            }
        }
    }

    fn add(&mut self, entry: Entry<J>) -> bool {
        let is_new = self.entry(&entry.job).is_none();
        if is_new {
            self.entries.push(entry);
        }
        is_new
    }

    fn entry(&mut self, job: &J) -> Option<&mut Entry<J>> {
        self.entries.iter_mut().find(|entry| entry.job == *job)
    }
}

impl<J: Clone> Entry<J> {
    /// Takes the latest grid point that has come as this run; those before it are skipped.
    fn start(&mut self, now: Duration) -> Turn<J> {
        self.running = true;
        let mut skipped = std::mem::take(&mut self.skipped);
        self.due_at = match (self.due_at, self.interval) {
            (Some(due_at), Some(interval)) => {
                let (next_at, passed) = match self.first_step.take() {
                    Some(step) if due_at + step > now => (due_at + step, 1),
                    _ => after(due_at, interval, now),
                };
                skipped += passed - 1;
                Some(next_at)
            }
            _ => None,
        };
        Turn { job: self.job.clone(), skipped }
    }
}

/// The first grid point later than `now`, and how many points from `due_at` (which has come) it leaves behind.
fn after(due_at: Duration, interval: Duration, now: Duration) -> (Duration, u64) {
    let passed = (now - due_at).as_nanos() / interval.as_nanos() + 1;
    let passed = u64::try_from(passed).unwrap_or(u64::MAX);
    let steps = u32::try_from(passed).unwrap_or(u32::MAX);
    (due_at + interval * steps, passed)
}

#[cfg(test)]
mod tests;
