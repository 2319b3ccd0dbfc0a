//! The operator's desk: sessions are listed, looked at and ended, over the socket and, where the operator
//! wants it, over the admin listener. Each answer that shows or ends anything is in the audit log.

mod asked;
mod border;
pub(super) mod offboarding;
mod view;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use http::header::{ALLOW, HeaderValue};
use http::{Method, Request, Response, StatusCode};

use crate::domain::identity::Subject;
use crate::domain::random::Random;
use crate::ops::audit::{Act, Actor, Audit, EndReason, Entry, Outcome, Scope};
use crate::pages;
use crate::proxy::private::Caller;
use crate::session::{Live, Sessions, StoreAway};
use asked::{Asked, Prefix, Whose};

/// Where the desk is.
const ROOT: &str = "/sessions";
const METHODS: &str = "GET, DELETE";
const JSON: &str = "application/json";

/// What the desk works with.
pub struct Desk {
    /// Every session.
    pub sessions: Arc<Sessions>,
    /// Whether they are all there. Before that, those of the process before are still to come back, and
    /// whoever ended "all" of them would have ended none.
    pub complete: Arc<AtomicBool>,
    /// Request ids.
    pub random: Arc<dyn Random>,
    /// Who did what.
    pub audit: Audit,
}

/// A request at the desk, and who sent it.
struct Visit {
    id: String,
    caller: Caller,
}

impl Visit {
    /// A line of the audit log about it, still to be filled.
    fn entry(&self, act: Act) -> Entry<'_> {
        let (by, client) = match self.caller {
            Caller::Local { uid } => (Actor::LocalUser(uid), None),
            Caller::Remote(peer) => (Actor::AdminListener, Some(peer.ip().to_canonical())),
        };
        Entry {
            client,
            ..Entry::new(act, by, &self.id)
        }
    }

    /// The same about sessions that were ended; how many, unless the store failed in the middle.
    fn ended(&self, sessions: Option<usize>) -> Entry<'_> {
        Entry {
            outcome: sessions.map_or(Outcome::Failed, |_| Outcome::Done),
            sessions,
            reason: Some(EndReason::Operator.label()),
            ..self.entry(Act::Ended)
        }
    }

    fn refuse(&self, status: StatusCode, code: &str, message: &str) -> Response<Bytes> {
        pages::json(status, code, message, &self.id)
    }

    fn store_away(&self, away: StoreAway) -> Response<Bytes> {
        let status = StatusCode::SERVICE_UNAVAILABLE;
        self.refuse(status, "session_store_unavailable", &away.to_string())
    }

    fn only(&self, methods: &'static str) -> Response<Bytes> {
        let status = StatusCode::METHOD_NOT_ALLOWED;
        let mut response = self.refuse(status, "method_not_allowed", methods);
        let allow = HeaderValue::from_static(methods);
        response.headers_mut().insert(ALLOW, allow);
        response
    }
}

impl Desk {
    /// Whether `path` leads here.
    pub fn is_at(path: &str) -> bool {
        path.strip_prefix(ROOT)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }

    /// Answers one request. A browser's is refused where a browser could come by.
    pub async fn answer(&self, request: &Request<Bytes>, caller: Caller) -> Response<Bytes> {
        let visit = self.visit(caller);
        if let Some(refusal) = refused(request, &visit) {
            return refusal;
        }
        if !self.complete.load(Ordering::Acquire) {
            let (status, message) = (
                StatusCode::SERVICE_UNAVAILABLE,
                "the process is starting, and has not taken its sessions back yet",
            );
            return visit.refuse(status, "starting", message);
        }
        let path = request.uri().path();
        let id = path.strip_prefix(ROOT).unwrap_or_default();
        match id.strip_prefix('/') {
            None => self.several(request, &visit).await,
            Some(id) => self.single(request, &visit, id).await,
        }
    }

    /// The answer to who may not ask here at all.
    pub fn foreign(&self, request: &Request<Bytes>, caller: Caller) -> Option<Response<Bytes>> {
        refused(request, &self.visit(caller))
    }

