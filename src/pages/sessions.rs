//! A person's own sessions: where they are signed in, and a button to end each.

use std::net::IpAddr;

use askama::Template;
use bytes::Bytes;
use http::{Response, StatusCode};

use super::shell::{Context, Form, Shell, page};
use super::text::Person;
use super::{LOGOUT, SESSIONS};
use crate::domain::agent;
use crate::domain::calendar::{ago, in_words, rfc3339};
use crate::domain::identity::Identity;
use crate::domain::session::Browser;
use crate::domain::time::Timestamp;

/// One session of the person who looks.
#[derive(Clone, Copy, Debug)]
pub struct OwnSession<'a> {
    /// Its name on our side, as the form sends it back in `id`; nothing can be done with it elsewhere.
    pub id: &'a str,
    /// Whether it is the one in which the page is looked at.
    pub is_this: bool,
    /// Where the person signed in.
    pub browser: &'a Browser,
    /// When.
    pub started_at: Timestamp,
    /// The last request.
    pub last_used: Timestamp,
}

/// A person's sessions, and the forms below them.
#[derive(Clone, Copy, Debug)]
pub struct OwnSessions<'a> {
    /// Who is signed in.
    pub who: &'a Identity,
    /// In the order in which they are shown.
    pub list: &'a [OwnSession<'a>],
    /// The one-time token, bound to the session; every form on the page sends it back as `token`.
    pub token: &'a str,
    /// The present.
    pub now: Timestamp,
    /// The form that was sent was none that could be acted on.
    pub refused: bool,
}

struct Row<'a> {
    id: &'a str,
    is_this: bool,
    device: String,
    address: IpAddr,
    since: String,
    since_machine: String,
    last_used: String,
}

impl<'a> Row<'a> {
    fn new(session: &OwnSession<'a>, now: Timestamp) -> Self {
        Self {
            id: session.id,
            is_this: session.is_this,
            device: agent::device(&session.browser.agent),
            address: session.browser.address.to_canonical(),
            since: in_words(session.started_at),
            since_machine: rfc3339(session.started_at),
            last_used: ago(now.since(session.last_used)),
        }
    }
}

#[derive(Template)]
#[template(path = "sessions.html")]
struct Sessions<'a> {
    shell: Shell<'a>,
    who: Person,
    rows: Vec<Row<'a>>,
    token: &'a str,
    refused: bool,
    action: &'static str,
    logout: &'static str,
}

/// Shows where a person is signed in. Its forms POST to [`SESSIONS`]: `id` for one session, `others` for
/// all but this one; this one is ended at [`LOGOUT`]. 400 where the form before it was refused.
pub fn sessions(context: &Context<'_>, own: &OwnSessions<'_>) -> Response<Bytes> {
    let status = if own.refused {
        StatusCode::BAD_REQUEST
    } else {
        StatusCode::OK
    };
    let template = Sessions {
        shell: Shell::new(&context.in_english(), status),
        who: Person::new(own.who),
        rows: own.list.iter().map(|one| Row::new(one, own.now)).collect(),
        token: own.token,
        refused: own.refused,
        action: SESSIONS,
        logout: LOGOUT,
    };
    page(&context.in_english(), status, Form::Yes, &template)
}
