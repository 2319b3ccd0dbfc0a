//! Headscale's configuration file, set against ours.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;

use ipnet::IpNet;

use super::super::import::Old;
use crate::config::{ReadFile, Settings, SignIn, parse_foreign};
use crate::domain::finding::Finding;
use crate::domain::hash::sha256;

const FILE: &str = "headscale.config";
const SERVER_URL: &str = "headscale.config.server_url";
const LISTEN: &str = "headscale.config.listen_addr";
const PROXIES: &str = "headscale.config.trusted_proxies";
const ISSUER: &str = "headscale.config.issuer";
const CLIENT: &str = "headscale.config.client_id";
const SECRET: &str = "headscale.config.client_secret";
const EXPIRY: &str = "headscale.config.use_expiry_from_token";
const SCOPE: &str = "headscale.config.scope";
const RETIRED: &str = "headscale.config.retired_keys";

/// What Headscale's `oidc:` block should say.
struct Wanted<'a> {
    issuer: &'a str,
    client_id: &'a str,
    secret: &'a str,
    /// Only where we are the issuer.
    expiry: Option<bool>,
}

/// Compares Headscale's configuration with ours. Secrets are compared by their hash, and never told.
pub fn check_config(
    settings: &Settings,
    text: &str,
    name: &str,
    read_file: ReadFile<'_>,
) -> Vec<Finding> {
    let old = match parse_foreign(text, name) {
        Ok(tree) => Old::new(tree),
        Err(why) => {
            let told = format!("{name} cannot be read: {}", why.reason);
            return vec![Finding::failure(
                FILE,
                told,
                "mend the file; headscale cannot read it either",
            )];
        }
    };
    let mut findings = vec![
        server_url(&old, settings),
        listen_addr(&old, settings),
        trusted_proxies(&old, settings),
    ];
    findings.extend(block(&old, settings, read_file));
    findings.push(retired(&old));
    findings
}

fn server_url(old: &Old, settings: &Settings) -> Finding {
    let ours = &settings.server_url.origin;
    let theirs = old.text("server_url").unwrap_or_default();
    let same =
        url::Url::parse(&theirs).is_ok_and(|url| url.origin().ascii_serialization() == *ours);
    if same {
        return Finding::ok(SERVER_URL, "server_url is the same in both");
    }
    let told = format!("headscale's server_url is {theirs:?}, headwarden's is {ours:?}");
    Finding::failure(
        SERVER_URL,
        told,
        format!("write server_url: {ours} in both"),
    )
}

fn listen_addr(old: &Old, settings: &Settings) -> Finding {
    let theirs = old.text("listen_addr").unwrap_or_default();
    let port = settings.headscale.upstream.port;
    let fix = format!("write listen_addr: 127.0.0.1:{port}");
    let listens = theirs
        .rsplit_once(':')
        .and_then(|(_, port)| port.parse::<u16>().ok());
    if listens != Some(port) {
        let told = format!("headscale listens at {theirs:?}, headscale.url has port {port}");
        return Finding::failure(LISTEN, told, fix);
    }
    let is_loopback = theirs.starts_with("localhost:")
        || theirs
            .parse()
            .is_ok_and(|address: SocketAddr| address.ip().is_loopback());
    if is_loopback {
        return Finding::ok(
            LISTEN,
            format!("headscale listens at {theirs}, for headwarden alone"),
        );
    }
    let told =
        format!("headscale listens at {theirs}: whoever reaches that is past headwarden's rules");
    Finding::warning(
        LISTEN,
        told,
        format!("{fix}; or see to it that nobody but headwarden gets there"),
    )
}

/// Where Headscale is on loopback, so are we. Elsewhere nobody knows our address from here.
fn trusted_proxies(old: &Old, settings: &Settings) -> Finding {
    let networks = old.list("trusted_proxies");
    let fix = "write trusted_proxies: [\"127.0.0.1/32\"], or headwarden's address, in headscale's \
               configuration (0.29 and newer)";
    if networks.is_empty() {
        let told = "headscale trusts no proxy: it takes every client for headwarden's own address";
        return Finding::warning(PROXIES, told, fix);
    }
    let host = settings.headscale.upstream.host.as_str();
    let us = match host.parse::<IpAddr>() {
        Ok(address) if address.is_loopback() => address,
        _ if host == "localhost" => IpAddr::V4(Ipv4Addr::LOCALHOST),
        _ => return Finding::ok(PROXIES, format!("headscale trusts {}", networks.join(", "))),
    };
    let covers = |text: &String| {
        text.parse::<IpNet>()
            .is_ok_and(|network| network.contains(&us))
    };
    if networks.iter().any(covers) {
        return Finding::ok(
            PROXIES,
            "headscale trusts headwarden for clients' addresses",
        );
    }
    let told = format!(
        "headscale trusts {}, and not headwarden at {us}",
        networks.join(", ")
    );
    Finding::warning(PROXIES, told, fix)
}

