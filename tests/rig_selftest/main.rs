//! The rig tests itself: a peer that is wrong would prove nothing about Headwarden.

#![cfg(test)]

mod api;
mod benchmarks;
mod browser;
mod people;
mod provider;
mod registration;
mod signatures;
mod standin;
#[path = "../support/mod.rs"]
mod support;

use support::certified_provider::CertifiedProvider;
use support::headscale_standin::{HeadscaleStandin, Oidc, Options};
use support::person::{Page, Person};
use support::raw::{Raw, Response};

const AUTH_ID: &str = "hskey-authreq-0123456789abcdef01234567";
const SHORT_AUTH_ID: &str = "0123456789abcdefABCDEF-_";

fn standin() -> HeadscaleStandin {
    HeadscaleStandin::start(Options::default())
}

fn raw(standin: &HeadscaleStandin) -> Raw {
    Raw::connect(standin.address()).expect("the stand-in listens")
}

fn exchange(standin: &HeadscaleStandin, request: &str) -> Response {
    raw(standin)
        .exchange(request.as_bytes())
        .expect("an answer")
}

fn upgrade(path: &str, method: &str, token: &str, more: &str) -> String {
    format!(
        "{method} {path} HTTP/1.1\r\nHost: h\r\nUpgrade: {token}\r\nConnection: upgrade\r\n\
         {more}\r\n"
    )
}

fn control() -> String {
    upgrade(
        "/ts2021",
        "POST",
        "tailscale-control-protocol",
        "X-Tailscale-Handshake: AAAA\r\nContent-Length: 0\r\n",
    )
}

/// A provider and a Headscale that trusts it directly, as in authentik's guide.
fn trusting(
    options: Options,
    pkce: bool,
    algorithm: &str,
) -> (CertifiedProvider, HeadscaleStandin) {
    let mut provider = CertifiedProvider::start();
    let standin = HeadscaleStandin::start(options);
    let callback = format!("{}/oidc/callback", standin.url());
    provider.register("headscale", "s3cret/+ %", &callback, algorithm);
    let oidc = Oidc {
        pkce,
        ..Oidc::trusting(provider.issuer(), "headscale", "s3cret/+ %")
    };
    standin.configure(|options| options.oidc = Some(oidc));
    (provider, standin)
}

fn sign_in(person: &mut Person, standin: &HeadscaleStandin, path: &str, who: &str) -> Page {
    let form = person.open(&format!("{}{path}", standin.url()));
    assert_eq!(form.status(), 200, "{}", form.text());
    person.fill_in(&form, "login", &[("username", who)])
}
