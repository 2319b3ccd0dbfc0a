//! The table of all keys: what kind of value each takes, which are secret, which are gone. The
//! environment's names, the masking of values and the hints all come from here; a test holds it
//! against the structs in `file`, another against `docs/configuration.md`.

use strsim::normalized_damerau_levenshtein;

/// What a key takes, as far as the environment and hints need to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Text.
    Text,
    /// Text that must never be shown.
    Secret,
    /// A path; shown only when it looks like one, since secrets get pasted here.
    Path,
    /// A duration: number and unit.
    Duration,
    /// `true` or `false`.
    Flag,
    /// A whole number.
    Number,
    /// A list of texts.
    Texts,
    /// A map of texts, never shown.
    Map,
    /// A map of lists of texts, numbers and booleans.
    Lists,
    /// A text, or a map of the keys below.
    TextOrKeys,
    /// A list of maps.
    Items,
    /// A word, a list of words, or a map of texts.
    Fields,
}

use Kind::{
    Duration, Fields, Flag, Items, Lists, Map, Number, Path, Secret, Text, TextOrKeys, Texts,
};

/// Every key: path (`[]` stands for an entry of a list) and kind.
pub(super) const KEYS: &[(&str, Kind)] = &[
    ("server_url", Text),
    ("allow_insecure_server_url", Flag),
    ("listen", Items),
    ("listen[].address", Text),
    ("listen[].http2", Flag),
    ("listen[].proxy_protocol", Text),
    ("listen[].tls.cert_path", Path),
    ("listen[].tls.key_path", Path),
    ("listen[].tls.certificates", Items),
    ("listen[].tls.certificates[].cert_path", Path),
    ("listen[].tls.certificates[].key_path", Path),
    ("listen[].tls.acme", Flag),
    ("listen[].tls.client_ca_path", Path),
    ("listen[].tls.client_auth", Text),
    ("listen[].tls.client_names", Texts),
    ("acme.terms_of_service_agreed", Flag),
    ("acme.directory_url", Text),
    ("acme.contact", Texts),
    ("acme.names", Texts),
    ("acme.challenge", Text),
    ("acme.storage_path", Path),
    ("acme.ca_path", Path),
    ("acme.eab_key_id", Text),
    ("acme.eab_hmac_key", Secret),
    ("acme.eab_hmac_key_path", Path),
    ("admin.enabled", Flag),
    ("admin.address", Text),
    ("admin.sessions", Flag),
    ("admin.socket_path", Path),
    ("admin.socket_access", Text),
    ("trusted_proxies", Texts),
    ("keys_path", Path),
    ("workers", Number),
    ("headscale.url", Text),
    ("headscale.grpc_url", Text),
    ("headscale.ca_path", Path),
    ("headscale.sign_in", Text),
    ("headscale.api_key", Secret),
    ("headscale.api_key_path", Path),
    ("headscale.api_key_rotate.enabled", Flag),
    ("headscale.api_key_rotate.before", Duration),
    ("headscale.api_key_rotate.lifetime", Duration),
    ("headscale.verify_from", Texts),
    ("headscale.response_timeout", Duration),
    ("headscale.connect_timeout", Duration),
    ("headscale.issuer.url", Text),
    ("headscale.issuer.address", Text),
    ("headscale.issuer.tls.cert_path", Path),
    ("headscale.issuer.tls.key_path", Path),
    ("headscale.issuer.tls.certificates", Items),
    ("headscale.issuer.tls.certificates[].cert_path", Path),
    ("headscale.issuer.tls.certificates[].key_path", Path),
    ("headscale.issuer.allow_plaintext", Flag),
    ("headscale.issuer.client_id", Text),
    ("headscale.issuer.client_secret", Secret),
    ("headscale.issuer.client_secret_path", Path),
    ("headscale.issuer.key_path", Path),
    ("headscale.issuer.node_expiry", Duration),
    ("headscale.issuer.ssh_max_age", Duration),
    ("headscale.issuer.ssh_acr", Texts),
    ("headscale.issuer.ssh_amr", Texts),
    ("oidc.only_start_if_oidc_is_available", Flag),
    ("oidc.start_timeout", Duration),
    ("oidc.issuer", Text),
    ("oidc.client_id", Text),
    ("oidc.client_secret", Secret),
    ("oidc.client_secret_path", Path),
    ("oidc.scope", Texts),
    ("oidc.extra_params", Map),
    ("oidc.allowed_domains", Texts),
    ("oidc.allowed_groups", Texts),
    ("oidc.allowed_users", Texts),
    ("oidc.allow_everyone", Flag),
    ("oidc.exact_group_names", Flag),
    ("oidc.email_verified_required", Flag),
    ("oidc.pkce.enabled", Flag),
    ("oidc.pkce.method", Text),
    ("oidc.strip_email_domain", Flag),
    ("oidc.allow_name_collisions", Flag),
    ("oidc.use_expiry_from_token", Flag),
    ("oidc.username_claim", Text),
    ("oidc.groups_claim", Text),
    ("oidc.allow_hs256", Flag),
    ("oidc.ca_path", Path),
    ("oidc.timeout", Duration),
    ("session.store", Text),
    ("session.store_grace", Duration),
    ("session.redis.url", Text),
    ("session.redis.topology", Text),
    ("session.redis.nodes", Texts),
    ("session.redis.sentinel_name", Text),
    ("session.redis.username", Text),
    ("session.redis.password", Secret),
    ("session.redis.password_path", Path),
    ("session.redis.ca_path", Path),
    ("session.redis.prefix", Text),
    ("session.redis.timeout", Duration),
    ("session.idle_timeout", Duration),
    ("session.lifetime", Duration),
    ("session.recheck", Duration),
    ("session.recheck_grace", Duration),
    ("session.capacity", Number),
    ("session.snapshot_path", Path),
    ("open", Texts),
    ("access", Items),
    ("access[].path", Text),
    ("access[].upstream", TextOrKeys),
    ("access[].upstream.url", Text),
    ("access[].upstream.urls", Texts),
    ("access[].upstream.ca_path", Path),
    ("access[].upstream.tls_server_name", Text),
    ("access[].upstream.connect_timeout", Duration),
    ("access[].upstream.response_timeout", Duration),
    ("access[].upstream.strip_prefix", Text),
    ("access[].upstream.add_prefix", Text),
    ("access[].upstream.host_header", Text),
    ("access[].upstream.balance", Text),
    ("access[].upstream.health_check.path", Text),
    ("access[].upstream.health_check.interval", Duration),
    ("access[].upstream.health_check.timeout", Duration),
    ("access[].upstream.health_check.healthy_after", Number),
    ("access[].upstream.health_check.unhealthy_after", Number),
    ("access[].ca_path", Path),
    ("access[].methods", Texts),
    ("access[].public", Flag),
    ("access[].groups", Texts),
    ("access[].domains", Texts),
    ("access[].users", Texts),
    ("access[].claims", Lists),
    ("access[].max_auth_age", Duration),
    ("access[].acr", Texts),
    ("access[].amr", Texts),
    ("access[].identity_headers", Fields),
    ("access[].assertion", Flag),
    ("access[].assertion_audience", Text),
    ("api.admins", Texts),
    ("api.viewers", Texts),
    ("api.from", Texts),
    ("api.bearer", Text),
    ("offboarding.expire_nodes", Flag),
    ("offboarding.after", Duration),
    ("offboarding.most", Number),
    ("offboarding.refused_refresh", Flag),
    ("offboarding.dry_run", Flag),
    ("offboarding.state_path", Path),
    ("policy_sync.groups", Items),
    ("policy_sync.groups[].name", Text),
    ("policy_sync.groups[].from", Texts),
    ("policy_sync.interval", Duration),
    ("policy_sync.forget_after", Duration),
    ("policy_sync.dry_run", Flag),
    ("policy_sync.state_path", Path),
    ("shutdown.lead", Duration),
    ("shutdown.grace", Duration),
    ("shutdown.upgrade_grace", Duration),
    ("limits.connections_per_address", Number),
    ("limits.tunnels_per_minute", Number),
    ("limits.open_requests_per_minute", Number),
    ("limits.api_requests_per_minute", Number),
    ("limits.sign_ins_per_minute", Number),
    ("limits.callbacks_per_minute", Number),
    ("limits.registrations_per_minute", Number),
    ("limits.logouts_per_minute", Number),
    ("limits.header_timeout", Duration),
    ("limits.keepalive_timeout", Duration),
    ("log.format", Text),
    ("log.level", Text),
    ("reload.watch", Flag),
    ("audit.path", Path),
    ("audit.user_names", Flag),
    ("tracing.otlp_endpoint", Text),
    ("tracing.sample_one_in", Number),
    ("tracing.service_name", Text),
    ("tracing.headers_path", Path),
    ("tracing.ca_path", Path),
];

