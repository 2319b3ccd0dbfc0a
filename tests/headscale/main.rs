//! What Headwarden asks of Headscale's API itself: by the shapes of each version, against the stand-in.

#![cfg(test)]

mod calls;
mod renewal;
#[path = "../support/mod.rs"]
mod support;

use headwarden::config::{Environment, Settings, read_file, read_text};
use headwarden::domain::secret::Secret;
use headwarden::headscale::{Api, ApiKey, Probe};
use support::headscale_standin::{HeadscaleStandin, Options};

/// A version of each shape.
const VERSIONS: [&str; 5] = ["v0.26.1", "v0.27.1", "v0.28.0", "v0.29.2", "v0.30.0"];
/// The key of the stand-in's options.
const KEY: &str =
    "hskey-api-AbCdEfGhIjKl-0123456789012345678901234567890123456789012345678901234567890123";

fn of_version(version: &str) -> HeadscaleStandin {
    HeadscaleStandin::start(Options {
        version: version.to_owned(),
        api_key: KEY.to_owned(),
        ..Options::default()
    })
}

/// The settings of a house whose Headscale this is.
fn settings(url: &str, more: &str) -> Settings {
    let text = format!(
        "server_url: http://127.0.0.1:9999\nkeys_path: /nowhere\nheadscale:\n  url: {url}\n  \
         sign_in: none\n{more}oidc: {{ issuer: \"https://id.example\", client_id: headwarden-test, \
         client_secret: 0123456789abcdef, allow_everyone: true }}\n"
    );
    let environment = Environment::default();
    let read = read_text(&text, &environment, &read_file);
    read.unwrap_or_else(|why| panic!("{why:?}\n{text}"))
}

/// Asks this Headscale with this key.
fn api(headscale: &HeadscaleStandin, key: &str) -> Api {
    let settings = settings(&headscale.url(), "");
    let probe = Probe::new(&settings.headscale).expect("a probe");
    Api::new(probe, ApiKey::new(Some(Secret::new(key.to_owned()))))
}
