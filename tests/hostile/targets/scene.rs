//! A house with everything that a target could lead to, and the oracle: whatever reached an upstream
//! leads to an open door when *that* is judged, or came with a session or a key.

use std::collections::BTreeMap;

use headwarden::domain::door::{self, Asked, Door, OpenPath};
use headwarden::domain::path::Target;

use crate::faulty_provider::Person as Account;
use crate::stage::{Stage, send, session_line};
use crate::support::headscale_standin::{HeadscaleStandin, Options, Seen};
use crate::support::house::More;
use crate::support::raw::Response;

/// What the operator of [`Scene`] opened.
const OPENED: [&str; 2] = ["/public/page", "/ui/logo.png"];

/// A house with a web UI under `/ui`, part of it for admins, and two open pages; a member and an admin
/// with their `Cookie` lines.
pub(crate) struct Scene {
    pub(crate) stage: Stage,
    pub(crate) ui: HeadscaleStandin,
    pub(crate) member: String,
    pub(crate) admin: String,
}

/// With what a request came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum With {
    Nothing,
    Key,
    Session,
}

impl Scene {
    pub(crate) fn start() -> Self {
        let ui = HeadscaleStandin::start(Options::default());
        let url = ui.url();
        let top = format!(
            "limits: {{ open_requests_per_minute: 100000, tunnels_per_minute: 10000 }}\n\
             open: [GET {}, GET {}]\naccess:\n  \
             - {{ path: \"/ui/admin/**\", upstream: \"{url}\", groups: [headscale-admins] }}\n  \
             - {{ path: \"/ui/page\", upstream: \"{url}\", groups: [headscale-admins] }}\n  \
             - {{ path: \"/ui/**\", upstream: \"{url}\", identity_headers: remote }}\n",
            OPENED[0], OPENED[1]
        );
        let stage = Stage::start_with(|_| More {
            listen: "    http2: true\n",
            headscale: "  verify_from: [127.0.0.0/8]\n",
            top: top.leak(),
            ..More::default()
        });
        let line = |account| session_line(&stage.house, &stage.somebody(account));
        let (member, admin) = (line(Account::Member), line(Account::Admin));
        Self {
            stage,
            ui,
            member,
            admin,
        }
    }

    /// One request, byte for byte as it says, with our own `Host`.
    pub(crate) fn ask(&self, line: &[u8], lines: &[&str]) -> Response {
        let host = format!("Host: {}", self.stage.house.plan.public);
        let mut lines = lines.to_vec();
        lines.push(&host);
        self.ask_any(line, &lines)
    }

    /// The same with nothing added.
    pub(crate) fn ask_any(&self, line: &[u8], lines: &[&str]) -> Response {
        let mut bytes = [line, b"\r\n"].concat();
        for line in lines {
            bytes.extend_from_slice(line.as_bytes());
            bytes.extend_from_slice(b"\r\n");
        }
        bytes.extend_from_slice(b"\r\n");
        send(self.stage.house.plan.public, &bytes)
    }

    /// Everything that either upstream saw, by the `X-Row` it carried.
    pub(crate) fn seen(&self) -> BTreeMap<String, Vec<Seen>> {
        let mut rows: BTreeMap<String, Vec<Seen>> = BTreeMap::new();
        let all = self.stage.headscale.requests();
        for seen in all.into_iter().chain(self.ui.requests()) {
            if let Some(row) = seen.fields.value("x-row") {
                rows.entry(row.to_owned()).or_default().push(seen);
            }
        }
        rows
    }
}

/// The door that what an upstream saw leads to. It must be canonical, or nothing can be said of it.
pub(crate) fn door_of(seen: &Seen) -> Door {
    let target = Target::parse(seen.target.as_bytes())
        .unwrap_or_else(|why| panic!("an upstream saw {:?}: {why}", seen.target));
    let asked = Asked {
        method: &seen.method,
        target: &target,
        upgrade: seen.fields.value("upgrade"),
    };
    let open = OPENED.map(|path| OpenPath {
        method: "GET".to_owned(),
        path: path.to_owned(),
    });
    door::decide(&asked, &open)
}

/// The oracle.
pub(crate) fn judge(seen: &Seen, with: With, row: &str) {
    let door = door_of(seen);
    let allowed = match &door {
        // Loopback is in `verify_from`.
        Door::Machine(_) | Door::Open | Door::Verify => true,
        Door::Api(kind) => *kind == door::ApiKind::V2Token || with != With::Nothing,
        Door::Guarded(_) | Door::ApiDocs | Door::Own(door::Own::Callback) => with == With::Session,
        Door::Own(_) | Door::NoContent | Door::Closed => false,
    };
    let (method, target) = (&seen.method, &seen.target);
    assert!(
        allowed,
        "{row} came with {with:?}, and {method} {target} ({door:?}) was forwarded"
    );
}
