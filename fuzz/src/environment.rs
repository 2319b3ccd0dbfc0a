//! Overrides by the environment. Input: lines `NAME=value`; a name without `HEADWARDEN_` in front
//! gets it.

use headwarden::config::{Environment, read_text};

use super::config_file::{CANARY, check, files};

/// A good file, whose secrets are the canary.
const FILE: &str = "\
server_url: https://headscale.company
headscale:
  sign_in: none
  api_key: canary-0123456789abcdef
oidc:
  issuer: https://id.company/
  client_id: headwarden
  client_secret: canary-0123456789abcdef
  allowed_groups: [headscale]
";

pub fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    if text.contains("canary") {
        return;
    }
    let mut pairs: Vec<(String, String)> = text
        .lines()
        .filter_map(|line| line.split_once('='))
        .map(|(name, value)| {
            let known = name.starts_with("HEADWARDEN_") || name.starts_with("HEADSCALE_");
            let name = if known {
                name.to_owned()
            } else {
                format!("HEADWARDEN_{name}")
            };
            (name, value.to_owned())
        })
        .collect();
    check(read_text(
        FILE,
        &Environment::from_pairs(pairs.clone()),
        &files,
    ));
    // A secret in a variable is no more told than one in the file.
    for name in [
        "HEADWARDEN_OIDC_CLIENT_SECRET",
        "HEADWARDEN_HEADSCALE_API_KEY",
    ] {
        pairs.push((name.to_owned(), CANARY.to_owned()));
    }
    check(read_text(FILE, &Environment::from_pairs(pairs), &files));
}
