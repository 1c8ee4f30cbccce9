//! Getting rid of clients without waiting for ever: librdkafka joins its threads when a client is dropped, and a consumer
//! waits for its group.

use std::ops::Deref;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

/// How long whoever drops a client waits for it. What takes longer ends by itself in the background.
const WAIT_MAX: Duration = Duration::from_secs(5);

/// A client that is dropped on a thread of its own.
pub struct Retiring<T: Send + 'static>(Option<T>);

impl<T: Send + 'static> Retiring<T> {
    /// Takes the client.
    pub fn new(client: T) -> Retiring<T> {
        Retiring(Some(client))
    }

    /// Drops the client without waiting at all.
    pub fn abandon(mut self) {
        if let Some(client) = self.0.take() {
            drop_elsewhere(client);
        }
    }
}

impl<T: Send + 'static> Deref for Retiring<T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.0.as_ref().expect("only taken when it is dropped")
    }
}

impl<T: Send + 'static> Drop for Retiring<T> {
    fn drop(&mut self) {
        if let Some(client) = self.0.take()
            && let Some(done) = drop_elsewhere(client)
            && done.recv_timeout(WAIT_MAX) == Err(mpsc::RecvTimeoutError::Timeout)
        {
            tracing::warn!("a kafka client takes long to stop; it is left to itself");
        }
    }
}

/// The receiver is disconnected when it is done. None if there is no thread to be had: then it is done already.
fn drop_elsewhere<T: Send + 'static>(client: T) -> Option<mpsc::Receiver<()>> {
    let (alive, done) = mpsc::channel();
    let dropping = move || {
        drop(client);
        drop(alive);
    };
    thread::Builder::new().name("kafka-retire".to_owned()).spawn(dropping).ok().map(|_| done)
}
