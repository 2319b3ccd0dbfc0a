//! Traces: where they go, and how many.

use http::{HeaderName, HeaderValue};
use url::Url;

use super::super::file;
use super::super::report::Report;
use super::super::settings::Tracing;
use super::headscale::path_if;
use super::values::{http_url, is_loopback, number};
use super::{Checks, Reported, secrets};
use crate::domain::secret::Secret;

const ENDPOINT: &str = "tracing.otlp_endpoint";
const HEADERS: &str = "tracing.headers_path";
/// Where a collector takes traces, below its address (OTLP specification).
const TRACES: &str = "/v1/traces";
/// Longest `service.name` in bytes.
const LONGEST_NAME: usize = 128;

/// The `tracing` section; none where it names no collector.
pub(super) fn tracing(
    file: file::Tracing,
    checks: &mut Checks<'_>,
) -> Result<Option<Tracing>, Reported> {
    if checks.report.is_broken(ENDPOINT) {
        return Err(Reported);
    }
    let Some(endpoint) = file.otlp_endpoint else {
        let others = [
            ("sample_one_in", file.sample_one_in.is_some()),
            ("service_name", file.service_name.is_some()),
            ("headers_path", file.headers_path.is_some()),
            ("ca_path", file.ca_path.is_some()),
        ];
        for (key, _) in others.iter().filter(|(_, there)| *there) {
            let reason = "means nothing without tracing.otlp_endpoint";
            checks.report.warn(&format!("tracing.{key}"), reason);
        }
        return Ok(None);
    };
    let url = url(&endpoint, &mut checks.report);
    let (key, bounds) = ("tracing.sample_one_in", (1, 1_000_000));
    let one_in = number(key, file.sample_one_in, 10, bounds, &mut checks.report);
    let service_name = service_name(file.service_name, &mut checks.report);
    let ca_path = path_if("tracing.ca_path", file.ca_path, checks)?;
    let headers = headers(file.headers_path, checks)?;
    let url = url.ok_or(Reported)?;
    if url.scheme() == "http" && !is_loopback(&url) {
        let what = if headers.is_empty() {
            "plaintext to another machine: whoever is on the way reads who asked for what"
        } else {
            "plaintext to another machine: whoever is on the way reads tracing.headers_path"
        };
        checks.report.warn(ENDPOINT, what);
    }
    Ok(Some(Tracing {
        url,
        one_in: one_in.ok_or(Reported)?,
        service_name: service_name.ok_or(Reported)?,
        headers,
        ca_path,
    }))
}

/// The address of the collector, or of its traces.
fn url(text: &str, report: &mut Report) -> Option<Url> {
    let mut url = http_url(ENDPOINT, text, report)?;
    if url.query().is_some() || url.fragment().is_some() {
        let hint = "for example http://127.0.0.1:4318";
        report.refuse_with(ENDPOINT, "has a query or a fragment", hint);
        return None;
    }
    let path = url.path().trim_end_matches('/').to_owned();
    if !path.ends_with(TRACES) {
        url.set_path(&format!("{path}{TRACES}"));
    }
    Some(url)
}

fn service_name(name: Option<String>, report: &mut Report) -> Option<String> {
    let name = name.unwrap_or_else(|| "headwarden".to_owned());
    let good = !name.trim().is_empty() && name.len() <= LONGEST_NAME;
    if good && !name.chars().any(char::is_control) {
        return Some(name);
    }
    let reason = format!("empty, longer than {LONGEST_NAME} bytes, or with a control character");
    report.refuse("tracing.service_name", reason);
    None
}

/// A file of lines `name: value`.
fn headers(
    path: Option<String>,
    checks: &mut Checks<'_>,
) -> Result<Vec<(String, Secret<String>)>, Reported> {
    if checks.report.is_broken(HEADERS) {
        return Err(Reported);
    }
    let Some(path) = path else {
        return Ok(Vec::new());
    };
    let text = secrets::read(HEADERS, path, checks).ok_or(Reported)?;
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let pairs: Option<Vec<_>> = lines.map(header).collect();
    match pairs {
        Some(pairs) if !pairs.is_empty() => Ok(pairs),
        _ => {
            let hint = "one field on each line: Authorization: Basic …";
            checks
                .report
                .refuse_with(HEADERS, "not lines of `name: value`", hint);
            Err(Reported)
        }
    }
}

fn header(line: &str) -> Option<(String, Secret<String>)> {
    let (name, value) = line.split_once(':')?;
    let (name, value) = (name.trim(), value.trim());
    HeaderName::from_bytes(name.as_bytes()).ok()?;
    HeaderValue::from_str(value).ok()?;
    (!value.is_empty()).then(|| (name.to_owned(), Secret::new(value.to_owned())))
}
