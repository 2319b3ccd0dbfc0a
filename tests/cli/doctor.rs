//! `headwarden doctor` against a real house behind TLS, a provider that can misbehave, the certified one,
//! Headscale's stand-in and a real Redis.

use std::fmt::Write as _;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Map, Value, json};

use crate::desk::Ran;
use crate::faulty_provider::{Fault, FaultyProvider};
use crate::redis::Redis;
use crate::stage::Faulty;
use crate::support::certified_provider::CertifiedProvider;
use crate::support::headscale_standin::{HeadscaleStandin, Oidc, Options};
use crate::support::house::{
    CLIENT_ID, CLIENT_SECRET, HEADSCALE_ID, HEADSCALE_SECRET, House, More, free_addresses,
};
use crate::support::tls::Authority;

/// What the doctor looks at, in its order.
const CHECKS: [&str; 26] = [
    "config",
    "config.files",
    "provider.discovery",
    "provider.signing",
    "provider.encryption",
    "provider.keys",
    "provider.clock",
    "provider.redirect_uri",
    "provider.client_secret",
    "provider.scopes",
    "provider.email",
    "provider.groups",
    "provider.logout",
    "headscale.health",
    "headscale.version",
    "headscale.oidc",
    "headscale.api_key",
    "headscale.users",
    "house.certificate",
    "house.control",
    "house.derp",
    "house.sign_in",
    "house.plaintext",
    "house.ready",
    "house.socket",
    "store",
];

/// A house behind TLS in the best of health.
struct Ward {
    house: House,
    headscale: HeadscaleStandin,
    faulty: Faulty,
    config: PathBuf,
    ca: PathBuf,
}

impl Ward {
    fn open() -> Self {
        let faulty = Faulty::start();
        let headscale = HeadscaleStandin::start(Options::default());
        let authority = Authority::new();
        let (url, issuer) = (headscale.url(), faulty.provider.issuer());
        let [plaintext] = free_addresses();
        let mut origin = String::new();
        let mut config = String::new();
        let house = House::start(|plan| {
            let (cert, key) = authority.certificate(&["localhost"]).write(&plan.files);
            std::fs::set_permissions(&key, PermissionsExt::from_mode(0o600)).unwrap();
            std::fs::write(plan.files.join("ca.pem"), authority.pem()).unwrap();
            let more = More {
                issuer: "    node_expiry: 90d\n",
                headscale: "  api_key: hskey-api-standin\n",
                oidc: "  scope: [openid, profile, email, offline_access]\n  timeout: 2s\n",
                ..More::default()
            };
            origin = format!("https://localhost:{}", plan.public.port());
            config = plan
                .config(&url, &issuer, &more)
                .replacen(&plan.origin(), &origin, 1);
            let tls = format!(
                "\"\n    tls: {{ cert_path: {}, key_path: {} }}\n  - address: \"{plaintext}\"\nadmin: {{ socket_path: {}/admin.sock, ",
                cert.display(),
                key.display(),
                plan.files.display()
            );
            config = config.replacen("\"\nadmin: { ", &tls, 1);
            config.clone()
        });
        let trusted = house.plan.issuer_url();
        headscale.configure(|options| {
            options.server_url = origin;
            options.oidc = Some(Oidc::trusting(&trusted, HEADSCALE_ID, HEADSCALE_SECRET));
        });
        let ward = Self {
            config: house.plan.files.join("config.yaml"),
            ca: house.plan.files.join("ca.pem"),
            house,
            headscale,
            faulty,
        };
        std::fs::set_permissions(&ward.config, PermissionsExt::from_mode(0o600)).unwrap();
        ward.well();
        ward
    }

    /// The provider in the best of health.
    fn well(&self) {
        self.provider().mend();
        self.provider().set(|knobs| {
            knobs.redirect_uris.clear();
            knobs.discovery = object(&json!({
                "scopes_supported": ["openid", "profile", "email", "offline_access"],
                "claims_supported": ["sub", "email", "email_verified", "groups"],
                "backchannel_logout_supported": true,
            }));
        });
    }

