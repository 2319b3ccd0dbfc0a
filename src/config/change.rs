//! When a changed key counts: the one table, and what it makes of a file that is read again.
//!
//! What waits for a restart keeps the value it has, in every combination: the file that was read is taken
//! with those values put back, and then checked as a whole like any other.

use serde_json::{Map, Value};

/// When a changed key counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// As soon as the file is read again.
    Live,
    /// From the next start on.
    Restart,
}

use Change::{Live, Restart};

/// Every key, in the order of the table of keys. An entry of a list counts when its list does.
pub(super) const CHANGES: &[(&str, Change)] = &[
    // Cookies, redirect URIs and what is sealed are bound to it.
    ("server_url", Restart),
    ("allow_insecure_server_url", Restart),
    ("listen", Restart),
    ("listen[].address", Restart),
    ("listen[].http2", Restart),
    ("listen[].proxy_protocol", Restart),
    ("listen[].tls.cert_path", Restart),
    ("listen[].tls.key_path", Restart),
    ("listen[].tls.certificates", Restart),
    ("listen[].tls.certificates[].cert_path", Restart),
    ("listen[].tls.certificates[].key_path", Restart),
    ("listen[].tls.acme", Restart),
    ("listen[].tls.client_ca_path", Restart),
    ("listen[].tls.client_auth", Restart),
    ("listen[].tls.client_names", Restart),
    ("acme.terms_of_service_agreed", Restart),
    ("acme.directory_url", Restart),
    ("acme.contact", Restart),
    ("acme.names", Restart),
    ("acme.challenge", Restart),
    ("acme.storage_path", Restart),
    ("acme.ca_path", Restart),
    ("acme.eab_key_id", Restart),
    ("acme.eab_hmac_key", Restart),
    ("acme.eab_hmac_key_path", Restart),
    ("admin.enabled", Restart),
    ("admin.address", Restart),
    ("admin.sessions", Live),
    ("admin.socket_path", Restart),
    ("admin.socket_access", Restart),
    ("trusted_proxies", Live),
    ("keys_path", Restart),
    ("workers", Restart),
    ("headscale.url", Restart),
    ("headscale.grpc_url", Live),
    ("headscale.ca_path", Live),
    ("headscale.sign_in", Restart),
    ("headscale.api_key", Live),
    ("headscale.api_key_path", Live),
    ("headscale.api_key_rotate.enabled", Live),
    ("headscale.api_key_rotate.before", Live),
    ("headscale.api_key_rotate.lifetime", Live),
    ("headscale.verify_from", Live),
    ("headscale.response_timeout", Live),
    ("headscale.connect_timeout", Live),
    ("headscale.issuer.url", Restart),
    ("headscale.issuer.address", Restart),
    ("headscale.issuer.tls.cert_path", Restart),
    ("headscale.issuer.tls.key_path", Restart),
    ("headscale.issuer.tls.certificates", Restart),
    ("headscale.issuer.tls.certificates[].cert_path", Restart),
    ("headscale.issuer.tls.certificates[].key_path", Restart),
    ("headscale.issuer.allow_plaintext", Restart),
    ("headscale.issuer.client_id", Restart),
    ("headscale.issuer.client_secret", Live),
    ("headscale.issuer.client_secret_path", Live),
    ("headscale.issuer.key_path", Restart),
    ("headscale.issuer.node_expiry", Live),
    ("headscale.issuer.ssh_max_age", Live),
    ("headscale.issuer.ssh_acr", Live),
    ("headscale.issuer.ssh_amr", Live),
    ("oidc.only_start_if_oidc_is_available", Restart),
    ("oidc.start_timeout", Restart),
    // People, sessions and what is sealed are bound to both.
    ("oidc.issuer", Restart),
    ("oidc.client_id", Restart),
    ("oidc.client_secret", Live),
    ("oidc.client_secret_path", Live),
    ("oidc.scope", Live),
    ("oidc.extra_params", Live),
    ("oidc.allowed_domains", Live),
    ("oidc.allowed_groups", Live),
    ("oidc.allowed_users", Live),
    ("oidc.allow_everyone", Live),
    ("oidc.exact_group_names", Live),
    ("oidc.email_verified_required", Live),
    ("oidc.pkce.enabled", Live),
    ("oidc.pkce.method", Live),
    ("oidc.strip_email_domain", Live),
    ("oidc.allow_name_collisions", Live),
    ("oidc.use_expiry_from_token", Live),
    ("oidc.username_claim", Live),
    ("oidc.groups_claim", Live),
    ("oidc.allow_hs256", Live),
    ("oidc.ca_path", Live),
    // Replicas lock sessions by it.
    ("oidc.timeout", Restart),
    ("session.store", Restart),
    ("session.store_grace", Restart),
    ("session.redis.url", Restart),
    ("session.redis.topology", Restart),
    ("session.redis.nodes", Restart),
    ("session.redis.sentinel_name", Restart),
    ("session.redis.username", Restart),
    ("session.redis.password", Restart),
    ("session.redis.password_path", Restart),
    ("session.redis.ca_path", Restart),
    ("session.redis.prefix", Restart),
    ("session.redis.timeout", Restart),
    ("session.idle_timeout", Restart),
    ("session.lifetime", Restart),
    ("session.recheck", Live),
    ("session.recheck_grace", Live),
    ("session.capacity", Restart),
    ("session.snapshot_path", Restart),
    ("open", Live),
    ("access", Live),
    ("access[].path", Live),
    ("access[].upstream", Live),
    ("access[].upstream.url", Live),
    ("access[].upstream.urls", Live),
    ("access[].upstream.ca_path", Live),
    ("access[].upstream.tls_server_name", Live),
    ("access[].upstream.connect_timeout", Live),
    ("access[].upstream.response_timeout", Live),
    ("access[].upstream.strip_prefix", Live),
    ("access[].upstream.add_prefix", Live),
    ("access[].upstream.host_header", Live),
    ("access[].upstream.balance", Live),
    ("access[].upstream.health_check.path", Live),
    ("access[].upstream.health_check.interval", Live),
    ("access[].upstream.health_check.timeout", Live),
    ("access[].upstream.health_check.healthy_after", Live),
    ("access[].upstream.health_check.unhealthy_after", Live),
    ("access[].ca_path", Live),
    ("access[].methods", Live),
    ("access[].public", Live),
    ("access[].groups", Live),
    ("access[].domains", Live),
    ("access[].users", Live),
    ("access[].claims", Live),
    ("access[].max_auth_age", Live),
    ("access[].acr", Live),
    ("access[].amr", Live),
    ("access[].identity_headers", Live),
    ("access[].assertion", Live),
    ("access[].assertion_audience", Live),
    ("api.admins", Live),
    ("api.viewers", Live),
    ("api.from", Live),
    ("api.bearer", Live),
    ("offboarding.expire_nodes", Live),
    ("offboarding.after", Live),
    ("offboarding.most", Live),
    ("offboarding.refused_refresh", Live),
    ("offboarding.dry_run", Live),
    ("offboarding.state_path", Restart),
    ("policy_sync.groups", Live),
    ("policy_sync.groups[].name", Live),
    ("policy_sync.groups[].from", Live),
    ("policy_sync.interval", Live),
    ("policy_sync.forget_after", Live),
    ("policy_sync.dry_run", Live),
    ("policy_sync.state_path", Restart),
    ("shutdown.lead", Live),
    ("shutdown.grace", Live),
    ("shutdown.upgrade_grace", Live),
    ("limits.connections_per_address", Live),
    ("limits.tunnels_per_minute", Live),
    ("limits.open_requests_per_minute", Live),
    ("limits.api_requests_per_minute", Live),
    ("limits.sign_ins_per_minute", Live),
    ("limits.callbacks_per_minute", Live),
    ("limits.registrations_per_minute", Live),
    ("limits.logouts_per_minute", Live),
    ("limits.header_timeout", Live),
    ("limits.keepalive_timeout", Live),
    ("log.format", Restart),
    ("log.level", Live),
    ("reload.watch", Live),
    ("audit.path", Restart),
    ("audit.user_names", Restart),
    ("tracing.otlp_endpoint", Restart),
    ("tracing.sample_one_in", Restart),
    ("tracing.service_name", Restart),
    ("tracing.headers_path", Restart),
    ("tracing.ca_path", Restart),
];

