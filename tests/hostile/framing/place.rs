//! A house in front of a witness, and a way through every door.

use super::witness::Witness;
use crate::faulty_provider::Person as Account;
use crate::stage::{SAME_ORIGIN, Stage, session_line};
use crate::support::house::More;
use crate::support::raw::Raw;

/// A stage with a web UI under `/ui` that is told who is there, and opened in part.
pub(crate) struct Place {
    pub(crate) stage: Stage,
    pub(crate) ui: Witness,
    /// A `Cookie` line of somebody with every role.
    pub(crate) session: String,
}

/// A request that leads through one door: method, target, header lines.
pub(crate) type Way<'a> = (&'static str, &'static str, Vec<&'a str>);

pub(crate) const KEY: &str = "Authorization: Bearer hskey-api-standin";
pub(crate) const CONTROL: [&str; 3] = [
    "Connection: Upgrade",
    "Upgrade: tailscale-control-protocol",
    "X-Tailscale-Handshake: AAAA",
];
/// A name that means something to one rule's upstream alone.
pub(crate) const CREW: &str = "X-Crew";
pub(crate) const NO_LIMITS: &str = "limits: { connections_per_address: 100000, \
     tunnels_per_minute: 100000, open_requests_per_minute: 100000 }\n";

impl Place {
    /// With these lines at the top of the configuration.
    pub(crate) fn start(top: &str) -> Self {
        Self::start_signing_in("issuer", top)
    }

    pub(crate) fn start_signing_in(sign_in: &'static str, top: &str) -> Self {
        let ui = Witness::start();
        let more = format!(
            "{top}api: {{ admins: [headscale-admins] }}\nopen: [GET /ui/open]\n\
             access:\n  - path: /ui/**\n    upstream: {url}\n    identity_headers: remote\n  \
             - path: /crew/**\n    upstream: {url}\n    identity_headers: {{ {CREW}: \"{{username}}\" }}\n",
            url = ui.url()
        );
        let stage = Stage::start_with(|_| More {
            listen: "    http2: true\n",
            sign_in,
            headscale: "  api_key: hskey-api-standin\n  verify_from: [127.0.0.0/8]\n",
            top: Box::leak(more.into_boxed_str()),
            ..More::default()
        });
        let person = stage.somebody(Account::Admin);
        let session = session_line(&stage.house, &person);
        Self { stage, ui, session }
    }

    pub(crate) fn connect(&self) -> Raw {
        Raw::connect(self.stage.house.plan.public).expect("the house listens")
    }

    pub(crate) fn host(&self) -> String {
        format!("Host: {}", self.stage.house.plan.public)
    }

    /// A way through every door that leads to an upstream.
    pub(crate) fn ways(&self) -> Vec<Way<'_>> {
        vec![
            ("GET", "/key?v=140", vec![]),
            ("HEAD", "/machine/ping-response", vec![]),
            ("POST", "/verify", vec!["Content-Length: 0"]),
            ("GET", "/ui/open", vec![]),
            ("POST", "/ts2021", CONTROL.to_vec()),
            ("GET", "/derp", vec!["Connection: Upgrade", "Upgrade: DERP"]),
            ("GET", "/ts2021", websocket("tailscale-control-protocol")),
            ("GET", "/derp", websocket("derp")),
            ("GET", "/windows", vec![self.session.as_str()]),
            ("OPTIONS", "/windows", vec![self.session.as_str()]),
            ("GET", "/ui/page", vec![self.session.as_str()]),
            (
                "POST",
                "/ui/form",
                vec![self.session.as_str(), "Content-Length: 0"],
            ),
            (
                "GET",
                "/api/v1/user",
                vec![self.session.as_str(), SAME_ORIGIN],
            ),
            ("GET", "/api/v1/user", vec![KEY]),
            ("GET", "/swagger", vec![self.session.as_str()]),
        ]
    }
}

fn websocket(protocol: &str) -> Vec<&str> {
    let offered = match protocol {
        "derp" => "Sec-WebSocket-Protocol: derp",
        _ => "Sec-WebSocket-Protocol: tailscale-control-protocol",
    };
    vec![
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        offered,
    ]
}