    fn provider(&self) -> &FaultyProvider {
        &self.faulty.provider
    }

    fn run_with(config: &Path, arguments: &[&str]) -> Ran {
        let doctor = Command::new(env!("CARGO_BIN_EXE_headwarden"))
            .args(["doctor", "--json", "--config"])
            .arg(config)
            .args(arguments)
            .env_clear()
            .stdin(Stdio::null())
            .output();
        doctor.unwrap().into()
    }

    fn run(&self, arguments: &[&str]) -> Ran {
        let ca = self.ca.to_str().unwrap();
        Self::run_with(&self.config, &[&["--ca", ca], arguments].concat())
    }

    /// The same with another configuration than the one that the house runs with.
    fn run_changed(&self, from: &str, to: &str) -> Ran {
        let text = std::fs::read_to_string(&self.config).unwrap();
        assert!(text.contains(from), "{from}");
        let path = self.house.plan.files.join("changed.yaml");
        std::fs::write(&path, text.replace(from, to)).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).unwrap();
        let ca = self.ca.to_str().unwrap();
        Self::run_with(&path, &["--ca", ca])
    }
}

fn object(value: &Value) -> Map<String, Value> {
    value.as_object().unwrap().clone()
}

/// What is not as it should be: check, level, and what to do.
fn wrong(ran: &Ran) -> Vec<(String, String, String)> {
    let told = ran.json();
    let findings = told["findings"].as_array().unwrap().clone();
    let text = |finding: &Value, name: &str| finding[name].as_str().unwrap_or_default().to_owned();
    for finding in &findings {
        let bad = ["warning", "failure"].contains(&finding["level"].as_str().unwrap());
        assert_eq!(bad, finding["fix"].is_string(), "{finding}");
        for secret in [CLIENT_SECRET, HEADSCALE_SECRET, "hskey-api-standin"] {
            assert!(!finding.to_string().contains(secret), "{finding}");
        }
    }
    let bad = findings.iter().filter(|finding| finding["level"] != "ok");
    bad.map(|finding| {
        (
            text(finding, "check"),
            text(finding, "level"),
            text(finding, "fix"),
        )
    })
    .collect()
}

