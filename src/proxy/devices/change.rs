//! What is done to a device: a POST that proves where it came from, with a one-time token of the session,
//! by whoever Headscale says, a moment before, may do it.

use bytes::Bytes;
use http::Response;

use super::Viewer;
use crate::headscale::{ApiError, Node};
use crate::ops::audit::{Act, Actor, Entry, Outcome};
use crate::ops::metrics::{ChangeOutcome, DeviceChange, DeviceHand};
use crate::pages::{Ask, Changed, DEVICES};
use crate::proxy::confirm::Form;
use crate::proxy::house::{House, see_other};
use crate::proxy::rates::Rated;
use crate::proxy::visit::Visit;
use crate::session::{Purpose, State};

/// The words with which the redirect behind a form says what was done.
pub(super) const DONE: &[(&str, Changed)] = &[
    ("renamed", Changed::Renamed),
    ("expired", Changed::Expired),
    ("removed", Changed::Removed),
];

/// One change.
pub(super) enum Change {
    Rename(String),
    Expire,
    Remove,
}

impl Change {
    /// What is asked about first.
    pub(super) const fn of(ask: Ask) -> Self {
        match ask {
            Ask::SignOut => Self::Expire,
            Ask::Remove => Self::Remove,
        }
    }

    /// The call of Headscale's API that it is, for the device with the id `id`: method and path.
    pub(super) fn call(&self, id: &str) -> (&'static str, String) {
        match self {
            Self::Rename(name) => ("POST", format!("/api/v1/node/{id}/rename/{name}")),
            Self::Expire => ("POST", format!("/api/v1/node/{id}/expire")),
            Self::Remove => ("DELETE", format!("/api/v1/node/{id}")),
        }
    }

    const fn metric(&self) -> DeviceChange {
        match self {
            Self::Rename(_) => DeviceChange::Renamed,
            Self::Expire => DeviceChange::Expired,
            Self::Remove => DeviceChange::Removed,
        }
    }

    const fn act(&self) -> Act {
        match self {
            Self::Rename(_) => Act::DeviceRenamed,
            Self::Expire => Act::DeviceExpired,
            Self::Remove => Act::DeviceRemoved,
        }
    }
}

/// A name as every Headscale from 0.26 on takes it: a DNS label (RFC 1035 section 2.3.1, RFC 1123 section
/// 2.1) in lower case, of at least two characters. Capitals are what phones make of a first letter.
fn name(text: &str) -> Option<String> {
    let name = text.trim().to_ascii_lowercase();
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    let whole = (2..=63).contains(&name.len()) && name.bytes().all(plain);
    (whole && !name.starts_with('-') && !name.ends_with('-')).then_some(name)
}

/// Why Headscale refused the name of a change, by its words, which no version has as a code.
fn name_refused(change: &Change, why: &ApiError) -> Option<Changed> {
    let (Change::Rename(_), ApiError::Rejected { message, .. }) = (change, why) else {
        return None;
    };
    let message = message.to_lowercase();
    let taken = ["unique", "already", "in use", "taken", "exists"];
    let name = ["name", "hostname", "dns", "label", "character", "invalid"];
    if taken.iter().any(|word| message.contains(word)) {
        Some(Changed::NameTaken)
    } else if name.iter().any(|word| message.contains(word)) {
        Some(Changed::NameRefused)
    } else {
        None
    }
}

impl House {
    /// The form of the list, or of one of the questions.
    pub(super) async fn change_device(
        &self,
        visit: &Visit,
        viewer: &Viewer,
        ask: Option<Ask>,
        body: &Bytes,
    ) -> Result<Response<Bytes>, Response<Bytes>> {
        if let Some(answer) = self.held_back(visit, Rated::Registration) {
            return Err(answer);
        }
        let form = Form::parse(body);
        let user = form.one("user").filter(|_| viewer.sees_all());
        let nothing = |why: Changed| self.show_devices(visit, viewer, user, Some(why));
        let (Some(id), Some(token)) = (form.one("id"), form.one("token")) else {
            return nothing(Changed::Stale).await;
        };
        if !self.takes_token(visit, viewer, token).await? {
            return nothing(Changed::Stale).await;
        }
        let change = match ask {
            Some(ask) => Change::of(ask),
            None => match form.one("name").and_then(name) {
                Some(name) => Change::Rename(name),
                None => return nothing(Changed::BadName).await,
            },
        };
        self.can_ask()
            .map_err(|why| self.no_devices(visit, viewer, why))?;
        let node = self.fresh_node(visit, viewer, id).await?;
        if !viewer.is_own_business(&node) {
            let (method, path) = change.call(&node.id);
            self.assured_by_role(visit, viewer, method, &path)?;
        }
        match self.carry_out(visit, viewer, &node, &change).await {
            Ok(()) => Ok(see_other(&back_to_list(&change, user))),
            Err(why) => match name_refused(&change, &why) {
                Some(refused) => {
                    tracing::info!(request_id = visit.id, reason = %why, "headscale refused a name");
                    nothing(refused).await
                }
                None => Err(self.not_answered(visit, viewer, &why)),
            },
        }
    }

