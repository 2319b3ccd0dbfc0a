//! The configuration read again while a process runs: every key does what its class says.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use super::*;
use crate::config::change::CHANGES;

/// A directory with every example's secrets, and a configuration in it that may be written anew.
struct Desk {
    directory: tempfile::TempDir,
    source: Source,
}

impl Desk {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        for name in [
            "headscale_client_secret",
            "headscale_api_key",
            "oidc_client_secret",
            "redis_password",
            "other",
        ] {
            let path = directory.path().join(name);
            std::fs::write(&path, format!("canary-0123456789abcdef-{name}\n")).unwrap();
            std::fs::set_permissions(&path, PermissionsExt::from_mode(0o400)).unwrap();
        }
        for (name, text) in [
            ("acme_eab_secret", "0123456789abcdef-acme_eab_secret"),
            ("acme_eab_other", "fedcba9876543210-acme_eab_secret"),
            ("otlp_headers", "X-Tenant: other"),
        ] {
            std::fs::write(directory.path().join(name), text).unwrap();
        }
        let here = directory.path().to_str().unwrap();
        let places = ["CREDENTIALS_DIRECTORY", "STATE_DIRECTORY"].map(|name| (name, here));
        let environment = Environment::from_pairs(places);
        let source = Source::new(directory.path().join("config.yaml"), environment);
        Self { directory, source }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn write(&self, tree: &Value) {
        std::fs::write(self.path("config.yaml"), tree.to_string()).unwrap();
    }

    fn load(&self, tree: &Value) -> Loaded {
        self.write(tree);
        let outcome = self.source.read().outcome;
        outcome.unwrap_or_else(|refusal| panic!("{tree}:\n{refusal}"))
    }

    /// What a process that runs by `running` takes over from `tree`.
    fn take(&self, running: &Loaded, tree: &Value) -> Result<Taken, Refusal> {
        self.write(tree);
        self.source.take(running, &self.source.read())
    }
}

/// The example with every key.
fn full() -> Value {
    let text = include_str!("../../../config/full.yaml");
    yaml::parse_document(text, "full.yaml").unwrap().value
}

fn told(settings: &Settings) -> String {
    let secrets = [
        Some(&settings.oidc.client_secret),
        settings.headscale.api_key.as_ref(),
        match &settings.headscale.sign_in {
            SignIn::Issuer(issuer) => Some(&issuer.client_secret),
            SignIn::Own | SignIn::None => None,
        },
        match &settings.session.store {
            Store::Redis(redis) => redis.password.as_ref(),
            Store::Memory => None,
        },
    ];
    let secrets = secrets.map(|secret| secret.map(|it| it.expose().clone()));
    let settings = Settings {
        warnings: Vec::new(),
        ..settings.clone()
    };
    format!("{settings:?} {secrets:?}")
}

