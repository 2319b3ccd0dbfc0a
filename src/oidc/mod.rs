//! One OpenID provider, seen as its client: what is known about it, sending people there, and
//! deciding whether to believe who comes back.
//!
//! - `provider` holds the snapshot of metadata and keys, and renews it.
//! - [`discovery`] decides which metadata is believed, [`jwks`] which keys, [`algorithm`] names what they
//!   may sign with.
//! - `login` builds the authorization request and judges the callback; `exchange` is the two
//!   requests behind it; [`id_token`] verifies; [`claims`] reads the person out of it. The outcome is
//!   `signed_in` or `refusal`.
//! - `refresh` asks about a person again; what it shares with a sign-in is `person`.
//! - `logout` is the way out from our side, [`logout_token`] the provider's word that somebody took it
//!   there.
//! - [`http`] is the only place that knows the HTTP client; `json` reads what it brings.
//!
//! What belongs elsewhere: sessions and cookies (`session`), the rules (`domain::policy`), pages.

pub mod algorithm;
mod checkup;
pub mod claims;
pub mod discovery;
mod exchange;
pub mod http;
pub mod id_token;
mod json;
pub mod jwks;
mod login;
mod logout;
pub mod logout_token;
mod person;
mod provider;
mod refresh;
mod refusal;
mod signed_in;
mod unverified;

pub use checkup::{Checkup, Person as CheckedPerson, check_up};
pub use login::{AuthorizeOptions, Callback};
pub use logout::LogoutRefused;
pub use provider::{Provider, Snapshot};
pub use refresh::{Known, Outage, RefreshError, RefreshFault, Refreshed};
pub use refusal::{AnswerFault, CallbackError, Endpoint, IssMismatch, Unavailable};
pub use signed_in::{SignedIn, StepUpError};
pub use unverified::{Form, ReadFault, Unverified};
