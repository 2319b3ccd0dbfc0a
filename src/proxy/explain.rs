//! What the gate would do with a request of a person, told step by step, for `headwarden explain`.
//!
//! Nothing is decided here: every verdict is the answer of the function that the gate asks, with the
//! same arguments. What the gate knows and this does not (a cookie, a limit, a proof of same origin, the
//! client's address) is told as a note.

mod judge;
mod lists;
mod routed;
mod told;

use std::net::{IpAddr, Ipv4Addr};

use judge::Judge;

use super::standing;
use crate::config::{Settings, SignIn};
use crate::domain::door::{Asked, decide};
use crate::domain::identity::Identity;
use crate::domain::path::Target;
use crate::domain::role::Role;
use crate::domain::secret::Secret;
use crate::domain::session::{Browser, Footing, Session};
use crate::domain::time::Timestamp;
use crate::domain::token::Token;
use crate::oidc::SignedIn;

pub use told::{
    AccessTold, ApiTold, DoorTold, Explanation, Field, HeadscaleTold, List, Outcome, PersonTold,
    RulesTold, StepUpTold,
};

/// What is asked about.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// The method.
    pub method: &'a str,
    /// Path and query, as a browser would send them.
    pub path: &'a str,
    /// The token of `Upgrade`, if the request has one.
    pub upgrade: Option<&'a str>,
    /// Who asks.
    pub person: &'a SignedIn,
    /// The present.
    pub now: Timestamp,
}

/// Explains what would become of the request.
pub fn explain(settings: &Settings, question: &Question<'_>) -> Explanation {
    let who = &question.person.identity;
    let rules = lists::rules(&settings.rules, who);
    let session = session(question);
    let mut told = Explanation {
        method: question.method.to_owned(),
        path: question.path.to_owned(),
        outcome: Outcome::Denied,
        why: String::new(),
        door: None,
        person: told::person(who),
        rules,
        access: Vec::new(),
        upstream: None,
        upstream_path: None,
        step_up: told::step_up(&crate::domain::assurance::Assurance::default(), None),
        identity_headers: Vec::new(),
        assertion: None,
        headscale: headscale(settings, &session),
        api: api_told(settings, who),
        notes: Vec::new(),
    };
    let target = match Target::parse(question.path.as_bytes()) {
        Ok(target) => target,
        Err(why) => {
            told.why = format!("the path is refused with 400 before any door: {why}");
            return told;
        }
    };
    let asked = Asked {
        method: question.method,
        target: &target,
        upgrade: question.upgrade,
    };
    let door = decide(&asked, &settings.open);
    told.door = Some(told::door(&door));
    let judged = Judge {
        settings,
        question,
        target: &target,
        session: &session,
        told: &mut told,
    }
    .judge(&door);
    (told.outcome, told.why) = judged;
    told
}

/// The session that a sign-in with these claims would begin now.
fn session(question: &Question<'_>) -> Session {
    let person = question.person;
    Session {
        identity: person.identity.clone(),
        provider_session: person.provider_session.clone(),
        auth_time: person.auth_time,
        id_token: Token::pack(&Secret::new(String::new())),
        token_expires_at: person.token_expires_at,
        started_at: question.now,
        refresh_token: None,
        acr: person.acr.as_deref().map(Into::into),
        amr: person.amr.clone().into(),
        checked_at: question.now,
        footing: Footing::default(),
        browser: Browser::new(IpAddr::V4(Ipv4Addr::LOCALHOST), ""),
    }
}

fn headscale(settings: &Settings, session: &Session) -> HeadscaleTold {
    let sign_in = match &settings.headscale.sign_in {
        SignIn::Issuer(_) => "issuer",
        SignIn::Own => "own",
        SignIn::None => "none",
    };
    if sign_in != "issuer" {
        return HeadscaleTold {
            sign_in,
            name: None,
            email: None,
            subject: None,
            refusal: None,
        };
    }
    match standing::claims(settings, session) {
        Ok(claims) => HeadscaleTold {
            sign_in,
            name: Some(claims.preferred_username),
            email: claims.email,
            subject: Some(claims.sub),
            refusal: None,
        },
        Err(why) => HeadscaleTold {
            sign_in,
            name: None,
            email: None,
            subject: None,
            refusal: Some(why.to_string()),
        },
    }
}

fn api_told(settings: &Settings, who: &Identity) -> ApiTold {
    let api = &settings.api;
    ApiTold {
        role: Role::of(&settings.rules, who, &api.admins, &api.viewers).label(),
        key: settings.headscale.api_key.is_some(),
        bearer: api.bearer,
    }
}

#[cfg(test)]
mod tests;
