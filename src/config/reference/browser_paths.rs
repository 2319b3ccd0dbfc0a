//! Paths of browsers.

use super::Allowed::Any;
use super::Default::{Is, Required, Told};
use super::{Entry, Section};

pub(super) const SECTION: Section = Section {
    heading: "Browser paths",
    entries: ENTRIES,
};

const ENTRIES: &[Entry] = &[
    Entry {
        key: "open",
        default: Is("[]"),
        allowed: Any,
        example: "[\"GET /logo.png\"]",
        meaning: "Paths that need no session: `GET` (with `HEAD`), a blank, and one exact path, as in `GET /logo.png`. Rate-limited; no cookie and no identity goes along. They go where `access` sends them, without its groups (a warning where there are any). Only what would need a session otherwise can be opened.",
    },
    Entry {
        key: "access",
        default: Is("[]"),
        allowed: Any,
        example: "[{ path: \"/admin/**\", upstream: \"http://127.0.0.1:3000\", groups: [headscale-admins] }]",
        meaning: "The rules.",
    },
    Entry {
        key: "access[].path",
        default: Required,
        allowed: Any,
        example: "\"/admin/**\"",
        meaning: "`/admin/**` (`/admin` and all below), `/web/*` (one segment), or an exact path. Paths with a fixed door are refused: `/ts2021`, `/key`, `/derp`, `/machine`, `/health`, `/verify`, `/oidc`, `/.headwarden`, …. On `/api/v1` and `/api/v2` a rule may ask for `max_auth_age`, `acr` and `amr`, and for nothing else.",
    },
    Entry {
        key: "access[].upstream",
        default: Told("Headscale"),
        allowed: Any,
        example: "https://headplane.internal:3000",
        meaning: "Where matching requests go. Refused for `/register` and `/auth`, which only Headscale can answer.",
    },
    Entry {
        key: "access[].ca_path",
        default: Told("the system's"),
        allowed: Any,
        example: "/etc/headwarden/internal_ca.pem",
        meaning: "PEM bundle to verify an https upstream with.",
    },
    Entry {
        key: "access[].groups",
        default: Is("[]"),
        allowed: Any,
        example: "[headscale-admins]",
        meaning: "One of these groups is needed, on top of the general rules.",
    },
    Entry {
        key: "access[].users",
        default: Is("[]"),
        allowed: Any,
        example: "[dominic@acmecorp.net]",
        meaning: "One of these e-mail addresses is needed.",
    },
    Entry {
        key: "access[].max_auth_age",
        default: Told("none"),
        allowed: Any,
        example: "15m",
        meaning: "The sign-in must be as recent as this, 1 min to the lifetime of a session; else [a step-up](sessions.md#step-up).",
    },
    Entry {
        key: "access[].acr",
        default: Told("none"),
        allowed: Any,
        example: "[gold]",
        meaning: "The sign-in must have one of these `acr`. At most 16, without blanks.",
    },
    Entry {
        key: "access[].amr",
        default: Told("none"),
        allowed: Any,
        example: "[mfa]",
        meaning: "The sign-in must have one of these `amr`, `[mfa]` for example.",
    },
    Entry {
        key: "access[].identity_headers",
        default: Is("none"),
        allowed: Any,
        example: "remote",
        meaning: "What the upstream is told about the person: `remote`, `forwarded` or `authentik`, a list of them, or a map of names and templates, as in `{ X-User: \"{username}\" }`. See [identity for the upstream](guides/identity.md).",
    },
    Entry {
        key: "access[].assertion",
        default: Is("false"),
        allowed: Any,
        example: "true",
        meaning: "Sends `X-Headwarden-Assertion`: the same in a signed token, good for a minute, which [the upstream can verify](guides/verifying-the-assertion.md).",
    },
    Entry {
        key: "access[].assertion_audience",
        default: Told("the upstream"),
        allowed: Any,
        example: "headplane",
        meaning: "The `aud` of the assertion. Without it, the origin in `upstream`.",
    },
];