/// Asserts what is wrong, and that everything else was looked at all the same.
#[track_caller]
fn finds(name: &str, ran: &Ran, expected: &[(&str, &str, &str)]) {
    let found = wrong(ran);
    let told = ran.json();
    let mut names: Vec<&str> = told["findings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["check"].as_str().unwrap())
        .collect();
    names.dedup();
    assert_eq!(names, CHECKS, "{name}");
    let short: Vec<(&str, &str)> = found
        .iter()
        .map(|(check, level, _)| (check.as_str(), level.as_str()))
        .collect();
    let wanted: Vec<(&str, &str)> = expected
        .iter()
        .map(|(check, level, _)| (*check, *level))
        .collect();
    assert_eq!(short, wanted, "{name}: {}", ran.out);
    for ((_, _, fix), (check, _, part)) in found.iter().zip(expected) {
        assert!(fix.contains(part), "{name} {check}: {fix}");
    }
    let failure = expected.iter().any(|(_, level, _)| *level == "failure");
    assert_eq!(ran.code, i32::from(failure), "{name}");
}

#[test]
fn a_healthy_house_is_all_well_and_every_illness_has_its_cure() {
    let ward = Ward::open();
    finds("healthy", &ward.run(&[]), &[]);
    let words = Command::new(env!("CARGO_BIN_EXE_headwarden"))
        .args(["doctor", "--ca", ward.ca.to_str().unwrap(), "--config"])
        .arg(&ward.config)
        .output()
        .unwrap();
    let words = String::from_utf8(words.stdout).unwrap();
    assert!(
        words.ends_with("\n26 ok, 0 warnings, 0 failures, 0 not looked at\n"),
        "{words}"
    );

    of_the_provider(&ward);
    of_headscale(&ward);
    of_the_house(&ward);
}

/// What cannot be told either without a document.
const NO_DOCUMENT: &[&str] = &[
    "provider.signing",
    "provider.encryption",
    "provider.clock",
    "provider.scopes",
    "provider.logout",
];

/// The fix of what was not looked at.
const UNKNOWN: &str = "";

fn of_the_provider(ward: &Ward) {
    let unknown =
        |also: &'static [&'static str]| -> Vec<(&'static str, &'static str, &'static str)> {
            let rest = [
                "provider.keys",
                "provider.redirect_uri",
                "provider.client_secret",
            ];
            let mut checks: Vec<&str> = also.iter().copied().chain(rest).collect();
            checks.sort_by_key(|check| CHECKS.iter().position(|known| known == check));
            checks
                .into_iter()
                .map(|check| (check, "skipped", UNKNOWN))
                .collect()
        };
    // No document at all; or one that is not believed.
    for (fault, fix, all) in [
        (
            Fault::IssuerWithoutSlash,
            "with or without the slash",
            false,
        ),
        (Fault::IssuerOfSomebodyElse, "public name", false),
        (
            Fault::PlaintextTokenEndpoint,
            "X-Forwarded-Proto: https",
            false,
        ),
        (Fault::NoTokenEndpoint, "Discovery 1.0", false),
        (
            Fault::DiscoveryRedirects,
            "the address that it redirects to",
            true,
        ),
        (Fault::DiscoveryIsDown, "provider's own log", true),
        (Fault::DiscoveryIsHtml, "must answer JSON", true),
        (Fault::DiscoveryIsHuge, "provider's own log", true),
        (Fault::DiscoveryIsGzip, "provider's own log", true),
        (Fault::DiscoveryHangs, "firewall", true),
    ] {
        ward.well();
        ward.provider().bend(fault);
        let mut expected = vec![("provider.discovery", "failure", fix)];
        // An answer that is no document tells the time all the same.
        let told_the_time = fault == Fault::DiscoveryIsHtml;
        expected.extend(unknown(if all { NO_DOCUMENT } else { &[] }));
        expected.retain(|(check, ..)| !(told_the_time && *check == "provider.clock"));
        let name = format!("{fault:?}");
        finds(&name, &ward.run(&[]), &expected);
    }
    // One thing is wrong, and everything else is looked at.
    for (fault, check, level, fix) in [
        (
            Fault::JwksWithoutKeys,
            "provider.keys",
            "failure",
            "Signing Key",
        ),
        (
            Fault::JwksWithMalformedKey,
            "provider.keys",
            "warning",
            "2048 bits",
        ),
        (
            Fault::JwksIsDown,
            "provider.keys",
            "failure",
            "provider's own log",
        ),
        (
            Fault::JwksIsHtml,
            "provider.keys",
            "failure",
            "must answer JSON",
        ),
        (
            Fault::TokenIsDown,
            "provider.client_secret",
            "failure",
            "provider's own log",
        ),
        (
            Fault::TokenIsHtml,
            "provider.client_secret",
            "failure",
            "must answer JSON",
        ),
        (
            Fault::InvalidClient,
            "provider.client_secret",
            "failure",
            "copy client id and client secret",
        ),
    ] {
        ward.well();
        ward.provider().bend(fault);
        finds(
            &format!("{fault:?}"),
            &ward.run(&[]),
            &[(check, level, fix)],
        );
    }
    documents(ward);
}

