//! Sockets, reserved before anything else is done: a port in use ends the process with a sentence at
//! once, and not after a minute of waiting for the provider. Nothing is accepted before `listen`.

use std::io;
use std::net::SocketAddr;

use tokio::net::{TcpListener, TcpSocket};

use super::StartError;
use crate::config::{Settings, SignIn};

/// Connections that may wait to be accepted.
const BACKLOG: u32 = 4096;

/// A bound socket that does not listen yet: who connects is refused.
pub struct Socket {
    socket: TcpSocket,
    address: SocketAddr,
}

/// All sockets of the process.
pub struct Sockets {
    /// The issuer's private listener, in that mode.
    pub issuer: Option<Socket>,
    /// The operator's.
    pub admin: Option<Socket>,
    /// The public ones, in the order of the settings.
    pub public: Vec<Socket>,
}

impl Sockets {
    /// Binds every address of the settings.
    pub fn reserve(settings: &Settings) -> Result<Self, StartError> {
        let issuer = match &settings.headscale.sign_in {
            SignIn::Issuer(issuer) => Some(Socket::bind(issuer.address)?),
            SignIn::Own | SignIn::None => None,
        };
        let admin = settings.admin.address.map(Socket::bind).transpose()?;
        let public = settings
            .listen
            .iter()
            .map(|listener| Socket::bind(listener.address));
        Ok(Self {
            issuer,
            admin,
            public: public.collect::<Result<_, _>>()?,
        })
    }
}

impl Socket {
    fn bind(address: SocketAddr) -> Result<Self, StartError> {
        let bind = || -> io::Result<TcpSocket> {
            let socket = if address.is_ipv4() {
                TcpSocket::new_v4()
            } else {
                TcpSocket::new_v6()
            }?;
            // Restarting must not wait for old connections to be forgotten; another listener on the
            // same port is still an error.
            socket.set_reuseaddr(true)?;
            socket.bind(address)?;
            Ok(socket)
        };
        let socket = bind().map_err(|source| StartError::Bind { address, source })?;
        Ok(Self { socket, address })
    }

    /// Begins to accept.
    pub fn listen(self) -> Result<TcpListener, StartError> {
        let address = self.address;
        self.socket
            .listen(BACKLOG)
            .map_err(|source| StartError::Bind { address, source })
    }
}
