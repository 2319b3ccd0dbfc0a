//! Listeners that were open before the process: those that systemd made (socket activation, `sd_listen_fds(3)`),
//! or that the process before holds. Each is for the address of the settings that it is bound to.

use std::io;
use std::net::{SocketAddr, TcpListener};

use listenfd::ListenFd;

/// Listeners, until somebody takes them.
#[derive(Debug, Default)]
pub struct Inherited {
    tcp: Vec<(SocketAddr, TcpListener)>,
    /// Whether something may be left.
    whatever_fits: bool,
}

/// Why what systemd passed cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum InheritedError {
    /// The environment is not as `sd_listen_fds(3)` says.
    #[error("LISTEN_FDS cannot be read: {0}")]
    Environment(io::Error),
    /// There is something else.
    #[error("socket {number} of LISTEN_FDS is no TCP listener: {source}")]
    Other {
        /// Which, from zero.
        number: usize,
        /// What is wrong.
        source: io::Error,
    },
    /// Nobody would accept what comes to it.
    #[error("LISTEN_FDS has a listener for {0}, which the configuration does not name")]
    Unused(SocketAddr),
}

impl Inherited {
    /// Those that systemd passed to this very process. To be called before there are other threads, and
    /// once: it takes the variables out of the environment.
    ///
    /// # Errors
    /// [`InheritedError`].
    pub fn from_systemd() -> Result<Self, InheritedError> {
        // Judges whether they are meant for this process; the other crate takes them when nobody is named.
        let count = sd_notify::listen_fds().map_err(InheritedError::Environment)?;
        if count.len() == 0 {
            return Ok(Self::default());
        }
        let mut passed = ListenFd::from_env();
        let mut tcp = Vec::new();
        for number in 0..passed.len() {
            let other = |source| InheritedError::Other { number, source };
            if let Some(listener) = passed.take_tcp_listener(number).map_err(other)? {
                tcp.push(of(listener).map_err(other)?);
            }
        }
        Ok(Self {
            tcp,
            whatever_fits: false,
        })
    }

    /// These.
    ///
    /// # Errors
    /// When one is none that listens.
    pub fn of(listeners: impl IntoIterator<Item = TcpListener>) -> io::Result<Self> {
        let tcp = listeners.into_iter().map(of).collect::<Result<_, _>>()?;
        Ok(Self {
            tcp,
            whatever_fits: false,
        })
    }

    /// What nobody takes is closed, and no mistake.
    #[must_use]
    pub fn whatever_fits(self) -> Self {
        Self {
            whatever_fits: true,
            ..self
        }
    }

    /// The listener that is bound to `address`.
    pub fn take(&mut self, address: SocketAddr) -> Option<TcpListener> {
        let at = self.tcp.iter().position(|(bound, _)| *bound == address)?;
        Some(self.tcp.swap_remove(at).1)
    }

    /// Nothing is left.
    ///
    /// # Errors
    /// [`InheritedError::Unused`].
    pub fn check_used(&self) -> Result<(), InheritedError> {
        match self.tcp.first() {
            Some((address, _)) if !self.whatever_fits => Err(InheritedError::Unused(*address)),
            _ => Ok(()),
        }
    }
}

fn of(listener: TcpListener) -> io::Result<(SocketAddr, TcpListener)> {
    if rustix::net::sockopt::socket_acceptconn(&listener)? {
        Ok((listener.local_addr()?, listener))
    } else {
        let text = "it does not listen (Accept=no is needed)";
        Err(io::Error::new(io::ErrorKind::InvalidInput, text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_listener_is_for_its_own_address_and_once() {
        let open = || TcpListener::bind("127.0.0.1:0").unwrap();
        let (one, other) = (open(), open());
        let [first, second] = [&one, &other].map(|listener| listener.local_addr().unwrap());
        let mut inherited = Inherited::of([one, other]).unwrap();
        let elsewhere = SocketAddr::from(([0, 0, 0, 0], first.port()));
        assert!(inherited.take(elsewhere).is_none(), "another address");
        assert_eq!(inherited.take(first).unwrap().local_addr().unwrap(), first);
        assert!(inherited.take(first).is_none());
        let left = inherited.check_used().unwrap_err().to_string();
        assert!(left.contains(&second.to_string()), "{left}");
        assert!(inherited.take(second).is_some());
        assert!(inherited.check_used().is_ok());
    }

    #[test]
    fn what_does_not_listen_is_refused() {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None);
        let refused = Inherited::of([socket.unwrap().into()]).unwrap_err();
        assert!(refused.to_string().contains("does not listen"), "{refused}");
    }
}
