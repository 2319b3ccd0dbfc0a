//! The checks as tables: what is written, which key is blamed, and with what words. Every secret
//! in here holds the word `canary`, and no problem and no warning may.

use std::collections::BTreeMap;
use std::io::{Error, ErrorKind};
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use super::*;
use crate::domain::username::StripDomain;

const CANARY: &str = "canary-0123456789abcdef";

/// A good configuration, as small as the tests allow.
fn base() -> Value {
    json!({
        "server_url": "https://headscale.company",
        "trusted_proxies": ["10.0.0.0/8"],
        "headscale": {
            "sign_in": "issuer",
            "api_key": CANARY,
            "issuer": {"url": "http://127.0.0.1:8181", "client_secret": CANARY},
        },
        "oidc": {
            "issuer": "https://id.company/realms/staff",
            "client_id": "headwarden",
            "client_secret": CANARY,
            "allowed_groups": ["headscale"],
        },
    })
}

/// Sets (or, with null, removes) `path` in `tree`.
fn set(tree: &mut Value, path: &str, value: Value) {
    let (parent, name) = path.rsplit_once('.').unwrap_or(("", path));
    let parent = parent
        .split('.')
        .filter(|name| !name.is_empty())
        .fold(tree, |tree, name| &mut tree[name]);
    parent[name] = value;
}

fn changed(changes: &[(&str, Value)]) -> Value {
    let mut tree = base();
    for (path, value) in changes {
        set(&mut tree, path, value.clone());
    }
    tree
}

fn files(path: &Path) -> std::io::Result<FileText> {
    let text = match path.to_str() {
        Some("/run/good" | "/run/open") => format!("  {CANARY}\n"),
        Some("/run/short") => "canary".into(),
        Some("/run/empty") => " \n".into(),
        Some("/run/lines") => format!("{CANARY}\n{CANARY}\n"),
        Some("/run/placeholder") => "changeme\n".into(),
        Some("/run/binary") => return Err(Error::new(ErrorKind::InvalidData, "not UTF-8")),
        _ => return Err(ErrorKind::NotFound.into()),
    };
    let mode = if path.ends_with("open") { 0o644 } else { 0o600 };
    Ok(FileText { text, mode })
}

fn read_with(text: &str, pairs: &[(&str, &str)]) -> Result<Settings, Vec<Problem>> {
    let result = read_text(
        text,
        &Environment::from_pairs(pairs.iter().copied()),
        &files,
    );
    let told = match &result {
        Ok(settings) => format!("{settings:?}"),
        Err(problems) => format!("{} {problems:?}", Problems(problems)),
    };
    assert!(!told.contains("canary"), "a secret is told: {told}");
    result
}

/// The settings of a configuration that must be good.
#[track_caller]
fn good(changes: &[(&str, Value)]) -> Settings {
    match read_with(&changed(changes).to_string(), &[]) {
        Ok(settings) => settings,
        Err(problems) => panic!("{changes:?}:\n{}", Problems(&problems)),
    }
}

/// The problems of a configuration that must be bad.
#[track_caller]
fn bad(changes: &[(&str, Value)]) -> Vec<Problem> {
    match read_with(&changed(changes).to_string(), &[]) {
        Ok(settings) => panic!("{changes:?} passes: {:?}", settings.warnings),
        Err(problems) => problems,
    }
}

/// Each change alone is refused with exactly one problem, at this key, with these words.
#[track_caller]
fn refused(rows: &[(&str, Value, &str, &str)]) {
    for (path, value, key, words) in rows {
        let problems = bad(&[(path, value.clone())]);
        let text = Problems(&problems).to_string();
        assert_eq!(problems.len(), 1, "{path} = {value}:\n{text}");
        assert_eq!(problems[0].key, *key, "{path} = {value}:\n{text}");
        assert!(
            text.contains(words),
            "{path} = {value}: {words:?} is not in\n{text}"
        );
    }
}

/// The warnings of a good configuration.
#[track_caller]
fn warned(changes: &[(&str, Value)], words: &str) {
    let warnings = good(changes).warnings;
    assert!(
        warnings.iter().any(|text| text.contains(words)),
        "{changes:?}: {warnings:?}"
    );
}

#[test]
fn the_base_is_good_and_warns_of_nothing_but_lasting_devices() {
    let settings = good(&[]);
    assert_eq!(settings.warnings, Vec::<String>::new());
}

#[test]
fn defaults_are_what_the_documentation_says() {
    let settings = good(&[]);
    assert_eq!(settings.listen.len(), 1);
    assert_eq!(settings.listen[0].address.to_string(), "127.0.0.1:8000");
    assert_eq!(settings.admin.unwrap().to_string(), "127.0.0.1:9181");
    assert_eq!(
        settings.keys_path,
        Path::new("/var/lib/headwarden/keys.json")
    );
    assert_eq!(settings.headscale.upstream.authority(), "127.0.0.1:8080");
    assert_eq!(settings.headscale.response_timeout, Duration::from_secs(60));
    assert_eq!(settings.headscale.connect_timeout, Duration::from_secs(5));
    let SignIn::Issuer(issuer) = &settings.headscale.sign_in else {
        panic!("not issuer")
    };
    assert_eq!(issuer.address.to_string(), "127.0.0.1:8181");
    assert_eq!(issuer.client_id, "headscale");
    assert_eq!(
        issuer.key_path,
        Path::new("/var/lib/headwarden/issuer_key.json")
    );
    assert_eq!(issuer.node_expiry, None);
    assert_eq!(issuer.ssh_max_age, Duration::from_mins(5));
    let oidc = &settings.oidc;
    assert!(oidc.only_start_if_available && !oidc.allow_hs256 && !oidc.use_expiry_from_token);
    assert_eq!(oidc.scope, ["openid", "profile", "email"]);
    assert_eq!(
        (oidc.pkce, oidc.strip_email_domain),
        (Pkce::S256, StripDomain::Keep)
    );
    assert_eq!(
        (oidc.username_claim.as_str(), oidc.groups_claim.as_str()),
        ("preferred_username", "groups")
    );
    assert_eq!(
        (oidc.timeout, oidc.start_timeout),
        (Duration::from_secs(10), Duration::from_mins(1))
    );
    assert!(settings.rules.email_verified_required && !settings.rules.exact_groups);
    assert_eq!(settings.session.limits.idle, Duration::from_hours(8));
    assert_eq!(
        settings.session.limits.lifetime,
        Duration::from_hours(7 * 24)
    );
    assert_eq!(settings.session.capacity, 100_000);
    assert_eq!(settings.shutdown_grace, Duration::from_secs(10));
    assert_eq!(settings.workers, None);
    assert_eq!(settings.limits.connections_per_address, 512);
    assert_eq!(settings.limits.tunnels_per_minute, 300);
    assert_eq!(settings.limits.open_requests_per_minute, 600);
    assert_eq!(settings.limits.header_timeout, Duration::from_secs(10));
    assert_eq!(settings.limits.keepalive_timeout, Duration::from_secs(75));
    assert!(settings.api.bearer && settings.access.is_empty());
    assert!(!settings.log.json);
    assert_eq!(settings.log.level, "info");
}

