//! Numbers with defaults: sessions, limits of one client, worker threads, and logging.

use std::time::Duration;

use tracing_subscriber::EnvFilter;

use super::super::file;
use super::super::report::Report;
use super::super::settings::{
    ClientLimits, Log, SessionSettings, Settings, Shutdown, SignIn, Store,
};
use super::headscale::path_if;
use super::values::{DAY, MINUTE, SECOND, choice, duration, number};
use super::{Checks, Reported, store};
use crate::domain::session::{Limits, Recheck};

/// The `session` section.
pub(super) fn session(file: file::Session, checks: &mut Checks<'_>) -> Option<SessionSettings> {
    let snapshot_path = path_if("session.snapshot_path", file.snapshot_path, checks);
    let store = store::store(
        file.store.as_deref(),
        file.store_grace.as_deref(),
        file.redis,
        checks,
    );
    let report = &mut checks.report;
    let mut limit = |key: &str, text: Option<String>, default: Duration| {
        duration(key, text.as_deref(), default, (MINUTE, 365 * DAY), report)
    };
    let idle = limit("session.idle_timeout", file.idle_timeout, DAY / 3);
    let lifetime = limit("session.lifetime", file.lifetime, 7 * DAY);
    let recheck = recheck(
        file.recheck.as_deref(),
        file.recheck_grace.as_deref(),
        lifetime,
        report,
    );
    if let (Some(idle), Some(lifetime)) = (idle, lifetime)
        && idle > lifetime
    {
        report.refuse_with(
            "session.idle_timeout",
            "longer than session.lifetime, which would always come first",
            "shorten it, or lengthen the lifetime",
        );
        return None;
    }
    let bounds = (100, 10_000_000);
    let capacity = number("session.capacity", file.capacity, 100_000, bounds, report);
    Some(SessionSettings {
        store: store?,
        limits: Limits {
            idle: idle?,
            lifetime: lifetime?,
        },
        recheck: recheck?,
        capacity: capacity?,
        snapshot_path: snapshot_path.ok()?,
    })
}

/// The snapshot takes the place of whatever has its name.
pub(super) fn check_snapshot(settings: &Settings, report: &mut Report) {
    const KEY: &str = "session.snapshot_path";
    let Some(path) = &settings.session.snapshot_path else {
        return;
    };
    if let Store::Redis(_) = settings.session.store {
        report.refuse_with(
            KEY,
            "means nothing with session.store: redis, where sessions outlive a restart by themselves",
            "leave it out",
        );
    }
    let issuer_key = match &settings.headscale.sign_in {
        SignIn::Issuer(issuer) => Some(&issuer.key_path),
        SignIn::Own | SignIn::None => None,
    };
    if *path == settings.keys_path || Some(path) == issuer_key {
        report.refuse_with(
            KEY,
            "the same file as a key of ours",
            "a file of its own: /var/lib/headwarden/sessions",
        );
    }
}

/// `session.recheck` and `session.recheck_grace`.
fn recheck(
    every: Option<&str>,
    grace: Option<&str>,
    lifetime: Option<Duration>,
    report: &mut Report,
) -> Option<Recheck> {
    let default = Recheck::default();
    let (key, bounds) = ("session.recheck", (SECOND, 365 * DAY));
    let found = duration(key, every, default.every, bounds, report);
    if every.is_some() && found.zip(lifetime).is_some_and(|(it, most)| it > most) {
        report.refuse_with(
            key,
            "longer than session.lifetime, which would always come first",
            "shorten it; 5m is the default",
        );
        return None;
    }
    if found.is_some_and(|every| every < MINUTE / 2) {
        report.warn(key, "asks the provider this often for each person");
    }
    let bounds = (Duration::ZERO, 7 * DAY);
    let grace = duration(
        "session.recheck_grace",
        grace,
        default.grace,
        bounds,
        report,
    );
    Some(Recheck {
        every: found?,
        grace: grace?,
    })
}