/// For each key another value than the example's; behind it what has to be so before, for that to be good.
const OTHERS: &str = r#"
server_url | "https://other.company"
allow_insecure_server_url | true
listen | [{"address": "0.0.0.0:445"}]
listen[].address | "0.0.0.0:445"
listen[].http2 | false
listen[].proxy_protocol | "required"
listen[].tls.cert_path | "/etc/other.crt"
listen[].tls.key_path | "/etc/other.key"
listen[].tls.certificates | [{"cert_path":"/etc/other.crt","key_path":"/etc/other.key"}]
listen[].tls.certificates[].cert_path | "/etc/other.crt"
listen[].tls.certificates[].key_path | "/etc/other.key"
listen[].tls.acme | {"cert_path":"/etc/other.crt","key_path":"/etc/other.key"}
listen[].tls.client_ca_path | "/etc/other.pem"
listen[].tls.client_auth | "optional"
listen[].tls.client_names | ["other.internal"]
acme.terms_of_service_agreed | true
acme.directory_url | "https://other.internal/directory"
acme.contact | ["other@acmecorp.net"]
acme.names | ["headscale.company", "other.company"]
acme.challenge | "tls-alpn-01"
acme.storage_path | "/var/lib/headwarden/other"
acme.ca_path | "/etc/other.pem"
acme.eab_key_id | "kid-2"
acme.eab_hmac_key | "fedcba9876543210-acme_eab_secret" | acme.eab_hmac_key_path=null acme.eab_hmac_key="0123456789abcdef-acme_eab_secret"
acme.eab_hmac_key_path | "${CREDENTIALS_DIRECTORY}/acme_eab_other"
admin.enabled | false
admin.address | "127.0.0.1:9999"
admin.sessions | true
admin.socket_path | "/run/headwarden/other.sock"
admin.socket_access | "group"
trusted_proxies | ["10.1.0.0/16"]
keys_path | "/var/lib/headwarden/other.json"
workers | 5
headscale.url | "https://headscale.internal:8444"
headscale.grpc_url | "https://headscale.internal:50444"
headscale.ca_path | "/etc/other.pem"
headscale.sign_in | "own"
headscale.api_key | "canary-another-key-0123" | headscale.api_key_path=null headscale.api_key="canary-a-key-01234567"
headscale.api_key_path | "${CREDENTIALS_DIRECTORY}/other"
headscale.api_key_rotate.enabled | true | headscale.api_key_path="${STATE_DIRECTORY}/headscale_api_key"
headscale.api_key_rotate.before | "20d" | headscale.api_key_path="${STATE_DIRECTORY}/headscale_api_key" headscale.api_key_rotate.enabled=true
headscale.api_key_rotate.lifetime | "80d" | headscale.api_key_path="${STATE_DIRECTORY}/headscale_api_key" headscale.api_key_rotate.enabled=true
headscale.verify_from | []
headscale.response_timeout | "61s"
headscale.connect_timeout | "6s"
headscale.issuer.url | "https://other.internal:8181"
headscale.issuer.address | "10.0.0.6:8181"
headscale.issuer.tls.cert_path | "/etc/other.crt"
headscale.issuer.tls.key_path | "/etc/other.key"
headscale.issuer.tls.certificates | [{"cert_path":"/etc/other.crt","key_path":"/etc/other.key"}] | headscale.issuer.tls.cert_path=null headscale.issuer.tls.key_path=null headscale.issuer.tls.certificates=[{"cert_path":"/etc/a.crt","key_path":"/etc/a.key"}]
headscale.issuer.tls.certificates[].cert_path | "/etc/other.crt" | headscale.issuer.tls.cert_path=null headscale.issuer.tls.key_path=null headscale.issuer.tls.certificates=[{"cert_path":"/etc/a.crt","key_path":"/etc/a.key"}]
headscale.issuer.tls.certificates[].key_path | "/etc/other.key" | headscale.issuer.tls.cert_path=null headscale.issuer.tls.key_path=null headscale.issuer.tls.certificates=[{"cert_path":"/etc/a.crt","key_path":"/etc/a.key"}]
headscale.issuer.allow_plaintext | true
headscale.issuer.client_id | "other"
headscale.issuer.client_secret | "canary-another-secret-0123" | headscale.issuer.client_secret_path=null headscale.issuer.client_secret="canary-a-secret-01234567"
headscale.issuer.client_secret_path | "${CREDENTIALS_DIRECTORY}/other"
headscale.issuer.key_path | "/var/lib/headwarden/other_key.json"
headscale.issuer.node_expiry | "91d"
headscale.issuer.ssh_max_age | "6m"
headscale.issuer.ssh_acr | ["silver"]
headscale.issuer.ssh_amr | ["otp"]
oidc.only_start_if_oidc_is_available | false
oidc.start_timeout | "61s"
oidc.issuer | "https://authentik.company/application/o/other/"
oidc.client_id | "other"
oidc.client_secret | "canary-another-secret-0123" | oidc.client_secret_path=null oidc.client_secret="canary-a-secret-01234567"
oidc.client_secret_path | "${CREDENTIALS_DIRECTORY}/other"
oidc.scope | ["openid"]
oidc.extra_params | {}
oidc.allowed_domains | ["other.net"]
oidc.allowed_groups | ["other"]
oidc.allowed_users | []
oidc.allow_everyone | true
oidc.exact_group_names | true
oidc.email_verified_required | false
oidc.pkce.enabled | false
oidc.pkce.method | "plain"
oidc.strip_email_domain | false
oidc.allow_name_collisions | true
oidc.use_expiry_from_token | true | headscale.issuer.node_expiry=null
oidc.username_claim | "email"
oidc.groups_claim | "roles"
oidc.allow_hs256 | true
oidc.ca_path | "/etc/other.pem"
oidc.timeout | "11s"
session.store | "memory"
session.store_grace | "6m"
session.redis.url | "rediss://other.internal:6379/0"
session.redis.topology | "cluster"
session.redis.nodes | ["other.internal:6379"] | session.redis.topology="cluster"
session.redis.sentinel_name | "other" | session.redis.topology="sentinel" session.redis.sentinel_name="one"
session.redis.username | "other"
session.redis.password | "canary-another-word" | session.redis.password_path=null session.redis.password="canary-a-word"
session.redis.password_path | "${CREDENTIALS_DIRECTORY}/other"
session.redis.ca_path | "/etc/other.pem"
session.redis.prefix | "other"
session.redis.timeout | "2s"
session.idle_timeout | "9h"
session.lifetime | "8d"
session.recheck | "6m"
session.recheck_grace | "16m"
session.capacity | 100001
session.snapshot_path | "/var/lib/headwarden/sessions" | session.store="memory"
open | []
access | [] | api.from=[]
access[].path | "/admin/other/**" | api.from=[]
access[].upstream | "https://other.internal:3000"
access[].upstream.url | "https://other.internal:3000"
access[].upstream.urls | ["https://10.0.0.7:3000", "https://10.0.0.9:3000"]
access[].upstream.ca_path | "/etc/other.pem"
access[].upstream.tls_server_name | "other.internal"
access[].upstream.connect_timeout | "3s"
access[].upstream.response_timeout | "6m"
access[].upstream.strip_prefix | null
access[].upstream.add_prefix | "/other"
access[].upstream.host_header | "upstream"
access[].upstream.balance | "first"
access[].upstream.health_check.path | "/other"
access[].upstream.health_check.interval | "11s"
access[].upstream.health_check.timeout | "6s"
access[].upstream.health_check.healthy_after | 3
access[].upstream.health_check.unhealthy_after | 4
access[].ca_path | "/etc/other.pem"
access[].methods | ["GET"]
access[].public | false
access[].groups | []
access[].domains | ["other.company"]
access[].users | []
access[].claims | {"level":[3]}
access[].max_auth_age | "16m"
access[].acr | ["silver"]
access[].amr | ["otp"]
access[].identity_headers | "none"
access[].assertion | false | access[].assertion_audience=null
access[].assertion_audience | "other"
api.admins | []
api.viewers | []
api.from | []
api.bearer | "deny"
offboarding.expire_nodes | false
offboarding.after | "16m"
offboarding.most | 11
offboarding.refused_refresh | false
offboarding.dry_run | true
offboarding.state_path | "/var/lib/headwarden/other" | session.store="memory"
policy_sync.groups | [{"name": "net", "from": ["netops"]}]
policy_sync.groups[].name | "net"
policy_sync.groups[].from | ["netops"]
policy_sync.interval | "6m"
policy_sync.forget_after | "30d"
policy_sync.dry_run | true
policy_sync.state_path | "/var/lib/headwarden/other_people"
shutdown.lead | "6s"
shutdown.grace | "11s"
shutdown.upgrade_grace | "2h"
limits.connections_per_address | 1
limits.tunnels_per_minute | 1
limits.open_requests_per_minute | 1
limits.api_requests_per_minute | 1
limits.sign_ins_per_minute | 1
limits.callbacks_per_minute | 1
limits.registrations_per_minute | 1
limits.logouts_per_minute | 1
limits.header_timeout | "11s"
limits.keepalive_timeout | "76s"
log.format | "human"
log.level | "debug"
reload.watch | false
audit.path | "/var/log/headwarden/other.jsonl"
audit.user_names | true
tracing.otlp_endpoint | "http://127.0.0.1:4319"
tracing.sample_one_in | 11
tracing.service_name | "other"
tracing.headers_path | "${CREDENTIALS_DIRECTORY}/otlp_headers"
tracing.ca_path | "/etc/other.pem"
"#;

