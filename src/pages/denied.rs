//! The page for a person who signed in and may not pass.

use askama::Template;
use bytes::Bytes;
use http::{Response, StatusCode};

use super::shell::{Context, Form, Shell, page};
use super::text::Person;
use super::{LOGOUT, SIGN_IN, SWITCH_USER};
use crate::domain::identity::Identity;
use crate::domain::policy::Denial;
use crate::domain::username::UsernameError;

/// What refused.
#[derive(Clone, Copy, Debug)]
pub enum Refusal<'a> {
    /// One of the general rules.
    Rule(&'a Denial),
    /// Headscale would not take the user name.
    Username(&'a UsernameError),
    /// The general rules admit the person, the page asks for more.
    Page,
}

impl Refusal<'_> {
    /// A stable word, for the JSON twin.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Rule(denial) => denial.kind(),
            Self::Username(_) => "username",
            Self::Page => "page",
        }
    }

    /// What the person may know about it: never what the operator's lists hold.
    pub fn sentence(&self) -> String {
        let fixed = match self {
            Self::Rule(Denial::Group { .. }) => {
                "Your account is in none of the groups that may use this service."
            }
            Self::Rule(Denial::Domain { email: None } | Denial::User { email: None }) => {
                "Your identity provider sent no e-mail address for your account, and this service \
                 needs one."
            }
            Self::Rule(Denial::Domain { email: Some(_) }) => {
                "Your e-mail address belongs to a domain that may not use this service."
            }
            Self::Rule(Denial::User { email: Some(_) }) => {
                "Your e-mail address is not on the list of people who may use this service."
            }
            Self::Rule(Denial::UnverifiedEmail { .. }) => {
                "Your identity provider has not verified your e-mail address."
            }
            Self::Username(error) => {
                return format!("Headscale cannot use your user name: {error}.");
            }
            Self::Page => "Your account may use this service, but not this page.",
        };
        fixed.to_owned()
    }

    const fn hint(&self) -> &'static str {
        match self {
            Self::Rule(Denial::Group { .. }) | Self::Page => {
                "If you were added to a group just now, sign in again. Otherwise, ask your \
                 administrator for access."
            }
            Self::Rule(Denial::Domain { .. } | Denial::User { .. }) => {
                "If you have another account, sign in with that one. Otherwise, ask your \
                 administrator for access."
            }
            Self::Rule(Denial::UnverifiedEmail { .. }) => {
                "Verify the address at your identity provider, then sign in again. If that is not \
                 possible, ask your administrator."
            }
            Self::Username(_) => {
                "Ask your administrator to change the user name at the identity provider, then \
                 sign in again."
            }
        }
    }
}

#[derive(Template)]
#[template(path = "denied.html")]
struct Denied<'a> {
    shell: Shell<'a>,
    sentence: String,
    hint: &'static str,
    who: Person,
    token: Option<&'a str>,
    sign_in: &'static str,
    switch_user: &'static str,
    logout: &'static str,
}

/// 403: which kind of rule refused, whom it refused, and the two ways out: another account, or
/// signing out. `token` is the session-bound token of the sign-out form, where there is a session.
pub fn denied(
    context: &Context<'_>,
    refusal: Refusal<'_>,
    who: &Identity,
    token: Option<&str>,
) -> Response<Bytes> {
    let template = Denied {
        shell: Shell::new(&context.in_english(), StatusCode::FORBIDDEN),
        sentence: refusal.sentence(),
        hint: refusal.hint(),
        who: Person::new(who),
        token,
        sign_in: SIGN_IN,
        switch_user: SWITCH_USER,
        logout: LOGOUT,
    };
    page(
        &context.in_english(),
        StatusCode::FORBIDDEN,
        Form::Yes,
        &template,
    )
}
