//! The configuration as a whole: defaults, many mistakes at once, the environment, the disk.

use super::*;

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
    assert_eq!(
        settings.admin.address.unwrap().to_string(),
        "127.0.0.1:9181"
    );
    assert!(settings.admin.socket.is_none() && !settings.admin.sessions);
    assert_eq!(
        settings.keys_path,
        Path::new("/var/lib/headwarden/keys.json")
    );
    assert_eq!(settings.headscale.upstream.authority(), "127.0.0.1:8080");
    assert_eq!(settings.headscale.response_timeout, Duration::from_mins(1));
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
    assert_eq!(issuer.ssh.max_age, Some(Duration::from_mins(5)));
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
    assert_eq!(settings.shutdown.lead, Duration::from_secs(5));
    assert_eq!(settings.shutdown.grace, Duration::from_secs(10));
    assert_eq!(settings.workers, None);
    assert_eq!(settings.limits.connections_per_address, 512);
    assert_eq!(settings.limits.tunnels_per_minute, 300);
    assert_eq!(settings.limits.open_requests_per_minute, 600);
    assert_eq!(settings.limits.api_requests_per_minute, 600);
    assert_eq!(settings.limits.sign_ins_per_minute, 300);
    assert_eq!(settings.limits.callbacks_per_minute, 600);
    assert_eq!(settings.limits.registrations_per_minute, 300);
    assert_eq!(settings.limits.logouts_per_minute, 600);
    assert_eq!(settings.limits.header_timeout, Duration::from_secs(10));
    assert_eq!(settings.limits.keepalive_timeout, Duration::from_secs(75));
    assert!(settings.api.bearer && settings.access.is_empty());
    assert!(!settings.log.json);
    assert_eq!(settings.log.level, "info");
}

#[test]
fn one_mistake_does_not_hide_another() {
    let problems = bad(&[
        ("trusted_proxies", json!(["0.0.0.0/0", "10.0.0.300"])),
        ("headscale.sign_in", json!("isuer")),
        ("headscale.issuer.url", json!("http://127.0.0.1:8181/")),
        (
            "listen",
            json!([{"address": "127.0.0.1:1"}, {"adress": "127.0.0.1:2"}]),
        ),
    ]);
    let told: Vec<(&str, &str)> = problems
        .iter()
        .map(|problem| {
            let hint = problem.hint.as_deref().unwrap_or_default();
            (problem.key.as_str(), hint)
        })
        .collect();
    for (key, hint) in [
        ("trusted_proxies", "name the networks"),
        ("trusted_proxies[1]", "for example 10.0.0.0/8"),
        ("headscale.sign_in", "issuer, own or none"),
        ("headscale.issuer.url", "write http://127.0.0.1:8181"),
        ("listen[1].adress", "did you mean listen[1].address?"),
        ("listen[1].address", "for example"),
    ] {
        assert!(
            told.iter().any(|(k, h)| *k == key && h.starts_with(hint)),
            "{key}: {told:?}"
        );
    }
    assert_eq!(told.len(), 6, "{told:?}");
}

#[test]
fn warnings_are_told_beside_mistakes() {
    let text = changed(&[
        ("headscale.sign_in", json!("isuer")),
        ("admin", json!({"address": "0.0.0.0:9181"})),
    ]);
    let environment = Environment::from_pairs(std::iter::empty::<(&str, &str)>());
    let refusal = read_text(&text.to_string(), &environment, &files).unwrap_err();
    assert_eq!(refusal.problems.len(), 1, "{refusal}");
    assert!(
        refusal
            .warnings
            .iter()
            .any(|told| told.starts_with("admin.address")),
        "{refusal:?}"
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
        ("HEADWARDEN_TRUSTED_PROXIES", "10.0.0.0/8"),
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
    let mut tree = base();
    tree["headscale"] = json!({"sign_in": "own"});
    let text = tree.to_string();
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
fn beside_an_issuer_of_ours_headscales_variable_does_not_replace_the_files_secret() {
    let theirs = ("HEADSCALE_OIDC_CLIENT_SECRET", "canary-for-us");
    let settings = read_with(&base().to_string(), &[theirs]).unwrap();
    assert_eq!(settings.oidc.client_secret.expose(), CANARY);
}

#[test]
fn unknown_keys_get_the_closest_name_and_never_show_their_value() {
    refused(
        r#"
        oidc.client_secrt | "canary" | oidc.client_secrt | did you mean oidc.client_secret?
        sessions | {"x": "canary"} | sessions | did you mean session?
        oidc.lifetime | "1h" | oidc.lifetime | did you mean session.lifetime?
        access | [{"path": "/a", "group": ["canary"]}] | access[0].group | did you mean access[0].groups?
        zzzzzz | "canary" | zzzzzz | there is no such key
        "#,
    );
}

#[test]
fn a_file_is_loaded_from_disk_with_its_permissions_in_mind() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("config.yaml");
    let none = Environment::default();
    let problems = load(&path, &none).unwrap_err().problems;
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
    assert_eq!(load(&path, &none).unwrap_err().problems.len(), 1);
}
