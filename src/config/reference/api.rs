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
        meaning: "Groups whose sessions may use safe methods only, and not list pre-auth keys.",
    },
    Entry {
        key: "api.from",
        default: Is("[]"),
        allowed: Any,
        example: "[\"/web/**\"]",
        meaning: "Paths of rules in `access`: a session counts on the API only where a page of one of them asks, by its `Referer`, and the person may see it. Empty: any page of this origin. A fence for pages that behave, and no wall: [API](guides/api.md#pages).",
    },
    Entry {
        key: "api.bearer",
        default: Is("allow"),
        allowed: OneOf(&["allow", "deny"]),
        example: "allow",
        meaning: "Whether a client's own `Authorization` reaches Headscale's API: `allow` or `deny`.",
    },
];
