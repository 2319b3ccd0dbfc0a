//! Paths of browsers.

use super::Allowed::{Any, OneOf};
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
        key: "access[].methods",
        default: Told("all"),
        allowed: Any,
        example: "[GET, POST]",
        meaning: "The rule is about requests with these methods only; `GET` comes with `HEAD`. Where rules name a path and none of them takes the method, the answer is 405, and nothing is forwarded.",
    },
    Entry {
        key: "access[].public",
        default: Is("false"),
        allowed: Any,
        example: "true",
        meaning: "Nobody is asked for a session. No identity goes along, also where there is one, and our cookie never does. Limited by address as `open` is. Refused beside anything that asks for a person, and below `/register`, `/auth`, `/api` and `/swagger`.",
    },
    Entry {
        key: "access[].groups",
        default: Is("[]"),
        allowed: Any,
        example: "[headscale-admins, team-*]",
        meaning: "One of these groups is needed, on top of the general rules. A `*` stands for characters of [one piece of a name](#stars).",
    },
    Entry {
        key: "access[].domains",
        default: Is("[]"),
        allowed: Any,
        example: "[acmecorp.net, \"*.acmecorp.net\"]",
        meaning: "An e-mail address of one of these domains is needed, verified as `oidc.email_verified_required` says. `*.acmecorp.net` is one label below it.",
    },
    Entry {
        key: "access[].users",
        default: Is("[]"),
        allowed: Any,
        example: "[dominic@acmecorp.net]",
        meaning: "One of these e-mail addresses is needed, verified as `oidc.email_verified_required` says. `*@acmecorp.net` is everybody of that domain.",
    },
    Entry {
        key: "access[].claims",
        default: Is("{}"),
        allowed: Any,
        example: "{ department: [engineering, \"it-*\"], staff: [true] }",
        meaning: "In each of these claims one of the values is needed. Names are plain, dotted or URLs, as in `oidc.groups_claim`; a claim may be a text, a number, a boolean or a list of them. At most 8 in a rule and 16 in all: sessions keep them. A claim that a session does not have denies. `email` is refused: use `users` or `domains`.",
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
        allowed: OneOf(&["none", "remote"]),
        example: "remote",
        meaning: "`remote` sends `Remote-User`, `Remote-Email`, `Remote-Name` and `Remote-Groups`.",
    },
];
