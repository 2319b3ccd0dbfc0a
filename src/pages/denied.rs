//! The page for a person who signed in and may not pass.

use askama::Template;
use bytes::Bytes;
use http::{Response, StatusCode};

use super::language::Language;
use super::shell::{Context, Form, Shell, page};
use super::text::Person;
use super::ways::Place;
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

    /// What the person may know about it: never what the operator's lists hold. In English, for
    /// programs.
    pub fn sentence(&self) -> String {
        self.said_in(Language::english())
    }

    fn said_in(&self, language: Language) -> String {
        let key = match self {
            Self::Rule(Denial::Group { .. }) => "denied-group",
            Self::Rule(Denial::Domain { email: None } | Denial::User { email: None }) => {
                "denied-no-email"
            }
            Self::Rule(Denial::Domain { email: Some(_) }) => "denied-domain",
            Self::Rule(Denial::User { email: Some(_) }) => "denied-user",
            Self::Rule(Denial::UnverifiedEmail { .. }) => "denied-unverified",
            Self::Username(error) => return username(language, **error),
            Self::Page => "denied-page",
        };
        language.say(key)
    }

    const fn hint(&self) -> &'static str {
        match self {
            Self::Rule(Denial::Group { .. }) | Self::Page => "denied.ask-for-group",
            Self::Rule(Denial::Domain { .. } | Denial::User { .. }) => "denied.use-another",
            Self::Rule(Denial::UnverifiedEmail { .. }) => "denied.verify",
            Self::Username(_) => "denied.ask-for-name",
        }
    }
}

/// Which rule of Headscale a user name breaks.
fn username(language: Language, error: UsernameError) -> String {
    let key = match error {
        UsernameError::Missing => "username-missing",
        UsernameError::TooShort => "username-short",
        UsernameError::FirstNotLetter => "username-first",
        UsernameError::Character(other) => {
            // As a program would write it: what cannot be seen is seen so.
            let shown = other.escape_debug().to_string();
            return language.with("username-character", "character", &shown);
        }
        UsernameError::SecondAt => "username-second-at",
        UsernameError::FinalAt => "username-final-at",
    };
    language.say(key)
}

#[derive(Template)]
#[template(path = "denied.html")]
struct Denied<'a> {
    shell: Shell<'a>,
    sentence: String,
    hint: String,
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
    let (language, status) = (context.language, StatusCode::FORBIDDEN);
    let template = Denied {
        // Only where a page asks for more is there a session.
        shell: match refusal {
            Refusal::Page => Shell::at(Place::Elsewhere, context, status),
            Refusal::Rule(_) | Refusal::Username(_) => Shell::new(context, status),
        },
        sentence: refusal.said_in(language),
        hint: language.say(refusal.hint()),
        who: Person::new(who),
        token,
        sign_in: SIGN_IN,
        switch_user: SWITCH_USER,
        logout: LOGOUT,
    };
    page(context, status, Form::Yes, &template)
}
