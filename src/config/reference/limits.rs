//! Limits by client address.

use super::Allowed::Any;
use super::Default::Is;
use super::{Entry, Section};

pub(super) const SECTION: Section = Section {
    heading: "Limits",
    entries: ENTRIES,
};

const ENTRIES: &[Entry] = &[
    Entry {
        key: "limits.connections_per_address",
        default: Is("512"),
        allowed: Any,
        example: "512",
        meaning: "Concurrent connections; all of an IPv6 /48 together have eight times as many. One more hears a 429 on plaintext, and is closed behind TLS. A request of HTTP/2 counts as a connection while it is under way; one more is refused unbegun.",
    },
    Entry {
        key: "limits.tunnels_per_minute",
        default: Is("300"),
        allowed: Any,
        example: "300",
        meaning: "New tunnels of Tailscale clients.",
    },
    Entry {
        key: "limits.open_requests_per_minute",
        default: Is("600"),
        allowed: Any,
        example: "600",
        meaning: "Requests through open doors: the key, DERP probes, what `open` lists. `/verify` from `headscale.verify_from` is not limited.",
    },
    Entry {
        key: "limits.api_requests_per_minute",
        default: Is("600"),
        allowed: Any,
        example: "600",
        meaning: "Requests to the API with credentials of their own: each costs Headscale a bcrypt.",
    },
    Entry {
        key: "limits.sign_ins_per_minute",
        default: Is("300"),
        allowed: Any,
        example: "300",
        meaning: "Sign-ins begun: a browser sent to the provider.",
    },
    Entry {
        key: "limits.callbacks_per_minute",
        default: Is("600"),
        allowed: Any,
        example: "600",
        meaning: "Returns from a sign-in, Headscale's included. A sign-in that is held back here is not lost: the same address works after the wait.",
    },
    Entry {
        key: "limits.registrations_per_minute",
        default: Is("300"),
        allowed: Any,
        example: "300",
        meaning: "Requests of people with a session to `/register`, `/auth`, their confirmations and the issuer's authorization endpoint. One device takes 3 or 4, an SSH check 5.",
    },
    Entry {
        key: "limits.logouts_per_minute",
        default: Is("600"),
        allowed: Any,
        example: "600",
        meaning: "Logouts that the provider tells us of: each logout token costs a check of its signature. They come from the provider's own address, or through people's browsers. Sign-outs of browsers that bring no session that is known count too; whoever is signed in is never kept from signing out.",
    },
    Entry {
        key: "limits.header_timeout",
        default: Is("10s"),
        allowed: Any,
        example: "10s",
        meaning: "From accepting a connection to the end of a request's head; of HTTP/2, to the first request, and from the beginning of a list of fields to its end.",
    },
    Entry {
        key: "limits.keepalive_timeout",
        default: Is("75s"),
        allowed: Any,
        example: "75s",
        meaning: "How long a connection may idle between requests.",
    },
];
