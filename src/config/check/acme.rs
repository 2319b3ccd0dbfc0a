//! The `acme` section: where certificates come from by themselves.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::super::file::{self, List};
use super::super::report::Report;
use super::super::settings::{
    AcmeSettings, Certificates, ChallengeKind, ExternalAccount, Listener, ServerUrl, Settings,
};
use super::headscale::path_if;
use super::values::{choice, http_url, is_loopback, texts};
use super::{Checks, Reported, secrets};
use crate::domain::secret::Secret;

const LETS_ENCRYPT: &str = "https://acme-v02.api.letsencrypt.org/directory";
const DEFAULT_STORAGE: &str = "/var/lib/headwarden/acme";

/// Whether a listener wants a certificate from there.
fn is_wanted(listener: &Listener) -> bool {
    let tls = listener.tls.as_ref();
    tls.is_some_and(|tls| tls.certificates == Certificates::Acme)
}

/// The section, where there is one, or a listener wants one.
pub(super) fn acme(
    file: Option<file::Acme>,
    listen: Option<&[Listener]>,
    server_url: Option<&ServerUrl>,
    checks: &mut Checks<'_>,
) -> Result<Option<AcmeSettings>, Reported> {
    let wanted = listen.is_some_and(|listen| listen.iter().any(is_wanted));
    let Some(file) = file else {
        if checks.report.is_broken("acme") {
            return Err(Reported);
        }
        if wanted {
            checks.report.refuse_with(
                "acme",
                "is required, since a listener has tls.acme",
                "write `acme: { terms_of_service_agreed: true }`; docs/configuration.md has the rest",
            );
            return Err(Reported);
        }
        return Ok(None);
    };
    if !wanted && listen.is_some() {
        checks
            .report
            .warn("acme", "not used, since no listener has tls.acme");
    }
    let settings = settings(file, server_url, checks).ok_or(Reported)?;
    Ok(wanted.then_some(settings))
}

fn settings(
    file: file::Acme,
    server_url: Option<&ServerUrl>,
    checks: &mut Checks<'_>,
) -> Option<AcmeSettings> {
    let agreed_key = "acme.terms_of_service_agreed";
    let agreed = file.terms_of_service_agreed == Some(true);
    if !agreed && !checks.report.is_broken(agreed_key) {
        checks.report.refuse_with(
            agreed_key,
            "must be true: an account is made in your name",
            "read the directory's terms of service, then write true",
        );
    }
    let directory_url = directory(file.directory_url.as_deref(), &mut checks.report);
    let contact = contact(file.contact, &mut checks.report);
    let names = names(file.names, server_url, &mut checks.report);
    let storage_path = file
        .storage_path
        .unwrap_or_else(|| DEFAULT_STORAGE.to_owned());
    let storage_path = secrets::path("acme.storage_path", Some(storage_path), checks);
    let words = [
        ("http-01", ChallengeKind::Http01),
        ("tls-alpn-01", ChallengeKind::TlsAlpn01),
    ];
    let challenge = choice(
        "acme.challenge",
        file.challenge.as_deref(),
        &words,
        ChallengeKind::Http01,
        &mut checks.report,
    );
    let ca_path = path_if("acme.ca_path", file.ca_path, checks);
    let external = external(
        file.eab_key_id,
        (file.eab_hmac_key, file.eab_hmac_key_path),
        checks,
    );
    Some(AcmeSettings {
        directory_url: directory_url?,
        contact: contact?,
        names: names?,
        storage_path: storage_path?,
        challenge: challenge?,
        ca_path: ca_path.ok()?,
        external: external.ok()?,
    })
    .filter(|_| agreed)
}

fn directory(text: Option<&str>, report: &mut Report) -> Option<String> {
    const KEY: &str = "acme.directory_url";
    if text.is_none() && report.is_broken(KEY) {
        return None;
    }
    let url = http_url(KEY, text.unwrap_or(LETS_ENCRYPT), report)?;
    if url.scheme() != "https" && !is_loopback(&url) {
        report.refuse_with(KEY, "must be https", "write https://");
        return None;
    }
    Some(url.into())
}

/// Mail addresses, as the URIs that RFC 8555 section 7.3 asks for.
fn contact(list: List<String>, report: &mut Report) -> Option<Vec<String>> {
    const KEY: &str = "acme.contact";
    let texts = texts(KEY, list, report)?;
    let count = texts.len();
    let mut all = Vec::with_capacity(count);
    for (index, text) in texts.into_iter().enumerate() {
        let address = text.strip_prefix("mailto:").unwrap_or(&text);
        let good = address
            .split_once('@')
            .is_some_and(|(user, host)| !user.is_empty() && !host.is_empty());
        if !good || address.contains([' ', '?', ',', ':']) {
            let key = format!("{KEY}[{index}]");
            report.refuse_with(&key, "not a mail address", "for example ops@example.com");
            continue;
        }
        all.push(format!("mailto:{address}"));
    }
    (all.len() == count).then_some(all)
}

