//! A relay of TCP connections that a test can hold, delay, cut and close on one side, as networks do.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

const BUFFER_BYTES: usize = 64 << 10;

/// A relay; its connections end with the value.
#[derive(Debug)]
pub struct Proxy {
    shared: Arc<Shared>,
    port: u16,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    held: bool,
    /// Ends from which something has come that is held.
    holding: usize,
    /// How often what was held was lost.
    losses: u64,
    /// What comes is passed on so much later.
    delay: Duration,
    /// Time after each byte.
    trickle: Duration,
    ended: bool,
    connections_ever: u64,
    /// The two ends of each connection.
    connections: BTreeMap<u64, [TcpStream; 2]>,
}

impl Proxy {
    /// Listens on a port of 127.0.0.1 and relays what comes to `address`.
    ///
    /// # Panics
    /// If the port is taken.
    #[must_use]
    pub fn start(port: u16, address: &str) -> Proxy {
        Proxy::balance(port, &[address])
    }

    /// As [`Proxy::start`], with connections that go to these addresses in turn.
    ///
    /// # Panics
    /// As [`Proxy::start`].
    #[must_use]
    pub fn balance(port: u16, addresses: &[&str]) -> Proxy {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).expect("the port of the proxy is free");
        let shared = Arc::new(Shared::default());
        let accepting = Arc::clone(&shared);
        let addresses: Vec<String> = addresses.iter().map(|address| (*address).to_owned()).collect();
        thread::spawn(move || accept(&listener, &addresses, &accepting));
        Proxy { shared, port }
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Relays nothing until [`Proxy::go_on`]: connections stay open and nothing comes through.
    pub fn hold(&self) {
        self.shared.state().held = true;
    }

    /// Relays again, first of all what was held.
    pub fn go_on(&self) {
        self.shared.state().held = false;
        self.shared.changed.notify_all();
    }

    /// Loses what is held as soon as something is, and relays what comes after it.
    pub fn lose_what_is_held(&self) {
        let nothing = |state: &mut State| state.holding == 0;
        let mut state =
            self.shared.changed.wait_while(self.shared.state(), nothing).unwrap_or_else(PoisonError::into_inner);
        (state.held, state.losses) = (false, state.losses + 1);
        drop(state);
        self.shared.changed.notify_all();
    }

    /// Passes everything on later by this time.
    pub fn delay(&self, time: Duration) {
        self.shared.state().delay = time;
    }

    /// Passes everything on byte by byte, with this time after each.
    pub fn trickle(&self, pause: Duration) {
        self.shared.state().trickle = pause;
    }

    /// Tells every client that no more will come, while what clients send still arrives; gives the number of connections.
    pub fn half_close(&self) -> usize {
        let state = self.shared.state();
        let clients = state.connections.values().map(|[client, _]| client);
        clients.filter(|client| client.shutdown(Shutdown::Write).is_ok()).count()
    }

    /// Ends all connections, and gives their number. New ones are accepted.
    pub fn cut(&self) -> usize {
        let connections = std::mem::take(&mut self.shared.state().connections);
        connections.values().flatten().for_each(end);
        connections.len()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.state().ended = true;
        self.cut();
        self.go_on();
        // The thread that accepts looks up when somebody connects.
        drop(TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)));
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// False if what came is lost meanwhile.
    fn wait_while_held(&self) -> bool {
        let held = |state: &mut State| state.held && !state.ended;
        let mut state = self.state();
        let losses = state.losses;
        state.holding += 1;
        self.changed.notify_all();
        let mut state = self.changed.wait_while(state, held).unwrap_or_else(PoisonError::into_inner);
        state.holding -= 1;
        state.losses == losses
    }
}

fn accept(listener: &TcpListener, addresses: &[String], shared: &Arc<Shared>) {
    for (client, address) in listener.incoming().zip(addresses.iter().cycle()) {
        if shared.state().ended {
            return;
        }
        let _not_lost = shared.wait_while_held();
        // Whoever cannot be connected is cut at once, as by a server that refuses.
        if let (Ok(client), Ok(server)) = (client, TcpStream::connect(address)) {
            connect([client, server], shared);
        }
    }
}

