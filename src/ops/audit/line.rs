//! An act as one line of JSON, whatever its values are: bounded, and without a character that could end
//! it or turn text around.

use std::net::IpAddr;

use serde::Serialize;

use super::Entry;
use super::act::{Scope, Step};
use crate::domain::calendar::rfc3339;
use crate::domain::role::Role;
use crate::domain::text::escaped_json;
use crate::domain::time::Timestamp;

/// The version of the fields: it grows when one changes its meaning, or goes. New ones, and new values,
/// do not change it.
pub(super) const SCHEMA: u32 = 1;
/// Most characters of one value.
const LONGEST_VALUE: usize = 512;

#[derive(Serialize)]
struct Line<'a> {
    schema: u32,
    time: String,
    act: &'static str,
    outcome: &'static str,
    by: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client: Option<IpAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    session: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    scope: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sessions: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rule: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    step: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    device: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    node: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    owner: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    method: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    groups: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    members_added: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    members_removed: Option<usize>,
}

impl Entry<'_> {
    /// One JSON object, without a line's end.
    pub(super) fn line(&self, now: Timestamp, user_names: bool) -> String {
        let line = Line {
            schema: SCHEMA,
            time: rfc3339(now),
            act: self.act.label(),
            outcome: self.outcome.label(),
            by: self.by.to_string(),
            request_id: Some(self.request_id).filter(|id| !id.is_empty()),
            client: self.client,
            subject: self.subject.map(ToString::to_string),
            user: self.user.filter(|_| user_names).map(bounded),
            session: self.session,
            scope: self.scope.map(Scope::label),
            sessions: self.sessions,
            reason: self.reason,
            rule: self.rule,
            step: self.step.map(Step::label),
            device: self.device.map(bounded),
            node: self.node.map(bounded),
            owner: self.owner.map(bounded),
            method: self.method.map(bounded),
            path: self.path.map(bounded),
            status: self.status,
            role: self.role.map(Role::label),
            key: self.key.map(bounded),
            groups: self.groups,
            members_added: self.members_added,
            members_removed: self.members_removed,
        };
        // Texts and numbers always become JSON.
        let json = serde_json::to_string(&line).unwrap_or_default();
        escaped_json(&json)
    }
}

fn bounded(text: &str) -> String {
    match text.char_indices().nth(LONGEST_VALUE) {
        Some((at, _)) => format!("{}…", text.get(..at).unwrap_or_default()),
        None => text.to_owned(),
    }
}