/// The `oidc` block in the form of authentik's guide for Headscale: its keys, its order, its
/// indentation, comments between them and a secret explained three times.
const GUIDE: &str = r#"
oidc:
    # Wait for authentik – Headscale does not start before it answers
    only_start_if_oidc_is_available: true
    issuer: "https://authentik.company/application/o/headscale/"
    client_id: "Zq8t1v"
    # The secret, in one of three ways:
    #
    # 1. here:
    client_secret: "canary-0123456789abcdef"
    #
    # 2. in a file:
    # client_secret_path: "${CREDENTIALS_DIRECTORY}/oidc_client_secret"
    #
    # 3. in HEADSCALE_OIDC_CLIENT_SECRET

    # "openid", "profile" and "email" unless others are named
    scope: ["openid", "profile", "email", "custom"]
    # For the browser's request (optional)
    extra_params:
        domain_hint: acmecorp.net

    # Who may sign in (optional)
    allowed_domains:
        - acmecorp.net

    allowed_groups:
        - /headscale

    allowed_users:
        - dominic@acmecorp.net

    pkce:
        enabled: true
        method: S256

    # true: "user@acmecorp.net" becomes "user"
    # false: "user@acmecorp.net" becomes "user.acmecorp.net"
    strip_email_domain: true
"#;

const OURS: &str = "
server_url: https://headscale.company
headscale: { sign_in: own }
";

#[test]
fn the_block_of_authentiks_guide_is_taken_whole() {
    let settings = read_with(&format!("{OURS}{GUIDE}"), &[]).unwrap();
    let oidc = &settings.oidc;
    assert!(oidc.only_start_if_available);
    assert_eq!(
        oidc.issuer.as_str(),
        "https://authentik.company/application/o/headscale/"
    );
    assert_eq!(oidc.client_id, "Zq8t1v");
    assert_eq!(oidc.client_secret.expose(), CANARY);
    assert_eq!(oidc.scope, ["openid", "profile", "email", "custom"]);
    let hint = ("domain_hint".to_owned(), "acmecorp.net".to_owned());
    assert_eq!(oidc.extra_params, BTreeMap::from([hint]));
    assert_eq!(
        (oidc.pkce, oidc.strip_email_domain),
        (Pkce::S256, StripDomain::Strip)
    );
    let rules = &settings.rules;
    assert_eq!(rules.allowed_domains, ["acmecorp.net"]);
    assert_eq!(rules.allowed_groups, ["/headscale"]);
    assert_eq!(rules.allowed_users, ["dominic@acmecorp.net"]);
    assert!(rules.email_verified_required);
    assert!(!rules.exact_groups, "/headscale means headscale");
    assert!(
        settings
            .warnings
            .iter()
            .any(|text| text.contains("authentik 2025.10"))
    );
}

#[test]
fn the_guides_placeholders_are_not_taken_for_values() {
    let text = format!("{OURS}{GUIDE}")
        .replace("o/headscale/", "o/<headscale-slug>/")
        .replace("Zq8t1v", "<Client ID from authentik>")
        .replace(CANARY, "<Client secret from authentik>");
    let problems = read_with(&text, &[]).unwrap_err();
    let keys: Vec<&str> = problems
        .iter()
        .map(|problem| problem.key.as_str())
        .collect();
    assert_eq!(
        keys,
        ["oidc.issuer", "oidc.client_id", "oidc.client_secret"]
    );
    assert_eq!(problems[0].line, Some(8));
}

#[test]
fn exact_group_names_are_exact() {
    assert!(
        good(&[("oidc.exact_group_names", json!(true))])
            .rules
            .exact_groups
    );
    warned(
        &[
            ("oidc.exact_group_names", json!(true)),
            ("oidc.allowed_groups", json!(["/headscale"])),
            ("oidc.issuer", json!("https://a.company/application/o/h/")),
        ],
        "no leading slash",
    );
}

#[test]
fn all_mistakes_come_at_once_in_the_order_of_the_file() {
    let text = "\
server_url: headscale.company
nonsense: canary
workers: many
oidc:
  isuer: https://id.company
  client_id: 5
  client_secret: [canary]
  expiry: 180d
  scope: [email]
session:
  idle_timeout: 8
log: { level: loud }
";
    let problems = read_with(text, &[("HEADWARDEN_OIDC_CLIENTID", "canary")]).unwrap_err();
    let found: Vec<(&str, Option<u64>)> = problems
        .iter()
        .map(|problem| (problem.key.as_str(), problem.line))
        .collect();
    assert_eq!(
        found,
        [
            ("server_url", Some(1)),
            ("nonsense", Some(2)),
            ("workers", Some(3)),
            ("oidc.isuer", Some(5)),
            ("oidc.client_id", Some(6)),
            ("oidc.client_secret", Some(7)),
            ("oidc.expiry", Some(8)),
            ("oidc.scope", Some(9)),
            ("session.idle_timeout", Some(11)),
            ("log.level", Some(12)),
            ("HEADWARDEN_OIDC_CLIENTID", None),
            ("headscale.sign_in", None),
            ("oidc.allow_everyone", None),
            ("oidc.issuer", None),
        ],
        "{}",
        Problems(&problems)
    );
    let told = Problems(&problems).to_string();
    assert!(told.contains("did you mean oidc.issuer?"), "{told}");
    assert!(told.contains("oidc.client_id (line 6)\n  value:  5\n  reason: must be a text\n  hint:   put it in quotes"), "{told}");
}

