//! Headwarden itself: where it listens, what it keeps, how it stops, what it says.

use super::Allowed::{Any, OneOf};
use super::Default::{Is, Required, Told};
use super::{Entry, Section};

pub(super) const SECTION: Section = Section {
    heading: "Our own side",
    entries: ENTRIES,
};

const ENTRIES: &[Entry] = &[
    Entry {
        key: "server_url",
        default: Required,
        allowed: Any,
        example: "https://headscale.company",
        meaning: "The public origin, the same value as Headscale's `server_url`. Cookies, redirects and the callback are made from it, never from a request.",
    },
    Entry {
        key: "allow_insecure_server_url",
        default: Is("false"),
        allowed: Any,
        example: "false",
        meaning: "Permits `http://` for a host that is not loopback. Cookies and codes then travel in clear. For test networks.",
    },
    Entry {
        key: "listen",
        default: Told("`127.0.0.1:8000`, plaintext"),
        allowed: Any,
        example: "[{ address: \"0.0.0.0:443\", tls: { cert_path: /etc/headwarden/tls.crt, key_path: /etc/headwarden/tls.key } }]",
        meaning: "The public listeners. The default suits a TLS terminator on the same host; in a container or without one, name the address.",
    },
    Entry {
        key: "listen[].address",
        default: Required,
        allowed: Any,
        example: "\"0.0.0.0:443\"",
        meaning: "Where to bind.",
    },
    Entry {
        key: "listen[].tls.cert_path",
        default: Told("none"),
        allowed: Any,
        example: "/etc/headwarden/tls.crt",
        meaning: "PEM certificate chain, leaf first; read again when it changes ([TLS](tls.md#renewal)).",
    },
    Entry {
        key: "listen[].tls.key_path",
        default: Told("none"),
        allowed: Any,
        example: "/etc/headwarden/tls.key",
        meaning: "PEM private key; a warning if others than its owner may read it. Both or neither: a listener without `tls` is plaintext.",
    },
    Entry {
        key: "listen[].tls.certificates",
        default: Told("none"),
        allowed: Any,
        example: "[{ cert_path: /etc/headwarden/a.crt, key_path: /etc/headwarden/a.key }]",
        meaning: "Instead of the two: several pairs, chosen by the name a client asks for (SNI). The first is for everybody else.",
    },
    Entry {
        key: "listen[].tls.certificates[].cert_path",
        default: Required,
        allowed: Any,
        example: "/etc/headwarden/internal.crt",
        meaning: "As `cert_path`.",
    },
    Entry {
        key: "listen[].tls.certificates[].key_path",
        default: Required,
        allowed: Any,
        example: "/etc/headwarden/internal.key",
        meaning: "As `key_path`.",
    },
    Entry {
        key: "listen[].tls.client_ca_path",
        default: Told("none"),
        allowed: Any,
        example: "/etc/headwarden/internal_ca.pem",
        meaning: "PEM bundle of authorities: clients must show a certificate of one of them ([mTLS](tls.md#certificates-of-clients)). For a load balancer; Tailscale clients have none.",
    },
    Entry {
        key: "listen[].tls.client_auth",
        default: Is("required"),
        allowed: OneOf(&["required", "optional"]),
        example: "required",
        meaning: "`optional` serves clients without a certificate too.",
    },
    Entry {
        key: "listen[].tls.client_names",
        default: Told("all"),
        allowed: Any,
        example: "[lb.internal]",
        meaning: "One of these is among the certificate's subject alternative names: DNS names, mail or IP addresses, URIs.",
    },
    Entry {
        key: "admin.enabled",
        default: Is("true"),
        allowed: Any,
        example: "true",
        meaning: "`false` switches health, readiness and metrics off.",
    },
    Entry {
        key: "admin.address",
        default: Is("127.0.0.1:9181"),
        allowed: Any,
        example: "\"127.0.0.1:9181\"",
        meaning: "Where they are served. Never public: there is no sign-in.",
    },
    Entry {
        key: "admin.sessions",
        default: Is("false"),
        allowed: Any,
        example: "false",
        meaning: "`true` shows and ends [sessions](sessions.md#see-and-revoke) there too, for whoever reaches it.",
    },
    Entry {
        key: "admin.socket_path",
        default: Told("none"),
        allowed: Any,
        example: "/run/headwarden/admin.sock",
        meaning: "A Unix socket for `headwarden sessions`, as an absolute path of at most 100 bytes, such as `/run/headwarden/admin.sock`. Its directory must be there, and nobody but root and Headwarden's own user may write to it. Without it there is no socket.",
    },
    Entry {
        key: "admin.socket_access",
        default: Is("owner"),
        allowed: OneOf(&["owner", "group"]),
        example: "owner",
        meaning: "Who may use the socket: `owner` (mode 0600), or `group` too (0660): the group that the process runs as.",
    },
    Entry {
        key: "trusted_proxies",
        default: Is("[]"),
        allowed: Any,
        example: "[10.0.0.0/8]",
        meaning: "Networks whose `X-Forwarded-For` counts. A bare address is a network of one. Everybody (`0.0.0.0/0`, `::/0`, or the same in halves) is refused.",
    },
    Entry {
        key: "keys_path",
        default: Is("/var/lib/headwarden/keys.json"),
        allowed: Any,
        example: "/var/lib/headwarden/keys.json",
        meaning: "The key ring that seals cookies; made at the first start with mode 0600. Replicas share it. [Rotation](deployment.md#files).",
    },
    Entry {
        key: "workers",
        default: Told("one for each processor"),
        allowed: Any,
        example: "4",
        meaning: "Worker threads, 1 to 1024.",
    },
    Entry {
        key: "shutdown.grace",
        default: Is("10s"),
        allowed: Any,
        example: "10s",
        meaning: "How long open requests and tunnels may go on after SIGTERM; at most 1 h.",
    },
    Entry {
        key: "log.format",
        default: Is("human"),
        allowed: OneOf(&["human", "json"]),
        example: "json",
        meaning: "`human` or `json`, to standard error.",
    },
    Entry {
        key: "log.level",
        default: Is("info"),
        allowed: Any,
        example: "info",
        meaning: "For everything but the [audit log](audit.md). `error`, `warn`, `info`, `debug`, `trace`, `off`, or a filter like `info,headwarden::oidc=debug`. Of libraries, only `info` and above is shown at any level: what they say below may quote secrets.",
    },
];
