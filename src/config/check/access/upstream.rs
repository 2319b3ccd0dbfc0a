//! Where the requests of a rule go, and how.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use url::Host;

use super::super::super::file::{self, HealthCheck as WrittenCheck, UpstreamKeys};
use super::super::super::report::Report;
use super::super::super::settings::{
    Access, Balance, HealthCheck, HostField, Settings, Upstream, WebUi,
};
use super::super::headscale::path_if;
use super::super::values::{self, DAY, MINUTE, SECOND, choice, duration, number, texts};
use super::super::{Checks, Reported};
use super::pattern::{covers, head};
use crate::domain::authority::Authority;
use crate::domain::path::Target;
use crate::domain::rewrite::{Rewrite, is_prefix};

/// Most addresses of one web UI.
const MOST_ADDRESSES: usize = 16;

/// The `upstream` of a rule for `path`, with the `ca_path` that stands beside it. `None` is Headscale.
///
/// # Errors
/// A mistake, which was reported.
pub(super) fn upstream(
    key: &str,
    written: Option<file::Upstream>,
    path: Option<&str>,
    ca_path: Option<String>,
    checks: &mut Checks<'_>,
) -> Result<Option<WebUi>, Reported> {
    let beside = path_if(&format!("{key}.ca_path"), ca_path, checks);
    let upstream = format!("{key}.upstream");
    match (written, beside) {
        (None, Ok(None)) if checks.report.is_broken(&upstream) => Err(Reported),
        (None, Ok(None)) => Ok(None),
        (_, Err(Reported)) => Err(Reported),
        (None, Ok(Some(_))) => {
            let key = format!("{key}.ca_path");
            checks
                .report
                .refuse(&key, "means nothing without an upstream");
            Err(Reported)
        }
        (Some(file::Upstream::Address(text)), Ok(ca_path)) => {
            let address = values::upstream(&upstream, &text, ca_path, &mut checks.report);
            address.map(|it| Some(plain(vec![it]))).ok_or(Reported)
        }
        (Some(file::Upstream::Keys(_)), Ok(Some(_))) => {
            let key = format!("{key}.ca_path");
            let hint = format!("write {upstream}.ca_path");
            checks
                .report
                .refuse_with(&key, "stands beside an upstream of several keys", hint);
            Err(Reported)
        }
        (Some(file::Upstream::Keys(keys)), Ok(None)) => web_ui(&upstream, *keys, path, checks)
            .map(Some)
            .ok_or(Reported),
    }
}

fn plain(addresses: Vec<Upstream>) -> WebUi {
    WebUi {
        addresses,
        server_name: None,
        balance: Balance::RoundRobin,
        connect_timeout: None,
        response_timeout: 5 * MINUTE,
        rewrite: Rewrite::default(),
        host: HostField::Public,
        health: None,
    }
}

fn web_ui(
    key: &str,
    mut keys: UpstreamKeys,
    path: Option<&str>,
    checks: &mut Checks<'_>,
) -> Option<WebUi> {
    let ca_path = path_if(&format!("{key}.ca_path"), keys.ca_path.take(), checks);
    let report = &mut checks.report;
    let at = |name: &str| format!("{key}.{name}");
    let addresses = ca_path
        .ok()
        .and_then(|ca_path| addresses(key, &mut keys, ca_path.as_ref(), report));
    let tls = addresses
        .as_ref()
        .is_none_or(|all| all.iter().all(|it| it.tls));
    let server_name = server_name(
        &at("tls_server_name"),
        keys.tls_server_name.take(),
        tls,
        report,
    );
    let connect_timeout = keys.connect_timeout.as_deref().map_or(Ok(None), |text| {
        let bounds = (SECOND, MINUTE);
        let wait = duration(&at("connect_timeout"), Some(text), SECOND, bounds, report);
        wait.map(Some).ok_or(Reported)
    });
    let response_timeout = duration(
        &at("response_timeout"),
        keys.response_timeout.as_deref(),
        5 * MINUTE,
        (SECOND, DAY),
        report,
    );
    let rewrite = rewrite(key, &mut keys, path, report);
    let host = host_header(&at("host_header"), keys.host_header.as_deref(), report);
    let balance = choice(
        &at("balance"),
        keys.balance.as_deref(),
        &[
            ("round_robin", Balance::RoundRobin),
            ("least_connections", Balance::LeastConnections),
            ("first", Balance::First),
        ],
        Balance::RoundRobin,
        report,
    );
    let health = health_check(&at("health_check"), keys.health_check.take(), report);
    Some(WebUi {
        addresses: addresses?,
        server_name: server_name.ok()?,
        balance: balance?,
        connect_timeout: connect_timeout.ok()?,
        response_timeout: response_timeout?,
        rewrite: rewrite?,
        host: host?,
        health: health.ok()?,
    })
}