#[test]
fn an_empty_file_says_what_is_required() {
    for text in ["", "# nothing\n", "{}"] {
        let problems = read_with(text, &[]).unwrap_err();
        let keys: Vec<&str> = problems
            .iter()
            .map(|problem| problem.key.as_str())
            .collect();
        let required = [
            "headscale.sign_in",
            "oidc.allow_everyone",
            "oidc.client_id",
            "oidc.client_secret",
            "oidc.issuer",
            "server_url",
        ];
        assert_eq!(keys, required);
    }
    assert_eq!(read_with("[]", &[]).unwrap_err()[0].key, "the file");
}

#[test]
fn the_environment_alone_can_say_everything() {
    let pairs = [
        ("HEADWARDEN_SERVER_URL", "https://headscale.company"),
        ("HEADWARDEN_LISTEN", "[{address: \"0.0.0.0:8000\"}]"),
        ("HEADWARDEN_HEADSCALE_SIGN_IN", "issuer"),
        ("HEADWARDEN_HEADSCALE_ISSUER_URL", "http://127.0.0.1:8181"),
        ("HEADWARDEN_HEADSCALE_ISSUER_CLIENT_SECRET", CANARY),
        ("HEADWARDEN_OIDC_ISSUER", "https://id.company"),
        ("HEADWARDEN_OIDC_CLIENT_ID", "12345"),
        ("HEADSCALE_OIDC_CLIENT_SECRET", CANARY),
        ("HEADWARDEN_OIDC_ALLOWED_GROUPS", "a,b"),
        ("HEADWARDEN_WORKERS", "2"),
        ("PATH", "/bin"),
    ];
    let settings = read_with("", &pairs).unwrap();
    assert_eq!(settings.oidc.client_id, "12345");
    assert_eq!(settings.oidc.client_secret.expose(), CANARY);
    assert_eq!(settings.rules.allowed_groups, ["a", "b"]);
    assert_eq!(settings.workers, Some(2));
    let problems = read_with("", &[("HEADWARDEN_WORKERS", "many")]).unwrap_err();
    let told = Problems(&problems).to_string();
    assert!(
        told.contains("workers (from HEADWARDEN_WORKERS)\n  value:  many"),
        "{told}"
    );
}

#[test]
fn our_variable_wins_over_headscales_and_both_over_the_file() {
    let text = base().to_string();
    let theirs = ("HEADSCALE_OIDC_CLIENT_SECRET", "canary-theirs");
    let ours = ("HEADWARDEN_OIDC_CLIENT_SECRET", "canary-ours");
    for (pairs, expected) in [
        (vec![], CANARY),
        (vec![theirs], theirs.1),
        (vec![theirs, ours], ours.1),
    ] {
        let settings = read_with(&text, &pairs).unwrap();
        assert_eq!(settings.oidc.client_secret.expose(), expected);
    }
}

#[test]
fn server_url_is_an_https_origin() {
    refused(&[
        ("server_url", json!(null), "server_url", "is required"),
        (
            "server_url",
            json!("headscale.company"),
            "server_url",
            "must begin with https://",
        ),
        (
            "server_url",
            json!("ftp://headscale.company"),
            "server_url",
            "must begin with https://",
        ),
        (
            "server_url",
            json!("https://"),
            "server_url",
            "not a valid URL",
        ),
        (
            "server_url",
            json!("https://headscale.company/x"),
            "server_url",
            "write https://headscale.company",
        ),
        (
            "server_url",
            json!("https://headscale.company/?a"),
            "server_url",
            "scheme, host and port",
        ),
        (
            "server_url",
            json!("https://headscale.company/#a"),
            "server_url",
            "scheme, host and port",
        ),
        (
            "server_url",
            json!("https://u:canary@headscale.company"),
            "server_url",
            "user name",
        ),
        (
            "server_url",
            json!("https://headscale.company:0"),
            "server_url",
            "not a valid URL",
        ),
        (
            "server_url",
            json!("https://headscale.company."),
            "server_url",
            "not a valid URL",
        ),
        (
            "server_url",
            json!("https://head scale.company"),
            "server_url",
            "no URL has",
        ),
        (
            "server_url",
            json!("https:\\\\headscale.company"),
            "server_url",
            "no URL has",
        ),
        (
            "server_url",
            json!("http://headscale.company"),
            "server_url",
            "must be https",
        ),
        (
            "server_url",
            json!("http://127.0.0.1.nip.io"),
            "server_url",
            "must be https",
        ),
        (
            "server_url",
            json!("http://10.0.0.1"),
            "server_url",
            "must be https",
        ),
    ]);
    for (text, origin, secure) in [
        (
            "https://headscale.company/",
            "https://headscale.company",
            true,
        ),
        (
            "https://HEADSCALE.company:443",
            "https://headscale.company",
            true,
        ),
        (
            "https://headscale.company:8443",
            "https://headscale.company:8443",
            true,
        ),
        ("http://localhost:8000", "http://localhost:8000", false),
        ("http://[::1]:8000", "http://[::1]:8000", false),
    ] {
        let server_url = good(&[("server_url", json!(text))]).server_url;
        assert_eq!(
            (server_url.origin.as_str(), server_url.secure),
            (origin, secure),
            "{text}"
        );
        assert_eq!(server_url.join("/x"), format!("{origin}/x"));
    }
    warned(
        &[
            ("server_url", json!("http://localhost:8000")),
            ("listen", json!([{"address": "127.0.0.1:8001"}])),
        ],
        "plain http",
    );
    warned(
        &[
            ("server_url", json!("http://headscale.company")),
            ("allow_insecure_server_url", json!(true)),
        ],
        "plain http",
    );
}