/// Keys that only permit others: alone they mean nothing.
const PERMITS: &[&str] = &[
    "allow_insecure_server_url",
    "headscale.issuer.allow_plaintext",
    "acme.terms_of_service_agreed",
    "oidc.allow_everyone",
    "oidc.pkce.enabled",
    "oidc.allow_name_collisions",
];

/// Secrets that [`told`] does not tell.
const UNSEEN: &[&str] = &["acme.eab_hmac_key", "acme.eab_hmac_key_path"];

/// The parts of a row: key, value, and what has to be so before.
fn row(line: &str) -> (&str, Value, Vec<(&str, Value)>) {
    let parts: Vec<&str> = line.split(" | ").collect();
    let json = |text: &str| serde_json::from_str(text).unwrap();
    let before = parts.get(2).copied().unwrap_or_default();
    let before = before.split(' ').filter(|part| !part.is_empty());
    let before = before.map(|part| part.split_once('=').unwrap());
    (
        parts[0],
        json(parts[1]),
        before.map(|(key, value)| (key, json(value))).collect(),
    )
}

/// Sets a key; where it is in a list, in the first entry that has it.
fn put(tree: &mut Value, key: &str, value: Value) {
    let Some((list, rest)) = key.split_once("[].") else {
        return set(tree, key, value);
    };
    let list = tree
        .pointer_mut(&format!("/{}", list.replace('.', "/")))
        .unwrap();
    let within = format!("/{}", rest.replace("[].", "/0/").replace('.', "/"));
    let entries = list.as_array_mut().unwrap();
    let entry = entries
        .iter_mut()
        .find(|entry| entry.pointer(&within).is_some());
    put(entry.unwrap(), rest, value);
}