/// What belongs together waits together: where one of the first keys waits, what begins with one of the second
/// does too. Each file is meant as a whole, and half of it may let in more than either of the two.
const WITH: &[(&[&str], &[&str])] = &[
    // Rules are about the people of one provider, and about what is behind us; a secret is for one of them.
    (
        &["oidc.issuer", "headscale.url", "headscale.sign_in"],
        &[
            "oidc.",
            "headscale.",
            "access",
            "open",
            "api.",
            "offboarding.",
            "policy_sync.",
        ],
    ),
    (&["oidc.client_id"], &["oidc.client_secret"]),
    (
        &["headscale.issuer.client_id"],
        &["headscale.issuer.client_secret"],
    ),
    // Who is believed, or gets something without a session, depends on who can reach us.
    (
        &["listen"],
        &[
            "trusted_proxies",
            "headscale.verify_from",
            "open",
            "api.bearer",
        ],
    ),
    (
        &[
            "admin.enabled",
            "admin.address",
            "admin.socket_path",
            "admin.socket_access",
        ],
        &["admin.sessions"],
    ),
    (&["session.store"], &["session.redis."]),
    (
        &["session.idle_timeout", "session.lifetime"],
        &["session.recheck"],
    ),
];

/// Files whose content counts like the value of their key, beside those of secrets.
const CONTENTS: &[&str] = &[
    "headscale.ca_path",
    "oidc.ca_path",
    "access[].ca_path",
    "access[].upstream.ca_path",
];