#[test]
fn listeners_are_addresses_of_their_own() {
    let tls = json!({"cert_path": "/c", "key_path": "/k"});
    refused(&[
        ("listen", json!([]), "listen", "at least one"),
        ("listen", json!([{}]), "listen[0].address", "is required"),
        ("listen", json!([null]), "listen[0].address", "is required"),
        (
            "listen",
            json!([{"address": "localhost:80"}]),
            "listen[0].address",
            "not an address",
        ),
        (
            "listen",
            json!([{"address": "0.0.0.0"}]),
            "listen[0].address",
            "not an address",
        ),
        (
            "listen",
            json!([{"address": "0.0.0.0:70000"}]),
            "listen[0].address",
            "not an address",
        ),
        (
            "listen",
            json!([{"address": "0.0.0.0:80", "tls": {"cert_path": "/c"}}]),
            "listen[0].tls.key_path",
            "is required",
        ),
        (
            "listen",
            json!([{"address": "0.0.0.0:80", "tls": {"key_path": "/c"}}]),
            "listen[0].tls.cert_path",
            "is required",
        ),
        (
            "listen",
            json!([{"address": "0.0.0.0:80", "tls": {"cert_path": "${NO}/c", "key_path": "/k"}}]),
            "listen[0].tls.cert_path",
            "NO is not set",
        ),
        (
            "listen",
            json!([{"address": "0.0.0.0:80"}, {"address": "127.0.0.1:80"}]),
            "listen[1].address",
            "same address and port as listen[0].address",
        ),
        (
            "listen",
            json!([{"address": "127.0.0.1:9181"}]),
            "admin.address",
            "same address and port",
        ),
        (
            "listen",
            json!([{"address": "0.0.0.0:8181"}]),
            "headscale.issuer.address",
            "same address and port",
        ),
        (
            "admin",
            json!({"address": "9181"}),
            "admin.address",
            "not an address",
        ),
        ("listen", json!("0.0.0.0:80"), "listen", "must be a list"),
        (
            "listen",
            json!(["0.0.0.0:80"]),
            "listen[0]",
            "must be a map",
        ),
    ]);
    let listen = good(&[(
        "listen",
        json!([{"address": "[::]:443", "tls": tls}, {"address": "0.0.0.0:80"}]),
    )])
    .listen;
    assert_eq!(listen[0].tls.as_ref().unwrap().cert_path, Path::new("/c"));
    assert!(listen[1].tls.is_none());
    assert_eq!(good(&[("admin", json!({"enabled": false}))]).admin, None);
    let any = json!([{"address": "127.0.0.1:0"}, {"address": "127.0.0.1:0"}]);
    assert_eq!(good(&[("listen", any)]).listen.len(), 2);
    warned(
        &[("admin", json!({"address": "0.0.0.0:9181"}))],
        "not loopback",
    );
}

#[test]
fn a_missing_load_balancer_is_asked_for_only_where_tls_is_missing() {
    warned(&[("trusted_proxies", json!([]))], "no listener has tls");
    let tls = json!([{"address": "[::]:443", "tls": {"cert_path": "/c", "key_path": "/k"}}]);
    assert!(
        good(&[("trusted_proxies", json!([])), ("listen", tls)])
            .warnings
            .is_empty()
    );
}

#[test]
fn nobody_can_trust_everybody() {
    refused(&[
        (
            "trusted_proxies",
            json!(["0.0.0.0/0"]),
            "trusted_proxies",
            "trusts everybody",
        ),
        (
            "trusted_proxies",
            json!(["::/0"]),
            "trusted_proxies",
            "trusts everybody",
        ),
        (
            "trusted_proxies",
            json!(["10.0.0.0/8", "::/0"]),
            "trusted_proxies",
            "trusts everybody",
        ),
        (
            "trusted_proxies",
            json!(["0.0.0.0/1", "128.0.0.0/1"]),
            "trusted_proxies",
            "trusts everybody",
        ),
        (
            "trusted_proxies",
            json!(["::ffff:0:0/96"]),
            "trusted_proxies",
            "trusts everybody",
        ),
        (
            "trusted_proxies",
            json!(["::/1"]),
            "trusted_proxies",
            "trusts everybody",
        ),
        (
            "trusted_proxies",
            json!(["10.0.0.1/8"]),
            "trusted_proxies[0]",
            "write 10.0.0.0/8",
        ),
        (
            "trusted_proxies",
            json!(["10.0.0.0/33"]),
            "trusted_proxies[0]",
            "not a network",
        ),
        (
            "trusted_proxies",
            json!(["lb.company"]),
            "trusted_proxies[0]",
            "not a network",
        ),
        (
            "trusted_proxies",
            json!([""]),
            "trusted_proxies[0]",
            "an empty entry",
        ),
    ]);
    let nets = json!(["10.0.0.1", "::1", "::ffff:192.168.0.0/112", "2001:db8::/32"]);
    let nets: Vec<String> = good(&[("trusted_proxies", nets)])
        .trusted_proxies
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(
        nets,
        ["10.0.0.1/32", "::1/128", "192.168.0.0/16", "2001:db8::/32"]
    );
}

#[test]
fn headscale_is_an_origin_that_is_not_ourselves() {
    refused(&[
        (
            "headscale.url",
            json!("127.0.0.1:8080"),
            "headscale.url",
            "must begin with",
        ),
        (
            "headscale.url",
            json!("http://127.0.0.1:8080/x"),
            "headscale.url",
            "scheme, host and port",
        ),
        (
            "headscale.url",
            json!("http://user@127.0.0.1:8080"),
            "headscale.url",
            "user name",
        ),
        (
            "headscale.url",
            json!("http://127.0.0.1:8000"),
            "headscale.url",
            "is Headwarden itself",
        ),
        (
            "headscale.url",
            json!("http://localhost:8000"),
            "headscale.url",
            "is Headwarden itself",
        ),
        (
            "headscale.url",
            json!("http://127.0.0.1:8181"),
            "headscale.url",
            "is Headwarden itself",
        ),
        (
            "headscale.url",
            json!("https://headscale.company"),
            "headscale.url",
            "is Headwarden itself",
        ),
        (
            "headscale.ca_path",
            json!("/ca"),
            "headscale.url",
            "not https",
        ),
        (
            "headscale.connect_timeout",
            json!("1h"),
            "headscale.connect_timeout",
            "must be between 1s and 10m",
        ),
        (
            "headscale.response_timeout",
            json!("soon"),
            "headscale.response_timeout",
            "not a duration",
        ),
        (
            "headscale.verify_from",
            json!(["x"]),
            "headscale.verify_from[0]",
            "not a network",
        ),
        (
            "headscale.sign_in",
            json!(null),
            "headscale.sign_in",
            "is required",
        ),
        (
            "headscale.sign_in",
            json!("proxy"),
            "headscale.sign_in",
            "issuer, own or none",
        ),
    ]);
    let upstream = good(&[("headscale.url", json!("https://[2001:db8::1]"))])
        .headscale
        .upstream;
    assert_eq!(
        (upstream.tls, upstream.authority().as_str()),
        (true, "[2001:db8::1]:443")
    );
    warned(
        &[("headscale.verify_from", json!(["0.0.0.0/0"]))],
        "open to everybody",
    );
}

