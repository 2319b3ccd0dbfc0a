//! The configuration file. Input: where the secrets are, then the file. With `environment` and `paths`
//! they come from outside; with `file` they stand in front of what the input says, and with `{}`, `[]`,
//! `''`, `|`, `&`, `*`, `!` or `:` they stand there as an operator may miswrite them. Whatever is wrong
//! with the rest, no secret is told.

use std::path::Path;

use headwarden::config::{Environment, FileText, Problems, Refusal, Settings, read_text};
use headwarden::domain::access::check_pattern;
use headwarden::domain::door::{self, Asked, Door};
use headwarden::domain::path::Target;

use super::support::text_lines;

pub const CANARY: &str = "canary-0123456789abcdef";

/// The secrets of a file, before whatever else it says.
fn secrets(written: &str) -> String {
    format!(
        "\
oidc:
  client_secret: {written}
  client_id: headwarden
  issuer: https://id.company/
  allow_everyone: true
headscale:
  api_key: {written}
  url: http://127.0.0.1:8080
"
    )
}

/// How a secret is written, rightly or wrongly.
fn written(place: &str) -> Option<String> {
    Some(match place {
        "file" => CANARY.to_owned(),
        "{}" => format!("{{{CANARY}}}"),
        "[]" => format!("[{CANARY}]"),
        "''" => format!("'{CANARY}"),
        "|" => format!("|\n  {CANARY}"),
        "&" => format!("&{CANARY} x"),
        "*" => format!("*{CANARY}"),
        "!" => format!("!{CANARY} x"),
        ":" => format!("x: {CANARY}: y"),
        _ => return None,
    })
}

pub fn run(data: &[u8]) {
    let Some(([place], rest)) = text_lines::<1>(data) else {
        return;
    };
    // What the input itself has is not a secret that stands where a secret belongs.
    if rest.contains("canary") {
        return;
    }
    let secret = |name: &str| (name.to_owned(), CANARY.to_owned());
    let (text, environment) = match place {
        "environment" => (
            rest.to_owned(),
            Environment::from_pairs([
                secret("HEADWARDEN_OIDC_CLIENT_SECRET"),
                secret("HEADWARDEN_HEADSCALE_API_KEY"),
                secret("HEADWARDEN_HEADSCALE_ISSUER_CLIENT_SECRET"),
            ]),
        ),
        "paths" => (rest.to_owned(), Environment::default()),
        other => match written(other) {
            Some(written) => {
                let text = format!("{}{rest}", secrets(&written));
                (text, Environment::default())
            }
            None => return,
        },
    };
    check(read_text(&text, &environment, &files));
}

/// Every file that is there holds a secret.
pub fn files(path: &Path) -> std::io::Result<FileText> {
    if path.ends_with("missing") {
        return Err(std::io::ErrorKind::NotFound.into());
    }
    Ok(FileText {
        text: format!("{CANARY}\n"),
        mode: 0o600,
    })
}

pub fn check(outcome: Result<Settings, Refusal>) {
    match outcome {
        Ok(settings) => {
            check_told(&format!("{settings:?} {:?}", settings.warnings));
            check_settings(&settings);
        }
        Err(refusal) => {
            assert!(!refusal.problems.is_empty(), "refused without a reason");
            let printed = Problems(&refusal.problems).to_string();
            check_told(&format!("{printed} {refusal:?} {refusal}"));
            let odd = |c: char| c.is_control() && c != '\n';
            let warnings = refusal.warnings.join(" ");
            assert!(!warnings.contains(char::is_control), "{warnings:?}");
            assert!(
                !printed.contains(odd),
                "a report that moves a terminal: {printed:?}"
            );
        }
    }
}

pub fn check_told(told: &str) {
    assert!(!told.contains("canary"), "a secret is told: {told}");
}

/// Settings cannot hold nonsense.
fn check_settings(settings: &Settings) {
    assert!(!settings.listen.is_empty());
    assert!(
        settings
            .trusted_proxies
            .iter()
            .all(|net| net.prefix_len() > 0)
    );
    assert!(settings.oidc.scope.iter().any(|scope| scope == "openid"));
    for protocol in [
        "state",
        "nonce",
        "redirect_uri",
        "client_id",
        "code_challenge",
        "scope",
    ] {
        assert!(
            !settings.oidc.extra_params.contains_key(protocol),
            "{protocol}"
        );
    }
    let origin = url::Url::parse(&settings.server_url.origin).expect("an origin");
    assert_eq!(
        origin.origin().ascii_serialization(),
        settings.server_url.origin
    );
    for access in &settings.access {
        assert_eq!(check_pattern(&access.path), Ok(()), "{}", access.path);
    }
    for open in &settings.open {
        let target = Target::parse(open.path.as_bytes()).expect("an open path");
        let asked = Asked {
            method: &open.method,
            target: &target,
            upgrade: None,
        };
        assert!(
            matches!(door::decide(&asked, &[]), Door::Guarded(_)),
            "{}",
            open.path
        );
    }
}
