//! A running sink, as the rest of the process sees it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use axum::Router;
use dbintel_bus::BusError;

use crate::console::Screen;
use crate::delivery::Metrics;

/// A running sink. Dropping it stops it without waiting.
#[derive(Debug)]
pub struct Handle {
    pub(crate) id: String,
    pub(crate) stop: Arc<AtomicBool>,
    pub(crate) ready: Arc<AtomicBool>,
    pub(crate) thread: Option<JoinHandle<Result<(), BusError>>>,
    pub(crate) router: Option<Router>,
    pub(crate) screen: Option<Screen>,
    pub(crate) metrics: Metrics,
}

impl Handle {
    /// Component id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Whether it owns its partitions and delivers, without trouble with the log or a registry.
    pub fn ready(&self) -> bool {
        self.ready.load(Ordering::Relaxed)
    }

    /// Whether its thread has ended, after [`Handle::stop`] or because the log needs a person.
    pub fn ended(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// What it reports about itself.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// The page that a Prometheus sink serves; the caller binds it to [`crate::prometheus::Config::endpoint`].
    pub fn router(&self) -> Option<Router> {
        self.router.clone()
    }

    /// The screen of a console sink.
    pub fn screen(&self) -> Option<Screen> {
        self.screen.clone()
    }

    /// Asks it to wait up to 2 s for what is open, to commit, and to leave its group.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    /// Waits until it has ended, and tells why.
    pub fn join(mut self) -> Result<(), BusError> {
        match self.thread.take().map(JoinHandle::join) {
            None => Ok(()),
            Some(Ok(result)) => result,
            Some(Err(_panic)) => Err(BusError::Fatal {
                operation: format!("run the sink {}", self.id),
                message: "it panicked; the log tells where".to_owned(),
            }),
        }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.stop();
    }
}
