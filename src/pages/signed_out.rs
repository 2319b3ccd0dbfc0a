//! Signing out: the question, and what stands there afterwards.

use askama::Template;
use bytes::Bytes;
use http::{Response, StatusCode};

use super::language::Language;
use super::shell::{Context, Form, Shell, framed_by, page};
use super::text::Person;
use super::ways::Place;
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
    let shell = match who {
        Some(_) => Shell::at(Place::SignOut, context, StatusCode::OK),
        None => Shell::new(context, StatusCode::OK),
    };
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
    at_the_provider: AtTheProvider,
}

/// What is known about the provider's side of a sign-out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AtTheProvider {
    /// It answered the sign-out that was begun in this browser. It may keep a session all the same.
    Answered,
    /// Nothing.
    Unknown,
}

/// The session is over. Never leads back into a sign-in by itself: a provider that is still signed
/// in would answer it silently.
pub fn signed_out(context: &Context<'_>, at_the_provider: AtTheProvider) -> Response<Bytes> {
    let shell = Shell::new(context, StatusCode::OK);
    let template = SignedOut {
        shell,
        sign_in: SIGN_IN,
        switch_user: SWITCH_USER,
        at_the_provider,
    };
    page(context, StatusCode::OK, Form::No, &template)
}

#[derive(Template)]
#[template(path = "in_frame.html")]
struct InFrame {
    language: Language,
}

/// What stands in a frame of the provider's page that told us of a sign-out: as good as nothing, and
/// pages of these origins alone may show it.
pub fn signed_out_in_frame(language: Language, origins: &[String]) -> Response<Bytes> {
    let template = InFrame { language };
    // Formatting strings does not fail.
    framed_by(origins, template.render().unwrap_or_default())
}
