//! Texts that become values: durations, addresses, networks, URLs, names of a fixed set.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use ipnet::{IpNet, Ipv4Net};
use url::{Host, Url};

use super::super::file::List;
use super::super::report::Report;
use super::super::settings::{Settings, Upstream};

/// One second, for bounds.
pub(super) const SECOND: Duration = Duration::from_secs(1);
/// One minute.
pub(super) const MINUTE: Duration = Duration::from_mins(1);
/// One day.
pub(super) const DAY: Duration = Duration::from_hours(24);

/// The duration, or `default` when there is none; `None` if it is none or out of bounds.
pub(super) fn duration(
    key: &str,
    text: Option<&str>,
    default: Duration,
    (least, most): (Duration, Duration),
    report: &mut Report,
) -> Option<Duration> {
    let Some(text) = text else {
        return Some(default);
    };
    let Ok(value) = humantime::parse_duration(text.trim()) else {
        report.refuse_with(
            key,
            "not a duration",
            "a number and a unit: 30s, 5m, 8h, 7d",
        );
        return None;
    };
    if value < least || value > most {
        let (least, most) = (
            humantime::format_duration(least),
            humantime::format_duration(most),
        );
        report.refuse(key, format!("must be between {least} and {most}"));
        return None;
    }
    Some(value)
}

/// The number, or `default`; `None` if it is out of bounds.
pub(super) fn number(
    key: &str,
    value: Option<u64>,
    default: u64,
    (least, most): (u64, u64),
    report: &mut Report,
) -> Option<u64> {
    let value = value.unwrap_or(default);
    if value < least || value > most {
        report.refuse(key, format!("must be between {least} and {most}"));
        return None;
    }
    Some(value)
}

/// The meaning of one of a fixed set of words; `default` when there is none.
pub(super) fn choice<T: Copy>(
    key: &str,
    text: Option<&str>,
    words: &[(&str, T)],
    default: T,
    report: &mut Report,
) -> Option<T> {
    let Some(text) = text else {
        return Some(default);
    };
    let found = words
        .iter()
        .find(|(word, _)| *word == text)
        .map(|(_, value)| *value);
    if found.is_none() {
        let words: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        report.refuse_with(
            key,
            "not one of the words this key takes",
            words.join(" or "),
        );
    }
    found
}

/// A list without empty entries.
pub(super) fn texts(key: &str, list: List<String>, report: &mut Report) -> Option<Vec<String>> {
    let mut all = Vec::new();
    let mut good = true;
    for (index, text) in list.unwrap_or_default().into_iter().enumerate() {
        match text.filter(|text| !text.trim().is_empty()) {
            Some(text) if text.trim() == text && !text.contains(char::is_control) => all.push(text),
            Some(_) => {
                report.refuse(
                    &format!("{key}[{index}]"),
                    "begins or ends with a blank, or holds a control character",
                );
                good = false;
            }
            None => {
                report.refuse(&format!("{key}[{index}]"), "an empty entry");
                good = false;
            }
        }
    }
    good.then_some(all)
}

/// `address:port`, without names: a listener must not depend on a resolver.
pub(super) fn address(key: &str, text: &str, report: &mut Report) -> Option<SocketAddr> {
    let parsed = text.trim().parse();
    if parsed.is_err() {
        report.refuse_with(
            key,
            "not an address with a port",
            "for example 127.0.0.1:8000 or [::]:443",
        );
    }
    parsed.ok()
}

/// Networks, where a bare address is a network of one. IPv4-mapped networks become IPv4.
pub(super) fn networks(key: &str, list: List<String>, report: &mut Report) -> Option<Vec<IpNet>> {
    let (nets, whole) = readable_networks(key, list, report)?;
    whole.then_some(nets)
}

/// Those that can be read, and whether that is all of them.
pub(super) fn readable_networks(
    key: &str,
    list: List<String>,
    report: &mut Report,
) -> Option<(Vec<IpNet>, bool)> {
    let texts = texts(key, list, report)?;
    let mut nets = Vec::with_capacity(texts.len());
    for (index, text) in texts.iter().enumerate() {
        let key = format!("{key}[{index}]");
        let net = text
            .parse::<IpNet>()
            .ok()
            .or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from));
        match net {
            None => report.refuse_with(
                &key,
                "not a network",
                "for example 10.0.0.0/8 or 2001:db8::/32",
            ),
            Some(net) if net.trunc() != net => {
                report.refuse_with(
                    &key,
                    "bits are set beyond the prefix",
                    format!("write {}", net.trunc()),
                );
            }
            Some(net) => nets.push(canonical(net)),
        }
    }
    let whole = nets.len() == texts.len();
    Some((nets, whole))
}

fn canonical(net: IpNet) -> IpNet {
    if let IpNet::V6(v6) = net
        && let Some(v4) = v6.addr().to_ipv4_mapped()
        && let Some(prefix) = v6.prefix_len().checked_sub(96)
        && let Ok(v4) = Ipv4Net::new(v4, prefix)
    {
        return IpNet::V4(v4);
    }
    net
}

