//! What stands there when there are no devices to show.

use askama::Template;
use bytes::Bytes;
use http::{Response, StatusCode};

use super::super::shell::{Context, Form, Shell, page, retry_after};
use super::super::ways::Place;
use super::Paths;

/// When a browser may try again while Headscale does not answer.
const RETRY_SECONDS: u32 = 5;

/// Why there are none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoDevices {
    /// There is no key for Headscale's API.
    NoKey,
    /// Headscale knows no person's sign-in.
    NoSignIn,
    /// The person's `sub` is none that Headscale could hold apart from others.
    Subject,
    /// Headscale is older than what is supported.
    TooOld,
    /// Headscale does not answer.
    Away,
    /// Headscale answers something else, or does not take our key.
    Fault,
}

impl NoDevices {
    const fn key(self) -> &'static str {
        match self {
            Self::NoKey => "no-devices-key",
            Self::NoSignIn => "no-devices-mode",
            Self::Subject => "no-devices-subject",
            Self::TooOld => "no-devices-old",
            Self::Away => "no-devices-away",
            Self::Fault => "no-devices-fault",
        }
    }

    /// A word for programs.
    pub const fn code(self) -> &'static str {
        match self {
            Self::NoKey => "no_api_key",
            Self::NoSignIn => "no_sign_in_at_headscale",
            Self::Subject => "subject_unusable",
            Self::TooOld => "headscale_too_old",
            Self::Away => "headscale_unavailable",
            Self::Fault => "headscale_failed",
        }
    }

    const fn status(self) -> StatusCode {
        match self {
            // Nothing is wrong: this is how it was set up.
            Self::NoKey | Self::NoSignIn => StatusCode::OK,
            Self::Subject => StatusCode::FORBIDDEN,
            Self::TooOld => StatusCode::NOT_IMPLEMENTED,
            Self::Away => StatusCode::SERVICE_UNAVAILABLE,
            Self::Fault => StatusCode::BAD_GATEWAY,
        }
    }
}

#[derive(Template)]
#[template(path = "no_devices.html")]
struct Nothing<'a> {
    shell: Shell<'a>,
    key: &'static str,
    /// Where to try again.
    again: Option<&'a str>,
    can_add: bool,
    sees_all: bool,
}

impl Nothing<'_> {
    fn part(&self, attribute: &str) -> String {
        self.shell.say(&format!("{}.{attribute}", self.key))
    }
}

/// Says why no devices are shown. `again` is the address that was asked for; `sees_all` leads to everybody's
/// where that makes sense.
pub fn no_devices(
    context: &Context<'_>,
    why: NoDevices,
    again: &str,
    sees_all: bool,
) -> Response<Bytes> {
    let status = why.status();
    let template = Nothing {
        shell: Shell::at(Place::BelowDevices, context, status),
        key: why.key(),
        again: (why == NoDevices::Away).then_some(again),
        can_add: matches!(why, NoDevices::NoKey | NoDevices::NoSignIn),
        sees_all: sees_all && why == NoDevices::NoSignIn,
    };
    let response = page(context, status, Form::No, &template);
    if why == NoDevices::Away {
        return retry_after(response, RETRY_SECONDS);
    }
    response
}
