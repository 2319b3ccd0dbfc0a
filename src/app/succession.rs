//! Another process takes the place of this one, with the same listeners: an upgrade that nobody notices.
//!
//! The old process starts the new one, by the path that it was started by itself, and hands its listeners
//! over. The new one reads its configuration and keys, waits for whom it has to wait for, and says that it could
//! serve. Only then does the old one stop to accept, for as long as it takes to hand the sessions over. Who
//! connects meanwhile waits in the queue of the listeners, which is the same before and after. Until the new
//! one says that it serves, the old one can go back, and does when anything is not as it should be.
//!
//! Afterwards the old one carries its tunnels to their ends, and finishes what else is open.
//!
//! Here belongs: what both sides say, and in what order. Not here: what a session is to another process
//! (`session::memory::kin`).

mod forebear;
mod link;
mod successor;
mod wire;

use std::fs::File;
use std::future::Future;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Weak};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::net::{TcpListener, UnixListener};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;

pub use self::forebear::Forebear;
use self::link::Link;
pub use self::successor::Program;
use self::successor::Successor;
use self::wire::Kind;
use super::parts::deployment_name;
use super::socket::Name;
use super::{App, StartError};
use crate::ops::notify;
use crate::proxy::doorkeeper::Door;
use crate::proxy::drain::Drain;
use crate::session::memory::kin::{Change, News};

/// Beyond what it may wait for its provider: how long the new process may take to start.
const START: Duration = Duration::from_mins(1);
/// How long it may take from the first session to its first connection.
const TAKE_OVER: Duration = Duration::from_secs(30);
/// How long refreshes that are under way may take, of that.
const REFRESHES: Duration = Duration::from_secs(15);
/// How long the process before may take to hear that a third serves.
const NOTICE: Duration = Duration::from_secs(1);
/// A frame of names holds at most so many bytes.
const NAMES: usize = 1024 * 1024;

/// Why no other process took over. This one goes on.
#[derive(Debug, thiserror::Error)]
pub enum SuccessionError {
    /// It is not known how this process was started.
    #[error("this process does not know how to start another one")]
    NoProgram,
    /// The new process cannot be started, or talked to.
    #[error("the new process cannot be reached: {0}")]
    Io(#[from] std::io::Error),
    /// It ended before it could serve.
    #[error("the new process ended ({0}); what it said is above")]
    Ended(std::process::ExitStatus),
    /// It took too long.
    #[error("the new process was not there in time")]
    Slow,
}

/// The listeners that could be handed over, for as long as somebody accepts from them.
#[derive(Default)]
pub struct Estate {
    tcp: Vec<(SocketAddr, Weak<TcpListener>)>,
    admin: Option<(PathBuf, Weak<UnixListener>, Arc<Name>)>,
}

/// What is handed over, in words; the listeners follow in this order, the lock of the socket last.
#[derive(Debug, Serialize, Deserialize)]
struct Inventory {
    tcp: Vec<SocketAddr>,
    admin: Option<PathBuf>,
    /// Whose sessions they are: [`super::parts::deployment_name`].
    #[serde(default)]
    deployment: String,
}

/// The operator's socket as it is handed over.
#[derive(Debug)]
pub struct AdminSocket {
    /// Where it is.
    pub path: PathBuf,
    /// What listens there.
    pub listener: std::os::unix::net::UnixListener,
    /// Held for as long as one of us is there.
    pub lock: File,
}

impl Estate {
    /// Adds a listener.
    pub fn add(&mut self, address: SocketAddr, listener: &Arc<TcpListener>) {
        self.tcp.push((address, Arc::downgrade(listener)));
    }

    /// Adds the operator's socket.
    pub fn add_admin(&mut self, path: PathBuf, listener: &Arc<UnixListener>, name: Arc<Name>) {
        self.admin = Some((path, Arc::downgrade(listener), name));
    }
}

/// What a process of ours is told from outside while it serves.
pub struct Upgrades(Signal);

impl Upgrades {
    /// SIGUSR2.
    ///
    /// # Errors
    /// [`StartError::Signals`].
    pub fn listen() -> Result<Self, StartError> {
        let signal = signal(SignalKind::user_defined2());
        signal.map(Self).map_err(StartError::Signals)
    }

    /// The next one.
    pub async fn next(&mut self) {
        if self.0.recv().await.is_none() {
            std::future::pending::<()>().await;
        }
    }
}

/// Another process serves.
pub struct Succeeded {
    successor: Successor,
    link: Link,
}

impl App {
    /// Starts another process and lets it take over. An error leaves everything as it was.
    pub(super) async fn hand_over(
        &self,
        estate: &Estate,
        closing: &Drain,
    ) -> Result<Succeeded, SuccessionError> {
        let program = self
            .edge
            .program
            .as_ref()
            .ok_or(SuccessionError::NoProgram)?;
        tracing::info!(program = %program.path().display(), "starting the process that is to take over");
        let (mut successor, mut link) =
            Successor::start(program, estate, deployment_name(&self.settings))?;
        let wait = START + self.settings.oidc.start_timeout;
        tokio::select! {
            ready = tokio::time::timeout(wait, link.wait_for(Kind::Ready)) => {
                match ready {
                    Ok(Ok(())) => {}
                    // It is about to end, or has; how says more.
                    Ok(Err(_)) => return Err(successor.how_it_ended().await),
                    Err(_) => return Err(SuccessionError::Slow),
                }
            }
            status = successor.end() => return Err(SuccessionError::Ended(status?)),
        }
        let done = tokio::time::timeout(TAKE_OVER, self.pass_on(&mut link, closing)).await;
        let why = match done {
            Ok(Ok(())) => {
                for drain in [&self.drain, closing] {
                    drain.set_door(Door::Closed);
                }
                if let Some((_, _, name)) = &estate.admin {
                    name.leave();
                }
                successor.serves();
                notify::main_process(successor.id());
                self.tell_the_one_before().await;
                return Ok(Succeeded { successor, link });
            }
            Ok(Err(error)) => SuccessionError::Io(error),
            Err(_) => SuccessionError::Slow,
        };
        // It must be gone before anybody is let in here again: two could not both be right.
        successor.kill().await;
        self.take_back(closing);
        Err(why)
    }

