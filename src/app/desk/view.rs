//! A session as JSON. What is a secret (cookie, tokens) is not in it; what names a person is.

use serde::Serialize;

use crate::domain::agent;
use crate::domain::calendar::rfc3339;
use crate::domain::identity::Email;
use crate::domain::session::Limits;
use crate::domain::text::escaped_json;
use crate::session::Live;

/// Most bytes of the sessions in one answer; with at least one session it is more, where that one is.
const MOST_BYTES: usize = 8 * 1024 * 1024;

/// One session; documented in `docs/sessions.md`.
#[derive(Serialize)]
struct View<'a> {
    id: String,
    subject: &'a str,
    username: Option<&'a str>,
    email: Option<&'a str>,
    name: Option<&'a str>,
    groups: Vec<&'a str>,
    started_at: String,
    last_used: String,
    checked_at: String,
    auth_time: Option<String>,
    idle_expires_at: String,
    expires_at: String,
    address: String,
    device: String,
    agent: &'a str,
    provider_session: bool,
}

/// Sessions from some place on in the order of their names.
pub(super) struct Page {
    pub(super) body: String,
    /// How many are in it.
    pub(super) count: usize,
}

/// One session.
pub(super) fn one(live: &Live, limits: Limits) -> String {
    let session = &live.session;
    let (who, browser) = (&session.identity, &session.browser);
    let view = View {
        id: live.key.to_string(),
        subject: who.subject.as_str(),
        username: who.username.as_deref(),
        email: who.email.as_ref().map(Email::as_str),
        name: who.name.as_deref(),
        groups: who.groups.iter().map(AsRef::as_ref).collect(),
        started_at: rfc3339(session.started_at),
        last_used: rfc3339(live.last_used()),
        checked_at: rfc3339(session.checked_at),
        auth_time: session.auth_time.map(rfc3339),
        idle_expires_at: rfc3339(live.last_used().plus(limits.idle)),
        expires_at: rfc3339(session.started_at.plus(limits.lifetime)),
        address: browser.address.to_string(),
        device: agent::device(&browser.agent),
        agent: &browser.agent,
        provider_session: session.provider_session.is_some(),
    };
    // Texts, lists of them, and a flag: nothing that JSON has no form for.
    escaped_json(&serde_json::to_string(&view).unwrap_or_default())
}

/// At most `most` of `found`, whose order is that of their keys. `total` is how many there are, with
/// those of other pages.
pub(super) fn page(found: &[Live], most: usize, total: usize, limits: Limits) -> Page {
    let mut list = String::new();
    let mut count = 0_usize;
    for live in found.iter().take(most) {
        let view = one(live, limits);
        if count > 0 && list.len() + view.len() > MOST_BYTES {
            break;
        }
        if count > 0 {
            list.push(',');
        }
        list.push_str(&view);
        count += 1;
    }
    let next = match count.checked_sub(1).and_then(|last| found.get(last)) {
        Some(last) if count < found.len() => format!("\"{}\"", last.key.to_hex()),
        Some(_) | None => "null".to_owned(),
    };
    Page {
        body: format!("{{\"sessions\":[{list}],\"next\":{next},\"total\":{total}}}\n"),
        count,
    }
}
