//! Headscale's API.

use super::Allowed::{Any, OneOf};
use super::Default::Is;
use super::{Entry, Section};

pub(super) const SECTION: Section = Section {
    heading: "Headscale's API",
    entries: ENTRIES,
};

const ENTRIES: &[Entry] = &[
    Entry {
        key: "api.admins",
        default: Is("[]"),
        allowed: Any,
        example: "[headscale-admins]",
        meaning: "Groups whose sessions may use any method. Needs `headscale.api_key_path`.",
    },
    Entry {
        key: "api.viewers",
        default: Is("[]"),
        allowed: Any,
        example: "[headscale-auditors]",
        meaning: "Groups whose sessions may use safe methods only.",
    },
    Entry {
        key: "api.bearer",
        default: Is("allow"),
        allowed: OneOf(&["allow", "deny"]),
        example: "allow",
        meaning: "Whether a client's own `Authorization` reaches Headscale's API: `allow` or `deny`.",
    },
];
