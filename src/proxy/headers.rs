//! Which of a client's header fields an upstream gets to see, and what we say in their place.
//!
//! Judged as classes, not as names: a field whose name is not plain letters, digits and hyphens is
//! dropped whatever it says (`X_Forwarded_User` and `X.Forwarded.User` reach some upstreams as
//! `X-Forwarded-User`), and so is everything that claims an identity, an address, an origin, another
//! URL or another method: told by the words in its name, since every proxy, cloud and framework has
//! names of its own for these. What an upstream may believe is then set from what we know.
//!
//! What Tailscale's clients, API clients and browsers send has none of these words; credentials that
//! an upstream checks itself (`X-Auth`, `X-API-Key`, `X-CSRF-Token`) are its own business.

use std::net::IpAddr;

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::config::Settings;

pub use crate::domain::identity_field::encode_claim;

/// Names that are dropped, in lower case.
const DROPPED: &[&str] = &[
    "base-url",
    "connection",
    "derp-fast-start",
    "front-end-https",
    "http-url",
    "http2-settings",
    "https",
    "keep-alive",
    "path-info",
    "request-uri",
    "script-name",
    "te",
    "trailer",
    "upgrade",
    "uri",
    "url",
    "via",
    "x-backend-host",
    "x-host",
    "x-http-method",
    "x-https",
    "x-id-token",
    "x-jwt-payload",
    "x-matched-path",
    "x-path-info",
    "x-request-id",
    "x-script-name",
    "x-uri",
    "x-url",
];

/// Beginnings of names that are dropped, in lower case: what a cloud or a proxy keeps for itself.
const DROPPED_PREFIXES: &[&str] = &[
    "cf-",
    "fastly-",
    "fly-",
    "tailscale-",
    "x-amzn-oidc-",
    "x-appengine-",
    "x-arr-",
    "x-auth-",
    "x-azure-",
    "x-envoy-",
    "x-goog-iap-",
    "x-headwarden-",
    "x-invoke-",
    "x-ms-token-",
    "x-vercel-",
];

/// Words, between the hyphens of a name, that claim what only we may say; in lower case.
const DROPPED_WORDS: &[&str] = &[
    "accel",
    "assertion",
    "authelia",
    "authenticated",
    "authentik",
    "cert",
    "certificate",
    "claim",
    "claims",
    "clientcert",
    "clientip",
    "consumer",
    "credential",
    "creds",
    "dn",
    "email",
    "emails",
    "eppn",
    "forward",
    "forwarded",
    "group",
    "groups",
    "identity",
    "impersonate",
    "ip",
    "keycloak",
    "login",
    "mail",
    "middleware",
    "mtls",
    "oauth",
    "oidc",
    "original",
    "override",
    "pomerium",
    "principal",
    "proxied",
    "proxy",
    "realip",
    "remote",
    "remoteaddr",
    "remoteuser",
    "rewrite",
    "role",
    "roles",
    "saml",
    "scheme",
    "sendfile",
    "shib",
    "socketip",
    "ssl",
    "sso",
    "subject",
    "tls",
    "uid",
    "user",
    "usergroup",
    "usergroups",
    "userid",
    "userinfo",
    "username",
    "users",
    "verified",
    "verify",
    "vouch",
    "webauth",
];

/// Names that hold such a word and claim nothing.
const HARMLESS: &[&str] = &[
    "sec-fetch-user",
    "user-agent",
    "x-auth-token",
    "x-user-agent",
];

/// What browsers send with every request. Judging them finds nothing, which a test holds; so they are
/// not judged each time.
const ORDINARY: &[&str] = &[
    "accept",
    "accept-encoding",
    "accept-language",
    "authorization",
    "cache-control",
    "content-length",
    "content-type",
    "cookie",
    "host",
    "if-modified-since",
    "if-none-match",
    "origin",
    "pragma",
    "priority",
    "referer",
    "sec-ch-ua",
    "sec-ch-ua-mobile",
    "sec-ch-ua-platform",
    "sec-fetch-dest",
    "sec-fetch-mode",
    "sec-fetch-site",
    "sec-fetch-user",
    "upgrade-insecure-requests",
    "user-agent",
];

