//! What the sampler decided, as metrics. The sampler itself is pure and knows none: a processor around it counts.
//!
//! Decisions are counted when they are taken: those of a transaction that is aborted are counted again when its rows are
//! processed again. The ledger is what adds up.

use std::sync::{Arc, Mutex, PoisonError};

use dbintel_processors::engine::{Context, Disposition, Processor, Row, StateError, StateTable, Tick};
use prometheus::{Gauge, IntCounter, Registry};

/// Decisions over which the current rate is a mean, about.
const WINDOW: f64 = 1000.0;

/// Metrics of all samplers of a process.
#[derive(Clone)]
pub struct SamplerMetrics {
    decisions: IntCounter,
    rate: Gauge,
    /// Share of rows kept lately; none before the first decision.
    share: Arc<Mutex<Option<f64>>>,
}

impl SamplerMetrics {
    /// Registers the metrics.
    pub fn register(registry: &Registry) -> Result<SamplerMetrics, prometheus::Error> {
        let decisions = IntCounter::new("adaptive_sampler_decisions_total", "Rows that the sampler decided about")?;
        let rate =
            Gauge::new("adaptive_sampler_sampling_rate_current", "Percent of the last rows that the sampler kept")?;
        rate.set(100.0);
        registry.register(Box::new(decisions.clone()))?;
        registry.register(Box::new(rate.clone()))?;
        Ok(SamplerMetrics { decisions, rate, share: Arc::default() })
    }

    /// A sampler that counts.
    pub fn around(&self, sampler: Box<dyn Processor>) -> Box<dyn Processor> {
        Box::new(Counted { sampler, metrics: self.clone(), kept: 0, dropped: 0 })
    }

    fn add(&self, kept: u64, dropped: u64) {
        let decided = kept + dropped;
        if decided == 0 {
            return;
        }
        self.decisions.inc_by(decided);
        let mut share = self.share.lock().unwrap_or_else(PoisonError::into_inner);
        let newest = kept as f64 / decided as f64;
        let weight = 1.0 - (-(decided as f64) / WINDOW).exp();
        let current = share.map_or(newest, |before| before + weight * (newest - before));
        *share = Some(current);
        self.rate.set(100.0 * current);
    }
}

/// A sampler with the decisions of the batch at hand.
struct Counted {
    sampler: Box<dyn Processor>,
    metrics: SamplerMetrics,
    kept: u64,
    dropped: u64,
}

impl Counted {
    fn settle(&mut self) {
        self.metrics.add(std::mem::take(&mut self.kept), std::mem::take(&mut self.dropped));
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.settle();
    }
}

impl Processor for Counted {
    fn tables(&mut self) -> Vec<&mut dyn StateTable> {
        self.sampler.tables()
    }

    fn prefetch(&mut self, rows: &[&Row<'_>]) -> Result<(), StateError> {
        self.settle();
        self.sampler.prefetch(rows)
    }

    fn process<'a>(&mut self, row: &mut Row<'a>, context: &mut Context<'a, '_>) -> Result<Disposition, StateError> {
        let disposition = self.sampler.process(row, context)?;
        match &disposition {
            Disposition::SampledOut(_) => self.dropped += 1,
            Disposition::Forwarded if was_decided(row) => self.kept += 1,
            _ => {}
        }
        Ok(disposition)
    }

    fn tick_interval(&self) -> Option<i64> {
        self.sampler.tick_interval()
    }

    fn tick(&mut self, tick: Tick<'_>, context: &mut Context<'_, '_>) -> Result<(), StateError> {
        self.sampler.tick(tick, context)
    }
}

/// A row that a sampler kept carries its coin.
fn was_decided(row: &Row<'_>) -> bool {
    match row {
        Row::Query(query) => query.sampling_randomness.is_some(),
        Row::Session(session) => session.sampling_randomness.is_some(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_current_rate_follows_what_was_kept_lately() {
        let metrics = SamplerMetrics::register(&Registry::new()).unwrap();
        assert_eq!((metrics.decisions.get(), metrics.rate.get()), (0, 100.0));
        metrics.add(0, 0);
        assert_eq!(metrics.rate.get(), 100.0);
        metrics.add(1, 3);
        assert_eq!((metrics.decisions.get(), metrics.rate.get()), (4, 25.0));
        for _ in 0..100 {
            metrics.add(100, 0);
        }
        assert!((99.9..=100.0).contains(&metrics.rate.get()), "{}", metrics.rate.get());
    }
}
