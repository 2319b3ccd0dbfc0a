//! Off-boarding.

use super::Allowed::Any;
use super::Default::Is;
use super::{Entry, Section};

pub(super) const SECTION: Section = Section {
    heading: "Off-boarding",
    entries: ENTRIES,
};

const ENTRIES: &[Entry] = &[
    Entry {
        key: "offboarding.expire_nodes",
        default: Is("false"),
        allowed: Any,
        example: "true",
        meaning: "Whether the devices of a person expire who is gone at the provider, or has lost their right there. Needs `headscale.api_key_path`, and refresh tokens ([how to get them](sessions.md#re-check)).",
    },
    Entry {
        key: "offboarding.after",
        default: Is("15m"),
        allowed: Any,
        example: "15m",
        meaning: "How long after it was noticed; 0 s to 7 d. Who signs in again meanwhile keeps their devices.",
    },
    Entry {
        key: "offboarding.most",
        default: Is("3"),
        allowed: Any,
        example: "3",
        meaning: "Most people in an hour. With more, nobody's devices expire until an operator says so ([the guard](offboarding.md#the-guard)).",
    },
    Entry {
        key: "offboarding.refused_refresh",
        default: Is("true"),
        allowed: Any,
        example: "true",
        meaning: "Whether a refused refresh token tells that its person is gone ([which refusals do](offboarding.md#what-counts)). `false` leaves lost groups, domains and addresses.",
    },
    Entry {
        key: "offboarding.dry_run",
        default: Is("false"),
        allowed: Any,
        example: "true",
        meaning: "Nothing expires; the log and the audit log say what would have.",
    },
    Entry {
        key: "offboarding.state_path",
        default: Is("/var/lib/headwarden/offboarding.json"),
        allowed: Any,
        example: "/var/lib/headwarden/offboarding.json",
        meaning: "Where people who are noticed are written down until their time has come: their subjects, and times. A file of its own in a directory that Headwarden may write to. With the store `memory` only; replicas write it to `redis`.",
    },
];