#[test]
fn the_issuer_string_has_one_spelling() {
    let key = "headscale.issuer.url";
    refused(&[
        (key, json!(null), key, "is required"),
        (
            key,
            json!("http://127.0.0.1:8181/"),
            key,
            "must not end in a slash",
        ),
        (
            key,
            json!("http://127.0.0.1:8181/issuer"),
            key,
            "scheme, host and port only",
        ),
        (
            key,
            json!("http://127.0.0.1:8181?x"),
            key,
            "scheme, host and port only",
        ),
        (key, json!("HTTP://127.0.0.1:8181"), key, "lower case"),
        (
            key,
            json!("http://Headwarden:8181"),
            key,
            "write http://headwarden:8181",
        ),
        (
            key,
            json!("https://headwarden:443"),
            key,
            "write https://headwarden",
        ),
        (key, json!("headwarden:8181"), key, "must begin with"),
        (key, json!("http://a@127.0.0.1:8181"), key, "user name"),
        (
            key,
            json!("https://headscale.company"),
            key,
            "an address of its own",
        ),
    ]);
    let same = json!("https://id.company");
    let problems = bad(&[(key, same.clone()), ("oidc.issuer", same)]);
    assert_eq!(problems[0].key, key);
}

#[test]
fn the_private_listener_is_private() {
    let address = "headscale.issuer.address";
    refused(&[
        (
            address,
            json!("0.0.0.0:8181"),
            address,
            "allow_plaintext: true",
        ),
        (
            address,
            json!("10.0.0.1:8181"),
            address,
            "codes and the client secret",
        ),
        (address, json!("headwarden:8181"), address, "not an address"),
        (
            "headscale.issuer.tls",
            json!({"cert_path": "/c", "key_path": "/k"}),
            "headscale.issuer.url",
            "is http although",
        ),
        (
            "headscale.issuer.tls",
            json!({"cert_path": "/c"}),
            "headscale.issuer.tls.key_path",
            "is required",
        ),
        (
            "headscale.issuer.key_path",
            json!("/var/lib/headwarden/keys.json"),
            "headscale.issuer.key_path",
            "same file",
        ),
        (
            "headscale.issuer.client_id",
            json!("a b"),
            "headscale.issuer.client_id",
            "visible ASCII",
        ),
        (
            "headscale.issuer.ssh_max_age",
            json!("1s"),
            "headscale.issuer.ssh_max_age",
            "between 30s and 1day",
        ),
        (
            "headscale.issuer.node_expiry",
            json!("0s"),
            "headscale.issuer.node_expiry",
            "between 5m and",
        ),
    ]);
    warned(
        &[
            (address, json!("0.0.0.0:8181")),
            ("headscale.issuer.allow_plaintext", json!(true)),
        ],
        "keep this network private",
    );
    let tls = json!({"cert_path": "/c", "key_path": "/k"});
    let settings = good(&[
        (address, json!("0.0.0.0:8181")),
        ("headscale.issuer.tls", tls),
        ("headscale.issuer.url", json!("https://headwarden:8181")),
    ]);
    assert!(settings.warnings.is_empty());
    warned(
        &[("headscale.issuer.url", json!("https://headwarden:8181"))],
        "terminate TLS",
    );
}

#[test]
fn an_issuer_that_is_not_used_is_a_warning() {
    for word in ["own", "none"] {
        warned(&[("headscale.sign_in", json!(word))], "not used");
    }
    warned(
        &[
            ("headscale.sign_in", json!("own")),
            ("oidc.use_expiry_from_token", json!(true)),
        ],
        "no effect here",
    );
}

#[test]
fn a_device_has_one_expiry_and_lasting_ones_are_told() {
    let expiry = ("headscale.issuer.node_expiry", json!("90d"));
    let token = ("oidc.use_expiry_from_token", json!(true));
    let problems = bad(&[expiry.clone(), token.clone()]);
    assert_eq!(problems[0].key, "oidc.use_expiry_from_token");
    assert!(problems[0].reason.contains("node_expiry"));
    let SignIn::Issuer(issuer) = good(std::slice::from_ref(&expiry)).headscale.sign_in else {
        panic!("not issuer")
    };
    assert_eq!(issuer.node_expiry, Some(Duration::from_hours(90 * 24)));
    let no_key = ("headscale.api_key", json!(null));
    warned(std::slice::from_ref(&no_key), "keeps the devices");
    for other in [expiry, token] {
        assert!(good(&[no_key.clone(), other]).warnings.is_empty());
    }
}

#[test]
fn secrets_are_real_secrets_from_one_place() {
    let secret = "oidc.client_secret";
    let path = "oidc.client_secret_path";
    refused(&[
        (
            secret,
            json!(null),
            secret,
            "set HEADWARDEN_OIDC_CLIENT_SECRET",
        ),
        (secret, json!(""), secret, "the secret is empty"),
        (secret, json!("..."), secret, "placeholder"),
        (secret, json!("changeme"), secret, "placeholder"),
        (secret, json!("your_client_secret"), secret, "placeholder"),
        (
            secret,
            json!("${SECRET_OF_OURS}"),
            secret,
            "not expanded here",
        ),
        (
            secret,
            json!("canary\u{7}canary"),
            secret,
            "control character",
        ),
        (secret, json!(12345), secret, "put it in quotes"),
        (path, json!("/run/good"), secret, "only one of them"),
        (
            "headscale.issuer.client_secret",
            json!("canary"),
            "headscale.issuer.client_secret",
            "openssl rand",
        ),
        (
            "headscale.issuer.client_secret",
            json!(null),
            "headscale.issuer.client_secret",
            "is required",
        ),
        (
            "headscale.api_key",
            json!("<key>"),
            "headscale.api_key",
            "placeholder",
        ),
        (
            "headscale.api_key_path",
            json!("/run/good"),
            "headscale.api_key",
            "only one of them",
        ),
    ]);
    for (file, key, words) in [
        ("/run/missing", path, "cannot be read"),
        ("/run/empty", path, "the secret is empty"),
        ("/run/lines", path, "several lines"),
        ("/run/placeholder", path, "placeholder"),
        ("/run/binary", path, "no text"),
        (
            "${CREDENTIALS_DIRECTORY}/x",
            path,
            "CREDENTIALS_DIRECTORY is not set",
        ),
        ("/run/$/x", path, "without the name"),
        (" ", path, "the path is empty"),
        (CANARY, path, "takes the path of a file"),
    ] {
        let problems = bad(&[(secret, json!(null)), (path, json!(file))]);
        let text = Problems(&problems).to_string();
        assert_eq!(
            (problems.len(), problems[0].key.as_str()),
            (1, key),
            "{file}: {text}"
        );
        assert!(text.contains(words), "{file}: {text}");
    }
    let from = |file: &str| [(secret, json!(null)), (path, json!(file))];
    assert_eq!(good(&from("/run/good")).oidc.client_secret.expose(), CANARY);
    warned(&from("/run/open"), "mode 0644");
}

