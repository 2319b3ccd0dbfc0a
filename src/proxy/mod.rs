//! The walk of a request: from an accepted socket to an answer. The one room that knows pingora
//! (beside `app`), and the one that imports all others.
//!
//! [`accept`] reads a head ([`head`]) and finds its door. A tunnel is carried outside pingora
//! ([`tunnel`], [`relay`]). Everything else goes to pingora, whose [`phases`] carry out what the
//! [`gate`] decides: an answer of ours, or a [`gate::Route`] that holds the rules' permit. What
//! belongs elsewhere: the rules and doors themselves (`domain`), what pages say (`pages`).

pub mod accept;
pub mod announcement;
mod api;
pub mod assertion;
mod authorize;
pub mod backend;
mod chunks;
mod confirm;
pub mod connection;
mod context;
mod devices;
pub mod doorkeeper;
pub mod drain;
pub mod explain;
mod fetch;
mod flights;
pub mod gate;
mod grpc;
pub mod handshake;
pub mod head;
pub mod headers;
pub mod house;
mod http2;
mod identity_fields;
mod logout;
pub mod offboarding;
mod outgoing;
pub mod phases;
mod plain;
pub mod policy_sync;
mod pool;
pub mod private;
mod provider_logout;
pub mod rates;
mod reason;
pub mod recheck;
mod record;
mod relay;
mod reply;
mod response;
pub mod roll;
mod ruling;
mod sessions;
mod shared_caches;
pub mod shelf;
mod sign_in;
pub mod slots;
pub mod standing;
mod step_up;
mod still;
pub mod stream;
pub mod tls;
pub mod traced;
pub mod tunnel;
pub mod turned_away;
pub mod turnstile;
mod upload;
pub mod upstream;
mod visit;
mod websocket;
