//! Where sessions are kept: `session.store`, `session.redis` and `session.store_grace`.

use std::path::PathBuf;
use std::time::Duration;

use url::{Host, Url};

use super::super::file;
use super::super::report::Report;
use super::super::settings::{RedisSettings, RedisTopology, Store};
use super::headscale::path_if;
use super::values::{MINUTE, SECOND, duration, is_loopback, texts};
use super::{Checks, secrets};

const URL: &str = "session.redis.url";
const EXAMPLE: &str = "for example rediss://redis.internal:6379/0";
const DEFAULT_PORT: u16 = 6379;
const LONGEST_PREFIX: usize = 64;

/// The store that `session.store` names.
pub(super) fn store(
    word: Option<&str>,
    grace: Option<&str>,
    redis: Option<file::Redis>,
    checks: &mut Checks<'_>,
) -> Option<Store> {
    let written = redis.is_some() || grace.is_some();
    match word {
        None | Some("memory") => {
            if written {
                checks.report.warn(
                    "session.store",
                    "session.redis and session.store_grace mean nothing with the store memory",
                );
            }
            Some(Store::Memory)
        }
        Some("redis") => {
            let settings = self::redis(redis.unwrap_or_default(), grace, checks)?;
            Some(Store::Redis(Box::new(settings)))
        }
        Some(_) => {
            let hint = "write memory or redis";
            checks
                .report
                .refuse_with("session.store", "no such store", hint);
            None
        }
    }
}

fn redis(file: file::Redis, grace: Option<&str>, checks: &mut Checks<'_>) -> Option<RedisSettings> {
    let password = secrets::secret(
        "session.redis.password",
        file.password,
        file.password_path,
        checks,
    );
    let ca_path = path_if("session.redis.ca_path", file.ca_path, checks);
    let report = &mut checks.report;
    let place = place(file.url.as_deref(), report);
    let topology = topology(file.topology.as_deref(), file.sentinel_name, report);
    let more = nodes(file.nodes, report);
    let prefix = prefix(file.prefix, report);
    let bounds = (Duration::from_millis(50), 10 * SECOND);
    let timeout = file.timeout.as_deref();
    let timeout = duration("session.redis.timeout", timeout, SECOND, bounds, report);
    let bounds = (Duration::ZERO, 60 * MINUTE);
    let grace = duration("session.store_grace", grace, 5 * MINUTE, bounds, report);
    let (place, topology, more) = (place?, topology?, more?);
    let ca_path = ca_path.ok()?;
    check_together(&place, &topology, &more, ca_path.as_ref(), report)?;
    let password = password.ok()?;
    if !place.tls && !place.is_local {
        report.warn(
            URL,
            "not rediss://: the password can be read on the way, and answers can be changed",
        );
    } else if password.is_none() && !place.is_local {
        report.warn(
            "session.redis.password",
            "none: whoever reaches the server can end sessions",
        );
    }
    Some(RedisSettings {
        topology,
        nodes: std::iter::once(place.node).chain(more).collect(),
        tls: place.tls,
        ca_path,
        username: file.username,
        password,
        database: place.database,
        prefix: prefix?,
        timeout: timeout?,
        grace: grace?,
    })
}

/// What `session.redis.url` says.
struct Place {
    node: (String, u16),
    tls: bool,
    database: i64,
    is_local: bool,
}

fn place(text: Option<&str>, report: &mut Report) -> Option<Place> {
    let Some(text) = text else {
        if !report.is_broken(URL) {
            report.refuse_with(URL, "is required with the store redis", EXAMPLE);
        }
        return None;
    };
    let Ok(url) = Url::parse(text.trim()) else {
        report.refuse_with(URL, "not a valid URL", EXAMPLE);
        return None;
    };
    let tls = match url.scheme() {
        "redis" | "valkey" => false,
        "rediss" | "valkeys" => true,
        _ => {
            report.refuse_with(URL, "must begin with redis:// or rediss://", EXAMPLE);
            return None;
        }
    };
    if !url.username().is_empty() || url.password().is_some() {
        report.refuse_with(
            URL,
            "holds a user or a password",
            "write session.redis.username and session.redis.password_path",
        );
        return None;
    }
    if url.query().is_some() || url.fragment().is_some() {
        report.refuse_with(URL, "has a query or a fragment", EXAMPLE);
        return None;
    }
    let Some(host) = host(&url) else {
        report.refuse_with(URL, "names no host", EXAMPLE);
        return None;
    };
    let database = match url.path().trim_matches('/') {
        "" => Some(0),
        number => number
            .parse()
            .ok()
            .filter(|number| (0..=999).contains(number)),
    };
    let Some(database) = database else {
        report.refuse_with(URL, "its path is not the number of a database", EXAMPLE);
        return None;
    };
    Some(Place {
        node: (host, url.port().unwrap_or(DEFAULT_PORT)),
        tls,
        database,
        is_local: is_loopback(&url) || is_local_text(&url),
    })
}

