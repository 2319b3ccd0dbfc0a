//! The two questions about one device.

use askama::Template;
use bytes::Bytes;
use http::{Response, StatusCode};

use super::super::shell::{Context, Form, Shell, page};
use super::super::text::{Person, tame};
use super::super::ways::Place;
use super::super::{DEVICES, DEVICES_REMOVE, DEVICES_SIGN_OUT};
use super::{Device, Owner};

/// What is to be done with the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ask {
    /// It is to sign in anew.
    SignOut,
    /// It is to be gone.
    Remove,
}

impl Ask {
    const fn key(self) -> &'static str {
        match self {
            Self::SignOut => "ask-sign-out",
            Self::Remove => "ask-remove",
        }
    }

    /// Where the question is, and where its form goes.
    pub const fn path(self) -> &'static str {
        match self {
            Self::SignOut => DEVICES_SIGN_OUT,
            Self::Remove => DEVICES_REMOVE,
        }
    }
}

/// A question, and whom and what it is about.
#[derive(Clone, Debug)]
pub struct AskDevice<'a> {
    /// What is asked.
    pub ask: Ask,
    /// The device.
    pub device: Device<'a>,
    /// Whose it is, if not theirs who are asked. `None` in it is nobody in particular.
    pub of: Option<Option<Owner<'a>>>,
    /// The one-time token, bound to the session.
    pub token: &'a str,
}

#[derive(Template)]
#[template(path = "ask_device.html")]
struct Question<'a> {
    shell: Shell<'a>,
    key: &'static str,
    action: &'static str,
    id: &'a str,
    name: String,
    addresses: Vec<String>,
    /// Another's: whose, if it is one person's.
    other: bool,
    owner: Option<Person>,
    user: Option<&'a str>,
    token: &'a str,
    back: String,
}

impl Question<'_> {
    fn part(&self, attribute: &str) -> String {
        self.shell.say(&format!("{}.{attribute}", self.key))
    }
}

/// Asks whether to do it. POSTs `id`, `token`, and `user` for another's, to [`Ask::path`].
pub fn ask_device(context: &Context<'_>, asked: &AskDevice<'_>) -> Response<Bytes> {
    let owner = asked.of.flatten();
    let addresses = asked.device.addresses.iter();
    let template = Question {
        shell: Shell::at(Place::BelowDevices, context, StatusCode::OK),
        key: asked.ask.key(),
        action: asked.ask.path(),
        id: asked.device.id,
        name: tame(asked.device.name),
        addresses: addresses.map(|address| tame(address)).collect(),
        other: asked.of.is_some(),
        owner: owner.map(|owner| owner.person()),
        user: owner.map(|owner| owner.id),
        token: asked.token,
        back: match owner {
            Some(owner) => format!("{DEVICES}?user={}", owner.id),
            None => DEVICES.to_owned(),
        },
    };
    page(context, StatusCode::OK, Form::Yes, &template)
}