/// Whether the content of the file at `key` (of the table) counts, beside its path.
pub(super) fn counts_by_content(key: &str) -> bool {
    CONTENTS.contains(&key)
}

/// Keys that a value can be set at: not those of a list's entries, which change with their list.
fn whole_keys() -> impl Iterator<Item = (&'static str, Change)> {
    CHANGES
        .iter()
        .copied()
        .filter(|(key, _)| !key.contains("[]"))
}

/// The value at `key`; a key without a value is no key.
pub(super) fn at<'a>(tree: &'a Value, key: &str) -> Option<&'a Value> {
    let found = key.split('.').try_fold(tree, |tree, name| tree.get(name));
    found.filter(|value| !value.is_null())
}

/// Puts `value` at `key`, or nothing in its place. A tree in which something else stands on the way is left
/// as it is: the checks have a word for that.
pub(super) fn put(tree: &mut Value, key: &str, value: Option<&Value>) {
    let (parents, name) = key.rsplit_once('.').unwrap_or(("", key));
    let mut place = tree;
    for parent in parents.split('.').filter(|parent| !parent.is_empty()) {
        let Some(map) = as_map(place) else { return };
        place = map.entry(parent).or_insert(Value::Null);
    }
    if let Some(map) = as_map(place) {
        match value {
            Some(value) => drop(map.insert(name.to_owned(), value.clone())),
            None => drop(map.remove(name)),
        }
    }
}

fn as_map(place: &mut Value) -> Option<&mut Map<String, Value>> {
    if place.is_null() {
        *place = Value::Object(Map::new());
    }
    place.as_object_mut()
}

/// Keys at which two trees differ.
pub(super) fn differences(a: &Value, b: &Value) -> Vec<&'static str> {
    whole_keys()
        .map(|(key, _)| key)
        .filter(|key| at(a, key) != at(b, key))
        .collect()
}

/// `new`, but what waits for a restart as it is in `running`; and the keys that wait.
pub(super) fn merge(running: &Value, new: &Value) -> (Value, Vec<&'static str>) {
    let differing = differences(running, new);
    let waits_here = |key: &str| waits(key) || waits_with(key, &differing).is_some();
    let waiting: Vec<&str> = differing
        .iter()
        .copied()
        .filter(|key| waits_here(key))
        .collect();
    let mut merged = new.clone();
    for key in &waiting {
        put(&mut merged, key, at(running, key));
    }
    (merged, waiting)
}

/// Whether `key`, a whole one, waits for a restart. What nobody classified does.
pub(super) fn waits(key: &str) -> bool {
    let class = CHANGES.iter().find(|(known, _)| *known == key);
    class.is_none_or(|(_, change)| *change == Restart)
}

