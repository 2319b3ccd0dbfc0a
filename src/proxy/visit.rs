//! One request on its way through the house: parsed once, and shared by the door, the rules, the log
//! and what is sent upstream.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use http::header::ACCEPT_LANGUAGE;
use tokio::sync::oneshot;

use super::head::Head;
use super::house::House;
use super::still::Hold;
use super::upload::Progress;
use crate::domain::door::Door;
use crate::pages::Language;
use crate::session::Live;

/// What is known about a request before anybody acts on it.
#[derive(Debug)]
pub struct Visit {
    /// The request's head.
    pub head: Head,
    /// The door its method, path and upgrade token lead to.
    pub door: Door,
    /// Who sent it, as far as trusted proxies let us see.
    pub client: IpAddr,
    /// The TCP peer, or whom it announced in its place.
    pub peer: SocketAddr,
    /// Whether what the peer forwards of others counts: it is a trusted proxy, and not the name of a client
    /// whom one passed on without knowing it.
    pub trusted: bool,
    /// Named in the log, on error pages and to the upstream.
    pub id: String,
    /// When its first byte was complete as a head.
    pub started: Instant,
}

/// What the porch gives along when it lends a connection.
pub struct Porch {
    /// The request.
    pub visit: Arc<Visit>,
    /// The house as it was when the request's head was read: by this one, all of it is decided.
    pub house: Arc<House>,
    /// How it hears which session the request hangs on.
    pub follow: Follow,
    /// Where the body's progress is watched from outside.
    pub progress: Option<Arc<Progress>>,
}

/// A [`Porch`] beside the one request of HTTP/2 that it belongs to, which takes it once. An extension of
/// a request is a value of this process: no field that a client sends becomes one.
#[derive(Clone)]
pub struct HandedOver(Arc<Mutex<Option<Porch>>>);

impl HandedOver {
    /// Wraps it.
    pub fn new(porch: Porch) -> Self {
        Self(Arc::new(Mutex::new(Some(porch))))
    }

    /// What is inside, the first time.
    pub fn take(self) -> Option<Porch> {
        let mut porch = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        porch.take()
    }
}

/// Tells the porch, at most once, which session must live for a request to go on.
#[derive(Debug)]
pub struct Follow(oneshot::Sender<Hold>);

/// The porch's side of a [`Follow`].
#[derive(Debug)]
pub struct Followed(oneshot::Receiver<Hold>);

impl Follow {
    /// Both sides.
    pub fn new() -> (Self, Followed) {
        let (sender, receiver) = oneshot::channel();
        (Self(sender), Followed(receiver))
    }

    /// The request `visit`, which `live` let through in `house`, goes on until that session ends, or would
    /// not let it through any more.
    pub fn until(self, live: &Live, visit: &Arc<Visit>, house: &Arc<House>) {
        // Nobody there: then the request is over already.
        drop(self.0.send(Hold::new(live, visit, house)));
    }

    /// The request `visit`, which a rule of `house` lets through whoever asks, goes on until no rule does.
    pub fn while_public(self, visit: &Arc<Visit>, house: &Arc<House>) {
        drop(self.0.send(Hold::public(visit, house)));
    }
}

impl Followed {
    /// Ready when the session that the request hangs on has ended, or lets it through no longer; never when
    /// it hangs on none.
    pub async fn over(self) {
        match self.0.await {
            Ok(hold) => hold.over().await,
            Err(_) => std::future::pending().await,
        }
    }
}

impl Visit {
    /// The value of the field `name` when it is there exactly once and is text.
    pub fn only(&self, name: &str) -> Option<&str> {
        let mut values = self.head.headers.get_all(name).iter();
        match (values.next(), values.next()) {
            (Some(value), None) => std::str::from_utf8(value.as_bytes()).ok(),
            _ => None,
        }
    }

    /// Whether the field `name` is there at all.
    pub fn has(&self, name: &str) -> bool {
        self.head.headers.contains_key(name)
    }

    /// GET or HEAD.
    pub fn is_safe(&self) -> bool {
        matches!(self.head.method.as_str(), "GET" | "HEAD")
    }

    /// Whether a person is looking: a top-level navigation by Fetch Metadata, or, from a browser that
    /// does not send it, a GET that asks for HTML. Prefetches are not.
    pub fn is_navigation(&self) -> bool {
        if self.head.method != "GET" || self.has("sec-purpose") || self.has("purpose") {
            return false;
        }
        match (self.only("sec-fetch-mode"), self.only("sec-fetch-dest")) {
            (Some(mode), dest) => mode == "navigate" && dest.is_none_or(|dest| dest == "document"),
            (None, Some(_)) => false,
            (None, None) => self.accepts_html(),
        }
    }

    /// Whether a page made this request by itself, as far as the browser says: a script, a frame, an
    /// image, a WebSocket; not a person who follows a link or sends a form.
    pub fn is_made_by_a_page(&self) -> bool {
        let told = ["sec-fetch-mode", "sec-fetch-dest", "origin"];
        let top_level = self.only("sec-fetch-mode") == Some("navigate")
            && self
                .only("sec-fetch-dest")
                .is_none_or(|dest| dest == "document");
        told.iter().any(|name| self.has(name)) && !top_level
    }

    /// Whether an answer should be a page rather than JSON.
    pub fn wants_page(&self) -> bool {
        match self.only("sec-fetch-dest") {
            Some(dest) => dest == "document",
            None => self.accepts_html(),
        }
    }

    fn accepts_html(&self) -> bool {
        self.only("accept").is_some_and(|accept| {
            accept.split(',').any(|range| {
                range
                    .split(';')
                    .next()
                    .is_some_and(|kind| kind.trim().eq_ignore_ascii_case("text/html"))
            })
        })
    }

    /// The language that whoever looks reads best, of those that pages are written in.
    pub fn language(&self) -> Language {
        let fields = self.head.headers.get_all(ACCEPT_LANGUAGE).iter();
        Language::accepted(fields.filter_map(|field| field.to_str().ok()))
    }

    /// The same-origin proof: `Sec-Fetch-Site: same-origin`; only without that field must `Origin`
    /// equal ours. `Origin: null` proves nothing.
    pub fn is_same_origin(&self, origin: &str) -> bool {
        if self.has("sec-fetch-site") {
            self.only("sec-fetch-site") == Some("same-origin")
        } else {
            self.only("origin") == Some(origin)
        }
    }
}
