//! Groups of the provider's in Headscale's policy.

use super::Allowed::Any;
use super::Default::{Is, Required, Told};
use super::{Entry, Section};

pub(super) const SECTION: Section = Section {
    heading: "Groups in the tailnet policy",
    entries: ENTRIES,
};

const ENTRIES: &[Entry] = &[
    Entry {
        key: "policy_sync.groups",
        default: Is("[]"),
        allowed: Any,
        example: "[{name: admins, from: [headscale-admins]}]",
        meaning: "Groups of the provider's that are written into Headscale's policy ([how](policy-sync.md)). Needs `headscale.api_key_path`, and `policy.mode: database` in Headscale.",
    },
    Entry {
        key: "policy_sync.groups[].name",
        default: Told("derived from the provider's name"),
        allowed: Any,
        example: "admins",
        meaning: "What the group is called there, `group:` in front or not. Without it each group of `from` becomes one of its own: in lower case, with a hyphen for what Headscale does not take.",
    },
    Entry {
        key: "policy_sync.groups[].from",
        default: Required,
        allowed: Any,
        example: "[headscale-admins, \"/infra/*\"]",
        meaning: "Groups of the provider's; a star stands for any characters. Whoever is in one of them is in it.",
    },
    Entry {
        key: "policy_sync.interval",
        default: Is("5m"),
        allowed: Any,
        example: "5m",
        meaning: "How often the policy is looked at, also if nobody's groups changed; 30 s to 1 d. A change is written within seconds.",
    },
    Entry {
        key: "policy_sync.forget_after",
        default: Is("90d"),
        allowed: Any,
        example: "90d",
        meaning: "When somebody who neither signed in nor was checked again is taken out of all groups; 1 d to 10 years.",
    },
    Entry {
        key: "policy_sync.dry_run",
        default: Is("false"),
        allowed: Any,
        example: "true",
        meaning: "Write nothing, and say in the log what would be written; `headwarden policy-sync` shows the difference.",
    },
    Entry {
        key: "policy_sync.state_path",
        default: Is("/var/lib/headwarden/people"),
        allowed: Any,
        example: "/var/lib/headwarden/people",
        meaning: "Where people's groups are kept, sealed, while the process is stopped. With `session.store: redis` they are kept there.",
    },
];