/// The key among `differing` that makes `key` wait, whatever its own class: they belong together.
pub(super) fn waits_with(key: &str, differing: &[&'static str]) -> Option<&'static str> {
    let begins = |belows: &[&str]| belows.iter().any(|below| key.starts_with(below));
    let mut firsts = WITH
        .iter()
        .filter(|(_, belows)| begins(belows))
        .flat_map(|(firsts, _)| firsts.iter().copied());
    firsts.find(|first| *first != key && differing.contains(first))
}

/// Every key with its class, for whoever documents them.
pub fn changes() -> impl Iterator<Item = (&'static str, Change)> {
    CHANGES.iter().copied()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::keys::KEYS;
    use super::*;

    #[test]
    fn every_key_has_a_class_and_an_entry_that_of_its_list() {
        let keys: Vec<&str> = KEYS.iter().map(|(key, _)| *key).collect();
        let classed: Vec<&str> = CHANGES.iter().map(|(key, _)| *key).collect();
        assert_eq!(classed, keys);
        for (key, class) in CHANGES {
            if let Some((list, _)) = key.split_once("[]") {
                assert!(CHANGES.contains(&(list, *class)), "{key} and {list}");
            }
        }
        for (firsts, belows) in WITH {
            for first in *firsts {
                assert!(CHANGES.contains(&(first, Restart)), "{first}");
            }
            for below in *belows {
                assert!(keys.iter().any(|key| key.starts_with(below)), "{below}");
            }
        }
        for key in CONTENTS {
            assert!(keys.contains(key), "{key}");
        }
    }

    #[test]
    fn the_documentation_names_what_waits_and_nothing_else() {
        let text = include_str!("../../docs/reload.md");
        let (_, rest) = text.split_once("## What waits for a restart").unwrap();
        let section = rest.split("\n## ").next().unwrap();
        let rows = section.lines().filter_map(|line| line.strip_prefix("| `"));
        let told: Vec<&str> = rows
            .filter_map(|row| row.split_once("` |"))
            .map(|row| row.0)
            .collect();
        let waits = |(key, change): &(&'static str, Change)| {
            (*change == Restart && !key.contains("[]")).then_some(*key)
        };
        let waiting: Vec<&str> = CHANGES.iter().filter_map(waits).collect();
        assert_eq!(told, waiting);
    }

    #[test]
    fn what_belongs_together_waits_together() {
        for (first, with) in [
            ("oidc.issuer", "oidc.allow_everyone"),
            ("oidc.issuer", "oidc.allowed_groups"),
            ("oidc.issuer", "oidc.groups_claim"),
            ("oidc.issuer", "oidc.email_verified_required"),
            ("oidc.issuer", "oidc.client_secret"),
            ("oidc.issuer", "oidc.client_secret_path"),
            ("oidc.issuer", "oidc.ca_path"),
            ("oidc.issuer", "headscale.api_key"),
            ("oidc.issuer", "access"),
            ("oidc.issuer", "open"),
            ("oidc.issuer", "api.admins"),
            ("oidc.issuer", "policy_sync.groups"),
            ("headscale.url", "policy_sync.dry_run"),
            ("headscale.url", "oidc.allow_everyone"),
            ("headscale.url", "headscale.api_key"),
            ("headscale.url", "headscale.api_key_path"),
            ("headscale.url", "headscale.ca_path"),
            ("headscale.url", "headscale.grpc_url"),
            ("headscale.url", "headscale.issuer.client_secret"),
            ("headscale.url", "open"),
            ("headscale.url", "api.bearer"),
            ("headscale.url", "offboarding.expire_nodes"),
            ("headscale.sign_in", "oidc.allow_everyone"),
            ("oidc.client_id", "oidc.client_secret_path"),
            (
                "headscale.issuer.client_id",
                "headscale.issuer.client_secret",
            ),
            ("listen", "trusted_proxies"),
            ("listen", "headscale.verify_from"),
            ("listen", "open"),
            ("listen", "api.bearer"),
            ("admin.enabled", "admin.sessions"),
            ("admin.address", "admin.sessions"),
            ("admin.socket_path", "admin.sessions"),
            ("admin.socket_access", "admin.sessions"),
            ("session.lifetime", "session.recheck"),
            ("session.idle_timeout", "session.recheck_grace"),
        ] {
            let (mut running, mut new) = (json!({}), json!({}));
            for key in [first, with] {
                put(&mut running, key, Some(&json!("old")));
                put(&mut new, key, Some(&json!("new")));
            }
            let (merged, mut waiting) = merge(&running, &new);
            assert_eq!(merged, running, "{first} {with}");
            waiting.sort_unstable();
            let mut both = [first, with];
            both.sort_unstable();
            assert_eq!(waiting, both);
        }
    }

    #[test]
    fn what_waits_keeps_its_value_and_the_rest_is_taken_over() {
        for (running, new, merged, waiting) in [
            (
                json!({"workers": 4, "api": {"bearer": "allow"}}),
                json!({"workers": 5, "api": {"bearer": "deny"}}),
                json!({"workers": 4, "api": {"bearer": "deny"}}),
                vec!["workers"],
            ),
            (
                json!({"workers": 4}),
                json!({}),
                json!({"workers": 4}),
                vec!["workers"],
            ),
            (
                json!({"oidc": null}),
                json!({"oidc": {"client_id": "x", "scope": ["y"]}}),
                json!({"oidc": {"scope": ["y"]}}),
                vec!["oidc.client_id"],
            ),
            (
                json!({"listen": [{"address": "a"}], "access": [{"path": "/a"}]}),
                json!({"listen": [{"address": "b"}], "access": []}),
                json!({"listen": [{"address": "a"}], "access": []}),
                vec!["listen"],
            ),
            (
                json!({"headscale": {"sign_in": "issuer", "issuer": {"client_secret": "s"}}}),
                json!({"headscale": {"sign_in": "own"}}),
                json!({"headscale": {"sign_in": "issuer", "issuer": {"client_secret": "s"}}}),
                vec!["headscale.sign_in", "headscale.issuer.client_secret"],
            ),
            (
                json!({"headscale": {"sign_in": "issuer", "issuer": {"client_secret": "s"}}}),
                json!({"headscale": {"sign_in": "issuer", "issuer": {"client_secret": "t"}}}),
                json!({"headscale": {"sign_in": "issuer", "issuer": {"client_secret": "t"}}}),
                vec![],
            ),
            (
                json!({"workers": null}),
                json!({"log": {}}),
                json!({"log": {}}),
                vec![],
            ),
        ] {
            assert_eq!(merge(&running, &new), (merged, waiting), "{running} {new}");
        }
    }
}
