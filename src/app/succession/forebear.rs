//! The process that was there before, seen from the one that takes over.

use std::fs::File;
use std::io::{self, Read as _};
use std::net::TcpListener;
use std::os::fd::AsFd as _;
use std::os::unix::net as std_unix;
use std::path::Path;
use std::sync::Arc;

use super::super::{App, StartError, deployment_name};
use super::link::{Link, take};
use super::wire::{self, Kind};
use super::{AdminSocket, Inventory};
use crate::app::inherited::Inherited;
use crate::app::socket::Name;
use crate::proxy::doorkeeper::Door;
use crate::proxy::drain::Drain;

/// No inventory is longer.
const LONGEST: u32 = 1024 * 1024;
/// A state that was used.
const STATE: usize = 32;

/// The process before: what it hands over, and the way to it.
#[derive(Debug)]
pub struct Forebear {
    socket: std_unix::UnixStream,
    admin: Option<AdminSocket>,
    deployment: String,
}

impl Forebear {
    /// Takes the listeners that wait at standard input.
    ///
    /// # Errors
    /// When nobody hands anything over there.
    pub fn at_standard_input() -> io::Result<(Self, Inherited)> {
        let socket = io::stdin().as_fd().try_clone_to_owned()?;
        Self::at(std_unix::UnixStream::from(socket))
    }

    fn at(mut socket: std_unix::UnixStream) -> io::Result<(Self, Inherited)> {
        let inventory = inventory(&mut socket)?;
        let mut tcp = Vec::with_capacity(inventory.tcp.len());
        for _ in &inventory.tcp {
            tcp.push(TcpListener::from(wire::receive_descriptor(&socket)?));
        }
        let admin = match inventory.admin {
            Some(path) => Some(AdminSocket {
                path,
                listener: wire::receive_descriptor(&socket)?.into(),
                lock: File::from(wire::receive_descriptor(&socket)?),
            }),
            None => None,
        };
        // Not all of them need fit: the configuration may be another.
        let inherited = Inherited::of(tcp)?.whatever_fits();
        let forebear = Self {
            socket,
            admin,
            deployment: inventory.deployment,
        };
        Ok((forebear, inherited))
    }

    /// The operator's socket, if it is at `path`.
    pub fn admin_at(&mut self, path: &Path) -> Option<AdminSocket> {
        self.admin.take_if(|admin| admin.path == path)
    }

    /// The way to it. Of another deployment than `ours`, its sessions are those of other people.
    fn link(self, ours: &str) -> io::Result<Link> {
        if self.deployment != ours {
            return Err(io::Error::other(
                "its server_url, oidc.issuer or oidc.client_id is another: restart instead, and people sign \
                 in again",
            ));
        }
        Link::new(self.socket)
    }
}

fn inventory(socket: &mut std_unix::UnixStream) -> io::Result<Inventory> {
    let mut length = [0; 4];
    socket.read_exact(&mut length)?;
    let length = u32::from_be_bytes(length);
    if length > LONGEST {
        return Err(io::Error::other("it is no inventory"));
    }
    let mut text = vec![0; usize::try_from(length).map_err(io::Error::other)?];
    socket.read_exact(&mut text)?;
    serde_json::from_slice(&text).map_err(io::Error::other)
}

impl App {
    /// Says that this process could serve, and takes over what the one before has in memory. An error, or its
    /// end, means that this one must not serve.
    pub(in crate::app) async fn take_over(&self, forebear: Forebear) -> Result<Link, StartError> {
        let taken = async {
            let mut link = forebear.link(&deployment_name(&self.settings))?;
            link.say(Kind::Ready, &[]).await?;
            let count = self.hear_everything(&mut link).await?;
            tracing::info!(sessions = count, "taking over");
            Ok(link)
        };
        taken.await.map_err(StartError::Forebear)
    }

    async fn hear_everything(&self, link: &mut Link) -> io::Result<usize> {
        let house = self.houses.now();
        let mut count = 0;
        loop {
            let (kind, body) = link.hear().await?;
            match kind {
                Kind::Begin => return Ok(count),
                // What cannot be read here would be lost, and the process before still has it.
                Kind::Known => {
                    let known = house.sessions.hear_of_new(&body);
                    count += usize::from(known.map_err(io::Error::other)?);
                }
                Kind::States => house.used.take_over(body.as_chunks::<STATE>().0),
                Kind::Logouts => house.used_logouts.take_over(body.as_chunks::<STATE>().0),
                Kind::Tickets => {
                    if let Some(issuer) = &self.issuer {
                        issuer.take_over(&body).map_err(io::Error::other)?;
                    }
                }
                kind => take(&house.sessions, kind, &body)?,
            }
        }
    }

    /// Says that this process serves, and lets people in. What is returned goes on hearing of sessions for as
    /// long as the process before is there.
    pub(in crate::app) async fn serve_from_now_on(
        &self,
        mut link: Link,
        name: Option<&Name>,
        closing: &Drain,
    ) -> Result<impl Future<Output = ()> + Send + use<>, StartError> {
        let sessions = Arc::clone(&self.houses.now().sessions);
        sessions.tell(link.kin());
        let _ = self.edge.before.set(link.kin());
        let said = link.say(Kind::Serving, &[]).await;
        said.map_err(StartError::Forebear)?;
        if let Some(name) = name {
            name.keep();
        }
        for drain in [&self.drain, closing] {
            drain.set_door(Door::Open);
        }
        Ok(link.run(sessions))
    }
}
