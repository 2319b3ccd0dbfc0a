//! An act whose end is not known yet: a request that an upstream is still to answer.

use std::net::IpAddr;

use super::act::{Act, Actor, Outcome, Step};
use super::{Audit, Entry};
use crate::domain::identity::Subject;
use crate::domain::role::Role;

/// Is recorded when it is dropped, with what is known then: also where the request was cut short.
#[derive(Debug)]
pub struct Pending {
    /// Where to.
    pub audit: Audit,
    /// What is being done.
    pub act: Act,
    /// By whom.
    pub by: Actor,
    /// Under which request.
    pub request_id: String,
    /// The address it came from.
    pub client: IpAddr,
    /// Who, with the user name.
    pub person: Option<(Subject, Option<String>)>,
    /// Through which session.
    pub session: Option<String>,
    /// How far a device has come.
    pub step: Option<Step>,
    /// The end of its link's id.
    pub device: Option<String>,
    /// The request's method.
    pub method: String,
    /// The request's path, as the log may be told it.
    pub path: String,
    /// The session's role on the API.
    pub role: Option<Role>,
    /// The public part of a key of Headscale's API.
    pub key: Option<String>,
    /// The status of the answer, once there is one.
    pub status: Option<u16>,
}

impl Drop for Pending {
    fn drop(&mut self) {
        let person = self.person.as_ref();
        self.audit.record(&Entry {
            outcome: Outcome::of_status(self.status),
            client: Some(self.client),
            subject: person.map(|(subject, _)| subject),
            user: person.and_then(|(_, user)| user.as_deref()),
            session: self.session.as_deref(),
            step: self.step,
            device: self.device.as_deref(),
            method: Some(&self.method),
            path: Some(&self.path),
            status: self.status,
            role: self.role,
            key: self.key.as_deref(),
            ..Entry::new(self.act, self.by, &self.request_id)
        });
    }
}
