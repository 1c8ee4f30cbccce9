//! A client that has lost all its brokers finds them again. A broker that starts, stops or was cut off from its controller may
//! answer with topics and no broker at all; librdkafka then forgets every broker that it knew and asks nobody ever again (its
//! issue 5301). So whoever waits for a client looks from time to time whether it still has a broker, and names the bootstrap
//! servers again if it has none. What it knows already it does not take twice.

use std::ffi::{CStr, CString};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use super::clock;
use super::ffi::{Handle, Pump};
use super::settings::Settings;

/// Between two looks.
const INTERVAL: Duration = Duration::from_secs(5);
/// How long a look may take: it is only asked whether there is a broker, not what it says.
const GLANCE: Duration = Duration::from_millis(1);

/// When a client last looked, and whom it asks.
pub struct Lookout {
    servers: CString,
    looked_at: Mutex<Instant>,
}

impl Lookout {
    /// Of a client that has just been made.
    pub fn new(settings: &Settings) -> Lookout {
        let servers = settings.config().bootstrap_servers.join(",");
        Lookout { servers: CString::new(servers).unwrap_or_default(), looked_at: Mutex::new(clock::now()) }
    }

    /// The servers to name, if it is time to look and nobody else does.
    fn due(&self) -> Option<&CStr> {
        let mut looked_at = self.looked_at.try_lock().ok()?;
        let now = clock::now();
        if now.duration_since(*looked_at) < INTERVAL {
            return None;
        }
        *looked_at = now;
        Some(&self.servers)
    }
}

impl<T: Handle> Pump<T> {
    /// Looks for brokers if that is due: to be called when nothing comes.
    pub(super) fn look_for_brokers(&self) {
        let Some(servers) = self.context().lookout().due() else { return };
        if !self.has_broker(GLANCE) {
            tracing::debug!(client = self.context().name(), "no broker is connected; asking the bootstrap servers");
            self.add_brokers(servers);
        }
    }
}
