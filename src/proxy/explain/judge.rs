//! What decides behind each door.

use super::super::step_up::asked_at;
use super::{Explanation, Outcome, Question, told};
use crate::config::{Settings, SignIn};
use crate::domain::door::{ApiKind, Door, Guarded, Own};
use crate::domain::path::Target;
use crate::domain::role::Role;
use crate::domain::session::Session;

/// What decides behind a door.
pub(super) struct Judge<'a> {
    pub(super) settings: &'a Settings,
    pub(super) question: &'a Question<'a>,
    pub(super) target: &'a Target,
    pub(super) session: &'a Session,
    pub(super) told: &'a mut Explanation,
}

pub(super) type Judged = (Outcome, String);

pub(super) fn denied(why: impl Into<String>) -> Judged {
    (Outcome::Denied, why.into())
}

impl Judge<'_> {
    pub(super) fn judge(mut self, door: &Door) -> Judged {
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

    pub(super) fn rules(&self) -> Option<Judged> {
        let told = &self.told.rules;
        told.refusal
            .as_ref()
            .map(|why| denied(format!("the rules refuse this person: {why}")))
    }

    pub(super) fn role(&self) -> Role {
        let api = &self.settings.api;
        let who = &self.session.identity;
        Role::of(&self.settings.rules, who, &api.admins, &api.viewers)
    }

    /// Whether the sign-in is enough, or a step-up would be asked for.
    pub(super) fn assured(&mut self, is_ssh_check: bool, otherwise: String) -> Judged {
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
