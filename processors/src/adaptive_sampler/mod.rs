//! Keeps a share of the rows, by rules in order of priority, and says on each row how likely that was.
//!
//! Reads and writes: [`Row::Query`] and [`Row::Session`]; other rows pass. State: none, the decision is a function of the
//! row alone. Guarantee: a row is kept with exactly the probability that it carries. The coin is 56 bits of
//! hash(record_id, salt), so that replay, a restart and another worker toss the same; records are independent, since
//! their ids are. Estimating a total as the sum of value × weight is unbiased (Horvitz and Thompson, 1952); its variance
//! grows with the weight, and what rules select on (a slow statement) is not a random sample of anything else.

mod condition;
mod config;
mod fields;

use std::sync::Arc;

use dbintel_schemas::record_id::hash128;

pub use self::config::{Config, Rule};
use crate::engine::{Context, Disposition, Processor, Row, StateError};

/// Bits of randomness in a decision.
const RANDOMNESS_BITS: u32 = 56;

/// The processor.
pub struct AdaptiveSampler {
    config: Arc<Config>,
}

/// Why a row is kept or not.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Decision<'c> {
    /// The first rule whose condition is true, or `default`.
    pub rule: &'c str,
    /// Probability of being kept, in [0, 1].
    pub probability: f64,
    /// The coin.
    pub randomness: i64,
    /// The row is kept.
    pub kept: bool,
}

impl AdaptiveSampler {
    /// An instance with these rules.
    pub fn new(config: Arc<Config>) -> Self {
        Self { config }
    }

    /// Decides about a row; none for kinds that are not sampled, and for rows without values, which cost nothing to lose
    /// but would hide a break.
    fn decide(&self, row: &Row<'_>) -> Option<Decision<'_>> {
        let record_id = match row {
            Row::Query(query) if query.delta_valid => &query.record_id,
            Row::Session(session) => &session.record_id,
            _ => return None,
        };
        let matching = self.config.rules.iter().find(|rule| rule.condition.is_true(row));
        let (rule, rate) =
            matching.map_or(("default", self.config.default_sampling_rate), |rule| (&*rule.name, rule.sampling_rate));
        let probability = rate / 100.0;
        let randomness = coin(record_id, &self.config.salt);
        // As integers: the largest coins, as floating point numbers, would be rounded up past certainty.
        let threshold = (probability * (1u64 << RANDOMNESS_BITS) as f64) as i64;
        Some(Decision { rule, probability, randomness, kept: randomness < threshold })
    }
}

/// 56 bits that depend on the record and the salt only.
fn coin(record_id: &[u8; 16], salt: &str) -> i64 {
    let hash = hash128(&[record_id, salt.as_bytes()]);
    let low = u64::from_le_bytes(hash[..8].try_into().expect("8 of 16 bytes"));
    (low >> (64 - RANDOMNESS_BITS)) as i64
}

impl Processor for AdaptiveSampler {
    fn process<'a>(&mut self, row: &mut Row<'a>, context: &mut Context<'a, '_>) -> Result<Disposition, StateError> {
        let Some(decision) = self.decide(row) else { return Ok(Disposition::Forwarded) };
        if !decision.kept {
            return Ok(Disposition::SampledOut("rate"));
        }
        let rule = Some(context.text(decision.rule));
        let weight = 1.0 / decision.probability;
        match row {
            Row::Query(query) => {
                query.sampling_rule = rule;
                query.sampling_probability = decision.probability;
                query.sampling_randomness = Some(decision.randomness);
                query.sampling_weight = weight;
            }
            Row::Session(session) => {
                session.sampling_rule = rule;
                session.sampling_probability = decision.probability;
                session.sampling_randomness = Some(decision.randomness);
                session.sampling_weight = weight;
            }
            _ => {}
        }
        Ok(Disposition::Forwarded)
    }
}

#[cfg(test)]
mod tests;
