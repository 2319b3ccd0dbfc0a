//! The file as written: every key optional, nothing interpreted. A key that is absent and a key
//! without a value are the same, as in Headscale. What the keys mean is `check`'s business.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use serde_path_to_error::Segment;

use super::keys::{self, Kind};

/// A list in the file; an entry without a value is `None`.
pub(super) type List<T> = Option<Vec<Option<T>>>;

/// Declares the structs of the file: all keys optional, unknown ones refused.
macro_rules! sections {
    ($($(#[$meta:meta])* $name:ident { $($field:ident: $type:ty,)* })*) => {
        $(
            $(#[$meta])*
            #[derive(Default, Deserialize)]
            #[serde(default, deny_unknown_fields)]
            pub(super) struct $name { $(pub(super) $field: $type,)* }

            impl fmt::Debug for $name {
                /// Its name alone: whatever is written in it may be a secret.
                fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    f.write_str(stringify!($name))
                }
            }
        )*
    };
}

sections! {
    /// The whole file.
    File {
        server_url: Option<String>,
        allow_insecure_server_url: Option<bool>,
        listen: List<Listener>,
        acme: Option<Acme>,
        admin: Option<Admin>,
        trusted_proxies: List<String>,
        keys_path: Option<String>,
        workers: Option<u64>,
        headscale: Option<Headscale>,
        oidc: Option<Oidc>,
        session: Option<Session>,
        open: List<String>,
        access: List<Access>,
        api: Option<Api>,
        offboarding: Option<Offboarding>,
        policy_sync: Option<PolicySync>,
        shutdown: Option<Shutdown>,
        limits: Option<Limits>,
        log: Option<Log>,
        reload: Option<Reload>,
        audit: Option<Audit>,
        tracing: Option<Tracing>,
    }
    /// An entry of `listen`.
    Listener {
        address: Option<String>,
        proxy_protocol: Option<String>,
        tls: Option<Tls>,
        http2: Option<bool>,
    }
    /// `tls` of an entry of `listen`.
    Tls {
        cert_path: Option<String>,
        key_path: Option<String>,
        certificates: List<TlsPair>,
        acme: Option<bool>,
        client_ca_path: Option<String>,
        client_auth: Option<String>,
        client_names: List<String>,
    }
    /// `acme`.
    Acme {
        directory_url: Option<String>,
        contact: List<String>,
        names: List<String>,
        storage_path: Option<String>,
        challenge: Option<String>,
        terms_of_service_agreed: Option<bool>,
        ca_path: Option<String>,
        eab_key_id: Option<String>,
        eab_hmac_key: Option<String>,
        eab_hmac_key_path: Option<String>,
    }
    /// `headscale.issuer.tls`.
    IssuerTls {
        cert_path: Option<String>,
        key_path: Option<String>,
        certificates: List<TlsPair>,
    }
    /// An entry of `certificates`.
    TlsPair {
        cert_path: Option<String>,
        key_path: Option<String>,
    }
    /// `admin`.
    Admin {
        enabled: Option<bool>,
        address: Option<String>,
        sessions: Option<bool>,
        socket_path: Option<String>,
        socket_access: Option<String>,
    }
    /// `headscale`.
    Headscale {
        url: Option<String>,
        grpc_url: Option<String>,
        ca_path: Option<String>,
        sign_in: Option<String>,
        issuer: Option<Issuer>,
        api_key: Option<String>,
        api_key_path: Option<String>,
        api_key_rotate: Option<ApiKeyRotate>,
        verify_from: List<String>,
        response_timeout: Option<String>,
        connect_timeout: Option<String>,
    }
    /// `headscale.api_key_rotate`.
    ApiKeyRotate {
        enabled: Option<bool>,
        before: Option<String>,
        lifetime: Option<String>,
    }
    /// `headscale.issuer`.
    Issuer {
        url: Option<String>,
        address: Option<String>,
        tls: Option<IssuerTls>,
        allow_plaintext: Option<bool>,
        client_id: Option<String>,
        client_secret: Option<String>,
        client_secret_path: Option<String>,
        key_path: Option<String>,
        node_expiry: Option<String>,
        ssh_max_age: Option<String>,
        ssh_acr: List<String>,
        ssh_amr: List<String>,
    }
    /// `oidc`: the keys of Headscale's block, then our own.
    Oidc {
        only_start_if_oidc_is_available: Option<bool>,
        issuer: Option<String>,
        client_id: Option<String>,
        client_secret: Option<String>,
        client_secret_path: Option<String>,
        scope: List<String>,
        extra_params: Option<BTreeMap<String, Option<String>>>,
        allowed_domains: List<String>,
        allowed_groups: List<String>,
        allowed_users: List<String>,
        email_verified_required: Option<bool>,
        pkce: Option<Pkce>,
        strip_email_domain: Option<bool>,
        use_expiry_from_token: Option<bool>,
        allow_everyone: Option<bool>,
        exact_group_names: Option<bool>,
        allow_name_collisions: Option<bool>,
        username_claim: Option<String>,
        groups_claim: Option<String>,
        allow_hs256: Option<bool>,
        ca_path: Option<String>,
        timeout: Option<String>,
        start_timeout: Option<String>,
    }
    /// `oidc.pkce`.
    Pkce {
        enabled: Option<bool>,
        method: Option<String>,
    }
    /// `session`.
    Session {
        store: Option<String>,
        store_grace: Option<String>,
        redis: Option<Redis>,
        idle_timeout: Option<String>,
        lifetime: Option<String>,
        recheck: Option<String>,
        recheck_grace: Option<String>,
        capacity: Option<u64>,
        snapshot_path: Option<String>,
    }
    /// `session.redis`.
    Redis {
        url: Option<String>,
        topology: Option<String>,
        nodes: List<String>,
        sentinel_name: Option<String>,
        username: Option<String>,
        password: Option<String>,
        password_path: Option<String>,
        ca_path: Option<String>,
        prefix: Option<String>,
        timeout: Option<String>,
    }
    /// An entry of `access`.
    Access {
        path: Option<String>,
        upstream: Option<Upstream>,
        ca_path: Option<String>,
        methods: List<String>,
        public: Option<bool>,
        groups: List<String>,
        domains: List<String>,
        users: List<String>,
        claims: Option<BTreeMap<String, List<Scalar>>>,
        max_auth_age: Option<String>,
        acr: List<String>,
        amr: List<String>,
        identity_headers: Option<IdentityHeaders>,
        assertion: Option<bool>,
        assertion_audience: Option<String>,
    }
    /// `access[].upstream`, where it is a map.
    UpstreamKeys {
        url: Option<String>,
        urls: List<String>,
        ca_path: Option<String>,
        tls_server_name: Option<String>,
        connect_timeout: Option<String>,
        response_timeout: Option<String>,
        strip_prefix: Option<String>,
        add_prefix: Option<String>,
        host_header: Option<String>,
        balance: Option<String>,
        health_check: Option<HealthCheck>,
    }
    /// `access[].upstream.health_check`.
    HealthCheck {
        path: Option<String>,
        interval: Option<String>,
        timeout: Option<String>,
        healthy_after: Option<u64>,
        unhealthy_after: Option<u64>,
    }
    /// `api`.
    Api {
        admins: List<String>,
        viewers: List<String>,
        from: List<String>,
        bearer: Option<String>,
    }
    /// `offboarding`.
    Offboarding {
        expire_nodes: Option<bool>,
        after: Option<String>,
        most: Option<u64>,
        refused_refresh: Option<bool>,
        dry_run: Option<bool>,
        state_path: Option<String>,
    }
    /// `policy_sync`.
    PolicySync {
        groups: List<PolicyGroup>,
        interval: Option<String>,
        forget_after: Option<String>,
        dry_run: Option<bool>,
        state_path: Option<String>,
    }
    /// An entry of `policy_sync.groups`.
    PolicyGroup {
        name: Option<String>,
        from: List<String>,
    }
    /// `shutdown`.
    Shutdown {
        lead: Option<String>,
        grace: Option<String>,
        upgrade_grace: Option<String>,
    }
    /// `limits`.
    Limits {
        connections_per_address: Option<u64>,
        tunnels_per_minute: Option<u64>,
        open_requests_per_minute: Option<u64>,
        api_requests_per_minute: Option<u64>,
        sign_ins_per_minute: Option<u64>,
        callbacks_per_minute: Option<u64>,
        registrations_per_minute: Option<u64>,
        logouts_per_minute: Option<u64>,
        header_timeout: Option<String>,
        keepalive_timeout: Option<String>,
    }
    /// `reload`.
    Reload {
        watch: Option<bool>,
    }
    /// `log`.
    Log {
        format: Option<String>,
        level: Option<String>,
    }
    /// `tracing`.
    Tracing {
        otlp_endpoint: Option<String>,
        sample_one_in: Option<u64>,
        service_name: Option<String>,
        headers_path: Option<String>,
        ca_path: Option<String>,
    }
    /// `audit`.
    Audit {
        path: Option<String>,
        user_names: Option<bool>,
    }
}

/// `access[].upstream`: an address, or all that there is to say.
#[derive(Debug)]
pub(super) enum Upstream {
    Address(String),
    Keys(Box<UpstreamKeys>),
}

impl<'de> Deserialize<'de> for Upstream {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(UpstreamVisitor)
    }
}

/// Not an untagged enum of serde's, which would not say where in the map a mistake is.
struct UpstreamVisitor;

impl<'de> Visitor<'de> for UpstreamVisitor {
    type Value = Upstream;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text or a map of keys")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Upstream, E> {
        Ok(Upstream::Address(text.to_owned()))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Upstream, A::Error> {
        let keys = UpstreamKeys::deserialize(MapAccessDeserializer::new(map))?;
        Ok(Upstream::Keys(Box::new(keys)))
    }
}

/// What a claim may be compared with: a text, or what is written like a number or a boolean.
#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum Scalar {
    Text(String),
    Flag(bool),
    Number(serde_json::Number),
}

