//! The desk's other counter: who is to be off-boarded, seen, taken off, and confirmed.

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use serde_json::{Value, json};

use super::{Desk, Visit, ok, refused};
use crate::domain::calendar::rfc3339;
use crate::domain::identity::Subject;
use crate::domain::offboarding::{Case, Ledger};
use crate::domain::text::escaped_json;
use crate::ops::audit::{Act, Actor};
use crate::proxy::offboarding::Offboarding;
use crate::proxy::private::Caller;
use crate::session::JournalError;

/// Where it is.
const PLACE: &str = "/offboarding";
const METHODS: &str = "GET, POST, DELETE";

impl Desk {
    /// Whether `path` leads to who is to be off-boarded.
    pub fn is_about_offboarding(path: &str) -> bool {
        path == PLACE
    }

    /// `GET` lists, `DELETE ?sub=…` takes a person off, `POST ?sub=…` or `?all=true` says that what is
    /// held is right.
    pub async fn offboarding(
        &self,
        offboarding: &Offboarding,
        request: &Request<Bytes>,
        caller: Caller,
    ) -> Response<Bytes> {
        let visit = self.visit(caller);
        if let Some(refusal) = refused(request, &visit) {
            return refusal;
        }
        let whose = whose(request.uri().query().unwrap_or_default());
        let by = visit.entry(Act::OffboardingConfirmed).by;
        let done = match (request.method(), whose) {
            (&Method::GET | &Method::HEAD, Whose::Nobody) => {
                self.list_gone(offboarding, &visit).await
            }
            (&Method::DELETE, Whose::One(subject)) => {
                cancel(offboarding, &visit, &subject, by).await
            }
            (&Method::POST, Whose::One(subject)) => {
                confirm(offboarding, &visit, Some(subject), by).await
            }
            (&Method::POST, Whose::All) => confirm(offboarding, &visit, None, by).await,
            (&Method::GET | &Method::HEAD | &Method::POST | &Method::DELETE, _) => {
                let why = "GET takes no parameter, DELETE sub, and POST sub or all=true";
                return visit.refuse(StatusCode::BAD_REQUEST, "bad_request", why);
            }
            _ => return visit.only(METHODS),
        };
        done.unwrap_or_else(|why| {
            let status = StatusCode::SERVICE_UNAVAILABLE;
            visit.refuse(status, "journal_unavailable", &why.to_string())
        })
    }

    async fn list_gone(
        &self,
        offboarding: &Offboarding,
        visit: &Visit,
    ) -> Result<Response<Bytes>, JournalError> {
        let ledger = offboarding.list().await?;
        let people = ledger.cases().map(|(who, case)| shown(&who, case));
        let people: Vec<Value> = people.collect();
        self.audit.record(&visit.entry(Act::OffboardingListed));
        let body = json!({ "people": people, "counts": counts(&ledger) });
        Ok(ok(format!("{}\n", escaped_json(&body.to_string()))))
    }
}

/// Nobody of the subject is there, or not so.
fn no_one(visit: &Visit, message: &str) -> Response<Bytes> {
    visit.refuse(StatusCode::NOT_FOUND, "not_found", message)
}

/// Whom a request is about.
enum Whose {
    Nobody,
    One(Subject),
    All,
    /// What is not understood.
    Unclear,
}

fn whose(query: &str) -> Whose {
    let mut pairs = url::form_urlencoded::parse(query.as_bytes());
    match (pairs.next(), pairs.next()) {
        (None, _) => Whose::Nobody,
        (Some((name, value)), None) => match (name.as_ref(), value.as_ref()) {
            ("sub", "") => Whose::Unclear,
            ("sub", subject) => Whose::One(Subject::new(subject)),
            ("all", "true") => Whose::All,
            _ => Whose::Unclear,
        },
        (Some(_), Some(_)) => Whose::Unclear,
    }
}

async fn cancel(
    offboarding: &Offboarding,
    visit: &Visit,
    subject: &Subject,
    by: Actor,
) -> Result<Response<Bytes>, JournalError> {
    if offboarding.cancel(subject, by, &visit.id).await? {
        return Ok(ok("{\"cancelled\":1}\n".to_owned()));
    }
    Ok(no_one(visit, "nobody of this subject is to be off-boarded"))
}

async fn confirm(
    offboarding: &Offboarding,
    visit: &Visit,
    only: Option<Subject>,
    by: Actor,
) -> Result<Response<Bytes>, JournalError> {
    let one = only.is_some();
    let confirmed = offboarding.confirm(only, by, &visit.id).await?;
    if one && confirmed == 0 {
        return Ok(no_one(visit, "nobody of this subject is held"));
    }
    Ok(ok(format!("{{\"confirmed\":{confirmed}}}\n")))
}

/// How many wait, and how many are held.
pub(in crate::app) fn counts(ledger: &Ledger) -> Value {
    let (waiting, held) = ledger.counts();
    json!({ "waiting": waiting, "held": held })
}

fn shown(subject: &Subject, case: &Case) -> Value {
    json!({
        "subject": subject.as_str(),
        "reason": case.why.label(),
        "noticed_at": rfc3339(case.noticed_at),
        "due_at": rfc3339(case.due_at),
        "held": case.held,
        "confirmed": case.confirmed,
        "failures": case.failures,
    })
}
