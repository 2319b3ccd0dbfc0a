//! The two questions that only a person may answer: a device, and an SSH connection.

use askama::Template;
use bytes::Bytes;
use http::{Response, StatusCode};

use super::shell::{Context, Form, Shell, page};
use super::text::{Person, tame};
use super::{CONFIRM_REGISTER, CONFIRM_SSH, SWITCH_USER};
use crate::domain::door::AuthId;
use crate::domain::identity::Identity;

/// What is to be confirmed, and by whom.
#[derive(Clone, Copy, Debug)]
pub struct Confirmation<'a> {
    /// The id in the link that the device (or `ssh`) showed.
    pub auth_id: &'a AuthId,
    /// Who is signed in.
    pub who: &'a Identity,
    /// The user that Headscale will know them by, where we decide it.
    pub username: Option<&'a str>,
    /// The one-time token, bound to session and id; the form sends it back as `token` beside `id`.
    pub token: &'a str,
}

/// The parts of a [`Confirmation`] as the templates show them.
struct Asked<'a> {
    auth_id: &'a str,
    /// What the person is to the thing asked about.
    owner: String,
    who: Person,
    username: Option<String>,
    token: &'a str,
    switch_user: &'static str,
}

impl<'a> Asked<'a> {
    fn new(confirmation: &Confirmation<'a>, owner: String) -> Self {
        Self {
            auth_id: confirmation.auth_id.as_str(),
            owner,
            who: Person::new(confirmation.who),
            username: confirmation.username.map(tame),
            token: confirmation.token,
            switch_user: SWITCH_USER,
        }
    }
}

#[derive(Template)]
#[template(path = "confirm_register.html")]
struct Register<'a> {
    shell: Shell<'a>,
    asked: Asked<'a>,
    action: &'static str,
}

#[derive(Template)]
#[template(path = "confirm_ssh.html")]
struct Ssh<'a> {
    shell: Shell<'a>,
    asked: Asked<'a>,
    action: &'static str,
}

/// Asks whether the device may join, and says who will own it. POSTs to [`CONFIRM_REGISTER`].
pub fn confirm_register(context: &Context<'_>, confirmation: &Confirmation<'_>) -> Response<Bytes> {
    let shell = Shell::new(context, StatusCode::OK);
    let asked = Asked::new(confirmation, shell.say("confirm-register.owner"));
    let template = Register {
        shell,
        asked,
        action: CONFIRM_REGISTER,
    };
    page(context, StatusCode::OK, Form::Yes, &template)
}

/// Asks whether the person just ran `ssh` themselves. POSTs to [`CONFIRM_SSH`].
pub fn confirm_ssh(context: &Context<'_>, confirmation: &Confirmation<'_>) -> Response<Bytes> {
    let shell = Shell::new(context, StatusCode::OK);
    let asked = Asked::new(confirmation, shell.say("confirm-ssh.owner"));
    let template = Ssh {
        shell,
        asked,
        action: CONFIRM_SSH,
    };
    page(context, StatusCode::OK, Form::Yes, &template)
}
