//! `headscale.api_key_rotate`.

use std::path::PathBuf;
use std::time::Duration;

use super::super::file;
use super::super::settings::KeyRenewal;
use super::values::{DAY, duration};
use super::{Checks, secrets};

const HOUR: Duration = Duration::from_hours(1);
const BEFORE: Duration = Duration::from_hours(30 * 24);
const LIFETIME: Duration = Duration::from_hours(90 * 24);
/// Where systemd, Docker and Kubernetes put secrets that nobody may write.
const READ_ONLY: [&str; 3] = ["/run/credentials/", "/run/secrets/", "/var/run/secrets/"];

/// How the key in the file of `path_text` is renewed; inside, `None` where it is not.
#[expect(
    clippy::option_option,
    reason = "as every section: `None` is a mistake that was told"
)]
pub(super) fn of(
    file: Option<file::ApiKeyRotate>,
    path_text: Option<&str>,
    checks: &mut Checks<'_>,
) -> Option<Option<KeyRenewal>> {
    const SECTION: &str = "headscale.api_key_rotate";
    let Some(file) = file else {
        return (!checks.report.is_broken(SECTION)).then_some(None);
    };
    let mut time = |key: &str, text: Option<String>, default, most: u32| {
        let key = format!("{SECTION}.{key}");
        let bounds = (HOUR, DAY.saturating_mul(most));
        duration(&key, text.as_deref(), default, bounds, &mut checks.report)
    };
    let before = time("before", file.before, BEFORE, 365);
    let lifetime = time("lifetime", file.lifetime, LIFETIME, 3650);
    let (before, lifetime) = (before?, lifetime?);
    if !file.enabled.unwrap_or(false) {
        return Some(None);
    }
    if lifetime < before.saturating_mul(2) {
        checks.report.refuse_with(
            "headscale.api_key_rotate.lifetime",
            "must be at least twice as long as headscale.api_key_rotate.before",
            "a new key every few weeks is plenty: { before: 30d, lifetime: 90d }",
        );
        return None;
    }
    let path = writable(path_text, checks)?;
    Some(Some(KeyRenewal {
        path,
        before,
        lifetime,
    }))
}

/// The file, if it is not one of those that nobody may write. What permissions say is seen when it is
/// tried: `headwarden doctor` does.
fn writable(path_text: Option<&str>, checks: &mut Checks<'_>) -> Option<PathBuf> {
    const KEY: &str = "headscale.api_key_rotate.enabled";
    let Some(text) = path_text else {
        checks.report.refuse_with(
            KEY,
            "needs headscale.api_key_path: the new key has to be kept somewhere",
            "put the key into a file that the service may write, \
             /var/lib/headwarden/headscale_api_key",
        );
        return None;
    };
    let named = checks.named.len();
    let path = secrets::path("headscale.api_key_path", Some(text.to_owned()), checks)?;
    // It is watched already.
    checks.named.truncate(named);
    let read_only = READ_ONLY.iter().any(|place| path.starts_with(place));
    if read_only || text.contains("CREDENTIALS_DIRECTORY") {
        checks.report.refuse_with(
            KEY,
            "the file of headscale.api_key_path is a credential that nobody can write",
            "copy it once to /var/lib/headwarden/headscale_api_key (mode 0600, of the service's \
             user), and name that",
        );
        return None;
    }
    Some(path)
}
