//! Who is signed in, and what a browser holds to prove it.
//!
//! Here belong: sessions ([`sessions`], [`live`]) in memory (`memory`) and in a store that replicas share
//! ([`shared`], [`redis`]), their identifiers ([`id`]), the cookies that carry them ([`cookie`]),
//! sign-ins on their way ([`attempts`], [`used`], and who left meanwhile: [`departures`]), sign-outs on
//! theirs ([`sign_outs`]), the key ring that seals what a browser keeps for us ([`keyring`]), one-time
//! confirmation tokens ([`confirmations`]), who is to be off-boarded ([`journal`]), and sessions as bytes ([`record`]), which wait
//! in a file while the process is stopped ([`snapshot`]), and who is in which group, beyond sessions ([`people`]). Not here: what a session may do
//! (`domain::policy`), how a person signs in (`oidc`), what is answered (`proxy`, `pages`).

pub mod attempts;
mod commons;
pub mod confirmations;
pub mod cookie;
pub mod departures;
pub mod id;
mod index;
pub mod journal;
mod keyfile;
pub mod keyring;
pub mod live;
pub mod memory;
pub mod people;
pub mod record;
pub mod redis;
pub mod sessions;
pub mod shared;
pub mod sign_outs;
pub mod snapshot;
pub mod used;

pub use attempts::{AttemptError, Attempts};
pub use confirmations::{Confirmations, Purpose};
pub use cookie::{Cookies, only_named};
pub use departures::{Departures, Moment};
pub use id::{SessionId, SessionKey};
pub use journal::{Journal, JournalError};
pub use keyring::{KeyRing, KeyRingError, Rotation, SealError};
pub use live::{Live, State};
pub use people::{Known, People, StateError};
pub use sessions::{RefreshLock, Sessions, StoreAway};
pub use sign_outs::SignOuts;
pub use snapshot::{Snapshot, SnapshotError};
pub use used::UsedOnce;

#[cfg(test)]
pub(crate) mod testing;
