//! Free loopback ports.
//!
//! They are taken below the range from which the system picks ports for outgoing connections, and
//! no port is handed out twice, so that a server which is stopped finds its port free when it
//! comes back.

use std::net::{Ipv4Addr, TcpListener};
use std::ops::Range;
use std::sync::atomic::{AtomicU16, Ordering};

const PORTS: Range<u16> = 16_000..32_000;

/// Test processes with neighbouring ids begin this far from each other.
const PORTS_PER_PROCESS: u32 = 64;

/// A port of 127.0.0.1 on which nothing listens.
///
/// # Panics
/// If there is none left.
#[must_use]
pub fn free() -> u16 {
    static HANDED_OUT: AtomicU16 = AtomicU16::new(0);
    let candidates = PORTS.map(|_| port_at(std::process::id(), HANDED_OUT.fetch_add(1, Ordering::Relaxed)));
    first_free(candidates).unwrap_or_else(|| panic!("no port of 127.0.0.1 in {PORTS:?} is free"))
}

fn first_free(mut candidates: impl Iterator<Item = u16>) -> Option<u16> {
    candidates.find(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok())
}

fn port_at(process_id: u32, step: u16) -> u16 {
    let count = u32::from(PORTS.end - PORTS.start);
    let offset = (process_id % count * PORTS_PER_PROCESS + u32::from(step)) % count;
    PORTS.start + u16::try_from(offset).expect("the range of ports fits in 16 bits")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_differ_and_are_free() {
        let ports: Vec<u16> = (0..100).map(|_| free()).collect();
        for (index, port) in ports.iter().enumerate() {
            assert!(PORTS.contains(port));
            assert!(!ports[..index].contains(port));
        }
    }

    #[test]
    fn a_taken_port_is_passed_over() {
        let (first, second) = (free(), free());
        let _taken = TcpListener::bind((Ipv4Addr::LOCALHOST, first)).unwrap();
        assert_eq!(first_free([first, second].into_iter()), Some(second));
        assert_eq!(first_free([first].into_iter()), None);
    }
}