/// What the discovery document says, and what it does to the findings.
fn documents(ward: &Ward) {
    for (member, value, check, level, fix) in [
        (
            "id_token_encryption_alg_values_supported",
            json!(["RSA-OAEP-256"]),
            "provider.encryption",
            "failure",
            "Encryption Key",
        ),
        (
            "scopes_supported",
            json!(["openid", "profile", "email"]),
            "provider.scopes",
            "warning",
            "map these scopes",
        ),
        (
            "claims_supported",
            json!(["sub", "email"]),
            "provider.groups",
            "warning",
            "oidc.groups_claim",
        ),
        (
            "end_session_endpoint",
            json!(null),
            "provider.logout",
            "warning",
            "nothing to do",
        ),
        (
            "backchannel_logout_supported",
            json!(null),
            "provider.logout",
            "warning",
            "session.recheck",
        ),
    ] {
        ward.well();
        ward.provider().set(|knobs| {
            knobs.discovery.insert(member.to_owned(), value.clone());
        });
        finds(member, &ward.run(&[]), &[(check, level, fix)]);
    }
    ward.well();
    without_offline_access(ward);
    ward.provider().set(|knobs| {
        let only = json!(["HS256"]);
        knobs
            .discovery
            .insert("id_token_signing_alg_values_supported".to_owned(), only);
    });
    let signing = ("provider.signing", "failure", "in authentik: Signing Key");
    finds("HS256", &ward.run(&[]), &[signing]);
    ward.well();
    ward.provider()
        .set(|knobs| knobs.redirect_uris = vec!["https://other.company/oidc/callback".to_owned()]);
    finds(
        "redirect URI",
        &ward.run(&[]),
        &[(
            "provider.redirect_uri",
            "failure",
            "register exactly https://localhost:",
        )],
    );
    ward.well();
    claims(ward);
}

/// To go without refresh tokens is a choice, unless it was set down how often people are checked again.
fn without_offline_access(ward: &Ward) {
    let asked = ", offline_access]\n  timeout: 2s\n";
    for (session, expected) in [
        ("", None),
        ("session: { recheck: 5m }\n", None),
        ("session: { recheck: 10m }\n", Some("add offline_access")),
        (
            "session: { recheck_grace: 0s }\n",
            Some("add offline_access"),
        ),
    ] {
        let ran = ward.run_changed(asked, &format!("]\n  timeout: 2s\n{session}"));
        let expected: Vec<_> = expected
            .map(|fix| ("provider.scopes", "warning", fix))
            .into_iter()
            .collect();
        finds(session, &ran, &expected);
        let told = ran.json()["findings"].to_string();
        assert!(
            told.contains("checked again while signed in"),
            "{session}: {told}"
        );
    }
}

/// A person's claims beside the configuration.
fn claims(ward: &Ward) {
    let path = ward.house.plan.files.join("claims.json");
    let argument = path.to_str().unwrap().to_owned();
    for (groups, expected) in [
        (json!(["headscale"]), None),
        (json!(["/headscale", "x"]), None),
        (json!(["others"]), None),
        (
            json!(["Headscale"]),
            Some((
                "provider.groups",
                "warning",
                "write \"Headscale\" in oidc.allowed_groups",
            )),
        ),
        (
            json!(["/users/headscale"]),
            Some(("provider.groups", "warning", "/users/headscale")),
        ),
        (
            json!(["headscales"]),
            Some(("provider.groups", "warning", "headscales")),
        ),
        (
            json!([]),
            Some(("provider.groups", "failure", "scope profile")),
        ),
    ] {
        std::fs::write(&path, json!({"sub": "7", "groups": groups}).to_string()).unwrap();
        let expected: Vec<_> = expected.into_iter().collect();
        finds(
            &groups.to_string(),
            &ward.run(&["--claims", &argument]),
            &expected,
        );
    }
    std::fs::write(&path, "{}").unwrap();
    assert_eq!(ward.run(&["--claims", &argument]).code, 2);
    // With a rule about addresses, it matters whether the provider verified them.
    for (claims, expected) in [
        (
            json!({"sub": "7", "groups": ["headscale"], "email": "a@b.example", "email_verified": true}),
            None,
        ),
        (
            json!({"sub": "7", "groups": ["headscale"], "email": "a@b.example"}),
            Some("map email_verified"),
        ),
        (
            json!({"sub": "7", "groups": ["headscale"]}),
            Some("add email to oidc.scope"),
        ),
    ] {
        std::fs::write(&path, claims.to_string()).unwrap();
        let text = std::fs::read_to_string(&ward.config).unwrap();
        let ruled = "oidc:\n  email_verified_required: true\n  allowed_domains: [b.example]\n";
        let changed = ward.house.plan.files.join("changed.yaml");
        std::fs::write(&changed, text.replace("oidc:\n", ruled)).unwrap();
        std::fs::set_permissions(&changed, PermissionsExt::from_mode(0o600)).unwrap();
        let ran = Ward::run_with(
            &changed,
            &["--ca", ward.ca.to_str().unwrap(), "--claims", &argument],
        );
        let expected: Vec<_> = expected
            .map(|fix| ("provider.email", "failure", fix))
            .into_iter()
            .collect();
        finds(&claims.to_string(), &ran, &expected);
    }
}

