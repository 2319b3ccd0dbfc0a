//! The API key of a real Headscale is renewed: what the stand-in answers is what Headscale answers.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use headwarden::config::{Current, Environment, KeyRenewal, Settings, read_file, read_text};
use headwarden::domain::calendar::parse_rfc3339;
use headwarden::domain::secret::Secret;
use headwarden::domain::time::{Clock, Timestamp};
use headwarden::headscale::{Api, ApiKey, Probe, Renewal};
use headwarden::ops::audit::Audit;
use headwarden::ops::entropy::SystemRandom;
use headwarden::ops::metrics::Metrics;
use serde_json::Value;

use crate::support::raw::Raw;
use crate::support::real_tailnet::{Binaries, RealTailnet};

const DAY: Duration = Duration::from_hours(24);

/// The present, until it is told to go on.
#[derive(Debug)]
struct Hands(AtomicU64);

impl Clock for Hands {
    fn now(&self) -> Timestamp {
        Timestamp::from_unix(self.0.load(Ordering::SeqCst))
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "a real Headscale's keys end by the real clock"
)]
fn now() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.expect("it is later than 1970").as_secs()
}

/// What Headscale answers to whoever has this key.
fn status(tailnet: &RealTailnet, key: &str) -> u16 {
    let address = tailnet.headscale_url().replace("http://", "");
    let request = format!(
        "GET /api/v1/user HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {key}\r\n\
         Connection: close\r\n\r\n"
    );
    let mut raw = Raw::connect(address.parse().expect("an address")).expect("it listens");
    let answer = raw.exchange(request.as_bytes()).expect("an answer");
    answer.status()
}

/// When each key ends, by its public part.
fn keys(tailnet: &RealTailnet) -> BTreeMap<String, u64> {
    let keys = tailnet.headscale(&["apikeys", "list"]);
    let keys = keys.as_array().cloned().unwrap_or_default();
    let row = |key: &Value| {
        let seconds = key["expiration"]["seconds"].as_u64();
        let text = key["expiration"].as_str().and_then(parse_rfc3339);
        let end = seconds.or_else(|| text.map(Timestamp::unix));
        let prefix = key["prefix"].as_str().expect("a prefix").to_owned();
        (prefix, end.unwrap_or_else(|| panic!("no end in {key}")))
    };
    keys.iter().map(row).collect()
}

fn in_file(path: &Path) -> String {
    let text = std::fs::read_to_string(path).expect("a key");
    text.trim().to_owned()
}

/// A process with a clock of its own, which renews the key of this file.
fn renewal(tailnet: &RealTailnet, path: PathBuf, clock: Arc<dyn Clock>) -> Renewal {
    let text = format!(
        "server_url: http://127.0.0.1:9999\nkeys_path: /nowhere\nheadscale: {{ url: \"{}\", sign_in: none }}\n\
         oidc: {{ issuer: \"https://id.example\", client_id: headwarden-test, \
         client_secret: 0123456789abcdef, allow_everyone: true }}\n",
        tailnet.headscale_url()
    );
    let read = read_text(&text, &Environment::default(), &read_file);
    let mut settings: Settings = read.unwrap_or_else(|why| panic!("{why:?}"));
    let key = ApiKey::new(Some(Secret::new(in_file(&path))));
    let probe = Probe::new(&settings.headscale).expect("a probe");
    settings.headscale.renewal = Some(KeyRenewal {
        path,
        before: DAY * 30,
        lifetime: DAY * 90,
    });
    Renewal::new(
        Current::new(Arc::new(settings)),
        Api::new(probe, key),
        Arc::new(Metrics::new().expect("a registry")),
        Audit::in_log(Arc::clone(&clock)),
        clock,
        Arc::new(SystemRandom::new()),
    )
}

#[test]
fn a_renewed_key_works_at_a_real_headscale_and_the_one_before_is_refused_ten_minutes_later() {
    let Some(binaries) = Binaries::named() else {
        return;
    };
    let mut tailnet = RealTailnet::start(&binaries);
    let first = tailnet.api_key("24h");
    let path = tailnet.house.plan.files.join("api_key");
    std::fs::write(&path, format!("{first}\n")).expect("a file");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).expect("our file");

    // The process renews what ends tomorrow, and uses the new one.
    let lines = format!(
        "headscale:\n  api_key_path: {}\n  api_key_rotate: {{ enabled: true }}\n",
        path.display()
    );
    let before = now();
    tailnet.reconfigure(|_, config| config.replace("headscale:\n", &lines));
    tailnet.house.wait_for_log("the API key is renewed");
    let second = in_file(&path);
    assert_ne!(second, first);
    assert!(second.starts_with("hskey-api-") && !tailnet.house.log().contains(&second));
    let mode = std::fs::metadata(&path).expect("it is there").permissions();
    assert_eq!(mode.mode() & 0o777, 0o640);
    let both = [&first, &second].map(|key| status(&tailnet, key));
    assert_eq!(both, [200, 200], "both, for a while");
    let ends = keys(&tailnet);
    assert_eq!(ends.len(), 2, "{ends:?}");
    let end = ends.values().max().copied().unwrap_or_default();
    let meant = before + 90 * 86_400..=now() + 90 * 86_400;
    assert!(meant.contains(&end), "{end} is not in {meant:?}");

    // Sixty-one days later, another process, and eleven minutes after that.
    let hands = Arc::new(Hands(AtomicU64::new(now() + 61 * 86_400)));
    let clock: Arc<dyn Clock> = Arc::<Hands>::clone(&hands);
    let mut renewal = renewal(&tailnet, path.clone(), clock);
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(renewal.look());
    let third = in_file(&path);
    assert_ne!(third, second);
    let both = [&second, &third].map(|key| status(&tailnet, key));
    assert_eq!(both, [200, 200]);
    hands.0.fetch_add(660, Ordering::SeqCst);
    runtime.block_on(renewal.look());
    let both = [&second, &third].map(|key| status(&tailnet, key));
    assert_eq!(both, [401, 200], "the one before has ended");
    assert_eq!(keys(&tailnet).len(), 3, "nothing else was made");
}
