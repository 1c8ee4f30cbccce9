//! Reads partitions outside of any group.

use std::sync::Arc;
use std::time::Duration;

use rdkafka::consumer::BaseConsumer;

use super::client::{self, Context};
use super::fetch::{Change, Fetcher};
use super::ffi::Pump;
use super::settings::Settings;
use crate::{BusError, Reader, ReaderSpec, Receive};

/// How long stopping may take; after that it ends by itself.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// A consumer that is told what to read and commits nothing.
pub struct KafkaReader {
    fetcher: Fetcher,
}

impl KafkaReader {
    /// Starts to fetch.
    pub fn open(settings: &Arc<Settings>, spec: &ReaderSpec) -> Result<KafkaReader, BusError> {
        let consumer: Pump<BaseConsumer<Context>> =
            client::create("reading", settings, &settings.reader(spec.isolation))?;
        let mut fetcher = Fetcher::new(consumer, spec.topics());
        let places = fetcher.resolve(&spec.partitions, settings.config().request_timeout)?;
        fetcher.assign(&places)?;
        Ok(KafkaReader { fetcher })
    }
}

impl Reader for KafkaReader {
    fn read(&mut self, timeout: Duration, limit: usize, receive: &mut dyn Receive) -> Result<usize, BusError> {
        let round = self.fetcher.round(timeout, limit, receive)?;
        if let Some(Change::OutOfRange(place)) = round.change {
            self.fetcher.skip_deleted(&place)?;
            self.fetcher.assign_again()?;
        }
        Ok(round.records)
    }
}

impl Drop for KafkaReader {
    fn drop(&mut self) {
        self.fetcher.close(CLOSE_TIMEOUT);
    }
}