impl Scalar {
    /// As the value of a claim is compared.
    pub(super) fn text(self) -> String {
        match self {
            Self::Text(text) => text,
            Self::Flag(flag) => flag.to_string(),
            Self::Number(number) => number.to_string(),
        }
    }
}

impl fmt::Debug for Scalar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Scalar")
    }
}

/// `access[].identity_headers`, in one of its three forms.
#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum IdentityHeaders {
    /// A preset.
    Word(String),
    /// Several.
    Words(Vec<Option<String>>),
    /// Names and templates.
    Templates(BTreeMap<String, Option<String>>),
}

/// Decodes `tree`, and names every key path in the way: unknown keys and values of the wrong type.
/// Each is taken out (an entry of a list becomes empty, so that its neighbours keep their numbers)
/// and the rest is decoded.
pub(super) fn decode(mut tree: Value) -> (File, Vec<String>) {
    let mut offenders = Vec::new();
    take_out_lists(&mut tree, "", &mut offenders);
    if tree.is_null() {
        return (File::default(), offenders);
    }
    loop {
        let error = match serde_path_to_error::deserialize::<_, File>(&tree) {
            Ok(file) => return (file, offenders),
            Err(error) => error,
        };
        let path = error.path();
        let removed = remove(&mut tree, path.iter());
        offenders.push(if path.iter().len() == 0 {
            String::new()
        } else {
            path.to_string()
        });
        if !removed {
            return (File::default(), offenders);
        }
    }
}

