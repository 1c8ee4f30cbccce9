//! How long to wait after a connection failed: longer each time, never beyond a bound, and different for each target,
//! so that a fleet does not come back in step. Pure.

use std::time::Duration;

use dbintel_schemas::record_id::hash128;

/// Wait after the first failure, before jitter.
pub const WAIT_MIN: Duration = Duration::from_secs(1);
/// Longest wait, before jitter.
pub const WAIT_MAX: Duration = Duration::from_secs(60);

/// Failures in a row of one connection.
#[derive(Debug)]
pub struct Backoff {
    /// What makes the jitter of this connection its own.
    seed: String,
    failures: u32,
}

impl Backoff {
    /// No failure yet. Two connections with the same `seed` wait equally long.
    pub fn new(seed: impl Into<String>) -> Backoff {
        Backoff { seed: seed.into(), failures: 0 }
    }

    /// Notes a failure; returns how long to wait: between half of and the whole of 1, 2, 4 … 60 s.
    pub fn fail(&mut self) -> Duration {
        let doublings = self.failures.min(16);
        let bound = WAIT_MIN.saturating_mul(1 << doublings).min(WAIT_MAX);
        self.failures = self.failures.saturating_add(1);
        bound.mul_f64(0.5 + 0.5 * fraction(&[self.seed.as_bytes(), &self.failures.to_be_bytes()]))
    }

    /// Notes a success: the next failure is a first one again.
    pub fn succeed(&mut self) {
        self.failures = 0;
    }

    /// Failures since the last success.
    pub fn failures(&self) -> u32 {
        self.failures
    }
}

/// A number in 0..1 that depends on nothing but the parts: jitter without randomness, so that tests and replays agree.
pub fn fraction(parts: &[&[u8]]) -> f64 {
    let hash = hash128(parts);
    let bits = u32::from_be_bytes([hash[0], hash[1], hash[2], hash[3]]);
    f64::from(bits) / 4_294_967_296.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_bound() {
        let mut backoff = Backoff::new("orders");
        for bound in [1, 2, 4, 8, 16, 32, 60, 60, 60] {
            let (wait, bound) = (backoff.fail(), Duration::from_secs(bound));
            assert!(wait >= bound / 2 && wait <= bound, "{wait:?} of {bound:?}");
        }
        assert_eq!(backoff.failures(), 9);
        backoff.succeed();
        assert!(backoff.fail() <= WAIT_MIN);
    }

    #[test]
    fn targets_do_not_come_back_in_step() {
        let waits: Vec<_> = (0..100).map(|target| Backoff::new(format!("target {target}")).fail()).collect();
        let early = waits.iter().filter(|wait| **wait < Duration::from_millis(750)).count();
        assert!((30..70).contains(&early), "{early}");
        assert_eq!(Backoff::new("a").fail(), Backoff::new("a").fail());
    }

    #[test]
    fn a_long_outage_overflows_nothing() {
        let mut backoff = Backoff { seed: String::new(), failures: u32::MAX };
        assert!(backoff.fail() <= WAIT_MAX);
        assert_eq!(backoff.failures(), u32::MAX);
    }
}
