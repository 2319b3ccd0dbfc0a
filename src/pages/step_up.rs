//! A session is there, and more is asked for: a sign-in that is recent, or done in another way.

use std::time::Duration;

use bytes::Bytes;
use http::{Response, StatusCode};
use serde_json::{Map, Value, json};

use super::json;
use super::notice::{Link, SIGN_IN_AGAIN, notice};
use super::shell::Context;

/// What is asked for.
#[derive(Clone, Debug, Default)]
pub struct StepUp<'a> {
    /// Longest time since the sign-in.
    pub max_age: Option<Duration>,
    /// One of these `acr`.
    pub acr: Vec<&'a str>,
    /// One of these `amr`.
    pub amr: Vec<&'a str>,
    /// The address, below our own, at which a person begins it.
    pub begin: &'a str,
}

/// 401, for programs: what is asked for, and where a person does it. `max_auth_age` is in seconds.
pub fn step_up_needed(
    asked: &StepUp<'_>,
    readers: json::Readers,
    support_id: &str,
) -> Response<Bytes> {
    let mut more = Map::new();
    if let Some(age) = asked.max_age {
        more.insert("max_auth_age".to_owned(), json!(age.as_secs()));
    }
    for (name, values) in [("acr", &asked.acr), ("amr", &asked.amr)] {
        if !values.is_empty() {
            more.insert(name.to_owned(), json!(values));
        }
    }
    more.insert("step_up".to_owned(), Value::from(asked.begin));
    let message = "this asks for a more recent or a stronger sign-in; nothing was passed on";
    json::json_with(
        readers,
        StatusCode::UNAUTHORIZED,
        "step_up_needed",
        message,
        support_id,
        more,
    )
}

/// 403: a form was sent where more is asked for. It was not passed on, and cannot be kept for later.
pub fn nothing_sent(context: &Context<'_>, begin: &str) -> Response<Bytes> {
    let again = Link {
        href: begin,
        ..SIGN_IN_AGAIN
    };
    notice(context, StatusCode::FORBIDDEN, "nothing-sent", &[again])
}

/// 403: the new sign-in was not fresh, or another person's, or its session is over.
pub fn step_up_refused(context: &Context<'_>) -> Response<Bytes> {
    notice(context, StatusCode::FORBIDDEN, "step-up-refused", &[])
}

/// 403: the provider signed the person in, and not in the way that is asked for.
pub fn step_up_not_done(context: &Context<'_>) -> Response<Bytes> {
    notice(context, StatusCode::FORBIDDEN, "step-up-not-done", &[])
}
