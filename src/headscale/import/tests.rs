use serde_json::Value;

use super::*;
use crate::config::{self, Certificates, Environment, FileText, Settings, SignIn};

/// The keys that every version has, without a secret and without `oidc:`.
const COMMON: &str = "\
metrics_listen_addr: 127.0.0.1:9090
noise: { private_key_path: /var/lib/headscale/noise_private.key }
prefixes: { v4: 100.64.0.0/10, v6: 'fd7a:115c:a1e0::/48', allocation: sequential }
derp:
  server: { enabled: false, region_id: 999, region_code: headscale, stun_listen_addr: '0.0.0.0:3478' }
  urls: [https://controlplane.tailscale.com/derpmap/default]
  auto_update_enabled: true
  update_frequency: 24h
disable_check_updates: false
database: { type: sqlite, sqlite: { path: /var/lib/headscale/db.sqlite } }
acme_url: https://acme-v02.api.letsencrypt.org/directory
acme_email: ''
tls_letsencrypt_hostname: ''
tls_letsencrypt_cache_dir: /var/lib/headscale/cache
tls_letsencrypt_challenge_type: HTTP-01
tls_letsencrypt_listen: ':http'
tls_cert_path: ''
tls_key_path: ''
log: { format: text, level: info }
policy: { mode: file, path: '' }
dns: { magic_dns: true, base_domain: example.com, nameservers: { global: [1.1.1.1], split: {} }, search_domains: [], extra_records: [] }
unix_socket: /var/run/headscale/headscale.sock
unix_socket_permission: '0770'
logtail: { enabled: false }
";

/// Keys that came and went: version, what is only there, what of its `oidc:` block is.
const VERSIONS: [(&str, &str, &str); 8] = [
    (
        "0.23",
        "grpc_listen_addr: 127.0.0.1:50443\ngrpc_allow_insecure: false\nephemeral_node_inactivity_timeout: 30m\nrandomize_client_port: false\n",
        "  expiry: 180d\n  use_expiry_from_token: false\n  strip_email_domain: true\n",
    ),
    (
        "0.24",
        "grpc_listen_addr: 127.0.0.1:50443\nephemeral_node_inactivity_timeout: 30m\nrandomize_client_port: false\n",
        "  expiry: 180d\n  pkce: { enabled: false, method: S256 }\n  map_legacy_users: true\n  strip_email_domain: true\n",
    ),
    (
        "0.25",
        "grpc_listen_addr: 127.0.0.1:50443\nephemeral_node_inactivity_timeout: 30m\n",
        "  expiry: 180d\n  pkce: { enabled: true, method: S256 }\n  map_legacy_users: false\n",
    ),
    (
        "0.26",
        "grpc_listen_addr: 127.0.0.1:50443\ngrpc_allow_insecure: false\nephemeral_node_inactivity_timeout: 30m\n",
        "  expiry: 180d\n  pkce: { enabled: true }\n",
    ),
    (
        "0.27",
        "grpc_listen_addr: 127.0.0.1:50443\nephemeral_node_inactivity_timeout: 30m\ntuning: { notifier_send_timeout: 800ms }\n",
        "  expiry: 180d\n  pkce: { enabled: true, method: plain }\n",
    ),
    (
        "0.28",
        "grpc_listen_addr: 127.0.0.1:50443\nephemeral_node_inactivity_timeout: 30m\ntaildrop: { enabled: true }\n",
        "  expiry: 180d\n  email_verified_required: false\n",
    ),
    (
        "0.29",
        "grpc_listen_addr: 127.0.0.1:50443\nnode: { expiry: 0, ephemeral: { inactivity_timeout: 30m } }\ntrusted_proxies: [10.0.0.0/8]\nauto_update: { enabled: false }\n",
        "  email_verified_required: true\n",
    ),
    (
        "0.30",
        "node: { expiry: 90d, routes: { ha: { probe_interval: 10s, probe_timeout: 5s } } }\ntrusted_proxies: []\ntuning: { register_cache_max_entries: 1024 }\npreauth_keys: { revoked_retention: 168h }\n",
        "  use_expiry_from_token: true\n",
    ),
];

const OIDC: &str = "\
oidc:
  only_start_if_oidc_is_available: false
  issuer: https://authentik.company/application/o/headscale/
  client_id: the-client
  client_secret: canary-secret-0123456789
  scope: [openid, profile, email, custom]
  extra_params: { domain_hint: acmecorp.net }
  allowed_domains: [acmecorp.net]
  allowed_groups: [/headscale]
  allowed_users: [dominic@acmecorp.net]
";

/// The settings that the made configuration means; every problem at once where there is one.
fn load(made: &Import) -> Settings {
    let secret = |_: &std::path::Path| {
        Ok(FileText {
            text: "a-secret-of-the-provider".to_owned(),
            mode: 0o600,
        })
    };
    let environment = Environment::from_pairs([("CREDENTIALS_DIRECTORY", "/run/credentials/x")]);
    config::read_text(&made.config, &environment, &secret)
        .unwrap_or_else(|refusal| panic!("{}\n{refusal}", made.config))
}

fn made(text: &str) -> Import {
    import(text, "/etc/headscale/config.yaml").unwrap()
}

fn what(made: &Import, key: &str) -> Vec<What> {
    let notes = made.notes.iter().filter(|note| note.key == key);
    notes.map(|note| note.what).collect()
}

#[test]
fn every_version_becomes_a_good_configuration_in_which_nothing_is_lost() {
    for (version, keys, block) in VERSIONS {
        for listen in [
            "listen_addr: 0.0.0.0:8080\n",
            "listen_addr: 127.0.0.1:8080\n",
        ] {
            let text = format!(
                "server_url: https://headscale.company\n{listen}{COMMON}{keys}{OIDC}{block}"
            );
            let made = made(&text);
            let settings = load(&made);
            assert!(
                matches!(settings.headscale.sign_in, SignIn::Own),
                "{version}"
            );
            assert_eq!(settings.server_url.origin, "https://headscale.company");
            assert_eq!(
                settings.oidc.issuer.as_str(),
                "https://authentik.company/application/o/headscale/"
            );
            assert_eq!(settings.oidc.client_id, "the-client", "{version}");
            assert_eq!(
                settings.oidc.scope,
                ["openid", "profile", "email", "custom"]
            );
            assert_eq!(settings.oidc.extra_params["domain_hint"], "acmecorp.net");
            assert!(!settings.oidc.only_start_if_available, "{version}");
            assert_eq!(settings.rules.allowed_domains, ["acmecorp.net"]);
            assert_eq!(settings.rules.allowed_groups, ["/headscale"]);
            assert_eq!(settings.rules.allowed_users, ["dominic@acmecorp.net"]);
            let verified = !block.contains("email_verified_required: false");
            assert_eq!(
                settings.rules.email_verified_required, verified,
                "{version}"
            );
            // Headscale moves out of the way, to where the configuration looks for it.
            assert_eq!(settings.listen[0].address.port(), 8080, "{version}");
            let upstream = settings.headscale.upstream.authority();
            let back: Value = serde_saphyr::from_str(&made.headscale).unwrap();
            assert_eq!(back["listen_addr"], upstream, "{version}");
            assert_ne!(settings.headscale.upstream.port, 8080, "{version}");
            // Every key has its note, and none is called unknown.
            let tree = config::parse_foreign(&text, "x").unwrap();
            for key in Old::new(tree).leaves() {
                assert!(
                    made.notes
                        .iter()
                        .any(|note| note.key == key || key.starts_with(&format!("{}.", note.key))),
                    "{version}: {key}"
                );
            }
            let unknown = made.notes.iter().find(|note| note.what == What::Unknown);
            assert_eq!(unknown, None, "{version}");
            // The secret is copied nowhere.
            let all = format!("{made:?}");
            assert!(!all.contains("canary"), "{version}: {all}");
        }
    }
}

#[test]
fn what_newer_headscales_refuse_to_start_with_is_not_put_back() {
    for (version, keys, block) in VERSIONS {
        let text = format!("server_url: https://headscale.company\n{COMMON}{keys}{OIDC}{block}");
        let made = made(&text);
        let back: Value = serde_saphyr::from_str(&made.headscale).unwrap();
        for key in ["strip_email_domain", "map_legacy_users", "expiry"] {
            assert_eq!(back["oidc"].get(key), None, "{version} {key}");
            let was = block.contains(&format!("  {key}:"));
            let told = made.headscale.contains(&format!("# delete {key}: "));
            assert_eq!(told, was, "{version} {key}: {}", made.headscale);
        }
        assert_eq!(
            back["oidc"]["issuer"],
            "https://authentik.company/application/o/headscale/"
        );
        assert_eq!(back["oidc"]["allowed_groups"][0], "/headscale");
    }
}

/// What `server_url`, `listen_addr` and the keys of TLS become.
#[test]
fn headwarden_takes_the_address_and_whoever_terminated_tls_is_known() {
    for (url, keys, listen, tls, trusted) in [
        (
            "https://hs.company",
            "listen_addr: 0.0.0.0:443\ntls_cert_path: /c\ntls_key_path: /k\n",
            "0.0.0.0:443",
            Some("/c"),
            &[][..],
        ),
        (
            "https://hs.company:8443/",
            "listen_addr: ':8443'\ntls_cert_path: /c\ntls_key_path: /k\ntrusted_proxies: [10.1.2.3/8, 192.0.2.1/32]\n",
            "[::]:8443",
            Some("/c"),
            &["10.0.0.0/8", "192.0.2.1/32"],
        ),
        (
            "https://hs.company",
            "listen_addr: 0.0.0.0:8080\n",
            "0.0.0.0:8080",
            None,
            &["127.0.0.1/32", "::1/128"],
        ),
        (
            "https://hs.company",
            "listen_addr: localhost:8080\ntrusted_proxies: ['0.0.0.0/0', 10.0.0.0/8]\n",
            "127.0.0.1:8080",
            None,
            &["10.0.0.0/8"],
        ),
        (
            "https://hs.company",
            "listen_addr: ':https'\ntls_letsencrypt_hostname: hs.company\n",
            "[::]:443",
            Some("acme"),
            &[],
        ),
        (
            "https://hs.company",
            "listen_addr: 'hs.internal:8080'\n",
            "127.0.0.1:8080",
            None,
            &["127.0.0.1/32", "::1/128"],
        ),
        (
            "http://127.0.0.1:8080",
            "listen_addr: 127.0.0.1:8080\n",
            "127.0.0.1:8080",
            None,
            &[],
        ),
        (
            "http://hs.lan:8080",
            "LISTEN_ADDR: '[::1]:8080'\n",
            "[::1]:8080",
            None,
            &[],
        ),
    ] {
        let made = made(&format!("server_url: {url}\n{keys}"));
        let settings = load(&made);
        assert_eq!(settings.listen[0].address.to_string(), listen, "{keys}");
        let cert = settings.listen[0]
            .tls
            .as_ref()
            .map(|tls| match &tls.certificates {
                Certificates::Files(files) => files[0].cert_path.display().to_string(),
                Certificates::Acme => "acme".to_owned(),
            });
        assert_eq!(cert.as_deref(), tls, "{keys}");
        let networks: Vec<String> = settings
            .trusted_proxies
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(networks, trusted, "{keys}");
        let acme = keys.contains("letsencrypt");
        assert_eq!(settings.listen.len(), if acme { 2 } else { 1 }, "{keys}");
        assert_eq!(settings.headscale.upstream.host, "127.0.0.1");
        if tls.is_none() && url.starts_with("https") && !keys.contains("trusted") {
            assert_eq!(what(&made, "headwarden: trusted_proxies"), [What::ToDo]);
        }
    }
}

#[test]
fn certificates_are_ordered_as_headscale_ordered_them() {
    for (keys, directory, contact, challenge, plaintext) in [
        (
            "",
            "https://acme-v02.api.letsencrypt.org/directory",
            None,
            "Http01",
            true,
        ),
        (
            "acme_url: https://acme.company/directory\nacme_email: ops@acmecorp.net\n",
            "https://acme.company/directory",
            Some("ops@acmecorp.net"),
            "Http01",
            true,
        ),
        (
            "tls_letsencrypt_challenge_type: TLS-ALPN-01\n",
            "https://acme-v02.api.letsencrypt.org/directory",
            None,
            "TlsAlpn01",
            false,
        ),
    ] {
        let text = format!(
            "server_url: https://hs.company\nlisten_addr: 0.0.0.0:443\n\
             tls_letsencrypt_hostname: hs.company\n{keys}"
        );
        let made = made(&text);
        let settings = load(&made);
        let acme = settings.acme.unwrap();
        assert_eq!(acme.directory_url, directory, "{keys}");
        let named = acme.contact.first().map(String::as_str);
        assert_eq!(
            named.map(|it| it.trim_start_matches("mailto:")),
            contact,
            "{keys}"
        );
        assert_eq!(acme.names, ["hs.company"]);
        assert_eq!(format!("{:?}", acme.challenge), challenge, "{keys}");
        assert_eq!(settings.listen.len() == 2, plaintext, "{keys}");
        assert!(
            made.headscale.contains("tls_letsencrypt_hostname: \"\""),
            "{keys}"
        );
        assert_eq!(
            what(&made, "headwarden: acme.terms_of_service_agreed"),
            [What::ToDo]
        );
    }
}

#[test]
fn headscales_new_port_is_nobody_elses() {
    let text = "server_url: https://hs.company\nlisten_addr: 127.0.0.1:8080\n\
                metrics_listen_addr: 127.0.0.1:8081\ngrpc_listen_addr: ':8082'\n";
    assert_eq!(load(&made(text)).headscale.upstream.port, 8083);
}

#[test]
fn a_secret_is_referred_to_where_it_is() {
    for (keys, path, note) in [
        (
            "client_secret_path: '${CREDENTIALS_DIRECTORY}/oidc_client_secret'",
            "${CREDENTIALS_DIRECTORY}/oidc_client_secret",
            ("oidc.client_secret_path", What::ToDo),
        ),
        (
            "client_secret_path: /etc/headscale/secret",
            "/etc/headscale/secret",
            ("oidc.client_secret_path", What::Carried),
        ),
        (
            "client_secret: canary",
            "${CREDENTIALS_DIRECTORY}/oidc_client_secret",
            ("oidc.client_secret", What::ToDo),
        ),
        (
            "client_secret: canary\n  client_secret_path: /etc/headscale/secret",
            "/etc/headscale/secret",
            ("oidc.client_secret_path", What::Carried),
        ),
        (
            "client_id: hs-client",
            "${CREDENTIALS_DIRECTORY}/oidc_client_secret",
            ("oidc.client_secret", What::ToDo),
        ),
    ] {
        let text = format!(
            "server_url: https://hs.company\noidc:\n  issuer: https://id.company/\n  allowed_groups: [a]\n  {keys}\n"
        );
        let made = made(&text);
        let config: Value = serde_saphyr::from_str(&made.config).unwrap();
        assert_eq!(config["oidc"]["client_secret_path"], path, "{keys}");
        assert_eq!(what(&made, note.0), [note.1], "{keys}");
        assert!(!format!("{made:?}").contains("canary"), "{keys}");
        load(&made);
    }
}

#[test]
fn who_could_sign_in_before_can_afterwards_and_nobody_else() {
    for (keys, everyone) in [
        ("allowed_groups: [a]", false),
        ("allowed_domains: [a.example]", false),
        ("allowed_users: [x@a.example]", false),
        ("allowed_groups: []", true),
        ("client_id: hs-client", true),
    ] {
        let text = format!(
            "server_url: https://hs.company\noidc:\n  issuer: https://id.company/\n  {keys}\n"
        );
        let made = made(&text);
        let rules = load(&made).rules;
        let restricts = !(rules.allowed_groups.is_empty()
            && rules.allowed_domains.is_empty()
            && rules.allowed_users.is_empty());
        assert_eq!(restricts, !everyone, "{keys}");
        assert_eq!(
            made.config.contains("allow_everyone: true"),
            everyone,
            "{keys}"
        );
    }
    // An entry that can fit nobody is not dropped: without it, the list would restrict nobody.
    let text = "server_url: https://hs.company\noidc:\n  issuer: https://id.company/\n  allowed_users: [ann]\n";
    let config: Value = serde_saphyr::from_str(&made(text).config).unwrap();
    assert_eq!(config["oidc"]["allowed_users"][0], "ann");
    assert_eq!(config["oidc"].get("allow_everyone"), None);
}

#[test]
fn without_a_block_headscale_signs_nobody_in_and_the_examples_are_to_do() {
    let made = made(&format!(
        "server_url: https://hs.company\nlisten_addr: 127.0.0.1:8080\n{COMMON}"
    ));
    assert!(matches!(load(&made).headscale.sign_in, SignIn::None));
    assert_eq!(what(&made, "headwarden: oidc"), [What::ToDo]);
    let back: Value = serde_saphyr::from_str(&made.headscale).unwrap();
    assert_eq!(back.get("oidc"), None);
}

#[test]
fn unknown_keys_are_named_and_their_values_are_not() {
    let text = "server_url: https://hs.company\noidc: { issuer: https://id.company/, client_secert: canary }\n\
                sever_url: canary\nnested: { deep: { key: canary } }\n\"x\\ny\": canary\n";
    let made = made(text);
    let unknown: Vec<&str> = made
        .notes
        .iter()
        .filter(|note| note.what == What::Unknown)
        .map(|note| note.key.as_str())
        .collect();
    assert_eq!(
        unknown,
        ["nested.deep.key", "oidc.client_secert", "sever_url", "x\ny"]
    );
    assert!(!format!("{made:?}").contains("canary"));
}

#[test]
fn no_value_breaks_out_of_its_line() {
    let text = "server_url: https://hs.company\nlisten_addr: \"0.0.0.0:1\\n# x: y\"\noidc:\n  issuer: \"https://id.company/\\\"\\nallow_everyone: true\"\n  client_id: \"a\\nb: c # d\"\n  allowed_groups: [\"x]\\ny: z\"]\n  extra_params: { \"k\\n: v\": \"w\\n\" }\n";
    let made = made(text);
    let config: Value = serde_saphyr::from_str(&made.config).unwrap();
    assert_eq!(
        config["oidc"]["issuer"],
        "https://id.company/\"\nallow_everyone: true"
    );
    assert_eq!(config["oidc"]["client_id"], "a\nb: c # d");
    assert_eq!(config["oidc"]["allowed_groups"][0], "x]\ny: z");
    assert_eq!(config.get("y"), None);
    let top: Vec<&String> = config.as_object().unwrap().keys().collect();
    assert_eq!(
        top,
        [
            "headscale",
            "listen",
            "oidc",
            "server_url",
            "trusted_proxies"
        ]
    );
    let back: Value = serde_saphyr::from_str(&made.headscale).unwrap();
    assert_eq!(back.as_object().unwrap().len(), 3, "{}", made.headscale);
}

#[test]
fn what_is_no_headscale_configuration_is_refused() {
    for (text, part) in [
        ("", "server_url is missing"),
        ("listen_addr: 1.2.3.4:5", "server_url is missing"),
        ("server_url: ''", "server_url is missing"),
        ("server_url: hs.company", "not an http or https URL"),
        ("server_url: ftp://hs.company", "not an http or https URL"),
        ("server_url: [", "reason:"),
        ("server_url: a\nserver_url: b", "reason:"),
    ] {
        let why = import(text, "x").unwrap_err().to_string();
        assert!(why.contains(part), "{text}: {why}");
    }
}