#[test]
fn every_key_counts_at_once_or_from_the_next_start_as_its_class_says() {
    let rows: Vec<_> = OTHERS.trim().lines().map(row).collect();
    let tried: Vec<&str> = rows.iter().map(|(key, ..)| *key).collect();
    assert_eq!(tried, key_paths().collect::<Vec<_>>());
    let desk = Desk::new();
    for (key, value, before) in rows {
        let mut tree = full();
        for (key, value) in before {
            put(&mut tree, key, value);
        }
        let running = desk.load(&tree);
        // Certificates that are ordered exclude files.
        let place = if key == "listen[].tls.acme" {
            "listen[].tls"
        } else {
            key
        };
        put(&mut tree, place, value);
        let fresh = desk.load(&tree);
        let means_nothing = told(&fresh.settings) == told(&running.settings);
        let unseen = UNSEEN.contains(&key);
        assert_eq!(means_nothing, unseen || PERMITS.contains(&key), "{key}");
        let taken = desk.take(&running, &tree);
        let taken = taken.unwrap_or_else(|refusal| panic!("{key}:\n{refusal}"));
        let class = CHANGES.iter().find(|(known, _)| *known == key).unwrap().1;
        let whole = key.split("[]").next().unwrap().to_owned();
        let (expected, changed, waiting) = match class {
            Change::Live => (&fresh, vec![whole], vec![]),
            Change::Restart if means_nothing && !unseen => (&running, vec![], vec![]),
            Change::Restart => (&running, vec![], vec![whole]),
        };
        let after = &taken.loaded.settings;
        assert_eq!(told(after), told(&expected.settings), "{key}");
        assert_eq!((taken.changed, taken.waiting), (changed, waiting), "{key}");
    }
}