fn of_headscale(ward: &Ward) {
    let headscale = &ward.headscale;
    let trusted = ward.house.plan.issuer_url();
    headscale.configure(|options| options.oidc = None);
    let found = ward.run(&[]);
    let not_ready = ("house.ready", "failure", "mend what fails there");
    finds(
        "fell back",
        &found,
        &[("headscale.oidc", "failure", "headscale-config"), not_ready],
    );
    headscale.configure(|options| {
        options.oidc = Some(Oidc::trusting(&trusted, HEADSCALE_ID, HEADSCALE_SECRET));
        options.api_key = "hskey-api-another".to_owned();
    });
    let users = ("headscale.users", "skipped", "");
    finds(
        "key",
        &ward.run(&[]),
        &[
            ("headscale.api_key", "failure", "headscale apikeys create"),
            users,
        ],
    );
    headscale.configure(|options| {
        options.api_key = "hskey-api-standin".to_owned();
        options.version = "v0.25.1".to_owned();
    });
    let old = ward.run(&[]);
    let version = wrong(&old)
        .into_iter()
        .find(|(check, ..)| check == "headscale.version")
        .unwrap();
    assert!(
        ["warning", "failure"].contains(&version.1.as_str()) && version.2.contains("0.2"),
        "{version:?}"
    );
    headscale.configure(|options| options.version = "v0.29.2".to_owned());
    renewals(ward);
    // Nobody where headscale should be.
    let [nobody] = free_addresses();
    let away = ward.run_changed(
        &format!("url: {}\n", headscale.url()),
        &format!("url: http://{nobody}\n"),
    );
    let skipped = |check| (check, "skipped", "");
    let rest = [
        "headscale.version",
        "headscale.oidc",
        "headscale.api_key",
        "headscale.users",
    ]
    .map(skipped);
    let fix = nobody.to_string();
    finds(
        "away",
        &away,
        &[&[("headscale.health", "failure", fix.as_str())], &rest[..]].concat(),
    );
    // Its own file, set against ours.
    let path = ward.house.plan.files.join("headscale.yaml");
    let mut text = format!(
        "server_url: https://localhost:{}\nlisten_addr: {}\ntrusted_proxies: [127.0.0.1/32]\n",
        ward.house.plan.public.port(),
        headscale.address()
    );
    let _ = writeln!(
        text,
        "oidc: {{ issuer: '{trusted}', client_id: {HEADSCALE_ID}, client_secret: {HEADSCALE_SECRET}, use_expiry_from_token: true }}"
    );
    for (text, expected) in [
        (text.clone(), vec![]),
        (
            text.replace(HEADSCALE_SECRET, "another"),
            vec!["headscale.config.client_secret"],
        ),
    ] {
        std::fs::write(&path, text).unwrap();
        let ran = ward.run(&["--headscale-config", path.to_str().unwrap()]);
        let found: Vec<String> = wrong(&ran).into_iter().map(|(check, ..)| check).collect();
        assert_eq!(found, expected, "{}", ran.out);
    }
}

