//! What the gate would do with a request of a person, told step by step, for `headwarden explain`.
//!
//! Nothing is decided here: every verdict is the answer of the function that the gate asks, with the
//! same arguments. What the gate knows and this does not (a cookie, a limit, a proof of same origin, the
//! client's address) is told as a note.

mod lists;
mod told;

use std::net::{IpAddr, Ipv4Addr};

use super::identity_fields::identity_fields;
use super::ruling;
use super::standing;
use super::step_up::asked_at;
use crate::config::{Access, Settings, SignIn};
use crate::domain::access::{self, Found, Holds};
use crate::domain::door::{ApiKind, Asked, Door, Guarded, Own, decide};
use crate::domain::identity::Identity;
use crate::domain::methods::Methods;
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

/// What decides behind a door.
struct Judge<'a> {
    settings: &'a Settings,
    question: &'a Question<'a>,
    target: &'a Target,
    session: &'a Session,
    told: &'a mut Explanation,
}

type Judged = (Outcome, String);

fn denied(why: impl Into<String>) -> Judged {
    (Outcome::Denied, why.into())
}

impl Judge<'_> {
    fn judge(mut self, door: &Door) -> Judged {
        match door {
            Door::Machine(tunnel) => {
                let why = format!(
                    "anybody passes: a tunnel ({}), no session is looked at",
                    tunnel.label()
                );
                (Outcome::Allowed, why)
            }
            Door::Open => {
                match self.upstream_of_open_path() {
                    Ok((upstream, path)) => {
                        self.told.upstream = Some(upstream);
                        self.told.upstream_path = path;
                    }
                    Err(methods) => return self.other_methods(methods),
                }
                let why = "anybody passes: the path is open, no session is looked at";
                (Outcome::Allowed, why.to_owned())
            }
            Door::NoContent => {
                let why = "anybody passes: headwarden answers 204 itself";
                (Outcome::Allowed, why.to_owned())
            }
            Door::Verify => {
                let from: Vec<String> = self
                    .settings
                    .headscale
                    .verify_from
                    .iter()
                    .map(ToString::to_string)
                    .collect();
                let why = if from.is_empty() {
                    return denied(
                        "headscale.verify_from is empty, so /verify is a 404 to everybody",
                    );
                } else {
                    format!(
                        "the client's address decides: headscale.verify_from is {}",
                        from.join(", ")
                    )
                };
                (Outcome::Depends, why)
            }
            Door::Own(Own::Unknown) => denied("headwarden has no such page: 404"),
            Door::Own(_) => {
                let why = "headwarden answers itself; what it shows depends on the session";
                (Outcome::Allowed, why.to_owned())
            }
            Door::Closed => denied("closed to everybody: 404"),
            Door::Api(kind) => self.api(*kind),
            Door::ApiDocs => self.behind_session(true, &Guarded::Page),
            Door::Guarded(guarded) => self.behind_session(false, guarded),
        }
    }

    /// As [`super::house::House::api`] decides.
    fn api(&mut self, kind: ApiKind) -> Judged {
        let credentials = self.told.api.bearer;
        let by_credentials = if credentials {
            "credentials of the request's own pass to headscale, which checks them"
        } else {
            "api.bearer is deny, so credentials of the request's own do not pass"
        };
        self.told.notes.push(by_credentials.to_owned());
        self.told.upstream = Some(self.settings.headscale.upstream.authority());
        if kind == ApiKind::Grpc {
            let Some(upstream) = &self.settings.headscale.grpc else {
                return denied("without headscale.grpc_url gRPC is not served: UNIMPLEMENTED");
            };
            self.told.upstream = Some(upstream.authority());
        }
        if matches!(kind, ApiKind::V2Token | ApiKind::Grpc) {
            let outcome = if credentials {
                Outcome::Depends
            } else {
                Outcome::Denied
            };
            let why = "a session counts for nothing here: headscale checks what the form brings";
            return (outcome, why.to_owned());
        }
        if !self.told.api.key {
            let why = "without headscale.api_key a session counts for nothing on the API: 401 \
                       unless the request brings credentials of its own";
            return denied(why);
        }
        let proof = "a session counts only with a same-origin proof (Sec-Fetch-Site or Origin)";
        self.told.notes.push(proof.to_owned());
        if let Some(refusal) = self.rules() {
            return refusal;
        }
        let safe = matches!(self.question.method, "GET" | "HEAD");
        let role = self.role();
        let path = self.question.path.split('?').next().unwrap_or_default();
        if !role.allows_at(safe, path) {
            let what = if role.allows(safe) {
                "pre-auth keys: headscale may show them in full"
            } else {
                self.question.method
            };
            return denied(format!(
                "the role on the API is {}, which does not allow {what}",
                role.label()
            ));
        }
        let from = &self.settings.api.from;
        if !from.is_empty() {
            let pages = from.join(", ");
            let note = format!("only from pages that the person may see: api.from is {pages}");
            self.told.notes.push(note);
        }
        self.assured(false, format!("the role on the API is {}", role.label()))
    }

    /// As [`super::gate`] decides behind a session.
    fn behind_session(&mut self, docs: bool, guarded: &Guarded) -> Judged {
        if !docs
            && *guarded == Guarded::Page
            && let Some(judged) = self.public()
        {
            return judged;
        }
        if let Some(refusal) = self.rules() {
            return refusal;
        }
        if let Some(refusal) = self.access() {
            return refusal;
        }
        let is_ssh_check = matches!(guarded, Guarded::SshCheck(_));
        let judged = self.assured(is_ssh_check, "the rules admit this person".to_owned());
        if docs && self.role() == Role::None {
            return denied("the API's documentation needs a role: api.admins or api.viewers");
        }
        self.link(guarded).unwrap_or(judged)
    }

    /// What is particular about the links of devices and SSH checks.
    fn link(&mut self, guarded: &Guarded) -> Option<Judged> {
        let sign_in = &self.settings.headscale.sign_in;
        let (asks, method) = match guarded {
            Guarded::Page => return None,
            // Headscale signs nobody in: they are pages like others.
            Guarded::Register(_) | Guarded::SshCheck(_) if matches!(sign_in, SignIn::None) => {
                return None;
            }
            Guarded::Register(_) => (
                "headwarden or headscale asks before the device joins",
                "GET",
            ),
            Guarded::SshCheck(_) => ("headwarden asks before the SSH session is approved", "GET"),
            Guarded::RegisterConfirm(_) => ("a request from another site is refused", "POST"),
        };
        self.told.notes.push(asks.to_owned());
        if self.question.method != method {
            return Some(denied(format!("this link takes {method} only")));
        }
        // Who says yes on headscale's page has been through the link that was judged by the claims.
        let judged =
            matches!(sign_in, SignIn::Issuer(_)) && !matches!(guarded, Guarded::RegisterConfirm(_));
        let why = self.told.headscale.refusal.as_ref().filter(|_| judged)?;
        Some(denied(format!("headscale would refuse this person: {why}")))
    }

    fn rules(&self) -> Option<Judged> {
        let told = &self.told.rules;
        told.refusal
            .as_ref()
            .map(|why| denied(format!("the rules refuse this person: {why}")))
    }

    fn role(&self) -> Role {
        let api = &self.settings.api;
        let who = &self.session.identity;
        Role::of(&self.settings.rules, who, &api.admins, &api.viewers)
    }

    /// A page that a rule opens to everybody.
    fn public(&mut self) -> Option<Judged> {
        let (method, path) = (self.question.method, self.target.path());
        let place = ruling::public_rule(self.settings, method, path)?;
        let rule = self.settings.access.get(place)?;
        let told = self.access_told(place, rule, true, &self.session.identity);
        self.told.access.push(told);
        self.told.upstream = Some(self.upstream_of(Some(rule)));
        self.told.upstream_path = self.upstream_path(Some(rule));
        let why = format!(
            "anybody passes: access[{place}] ({}) is public, no session is looked at and no identity \
             told",
            rule.path
        );
        Some((Outcome::Allowed, why))
    }

    /// The rules for the path: those the gate asks, the one that routes, and the first that refuses.
    fn access(&mut self) -> Option<Judged> {
        let (method, path) = (self.question.method, self.target.path());
        let mut asked: Vec<usize> = Vec::new();
        let found = ruling::walk(self.settings, method, path, |place, _| {
            if !asked.contains(&place) {
                asked.push(place);
            }
            Ok::<(), std::convert::Infallible>(())
        });
        let Ok(found) = found;
        let routes = match found {
            Found::Rule(place) => Some(place),
            Found::Nothing | Found::OtherMethods(_) => None,
        };
        let rules = &self.settings.access;
        let who = &self.session.identity;
        for place in asked {
            if let Some(rule) = rules.get(place) {
                let told = self.access_told(place, rule, routes == Some(place), who);
                self.told.access.push(told);
            }
        }
        let refusing = self.told.access.iter().find(|told| !told.admitted);
        if let Some(told) = refusing {
            return Some(denied(format!(
                "access[{}] ({}) asks for {} that this person has not",
                told.index,
                told.path,
                told.unmet.as_deref().unwrap_or("something")
            )));
        }
        if let Found::OtherMethods(methods) = found {
            return Some(self.other_methods(methods));
        }
        let rule = routes.and_then(|place| rules.get(place));
        if let Some(rule) = rule.filter(|rule| rule.upstream.is_some()) {
            let fields = identity_fields(&self.settings.rules, &rule.identity_headers, who);
            let fields = fields.into_iter().map(|(name, value)| Field {
                name: name.into_cow(),
                value,
            });
            self.told.identity_headers = fields.collect();
            self.told.assertion = rule.assertion.as_deref().map(str::to_owned);
        }
        self.told.upstream = Some(self.upstream_of(rule));
        self.told.upstream_path = self.upstream_path(rule);
        None
    }

    fn access_told(&self, index: usize, rule: &Access, routes: bool, who: &Identity) -> AccessTold {
        let rules = &self.settings.rules;
        let demands = &rule.demands;
        let claims = demands.claims.iter();
        let unmet = rules.meet(who, demands).err();
        AccessTold {
            index,
            path: rule.path.clone(),
            methods: rule.methods.to_string(),
            public: rule.public,
            exactly: access::holds(&rule.path, self.target.path()) == Holds::Exactly,
            routes,
            admitted: unmet.is_none(),
            unmet: unmet.map(|unmet| unmet.to_string()),
            groups: lists::groups_at(rules, who, &demands.groups),
            domains: lists::domains_at(rules, who, &demands.domains),
            users: lists::users_at(rules, who, &demands.users),
            claims: claims
                .map(|(name, wanted)| lists::claim(who, name, wanted))
                .collect(),
        }
    }

    fn upstream_of(&self, rule: Option<&Access>) -> String {
        match rule.and_then(|rule| rule.upstream.as_ref()) {
            Some(web_ui) => web_ui.authorities(),
            None => self.settings.headscale.upstream.authority(),
        }
    }

    /// What a web UI gets to see of the path, where that is another one.
    fn upstream_path(&self, rule: Option<&Access>) -> Option<String> {
        let web_ui = rule.and_then(|rule| rule.upstream.as_ref())?;
        let changed = Some(&web_ui.rewrite).filter(|it| !it.is_nothing())?;
        let target = changed.apply(self.target).ok()?;
        Some(target.as_str().to_owned())
    }

    fn other_methods(&self, methods: Methods) -> Judged {
        let method = self.question.method;
        denied(format!(
            "the rules for this path are about {methods} only, so {method} is answered with 405"
        ))
    }

    /// As [`super::house::House::rule_of_open_path`] decides; else the methods that the rules mean.
    fn upstream_of_open_path(&self) -> Result<(String, Option<String>), Methods> {
        let (method, path) = (self.question.method, self.target.path());
        let Ok(found) = ruling::walk(self.settings, method, path, |_, _| {
            Ok::<(), std::convert::Infallible>(())
        });
        let rule = match found {
            Found::Rule(place) => self.settings.access.get(place),
            Found::Nothing => None,
            Found::OtherMethods(methods) => return Err(methods),
        };
        Ok((self.upstream_of(rule), self.upstream_path(rule)))
    }

    /// Whether the sign-in is enough, or a step-up would be asked for.
    fn assured(&mut self, is_ssh_check: bool, otherwise: String) -> Judged {
        let asked = asked_at(
            self.settings,
            self.question.method,
            self.target,
            is_ssh_check,
        );
        let missing = asked.missing(self.session, self.question.now);
        self.told.step_up = told::step_up(&asked, Some(missing));
        if missing.is_nothing() {
            (Outcome::Allowed, otherwise)
        } else {
            let why =
                "the rules admit this person, who is sent to the provider for a step-up first";
            (Outcome::StepUp, why.to_owned())
        }
    }
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