#[test]
fn what_waits_is_said_again_until_the_restart_and_forgotten_when_it_is_taken_back() {
    let desk = Desk::new();
    let running = desk.load(&full());
    let mut tree = full();
    put(&mut tree, "workers", json!(5));
    put(&mut tree, "api.bearer", json!("deny"));
    let taken = desk.take(&running, &tree).unwrap();
    assert_eq!(
        (taken.changed, taken.waiting),
        (vec!["api.bearer".to_owned()], vec!["workers".to_owned()])
    );
    let again = desk.take(&taken.loaded, &tree).unwrap();
    assert_eq!(
        (again.changed.len(), again.waiting),
        (0, vec!["workers".to_owned()])
    );
    put(&mut tree, "workers", json!(4));
    let back = desk.take(&again.loaded, &tree).unwrap();
    assert_eq!((back.changed.len(), back.waiting.len()), (0, 0));
}

#[test]
fn the_same_in_other_words_is_no_change() {
    let desk = Desk::new();
    let running = desk.load(&full());
    let mut tree = full();
    put(&mut tree, "oidc.start_timeout", json!("1m"));
    put(&mut tree, "session.capacity", Value::Null);
    put(&mut tree, "allow_insecure_server_url", Value::Null);
    let taken = desk.take(&running, &tree).unwrap();
    assert_eq!(taken.waiting, Vec::<String>::new());
}

#[test]
fn a_secret_or_a_bundle_with_another_content_is_a_change_of_its_key() {
    let desk = Desk::new();
    let bundle = desk.path("bundle.pem");
    let mut tree = full();
    put(&mut tree, "oidc.ca_path", json!(bundle));
    put(&mut tree, "access[].ca_path", json!(bundle));
    let running = desk.load(&tree);
    let reading = desk.source.read();
    assert_eq!(reading.seen, reading.seen.again());
    std::fs::write(&bundle, "another").unwrap();
    assert_ne!(reading.seen, reading.seen.again());
    let taken = desk.take(&running, &tree).unwrap();
    let mut changed = taken.changed;
    changed.sort();
    assert_eq!(changed, ["access", "oidc.ca_path"]);
    let secret = desk.path("oidc_client_secret");
    std::fs::remove_file(&secret).unwrap();
    std::fs::write(&secret, "canary-9876543210").unwrap();
    let taken = desk.take(&taken.loaded, &tree).unwrap();
    assert_eq!(taken.changed, ["oidc.client_secret_path"]);
    let client_secret = &taken.loaded.settings.oidc.client_secret;
    assert_eq!(client_secret.expose(), "canary-9876543210");
}

#[test]
fn a_file_that_is_bad_beside_what_has_to_stay_is_refused_with_the_keys_that_wait() {
    let desk = Desk::new();
    let mut tree = full();
    set(
        &mut tree["access"][1],
        "upstream",
        json!("http://127.0.0.1:8082"),
    );
    put(&mut tree, "listen", json!([{"address": "127.0.0.1:8000"}]));
    let running = desk.load(&tree);
    // Good by itself; but as long as we listen at the old address, it would be a loop.
    put(&mut tree, "listen", json!([{"address": "127.0.0.1:8001"}]));
    set(
        &mut tree["access"][1],
        "upstream",
        json!("http://127.0.0.1:8000"),
    );
    assert!(desk.source.read().outcome.is_ok());
    let refusal = desk.take(&running, &tree).unwrap_err().to_string();
    assert!(refusal.contains("access[1].upstream"), "{refusal}");
    assert!(refusal.contains("restart headwarden"), "{refusal}");
    assert!(refusal.contains("(listen)"), "{refusal}");
}