fn connect(ends: [TcpStream; 2], shared: &Arc<Shared>) {
    let copy = |end: &TcpStream| end.try_clone().expect("a socket can be shared");
    let kept = ends.each_ref().map(copy);
    let number = {
        let mut state = shared.state();
        state.connections_ever += 1;
        let number = state.connections_ever;
        state.connections.insert(number, kept);
        number
    };
    let [client, server] = ends;
    for (from, to) in [(copy(&client), copy(&server)), (server, client)] {
        let shared = Arc::clone(shared);
        thread::spawn(move || {
            relay(from, to, &shared);
            shared.state().connections.remove(&number);
        });
    }
}

/// Passes on what comes, until one of the ends is closed; then both are.
fn relay(mut from: TcpStream, mut to: TcpStream, shared: &Shared) {
    let mut buffer = vec![0; BUFFER_BYTES];
    while let Ok(length @ 1..) = from.read(&mut buffer) {
        if !shared.wait_while_held() {
            continue;
        }
        let delay = shared.state().delay;
        if !delay.is_zero() {
            thread::sleep(delay);
        }
        // What nobody wants to hear any more is dropped: the other direction may still be open.
        let _half_closed = pass_on(&mut to, &buffer[..length], shared);
    }
    [from, to].iter().for_each(end);
}

fn pass_on(to: &mut TcpStream, bytes: &[u8], shared: &Shared) -> std::io::Result<()> {
    let mut rest = bytes.iter();
    loop {
        let trickle = shared.state().trickle;
        if trickle.is_zero() {
            return to.write_all(rest.as_slice());
        }
        let Some(byte) = rest.next() else { return Ok(()) };
        to.write_all(&[*byte])?;
        thread::sleep(trickle);
    }
}

/// An end that is closed already is no error.
fn end(connection: &TcpStream) {
    let _closed = connection.shutdown(Shutdown::Both);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ports;
    use std::time::Instant;

    /// A server that answers each byte with its successor, and a client on the other side of a proxy.
    fn scene() -> (Proxy, TcpStream) {
        let server = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = server.local_addr().unwrap().to_string();
        thread::spawn(move || {
            for mut client in server.incoming().map(Result::unwrap) {
                let mut byte = [0];
                while let Ok(1) = client.read(&mut byte) {
                    client.write_all(&[byte[0] + 1]).unwrap();
                }
            }
        });
        let port = ports::free();
        let proxy = Proxy::start(port, &address);
        (proxy, TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap())
    }

    fn answer(client: &mut TcpStream) -> Option<u8> {
        let mut byte = [0];
        client.read_exact(&mut byte).ok().map(|()| byte[0])
    }

    #[test]
    fn what_is_held_comes_later_and_what_is_cut_does_not() {
        let (proxy, mut client) = scene();
        client.write_all(&[1]).unwrap();
        assert_eq!(answer(&mut client), Some(2));
        proxy.hold();
        client.write_all(&[5]).unwrap();
        client.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        assert_eq!(answer(&mut client), None);
        proxy.go_on();
        client.set_read_timeout(None).unwrap();
        assert_eq!(answer(&mut client), Some(6));
        assert_eq!(proxy.cut(), 1);
        assert_eq!(answer(&mut client), None);
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "it measures a delay")]
    fn what_is_delayed_takes_its_time_both_ways() {
        let (proxy, mut client) = scene();
        proxy.delay(Duration::from_millis(30));
        let began = Instant::now();
        client.write_all(&[1]).unwrap();
        assert_eq!(answer(&mut client), Some(2));
        assert!(began.elapsed() >= Duration::from_millis(60), "{:?}", began.elapsed());
    }

    #[test]
    fn of_a_half_closed_connection_one_way_stays_open() {
        let server = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = ports::free();
        let proxy = Proxy::start(port, &server.local_addr().unwrap().to_string());
        let mut client = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
        let (mut accepted, _) = server.accept().unwrap();
        client.write_all(&[1]).unwrap();
        assert_eq!(answer(&mut accepted), Some(1));
        assert_eq!(proxy.half_close(), 1);
        assert_eq!(answer(&mut client), None, "no more comes");
        accepted.write_all(&[2]).unwrap();
        client.write_all(&[3]).unwrap();
        assert_eq!(answer(&mut accepted), Some(3), "what the client sends arrives");
        drop(client);
        assert_eq!(answer(&mut accepted), None);
    }
}