fn block(old: &Old, settings: &Settings, read_file: ReadFile<'_>) -> Vec<Finding> {
    let wanted = match &settings.headscale.sign_in {
        SignIn::None => {
            return vec![match old.text("oidc.issuer") {
                None => Finding::ok(ISSUER, "no oidc: block, as headscale.sign_in says"),
                Some(_) => Finding::failure(
                    ISSUER,
                    "headscale has an oidc: block, but headscale.sign_in is none",
                    "write headscale.sign_in: own, or take the block out of headscale's configuration",
                ),
            }];
        }
        SignIn::Issuer(issuer) => Wanted {
            issuer: issuer.url.as_str(),
            client_id: &issuer.client_id,
            secret: issuer.client_secret.expose(),
            expiry: Some(settings.oidc.use_expiry_from_token || issuer.node_expiry.is_some()),
        },
        SignIn::Own => Wanted {
            issuer: settings.oidc.issuer.as_str(),
            client_id: &settings.oidc.client_id,
            secret: settings.oidc.client_secret.expose(),
            expiry: None,
        },
    };
    let mut findings = vec![
        same(ISSUER, "oidc.issuer", old, wanted.issuer),
        same(CLIENT, "oidc.client_id", old, wanted.client_id),
        secret(old, wanted.secret, read_file),
        scope(old),
    ];
    findings.extend(wanted.expiry.map(|expiry| self::expiry(old, expiry)));
    findings
}

fn same(check: &'static str, key: &str, old: &Old, wanted: &str) -> Finding {
    let theirs = old.text(key).unwrap_or_default();
    if theirs == wanted {
        return Finding::ok(check, format!("{key} is {wanted}"));
    }
    let told = format!("headscale's {key} is {theirs:?}, and should be {wanted:?}, byte for byte");
    Finding::failure(
        check,
        told,
        "compare with `headwarden headscale-config`, then restart headscale",
    )
}

fn secret(old: &Old, wanted: &str, read_file: ReadFile<'_>) -> Finding {
    let text = match (
        old.text("oidc.client_secret"),
        old.text("oidc.client_secret_path"),
    ) {
        (Some(text), _) => text,
        (None, Some(path)) if path.contains('$') => {
            let why =
                format!("{path} is in headscale's own environment, and cannot be read from here");
            return Finding::skipped(SECRET, why);
        }
        (None, Some(path)) => match read_file(Path::new(&path)) {
            Ok(file) => file.text,
            Err(why) => return Finding::skipped(SECRET, format!("{path} cannot be read: {why}")),
        },
        (None, None) => {
            let why = "headscale's secret is in no file (in HEADSCALE_OIDC_CLIENT_SECRET?)";
            return Finding::skipped(SECRET, why);
        }
    };
    if sha256(text.trim().as_bytes()) == sha256(wanted.trim().as_bytes()) {
        return Finding::ok(SECRET, "the client secret is the same in both");
    }
    let told = "headscale has another client secret than headwarden";
    Finding::failure(
        SECRET,
        told,
        "copy the one file to the other place, then restart both",
    )
}

fn scope(old: &Old) -> Finding {
    let scope = old.list("oidc.scope");
    let needed = ["openid", "profile", "email"];
    let lacks = |name: &&str| !scope.iter().any(|has| has == name);
    let missing: Vec<&str> = needed.into_iter().filter(lacks).collect();
    if scope.is_empty() || missing.is_empty() {
        return Finding::ok(SCOPE, "openid, profile and email are asked for");
    }
    let told = format!("headscale does not ask for {}", missing.join(", "));
    Finding::warning(
        SCOPE,
        told,
        "write scope: [\"openid\", \"profile\", \"email\"]",
    )
}

fn expiry(old: &Old, wanted: bool) -> Finding {
    if old.flag("oidc.use_expiry_from_token").unwrap_or(false) == wanted {
        return Finding::ok(EXPIRY, format!("use_expiry_from_token is {wanted}"));
    }
    let told = if wanted {
        "devices do not get the expiry that headwarden gives them"
    } else {
        "devices would end with the token, which is for five minutes"
    };
    let fix = format!("write use_expiry_from_token: {wanted} in headscale's oidc: block");
    Finding::failure(EXPIRY, told, fix)
}

fn retired(old: &Old) -> Finding {
    let fatal = [
        ("oidc.strip_email_domain", "0.26"),
        ("oidc.map_legacy_users", "0.26"),
        ("oidc.expiry", "0.29"),
        ("randomize_client_port", "0.29"),
    ];
    let found = fatal.into_iter().filter(|(key, _)| old.has(key));
    let told: Vec<String> = found
        .map(|(key, since)| format!("{key} (since {since})"))
        .collect();
    if told.is_empty() {
        return Finding::ok(RETIRED, "no key that newer headscales refuse");
    }
    let told = format!("newer headscales refuse to start with {}", told.join(", "));
    Finding::warning(RETIRED, told, "delete these keys before an upgrade")
}
