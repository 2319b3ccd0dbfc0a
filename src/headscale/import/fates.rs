//! What becomes of every key that Headscale ever had since 0.23. A key that is not here is named as
//! unknown: Headscale itself reads over those in silence.

use super::notes::{Notes, What};
use super::old::Old;
use What::{Carried, Changed, Dropped, Stays};

/// Key path (of the key itself, or of what lies below it), what becomes of it, and why. Keys whose fate
/// depends on their value are told where they are read, before this.
const FATES: &[(&str, What, &str)] = &[
    (
        "server_url",
        Carried,
        "the same value in both: what people and devices open",
    ),
    (
        "listen_addr",
        Changed,
        "headwarden listens there now, and headscale on loopback",
    ),
    (
        "metrics_listen_addr",
        Stays,
        "headwarden never forwards to it: keep it on loopback",
    ),
    (
        "grpc_listen_addr",
        Stays,
        "gRPC does not go through headwarden: keep it on loopback; gone since 0.30",
    ),
    ("grpc_allow_insecure", Stays, "with grpc_listen_addr"),
    (
        "trusted_proxies",
        Changed,
        "headwarden stands between now: headscale trusts headwarden, and headwarden them",
    ),
    (
        "noise",
        Stays,
        "headscale's own key; the control protocol goes through untouched",
    ),
    ("private_key_path", Stays, "a key of headscale before 0.23"),
    ("prefixes", Stays, "addresses of the tailnet"),
    ("ip_prefixes", Stays, "a key of headscale before 0.23"),
    (
        "derp.server.enabled",
        Stays,
        "/derp goes through without a session; STUN is UDP and does not: keep its port open",
    ),
    ("derp", Stays, "relays of the tailnet"),
    ("disable_check_updates", Stays, "headscale's own business"),
    (
        "ephemeral_node_inactivity_timeout",
        Stays,
        "node.ephemeral.inactivity_timeout since 0.29",
    ),
    (
        "node.expiry",
        Stays,
        "how long devices stay in; headscale applies it",
    ),
    ("node", Stays, "devices are headscale's business"),
    ("preauth_keys", Stays, "devices are headscale's business"),
    ("database", Stays, "headscale's own database"),
    (
        "acme_url",
        Carried,
        "headwarden orders the certificate now, where headscale did",
    ),
    (
        "acme_email",
        Carried,
        "headwarden orders the certificate now, where headscale did",
    ),
    (
        "tls_letsencrypt_hostname",
        Carried,
        "headwarden orders the certificate now, where headscale did",
    ),
    (
        "tls_letsencrypt_cache_dir",
        Dropped,
        "headscale asks for no certificate any more",
    ),
    (
        "tls_letsencrypt_challenge_type",
        Carried,
        "headwarden orders the certificate now, where headscale did",
    ),
    (
        "tls_letsencrypt_listen",
        Changed,
        "certificates are headwarden's business now",
    ),
    (
        "tls_cert_path",
        Changed,
        "the certificate is headwarden's now: its user must be able to read it",
    ),
    (
        "tls_key_path",
        Changed,
        "the key is headwarden's now: its user must be able to read it",
    ),
    ("log.format", Carried, "text is human here"),
    (
        "log.level",
        Carried,
        "as it is, as far as the level exists here",
    ),
    ("policy", Stays, "who may reach whom in the tailnet"),
    ("acl_policy_path", Stays, "policy.path since 0.23"),
    ("dns", Stays, "names in the tailnet"),
    ("dns_config", Stays, "dns since 0.23"),
    ("unix_socket", Stays, "headscale's own command line"),
    (
        "unix_socket_permission",
        Stays,
        "headscale's own command line",
    ),
    ("cli", Stays, "headscale's own command line"),
    ("logtail", Stays, "a setting of the clients"),
    (
        "randomize_client_port",
        Stays,
        "headscale refuses to start with it since 0.29: it moved to the policy",
    ),
    ("taildrop", Stays, "a setting of the clients"),
    ("auto_update", Stays, "a setting of the clients"),
    ("tuning", Stays, "headscale's own business"),
    (
        "oidc.enabled",
        Dropped,
        "headscale looks at oidc.issuer only",
    ),
    (
        "oidc.only_start_if_oidc_is_available",
        Carried,
        "the same meaning in both",
    ),
    (
        "oidc.issuer",
        Carried,
        "byte for byte: it is part of every user's identity",
    ),
    (
        "oidc.client_id",
        Carried,
        "the same client: its redirect URI is the same as well",
    ),
    (
        "oidc.client_secret",
        Changed,
        "not copied: it stays out of headwarden's file",
    ),
    ("oidc.client_secret_path", Carried, "the same secret"),
    ("oidc.scope", Carried, "the same scopes"),
    ("oidc.extra_params", Carried, "the same parameters"),
    (
        "oidc.allowed_domains",
        Carried,
        "the same domains; headwarden compares them without case",
    ),
    (
        "oidc.allowed_groups",
        Carried,
        "the same groups; a leading slash does not count unless exact_group_names is true",
    ),
    ("oidc.allowed_users", Carried, "the same addresses"),
    (
        "oidc.email_verified_required",
        Carried,
        "the same meaning in both",
    ),
    (
        "oidc.pkce.enabled",
        Changed,
        "headwarden always uses PKCE; headscale's own sign-in keeps its setting",
    ),
    ("oidc.pkce.method", Carried, "the same method"),
    (
        "oidc.use_expiry_from_token",
        Stays,
        "headscale signs devices in itself, so their expiry is its own",
    ),
    (
        "oidc.strip_email_domain",
        Dropped,
        "names are headscale's own business in this mode, and it refuses to start with the key since 0.26",
    ),
    (
        "oidc.map_legacy_users",
        Dropped,
        "headscale refuses to start with it since 0.26",
    ),
    (
        "oidc.expiry",
        Stays,
        "how long devices stay in: node.expiry since 0.29, when headscale refuses to start with this key",
    ),
];

/// Says something about every key of the file about which nothing was said yet.
pub(super) fn tell(old: &Old, notes: &mut Notes) {
    for leaf in old.leaves() {
        if notes.has(&leaf) {
            continue;
        }
        let fate = FATES.iter().find(|(key, ..)| lies_in(&leaf, key));
        match fate {
            Some((_, what, why)) => notes.add(&leaf, *what, *why),
            None => notes.add(
                &leaf,
                What::Unknown,
                "no headscale since 0.23 has this key, and none says so: is it misspelt?",
            ),
        }
    }
}

/// Whether `leaf` is `key` or below it.
fn lies_in(leaf: &str, key: &str) -> bool {
    leaf.strip_prefix(key)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}
