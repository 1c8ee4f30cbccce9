//! What the outside asks of a running process.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Exit code of a command that was interrupted, as shells give it.
const INTERRUPTED: i32 = 130;

/// A signal, by what it asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ask {
    /// SIGTERM or SIGINT: an orderly end.
    Stop,
    /// SIGHUP: look at the configuration again.
    Reload,
}

/// The signals of the process, from the moment this is made.
#[derive(Debug)]
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    /// Takes the signals over.
    pub fn listen() -> io::Result<Signals> {
        Ok(Signals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// Waits for the next one.
    pub async fn next(&mut self) -> Ask {
        tokio::select! {
            _ = self.terminate.recv() => Ask::Stop,
            _ = self.interrupt.recv() => Ask::Stop,
            _ = self.hangup.recv() => Ask::Reload,
        }
    }

    /// Waits until somebody asks for an end.
    pub async fn stop(&mut self) {
        while self.next().await != Ask::Stop {}
    }
}

/// Becomes true with the first signal, and a second one ends the process at once: for a command that works without a
/// runtime and has nothing to reload.
pub fn asked() -> io::Result<Arc<AtomicBool>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut signals = runtime.block_on(async { Signals::listen() })?;
    let asked = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&asked);
    let watch = move || {
        runtime.block_on(signals.next());
        told.store(true, Ordering::Relaxed);
        runtime.block_on(signals.next());
        std::process::exit(INTERRUPTED);
    };
    std::thread::Builder::new().name("signals".to_owned()).spawn(watch)?;
    Ok(asked)
}