/// Keys that people bring from Headscale and that mean nothing here: path, reason, what instead.
const RETIRED: &[(&str, &str, &str)] = &[
    (
        "oidc.expiry",
        "this key is retired: Headscale itself refuses it since 0.29",
        "in issuer mode write headscale.issuer.node_expiry; otherwise write node.expiry in \
         Headscale's own config.yaml",
    ),
    (
        "oidc.map_legacy_users",
        "this key is retired: Headscale removed it in 0.26",
        "delete the line; existing users are moved with `headwarden headscale-migrate`",
    ),
    (
        "listen_addr",
        "this key is Headscale's, not Headwarden's",
        "write `listen: [{ address: \"…\" }]`",
    ),
    (
        "metrics_listen_addr",
        "this key is Headscale's, not Headwarden's",
        "write admin.address",
    ),
    (
        "tls_cert_path",
        "this key is Headscale's, not Headwarden's",
        "write tls.cert_path below an entry of listen",
    ),
    (
        "tls_key_path",
        "this key is Headscale's, not Headwarden's",
        "write tls.key_path below an entry of listen",
    ),
];

/// Below this similarity a name is not offered as "the closest".
const SIMILAR: f64 = 0.6;

/// `listen[3].address` as the table has it: `listen[].address`.
pub(super) fn general(path: &str) -> String {
    let mut out = String::with_capacity(path.len());
    let mut inside = false;
    for c in path.chars() {
        match c {
            '[' => inside = true,
            ']' => inside = false,
            _ if inside => continue,
            _ => {}
        }
        out.push(c);
    }
    out
}

