//! Somebody who asks: every request is written down with the bookkeeper before it is sent, and
//! carries the number of its row. A connection that ends without an answer is an answer too: `None`.

use std::net::SocketAddr;
use std::sync::Arc;

use url::Url;

use crate::bookkeeper::Bookkeeper;
use crate::faulty_provider::Person;
use crate::support::raw::{Raw, Response, request_to};

/// What a browser says when somebody typed an address.
pub(crate) const NAVIGATION: &[&str] = &[
    "Accept: text/html,*/*;q=0.8",
    "Sec-Fetch-Mode: navigate",
    "Sec-Fetch-Dest: document",
    "Sec-Fetch-Site: none",
];
/// What a page of our own origin says.
pub(crate) const SAME_ORIGIN: &str = "Sec-Fetch-Site: same-origin";
/// The session cookie's name over plain http.
const SESSION: &str = "headwarden";

/// Where everybody meets.
pub(crate) struct Ground {
    pub(crate) public: SocketAddr,
    pub(crate) books: Arc<Bookkeeper>,
    /// What Headwarden's clock says.
    pub(crate) now: Box<dyn Fn() -> u64 + Send + Sync>,
}

impl Ground {
    pub(crate) fn now(&self) -> u64 {
        (self.now)()
    }

    /// `path` at the public origin.
    pub(crate) fn url(&self, path: &str) -> Url {
        let text = format!("http://{}{path}", self.public);
        Url::parse(&text).unwrap_or_else(|error| panic!("{text}: {error}"))
    }
}

/// One request.
#[derive(Clone, Copy)]
pub(crate) struct Asked<'a> {
    pub(crate) method: &'a str,
    pub(crate) target: &'a str,
    pub(crate) lines: &'a [&'a str],
    /// Values of session cookies, as many as one likes.
    pub(crate) sessions: &'a [&'a str],
    /// Whether the house is known to look at the session for it, if it answers.
    pub(crate) looks_up: bool,
}

/// Somebody with an address of their own, behind the trusted proxy.
pub(crate) struct Visitor {
    name: String,
    asked: usize,
    address: String,
    /// What was asked last, and the answer: for who wonders why.
    pub(crate) last: String,
}

impl Visitor {
    pub(crate) fn new(name: &str, number: usize) -> Self {
        Self {
            name: name.to_owned(),
            asked: 0,
            address: format!("X-Forwarded-For: 10.{}.{}.1", number / 250, number % 250),
            last: String::new(),
        }
    }

    /// Another address, so that no limit per address is what keeps somebody out.
    pub(crate) fn moves(&mut self, number: usize) {
        self.address = format!("X-Forwarded-For: 10.{}.{}.2", number / 250, number % 250);
    }

    /// One request on a connection of its own.
    pub(crate) fn ask(&mut self, ground: &Ground, asked: Asked<'_>) -> Option<Response> {
        let mut raw = Raw::connect(ground.public).ok()?;
        self.ask_on(&mut raw, ground, asked)
    }

    /// One request on a connection that others may have used before.
    pub(crate) fn ask_on(
        &mut self,
        raw: &mut Raw,
        ground: &Ground,
        asked: Asked<'_>,
    ) -> Option<Response> {
        let cookies: Vec<String> = asked
            .sessions
            .iter()
            .map(|value| format!("{SESSION}={value}"))
            .collect();
        let answer = self.exchange(raw, ground, asked, &cookies);
        for session in asked.sessions {
            if answer.is_some() && asked.looks_up && asked.sessions.len() == 1 {
                ground.books.looked_up(session, ground.now());
            } else {
                ground.books.perhaps_used(session, ground.now());
            }
        }
        answer
    }