/// The `limits` section.
pub(super) fn limits(file: file::Limits, checks: &mut Checks<'_>) -> Option<ClientLimits> {
    let report = &mut checks.report;
    let mut count = |key: &str, value: Option<u64>, default: u64| {
        number(key, value, default, (1, 1_000_000), report).and_then(|n| u32::try_from(n).ok())
    };
    let connections = count(
        "limits.connections_per_address",
        file.connections_per_address,
        512,
    );
    let tunnels = count("limits.tunnels_per_minute", file.tunnels_per_minute, 300);
    let open = count(
        "limits.open_requests_per_minute",
        file.open_requests_per_minute,
        600,
    );
    let api = count(
        "limits.api_requests_per_minute",
        file.api_requests_per_minute,
        600,
    );
    let sign_ins = count("limits.sign_ins_per_minute", file.sign_ins_per_minute, 300);
    let callbacks = count(
        "limits.callbacks_per_minute",
        file.callbacks_per_minute,
        600,
    );
    let registrations = count(
        "limits.registrations_per_minute",
        file.registrations_per_minute,
        300,
    );
    let logouts = count("limits.logouts_per_minute", file.logouts_per_minute, 600);
    let mut wait = |key: &str, text: Option<String>, default: u64, most: Duration| {
        duration(
            key,
            text.as_deref(),
            Duration::from_secs(default),
            (SECOND, most),
            report,
        )
    };
    let header = wait("limits.header_timeout", file.header_timeout, 10, 2 * MINUTE);
    let keepalive = wait(
        "limits.keepalive_timeout",
        file.keepalive_timeout,
        75,
        60 * MINUTE,
    );
    Some(ClientLimits {
        connections_per_address: connections?,
        tunnels_per_minute: tunnels?,
        open_requests_per_minute: open?,
        api_requests_per_minute: api?,
        sign_ins_per_minute: sign_ins?,
        callbacks_per_minute: callbacks?,
        registrations_per_minute: registrations?,
        logouts_per_minute: logouts?,
        header_timeout: header?,
        keepalive_timeout: keepalive?,
    })
}

/// The `shutdown` section.
pub(super) fn shutdown(file: &file::Shutdown, checks: &mut Checks<'_>) -> Option<Shutdown> {
    let report = &mut checks.report;
    let mut wait = |key: &str, text: Option<&str>, default: Duration, most: Duration| {
        duration(key, text, default, (Duration::ZERO, most), report)
    };
    let lead = wait(
        "shutdown.lead",
        file.lead.as_deref(),
        5 * SECOND,
        5 * MINUTE,
    );
    let grace = wait(
        "shutdown.grace",
        file.grace.as_deref(),
        10 * SECOND,
        60 * MINUTE,
    );
    let upgrade_grace = wait(
        "shutdown.upgrade_grace",
        file.upgrade_grace.as_deref(),
        60 * MINUTE,
        7 * DAY,
    );
    Some(Shutdown {
        lead: lead?,
        grace: grace?,
        upgrade_grace: upgrade_grace?,
    })
}

/// `workers`: none is one thread for each processor.
pub(super) fn workers(
    value: Option<u64>,
    checks: &mut Checks<'_>,
) -> Result<Option<usize>, Reported> {
    let Some(value) = value else {
        return Ok(None);
    };
    let value = number("workers", Some(value), 1, (1, 1024), &mut checks.report);
    value
        .and_then(|value| usize::try_from(value).ok())
        .map(Some)
        .ok_or(Reported)
}

/// The `log` section.
pub(super) fn log(file: file::Log, checks: &mut Checks<'_>) -> Option<Log> {
    let words = [("human", false), ("json", true)];
    let json = choice(
        "log.format",
        file.format.as_deref(),
        &words,
        false,
        &mut checks.report,
    );
    let level = file.level.unwrap_or_else(|| "info".to_owned());
    // A lone word that is no level would be taken for the name of a crate, at level trace.
    let plain = !level.contains(['=', ',', '[']);
    let known = ["off", "error", "warn", "info", "debug", "trace"].contains(&level.as_str());
    if (plain && !known) || EnvFilter::try_new(&level).is_err() {
        checks.report.refuse_with(
            "log.level",
            "neither a level nor a filter",
            "error, warn, info, debug or trace; or a filter like info,headwarden::oidc=debug",
        );
        return None;
    }
    Some(Log { json: json?, level })
}
