//! A whole tailnet to click through, on this machine alone: Headwarden between an identity provider
//! and a Headscale that are both made up. `cargo run --release --example demo`, then open the URL
//! that it prints; Ctrl-C ends it. Nothing is written outside a temporary directory, nothing is
//! asked of any network.

use std::error::Error;
use std::io::Write as _;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::Arc;

use headwarden::app::App;
use headwarden::config::{self, Environment, Settings};
use headwarden::ops::log::{self, Format};

#[expect(
    dead_code,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "written for tests, and a demo has no use for a provider that misbehaves"
)]
#[path = "../../tests/support/faulty_provider/mod.rs"]
mod faulty_provider;
#[expect(clippy::indexing_slicing, reason = "written for tests")]
#[path = "../../tests/support/framing.rs"]
mod framing;
#[expect(
    dead_code,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "written for tests"
)]
#[path = "../../tests/support/headscale_standin/mod.rs"]
mod headscale_standin;
#[expect(dead_code, clippy::panic, reason = "written for tests")]
#[path = "../../tests/support/raw.rs"]
mod raw;
mod web_ui;

use faulty_provider::{CLIENT_ID, CLIENT_SECRET, FaultyProvider};
use headscale_standin::{HeadscaleStandin, Oidc, Options};

/// Headscale's client at our issuer.
const HEADSCALE_ID: &str = "headscale";
/// Its secret: everything here is on loopback, and ends with the process.
const HEADSCALE_SECRET: &str = "only-for-this-demo-0000";

fn main() -> Result<(), Box<dyn Error>> {
    log::init(Format::Human, "warn")?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(demo())
}

async fn demo() -> Result<(), Box<dyn Error>> {
    let files = tempfile::tempdir()?;
    let [public, issuer] = free_addresses()?;
    // Another host name than the provider's 127.0.0.1, so that a browser tells the two apart.
    let origin = format!("http://localhost:{}", public.port());
    let provider = FaultyProvider::start().await;
    provider.set(|knobs| {
        knobs.asks = true;
        knobs.redirect_uris = vec![format!("{origin}/oidc/callback")];
        knobs.post_logout_redirect_uris = vec![format!("{origin}/.headwarden/signed-out")];
    });
    let headscale = Arc::new(HeadscaleStandin::start(Options {
        server_url: origin.clone(),
        oidc: Some(Oidc::trusting(
            &format!("http://{issuer}"),
            HEADSCALE_ID,
            HEADSCALE_SECRET,
        )),
        ..Options::default()
    }));
    let web_ui = web_ui::start(Arc::clone(&headscale)).await?;
    let config = config(&Places {
        files: files.path(),
        origin: &origin,
        public,
        issuer,
        headscale: &headscale.url(),
        provider: &provider.issuer(),
        web_ui,
    });
    let app = App::build(settings(&config)?, false)?;
    let stop = || async {
        // Without a way to hear of Ctrl-C, it ends at once.
        drop(tokio::signal::ctrl_c().await);
    };
    app.serve(stop, || introduce(&origin)).await?;
    Ok(())
}

/// Addresses that are free now, all different.
fn free_addresses<const N: usize>() -> std::io::Result<[SocketAddr; N]> {
    let mut held = Vec::new();
    let mut addresses = [SocketAddr::from(([127, 0, 0, 1], 0)); N];
    for address in &mut addresses {
        let listener = TcpListener::bind(*address)?;
        *address = listener.local_addr()?;
        held.push(listener);
    }
    Ok(addresses)
}

struct Places<'a> {
    files: &'a Path,
    origin: &'a str,
    public: SocketAddr,
    issuer: SocketAddr,
    headscale: &'a str,
    provider: &'a str,
    web_ui: SocketAddr,
}

/// What an operator would write.
fn config(places: &Places<'_>) -> String {
    let Places {
        files,
        origin,
        public,
        issuer,
        headscale,
        provider,
        web_ui,
    } = places;
    let files = files.display();
    let api_key = Options::default().api_key;
    format!(
        r#"server_url: {origin}
listen:
  - address: "{public}"
admin: {{ enabled: false }}
keys_path: {files}/keys.json
shutdown: {{ grace: 1s }}
headscale:
  url: {headscale}
  sign_in: issuer
  issuer:
    url: http://{issuer}
    address: "{issuer}"
    client_id: {HEADSCALE_ID}
    client_secret: {HEADSCALE_SECRET}
    key_path: {files}/issuer_key.json
    ssh_max_age: 30s
  api_key: {api_key}
oidc:
  issuer: "{provider}"
  client_id: {CLIENT_ID}
  client_secret: {CLIENT_SECRET}
  allowed_groups: [headscale]
access:
  - {{ path: "/", upstream: "http://{web_ui}", identity_headers: remote }}
  - {{ path: "/admin/**", upstream: "http://{web_ui}", groups: [headscale-admins], identity_headers: remote }}
api: {{ admins: [headscale-admins] }}
"#
    )
}

fn settings(config: &str) -> Result<Settings, String> {
    let nothing = Environment::default();
    config::read_text(config, &nothing, &config::read_file).map_err(|why| why.to_string())
}

fn introduce(origin: &str) {
    let text = format!(
        "
  Headwarden is at   {origin}

  Its identity provider knows three people, and asks for no password:

    ada   admin      sees everything
    ben   member     may use the tailnet, not the page for admins
    eve   outsider   has an account, and is turned away

  Try, as each of them:

    {origin}/                        the front page, with links to the rest
    {origin}/admin                   a web UI behind a rule: only for admins
    {origin}/register/{id}
                                                  the link that a new device shows
    {origin}/auth/{id}
                                                  the link that an SSH check shows: later than half
                                                  a minute after the sign-in it asks for another
    {origin}/.headwarden/logout      signing out, here and at the provider

  Ctrl-C ends it.
",
        id = web_ui::device_id(),
    );
    // A closed stdout is no reason to stop.
    drop(std::io::stdout().write_all(text.as_bytes()));
}