    fn exchange(
        &mut self,
        raw: &mut Raw,
        ground: &Ground,
        asked: Asked<'_>,
        cookies: &[String],
    ) -> Option<Response> {
        let row = format!("{}-{}", self.name, self.asked);
        self.asked += 1;
        let mut lines: Vec<String> = asked.lines.iter().map(|line| (*line).to_owned()).collect();
        lines.extend([self.address.clone(), format!("X-Row: {row}")]);
        if !cookies.is_empty() {
            lines.push(format!("Cookie: {}", cookies.join("; ")));
        }
        let now = ground.now();
        let mut valid = asked
            .sessions
            .iter()
            .filter_map(|id| ground.books.valid(id, now));
        let credential = asked
            .lines
            .iter()
            .any(|line| line.starts_with("Authorization: Bearer "));
        let what = format!(
            "{} {} {:?} at {now}",
            asked.method, asked.target, asked.sessions
        );
        ground.books.sends(&row, &what, valid.next(), credential);
        let bytes = request_to(asked.method, &ground.url(asked.target), &lines, b"");
        let answer = raw.exchange(&bytes);
        self.last = match &answer {
            Ok(answer) => format!("{what}: {} {}", answer.status(), answer.text()),
            Err(error) => format!("{what}: {error}"),
        };
        answer.ok()
    }

    /// Signs in as `who`, in place of the session `before`. The new session's cookie, if one began.
    pub(crate) fn sign_in(
        &mut self,
        ground: &Ground,
        who: Person,
        before: Option<&str>,
        meanwhile: impl FnOnce(),
    ) -> Option<String> {
        let sessions: Vec<&str> = before.into_iter().collect();
        let begun = self.ask(
            ground,
            Asked {
                method: "GET",
                target: "/.headwarden/sign-in",
                lines: NAVIGATION,
                sessions: &sessions,
                looks_up: false,
            },
        )?;
        let mut cookies = set_cookies(&begun);
        cookies.retain(|(name, value)| name.starts_with("headwarden-login-") && !value.is_empty());
        let mut provider = Url::parse(begun.header("location")?).ok()?;
        if provider.port() == ground.url("/").port() {
            return None;
        }
        provider
            .query_pairs_mut()
            .append_pair("login_hint", who.username());
        meanwhile();
        let host = format!("{}:{}", provider.host_str()?, provider.port()?);
        let granted = Raw::connect(host.parse().ok()?)
            .and_then(|mut raw| raw.exchange(&request_to("GET", &provider, &[], b"")))
            .ok()?;
        let callback = Url::parse(granted.header("location")?).ok()?;
        let target = format!("{}?{}", callback.path(), callback.query()?);
        let pairs: Vec<String> = cookies
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .chain(before.map(|value| format!("{SESSION}={value}")))
            .collect();
        let mut raw = Raw::connect(ground.public).ok()?;
        let asked = Asked {
            method: "GET",
            target: &target,
            lines: NAVIGATION,
            sessions: &sessions,
            looks_up: false,
        };
        let answer = self.exchange(&mut raw, ground, asked, &pairs)?;
        let session = session_of(&answer)?;
        ground.books.began(&session, who, ground.now());
        if let Some(before) = before {
            ground.books.ended(before);
        }
        Some(session)
    }

    /// Signs out. Afterwards the session is over; without an answer, nobody knows.
    pub(crate) fn sign_out(&mut self, ground: &Ground, session: &str) -> bool {
        let asked = Asked {
            method: "POST",
            target: "/.headwarden/logout",
            lines: &[SAME_ORIGIN, NAVIGATION[0]],
            sessions: &[session],
            looks_up: false,
        };
        let answer = self.ask(ground, asked);
        let over = answer.is_some_and(|answer| answer.status() == 303);
        if over {
            ground.books.ended(session);
        }
        over
    }
}

/// The session that an answer begins.
fn session_of(answer: &Response) -> Option<String> {
    let mut all = set_cookies(answer);
    all.retain(|(name, value)| name == SESSION && !value.is_empty());
    all.pop().map(|(_, value)| value)
}

/// Names and values of the cookies that an answer sets.
pub(crate) fn set_cookies(answer: &Response) -> Vec<(String, String)> {
    let fields = answer.head.fields.values("set-cookie");
    let pairs = fields
        .iter()
        .filter_map(|field| field.split(';').next()?.split_once('='));
    pairs
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}
