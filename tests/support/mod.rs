//! What the whole-house tests stand on: peers for Headwarden (a Headscale stand-in, a certified
//! OpenID provider), people (a raw client with a cookie jar, a real browser) and a raw socket.
//! Nothing here imports Headwarden: the rig must not share its mistakes.
#![expect(
    dead_code,
    reason = "every test crate uses its own part of the rig; see `UNUSED`"
)]

pub(crate) mod audit;
pub(crate) mod browser;
pub(crate) mod certified_provider;
pub(crate) mod child;
pub(crate) mod framing;
pub(crate) mod headscale_standin;
pub(crate) mod house;
pub(crate) mod hpack;
pub(crate) mod html;
pub(crate) mod http2;
pub(crate) mod jar;
pub(crate) mod navigation;
pub(crate) mod person;
pub(crate) mod raw;
pub(crate) mod real_tailnet;
pub(crate) mod streams;
pub(crate) mod tailnet;
pub(crate) mod tls;

/// Keeps the expectation above met in a test crate that happens to use everything.
const UNUSED: () = ();
