//! Headwarden: the authenticating reverse proxy for Headscale, and the OpenID issuer it trusts.
//!
//! The rooms, and which way the arrows point:
//!
//! - [`domain`] is the pure core: rules, doors, canonical paths, names. It knows no socket, no clock
//!   and none of the other rooms.
//! - [`config`] turns the operator's YAML into [`config::Settings`], collecting every mistake.
//! - [`ops`] is what an operator looks at: logs, metrics, health; and the process's clock and
//!   randomness.
//! - [`oidc`], [`session`], [`issuer`] and [`headscale`] each speak to one side, and never import
//!   each other.
//! - [`acme`] orders certificates for the listeners.
//! - [`pages`] is what a person sees.
//! - [`proxy`] walks a request through all of them; it is the room that knows pingora.
//! - [`app`] builds the rooms from the settings; [`cli`] is the subcommands.

pub mod acme;
pub mod app;
pub mod cli;
pub mod config;
pub mod domain;
pub mod headscale;
pub mod issuer;
pub mod oidc;
pub mod ops;
pub mod pages;
pub mod proxy;
pub mod session;