/// What the certificate is for; the public name where nothing is written.
fn names(
    list: List<String>,
    server_url: Option<&ServerUrl>,
    report: &mut Report,
) -> Option<Vec<String>> {
    const KEY: &str = "acme.names";
    let written = list.is_some();
    let own = server_url.map(|url| url.authority.host().to_ascii_lowercase());
    let texts = texts(KEY, list, report)?;
    if written && texts.is_empty() {
        report.refuse(KEY, "needs at least one name");
        return None;
    }
    if !written {
        let own = own?;
        if !is_dns_name(&own) {
            let reason = "server_url has no DNS name that a certificate could be ordered for";
            report.refuse_with(
                KEY,
                reason,
                "give server_url a name, or a certificate in files",
            );
            return None;
        }
        return Some(vec![own]);
    }
    let count = texts.len();
    let mut all = Vec::with_capacity(count);
    for (index, text) in texts.iter().enumerate() {
        let key = format!("{KEY}[{index}]");
        let name = text.to_ascii_lowercase();
        if name.starts_with("*.") {
            let reason = "a wildcard needs a challenge over DNS, which is not offered";
            report.refuse_with(&key, reason, "list the names themselves, or use files");
        } else if !is_dns_name(&name) {
            report.refuse_with(&key, "not a DNS name", "for example headscale.example.com");
        } else if all.contains(&name) {
            report.refuse(&key, "listed twice");
        } else {
            all.push(name);
        }
    }
    if own.is_some_and(|own| !all.contains(&own)) && all.len() == count {
        report.warn(KEY, "the host of server_url is not among them");
    }
    (all.len() == count).then_some(all)
}

/// Letters, digits and hyphens in labels, with a dot; no address.
fn is_dns_name(name: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    let last = name.rsplit('.').next().unwrap_or_default();
    name.len() <= 253
        && name.contains('.')
        && name.split('.').all(label)
        && !last.bytes().all(|byte| byte.is_ascii_digit())
}

/// Binding to an account with the authority (RFC 8555 section 7.3.4): both halves or none.
fn external(
    id: Option<String>,
    (key, path): (Option<String>, Option<String>),
    checks: &mut Checks<'_>,
) -> Result<Option<ExternalAccount>, Reported> {
    const ID: &str = "acme.eab_key_id";
    const KEY: &str = "acme.eab_hmac_key";
    let key = secrets::secret(KEY, key, path, checks)?;
    let id = id.filter(|id| !id.trim().is_empty());
    if checks.report.is_broken(ID) {
        return Err(Reported);
    }
    match (id, key) {
        (None, None) => Ok(None),
        (Some(id), Some(key)) => {
            let text = key.expose().trim_end_matches('=');
            let Ok(bytes) = URL_SAFE_NO_PAD.decode(text) else {
                let hint = "write it as the authority shows it";
                checks.report.refuse_with(KEY, "not base64url", hint);
                return Err(Reported);
            };
            Ok(Some(ExternalAccount {
                id: id.trim().to_owned(),
                key: Secret::new(bytes),
            }))
        }
        (None, Some(_)) => {
            let hint = "the authority shows both";
            checks
                .report
                .refuse_with(ID, "is required beside eab_hmac_key", hint);
            Err(Reported)
        }
        (Some(_), None) => {
            let hint = "the authority shows both; write eab_hmac_key_path";
            checks
                .report
                .refuse_with(KEY, "is required beside eab_key_id", hint);
            Err(Reported)
        }
    }
}

/// Where validators come, seen from the listeners.
pub(super) fn check_with_listeners(settings: &Settings, report: &mut Report) {
    let Some(acme) = &settings.acme else {
        return;
    };
    let plaintext = settings
        .listen
        .iter()
        .any(|listener| listener.tls.is_none());
    if acme.challenge == ChallengeKind::Http01 && !plaintext {
        report.refuse_with(
            "acme.challenge",
            "http-01 is answered by a listener without tls, and there is none",
            "add a listener for port 80, or write tls-alpn-01",
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_that_a_public_authority_could_certify() {
        for (name, good) in [
            ("headscale.company", true),
            ("a-b.c1.example", true),
            ("xn--bcher-kva.example", true),
            ("localhost", false),
            ("127.0.0.1", false),
            ("[::1]", false),
            ("a..b", false),
            ("-a.b", false),
            ("a_.b", false),
            ("a.b.", false),
            ("*.a.b", false),
            ("", false),
        ] {
            assert_eq!(is_dns_name(name), good, "{name}");
        }
    }
}
