//! The pure core: values and decisions. Nothing here knows a socket, the wall clock, the
//! environment, pingora, or any other room of this crate. What belongs elsewhere: everything that
//! does I/O.

pub mod access;
pub mod agent;
pub mod assurance;
pub mod authority;
pub mod calendar;
pub mod causes;
pub mod certificate;
pub mod claims;
pub mod client_ip;
pub mod demands;
pub mod departure;
pub mod door;
pub mod finding;
pub mod glob;
pub mod hash;
pub mod identity;
pub mod leg;
pub mod login;
pub mod methods;
pub mod path;
pub mod policy;
pub mod proxy_header;
pub mod random;
pub mod return_to;
pub mod rewrite;
pub mod role;
pub mod secret;
pub mod session;
pub mod text;
pub mod texts;
pub mod time;
pub mod token;
pub mod username;