#[test]
fn paths_of_secrets_may_name_variables() {
    let tree = changed(&[
        ("oidc.client_secret", json!(null)),
        (
            "oidc.client_secret_path",
            json!("${CREDENTIALS_DIRECTORY}/good"),
        ),
    ]);
    let settings = read_with(&tree.to_string(), &[("CREDENTIALS_DIRECTORY", "/run")]).unwrap();
    assert_eq!(settings.oidc.client_secret.expose(), CANARY);
}

#[test]
fn the_provider_is_named_byte_for_byte() {
    let key = "oidc.issuer";
    refused(&[
        (key, json!(null), key, "is required"),
        (key, json!("http://id.company/"), key, "must be https"),
        (key, json!("id.company"), key, "must begin with https://"),
        (key, json!("https://id.company/?a=b"), key, "no query"),
        (key, json!("https://id.company/#a"), key, "no query"),
        (key, json!("https://a:canary@id.company/"), key, "user name"),
        (
            key,
            json!("https://id.company/.well-known/openid-configuration"),
            key,
            "not the issuer",
        ),
        (
            key,
            json!("https://id.company/application/o/<slug>/"),
            key,
            "placeholder",
        ),
        (
            "oidc.client_id",
            json!(null),
            "oidc.client_id",
            "is required",
        ),
        (
            "oidc.client_id",
            json!("..."),
            "oidc.client_id",
            "placeholder",
        ),
        (
            "oidc.client_id",
            json!("a b"),
            "oidc.client_id",
            "visible ASCII",
        ),
        (
            "oidc.timeout",
            json!("0s"),
            "oidc.timeout",
            "between 1s and 2m",
        ),
        (
            "oidc.timeout",
            json!(10),
            "oidc.timeout",
            "30s, 5m, 8h or 7d",
        ),
        (
            "oidc.username_claim",
            json!("a b"),
            "oidc.username_claim",
            "name of a claim",
        ),
        (
            "oidc.groups_claim",
            json!(""),
            "oidc.groups_claim",
            "name of a claim",
        ),
        (
            "oidc.ca_path",
            json!("${NO}"),
            "oidc.ca_path",
            "NO is not set",
        ),
    ]);
    for issuer in [
        "https://id.company",
        "https://id.company/a//b/",
        "http://127.0.0.1:9000/x/",
    ] {
        assert_eq!(good(&[(key, json!(issuer))]).oidc.issuer.as_str(), issuer);
    }
    warned(
        &[(key, json!("https://a.company/application/o/h"))],
        "end in a slash",
    );
    warned(&[("oidc.allow_hs256", json!(true))], "sign ID tokens");
}

#[test]
fn scopes_are_single_names_with_openid() {
    refused(&[
        ("oidc.scope", json!([]), "oidc.scope", "openid is missing"),
        (
            "oidc.scope",
            json!(["email"]),
            "oidc.scope",
            "openid is missing",
        ),
        (
            "oidc.scope",
            json!(["openid email"]),
            "oidc.scope[0]",
            "not the name of one scope",
        ),
        (
            "oidc.scope",
            json!(["openid", ""]),
            "oidc.scope[1]",
            "an empty entry",
        ),
        (
            "oidc.scope",
            json!("openid"),
            "oidc.scope",
            "must be a list",
        ),
        (
            "oidc.scope",
            json!(["openid", 5]),
            "oidc.scope[1]",
            "must be a text",
        ),
    ]);
}

#[test]
fn extra_parameters_leave_the_protocol_alone() {
    for name in [
        "client_id",
        "redirect_uri",
        "response_type",
        "response_mode",
        "scope",
        "state",
        "nonce",
        "code_challenge",
        "code_challenge_method",
        "request",
        "request_uri",
        "prompt",
        "max_age",
        "id_token_hint",
        "login_hint",
        "State",
    ] {
        let key = format!("oidc.extra_params.{name}");
        let params = json!({name: "canary"});
        refused(&[(
            "oidc.extra_params",
            params,
            &key,
            "sets this parameter itself",
        )]);
    }
    refused(&[
        (
            "oidc.extra_params",
            json!({"a b": "canary"}),
            "oidc.extra_params.a b",
            "name of a parameter",
        ),
        (
            "oidc.extra_params",
            json!({"a": 5}),
            "oidc.extra_params.a",
            "put it in quotes",
        ),
        (
            "oidc.extra_params",
            json!(["a"]),
            "oidc.extra_params",
            "must be a map of texts",
        ),
    ]);
    let params = good(&[(
        "oidc.extra_params",
        json!({"acr_values": "mfa", "hd": null}),
    )])
    .oidc
    .extra_params;
    assert_eq!(params.len(), 2);
}

#[test]
fn pkce_stays_on_whatever_is_written() {
    for (pkce, method) in [
        (json!({"enabled": true, "method": "S256"}), Pkce::S256),
        (json!({"enabled": true}), Pkce::S256),
        (json!({"enabled": false, "method": "S256"}), Pkce::S256),
        (json!({"method": "plain"}), Pkce::Plain),
        (json!(null), Pkce::S256),
    ] {
        assert_eq!(good(&[("oidc.pkce", pkce)]).oidc.pkce, method);
    }
    warned(&[("oidc.pkce", json!({"enabled": false}))], "PKCE stays on");
    warned(
        &[("oidc.pkce", json!({"method": "plain"}))],
        "plain protects little",
    );
    refused(&[
        (
            "oidc.pkce",
            json!({"method": "s256"}),
            "oidc.pkce.method",
            "S256 or plain",
        ),
        (
            "oidc.pkce",
            json!({"enabled": "yes"}),
            "oidc.pkce.enabled",
            "must be true or false",
        ),
        ("oidc.pkce", json!(true), "oidc.pkce", "must be a map"),
    ]);
}