/// Takes out lists where a map of keys belongs: serde would read one by position.
fn take_out_lists(value: &mut Value, path: &str, offenders: &mut Vec<String>) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                let dot = if path.is_empty() { "" } else { "." };
                take_out_lists(value, &format!("{path}{dot}{key}"), offenders);
            }
        }
        Value::Array(list) if keys::kind(path) == Some(Kind::Items) => {
            for (index, value) in list.iter_mut().enumerate() {
                take_out_lists(value, &format!("{path}[{index}]"), offenders);
            }
        }
        Value::Array(_) if path.is_empty() || keys::is_container(path) => {
            offenders.push(path.to_owned());
            *value = Value::Null;
        }
        _ => {}
    }
}

/// Takes out what `path` leads to; false when it leads nowhere (then decoding again is no use).
fn remove<'a>(tree: &mut Value, path: impl Iterator<Item = &'a Segment>) -> bool {
    let mut path = path.peekable();
    let mut here = tree;
    while let Some(segment) = path.next() {
        let is_last = path.peek().is_none();
        let next = match (segment, here) {
            (Segment::Map { key }, Value::Object(map)) if is_last => {
                return map.remove(key).is_some();
            }
            (Segment::Map { key }, Value::Object(map)) => map.get_mut(key),
            (Segment::Seq { index }, Value::Array(list)) => list.get_mut(*index),
            _ => None,
        };
        let Some(next) = next else { return false };
        if is_last {
            *next = Value::Null;
            return true;
        }
        here = next;
    }
    false
}

