//! The `offboarding` section: what has to be there for it, and what it cannot hear of.

use std::time::Duration;

use super::super::file;
use super::super::report::Report;
use super::super::settings::{Offboarding, Settings, SignIn, Store};
use super::files::is_taken;
use super::values::{DAY, MINUTE, duration, number};
use super::{Checks, secrets};

const EXPIRE: &str = "offboarding.expire_nodes";
const STATE: &str = "offboarding.state_path";
/// Where people are written down when nothing is written about that.
const DEFAULT_STATE: &str = "/var/lib/headwarden/offboarding.json";

/// The section.
pub(super) fn offboarding(file: file::Offboarding, checks: &mut Checks<'_>) -> Option<Offboarding> {
    let written = file.state_path.is_some();
    let state = file.state_path.unwrap_or_else(|| DEFAULT_STATE.to_owned());
    let state_path = match written {
        true => secrets::path(STATE, Some(state), checks),
        // Not a file that the operator named.
        false if checks.report.is_broken(STATE) => None,
        false => Some(state.into()),
    };
    let report = &mut checks.report;
    let after = duration(
        "offboarding.after",
        file.after.as_deref(),
        15 * MINUTE,
        (Duration::ZERO, 7 * DAY),
        report,
    );
    let most = number("offboarding.most", file.most, 3, (1, 10_000), report);
    Some(Offboarding {
        expire_nodes: file.expire_nodes.unwrap_or(false),
        after: after?,
        most: usize::try_from(most?).ok()?,
        refused_refresh: file.refused_refresh.unwrap_or(true),
        dry_run: file.dry_run.unwrap_or(false),
        state_path: state_path?,
    })
}

/// What only the whole can say.
pub(super) fn check_with_the_rest(settings: &Settings, report: &mut Report) {
    check_state(settings, report);
    let offboarding = &settings.offboarding;
    if !offboarding.expire_nodes {
        return;
    }
    if let SignIn::None = settings.headscale.sign_in {
        report.refuse_with(
            EXPIRE,
            "with headscale.sign_in: none nobody's devices are known: users are headscale's own",
            "leave it out, or have people sign in with headscale.sign_in: issuer or own",
        );
    }
    if settings.headscale.api_key.is_none() {
        report.refuse_with(
            EXPIRE,
            "means nothing without headscale's API",
            "write headscale.api_key_path; `headscale apikeys create` makes one",
        );
    }
    let scope = &settings.oidc.scope;
    if offboarding.refused_refresh && !scope.iter().any(|name| name == "offline_access") {
        report.warn(
            EXPIRE,
            "oidc.scope has no offline_access: a refresh token ends with the session at the \
             provider then, so that its refusal does not tell that a person is gone",
        );
    }
}

/// What is written there takes the place of whatever has its name.
fn check_state(settings: &Settings, report: &mut Report) {
    if settings.offboarding.state_path.as_os_str() == DEFAULT_STATE {
        return;
    }
    if let Store::Redis(_) = settings.session.store {
        report.refuse_with(
            STATE,
            "means nothing with session.store: redis, where replicas share it",
            "leave it out",
        );
    }
    if is_taken(settings, &settings.offboarding.state_path, &[]) {
        report.refuse_with(
            STATE,
            "the same file as another one of ours",
            "a file of its own: /var/lib/headwarden/offboarding.json",
        );
    }
}