/// A key whose file nobody can replace, root included: the kernel's own files stand in a directory that takes
/// no other.
fn renewals(ward: &Ward) {
    let place = "/proc/sys/kernel/random/boot_id";
    let key = std::fs::read_to_string(place).unwrap().trim().to_owned();
    ward.headscale
        .configure(|options| options.api_key.clone_from(&key));
    let from = "api_key: hskey-api-standin\n";
    let rotated = format!("api_key_path: {place}\n  api_key_rotate: {{ enabled: true }}\n");
    let ran = ward.run_changed(from, &rotated);
    let fix = "write to that directory, or switch headscale.api_key_rotate off";
    let found = wrong(&ran);
    let of_the_key = found
        .iter()
        .find(|(check, ..)| check == "headscale.api_key");
    let (_, level, told) = of_the_key.unwrap_or_else(|| panic!("{found:?}"));
    assert_eq!(level, "failure", "{found:?}");
    assert!(told.contains(fix), "{told}");
    assert!(!ran.out.contains(&key), "{}", ran.out);
    // One that stays as it is need not be written.
    let ran = ward.run_changed(from, &format!("api_key_path: {place}\n"));
    let found = wrong(&ran);
    assert!(
        found.iter().all(|(check, ..)| check != "headscale.api_key"),
        "{found:?}"
    );
    ward.headscale
        .configure(|options| options.api_key = "hskey-api-standin".to_owned());
}