/// The tree in which `path` has `value`.
#[cfg(test)]
pub(super) fn tree(path: &str, value: Value) -> Value {
    path.rsplit('.')
        .fold(value, |value, segment| match segment.strip_suffix("[]") {
            Some(name) => serde_json::json!({ name: [value] }),
            None => serde_json::json!({ segment: value }),
        })
}

#[cfg(test)]
mod tests {
    use super::super::keys::KEYS;
    use super::*;
    use serde_json::json;

    #[test]
    fn all_offenders_are_named_at_once_and_the_rest_is_kept() {
        let (file, mut offenders) = decode(json!({
            "server_url": "https://a.example",
            "nonsense": {"x": 1},
            "workers": "many",
            "listen": [{"address": 5}, {"address": "b", "extra": 1}, "c", {"address": "d"}],
            "oidc": {"issuer": "i", "scope": ["a", 5, "b"], "extra_params": {"a": 1}, "pkce": true},
        }));
        offenders.sort();
        assert_eq!(
            offenders,
            [
                "listen[0].address",
                "listen[1].extra",
                "listen[2]",
                "nonsense",
                "oidc.extra_params.a",
                "oidc.pkce",
                "oidc.scope[1]",
                "workers"
            ]
        );
        assert_eq!(file.server_url.as_deref(), Some("https://a.example"));
        let listen = file.listen.unwrap();
        assert_eq!(listen[3].as_ref().unwrap().address.as_deref(), Some("d"));
        assert_eq!(file.oidc.unwrap().scope.unwrap()[2].as_deref(), Some("b"));
    }

    #[test]
    fn what_is_printed_of_a_file_holds_nothing_that_was_written_in_it() {
        let written = json!({"oidc": {"client_secret": "s3cret"}, "keys_path": "s3cret"});
        let (file, _) = decode(written);
        assert_eq!(format!("{file:?} {:?}", file.oidc), "File Some(Oidc)");
    }

    #[test]
    fn a_document_that_is_no_map_is_one_offender() {
        for tree in [json!([1]), json!("text"), json!(3)] {
            assert_eq!(decode(tree).1, [""]);
        }
        assert!(decode(Value::Null).1.is_empty());
    }

    #[test]
    fn a_list_is_not_read_as_a_map_by_position() {
        let (_, mut offenders) = decode(json!({"oidc": [true], "listen": [["0.0.0.0:80"]]}));
        offenders.sort();
        assert_eq!(offenders, ["listen[0]", "oidc"]);
    }

    /// A value that decodes for a key of this kind.
    fn sample(kind: Kind) -> Value {
        match kind {
            Kind::Flag => json!(true),
            Kind::Number => json!(1),
            Kind::Texts => json!(["x"]),
            Kind::Map | Kind::Fields => json!({"x": "y"}),
            Kind::Lists => json!({"x": ["y", 1, true]}),
            Kind::Items => json!([{}]),
            Kind::Text | Kind::TextOrKeys | Kind::Secret | Kind::Path | Kind::Duration => {
                json!("x")
            }
        }
    }

    #[test]
    fn the_table_of_keys_and_the_structs_agree() {
        for (key, kind) in KEYS {
            let (_, offenders) = decode(tree(key, sample(*kind)));
            assert!(offenders.is_empty(), "{key}: {offenders:?}");
        }
        let mut containers = vec![""];
        for (key, _) in KEYS {
            containers.extend(key.match_indices('.').map(|(at, _)| &key[..at]));
        }
        for container in containers {
            let path = if container.is_empty() {
                "?".into()
            } else {
                format!("{container}.?")
            };
            let error =
                serde_path_to_error::deserialize::<_, File>(&tree(&path, Value::Null)).unwrap_err();
            let message = error.into_inner().to_string();
            let mut fields: Vec<&str> = message.split('`').skip(3).step_by(2).collect();
            let mut table = keys::children(container);
            fields.sort_unstable();
            table.sort_unstable();
            table.dedup();
            assert_eq!(fields, table, "{container}: {message}");
        }
    }
}