/// The kind of a key; `None` for what is not in the table. An entry of a list of texts, or of a
/// map, has the kind of the whole.
pub(super) fn kind(path: &str) -> Option<Kind> {
    let path = general(path);
    let find = |wanted: &str| {
        KEYS.iter()
            .find(|(key, _)| *key == wanted)
            .map(|(_, kind)| *kind)
    };
    find(&path)
        .or_else(|| {
            path.strip_suffix("[]")
                .and_then(find)
                .filter(|kind| matches!(kind, Texts | Fields))
        })
        .or_else(|| {
            path.rsplit_once('.')
                .and_then(|(parent, _)| find(parent))
                .filter(|kind| matches!(kind, Map | Fields))
        })
        .or_else(|| in_lists(&path))
}

/// What lies in a map of lists; the names in it may have dots.
fn in_lists(path: &str) -> Option<Kind> {
    let above = |(key, kind): &&(&str, Kind)| {
        *kind == Lists
            && path
                .strip_prefix(key)
                .is_some_and(|rest| rest.starts_with('.'))
    };
    KEYS.iter().find(above).map(|(_, kind)| *kind)
}

/// Whether keys of the table lie below `path`.
pub(super) fn is_container(path: &str) -> bool {
    let path = general(path);
    KEYS.iter().any(|(key, _)| {
        key.strip_prefix(&path)
            .is_some_and(|rest| rest.starts_with('.') || rest.starts_with("[]."))
    })
}

/// The key that a variable of the environment could have set: `oidc.scope` for `oidc.scope[2]`,
/// `listen` for `listen[0].address`, `oidc.extra_params` for what lies in it.
pub(super) fn whole(path: &str) -> &str {
    let list = path.split('[').next().unwrap_or(path);
    match list.rsplit_once('.') {
        Some((parent, _)) if kind(parent) == Some(Map) => parent,
        _ => list,
    }
}

/// Reason and hint for a key that is not in the table.
pub(super) fn unknown(path: &str) -> (String, Option<String>) {
    let wanted = general(path);
    if let Some((_, reason, hint)) = RETIRED.iter().find(|(key, ..)| *key == wanted) {
        return ((*reason).to_owned(), Some((*hint).to_owned()));
    }
    (
        "there is no such key".to_owned(),
        closest(&wanted).map(|key| format!("did you mean {}?", at(&key, path))),
    )
}

