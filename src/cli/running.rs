//! The running process, as subcommands ask it: over the socket that the command line names, or else the
//! configuration.

use std::path::{Path, PathBuf};

use clap::Args;
use serde::Deserialize;
use serde_json::Value;

use super::client::{Answer, ask};
use super::{BAD_CONFIG, FAILED};
use crate::config::Settings;
use crate::domain::text::{escaped_json, shown};

/// Exit code where the running process cannot be asked.
const NOT_ASKED: u8 = 7;

// No documentation of its own, which clap would take for that of the command that it is flattened into.
#[derive(Args, Debug)]
pub(super) struct Running {
    /// The socket of the running process, instead of `admin.socket_path` of the configuration, which
    /// is not read then
    #[arg(long, global = true, value_name = "PATH")]
    socket: Option<PathBuf>,
}

impl Running {
    /// Whether the configuration has to be read to know the socket.
    pub(super) const fn needs_settings(&self) -> bool {
        self.socket.is_none()
    }

    /// Where the running process is asked.
    pub(super) fn socket(self, settings: Option<&Settings>) -> Result<PathBuf, Refused> {
        let configured = settings.and_then(|settings| settings.admin.socket.as_ref());
        let socket = self
            .socket
            .or_else(|| configured.map(|socket| socket.path.clone()));
        socket.ok_or_else(|| {
            let why = "admin.socket_path is not set, so nobody can be asked";
            Refused(why.to_owned(), BAD_CONFIG)
        })
    }
}

/// An answer that is not the one that was asked for: what to say, and the exit code.
pub(super) struct Refused(pub(super) String, pub(super) u8);

pub(super) fn get<T: for<'de> Deserialize<'de>>(socket: &Path, target: &str) -> Result<T, Refused> {
    read(socket, &send(socket, "GET", target)?)
}

/// The same, and something is done.
pub(super) fn post<T: for<'de> Deserialize<'de>>(
    socket: &Path,
    target: &str,
) -> Result<T, Refused> {
    read(socket, &send(socket, "POST", target)?)
}

/// What an answer says.
pub(super) fn read<T: for<'de> Deserialize<'de>>(
    socket: &Path,
    answer: &Answer,
) -> Result<T, Refused> {
    serde_json::from_str(&answer.body).map_err(|_| {
        let path = socket.display();
        Refused(format!("no proper answer at {path}"), NOT_ASKED)
    })
}

/// Sends a request; an answer that is no success becomes its sentence.
pub(super) fn send(socket: &Path, method: &str, target: &str) -> Result<Answer, Refused> {
    let answer = ask(socket, method, target);
    let answer = answer.map_err(|why| Refused(why.to_string(), NOT_ASKED))?;
    if answer.status == 200 {
        return Ok(answer);
    }
    let body: Value = serde_json::from_str(&answer.body).unwrap_or_default();
    let why = match body.get("message").and_then(Value::as_str) {
        None | Some("") => format!("refused with status {}", answer.status),
        Some(message) => shown(message),
    };
    Err(Refused(why, FAILED))
}

/// As it came, but on one line: its own escapes keep what does not draw away from the terminal.
pub(super) fn as_json(value: &Value) -> String {
    escaped_json(&value.to_string())
}
