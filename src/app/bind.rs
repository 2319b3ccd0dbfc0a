//! Sockets, reserved before anything else is done: a port in use ends the process with a sentence at
//! once, and not after a minute of waiting for the provider. Nothing is accepted before `listen`.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::{TcpListener, TcpSocket};

use super::StartError;
use super::inherited::Inherited;
use crate::config::{Settings, SignIn};

/// Connections that may wait to be accepted.
const BACKLOG: u32 = 4096;

/// A socket that is ours.
pub struct Socket {
    kind: Kind,
    address: SocketAddr,
}

enum Kind {
    /// It does not listen yet: who connects is refused.
    Bound(TcpSocket),
    /// Somebody else opened it: who connects waits.
    Inherited(std::net::TcpListener),
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
    /// Takes every address of the settings out of `inherited`, or binds it.
    pub fn reserve(settings: &Settings, inherited: &mut Inherited) -> Result<Self, StartError> {
        let mut socket = |address| match inherited.take(address) {
            Some(listener) => Ok(Socket {
                kind: Kind::Inherited(listener),
                address,
            }),
            None => Socket::bind(address),
        };
        let issuer = match &settings.headscale.sign_in {
            SignIn::Issuer(issuer) => Some(socket(issuer.address)?),
            SignIn::Own | SignIn::None => None,
        };
        let admin = settings.admin.address.map(&mut socket).transpose()?;
        let public = settings.listen.iter();
        let public = public.map(|listener| socket(listener.address));
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
        Ok(Self {
            kind: Kind::Bound(socket),
            address,
        })
    }

    /// Where it is, as the settings say.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Begins to accept.
    pub fn listen(self) -> Result<Arc<TcpListener>, StartError> {
        let address = self.address;
        let listener = match self.kind {
            Kind::Bound(socket) => socket.listen(BACKLOG),
            Kind::Inherited(listener) => listener
                .set_nonblocking(true)
                .and_then(|()| TcpListener::from_std(listener)),
        };
        listener
            .map(Arc::new)
            .map_err(|source| StartError::Bind { address, source })
    }
}
