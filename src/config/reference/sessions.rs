//! Sessions and where they are kept.

use super::Allowed::{Any, OneOf};
use super::Default::{Is, Told};
use super::{Entry, Section};

pub(super) const SECTION: Section = Section {
    heading: "Sessions",
    entries: ENTRIES,
};

const ENTRIES: &[Entry] = &[
    Entry {
        key: "session.store",
        default: Is("memory"),
        allowed: OneOf(&["memory", "redis"]),
        example: "redis",
        meaning: "`memory`: in this process, for one replica. `redis`: in Redis or Valkey, for many; see [sessions](sessions.md#many-replicas).",
    },
    Entry {
        key: "session.store_grace",
        default: Is("5m"),
        allowed: Any,
        example: "5m",
        meaning: "How long known sessions go on while the store `redis` is away; 0 to 1 h.",
    },
    Entry {
        key: "session.redis.url",
        default: Told(""),
        allowed: Any,
        example: "rediss://redis.internal:6379/0",
        meaning: "`redis://host:port/database`, or `rediss://` for TLS. Required with the store `redis`. No user or password in it.",
    },
    Entry {
        key: "session.redis.topology",
        default: Is("one"),
        allowed: OneOf(&["one", "sentinel", "cluster"]),
        example: "one",
        meaning: "`one` server, the nodes of a `cluster`, or `sentinel`s that know the primary.",
    },
    Entry {
        key: "session.redis.nodes",
        default: Is("[]"),
        allowed: Any,
        example: "[\"redis-2.internal:6379\"]",
        meaning: "Further nodes, `host:port`, of a cluster or of Sentinels.",
    },
    Entry {
        key: "session.redis.sentinel_name",
        default: Told(""),
        allowed: Any,
        example: "primary",
        meaning: "What the Sentinels call the primary. Required with `sentinel`.",
    },
    Entry {
        key: "session.redis.username",
        default: Told("the default user"),
        allowed: Any,
        example: "headwarden",
        meaning: "Its name in the server's ACL.",
    },
    Entry {
        key: "session.redis.password",
        default: Told("none"),
        allowed: Any,
        example: "0123456789abcdef",
        meaning: "Its password.",
    },
    Entry {
        key: "session.redis.password_path",
        default: Told(""),
        allowed: Any,
        example: "${CREDENTIALS_DIRECTORY}/redis_password",
        meaning: "A file that holds it.",
    },
    Entry {
        key: "session.redis.ca_path",
        default: Told("the system's"),
        allowed: Any,
        example: "/etc/headwarden/internal_ca.pem",
        meaning: "PEM bundle to verify the servers' certificates with, instead of the system's.",
    },
    Entry {
        key: "session.redis.prefix",
        default: Is("headwarden"),
        allowed: Any,
        example: "headwarden",
        meaning: "What every key and the channel begin with: one for each deployment on the same server.",
    },
    Entry {
        key: "session.redis.timeout",
        default: Is("1s"),
        allowed: Any,
        example: "1s",
        meaning: "Longest wait for one answer, and for a connection; 50 ms to 10 s.",
    },
    Entry {
        key: "session.idle_timeout",
        default: Is("8h"),
        allowed: Any,
        example: "8h",
        meaning: "Longest time between two requests; at most the lifetime. What is open (a stream, a WebSocket) is no request, and [ends with the session](sessions.md#what-is-open).",
    },
    Entry {
        key: "session.lifetime",
        default: Is("7d"),
        allowed: Any,
        example: "7d",
        meaning: "Longest time since the sign-in.",
    },
    Entry {
        key: "session.recheck",
        default: Is("5m"),
        allowed: Any,
        example: "5m",
        meaning: "How often a person is checked again at the provider, where it gives refresh tokens ([how to get them](sessions.md#re-check)); 1 s to the lifetime. Who is refused there, or has lost a right here, is signed out.",
    },
    Entry {
        key: "session.recheck_grace",
        default: Is("15m"),
        allowed: Any,
        example: "15m",
        meaning: "How long after a re-check was due a session is still good while the provider does not answer; 0 s to 7 d. Then its requests get a 503 until the provider is back.",
    },
    Entry {
        key: "session.capacity",
        default: Is("100000"),
        allowed: Any,
        example: "100000",
        meaning: "Most sessions kept; the least recently used goes first. With the store `redis`, most that one replica remembers.",
    },
    Entry {
        key: "session.snapshot_path",
        default: Told("none"),
        allowed: Any,
        example: "/var/lib/headwarden/sessions",
        meaning: "Where sessions wait, sealed, while the process is stopped ([restarts](sessions.md#restarts)). A file of its own in a directory that Headwarden may write to. With the store `memory` only.",
    },
];
