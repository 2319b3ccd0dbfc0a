//! The process that takes over, seen from the one that started it.

use std::env;
use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use super::link::Link;
use super::wire;
use super::{Estate, Inventory, SuccessionError};

/// Between two looks whether it still runs.
const LOOK: Duration = Duration::from_millis(50);
/// How long a process that hung up may take to end.
const LAST_WORDS: Duration = Duration::from_secs(5);
/// What systemd says to one process and not to its children.
const FOR_US_ALONE: [&str; 4] = ["LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "WATCHDOG_PID"];

/// What to start when this process is to be replaced.
#[derive(Clone, Debug)]
pub struct Program {
    path: PathBuf,
    arguments: Vec<OsString>,
}

impl Program {
    /// This process's own, by the path that it was started with: whatever is there at an upgrade is
    /// started then, also where that is a link. `None` if that is not known.
    pub fn of_this_process(arguments: Vec<OsString>) -> Option<Self> {
        let called = env::args_os().next().map(PathBuf::from);
        let path = match called {
            Some(path) if path.components().count() > 1 => std::path::absolute(path).ok()?,
            _ => env::current_exe().ok()?,
        };
        Some(Self { path, arguments })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// The new process.
#[derive(Debug)]
pub struct Successor {
    child: Child,
    /// It has taken over.
    serves: bool,
}

impl Successor {
    /// Starts it and hands the listeners over.
    pub fn start(
        program: &Program,
        estate: &Estate,
        deployment: String,
    ) -> Result<(Self, Link), SuccessionError> {
        let (ours, theirs) = UnixStream::pair()?;
        let mut command = Command::new(&program.path);
        command
            .args(&program.arguments)
            .stdin(Stdio::from(OwnedFd::from(theirs)));
        for name in FOR_US_ALONE {
            command.env_remove(name);
        }
        let child = command.spawn()?;
        // Its end of the pair is closed here.
        drop(command);
        let successor = Self {
            child,
            serves: false,
        };
        give(&ours, estate, deployment)?;
        let link = Link::new(ours)?;
        Ok((successor, link))
    }

    /// It has taken over: it stays when this process ends.
    pub fn serves(&mut self) {
        self.serves = true;
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Ready when it has ended. May be asked again.
    pub async fn end(&mut self) -> io::Result<ExitStatus> {
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// After it hung up: how it ended; it is killed if it does not.
    pub async fn how_it_ended(&mut self) -> SuccessionError {
        match tokio::time::timeout(LAST_WORDS, self.end()).await {
            Ok(Ok(status)) => SuccessionError::Ended(status),
            Ok(Err(error)) => SuccessionError::Io(error),
            Err(_) => {
                self.kill().await;
                SuccessionError::Slow
            }
        }
    }

    /// Ends it, and waits for that.
    pub async fn kill(&mut self) {
        let _ = self.child.kill();
        drop(self.end().await);
    }
}

/// Says what there is, and hands it over: few bytes, for which a new socket has room.
fn give(socket: &UnixStream, estate: &Estate, deployment: String) -> io::Result<()> {
    use std::io::Write as _;
    let tcp: Vec<_> = estate
        .tcp
        .iter()
        .filter_map(|(address, listener)| Some((*address, listener.upgrade()?)))
        .collect();
    let admin = estate.admin.as_ref();
    let admin = admin.and_then(|(path, listener, name)| Some((path, listener.upgrade()?, name)));
    let inventory = serde_json::to_vec(&Inventory {
        tcp: tcp.iter().map(|(address, _)| *address).collect(),
        admin: admin.as_ref().map(|(path, _, _)| (*path).clone()),
        deployment,
    })?;
    let length = u32::try_from(inventory.len()).map_err(io::Error::other)?;
    let mut socket_in = socket;
    socket_in.write_all(&length.to_be_bytes())?;
    socket_in.write_all(&inventory)?;
    for (_, listener) in &tcp {
        wire::send_descriptor(socket, listener.as_fd())?;
    }
    if let Some((_, listener, name)) = admin {
        wire::send_descriptor(socket, listener.as_fd())?;
        wire::send_descriptor(socket, name.lock().as_fd())?;
    }
    Ok(())
}

impl Drop for Successor {
    /// One that did not take over must not stay.
    fn drop(&mut self) {
        if !self.serves {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}
