//! The file as written becomes [`Settings`]. Every check reports what it finds and goes on, so
//! that one run tells all. What a mistake is, is decided here and below; how it reads, in
//! `problem` and `report`.

mod access;
mod acme;
mod admin;
mod assurance;
mod audit;
mod files;
mod headscale;
mod identity_headers;
mod limits;
mod listeners;
mod offboarding;
mod oidc;
mod policy_sync;
mod renewal;
mod rules;
mod secrets;
mod store;
mod tls;
mod tracing;
mod values;

use std::path::PathBuf;

use super::env::Environment;
use super::file::{self, File};
use super::files::ReadFile;
use super::report::Report;
use super::settings::{Api, Oidc, Settings};
pub(super) use oidc::is_authentik;
use values::{Urls, texts};

/// What the checks share: where to report, and how to look up variables and secret files.
pub(super) struct Checks<'a> {
    pub(super) report: Report,
    pub(super) environment: &'a Environment,
    pub(super) read_file: ReadFile<'a>,
    /// Files that keys name.
    pub(super) named: Vec<(String, PathBuf)>,
}

/// At least one problem was reported, and the value cannot be had.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reported;

/// Checks everything. `None` only if at least one problem was reported; warnings stay in the
/// report.
pub(super) fn check(file: File, checks: &mut Checks<'_>) -> Option<Settings> {
    let headscale = file.headscale.unwrap_or_default();
    let oidc = file.oidc.unwrap_or_default();

    let server_url = listeners::server_url(file.server_url, file.allow_insecure_server_url, checks);
    let listen = listeners::listen(file.listen, checks);
    let acme = acme::acme(file.acme, listen.as_deref(), server_url.as_ref(), checks);
    let admin = admin::admin(file.admin.unwrap_or_default(), checks);
    let trusted_proxies = listeners::trusted_proxies(file.trusted_proxies, checks);
    let keys_path = secrets::path(
        "keys_path",
        Some(
            file.keys_path
                .unwrap_or_else(|| "/var/lib/headwarden/keys.json".into()),
        ),
        checks,
    );
    let rules = rules::rules(&oidc, checks);
    let provider = oidc::oidc(oidc, checks);
    let headscale = headscale::headscale(headscale, checks);
    let session = limits::session(file.session.unwrap_or_default(), checks);
    let open = access::open(file.open, checks);
    let access = access::access(file.access, checks);
    let api = api(file.api.unwrap_or_default(), checks);
    let offboarding = offboarding::offboarding(file.offboarding.unwrap_or_default(), checks);
    let exact = rules.as_ref().is_some_and(|rules| rules.exact_groups);
    let policy_sync = policy_sync::policy_sync(file.policy_sync.unwrap_or_default(), exact, checks);
    let shutdown = limits::shutdown(&file.shutdown.unwrap_or_default(), checks);
    let workers = limits::workers(file.workers, checks);
    let limits = limits::limits(file.limits.unwrap_or_default(), checks);
    let log = limits::log(file.log.unwrap_or_default(), checks);
    let watch = file.reload.unwrap_or_default().watch.unwrap_or(true);
    let tracing = tracing::tracing(file.tracing.unwrap_or_default(), checks);
    let audit = audit::audit(file.audit.unwrap_or_default(), checks);

    let access = access?;
    let provider = Oidc {
        kept_claims: access::kept_claims(&access),
        ..provider?
    };
    let settings = Settings {
        server_url: server_url?,
        listen: listen?,
        acme: acme.ok()?,
        admin: admin?,
        trusted_proxies: trusted_proxies?,
        headscale: headscale?,
        oidc: provider,
        rules: rules?,
        session: session?,
        keys_path: keys_path?,
        open: open?,
        access,
        api: api?,
        offboarding: offboarding?,
        policy_sync: policy_sync?,
        shutdown: shutdown?,
        workers: workers.ok()?,
        limits: limits?,
        log: log?,
        watch,
        audit: audit?,
        tracing: tracing.ok()?,
        warnings: Vec::new(),
    };
    together(&settings, &mut checks.report);
    Some(settings)
}

/// What only the whole can say. A problem here leaves the settings built; the caller looks at the
/// report.
fn together(settings: &Settings, report: &mut Report) {
    listeners::check_addresses(settings, report);
    tls::check_with_server_url(settings, report);
    acme::check_with_listeners(settings, report);
    listeners::check_announced(settings, report);
    let urls = Urls::of(settings);
    urls.check_upstream("headscale.url", &settings.headscale.upstream, report);
    for (index, rule) in settings.access.iter().enumerate() {
        let addresses = rule.upstream.iter().flat_map(|web_ui| &web_ui.addresses);
        for address in addresses {
            urls.check_upstream(&format!("access[{index}].upstream"), address, report);
        }
    }
    headscale::check_with_provider(settings, report);
    access::warn_opened(settings, report);
    access::check_rewrites(settings, report);
    assurance::check_with_lifetime(settings, report);
    limits::check_snapshot(settings, report);
    audit::check_file(settings, report);
    for (index, path) in settings.api.from.iter().enumerate() {
        if !settings.access.iter().any(|rule| rule.path == *path) {
            report.refuse_with(
                &format!("api.from[{index}]"),
                "is the path of no rule in access, so that no page could ever be meant",
                "write the path of a rule exactly as it is there: \"/web/**\"",
            );
        }
    }
    offboarding::check_with_the_rest(settings, report);
    policy_sync::check_with_headscale(settings, report);
    policy_sync::check_state(settings, report);
    let roles = !settings.api.admins.is_empty() || !settings.api.viewers.is_empty();
    if roles && settings.headscale.api_key.is_none() {
        report.warn(
            "api",
            "admins and viewers mean nothing without headscale.api_key_path",
        );
    }
}

fn api(file: file::Api, checks: &mut Checks<'_>) -> Option<Api> {
    let admins = texts("api.admins", file.admins, &mut checks.report);
    let viewers = texts("api.viewers", file.viewers, &mut checks.report);
    let from = texts("api.from", file.from, &mut checks.report);
    let bearer = values::choice(
        "api.bearer",
        file.bearer.as_deref(),
        &[("allow", true), ("deny", false)],
        true,
        &mut checks.report,
    );
    Some(Api {
        admins: admins?,
        viewers: viewers?,
        from: from?,
        bearer: bearer?,
    })
}