fn of_the_house(ward: &Ward) {
    let skipped = |check| (check, "skipped", "");
    // An authority that nobody knows, a name that the certificate is not for.
    let untrusted = Ward::run_with(&ward.config, &[]);
    let others = [skipped("house.derp"), skipped("house.sign_in")];
    let control = ("house.control", "failure", "is headwarden running");
    let certificate = |fix| ("house.certificate", "failure", fix);
    finds(
        "no authority",
        &untrusted,
        &[&[certificate("the whole chain"), control], &others[..]].concat(),
    );
    ward.provider().set(|knobs| knobs.redirect_uris.clear());
    let named = ward.run_changed(
        "server_url: https://localhost",
        "server_url: https://127.0.0.1",
    );
    let plaintext = ("house.plaintext", "failure", "another program");
    let found = [
        &[certificate("get one for that name"), control],
        &others[..],
        &[plaintext],
    ]
    .concat();
    finds("name", &named, &found);
    ward.provider().set(|knobs| knobs.redirect_uris.clear());
    // A proxy in front that takes the upgrade away.
    ward.headscale.configure(|options| {
        options.upgrade_answer =
            Some(b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n".to_vec());
    });
    let lost = ward.run(&[]);
    let derp = ("house.derp", "warning", "derp.server");
    finds(
        "no upgrade",
        &lost,
        &[("house.control", "failure", "past no proxy"), derp],
    );
    ward.headscale
        .configure(|options| options.upgrade_answer = None);
    // The listener is reached past its name, too.
    let public = ward.house.plan.public.to_string();
    finds("connect", &ward.run(&["--connect", &public]), &[]);
    let [nobody] = free_addresses();
    let away = ward.run(&["--connect", &nobody.to_string()]);
    finds(
        "nobody there",
        &away,
        &[&[certificate("--connect"), control], &others[..]].concat(),
    );
    // Keys that others may read.
    let keys = ward.house.plan.files.join("keys.json");
    std::fs::set_permissions(&keys, PermissionsExt::from_mode(0o644)).unwrap();
    finds(
        "open keys",
        &ward.run(&[]),
        &[("config.files", "failure", "chmod 600")],
    );
    std::fs::set_permissions(&keys, PermissionsExt::from_mode(0o600)).unwrap();
    // That of a certificate may be a group's, as Debian's ssl-cert and Kubernetes have it.
    let key = ward.house.plan.files.join("tls.key");
    let open: &[(&str, &str, &str)] = &[("config.files", "failure", "chmod 600")];
    for (mode, expected) in [(0o640, &[][..]), (0o644, open), (0o600, &[])] {
        std::fs::set_permissions(&key, PermissionsExt::from_mode(mode)).unwrap();
        finds(&format!("tls.key, {mode:o}"), &ward.run(&[]), expected);
    }
    stores(ward);
    ward.house.signal("KILL");
    let dead = ward.run(&[]);
    let checks: Vec<String> = wrong(&dead).into_iter().map(|(check, ..)| check).collect();
    assert_eq!(checks, &CHECKS[18..25], "{}", dead.out);
}

/// A real Redis, and none.
fn stores(ward: &Ward) {
    let redis = Redis::start();
    let store = |url: &str| {
        let session =
            format!("session: {{ store: redis, redis: {{ url: '{url}' }} }}\nadmin: {{ socket");
        ward.run_changed("admin: { socket", &session)
    };
    let ran = store(&format!("redis://{}", redis.address));
    let told = ran.json();
    let findings = told["findings"].as_array().unwrap();
    let found = findings.last().unwrap();
    assert_eq!(found["level"], "ok", "{found}");
    assert!(
        found["told"].as_str().unwrap().contains("edis 7"),
        "{found}"
    );
    let [nobody] = free_addresses();
    let away = wrong(&store(&format!("redis://{nobody}"))).pop().unwrap();
    assert_eq!((away.0.as_str(), away.1.as_str()), ("store", "failure"));
}

#[test]
fn the_certified_provider_is_asked_nothing_that_it_does_not_understand() {
    let mut provider = CertifiedProvider::start();
    let issuer = provider.issuer().to_owned();
    let mut house = House::launch(
        |plan| plan.config("http://127.0.0.1:9", &issuer, &More::default()),
        &["check"],
    );
    house.wait();
    let callback = house.url("/oidc/callback");
    let look = |house: &House| {
        let ran = Ran::from(crate::support::house::headwarden(
            &house.plan,
            &["doctor", "--json"],
        ));
        let wrong = wrong(&ran).into_iter();
        let wrong = wrong.filter(|(check, ..)| check.starts_with("provider"));
        wrong
            .map(|(check, level, _)| (check, level))
            .collect::<Vec<_>>()
    };
    let own = |check: &str, level: &str| (format!("provider.{check}"), level.to_owned());
    provider.register(CLIENT_ID, CLIENT_SECRET, &callback, "RS256");
    assert_eq!(look(&house), vec![]);
    provider.register(
        CLIENT_ID,
        "another-secret-0123456789abcdef",
        &callback,
        "RS256",
    );
    assert_eq!(look(&house), vec![own("client_secret", "failure")]);
    provider.register(
        CLIENT_ID,
        CLIENT_SECRET,
        "https://other.company/oidc/callback",
        "RS256",
    );
    let found = look(&house);
    assert!(found.contains(&own("redirect_uri", "failure")), "{found:?}");
    assert!(!found.contains(&own("discovery", "failure")), "{found:?}");
}

#[test]
fn a_bad_configuration_is_the_only_finding_and_has_its_hints() {
    let desk = crate::desk::Desk::new("server_url: https://hs.company\noidc: { clientid: x }\n");
    let ran = desk.run(&["doctor", "--json"]);
    assert_eq!(ran.code, 2);
    let told = ran.json();
    assert_eq!(told["worst"], "failure");
    let fix = |part: &str| {
        told["findings"]
            .as_array()
            .unwrap()
            .iter()
            .any(|it| it["fix"].as_str().unwrap().contains(part))
    };
    assert!(fix("did you mean oidc.client_id?"), "{told}");
}
