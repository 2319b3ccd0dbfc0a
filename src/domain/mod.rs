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
pub mod client_ip;
pub mod departure;
pub mod diff;
pub mod door;
pub mod finding;
pub mod group_name;
pub mod hash;
pub mod hujson;
pub mod identity;
pub mod identity_field;
pub mod leg;
pub mod login;
pub mod path;
pub mod policy;
pub mod policy_groups;
pub mod proxy_header;
pub mod random;
pub mod return_to;
pub mod role;
pub mod secret;
pub mod session;
pub mod text;
pub mod texts;
pub mod time;
pub mod token;
pub mod username;