#[test]
fn nobody_opens_a_tailnet_by_forgetting_a_line() {
    refused(&[
        (
            "oidc.allowed_groups",
            json!([]),
            "oidc.allow_everyone",
            "no rule says who may pass",
        ),
        (
            "oidc.allowed_groups",
            json!(null),
            "oidc.allow_everyone",
            "allow_everyone: true",
        ),
    ]);
    let everyone = ("oidc.allow_everyone", json!(true));
    good(&[("oidc.allowed_groups", json!([])), everyone.clone()]);
    warned(&[everyone], "no effect");
}

#[test]
fn rules_that_could_never_match_are_refused_or_told() {
    let (domains, users) = ("oidc.allowed_domains", "oidc.allowed_users");
    refused(&[
        (
            domains,
            json!(["@acmecorp.net"]),
            "oidc.allowed_domains[0]",
            "after the @ only",
        ),
        (
            domains,
            json!(["*.acmecorp.net"]),
            "oidc.allowed_domains[0]",
            "no patterns",
        ),
        (
            domains,
            json!(["acmecorp.net."]),
            "oidc.allowed_domains[0]",
            "not a domain",
        ),
        (
            domains,
            json!(["acme corp.net"]),
            "oidc.allowed_domains[0]",
            "not a domain",
        ),
        (
            domains,
            json!(["acmecorp。net"]),
            "oidc.allowed_domains[0]",
            "not a domain",
        ),
        (
            domains,
            json!([" acmecorp.net"]),
            "oidc.allowed_domains[0]",
            "blank",
        ),
        (
            users,
            json!(["dominic"]),
            "oidc.allowed_users[0]",
            "matched by e-mail",
        ),
        (
            users,
            json!(["a@b@acmecorp.net"]),
            "oidc.allowed_users[0]",
            "matched by e-mail",
        ),
        (
            users,
            json!(["@acmecorp.net"]),
            "oidc.allowed_users[0]",
            "matched by e-mail",
        ),
        (
            users,
            json!(["*@acmecorp.net"]),
            "oidc.allowed_users[0]",
            "no patterns",
        ),
        (
            "oidc.allowed_groups",
            json!([""]),
            "oidc.allowed_groups[0]",
            "an empty entry",
        ),
        (
            "oidc.allowed_groups",
            json!("headscale"),
            "oidc.allowed_groups",
            "must be a list",
        ),
    ]);
    warned(
        &[
            (domains, json!(["acmecorp.net"])),
            (users, json!(["ann@other.example"])),
        ],
        "is in no allowed domain",
    );
    warned(
        &[("oidc.email_verified_required", json!(false))],
        "count unverified",
    );
}

#[test]
fn stripping_domains_needs_exactly_one() {
    let strip = ("oidc.strip_email_domain", json!(true));
    let domains = |list: &[&str]| ("oidc.allowed_domains", json!(list));
    for list in [vec![], vec!["a.example", "b.example"]] {
        let problems = bad(&[strip.clone(), domains(&list)]);
        assert_eq!(problems[0].key, "oidc.strip_email_domain");
        assert!(
            problems[0]
                .hint
                .as_deref()
                .unwrap()
                .contains("allow_name_collisions")
        );
        let allowed = ("oidc.allow_name_collisions", json!(true));
        warned(
            &[strip.clone(), domains(&list), allowed],
            "become one user name",
        );
    }
    for (value, list, expected) in [
        (json!(true), vec!["a.example"], StripDomain::Strip),
        (
            json!(true),
            vec!["a.example", "A.Example"],
            StripDomain::Strip,
        ),
        (json!(false), vec![], StripDomain::Dot),
        (json!(null), vec![], StripDomain::Keep),
    ] {
        let settings = good(&[("oidc.strip_email_domain", value), domains(&list)]);
        assert_eq!(settings.oidc.strip_email_domain, expected);
    }
}

#[test]
fn retired_keys_say_what_to_use_instead() {
    refused(&[
        (
            "oidc.expiry",
            json!("180d"),
            "oidc.expiry",
            "headscale.issuer.node_expiry",
        ),
        (
            "oidc.map_legacy_users",
            json!(true),
            "oidc.map_legacy_users",
            "headscale-migrate",
        ),
        (
            "listen_addr",
            json!("0.0.0.0:8080"),
            "listen_addr",
            "listen:",
        ),
    ]);
}

#[test]
fn unknown_keys_get_the_closest_name_and_never_show_their_value() {
    refused(&[
        (
            "oidc.client_secrt",
            json!("canary"),
            "oidc.client_secrt",
            "did you mean oidc.client_secret?",
        ),
        (
            "sessions",
            json!({"x": "canary"}),
            "sessions",
            "did you mean session?",
        ),
        (
            "oidc.lifetime",
            json!("1h"),
            "oidc.lifetime",
            "did you mean session.lifetime?",
        ),
        (
            "access",
            json!([{"path": "/a", "group": ["canary"]}]),
            "access[0].group",
            "did you mean access[].groups?",
        ),
        ("zzzzzz", json!("canary"), "zzzzzz", "there is no such key"),
    ]);
}

#[test]
fn sessions_have_limits_and_live_in_memory() {
    refused(&[
        (
            "session",
            json!({"store": "redis"}),
            "session.store",
            "not there yet",
        ),
        (
            "session",
            json!({"store": "disk"}),
            "session.store",
            "write memory",
        ),
        (
            "session",
            json!({"idle_timeout": "8"}),
            "session.idle_timeout",
            "not a duration",
        ),
        (
            "session",
            json!({"idle_timeout": "1s"}),
            "session.idle_timeout",
            "between 1m and",
        ),
        (
            "session",
            json!({"idle_timeout": "8d"}),
            "session.idle_timeout",
            "longer than session.lifetime",
        ),
        (
            "session",
            json!({"lifetime": "-1h"}),
            "session.lifetime",
            "not a duration",
        ),
        (
            "session",
            json!({"recheck": "often"}),
            "session.recheck",
            "not a duration",
        ),
        (
            "session",
            json!({"capacity": 0}),
            "session.capacity",
            "between 100 and",
        ),
        (
            "session",
            json!({"capacity": -5}),
            "session.capacity",
            "whole number",
        ),
        (
            "session",
            json!({"capacity": 1.5}),
            "session.capacity",
            "whole number",
        ),
    ]);
    warned(
        &[("session", json!({"store": "memory", "recheck": "5m"}))],
        "not yet in effect",
    );
    let session = good(&[(
        "session",
        json!({"idle_timeout": "30m", "lifetime": "1d 12h"}),
    )])
    .session;
    assert_eq!(session.limits.lifetime, Duration::from_hours(36));
}

