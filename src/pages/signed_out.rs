//! Signing out: the question, and what stands there afterwards.

use askama::Template;
use bytes::Bytes;
use http::{Response, StatusCode};

use super::shell::{Context, Form, Shell, page};
use super::text::Person;
use super::{LOGOUT, SESSIONS, SIGN_IN, SWITCH_USER};
use crate::domain::identity::Identity;

#[derive(Template)]
#[template(path = "sign_out.html")]
struct SignOut<'a> {
    shell: Shell<'a>,
    who: Option<Person>,
    token: Option<&'a str>,
    logout: &'static str,
    sessions: &'static str,
}

/// Asks whether to sign out, as a GET must not: the form POSTs to [`LOGOUT`] with `token` where
/// there is a session to bind it to.
pub fn sign_out(
    context: &Context<'_>,
    who: Option<&Identity>,
    token: Option<&str>,
) -> Response<Bytes> {
    let shell = Shell::new(context, StatusCode::OK);
    let template = SignOut {
        shell,
        who: who.map(Person::new),
        token,
        logout: LOGOUT,
        sessions: SESSIONS,
    };
    page(context, StatusCode::OK, Form::Yes, &template)
}

#[derive(Template)]
#[template(path = "signed_out.html")]
struct SignedOut<'a> {
    shell: Shell<'a>,
    sign_in: &'static str,
    switch_user: &'static str,
}

/// The session is over. Never leads back into a sign-in by itself: a provider that is still signed
/// in would answer it silently.
pub fn signed_out(context: &Context<'_>) -> Response<Bytes> {
    let shell = Shell::new(context, StatusCode::OK);
    let template = SignedOut {
        shell,
        sign_in: SIGN_IN,
        switch_user: SWITCH_USER,
    };
    page(context, StatusCode::OK, Form::No, &template)
}
