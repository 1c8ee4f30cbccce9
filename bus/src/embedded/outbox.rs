//! Sending outside of transactions: records are staged here until the writer comes for them.

#[cfg(test)]
mod tests;

use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use super::Core;
use super::block::BLOCK_BYTES;
use super::catalogue::Catalogue;
use super::clock;
use super::staging::{Append, Staging};
use super::sync::locked;
use crate::{BusError, Outgoing, SendError};

/// Staged bytes at which the writer is called without waiting for the linger time.
const HURRY_BYTES: usize = BLOCK_BYTES;

/// How soon the writer should come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Call {
    /// It is on its way already.
    Not,
    /// After the linger time.
    Soon,
    /// At once.
    Now,
}

/// What one producer has accepted and not yet written.
#[derive(Debug)]
pub(super) struct Outbox {
    bytes_max: usize,
    state: Mutex<State>,
    settled: Condvar,
}

#[derive(Debug, Default)]
struct State {
    staging: Staging,
    /// What the writer took and could not write, to be written before anything else.
    returned: Vec<Append>,
    /// Bytes that the writer took and that are not yet durable.
    taken_bytes: usize,
    called: Option<Call>,
    accepted: u64,
    durable: u64,
    failure: Option<String>,
    abandoned: bool,
}

/// What the writer took from an outbox.
pub(super) struct Taken {
    /// The blocks, in order.
    pub appends: Vec<Append>,
    accepted: u64,
}

impl Outbox {
    /// An outbox with room for this many bytes.
    pub fn new(bytes_max: usize) -> Outbox {
        Outbox { bytes_max, state: Mutex::default(), settled: Condvar::new() }
    }

    fn push(&self, catalogue: &Catalogue, record: &Outgoing<'_>) -> Result<Call, SendError> {
        let mut state = locked(&self.state);
        let room = self.bytes_max.saturating_sub(state.taken_bytes);
        if room == 0 {
            return Err(SendError::Full);
        }
        state.staging.push(catalogue, record, room)?;
        state.accepted += 1;
        let call = if state.staging.bytes() >= HURRY_BYTES { Call::Now } else { Call::Soon };
        Ok(state.call(call))
    }

    /// Takes everything out, for the writer.
    pub fn take(&self) -> Taken {
        let mut state = locked(&self.state);
        state.called = None;
        state.taken_bytes += state.staging.bytes();
        let mut appends = std::mem::take(&mut state.returned);
        appends.extend(state.staging.take());
        Taken { appends, accepted: state.accepted }
    }

    /// What was taken is durable.
    pub fn written(&self, taken: &Taken) {
        let mut state = locked(&self.state);
        state.durable = taken.accepted;
        state.taken_bytes = 0;
        state.failure = None;
        self.settled.notify_all();
    }

    /// What was taken could not be written: it waits for another try, and no newer record passes it.
    pub fn returned(&self, taken: Taken, failure: &str) {
        let mut state = locked(&self.state);
        state.returned = taken.appends;
        state.failure = Some(failure.to_owned());
    }

    /// Nothing can be taken now. The writer comes again by itself.
    pub fn refused(&self, failure: &str) {
        locked(&self.state).failure = Some(failure.to_owned());
    }

    /// Whether its producer is gone and nothing is left in it.
    pub fn finished(&self) -> bool {
        let state = locked(&self.state);
        state.abandoned && state.accepted == state.durable
    }

    /// Records accepted and not yet durable.
    pub fn outstanding(&self) -> u64 {
        let state = locked(&self.state);
        state.accepted - state.durable
    }

    fn flush(&self, timeout: Duration) -> Result<(), BusError> {
        let state = locked(&self.state);
        let target = state.accepted;
        let (state, _) = self
            .settled
            .wait_timeout_while(state, timeout, |state| state.durable < target)
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        if state.durable >= target {
            return Ok(());
        }
        let waiting = format!("{} records are not yet written after {timeout:?}", target - state.durable);
        Err(BusError::Unavailable {
            operation: "flush".to_owned(),
            message: state.failure.as_ref().map_or(waiting.clone(), |failure| format!("{waiting}: {failure}")),
        })
    }
}

impl State {
    fn call(&mut self, call: Call) -> Call {
        if self.called == Some(call) || self.called == Some(Call::Now) {
            return Call::Not;
        }
        self.called = Some(call);
        call
    }
}

/// The producer that an outbox belongs to.
pub(super) struct Producer {
    core: Arc<Core>,
    outbox: Arc<Outbox>,
}

impl Producer {
    /// A producer with an outbox of its own.
    pub fn new(core: Arc<Core>) -> Producer {
        let outbox = Arc::new(Outbox::new(core.config.producer_bytes_max));
        core.writer.serve(Arc::clone(&outbox));
        Producer { core, outbox }
    }
}

impl crate::Producer for Producer {
    fn send(&self, record: Outgoing<'_>) -> Result<(), SendError> {
        let call = self.outbox.push(&self.core.log.catalogue, &record)?;
        self.core.writer.call(call, clock::monotonic);
        Ok(())
    }

    fn flush(&self, timeout: Duration) -> Result<(), BusError> {
        self.core.writer.call(Call::Now, clock::monotonic);
        self.outbox.flush(timeout)
    }

    fn outstanding(&self) -> usize {
        usize::try_from(self.outbox.outstanding()).unwrap_or(usize::MAX)
    }
}

impl Drop for Producer {
    fn drop(&mut self) {
        locked(&self.outbox.state).abandoned = true;
    }
}