#[test]
fn access_rules_name_paths_and_origins() {
    let one = |rule: Value| json!([rule]);
    refused(&[
        ("access", one(json!({})), "access[0].path", "is required"),
        (
            "access",
            one(json!({"path": "admin/**"})),
            "access[0].path",
            "must begin with /",
        ),
        (
            "access",
            one(json!({"path": "/a*"})),
            "access[0].path",
            "last segment",
        ),
        (
            "access",
            one(json!({"path": "/a/../b"})),
            "access[0].path",
            "never match",
        ),
        (
            "access",
            one(json!({"path": "/a?b"})),
            "access[0].path",
            "not plain",
        ),
        (
            "access",
            one(json!({"path": "/api/v1/**"})),
            "access[0].path",
            "see the api section",
        ),
        (
            "access",
            one(json!({"path": "/.headwarden/*"})),
            "access[0].path",
            "no rule is looked at",
        ),
        (
            "access",
            one(json!({"path": "/ts2021"})),
            "access[0].path",
            "no rule is looked at",
        ),
        (
            "access",
            one(json!({"path": "/register/**", "upstream": "http://127.0.0.1:3000"})),
            "access[0].path",
            "only Headscale",
        ),
        (
            "access",
            one(json!({"path": "/a", "upstream": "127.0.0.1:3000"})),
            "access[0].upstream",
            "must begin with",
        ),
        (
            "access",
            one(json!({"path": "/a", "upstream": "http://127.0.0.1:3000/a"})),
            "access[0].upstream",
            "write http://127.0.0.1:3000",
        ),
        (
            "access",
            one(json!({"path": "/a", "upstream": "http://127.0.0.1:8000"})),
            "access[0].upstream",
            "Headwarden itself",
        ),
        (
            "access",
            one(json!({"path": "/a", "upstream": "http://127.0.0.1:3000", "ca_path": "/ca"})),
            "access[0].upstream",
            "not https",
        ),
        (
            "access",
            one(json!({"path": "/a", "ca_path": "/ca"})),
            "access[0].ca_path",
            "without an upstream",
        ),
        (
            "access",
            one(json!({"path": "/a", "identity_headers": "yes"})),
            "access[0].identity_headers",
            "none or remote",
        ),
        (
            "access",
            one(json!({"path": "/a", "groups": [""]})),
            "access[0].groups[0]",
            "an empty entry",
        ),
        (
            "access",
            one(json!({"path": "/a", "groups": "x"})),
            "access[0].groups",
            "must be a list",
        ),
    ]);
    let rules = good(&[(
        "access",
        json!([
            {"path": "/admin/**", "upstream": "http://127.0.0.1:3000", "groups": ["a"], "identity_headers": "remote"},
            {"path": "/register/**", "users": ["a@b.example"]},
        ]),
    )]);
    assert!(rules.warnings.is_empty());
    assert_eq!(
        rules.access[0].upstream.as_ref().unwrap().authority(),
        "127.0.0.1:3000"
    );
    assert_eq!(rules.access[0].identity_headers, IdentityHeaders::Remote);
    assert_eq!(rules.access[1].identity_headers, IdentityHeaders::None);
    warned(
        &[("access", json!([{"path": "/a/**"}, {"path": "/a/b"}]))],
        "/a/b is never reached",
    );
}

#[test]
fn api_roles_need_a_key() {
    refused(&[
        (
            "api",
            json!({"bearer": "maybe"}),
            "api.bearer",
            "allow or deny",
        ),
        (
            "api",
            json!({"bearer": true}),
            "api.bearer",
            "put it in quotes",
        ),
        (
            "api",
            json!({"admins": "x"}),
            "api.admins",
            "must be a list",
        ),
    ]);
    let api = good(&[(
        "api",
        json!({"admins": ["a"], "viewers": ["b"], "bearer": "deny"}),
    )])
    .api;
    assert_eq!(
        (api.admins, api.viewers, api.bearer),
        (vec!["a".into()], vec!["b".into()], false)
    );
    warned(
        &[
            ("api", json!({"admins": ["a"]})),
            ("headscale.api_key", json!(null)),
        ],
        "mean nothing without",
    );
}

#[test]
fn numbers_and_logging_have_bounds() {
    refused(&[
        ("workers", json!(0), "workers", "between 1 and 1024"),
        (
            "shutdown",
            json!({"grace": "2h"}),
            "shutdown.grace",
            "between 0s and 1h",
        ),
        (
            "limits",
            json!({"connections_per_address": 0}),
            "limits.connections_per_address",
            "between 1 and",
        ),
        (
            "limits",
            json!({"tunnels_per_minute": "x"}),
            "limits.tunnels_per_minute",
            "whole number",
        ),
        (
            "limits",
            json!({"open_requests_per_minute": 9_999_999}),
            "limits.open_requests_per_minute",
            "between 1 and",
        ),
        (
            "limits",
            json!({"header_timeout": "1h"}),
            "limits.header_timeout",
            "between 1s and 2m",
        ),
        (
            "limits",
            json!({"keepalive_timeout": "0s"}),
            "limits.keepalive_timeout",
            "between 1s and 1h",
        ),
        (
            "log",
            json!({"format": "xml"}),
            "log.format",
            "human or json",
        ),
        (
            "log",
            json!({"level": "infoo"}),
            "log.level",
            "error, warn, info",
        ),
        (
            "log",
            json!({"level": "info,x=loud"}),
            "log.level",
            "error, warn, info",
        ),
    ]);
    let log = good(&[(
        "log",
        json!({"format": "json", "level": "warn,headwarden::oidc=debug"}),
    )])
    .log;
    assert!(log.json);
    assert_eq!(good(&[("workers", json!(8))]).workers, Some(8));
}

#[test]
fn a_file_is_loaded_from_disk_with_its_permissions_in_mind() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("config.yaml");
    let none = Environment::default();
    let problems = load(&path, &none).unwrap_err();
    assert!(
        problems[0].reason.contains("cannot be read"),
        "{}",
        problems[0]
    );
    std::fs::write(&path, base().to_string()).unwrap();
    for (mode, warnings) in [(0o600, 0), (0o640, 0), (0o644, 1)] {
        std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
        let settings = load(&path, &none).unwrap();
        assert_eq!(settings.warnings.len(), warnings, "{:?}", settings.warnings);
    }
    std::fs::write(&path, "oidc: {\n").unwrap();
    assert_eq!(load(&path, &none).unwrap_err().len(), 1);
}
