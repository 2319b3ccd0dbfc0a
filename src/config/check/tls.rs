//! Certificates: those that listeners show, and those that clients must.

use super::super::file::{self, List};
use super::super::report::Report;
use super::super::settings::{Certificates, ClientCertificates, ListenerTls, Settings, TlsFiles};
use super::headscale::path_if;
use super::values::{choice, texts};
use super::{Checks, Reported, secrets};

/// What makes a listener speak TLS, in the words of a hint.
const HOW: &str = "write cert_path and key_path below it, further in; or delete the line";

/// `tls` of a public listener.
pub(super) fn listener(
    key: &str,
    tls: Option<file::Tls>,
    checks: &mut Checks<'_>,
) -> Result<Option<ListenerTls>, Reported> {
    let Some(tls) = written(key, tls, checks)? else {
        return Ok(None);
    };
    let files = (tls.cert_path, tls.key_path);
    let certificates = if tls.acme == Some(true) {
        from_acme(key, &files, tls.certificates.as_ref(), checks)
    } else {
        certificates(key, files, tls.certificates, checks).map(Certificates::Files)
    };
    let asked = (tls.client_ca_path, tls.client_auth, tls.client_names);
    let clients = clients(key, asked, checks);
    Ok(Some(ListenerTls {
        certificates: certificates?,
        clients: clients?,
    }))
}

/// `acme: true`, and no files beside it.
fn from_acme(
    key: &str,
    files: &(Option<String>, Option<String>),
    list: Option<&Vec<Option<file::TlsPair>>>,
    checks: &mut Checks<'_>,
) -> Result<Certificates, Reported> {
    if files.0.is_some() || files.1.is_some() || list.is_some() {
        checks.report.refuse_with(
            &format!("{key}.acme"),
            "files are named beside it, and only one of the two can be meant",
            "delete the files, or the line",
        );
        return Err(Reported);
    }
    Ok(Certificates::Acme)
}

/// `tls` of the issuer's private listener.
pub(super) fn issuer(
    key: &str,
    tls: Option<file::IssuerTls>,
    checks: &mut Checks<'_>,
) -> Result<Option<Vec<TlsFiles>>, Reported> {
    let Some(tls) = written(key, tls, checks)? else {
        return Ok(None);
    };
    certificates(key, (tls.cert_path, tls.key_path), tls.certificates, checks).map(Some)
}

/// The section, if there is one. Elsewhere a key without a value counts as absent. Here that would be
/// plaintext where somebody meant TLS.
fn written<T>(
    key: &str,
    section: Option<T>,
    checks: &mut Checks<'_>,
) -> Result<Option<T>, Reported> {
    if section.is_some() {
        return Ok(section);
    }
    if checks.report.is_broken(key) {
        return Err(Reported);
    }
    if checks.report.is_without_value(key) {
        let reason = "has no value, and this listener would speak plaintext";
        checks.report.refuse_with(key, reason, HOW);
        return Err(Reported);
    }
    Ok(None)
}

/// One pair, or a list of them.
fn certificates(
    key: &str,
    (cert_path, key_path): (Option<String>, Option<String>),
    list: List<file::TlsPair>,
    checks: &mut Checks<'_>,
) -> Result<Vec<TlsFiles>, Reported> {
    let list_key = format!("{key}.certificates");
    let Some(list) = list else {
        if checks.report.is_broken(&list_key) {
            return Err(Reported);
        }
        return Ok(vec![pair(key, cert_path, key_path, checks)?]);
    };
    if cert_path.is_some() || key_path.is_some() {
        checks.report.refuse_with(
            &list_key,
            "cert_path or key_path is set beside it, and only one of the two can be meant",
            "move that pair into the list; its first entry is for clients that name no other",
        );
        return Err(Reported);
    }
    if list.is_empty() {
        checks.report.refuse(&list_key, "needs at least one entry");
        return Err(Reported);
    }
    let pairs: Vec<_> = list
        .into_iter()
        .enumerate()
        .map(|(index, entry)| {
            let entry = entry.unwrap_or_default();
            let key = format!("{list_key}[{index}]");
            pair(&key, entry.cert_path, entry.key_path, checks)
        })
        .collect();
    pairs.into_iter().collect()
}

/// Certificate and key, both.
fn pair(
    key: &str,
    cert_path: Option<String>,
    key_path: Option<String>,
    checks: &mut Checks<'_>,
) -> Result<TlsFiles, Reported> {
    let mut file = |name: &str, text: Option<String>| {
        let key = format!("{key}.{name}");
        if text.is_none() {
            checks.report.refuse_with(&key, "is required", "a PEM file");
        }
        secrets::path(&key, text, checks)
    };
    let cert_path = file("cert_path", cert_path);
    let key_path = file("key_path", key_path);
    match (cert_path, key_path) {
        (Some(cert_path), Some(key_path)) => Ok(TlsFiles {
            cert_path,
            key_path,
        }),
        _ => Err(Reported),
    }
}

/// Which certificates a client must show.
fn clients(
    key: &str,
    (ca_path, auth, names): (Option<String>, Option<String>, List<String>),
    checks: &mut Checks<'_>,
) -> Result<Option<ClientCertificates>, Reported> {
    let ca_key = format!("{key}.client_ca_path");
    let found = path_if(&ca_key, ca_path, checks)?;
    let Some(ca_path) = found else {
        let without = [
            ("client_auth", auth.is_some()),
            ("client_names", names.is_some()),
        ];
        for (name, _) in without.into_iter().filter(|(_, written)| *written) {
            checks.report.refuse_with(
                &format!("{key}.{name}"),
                "asks for certificates of clients, and nothing says who issues them",
                "write client_ca_path",
            );
        }
        // As with `tls` itself: somebody meant that not everybody may connect.
        if checks.report.is_without_value(&ca_key) {
            let hint = "write the path of a PEM bundle, or delete the line";
            checks
                .report
                .refuse_with(&ca_key, "has no value, and anybody could connect", hint);
            return Err(Reported);
        }
        return Ok(None);
    };
    let words = [("required", true), ("optional", false)];
    let auth_key = format!("{key}.client_auth");
    let required = choice(&auth_key, auth.as_deref(), &words, true, &mut checks.report);
    let names_key = format!("{key}.client_names");
    let listed = names.is_some();
    let names = texts(&names_key, names, &mut checks.report).ok_or(Reported)?;
    if listed && names.is_empty() {
        checks.report.refuse_with(
            &names_key,
            "is empty, and would admit every certificate of the authority",
            "name the certificates, or delete the line",
        );
        return Err(Reported);
    }
    if checks.report.is_broken(&auth_key) || checks.report.is_broken(&names_key) {
        return Err(Reported);
    }
    Ok(Some(ClientCertificates {
        ca_path,
        required: required.ok_or(Reported)?,
        names,
    }))
}

/// Where TLS ends, seen from `server_url`.
pub(super) fn check_with_server_url(settings: &Settings, report: &mut Report) {
    let any_tls = settings
        .listen
        .iter()
        .any(|listener| listener.tls.is_some());
    if settings.server_url.secure && !any_tls && settings.trusted_proxies.is_empty() {
        report.refuse_with(
            "trusted_proxies",
            "server_url is https and no listener has tls, so something in front must terminate it; \
             while trusted_proxies is empty, nothing says that a request came over https, and every \
             browser would be redirected for ever",
            "list that proxy's address and have it send X-Forwarded-Proto, or give a listener tls",
        );
    }
    if !settings.server_url.secure && any_tls {
        report.warn("server_url", "plain http although a listener has tls");
    }
}