    /// Nobody took over: everything is as it was.
    pub(super) fn take_back(&self, closing: &Drain) {
        let house = self.houses.now();
        match self.edge.before.get() {
            // It may be there yet; nothing is told if it is not.
            Some(before) => house.sessions.tell(before.clone()),
            None => house.sessions.tell_nobody(),
        }
        house.rechecks.go_on();
        house.roll.go_on();
        for drain in [&self.drain, closing] {
            drain.stay();
            drain.set_door(Door::Open);
        }
    }

    /// Whoever was there before this process must not take the end of this one for a failure.
    async fn tell_the_one_before(&self) {
        let Some(before) = self.edge.before.get() else {
            return;
        };
        let (heard, waiting) = oneshot::channel();
        let news = News {
            change: Change::Replaced,
            heard: Some(heard),
        };
        if before.send(news).is_ok() {
            drop(tokio::time::timeout(NOTICE, waiting).await);
        }
    }

    /// Everything that is in memory only. Sessions first, while this process still serves: what changes
    /// meanwhile is told behind them.
    async fn pass_on(&self, link: &mut Link, closing: &Drain) -> std::io::Result<()> {
        let house = self.houses.now();
        let sessions = &house.sessions;
        sessions.tell(link.kin());
        let mut count = 0_usize;
        for name in sessions.names() {
            link.tell_news().await?;
            if let Some(bytes) = sessions.to_bytes(&name) {
                link.say(Kind::Known, &bytes).await?;
                count += 1;
            }
        }
        house.rechecks.retire();
        let refreshes = house.rechecks.under_way();
        if refreshes > 0 {
            tracing::info!(
                refreshes,
                "handing over once what the provider was asked is answered"
            );
        }
        // The token that a refresh brings is the only one that counts from then on.
        let settled = tokio::time::timeout(REFRESHES, house.rechecks.settled());
        link.tell_news_until(async { drop(settled.await) }).await?;
        for drain in [&self.drain, closing] {
            drain.leave();
            drain.set_door(Door::Held);
        }
        // Nobody comes any more of whom something could be heard.
        house.roll.retire().await;
        link.tell_news().await?;
        for (kind, used) in [
            (Kind::States, house.used.every()),
            (Kind::Logouts, house.used_logouts.every()),
        ] {
            for part in used.concat().chunks(NAMES) {
                link.say(kind, part).await?;
            }
        }
        if let Some(issuer) = &self.issuer {
            let tickets = issuer.tickets().map_err(std::io::Error::other)?;
            link.say(Kind::Tickets, &tickets).await?;
        }
        link.say(Kind::Begin, &[]).await?;
        tracing::info!(sessions = count, "handing over");
        link.wait_for(Kind::Serving).await
    }

    /// What is open here and is no tunnel has had its time.
    fn finish_requests(&self) {
        self.drain.stop();
        self.drain.cut_requests();
    }

    /// Carries what is open here to its end, beside the process that serves.
    pub(super) async fn outlive<S, F>(
        &self,
        succeeded: Succeeded,
        mut stop: S,
        closing: &Drain,
    ) -> Result<(), StartError>
    where
        S: FnMut() -> F,
        F: Future<Output = ()>,
    {
        let Succeeded {
            mut successor,
            link,
        } = succeeded;
        let shutdown = self.current.now().shutdown;
        tracing::info!(
            pid = successor.id(),
            open = self.drain.open(),
            "another process serves: what is open here may finish, and tunnels go on for \
             shutdown.upgrade_grace"
        );
        let (mut replaced, hears_of_it) = (link.replaced(), link.replaced());
        let mut told = tokio::spawn(link.run(Arc::clone(&self.houses.now().sessions)));
        let (mut ended, mut finishing, mut alone) = (None, true, false);
        let grace = tokio::time::sleep(shutdown.grace);
        let all_ended = self.drain.wait(shutdown.upgrade_grace);
        tokio::pin!(grace, all_ended);
        loop {
            tokio::select! {
                () = &mut grace, if finishing => {
                    finishing = false;
                    self.finish_requests();
                }
                // From here on nobody says here what ends there.
                _ = replaced.wait_for(|replaced| *replaced), if finishing => {
                    finishing = false;
                    self.finish_requests();
                }
                all = &mut all_ended => {
                    if !all {
                        tracing::warn!(open = self.drain.open(), "cutting what is still open");
                    }
                    break;
                }
                () = stop() => break,
                status = successor.end(), if !alone => {
                    ended = status.ok();
                    alone = *hears_of_it.borrow() && ended.is_some_and(|status| status.success());
                    if !alone {
                        break;
                    }
                    tracing::info!("the process that took over has been replaced too");
                    ended = None;
                }
            }
        }
        self.drain.stop();
        self.close(closing).await;
        told.abort();
        drop((&mut told).await);
        ended.map_or(Ok(()), |status| Err(StartError::Successor(status)))
    }
}
