//! Where an operator asks the running process: a listener, and a socket.

use std::net::SocketAddr;

use super::super::file;
use super::super::report::Report;
use super::super::settings::{Admin, AdminSocket};
use super::values::{self, address};
use super::{Checks, Reported, secrets};

const DEFAULT_ADMIN: &str = "127.0.0.1:9181";
/// Of the 108 bytes of a socket's address (unix(7)), less what its first name needs beside its last.
const LONGEST_SOCKET: usize = 100;

/// Where an operator asks.
pub(super) fn admin(admin: file::Admin, checks: &mut Checks<'_>) -> Option<Admin> {
    let address = admin_address(&admin, checks);
    let sessions = admin.sessions == Some(true);
    if let Ok(address) = address
        && sessions
    {
        warn_of_sessions(address, &mut checks.report);
    }
    let socket = admin_socket(admin, checks);
    Some(Admin {
        address: address.ok()?,
        sessions,
        socket: socket.ok()?,
    })
}

/// The admin listener; none when it is switched off.
fn admin_address(
    admin: &file::Admin,
    checks: &mut Checks<'_>,
) -> Result<Option<SocketAddr>, Reported> {
    const KEY: &str = "admin.address";
    if admin.enabled == Some(false) {
        return Ok(None);
    }
    let text = admin.address.as_deref().unwrap_or(DEFAULT_ADMIN);
    let address = address(KEY, text, &mut checks.report).ok_or(Reported)?;
    if !address.ip().to_canonical().is_loopback() {
        checks.report.warn(
            KEY,
            "not loopback: whoever reaches it reads metrics and health",
        );
    }
    Ok(Some(address))
}

fn warn_of_sessions(address: Option<SocketAddr>, report: &mut Report) {
    const KEY: &str = "admin.sessions";
    match address {
        None => report.warn(KEY, "means nothing while admin.enabled is false"),
        Some(address) if !address.ip().to_canonical().is_loopback() => report.warn(
            KEY,
            "admin.address is not loopback: whoever reaches it reads who is signed in, and can sign \
             everybody out",
        ),
        Some(_) => {}
    }
}

/// The operator's socket; none when it has no path.
fn admin_socket(
    admin: file::Admin,
    checks: &mut Checks<'_>,
) -> Result<Option<AdminSocket>, Reported> {
    const KEY: &str = "admin.socket_path";
    let words = [("owner", false), ("group", true)];
    let group = values::choice(
        "admin.socket_access",
        admin.socket_access.as_deref(),
        &words,
        false,
        &mut checks.report,
    );
    if checks.report.is_broken(KEY) {
        return Err(Reported);
    }
    let Some(text) = admin.socket_path else {
        if admin.socket_access.is_some() {
            let reason = "means nothing without admin.socket_path";
            checks.report.warn("admin.socket_access", reason);
        }
        return Ok(None);
    };
    let path = secrets::path(KEY, Some(text), checks).ok_or(Reported)?;
    if !path.is_absolute() || path.file_name().is_none() {
        let hint = "for example /run/headwarden/admin.sock";
        let report = &mut checks.report;
        report.refuse_with(KEY, "not the absolute path of a file", hint);
        return Err(Reported);
    }
    if path.as_os_str().len() > LONGEST_SOCKET {
        let reason = format!("longer than {LONGEST_SOCKET} bytes, which no socket's path may be");
        checks.report.refuse(KEY, reason);
        return Err(Reported);
    }
    let group = group.ok_or(Reported)?;
    Ok(Some(AdminSocket { path, group }))
}
