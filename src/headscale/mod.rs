//! What Headwarden knows about Headscale: which version it is, whether it is well and trusts us, how
//! its redirects read, whose a device is ([`is_theirs`]), what we ask of its API ourselves, how its users move to another
//! issuer, and what its configuration becomes here. Not here: forwarding requests to it
//! (`proxy`) and what it trusts (`issuer`).

mod api;
mod checkup;
mod http;
mod identifier;
mod import;
mod key;
mod keyfile;
mod migrate;
mod probe;
mod renewal;
mod roster;
mod versions;
mod wire;

pub use api::{Api, ApiError, KeyEntry, Node, System, User};
pub use checkup::{check_config, check_up};
pub use http::FetchError;
pub use identifier::{is_theirs, provider_id, subject_of};
pub use import::{Import, ImportError, Note, What, import};
pub use key::ApiKey;
pub use keyfile::KeyFile;
pub use migrate::{Database, MigrateError, migration};
pub use probe::{Health, Probe, ProbeError, Trust};
pub use renewal::Renewal;
pub use roster::Roster;
pub use versions::{Support, Version, VersionWatch};
pub use wire::{RedirectError, parse_authorize_redirect};