fn addresses(
    key: &str,
    keys: &mut UpstreamKeys,
    ca_path: Option<&PathBuf>,
    report: &mut Report,
) -> Option<Vec<Upstream>> {
    let (one, many) = (format!("{key}.url"), format!("{key}.urls"));
    let read = |key: &str, text: &str, report: &mut Report| {
        values::upstream(key, text, ca_path.cloned(), report)
    };
    match (keys.url.take(), keys.urls.take()) {
        (Some(text), None) => read(&one, &text, report).map(|address| vec![address]),
        (None, Some(list)) => {
            let list = texts(&many, Some(list), report)?;
            if !(2..=MOST_ADDRESSES).contains(&list.len()) {
                let reason = format!("must name 2 to {MOST_ADDRESSES} addresses");
                report.refuse_with(&many, reason, "write url for one");
                return None;
            }
            let each = list.iter().enumerate();
            let all: Vec<Upstream> = each
                .filter_map(|(index, text)| read(&format!("{many}[{index}]"), text, report))
                .collect();
            (all.len() == list.len() && of_one_kind(&many, &all, report)).then_some(all)
        }
        (None, None) if report.is_broken(&one) || report.is_broken(&many) => None,
        (None, None) => {
            let hint = "for example url: http://127.0.0.1:3000";
            report.refuse_with(&one, "is required", hint);
            None
        }
        (Some(_), Some(_)) => {
            report.refuse_with(&many, "stands beside url", "write all addresses in urls");
            None
        }
    }
}

fn of_one_kind(key: &str, all: &[Upstream], report: &mut Report) -> bool {
    for (index, address) in all.iter().enumerate() {
        let key = format!("{key}[{index}]");
        let mut before = all.iter().take(index);
        if before
            .clone()
            .any(|it| it.authority() == address.authority())
        {
            report.refuse(&key, "the same address once more");
            return false;
        }
        if before.any(|it| it.tls != address.tls) {
            let hint = "write https:// for all of them, or http:// for all";
            report.refuse_with(&key, "not the scheme of the others", hint);
            return false;
        }
    }
    true
}

fn server_name(
    key: &str,
    text: Option<String>,
    tls: bool,
    report: &mut Report,
) -> Result<Option<String>, Reported> {
    let Some(text) = text else {
        return Ok(None);
    };
    if !tls {
        report.refuse_with(
            key,
            "means nothing without https",
            "write https:// or remove it",
        );
        return Err(Reported);
    }
    let is_name = matches!(Host::parse(&text), Ok(Host::Domain(name)) if name == text);
    if !is_name && text.parse::<IpAddr>().is_err() {
        report.refuse_with(
            key,
            "no certificate could hold this name",
            "a DNS name or an address",
        );
        return Err(Reported);
    }
    Ok(Some(text))
}

fn rewrite(
    key: &str,
    keys: &mut UpstreamKeys,
    path: Option<&str>,
    report: &mut Report,
) -> Option<Rewrite> {
    let (strip, add) = (keys.strip_prefix.take(), keys.add_prefix.take());
    let mut good = true;
    for (name, text) in [("strip_prefix", &strip), ("add_prefix", &add)] {
        if text.as_ref().is_some_and(|text| !is_prefix(text)) {
            report.refuse_with(
                &format!("{key}.{name}"),
                "not the front of a path",
                "for example /web: whole segments, no slash at the end, no dots, no star",
            );
            good = false;
        }
    }
    if let (Some(strip), Some(path), true) = (&strip, path, good)
        && !covers(&format!("{strip}/**"), head(path))
    {
        let hint = format!("the path of this rule is {path}");
        report.refuse_with(
            &format!("{key}.strip_prefix"),
            "the rule's path is not at or below it",
            hint,
        );
        good = false;
    }
    good.then(|| Rewrite::new(strip, add)).flatten()
}

fn host_header(key: &str, text: Option<&str>, report: &mut Report) -> Option<HostField> {
    match text {
        None | Some("client") => Some(HostField::Public),
        Some("upstream") => Some(HostField::Upstream),
        Some(name) => {
            let plain = Authority::parse(name.as_bytes()).is_some();
            if !plain {
                let hint = "client, upstream, or a name like headplane.internal:3000";
                report.refuse_with(key, "not a host", hint);
            }
            plain.then(|| HostField::Name(name.to_owned()))
        }
    }
}