/// Whether the networks together are everything of one family.
pub(super) fn is_everything(nets: &[IpNet]) -> bool {
    let mapped = IpAddr::V6(Ipv4Addr::UNSPECIFIED.to_ipv6_mapped());
    IpNet::aggregate(&nets.to_vec()).iter().any(|net| {
        net.prefix_len() == 0
            || (matches!(net, IpNet::V6(_)) && net.prefix_len() <= 96 && net.contains(&mapped))
    })
}

/// An http or https URL that is an origin: no user, path, query or fragment.
pub(super) fn origin(key: &str, text: &str, report: &mut Report) -> Option<Url> {
    let url = http_url(key, text, report)?;
    if url.path() != "/" || url.query().is_some() || url.fragment().is_some() {
        let hint = format!("write {}", url.origin().ascii_serialization());
        report.refuse_with(key, "must be scheme, host and port only", hint);
        return None;
    }
    Some(url)
}

/// An absolute http or https URL with a host and without a user.
pub(super) fn http_url(key: &str, text: &str, report: &mut Report) -> Option<Url> {
    let example = "for example https://headscale.example.com";
    if text.contains(|c: char| c.is_whitespace() || c.is_control() || "\\<>\"".contains(c)) {
        report.refuse_with(key, "holds a character that no URL has", example);
        return None;
    }
    let lower = text.to_ascii_lowercase();
    let Some(rest) = lower
        .strip_prefix("https://")
        .or_else(|| lower.strip_prefix("http://"))
    else {
        report.refuse_with(key, "must begin with https:// or http://", example);
        return None;
    };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or("");
    if authority.contains('@') {
        report.refuse_with(key, "must not hold a user name or password", example);
        return None;
    }
    let url = Url::parse(text)
        .ok()
        .filter(|url| url.host_str().is_some() && url.port() != Some(0));
    if url
        .as_ref()
        .is_none_or(|url| url.host_str().is_some_and(|host| host.ends_with('.')))
    {
        report.refuse_with(key, "not a valid URL", example);
        return None;
    }
    url
}

/// Whether the URL's host is this machine.
pub(super) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => is_local_name(name),
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => IpAddr::V6(ip).to_canonical().is_loopback(),
        None => false,
    }
}

pub(super) fn is_local_name(name: &str) -> bool {
    name == "localhost" || name.ends_with(".localhost")
}

/// Where requests go: `http://host:port` or `https://host:port`.
pub(super) fn upstream(
    key: &str,
    text: &str,
    ca_path: Option<PathBuf>,
    report: &mut Report,
) -> Option<Upstream> {
    let url = origin(key, text, report)?;
    let tls = url.scheme() == "https";
    if ca_path.is_some() && !tls {
        report.refuse_with(
            key,
            "has a ca_path but is not https",
            "write https:// or remove ca_path",
        );
        return None;
    }
    let host = match url.host()? {
        Host::Domain(name) => name.to_owned(),
        Host::Ipv4(ip) => ip.to_string(),
        Host::Ipv6(ip) => ip.to_string(),
    };
    Some(Upstream {
        tls,
        host,
        port: url.port_or_known_default()?,
        ca_path,
    })
}

/// The places that are ourselves, which nothing may be forwarded to.
pub(super) struct Urls {
    host: String,
    port: u16,
    listeners: Vec<SocketAddr>,
}

impl Urls {
    pub(super) fn of(settings: &Settings) -> Self {
        let authority = &settings.server_url.authority;
        let default = if settings.server_url.secure { 443 } else { 80 };
        let issuer = match &settings.headscale.sign_in {
            super::super::settings::SignIn::Issuer(issuer) => Some(issuer.address),
            _ => None,
        };
        let listeners = settings.listen.iter().map(|listener| listener.address);
        Self {
            host: authority.host().trim_matches(['[', ']']).to_owned(),
            port: authority.port_u16().unwrap_or(default),
            listeners: listeners
                .chain(issuer)
                .chain(settings.admin.address)
                .collect(),
        }
    }

    /// Reports an upstream that is one of our own listeners or our public name: a loop.
    pub(super) fn check_upstream(&self, key: &str, upstream: &Upstream, report: &mut Report) {
        let ip =
            upstream.host.parse::<IpAddr>().ok().or_else(|| {
                is_local_name(&upstream.host).then_some(IpAddr::V4(Ipv4Addr::LOCALHOST))
            });
        let ours = self.listeners.iter().any(|listener| {
            listener.port() == upstream.port && ip.is_some_and(|ip| reaches(ip, listener.ip()))
        });
        let named = upstream.host.eq_ignore_ascii_case(&self.host) && upstream.port == self.port;
        if ours || named {
            report.refuse_with(
                key,
                "is Headwarden itself",
                "name the address that the service behind listens on",
            );
        }
    }
}

/// Whether a connection to `to` reaches a listener bound to `bound`, as far as addresses tell.
fn reaches(to: IpAddr, bound: IpAddr) -> bool {
    let (to, bound) = (to.to_canonical(), bound.to_canonical());
    to == bound
        || (to.is_loopback() && bound.is_unspecified())
        || (to.is_unspecified() && (bound.is_loopback() || bound.is_unspecified()))
        || (to == IpAddr::V6(Ipv6Addr::LOCALHOST) && bound == IpAddr::V4(Ipv4Addr::LOCALHOST))
}
