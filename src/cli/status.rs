//! `headwarden status`: how the running process is, asked through its socket.

use std::fmt::Write as _;
use std::io;
use std::process::ExitCode;

use clap::Args;
use serde_json::Value;

use super::running::{Refused, Running, as_json, get};
use super::{complain, say};
use crate::config::Settings;
use crate::domain::text::shown;

/// See how the running process is.
#[derive(Args, Debug)]
pub(super) struct Status {
    #[command(flatten)]
    running: Running,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Status {
    /// Whether the configuration has to be read to know the socket.
    pub(super) const fn needs_settings(&self) -> bool {
        self.running.needs_settings()
    }

    /// Asks the running process.
    pub(super) fn run(self, settings: Option<&Settings>) -> io::Result<ExitCode> {
        let told = self
            .running
            .socket(settings)
            .and_then(|socket| get::<Value>(&socket, "/status"))
            .map(|status| {
                if self.json {
                    as_json(&status)
                } else {
                    in_words(&status)
                }
            });
        match told {
            Ok(text) => say(&text).map(|()| ExitCode::SUCCESS),
            Err(Refused(why, code)) => {
                complain(&why);
                Ok(ExitCode::from(code))
            }
        }
    }
}

fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    let value = value.pointer(pointer).and_then(Value::as_str);
    value.unwrap_or("-")
}

fn flag(value: &Value, pointer: &str) -> bool {
    value.pointer(pointer).and_then(Value::as_bool) == Some(true)
}

fn texts<'a>(value: &'a Value, pointer: &str) -> Vec<&'a str> {
    let list = value.pointer(pointer).and_then(Value::as_array);
    list.into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect()
}

fn web_ui_in_words(web_ui: &Value) -> String {
    let addresses = web_ui.pointer("/addresses").and_then(Value::as_array);
    let each = addresses.into_iter().flatten().map(|address| {
        let verdict = match (flag(web_ui, "/checked"), flag(address, "/healthy")) {
            (false, _) => "",
            (true, true) => " (healthy)",
            (true, false) => " (UNHEALTHY)",
        };
        format!("{}{verdict}", text(address, "/address"))
    });
    let each: Vec<String> = each.collect();
    format!("web UI {}: {}", text(web_ui, "/path"), each.join(", "))
}

/// Which configuration holds, and what became of a newer one.
fn configuration_in_words(status: &Value, line: &mut impl FnMut(String)) {
    line(format!(
        "configuration: {}, taken over at {}",
        text(status, "/config/path"),
        text(status, "/config/loaded_at")
    ));
    line(match (flag(status, "/config/same_as_files"), flag(status, "/config/watched")) {
        (true, _) => "  the files are as they were read".to_owned(),
        (false, true) => "  the files have changed since; see the last reload, or look again in a few seconds".to_owned(),
        (false, false) => "  the files have changed since: SIGHUP has them read again".to_owned(),
    });
    let waiting = texts(status, "/config/waiting_for_restart");
    if !waiting.is_empty() {
        line(format!("  waiting for a restart: {}", waiting.join(", ")));
    }
    if let Some(last) = status
        .pointer("/config/last_reload")
        .filter(|last| last.is_object())
    {
        let (at, by) = (text(last, "/at"), text(last, "/by"));
        if flag(last, "/taken_over") {
            let changed = texts(last, "/changed");
            let changed = if changed.is_empty() {
                "nothing".to_owned()
            } else {
                changed.join(", ")
            };
            line(format!("  last reload: {at}, by {by}, changed {changed}"));
        } else {
            line(format!(
                "  last reload: {at}, by {by}, REFUSED; nothing has changed"
            ));
            for problem in texts(last, "/problems") {
                line(format!("    {problem}"));
            }
        }
    }
    for trouble in texts(status, "/config/last_reload/certificates") {
        line(format!("    {trouble}"));
    }
}

/// For a person.
fn in_words(status: &Value) -> String {
    let mut out = String::new();
    let mut line = |text: String| {
        // A text that is written to cannot fail.
        let _ = writeln!(out, "{}", shown(&text));
    };
    let number = |pointer: &str| {
        status
            .pointer(pointer)
            .map_or("-".to_owned(), Value::to_string)
    };
    line(format!(
        "version {}, pid {}, since {}",
        text(status, "/version"),
        number("/pid"),
        text(status, "/started_at")
    ));
    configuration_in_words(status, &mut line);
    line(format!("ready: {}", text(status, "/ready/status")));
    let checks = status.pointer("/ready/checks").and_then(Value::as_object);
    for (name, results) in checks.into_iter().flatten() {
        let what = match text(results, "/0/output") {
            "-" => String::new(),
            output => format!(", {output}"),
        };
        line(format!("  {name}: {}{what}", text(results, "/0/status")));
    }
    line(format!("provider: {}", text(status, "/provider/issuer")));
    line(format!(
        "headscale: {}, version {}",
        text(status, "/headscale/url"),
        text(status, "/headscale/version")
    ));
    let web_uis = status.pointer("/web_uis").and_then(Value::as_array);
    for web_ui in web_uis.into_iter().flatten() {
        line(web_ui_in_words(web_ui));
    }
    line(format!(
        "sessions: {} ({})",
        number("/sessions"),
        text(status, "/session_store")
    ));
    let held = number("/offboarding/held");
    let held = if held == "0" || held == "-" {
        String::new()
    } else {
        format!(", {held} HELD: see `headwarden offboarding list`")
    };
    line(format!(
        "people to off-board: {}{held}",
        number("/offboarding/waiting")
    ));
    line(format!("tunnels open: {}", number("/tunnels_open")));
    line(format!("connections open: {}", number("/connections_open")));
    let listeners = status.pointer("/listeners").and_then(Value::as_array);
    for one in listeners.into_iter().flatten() {
        let place = match text(one, "/address") {
            "-" => text(one, "/path"),
            address => address,
        };
        let tls = if flag(one, "/tls") { ", tls" } else { "" };
        line(format!("listens at {place} ({}{tls})", text(one, "/kind")));
    }
    for warning in texts(status, "/config/warnings") {
        line(format!("warning: {warning}"));
    }
    out.truncate(out.trim_end().len());
    out
}
