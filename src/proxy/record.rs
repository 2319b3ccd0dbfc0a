//! What a request leaves in the audit log, where that is more than a session's beginning or end: whom a
//! rule refused, how far a device has come, what was changed through the API.

use super::house::House;
use super::reason;
use super::visit::Visit;
use crate::domain::door::AuthId;
use crate::domain::identity::{Identity, Subject};
use crate::domain::leg::LegKind;
use crate::domain::role::Role;
use crate::ops::audit::{Act, Actor, Entry, Outcome, Pending, Step};
use crate::ops::metrics::Rule;
use crate::session::Live;

impl House {
    /// Counts and notes that a rule refused somebody.
    pub(super) fn refused_by(&self, visit: &Visit, rule: Rule, who: &Identity) {
        self.metrics.denied(rule);
        self.audit.record(&Entry {
            outcome: Outcome::Refused,
            client: Some(visit.client),
            subject: Some(&who.subject),
            user: who.username.as_deref(),
            rule: Some(rule.label()),
            method: Some(&visit.head.method),
            path: Some(&reason::path(visit)),
            ..Entry::new(Act::Denied, Actor::Person, &visit.id)
        });
    }

    /// A device or an SSH check has come as far as `step`, here and now.
    pub(super) fn came_to(&self, visit: &Visit, kind: &LegKind, step: Step, live: &Live) {
        let (act, id) = about(kind);
        self.audit.record(&Entry {
            client: Some(visit.client),
            subject: Some(&live.session.identity.subject),
            user: live.session.identity.username.as_deref(),
            session: Some(&live.key.to_string()),
            step: Some(step),
            device: Some(reason::end_of(id.as_str())),
            ..Entry::new(act, Actor::Person, &visit.id)
        });
    }

    /// The same where Headscale's answer says how it went.
    pub(super) fn coming_to(
        &self,
        visit: &Visit,
        kind: &LegKind,
        step: Step,
        live: &Live,
    ) -> Pending {
        let (act, id) = about(kind);
        let mut pending = self.pending(visit, act, Some(live));
        pending.step = Some(step);
        pending.device = Some(reason::end_of(id.as_str()).to_owned());
        pending
    }

    /// What a session with a role asks the API to change; nothing, where it only asks.
    pub(super) fn write_by_role(&self, visit: &Visit, role: Role, live: &Live) -> Option<Pending> {
        (!visit.is_safe()).then(|| {
            let mut pending = self.pending(visit, Act::ApiWrite, Some(live));
            pending.role = Some(role);
            pending
        })
    }

    /// The same by somebody's own credentials. Whose they are, Headscale knows; of a key, the part that
    /// its list shows is told.
    pub(super) fn write_by_key(&self, visit: &Visit) -> Option<Pending> {
        (!visit.is_safe()).then(|| {
            let mut pending = self.pending(visit, Act::ApiWrite, None);
            pending.by = Actor::ApiKey;
            let credentials = visit.only("authorization");
            pending.key = credentials.and_then(public_part).map(str::to_owned);
            pending
        })
    }

    fn pending(&self, visit: &Visit, act: Act, live: Option<&Live>) -> Pending {
        Pending {
            audit: self.audit.clone(),
            act,
            by: Actor::Person,
            request_id: visit.id.clone(),
            client: visit.client,
            person: live.map(person),
            session: live.map(|live| live.key.to_string()),
            step: None,
            device: None,
            method: visit.head.method.clone(),
            path: reason::path(visit).into_owned(),
            role: None,
            key: None,
            status: None,
        }
    }
}

fn person(live: &Live) -> (Subject, Option<String>) {
    let who = &live.session.identity;
    let username = who.username.as_deref().map(str::to_owned);
    (who.subject.clone(), username)
}

fn about(kind: &LegKind) -> (Act, &AuthId) {
    match kind {
        LegKind::Register(id) => (Act::Registration, id),
        LegKind::SshCheck(id) => (Act::SshCheck, id),
    }
}

/// Of `Bearer hskey-api-<12>-<64>`, as Headscale makes keys since 0.28, the first part: its list shows
/// it, and it opens nothing. Of everything else nothing, since nobody knows which part of it is secret.
fn public_part(authorization: &str) -> Option<&str> {
    let key = authorization.strip_prefix("Bearer hskey-api-")?;
    let (public, secret) = (key.get(..12)?, key.get(12..)?.strip_prefix('-')?);
    let plain = |text: &str| {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
        text.bytes().all(plain)
    };
    (plain(public) && secret.len() == 64 && plain(secret)).then_some(public)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_key_only_what_headscale_lists_is_told_and_of_other_credentials_nothing() {
        let secret = "s".repeat(64);
        for (authorization, told) in [
            (
                format!("Bearer hskey-api-AbCd_-123456-{secret}"),
                Some("AbCd_-123456"),
            ),
            (format!("Bearer hskey-api-AbCd_-123456-{secret}s"), None),
            (format!("Bearer hskey-api-AbCd_-12345-{secret}"), None),
            (format!("Bearer hskey-api-AbCd_-1234567{secret}"), None),
            (format!("Bearer hskey-api-AbCd 123456x-{secret}"), None),
            (format!("bearer hskey-api-AbCd_-123456-{secret}"), None),
            (format!("Basic hskey-api-AbCd_-123456-{secret}"), None),
            (format!("Bearer AbCdefg.{secret}"), None),
            ("Bearer hskey-api-é123456789012345".to_owned(), None),
            ("Bearer hskey-api-".to_owned(), None),
        ] {
            assert_eq!(public_part(&authorization), told, "{authorization}");
        }
    }
}