/// `key` of the table at the entry that `path` is in: `listen[].tls` and `listen[1].x` make
/// `listen[1].tls`.
fn at(key: &str, path: &str) -> String {
    match (key.split_once("[]"), path.split_once('[')) {
        (Some((list, rest)), Some((same, index))) if list == same => match index.split_once(']') {
            Some((index, _)) => format!("{list}[{index}]{rest}"),
            None => key.to_owned(),
        },
        _ => key.to_owned(),
    }
}

/// The key that `path` most likely stands for: the same name elsewhere, a similar name in the same
/// place, or a similar path.
fn closest(path: &str) -> Option<String> {
    let (parent, name) = path.rsplit_once('.').unwrap_or(("", path));
    let siblings = children(parent);
    let score = |a: &str, b: &str| normalized_damerau_levenshtein(a, b);
    let sibling = best(
        siblings
            .iter()
            .map(|child| (score(child, name), join(parent, child))),
    );
    let elsewhere = || {
        let mut same = KEYS
            .iter()
            .filter(|(key, _)| key.rsplit('.').next() == Some(name));
        same.next()
            .filter(|_| same.next().is_none())
            .map(|(key, _)| (*key).to_owned())
    };
    let anywhere = || {
        best(
            KEYS.iter()
                .map(|(key, _)| (score(key, path), (*key).to_owned())),
        )
    };
    sibling.or_else(elsewhere).or_else(anywhere)
}

/// The best candidate that is similar enough.
fn best(candidates: impl Iterator<Item = (f64, String)>) -> Option<String> {
    candidates
        .filter(|(score, _)| *score >= SIMILAR)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, name)| name)
}

/// The names directly below `parent` (the empty path is the top).
pub(super) fn children(parent: &str) -> Vec<&'static str> {
    let mut names: Vec<&'static str> = KEYS
        .iter()
        .filter_map(|(key, _)| {
            if parent.is_empty() {
                Some(*key)
            } else {
                key.strip_prefix(parent)?.strip_prefix('.')
            }
        })
        .filter_map(|rest| rest.split(['.', '[']).next())
        .collect();
    names.dedup();
    names
}

fn join(parent: &str, child: &str) -> String {
    if parent.is_empty() {
        child.to_owned()
    } else {
        format!("{parent}.{child}")
    }
}

/// Of `names`, the one most similar to `wanted`, if any is similar enough.
pub(super) fn closest_of<'a>(
    wanted: &str,
    names: impl Iterator<Item = &'a str>,
) -> Option<&'a str> {
    names
        .map(|name| (normalized_damerau_levenshtein(name, wanted), name))
        .filter(|(score, _)| *score >= SIMILAR)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_of_lists_and_maps_have_the_kind_of_the_whole() {
        assert_eq!(kind("listen[12].tls.key_path"), Some(Path));
        assert_eq!(kind("oidc.scope[1]"), Some(Texts));
        assert_eq!(kind("oidc.extra_params.domain_hint"), Some(Map));
        assert_eq!(kind("oidc.client_secret[0]"), None);
        assert_eq!(kind("oidc"), None);
        assert!(is_container("oidc") && is_container("listen") && is_container("listen[0].tls"));
        assert!(!is_container("oidc.issuer"));
    }

    #[test]
    fn an_unknown_key_gets_the_closest_name() {
        for (wrong, right) in [
            ("oidc.clientid", Some("oidc.client_id")),
            ("oidc.isuer", Some("oidc.issuer")),
            ("sever_url", Some("server_url")),
            ("oidc.alowed_groups", Some("oidc.allowed_groups")),
            ("listen[0].adress", Some("listen[0].address")),
            ("strip_email_domain", Some("oidc.strip_email_domain")),
            ("client_secrets", Some("oidc.client_secret")),
            ("oidc.zzz", None),
        ] {
            let hint = unknown(wrong).1;
            let expected = right.map(|key| format!("did you mean {key}?"));
            assert_eq!(hint, expected, "{wrong}");
        }
    }

    #[test]
    fn retired_keys_say_what_to_use_instead() {
        for (key, part) in [
            ("oidc.expiry", "headscale.issuer.node_expiry"),
            ("oidc.map_legacy_users", "headscale-migrate"),
            ("listen_addr", "listen:"),
        ] {
            assert!(
                unknown(key).1.is_some_and(|hint| hint.contains(part)),
                "{key}"
            );
            assert!(kind(key).is_none());
        }
    }
}
