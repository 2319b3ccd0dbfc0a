//! A person's own sessions: where they are signed in, and a button to end each.

use askama::Template;
use bytes::Bytes;
use http::{Response, StatusCode};

use super::language::{Language, Markup, Part};
use super::shell::{Context, Form, Shell, page};
use super::text::Person;
use super::ways::Place;
use super::{LOGOUT, SESSIONS};
use crate::domain::agent;
use crate::domain::calendar::rfc3339;
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

/// One session as the template shows it.
struct Row<'a> {
    id: &'a str,
    is_this: bool,
    browser: String,
    /// When and from where.
    since: Markup,
    used: String,
    /// What the button says that ends it, to those who do not see beside what it stands.
    end: String,
}

impl<'a> Row<'a> {
    fn new(shell: &Shell<'_>, session: &OwnSession<'a>, now: Timestamp) -> Self {
        let language = shell.language;
        let browser = named(language, &session.browser.agent);
        let (machine, words) = (
            rfc3339(session.started_at),
            language.date(session.started_at),
        );
        let when = Part::Time {
            machine: &machine,
            words: &words,
        };
        let address = session.browser.address.to_canonical().to_string();
        let since = [("when", when), ("address", Part::Code(&address))];
        let end = [("browser", browser.as_str()), ("when", words.as_str())];
        let end = end.map(|(name, text)| (name, text.into()));
        let ago = language.ago(now.since(session.last_used));
        Self {
            id: session.id,
            is_this: session.is_this,
            since: language.rich("sessions.since", &since),
            used: shell.with("sessions.used", "ago", &ago),
            end: language.fill("sessions.end-of", &end),
            browser,
        }
    }
}

/// `Firefox on Windows`, or as much of it as is known.
fn named(language: Language, agent: &str) -> String {
    match agent::parts(agent) {
        (Some(browser), Some(system)) => {
            let names = [("browser", browser.into()), ("system", system.into())];
            language.fill("browser-on", &names)
        }
        (Some(browser), None) => browser.to_owned(),
        (None, Some(system)) => language.with("browser-some", "system", system),
        (None, None) => language.say("browser-unknown"),
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
    let shell = Shell::at(Place::Sessions, context, status);
    let rows = own.list.iter().map(|one| Row::new(&shell, one, own.now));
    let template = Sessions {
        who: Person::new(own.who),
        rows: rows.collect(),
        token: own.token,
        refused: own.refused,
        action: SESSIONS,
        logout: LOGOUT,
        shell,
    };
    page(context, status, Form::Yes, &template)
}
