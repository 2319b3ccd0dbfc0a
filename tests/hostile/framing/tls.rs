//! A house with a TLS listener beside its plain one.

use std::net::SocketAddr;
use std::sync::Arc;

use rustls::ClientConfig;

use crate::support::headscale_standin::{HeadscaleStandin, Options};
use crate::support::house::{House, More, free_addresses};
use crate::support::raw::Raw;
use crate::support::tls::Authority;

pub(crate) struct Secure {
    pub(crate) house: House,
    pub(crate) headscale: HeadscaleStandin,
    pub(crate) authority: Authority,
    pub(crate) tls: SocketAddr,
}

impl Secure {
    /// Without a provider, with these lines at the top of the configuration.
    pub(crate) fn start(top: &'static str) -> Self {
        let authority = Authority::new();
        let headscale = HeadscaleStandin::start(Options::default());
        let [tls] = free_addresses();
        let house = House::start(|plan| {
            let (chain, key) = authority.certificate(&["localhost"]).write(&plan.files);
            let listen = format!(
                "listen:\n  - address: \"{tls}\"\n    tls: {{ cert_path: {}, key_path: {} }}\n",
                chain.display(),
                key.display()
            );
            let more = More {
                sign_in: "none",
                top,
                waits_for_provider: false,
                ..More::default()
            };
            plan.config(&headscale.url(), "http://127.0.0.1:9/", &more)
                .replace("listen:\n", &listen)
        });
        Self {
            house,
            headscale,
            authority,
            tls,
        }
    }

    /// A connection of a client that offers these protocols.
    pub(crate) fn connect(&self, protocols: &[&str]) -> std::io::Result<Raw> {
        let config: Arc<ClientConfig> = self.authority.client(protocols);
        Raw::connect_tls(self.tls, "localhost", config)
    }
}