/// Whether a client's field of this name never reaches an upstream.
pub fn is_dropped(name: &str) -> bool {
    !ORDINARY.contains(&name) && is_judged_to_be_dropped(name)
}

fn is_judged_to_be_dropped(name: &str) -> bool {
    let plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    if !plain || name.is_empty() {
        return true;
    }
    if name.bytes().any(|b| b.is_ascii_uppercase()) {
        return is_dropped(&name.to_ascii_lowercase());
    }
    if HARMLESS.contains(&name) {
        return false;
    }
    DROPPED.binary_search(&name).is_ok()
        || DROPPED_PREFIXES
            .iter()
            .any(|prefix| name.starts_with(prefix))
        || name
            .split('-')
            .any(|word| DROPPED_WORDS.binary_search(&word).is_ok())
}

/// The operator's own names for fields about a person, of all rules. Whoever believes one of them may be
/// behind any door, so no client's field of such a name passes one.
#[derive(Clone, Debug, Default)]
pub struct Reserved(Vec<String>);

impl Reserved {
    /// Those that the settings name and that would pass otherwise.
    pub fn of(settings: &Settings) -> Self {
        let fields = settings
            .access
            .iter()
            .flat_map(|rule| &rule.identity_headers);
        let names = fields.map(|field| field.name.as_str().to_ascii_lowercase());
        let mut names: Vec<String> = names.filter(|name| !is_dropped(name)).collect();
        names.sort_unstable();
        names.dedup();
        Self(names)
    }

    /// Whether a client's field of this name never reaches an upstream. An alias of it, with an underscore
    /// for example, does not either: see [`is_dropped`].
    pub fn drops(&self, name: &str) -> bool {
        is_dropped(name)
            || self
                .0
                .iter()
                .any(|reserved| name.eq_ignore_ascii_case(reserved))
    }
}

/// The names that `Connection` nominates (RFC 9110 section 7.6.1); they end here too.
pub fn nominated(headers: &HeaderMap) -> Vec<HeaderName> {
    headers
        .get_all(http::header::CONNECTION)
        .iter()
        .flat_map(|value| value.as_bytes().split(|&b| b == b','))
        .filter_map(|token| HeaderName::from_bytes(token.trim_ascii()).ok())
        .collect()
}

/// What we say about a request, on every door. Headscale believes `True-Client-IP` before
/// `X-Real-IP` before `X-Forwarded-For`, so each is set.
pub fn truth(
    client: IpAddr,
    authority: &str,
    secure: bool,
    request_id: &str,
) -> [(HeaderName, HeaderValue); 6] {
    // An address, a host of the configuration and an id of ours are fit for a field.
    let said = |text: &str| HeaderValue::from_str(text).unwrap_or(HeaderValue::from_static(""));
    let client = said(&client.to_canonical().to_string());
    let scheme = HeaderValue::from_static(if secure { "https" } else { "http" });
    [
        (X_FORWARDED_FOR, client.clone()),
        (X_REAL_IP, client.clone()),
        (TRUE_CLIENT_IP, client),
        (X_FORWARDED_PROTO, scheme),
        (X_FORWARDED_HOST, said(authority)),
        (X_REQUEST_ID, said(request_id)),
    ]
}

