//! How the process begins and ends, seen from outside: whose listeners it takes, when it lets go of them, and
//! in what order.

use std::future::Future;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::net::{TcpListener, UnixListener};

use super::succession::{Estate, Succeeded, Upgrades};
use super::{App, Forebear, Inherited, Program, StartError, bind, socket};
use crate::ops::pulse::Pulse;
use crate::proxy::accept::Entrance;
use crate::proxy::doorkeeper::Door;
use crate::proxy::drain::Drain;
use crate::session::memory::kin::Kin;

/// How long tasks that were told to end may take to do so.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// How long a refresh that is under way at the end may take.
const LAST_REFRESH: Duration = Duration::from_secs(3);

/// A Unix socket, and its name in the file system.
type NamedSocket = (Arc<UnixListener>, Arc<socket::Name>);

/// What was before this process, and what may come after it.
#[derive(Default)]
pub(super) struct Edge {
    /// The public listeners are open.
    pub(super) started: Arc<AtomicBool>,
    /// Whether the service manager has heard that.
    pub(super) announced: Arc<AtomicBool>,
    /// Whether the loops of all listeners turn.
    pub(super) pulse: Pulse,
    /// Listeners that are open already.
    pub(super) inherited: Inherited,
    /// The process whose place this one takes.
    pub(super) forebear: Option<Forebear>,
    /// What takes news to that process, once this one serves.
    pub(super) before: OnceLock<Kin>,
    /// How the one that takes this one's place is started.
    pub(super) program: Option<Program>,
}

impl App {
    /// The same with listeners that are open already.
    #[must_use]
    pub fn inheriting(mut self, inherited: Inherited) -> Self {
        self.edge.inherited = inherited;
        self
    }

    /// Takes the place of a process that serves.
    #[must_use]
    pub fn after(mut self, forebear: Forebear) -> Self {
        self.edge.forebear = Some(forebear);
        self
    }

    /// SIGUSR2 makes another process take the place of this one, which is started like this.
    #[must_use]
    pub fn succeeded_by(mut self, program: Option<Program>) -> Self {
        self.edge.program = program;
        self
    }

    /// What the listeners that close last hear. Where a process is there before, no door opens before
    /// everything is there, and that one has let go.
    pub(super) fn closing(&self, is_successor: bool) -> Drain {
        let closing = Drain::default();
        if is_successor {
            self.drain.set_door(Door::Held);
            closing.set_door(Door::Held);
        }
        closing
    }

    /// Listens for the public; nobody is let in yet.
    pub(super) fn listen_publicly(
        &self,
        sockets: Vec<bind::Socket>,
        estate: &mut Estate,
    ) -> Result<Vec<(Arc<TcpListener>, Entrance)>, StartError> {
        let entrances = self.settings.listen.iter().zip(self.tls.public());
        let entrances = entrances.map(|(listener, tls)| Entrance {
            announced: listener.announced,
            http2: listener.http2,
            tls,
        });
        let mut public = Vec::new();
        for (socket, entrance) in sockets.into_iter().zip(entrances) {
            let address = socket.address();
            let listener = socket.listen()?;
            estate.add(address, &listener);
            public.push((listener, entrance));
        }
        Ok(public)
    }

    /// Serves until it is told to stop, or another process has taken over.
    pub(super) async fn until_told<S, F>(
        &self,
        stop: &mut S,
        upgrades: &mut Upgrades,
        estate: &Estate,
        closing: &Drain,
    ) -> Option<Succeeded>
    where
        S: FnMut() -> F,
        F: Future<Output = ()>,
    {
        loop {
            tokio::select! {
                () = stop() => return None,
                () = upgrades.next() => {}
            }
            let handed_over = tokio::select! {
                handed_over = self.hand_over(estate, closing) => handed_over,
                () = stop() => {
                    self.take_back(closing);
                    return None;
                }
            };
            match handed_over {
                Ok(succeeded) => return Some(succeeded),
                Err(why) => tracing::error!(
                    reason = %why,
                    "no other process took over: this one goes on as before"
                ),
            }
        }
    }

    /// The operator's socket: opened, or taken over from the process before.
    pub(super) fn admin_socket(
        &self,
        forebear: Option<&mut Forebear>,
    ) -> Result<Option<NamedSocket>, StartError> {
        let Some(settings) = &self.settings.admin.socket else {
            return Ok(None);
        };
        let handed = forebear.and_then(|forebear| forebear.admin_at(&settings.path));
        let (listener, name) = match handed {
            Some(handed) => socket::adopt(settings, handed.listener, handed.lock)?,
            None => socket::listen(settings)?,
        };
        Ok(Some((Arc::new(listener), Arc::new(name))))
    }

    /// Says that it is not ready any more, and goes on for as long as whoever asks for readiness needs to
    /// hear of it. False when the operator insists meanwhile.
    pub(super) async fn lead<S, F>(&self, stop: &mut S) -> bool
    where
        S: FnMut() -> F,
        F: Future<Output = ()>,
    {
        let lead = self.current.now().shutdown.lead;
        self.drain.leave();
        if lead.is_zero() {
            return true;
        }
        tracing::info!(
            lead_s = lead.as_secs_f64(),
            "not ready any more: still accepting for shutdown.lead"
        );
        tokio::select! {
            () = tokio::time::sleep(lead) => true,
            () = stop() => false,
        }
    }

    /// Nothing new begins; what is open may end by itself, until the grace is over or the operator
    /// insists. The private listeners close last: a registration on its way needs them.
    pub(super) async fn drain_and_close<S, F>(&self, mut stop: S, closing: &Drain)
    where
        S: FnMut() -> F,
        F: Future<Output = ()>,
    {
        self.drain.stop();
        let open = self.drain.open();
        tracing::info!(
            open,
            "stopping: nothing new begins, what is open may finish"
        );
        tokio::select! {
            ended = self.drain.wait(self.current.now().shutdown.grace) => {
                if !ended {
                    tracing::warn!(open = self.drain.open(), "cutting what is still open");
                }
            }
            () = stop() => tracing::warn!("told twice: cutting what is still open"),
        }
        self.close(closing).await;
    }

    /// The operator insisted before anything was over.
    pub(super) async fn cut_and_close(&self, closing: &Drain) {
        self.drain.stop();
        tracing::warn!(
            open = self.drain.open(),
            "told twice: cutting what is still open"
        );
        self.close(closing).await;
    }

    pub(super) async fn close(&self, closing: &Drain) {
        self.drain.cut();
        self.drain.wait(LAST_WORDS).await;
        // The refresh token that it brings is the only one that counts from then on.
        let rechecks = Arc::clone(&self.houses.now().rechecks);
        let settled = rechecks.settled();
        if tokio::time::timeout(LAST_REFRESH, settled).await.is_err() {
            tracing::warn!("a refresh was under way: who is affected has to sign in again");
        }
        closing.stop();
        tracing::info!("stopped");
    }
}