fn health_check(
    key: &str,
    written: Option<WrittenCheck>,
    report: &mut Report,
) -> Result<Option<HealthCheck>, Reported> {
    let Some(written) = written else {
        return if report.is_broken(key) {
            Err(Reported)
        } else {
            Ok(None)
        };
    };
    let path = health_path(&format!("{key}.path"), written.path, report);
    let mut wait = |name: &str, text: Option<String>, default: u64, most: Duration| {
        let default = Duration::from_secs(default);
        let key = format!("{key}.{name}");
        duration(&key, text.as_deref(), default, (SECOND, most), report)
    };
    let interval = wait("interval", written.interval, 10, 60 * MINUTE);
    let timeout = wait("timeout", written.timeout, 5, MINUTE);
    let mut count = |name: &str, value: Option<u64>, default: u64| {
        let key = format!("{key}.{name}");
        number(&key, value, default, (1, 100), report).and_then(|it| u32::try_from(it).ok())
    };
    let healthy = count("healthy_after", written.healthy_after, 2);
    let unhealthy = count("unhealthy_after", written.unhealthy_after, 3);
    Ok(Some(HealthCheck {
        path: path.ok_or(Reported)?,
        interval: interval.ok_or(Reported)?,
        timeout: timeout.ok_or(Reported)?,
        healthy: healthy.ok_or(Reported)?,
        unhealthy: unhealthy.ok_or(Reported)?,
    }))
}

fn health_path(key: &str, text: Option<String>, report: &mut Report) -> Option<String> {
    let good = text.filter(|text| Target::parse(text.as_bytes()).is_ok());
    if good.is_none() {
        report.refuse_with(key, "must be a path", "for example /healthz");
    }
    good
}

/// What only all rules together can say: nothing gets past Headscale's doors, or past another rule, by a
/// path that changes.
pub(in super::super) fn check_rewrites(settings: &Settings, report: &mut Report) {
    let headscales = [
        Some(&settings.headscale.upstream),
        settings.headscale.grpc.as_ref(),
    ];
    for (index, rule) in settings.access.iter().enumerate() {
        let Some(web_ui) = &rule.upstream else {
            continue;
        };
        let is_headscale = |it: &Upstream| headscales.iter().flatten().any(|hs| is_same(hs, it));
        if !web_ui.rewrite.is_nothing() && web_ui.addresses.iter().any(is_headscale) {
            report.refuse_with(
                &format!("access[{index}].upstream"),
                "is Headscale under another path, past its doors",
                "remove strip_prefix and add_prefix; Headscale does not support path prefixes",
            );
        }
        let others = settings.access.iter().enumerate().take(index);
        for (other_index, other) in others {
            if is_beside(rule, other) {
                let [here, there] =
                    [index, other_index].map(|it| report.at(&format!("access[{it}]")));
                report.warn(
                    "access",
                    format!(
                        "{here} ({}) and {there} ({}) lead to the same address by different paths, and \
                         ask for different things: what one of them keeps back may be reached by the \
                         other; ask for the same in both, or give each an address of its own",
                        rule.path, other.path
                    ),
                );
            }
        }
    }
}

/// Whether two rules lead to one address with other changes of paths and other demands.
fn is_beside(one: &Access, other: &Access) -> bool {
    let (Some(here), Some(there)) = (&one.upstream, &other.upstream) else {
        return false;
    };
    let shared = |it: &Upstream| there.addresses.iter().any(|that| is_same(it, that));
    here.rewrite != there.rewrite
        && here.addresses.iter().any(shared)
        && (one.demands != other.demands
            || one.public != other.public
            || one.methods != other.methods
            || one.assurance != other.assurance)
}

/// Whether two addresses are one, as far as names tell.
fn is_same(one: &Upstream, other: &Upstream) -> bool {
    let bare = |it: &Upstream| match it.host.parse::<IpAddr>() {
        Ok(ip) => ip.to_canonical().to_string(),
        Err(_) => it.host.trim_end_matches('.').to_ascii_lowercase(),
    };
    let local = |it: &Upstream| {
        // What is bound to every address is reached by none of them, which means this machine.
        let is_here = |ip: IpAddr| ip.is_loopback() || ip.is_unspecified();
        let ip = it.host.parse::<IpAddr>();
        values::is_local_name(&bare(it)) || ip.is_ok_and(|ip| is_here(ip.to_canonical()))
    };
    one.port == other.port && (bare(one) == bare(other) || (local(one) && local(other)))
}