/// Where a request came from, as proxies in front say.
pub const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");
const TRUE_CLIENT_IP: HeaderName = HeaderName::from_static("true-client-ip");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The fields of a client's request that may go on, as sent. `Host`, framing, `Cookie` and
/// `Authorization` are the caller's business and left out.
pub fn passed<'a>(
    headers: &'a HeaderMap,
    reserved: &'a Reserved,
) -> impl Iterator<Item = (&'a HeaderName, &'a HeaderValue)> {
    const OURS: [&str; 5] = [
        "host",
        "cookie",
        "authorization",
        "content-length",
        "transfer-encoding",
    ];
    let nominated = nominated(headers);
    headers.iter().filter(move |(name, _)| {
        !reserved.drops(name.as_str())
            && !OURS.contains(&name.as_str())
            && !nominated.contains(name)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lists_are_sorted_so_that_they_can_be_searched() {
        assert!(DROPPED.is_sorted() && DROPPED_WORDS.is_sorted());
    }

    /// Names that some upstream believes.
    const BELIEVED: &str = "\
        Remote-User REMOTE-EMAIL remote-groups Remote_User Remote.User RemoteUser X-Remote-User \
        X-Remote-Group X-Forwarded-For x-forwarded-host X_Forwarded_For X-Forwarded_For \
        X.Forwarded.For X!Forwarded!For X-Forwarded X-Forwarded-Client-Cert \
        X-Forwarded-Access-Token X-Forward-For X~Real~IP Forwarded True-Client-IP X-Real-IP \
        Client-IP X-ClientIP CF-Connecting-IP CF-Connecting-IPv6 Cf-Access-Jwt-Assertion \
        Cf-Access-Authenticated-User-Email CF-Visitor X-Client-IP X-Cluster-Client-IP \
        Fastly-Client-IP Fly-Client-IP WL-Proxy-Client-IP Proxy-Client-IP X-ProxyUser-Ip \
        X-Appengine-User-IP X-Azure-ClientIP X-Azure-SocketIP X-Original-URL \
        X-Original-Forwarded-For X-Original-Host X-Rewrite-URL X-HTTP-Method \
        X-HTTP-Method-Override X-Method-Override X-HTTP-Host-Override X-Host \
        X-Envoy-Original-Path X-Envoy-External-Address X-Script-Name X-Scheme X-Url-Scheme \
        Front-End-Https X-HTTPS X-Accel-Redirect X-Sendfile-Type X-Middleware-Subrequest \
        X-Middleware-Rewrite X-Invoke-Path X-Matched-Path X-authentik-username \
        X-authentik-meta-jwks X-Auth-Request-User X-Authelia-URL X-Pomerium-Jwt-Assertion \
        X-Pomerium-Claim-Email X-Vouch-User X-Vouch-IdP-Claims-Groups X-WEBAUTH-USER \
        X-Headwarden-Assertion X-User X-User-Id X-Userinfo X-Username X-Email X-Groups \
        X-Token-User-Email X-Proxy-User X-Authenticated-Userid X-Consumer-Username \
        X-Consumer-Custom-ID X-Credential-Identifier X-Anonymous-Consumer Impersonate-User \
        Impersonate-Group X-Goog-Authenticated-User-Email X-Goog-Iap-Jwt-Assertion \
        X-Endpoint-API-UserInfo X-Amzn-Oidc-Data X-Amzn-Oidc-Identity X-Amzn-Mtls-Clientcert \
        X-MS-CLIENT-PRINCIPAL X-MS-CLIENT-PRINCIPAL-NAME X-MS-TOKEN-AAD-ID-TOKEN \
        Tailscale-User-Login Tailscale-User-Name Tailscale-Headers-Info OIDC-CLAIM-sub \
        Shib-Identity-Provider SSL-Client-S-DN X-SSL-Client-Verify X-SSL-Cert Client-Cert \
        Client-Cert-Chain X-Client-Cert X-Client-DN X-Client-Verify X-ARR-SSL X-ARR-ClientCert \
        X-Vercel-Forwarded-For X-Id-Token X-Jwt-Payload Via Derp-Fast-Start HTTP2-Settings \
        Upgrade Connection TE Trailer Proxy Proxy-Authorization Proxy-Connection X-Request-Id \
        HTTP_X_FORWARDED_FOR";

    /// Names that clients need: browsers, Tailscale's and API clients, web UIs.
    const NEEDED: &str = "\
        Host Accept Accept-Encoding Accept-Language Access-Control-Request-Method \
        Access-Control-Request-Headers Authorization Baggage Cache-Control Content-Length \
        Content-Type Cookie DNT Date Expect From HX-Current-URL HX-Request Idempotency-Key \
        Ideal-Node If-Match If-Modified-Since If-None-Match If-Range Last-Event-ID Max-Forwards \
        Next-Action Next-Router-State-Tree Next-Url Origin Pragma Prefer Priority Purpose RSC \
        Range Referer Save-Data Sec-CH-UA Sec-CH-UA-Mobile Sec-Fetch-Dest Sec-Fetch-Mode \
        Sec-Fetch-Site Sec-Fetch-User Sec-GPC Sec-Purpose Sec-WebSocket-Accept \
        Sec-WebSocket-Extensions Sec-WebSocket-Key Sec-WebSocket-Protocol Sec-WebSocket-Version \
        Sentry-Trace Service-Worker Traceparent Tracestate Turbo-Frame Upgrade-Insecure-Requests \
        User-Agent X-API-Key X-Auth X-CSRF-Token X-CSRFToken X-Client-Version X-Correlation-ID \
        X-File-Name X-Grpc-Web X-Inertia X-Requested-With X-SvelteKit-Action \
        X-Tailscale-Challenge X-Tailscale-Handshake X-Tailscale-Response X-Token X-User-Agent \
        X-XSRF-TOKEN";

    #[test]
    fn every_spelling_of_an_identity_or_forwarding_field_is_dropped() {
        for name in BELIEVED.split_ascii_whitespace().chain(["Accept ", ""]) {
            for name in [name.to_owned(), name.to_lowercase(), name.to_uppercase()] {
                assert!(is_dropped(&name), "{name:?} would pass");
            }
        }
    }

    #[test]
    fn any_other_byte_between_letters_is_dropped_whatever_it_stands_for() {
        for byte in (0..=u8::MAX).map(char::from) {
            if !byte.is_ascii_alphanumeric() && byte != '-' {
                let name = format!("Accept{byte}Language");
                assert!(is_dropped(&name), "{name:?} would pass");
            }
        }
    }

    #[test]
    fn what_clients_need_passes() {
        for name in NEEDED.split_ascii_whitespace() {
            assert!(!is_dropped(name), "{name} would be dropped");
        }
    }

    #[test]
    fn what_is_not_judged_each_time_would_pass_if_it_were() {
        for name in ORDINARY {
            assert!(!is_judged_to_be_dropped(name), "{name} would be dropped");
            assert_eq!(
                *name,
                name.to_lowercase(),
                "names are looked for in lower case"
            );
        }
    }

    #[test]
    fn ordinary_fields_pass_in_order_and_as_sent() {
        let headers: HeaderMap = [
            ("host", "a"),
            ("accept", "*/*"),
            ("x-tailscale-handshake", "AAAA"),
            ("connection", "keep-alive, X-Secret-Hop"),
            ("x-secret-hop", "1"),
            ("cookie", "a=b"),
            ("sec-websocket-key", "k"),
        ]
        .into_iter()
        .map(|(name, value)| {
            (
                HeaderName::from_static(name),
                HeaderValue::from_static(value),
            )
        })
        .collect();
        let none = Reserved::default();
        let names: Vec<&str> = passed(&headers, &none)
            .map(|(name, _)| name.as_str())
            .collect();
        assert_eq!(
            names,
            ["accept", "x-tailscale-handshake", "sec-websocket-key"]
        );
        let reserved = Reserved(vec!["x-tailscale-handshake".to_owned()]);
        let names = passed(&headers, &reserved).map(|(name, _)| name.as_str());
        assert_eq!(names.collect::<Vec<_>>(), ["accept", "sec-websocket-key"]);
    }

    #[test]
    fn every_name_of_a_preset_and_of_the_truth_is_dropped_and_no_operator_can_claim_the_truth() {
        use crate::domain::identity_field::{FieldName, preset, presets};
        let fields: Vec<_> = presets().filter_map(preset).flatten().collect();
        assert!(fields.len() > 12);
        for field in fields {
            assert!(
                is_dropped(field.name.as_str()),
                "{:?} would pass",
                field.name
            );
        }
        for (name, _) in truth(IpAddr::from([127, 0, 0, 1]), "a", true, "id") {
            assert!(
                is_dropped(name.as_str()) && FieldName::parse(name.as_str()).is_err(),
                "{name}"
            );
        }
        // What a client cannot do without is no name for a person either.
        for name in NEEDED.split_ascii_whitespace() {
            let may_be = [
                "HX-", "Next-", "RSC", "Turbo-", "Sentry-", "Service-", "Save-", "X-",
            ];
            let free = may_be.iter().any(|prefix| name.starts_with(prefix));
            assert!(free || FieldName::parse(name).is_err(), "{name}");
        }
    }
}
