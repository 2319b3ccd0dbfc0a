//! Our own addresses: the public name, the listeners, whom to believe.

use std::net::{IpAddr, SocketAddr};

use http::uri::Authority;
use ipnet::IpNet;

use super::super::file::{self, List};
use super::super::report::Report;
use super::super::settings::{Listener, ServerUrl, Settings, SignIn};
use super::values::{self, address, is_everything, is_loopback, readable_networks};
use super::{Checks, tls};

/// Plaintext, and therefore on loopback: something else on this host terminates TLS.
const DEFAULT_LISTEN: &str = "127.0.0.1:8000";

/// The public origin.
pub(super) fn server_url(
    text: Option<String>,
    allow_insecure: Option<bool>,
    checks: &mut Checks<'_>,
) -> Option<ServerUrl> {
    const KEY: &str = "server_url";
    let report = &mut checks.report;
    let Some(text) = text else {
        report.refuse_with(
            KEY,
            "is required",
            "the same value as Headscale's server_url",
        );
        return None;
    };
    let url = values::origin(KEY, &text, report)?;
    let secure = url.scheme() == "https";
    if !secure {
        if !is_loopback(&url) && allow_insecure != Some(true) {
            report.refuse_with(
                KEY,
                "must be https: cookies and codes would travel in clear",
                "write https://; for a test network only, allow_insecure_server_url: true",
            );
            return None;
        }
        report.warn(
            KEY,
            "plain http: cookies and codes travel in clear; for development only",
        );
    }
    let origin = url.origin().ascii_serialization();
    let authority = origin
        .split_once("://")
        .and_then(|(_, rest)| rest.parse::<Authority>().ok());
    if authority.is_none() {
        report.refuse(KEY, "the host is not one that browsers can send");
    }
    Some(ServerUrl {
        secure,
        authority: authority?,
        origin,
    })
}

/// The public listeners.
pub(super) fn listen(list: List<file::Listener>, checks: &mut Checks<'_>) -> Option<Vec<Listener>> {
    let Some(list) = list else {
        if checks.report.is_broken("listen") {
            return None;
        }
        let address = address("listen", DEFAULT_LISTEN, &mut checks.report)?;
        return Some(vec![Listener {
            address,
            announced: false,
            tls: None,
            http2: false,
        }]);
    };
    if list.is_empty() {
        checks.report.refuse("listen", "needs at least one entry");
        return None;
    }
    let count = list.len();
    let mut listeners = Vec::with_capacity(count);
    for (index, entry) in list.into_iter().enumerate() {
        listeners.extend(listener(
            &format!("listen[{index}]"),
            entry.unwrap_or_default(),
            checks,
        ));
    }
    (listeners.len() == count).then_some(listeners)
}

fn listener(key: &str, entry: file::Listener, checks: &mut Checks<'_>) -> Option<Listener> {
    let address_key = format!("{key}.address");
    if entry.address.is_none() {
        checks
            .report
            .refuse_with(&address_key, "is required", "for example 0.0.0.0:443");
    }
    let address = entry
        .address
        .and_then(|text| address(&address_key, &text, &mut checks.report));
    let announced = values::choice(
        &format!("{key}.proxy_protocol"),
        entry.proxy_protocol.as_deref(),
        &[("none", false), ("required", true)],
        false,
        &mut checks.report,
    );
    let tls = tls::listener(&format!("{key}.tls"), entry.tls, checks);
    let tls = tls.ok()?;
    Some(Listener {
        address: address?,
        announced: announced?,
        // On plaintext only load balancers speak it, and not by themselves.
        http2: entry.http2.unwrap_or(tls.is_some()),
        tls,
    })
}

/// Peers whose forwarding headers count.
pub(super) fn trusted_proxies(list: List<String>, checks: &mut Checks<'_>) -> Option<Vec<IpNet>> {
    const KEY: &str = "trusted_proxies";
    let (nets, whole) = readable_networks(KEY, list, &mut checks.report)?;
    if is_everything(&nets) {
        checks.report.refuse_with(
            KEY,
            "trusts everybody: any client could then choose its own address",
            "name the networks of your load balancer only",
        );
        return None;
    }
    whole.then_some(nets)
}

/// No address may be bound twice.
pub(super) fn check_addresses(settings: &Settings, report: &mut Report) {
    let mut seen: Vec<(String, SocketAddr)> = Vec::new();
    let issuer = match &settings.headscale.sign_in {
        SignIn::Issuer(issuer) => Some(("headscale.issuer.address".to_owned(), issuer.address)),
        SignIn::Own | SignIn::None => None,
    };
    let admin = settings
        .admin
        .address
        .map(|address| ("admin.address".to_owned(), address));
    let listen = settings
        .listen
        .iter()
        .enumerate()
        .map(|(index, listener)| (format!("listen[{index}].address"), listener.address));
    for (key, address) in listen.chain(admin).chain(issuer) {
        if let Some((other, _)) = seen.iter().find(|(_, other)| overlap(*other, address)) {
            report.refuse(&key, format!("the same address and port as {other}"));
        }
        seen.push((key, address));
    }
}

fn overlap(a: SocketAddr, b: SocketAddr) -> bool {
    let (x, y): (IpAddr, IpAddr) = (a.ip().to_canonical(), b.ip().to_canonical());
    let wild = x.is_ipv4() == y.is_ipv4() && (x.is_unspecified() || y.is_unspecified());
    // Port 0 asks the system for a free one.
    a.port() == b.port() && a.port() != 0 && (x == y || wild)
}

/// A listener that wants a PROXY header takes connections from trusted proxies only.
pub(super) fn check_announced(settings: &Settings, report: &mut Report) {
    let announced = settings.listen.iter().position(|entry| entry.announced);
    if let Some(index) = announced
        && settings.trusted_proxies.is_empty()
    {
        report.refuse_with(
            &format!("listen[{index}].proxy_protocol"),
            "trusted_proxies is empty, so nobody's PROXY header counts and nobody would be let in",
            "list the address of the load balancer in trusted_proxies",
        );
    }
}