    /// The answer to who may not ask here at all, and to what is no question.
    pub fn refusal(&self, request: &Request<Bytes>, caller: Caller) -> Option<Response<Bytes>> {
        let visit = self.visit(caller);
        refused(request, &visit).or_else(|| match *request.method() {
            Method::GET | Method::HEAD => None,
            _ => Some(visit.only("GET")),
        })
    }

    fn visit(&self, caller: Caller) -> Visit {
        let mut id = self.random.token();
        id.truncate(12);
        Visit { id, caller }
    }

    async fn several(&self, request: &Request<Bytes>, visit: &Visit) -> Response<Bytes> {
        let bad = |why: &str| visit.refuse(StatusCode::BAD_REQUEST, "bad_request", why);
        let asked = match Asked::parse(request.uri().query().unwrap_or_default()) {
            Ok(asked) => asked,
            Err(why) => return bad(&why),
        };
        let done = match *request.method() {
            Method::GET | Method::HEAD => self.list(visit, &asked).await,
            Method::DELETE => match asked.only_whose() {
                Some(whose) => self.end(visit, &whose).await,
                None => return bad("say whose and nothing else: user, sub, or all=true"),
            },
            _ => return visit.only(METHODS),
        };
        done.unwrap_or_else(|away| visit.store_away(away))
    }

    async fn list(&self, visit: &Visit, asked: &Asked) -> Result<Response<Bytes>, StoreAway> {
        let whose = asked.whose.as_ref().unwrap_or(&Whose::All);
        let mut found = self.found(whose).await?;
        found.sort_unstable_by_key(|live| live.key);
        let total = found.len();
        if let Some(after) = asked.after {
            found.retain(|live| live.key > after);
        }
        let page = view::page(&found, asked.most(), total, self.sessions.limits());
        self.audit.record(&Entry {
            scope: Some(scope(whose)),
            subject: only_subject(whose, &found),
            sessions: Some(page.count),
            ..visit.entry(Act::Listed)
        });
        Ok(ok(page.body))
    }

    /// Ends them, and tells how many there were.
    async fn end(&self, visit: &Visit, whose: &Whose) -> Result<Response<Bytes>, StoreAway> {
        let (subject, ended) = match whose {
            Whose::All => (None, self.sessions.end_every().await),
            Whose::Subject(of) => (Some(of.clone()), self.sessions.end_subject(of).await),
            Whose::User(_) => {
                let found = self.found(whose).await?;
                let subject = only_subject(whose, &found).cloned();
                (subject, self.end_each(&found).await)
            }
        };
        // Where the store failed in the middle, nobody knows how many.
        self.audit.record(&Entry {
            scope: Some(scope(whose)),
            subject: subject.as_ref(),
            ..visit.ended(ended.ok())
        });
        Ok(told(ended?))
    }

    /// Ends all of them, also where the store fails at some: what is over here and not there is told to
    /// it later.
    async fn end_each(&self, found: &[Live]) -> Result<usize, StoreAway> {
        let (mut ended, mut failed) = (0, None);
        for live in found {
            match self.sessions.end(&live.key).await {
                Ok(gone) => ended += usize::from(gone.is_some()),
                Err(away) => failed = Some(away),
            }
        }
        failed.map_or(Ok(ended), Err)
    }

    async fn single(&self, request: &Request<Bytes>, visit: &Visit, id: &str) -> Response<Bytes> {
        let bad = |why| visit.refuse(StatusCode::BAD_REQUEST, "bad_request", why);
        let ends = match *request.method() {
            Method::GET | Method::HEAD => false,
            Method::DELETE => true,
            _ => return visit.only(METHODS),
        };
        if request.uri().query().is_some() {
            return bad("an id takes no parameters");
        }
        let Some(prefix) = Prefix::parse(id) else {
            return bad("an id is 6 to 64 hex digits");
        };
        let done = match self.only_one(visit, &prefix).await {
            Ok(Ok(live)) if ends => self.end_one(visit, &live).await,
            Ok(Ok(live)) => Ok(self.show(visit, &live)),
            Ok(Err(refusal)) => Ok(refusal),
            Err(away) => Err(away),
        };
        done.unwrap_or_else(|away| visit.store_away(away))
    }

