//! How the process is, for an operator who asks: what runs, since when, by which configuration, and what
//! came of reading it again.

use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::{Value, json};

use crate::config::{Seen, Settings, SignIn, Store};
use crate::domain::calendar::rfc3339;
use crate::domain::time::Timestamp;

/// One attempt to read the configuration again.
#[derive(Clone, Debug)]
pub(super) struct Reload {
    pub(super) at: Timestamp,
    pub(super) by: &'static str,
    /// Keys that changed.
    pub(super) changed: Vec<String>,
    /// Why nothing did; empty where it was taken over.
    pub(super) problems: Vec<String>,
    /// What is wrong with certificates; those in use stay in use.
    pub(super) certificates: Vec<String>,
}

/// What is known of the process and its configuration.
#[derive(Debug)]
pub(super) struct Status {
    started_at: Timestamp,
    /// The configuration's file, where it can be read again.
    path: Option<PathBuf>,
    changing: Mutex<Changing>,
}

#[derive(Debug)]
struct Changing {
    loaded_at: Timestamp,
    /// What was in the files when what runs was read.
    seen: Seen,
    waiting: Vec<String>,
    last: Option<Reload>,
    /// How often it was read again.
    reloads: u64,
}

impl Status {
    /// A process that begins at `now`, by the configuration at `path`.
    pub(super) fn new(now: Timestamp, path: Option<PathBuf>, seen: Seen) -> Self {
        Self {
            started_at: now,
            path,
            changing: Mutex::new(Changing {
                loaded_at: now,
                seen,
                waiting: Vec::new(),
                last: None,
                reloads: 0,
            }),
        }
    }

    fn changing(&self) -> MutexGuard<'_, Changing> {
        self.changing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is wrong with certificates that the last reload had read again.
    pub(super) fn certificates(&self, troubles: Vec<String>) {
        if let Some(last) = &mut self.changing().last {
            last.certificates = troubles;
        }
    }

    /// Keys that count from the next start on.
    pub(super) fn waiting(&self) -> Vec<String> {
        self.changing().waiting.clone()
    }

    /// The configuration was taken over, but for `waiting`.
    pub(super) fn loaded(&self, reload: Reload, waiting: Vec<String>, seen: Seen) {
        let mut changing = self.changing();
        changing.loaded_at = reload.at;
        changing.last = Some(reload);
        changing.reloads += 1;
        changing.waiting = waiting;
        changing.seen = seen;
    }

    /// It was not.
    pub(super) fn refused(&self, reload: Reload) {
        let mut changing = self.changing();
        changing.last = Some(reload);
        changing.reloads += 1;
    }

    /// The process, and what came of its configuration. Reads the configuration's files, to compare them with
    /// what runs.
    pub(super) fn told(&self, settings: &Settings) -> Value {
        let (loaded_at, seen, waiting, last, reloads) = {
            let changing = self.changing();
            (
                changing.loaded_at,
                changing.seen.clone(),
                changing.waiting.clone(),
                changing.last.clone(),
                changing.reloads,
            )
        };
        let last = last.map(|last| {
            json!({
                "at": rfc3339(last.at), "by": last.by, "taken_over": last.problems.is_empty(),
                "changed": last.changed, "problems": last.problems,
                "certificates": last.certificates,
            })
        });
        json!({
            "version": env!("CARGO_PKG_VERSION"),
            "pid": std::process::id(),
            "started_at": rfc3339(self.started_at),
            "config": {
                "path": self.path,
                "loaded_at": rfc3339(loaded_at),
                "same_as_files": seen.again() == seen,
                "watched": settings.watch && self.path.is_some(),
                "waiting_for_restart": waiting,
                "reloads": reloads,
                "last_reload": last,
                "warnings": settings.warnings,
            },
            "listeners": listeners(settings),
            "session_store": match settings.session.store {
                Store::Memory => "memory",
                Store::Redis(_) => "redis",
            },
        })
    }
}

fn listeners(settings: &Settings) -> Vec<Value> {
    let mut all: Vec<Value> = settings
        .listen
        .iter()
        .map(|one| json!({"kind": "public", "address": one.address, "tls": one.tls.is_some()}))
        .collect();
    if let SignIn::Issuer(issuer) = &settings.headscale.sign_in {
        let tls = issuer.tls.is_some();
        all.push(json!({"kind": "issuer", "address": issuer.address, "tls": tls}));
    }
    if let Some(address) = settings.admin.address {
        all.push(json!({"kind": "admin", "address": address, "tls": false}));
    }
    if let Some(socket) = &settings.admin.socket {
        all.push(json!({"kind": "admin", "path": socket.path}));
    }
    all
}