#[test]
fn what_is_kept_to_compare_with_shows_no_secret() {
    let desk = Desk::new();
    let mut tree = full();
    put(&mut tree, "oidc.client_secret_path", Value::Null);
    put(&mut tree, "oidc.client_secret", json!(CANARY));
    let running = desk.load(&tree);
    let reading = desk.source.read();
    let taken = desk.take(&running, &tree).unwrap();
    let told = format!("{running:?} {reading:?} {taken:?} {:?}", desk.source);
    assert!(!told.contains("canary"), "{told}");
}

#[test]
fn the_rules_of_another_provider_wait_with_it() {
    let desk = Desk::new();
    let mut tree = full();
    let running = desk.load(&tree);
    put(&mut tree, "oidc.issuer", json!("https://id.acme.com/"));
    put(&mut tree, "oidc.allow_everyone", json!(true));
    put(&mut tree, "oidc.email_verified_required", json!(false));
    put(&mut tree, "access", json!([]));
    put(&mut tree, "api.from", json!([]));
    put(&mut tree, "log.level", json!("debug"));
    let taken = desk.take(&running, &tree).unwrap();
    assert_eq!(taken.changed, ["log.level"]);
    assert_eq!(
        taken.waiting,
        [
            "oidc.issuer",
            "oidc.allow_everyone",
            "oidc.email_verified_required",
            "access",
            "api.from"
        ]
    );
    let mut expected = full();
    put(&mut expected, "log.level", json!("debug"));
    let expected = desk.load(&expected);
    assert_eq!(told(&taken.loaded.settings), told(&expected.settings));
}

#[test]
fn where_a_secret_is_written_anew_for_what_waits_nothing_of_the_file_counts() {
    let desk = Desk::new();
    for (first, value, key, file) in [
        (
            "oidc.issuer",
            "https://id.acme.com/",
            "oidc.client_secret_path",
            "oidc_client_secret",
        ),
        (
            "oidc.client_id",
            "other",
            "oidc.client_secret_path",
            "oidc_client_secret",
        ),
        (
            "headscale.url",
            "https://headscale.internal:8444",
            "headscale.api_key_path",
            "headscale_api_key",
        ),
    ] {
        let mut tree = full();
        let running = desk.load(&tree);
        put(&mut tree, first, json!(value));
        put(&mut tree, "log.level", json!("debug"));
        let path = desk.path(file);
        let before = std::fs::read(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, "canary-of-another-0123456789").unwrap();
        let refusal = desk.take(&running, &tree).unwrap_err().to_string();
        assert!(refusal.contains(key), "{refusal}");
        assert!(refusal.contains(first), "{refusal}");
        assert!(refusal.contains("restart headwarden"), "{refusal}");
        std::fs::write(&path, before).unwrap();
        let taken = desk.take(&running, &tree).unwrap();
        assert_eq!(taken.changed, ["log.level"], "{first}");
    }
}

/// A key that the process renewed itself is in use already, whatever waits for a restart.
#[test]
fn what_the_process_wrote_into_a_file_itself_keeps_nothing_from_being_taken_over() {
    let desk = Desk::new();
    let mut tree = full();
    let running = desk.load(&tree);
    put(
        &mut tree,
        "headscale.url",
        json!("https://headscale.internal:8444"),
    );
    put(&mut tree, "log.level", json!("debug"));
    let path = desk.path("headscale_api_key");
    std::fs::remove_file(&path).unwrap();
    std::fs::write(&path, "canary-renewed-0123456789\n").unwrap();
    assert!(desk.take(&running, &tree).is_err());
    for (wrote, taken) in [
        ("canary-renewed-0123456789\n", true),
        ("canary-of-another-0123456789\n", false),
    ] {
        let mut running = running.clone();
        running.wrote("headscale.api_key_path", wrote);
        let Ok(found) = desk.take(&running, &tree) else {
            assert!(!taken, "{wrote}");
            continue;
        };
        assert!(taken, "{wrote}");
        assert_eq!(found.changed, ["log.level"]);
        assert_eq!(found.waiting, ["headscale.url"]);
        // And it stays taken over.
        let again = desk.take(&found.loaded, &tree).unwrap();
        assert_eq!(again.changed, [""; 0]);
    }
    let mut elsewhere = running;
    elsewhere.wrote("oidc.client_secret_path", "canary-renewed-0123456789\n");
    assert!(desk.take(&elsewhere, &tree).is_err());
}

