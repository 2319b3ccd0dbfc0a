//! What goes wrong and has no page of its own: a title, a sentence, and what to do about it.

use bytes::Bytes;
use http::{Response, StatusCode};

use super::notice::notice;
use super::shell::Context;

/// What happened, as much of it as anybody may know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A request came from another site, or proved nothing.
    CrossSite,
    /// The method is not for this address.
    Method,
    /// The address is too long for an upstream.
    TooLong,
    /// A form's body did not come, or not whole.
    Unreadable,
    /// A request that must not go further as it is.
    Unpassable,
    /// Something of ours.
    Internal,
    /// Nobody's session can be looked up.
    StoreAway,
    /// The provider's own link for signing out was used by somebody else.
    NotTheProviders,
    /// The callback was visited without an answer of the provider.
    NotASignIn,
    /// The person cannot be signed in at Headscale.
    NotPassedOn,
    /// Headscale could not tell the person from others.
    Subject,
    /// Headscale is older than what is supported.
    HeadscaleTooOld,
}

impl Fault {
    const fn key(self) -> &'static str {
        match self {
            Self::CrossSite => "cross-site",
            Self::Method => "method",
            Self::TooLong => "too-long",
            Self::Unreadable => "unreadable",
            Self::Unpassable => "unpassable",
            Self::Internal => "internal",
            Self::StoreAway => "store-away",
            Self::NotTheProviders => "not-the-providers",
            Self::NotASignIn => "not-a-sign-in",
            Self::NotPassedOn => "not-passed-on",
            Self::Subject => "subject",
            Self::HeadscaleTooOld => "headscale-too-old",
        }
    }
}

/// Says what happened: no source chain, no secret.
pub fn error(context: &Context<'_>, status: StatusCode, fault: Fault) -> Response<Bytes> {
    notice(context, status, fault.key(), &[])
}
