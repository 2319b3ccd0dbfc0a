//! Who is signed in, and what a browser holds to prove it.
//!
//! Here belong: session identifiers ([`id`]), the cookies that carry them ([`cookie`]), sign-ins that
//! were already answered ([`used`]), and the key ring that seals what a browser keeps for us
//! ([`keyring`]). Not here: what a session may do (`domain::policy`), how a person signs in (`oidc`),
//! what is answered (`proxy`, `pages`).

pub mod cookie;
pub mod id;
mod keyfile;
pub mod keyring;
pub mod used;

pub use cookie::Cookies;
pub use id::{SessionId, SessionKey};
pub use keyring::{KeyRing, KeyRingError};
pub use used::UsedStates;