#[test]
fn what_is_read_is_what_was_found_or_nothing() {
    let desk = Desk::new();
    let running = desk.load(&full());
    let seen = desk.source.read().seen;
    let mut tree = full();
    put(&mut tree, "api.bearer", json!("deny"));
    desk.write(&tree);
    let found = seen.again();
    let (reading, taken) = desk.source.read_found(&running, &found).unwrap();
    assert_eq!(taken.unwrap().changed, ["api.bearer"]);
    assert!(reading.seen.agrees_with(&found));
    // Written once more behind the second look.
    put(&mut tree, "api.admins", json!(["other"]));
    desk.write(&tree);
    assert!(desk.source.read_found(&running, &found).is_none());
    // A file that nobody looked at before says nothing against it; one that did, does.
    let found = seen.again();
    std::fs::remove_file(desk.path("oidc_client_secret")).unwrap();
    assert!(desk.source.read_found(&running, &found).is_none());
    let found = seen.again();
    assert!(desk.source.read_found(&running, &found).is_some());
    std::fs::write(desk.path("oidc_client_secret"), CANARY).unwrap();
    put(
        &mut tree,
        "oidc.client_secret_path",
        json!(desk.path("other")),
    );
    desk.write(&tree);
    let found = seen.again();
    assert!(desk.source.read_found(&running, &found).is_some());
}

#[test]
fn a_file_that_is_the_beginning_of_what_runs_is_taken_over_when_somebody_says_so_only() {
    let desk = Desk::new();
    let whole = "server_url: https://a.company\nlisten: [{ address: \"127.0.0.1:8000\" }]\n\
        headscale: { url: \"http://127.0.0.1:1\", sign_in: own }\n\
        oidc: { issuer: \"https://b.company/\", client_id: headwarden, allow_everyone: true,\n  \
        client_secret: canary-0123456789 }\nkeys_path: /var/lib/headwarden/keys.json\ntrusted_proxies: [1.1.1.1]\n\
        access:\n  - { path: /a/** }\n  - { path: /b/**, groups: [admins] }\n";
    let write = |text: &str| std::fs::write(desk.path("config.yaml"), text).unwrap();
    write(whole);
    let reading = desk.source.read();
    let running = reading.outcome.unwrap();
    for (end, taken_over) in [
        ("  - { path: /b/**", false),
        ("access:", false),
        (", groups", false),
        ("server_url", false),
        ("\u{0}", true),
    ] {
        let cut = whole.find(end).unwrap_or(whole.trim_end().len());
        write(&whole[..cut]);
        let found = reading.seen.again();
        let (_, taken) = desk.source.read_found(&running, &found).unwrap();
        assert_eq!(taken.is_ok(), taken_over, "{end:?}");
    }
    write(&whole[..whole.find("  - { path: /b/**").unwrap()]);
    let found = reading.seen.again();
    let (read, refused) = desk.source.read_found(&running, &found).unwrap();
    let refused = refused.unwrap_err().to_string();
    assert!(refused.contains("SIGHUP"), "{refused}");
    let taken = desk.source.take(&running, &read).unwrap();
    assert_eq!(taken.changed, ["access"]);
    // Longer, or another beginning: no sign of anything.
    for text in [
        format!("{whole}# more\n"),
        whole.replace("/b/**", "/c/**"),
        whole.replace("https://a", "https://c"),
    ] {
        write(&text);
        let found = reading.seen.again();
        let (_, taken) = desk.source.read_found(&running, &found).unwrap();
        assert!(taken.is_ok(), "{text}");
    }
}
