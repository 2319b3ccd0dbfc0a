//! Files that we write: each takes the place of whatever has its name.

use std::path::{Path, PathBuf};

use super::super::settings::{Settings, SignIn};

/// What stands beside a file for a moment, or for good.
const BESIDE: [&str; 2] = [".new", ".lock"];

/// Whether `path` is, or has beside it, one that holds what cannot be had again, or what was kept for another
/// purpose: keys and sessions, and `others`.
pub(super) fn is_taken(settings: &Settings, path: &Path, others: &[&PathBuf]) -> bool {
    let issuer_key = match &settings.headscale.sign_in {
        SignIn::Issuer(issuer) => Some(&issuer.key_path),
        SignIn::Own | SignIn::None => None,
    };
    let ours = [
        Some(&settings.keys_path),
        issuer_key,
        settings.session.snapshot_path.as_ref(),
    ];
    let mut all = ours.into_iter().flatten().chain(others.iter().copied());
    all.any(|other| path == other || is_beside(path, other) || is_beside(other, path))
}

fn is_beside(path: &Path, other: &Path) -> bool {
    BESIDE.iter().any(|suffix| {
        let mut name = other.to_owned().into_os_string();
        name.push(suffix);
        path.as_os_str() == name
    })
}
