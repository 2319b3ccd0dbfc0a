//! Who is signed in, kept apart from Headwarden and by other means: a list. Judges what reached the
//! upstream.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard};

use crate::faulty_provider::Person;
use crate::support::headscale_standin::Seen;

/// What needs no session: this is the whole list, by method and path.
const OPEN: &[(&str, &str)] = &[
    ("GET", "/key"),
    ("GET", "/health"),
    ("GET", "/bootstrap-dns"),
    ("GET", "/derp/probe"),
    ("HEAD", "/derp/probe"),
    ("GET", "/derp/latency-check"),
    ("HEAD", "/derp/latency-check"),
    ("HEAD", "/machine/ping-response"),
];
/// Headwarden's own questions to Headscale.
const PROBES: &[&str] = &["/health", "/version", "/oidc/callback"];
/// Below it, an administrator is needed.
pub(crate) const ADMIN_PAGES: &str = "/admin/";

/// Limits of sessions, in seconds.
#[derive(Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) idle: u64,
    pub(crate) lifetime: u64,
}

/// One session that was seen to begin.
#[derive(Clone, Copy, Debug)]
struct Entry {
    who: Person,
    started: u64,
    used: u64,
    over: bool,
}

/// What one request brought with it, judged when it was sent.
#[derive(Clone, Debug)]
struct Row {
    what: String,
    /// Somebody whose session was valid.
    session: Option<Person>,
    /// A credential of the client's own for Headscale's API.
    credential: bool,
}

#[derive(Default)]
struct Books {
    sessions: BTreeMap<String, Entry>,
    rows: BTreeMap<String, Row>,
}

/// The bookkeeper. Shared by every visitor.
pub(crate) struct Bookkeeper {
    limits: Limits,
    books: Mutex<Books>,
}

impl Bookkeeper {
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            limits,
            books: Mutex::default(),
        }
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().expect("nobody panics with the books")
    }

    /// A session began at the end of a sign-in.
    pub(crate) fn began(&self, cookie: &str, who: Person, now: u64) {
        let entry = Entry {
            who,
            started: now,
            used: now,
            over: false,
        };
        let before = self.books().sessions.insert(cookie.to_owned(), entry);
        assert!(before.is_none(), "a session id was given out twice");
    }

    /// A session is over, for whatever reason; it is no shame if there was none.
    pub(crate) fn ended(&self, cookie: &str) {
        if let Some(entry) = self.books().sessions.get_mut(cookie) {
            entry.over = true;
        }
    }

    /// Every session of somebody is over: the provider said so.
    pub(crate) fn left(&self, who: Person) {
        for entry in self.books().sessions.values_mut() {
            entry.over |= entry.who == who;
        }
    }

    /// Every session is over: the process that knew them is gone.
    pub(crate) fn all_ended(&self) {
        for entry in self.books().sessions.values_mut() {
            entry.over = true;
        }
    }

    /// Whose session this cookie is at this moment.
    pub(crate) fn valid(&self, cookie: &str, now: u64) -> Option<Person> {
        let books = self.books();
        let entry = books.sessions.get(cookie)?;
        let fresh = now.saturating_sub(entry.started) < self.limits.lifetime
            && now.saturating_sub(entry.used) < self.limits.idle;
        (fresh && !entry.over).then_some(entry.who)
    }

    /// Headwarden looked a session up and answered: that was a use, or the end of it.
    pub(crate) fn looked_up(&self, cookie: &str, now: u64) {
        let valid = self.valid(cookie, now).is_some();
        if let Some(entry) = self.books().sessions.get_mut(cookie) {
            if valid {
                entry.used = now;
            } else {
                entry.over = true;
            }
        }
    }

    /// Headwarden may have looked a session up: if it did, that was a use.
    pub(crate) fn perhaps_used(&self, cookie: &str, now: u64) {
        if self.valid(cookie, now).is_some()
            && let Some(entry) = self.books().sessions.get_mut(cookie)
        {
            entry.used = entry.used.max(now);
        }
    }

    /// How many sessions are not over.
    pub(crate) fn living(&self) -> usize {
        let books = self.books();
        books.sessions.values().filter(|entry| !entry.over).count()
    }

    /// A session that is over, if there is one.
    pub(crate) fn some_dead(&self, index: usize) -> Option<String> {
        let books = self.books();
        let dead: Vec<_> = books
            .sessions
            .iter()
            .filter(|(_, entry)| entry.over)
            .collect();
        let at = index.checked_rem(dead.len())?;
        Some(dead[at].0.clone())
    }

    /// A request is about to be sent.
    pub(crate) fn sends(&self, row: &str, what: &str, session: Option<Person>, credential: bool) {
        let row_before = self.books().rows.insert(
            row.to_owned(),
            Row {
                what: what.to_owned(),
                session,
                credential,
            },
        );
        assert!(row_before.is_none(), "row {row} was used twice");
    }

    /// Judges what reached the upstream: `Ok` tells whether it took a session to get there.
    pub(crate) fn judge(&self, seen: &Seen) -> Result<bool, String> {
        let books = self.books();
        let row = seen.fields.value("x-row");
        let known = row.and_then(|row| books.rows.get(row));
        let complaint = |why: &str| {
            let what = known.map_or("nothing we know of", |sent| sent.what.as_str());
            let (method, target) = (&seen.method, &seen.target);
            Err(format!(
                "{method} {target} reached the upstream, {why}; it was sent as {what}"
            ))
        };
        if seen.fields.values("cookie").iter().any(|line| {
            line.contains("headwarden=") || books.sessions.keys().any(|id| line.contains(id))
        }) {
            return complaint("with a cookie of ours");
        }
        let path = seen.path();
        if OPEN.contains(&(seen.method.as_str(), path)) || is_tunnel(seen) {
            return Ok(false);
        }
        let Some(sent) = known else {
            let probe =
                seen.method == "GET" && row.is_none() && PROBES.contains(&seen.target.as_str());
            return if probe {
                Ok(false)
            } else {
                complaint("and nobody sent it")
            };
        };
        if path.starts_with("/api/") && sent.credential {
            return Ok(false);
        }
        match sent.session {
            None => complaint("without a valid session"),
            Some(Person::Outsider) => complaint("of somebody whom the rules do not admit"),
            Some(Person::Member) if path.starts_with(ADMIN_PAGES) || path.starts_with("/api/") => {
                complaint("of somebody who is no administrator")
            }
            Some(_) => Ok(true),
        }
    }
}

/// Tailscale's own protocols, which take anybody.
fn is_tunnel(seen: &Seen) -> bool {
    let upgrade = seen.fields.value("upgrade").unwrap_or_default();
    matches!(
        (seen.method.as_str(), seen.path(), upgrade),
        ("POST", "/ts2021", "tailscale-control-protocol") | ("GET", "/derp", "DERP")
    )
}
