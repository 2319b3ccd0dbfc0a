//! A wire between Headwarden and an upstream that can be cut, stopped up or made to talk nonsense.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What becomes of a new connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mood {
    /// It is carried to the upstream.
    Carries,
    /// It is closed at once.
    Closes,
    /// It is accepted, and nothing ever comes back.
    Swallows,
    /// It is answered with something that is not HTTP.
    Babbles,
    /// The request is carried; the answer breaks off after a few bytes.
    Breaks,
}

struct State {
    mood: Mood,
    held: Vec<TcpStream>,
    stopped: bool,
}

/// A running wire.
pub(crate) struct Wire {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Wire {
    /// A wire on a free loopback port, to `upstream`.
    pub(crate) fn to(upstream: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let state = Arc::new(Mutex::new(State {
            mood: Mood::Carries,
            held: Vec::new(),
            stopped: false,
        }));
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for client in listener.incoming() {
                if lock(&shared).stopped {
                    return;
                }
                if let Ok(client) = client {
                    carry(client, upstream, &shared);
                }
            }
        });
        Self { address, state }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Changes the mood, and cuts what is open: connections that were kept must not outlive it.
    pub(crate) fn set(&self, mood: Mood) {
        let held = {
            let mut state = lock(&self.state);
            state.mood = mood;
            std::mem::take(&mut state.held)
        };
        for socket in held {
            drop(socket.shutdown(Shutdown::Both));
        }
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        lock(&self.state).stopped = true;
        self.set(Mood::Closes);
        drop(TcpStream::connect(self.address));
    }
}

fn carry(mut client: TcpStream, upstream: SocketAddr, state: &Mutex<State>) {
    let mut locked = lock(state);
    let mood = locked.mood;
    let hold = |locked: &mut State, socket: &TcpStream| {
        locked.held.extend(socket.try_clone());
    };
    match mood {
        Mood::Closes => {}
        Mood::Swallows => locked.held.push(client),
        Mood::Babbles => drop(client.write_all(b"SSH-2.0-OpenSSH_9.2p1\r\n")),
        Mood::Carries | Mood::Breaks => {
            let Ok(server) = TcpStream::connect(upstream) else {
                return;
            };
            hold(&mut locked, &client);
            hold(&mut locked, &server);
            drop(locked);
            let (Ok(from), Ok(to)) = (client.try_clone(), server.try_clone()) else {
                return;
            };
            std::thread::spawn(move || copy(from, to, usize::MAX));
            let most = if mood == Mood::Breaks { 20 } else { usize::MAX };
            std::thread::spawn(move || copy(server, client, most));
        }
    }
}

/// Copies at most so many bytes, then closes both.
fn copy(mut from: TcpStream, mut to: TcpStream, most: usize) {
    let (mut buffer, mut left) = ([0; 16 * 1024], most);
    while left > 0 {
        let Ok(read @ 1..) = from.read(&mut buffer) else {
            break;
        };
        let part = read.min(left);
        if to.write_all(&buffer[..part]).is_err() {
            break;
        }
        left -= part;
    }
    drop(from.shutdown(Shutdown::Both));
    drop(to.shutdown(Shutdown::Both));
}