    /// The session whose id begins so.
    async fn only_one(
        &self,
        visit: &Visit,
        prefix: &Prefix,
    ) -> Result<Result<Live, Response<Bytes>>, StoreAway> {
        let every = self.sessions.every().await?;
        let mut found = every.into_iter().filter(|live| prefix.begins(live.key));
        Ok(match (found.next(), found.next()) {
            (Some(live), None) => Ok(live),
            (None, _) => {
                let message = "no session has this id";
                Err(visit.refuse(StatusCode::NOT_FOUND, "not_found", message))
            }
            (Some(_), Some(_)) => {
                let message = "several sessions have ids that begin so: give more of it";
                Err(visit.refuse(StatusCode::CONFLICT, "ambiguous", message))
            }
        })
    }

    fn show(&self, visit: &Visit, live: &Live) -> Response<Bytes> {
        self.audit.record(&Entry {
            subject: Some(&live.session.identity.subject),
            user: live.session.identity.username.as_deref(),
            session: Some(&live.key.to_string()),
            ..visit.entry(Act::Shown)
        });
        ok(format!("{}\n", view::one(live, self.sessions.limits())))
    }

    async fn end_one(&self, visit: &Visit, live: &Live) -> Result<Response<Bytes>, StoreAway> {
        let ended = self.sessions.end(&live.key).await;
        let ended = ended.map(|gone| usize::from(gone.is_some()));
        self.audit.record(&Entry {
            scope: Some(Scope::Session),
            subject: Some(&live.session.identity.subject),
            user: live.session.identity.username.as_deref(),
            session: Some(&live.key.to_string()),
            ..visit.ended(ended.ok())
        });
        Ok(told(ended?))
    }

    async fn found(&self, whose: &Whose) -> Result<Vec<Live>, StoreAway> {
        let mut found = match whose {
            Whose::Subject(subject) => self.sessions.of_subject(subject).await?,
            Whose::All | Whose::User(_) => self.sessions.every().await?,
        };
        found.retain(|live| whose.covers(live));
        Ok(found)
    }
}

/// The answer to a browser that asks over TCP.
fn refused(request: &Request<Bytes>, visit: &Visit) -> Option<Response<Bytes>> {
    if !matches!(visit.caller, Caller::Remote(_)) || !border::is_foreign(request) {
        return None;
    }
    tracing::warn!(
        request_id = visit.id, peer = %visit.caller,
        "a request about sessions was refused: it came from a browser, or by a name"
    );
    let message = "not for browsers, and only by address or as localhost";
    Some(visit.refuse(StatusCode::FORBIDDEN, "forbidden", message))
}

const fn scope(whose: &Whose) -> Scope {
    match whose {
        Whose::All => Scope::All,
        Whose::Subject(_) => Scope::Subject,
        Whose::User(_) => Scope::User,
    }
}

/// The one person whose sessions these are; none where there are several, or nobody.
fn only_subject<'a>(whose: &'a Whose, found: &'a [Live]) -> Option<&'a Subject> {
    match whose {
        Whose::Subject(subject) => Some(subject),
        Whose::All => None,
        Whose::User(_) => {
            let mut subjects = found.iter().map(|live| &live.session.identity.subject);
            let first = subjects.next()?;
            subjects.all(|subject| subject == first).then_some(first)
        }
    }
}

/// How many were ended.
fn told(ended: usize) -> Response<Bytes> {
    ok(format!("{{\"ended\":{ended}}}\n"))
}

fn ok(body: String) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(body));
    let headers = response.headers_mut();
    pages::guard(headers);
    headers.insert(http::header::CONTENT_TYPE, HeaderValue::from_static(JSON));
    response
}

#[cfg(test)]
mod tests;