    async fn takes_token(
        &self,
        visit: &Visit,
        viewer: &Viewer,
        token: &str,
    ) -> Result<bool, Response<Bytes>> {
        let now = self.clock.now();
        let take = |state: &mut State| state.confirmations.take(Purpose::Devices, None, token, now);
        let taken = self.sessions.with_state(&viewer.live, take).await;
        taken.map_err(|away| self.store_away(visit, away))
    }

    /// The device as Headscale has it now, if the viewer may change it. Ids can be guessed: one of another's
    /// device is answered as one that nobody has.
    async fn fresh_node(
        &self,
        visit: &Visit,
        viewer: &Viewer,
        id: &str,
    ) -> Result<Node, Response<Bytes>> {
        let found = self.api.node(id).await;
        let node = found.map_err(|why| self.not_answered(visit, viewer, &why))?;
        if node.id != id || !viewer.may_change(&node) {
            tracing::info!(
                request_id = visit.id, subject = %viewer.who().subject,
                "a device is not theirs to change"
            );
            return Err(self.not_found(visit));
        }
        Ok(node)
    }

    /// Does it, and says so in the audit log, whatever became of it.
    async fn carry_out(
        &self,
        visit: &Visit,
        viewer: &Viewer,
        node: &Node,
        change: &Change,
    ) -> Result<(), ApiError> {
        let done = match change {
            // 0.26 takes a device's own name for another's.
            Change::Rename(name) if *name == node.given_name => Ok(()),
            Change::Rename(name) => self.api.rename_node(&node.id, name).await,
            Change::Expire => self.api.expire_node(&node.id).await,
            Change::Remove => self.api.delete_node(&node.id).await,
        };
        self.roster.changed();
        let (outcome, counted) = match &done {
            Ok(()) => (Outcome::Done, ChangeOutcome::Done),
            Err(ApiError::NotFound) => (Outcome::Refused, ChangeOutcome::Refused),
            Err(why) if name_refused(change, why).is_some() => {
                (Outcome::Refused, ChangeOutcome::Refused)
            }
            // It may have been done, and its answer lost.
            Err(ApiError::Fetch(_)) => (Outcome::Unknown, ChangeOutcome::Failed),
            Err(_) => (Outcome::Failed, ChangeOutcome::Failed),
        };
        let own = viewer.owns(node);
        let hand = if own {
            DeviceHand::Owner
        } else {
            DeviceHand::Admin
        };
        self.metrics.device_changed(change.metric(), hand, counted);
        let who = viewer.who();
        self.audit.record(&Entry {
            outcome,
            client: Some(visit.client),
            subject: Some(&who.subject),
            user: who.username.as_deref(),
            session: Some(&viewer.live.key.to_string()),
            node: Some(&node.id),
            owner: self.owner_of(viewer, node).filter(|_| !own).as_deref(),
            role: Some(viewer.role).filter(|_| !own),
            ..Entry::new(change.act(), Actor::Person, &visit.id)
        });
        done
    }
}

/// The list, with a word of what was done.
fn back_to_list(change: &Change, user: Option<&str>) -> String {
    let word = change.metric().label();
    let user = user.filter(|id| !id.is_empty() && id.bytes().all(|b| b.is_ascii_digit()));
    match user {
        Some(user) => format!("{DEVICES}?done={word}&user={user}"),
        None => format!("{DEVICES}?done={word}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_a_dns_label_in_lower_case() {
        for (text, taken) in [
            ("laptop", Some("laptop")),
            (" Laptop ", Some("laptop")),
            ("a1", Some("a1")),
            ("1a", Some("1a")),
            ("a-b", Some("a-b")),
            ("a", None),
            ("", None),
            ("-a", None),
            ("a-", None),
            ("a.b", None),
            ("a_b", None),
            ("a b", None),
            ("a/b", None),
            ("a%2fb", None),
            ("ä1", None),
            ("<b>", None),
        ] {
            assert_eq!(name(text).as_deref(), taken, "{text:?}");
        }
        assert!(name(&"a".repeat(63)).is_some() && name(&"a".repeat(64)).is_none());
    }
}