/// Hosts of schemes that the URL standard does not know are opaque texts.
fn is_local_text(url: &Url) -> bool {
    let text = url.host_str().unwrap_or_default();
    let ip = text.trim_matches(['[', ']']).parse::<std::net::IpAddr>();
    text == "localhost" || ip.is_ok_and(|ip| ip.to_canonical().is_loopback())
}

fn host(url: &Url) -> Option<String> {
    let host = match url.host()? {
        Host::Domain(name) => name.to_owned(),
        Host::Ipv4(ip) => ip.to_string(),
        Host::Ipv6(ip) => ip.to_string(),
    };
    Some(host).filter(|host| !host.is_empty())
}

fn topology(
    word: Option<&str>,
    name: Option<String>,
    report: &mut Report,
) -> Option<RedisTopology> {
    const NAME: &str = "session.redis.sentinel_name";
    let name = name.filter(|name| !name.trim().is_empty());
    if name.is_some() && word != Some("sentinel") {
        report.refuse_with(
            NAME,
            "means something with the topology sentinel only",
            "write topology: sentinel, or remove it",
        );
        return None;
    }
    match (word, name) {
        (None | Some("one"), _) => Some(RedisTopology::One),
        (Some("cluster"), _) => Some(RedisTopology::Cluster),
        (Some("sentinel"), Some(name)) => Some(RedisTopology::Sentinel { name }),
        (Some("sentinel"), None) => {
            report.refuse_with(
                NAME,
                "is required with the topology sentinel",
                "the name after `sentinel monitor` in the Sentinels' configuration",
            );
            None
        }
        (Some(_), _) => {
            report.refuse_with(
                "session.redis.topology",
                "no such topology",
                "write one, sentinel or cluster",
            );
            None
        }
    }
}

fn nodes(list: file::List<String>, report: &mut Report) -> Option<Vec<(String, u16)>> {
    let written = texts("session.redis.nodes", list, report)?;
    let mut nodes = Vec::new();
    for (index, text) in written.iter().enumerate() {
        let url = Url::parse(&format!("redis://{text}")).ok();
        let url = url.filter(|url| {
            url.username().is_empty() && matches!(url.path(), "") && !text.contains(['?', '#'])
        });
        let Some((url, host)) = url.and_then(|url| host(&url).map(|host| (url, host))) else {
            report.refuse_with(
                &format!("session.redis.nodes[{index}]"),
                "not a host and a port",
                "for example redis-2.internal:6379",
            );
            return None;
        };
        nodes.push((host, url.port().unwrap_or(DEFAULT_PORT)));
    }
    Some(nodes)
}

fn prefix(text: Option<String>, report: &mut Report) -> Option<String> {
    let text = text.unwrap_or_else(|| "headwarden".to_owned());
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | ':');
    if text.is_empty() || text.len() > LONGEST_PREFIX || !text.chars().all(plain) {
        report.refuse_with(
            "session.redis.prefix",
            "must have 1 to 64 letters, digits, or any of - _ . :",
            "one for each deployment: headwarden-staging",
        );
        return None;
    }
    Some(text)
}

fn check_together(
    place: &Place,
    topology: &RedisTopology,
    more: &[(String, u16)],
    ca_path: Option<&PathBuf>,
    report: &mut Report,
) -> Option<()> {
    if *topology == RedisTopology::One && !more.is_empty() {
        report.refuse_with(
            "session.redis.nodes",
            "more than one node without a topology that has them",
            "write topology: sentinel or topology: cluster",
        );
        return None;
    }
    if *topology == RedisTopology::Cluster && place.database != 0 {
        report.refuse_with(URL, "a cluster has database 0 only", "remove the number");
        return None;
    }
    if ca_path.is_some() && !place.tls {
        report.refuse_with(
            "session.redis.ca_path",
            "the URL is not rediss://",
            "write rediss://, or remove ca_path",
        );
        return None;
    }
    Some(())
}
