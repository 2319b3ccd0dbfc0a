//! `headwarden sessions`: who is signed in, seen and ended through the socket of the running process.

use std::io;
use std::path::Path;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde::Deserialize;
use url::form_urlencoded::Serializer;

use super::running::{Refused, Running, as_json, get, read, send};
use super::{BAD_CONFIG, complain, say};
use crate::config::Settings;
use crate::domain::text::shown;

/// See who is signed in, and end sessions.
#[derive(Debug, Args)]
pub(super) struct Sessions {
    #[command(flatten)]
    running: Running,
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List sessions, the last used first
    List {
        #[command(flatten)]
        whose: ListWhose,
        /// Print JSON: one object for each session
        #[arg(long)]
        json: bool,
    },
    /// Show one session
    Show {
        /// Its id as listed, or as much of it as makes it the only one
        id: String,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// End sessions: whoever uses one is asked to sign in again
    Revoke {
        #[command(flatten)]
        whose: RevokeWhose,
        /// End every session indeed: `--all` does nothing without it
        #[arg(long)]
        yes: bool,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

#[derive(Args, Debug)]
#[group(multiple = false)]
struct ListWhose {
    /// Of whoever has this user name or e-mail address
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// Of this subject, as the provider calls the account
    #[arg(long, value_name = "SUBJECT")]
    sub: Option<String>,
}

#[derive(Args, Debug)]
#[group(multiple = false, required = true)]
struct RevokeWhose {
    /// One session, by its id as listed, or as much of it as makes it the only one
    #[arg(long, value_name = "ID")]
    id: Option<String>,
    /// Every session of whoever has this user name or e-mail address
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// Every session of this subject, as the provider calls the account
    #[arg(long, value_name = "SUBJECT")]
    sub: Option<String>,
    /// Every session there is
    #[arg(long)]
    all: bool,
}

/// A page of the list, as far as the command line reads it.
#[derive(Deserialize)]
struct Page {
    sessions: Vec<serde_json::Value>,
    next: Option<String>,
}

#[derive(Deserialize)]
struct Ended {
    ended: u64,
}

impl Sessions {
    /// Whether the configuration has to be read to know the socket.
    pub(super) const fn needs_settings(&self) -> bool {
        self.running.needs_settings()
    }

    /// Asks the running process.
    pub(super) fn run(self, settings: Option<&Settings>) -> io::Result<ExitCode> {
        let done = self
            .running
            .socket(settings)
            .and_then(|socket| match self.action {
                Action::List { whose, json } => list(&socket, &whose, json),
                Action::Show { id, json } => show(&socket, &id, json),
                Action::Revoke { whose, yes, json } => revoke(&socket, &whose, yes, json),
            });
        match done {
            Ok(text) => {
                if !text.is_empty() {
                    say(&text)?;
                }
                Ok(ExitCode::SUCCESS)
            }
            Err(Refused(why, code)) => {
                complain(&why);
                Ok(ExitCode::from(code))
            }
        }
    }
}

fn list(socket: &Path, whose: &ListWhose, json: bool) -> Result<String, Refused> {
    let mut sessions = Vec::new();
    let mut after: Option<String> = None;
    loop {
        let query = query(&[
            ("limit", Some("10000")),
            ("user", whose.user.as_deref()),
            ("sub", whose.sub.as_deref()),
            ("after", after.as_deref()),
        ]);
        let page: Page = get(socket, &format!("/sessions?{query}"))?;
        sessions.extend(page.sessions);
        match page.next {
            Some(next) => after = Some(next),
            None => break,
        }
    }
    sessions.sort_by(|a, b| text(b, "last_used").cmp(text(a, "last_used")));
    if json {
        let lines: Vec<String> = sessions.iter().map(as_json).collect();
        return Ok(lines.join("\n"));
    }
    Ok(table(&sessions))
}

fn show(socket: &Path, id: &str, json: bool) -> Result<String, Refused> {
    let session: serde_json::Value = get(socket, &at(id)?)?;
    if json {
        return Ok(as_json(&session));
    }
    let fields = session.as_object().into_iter().flatten();
    let lines: Vec<String> = fields
        .map(|(name, value)| format!("{name}: {}", in_words(value)))
        .collect();
    Ok(lines.join("\n"))
}

fn revoke(socket: &Path, whose: &RevokeWhose, yes: bool, json: bool) -> Result<String, Refused> {
    if whose.all && !yes {
        let why = "--all signs everybody out: say --yes too, if that is meant";
        return Err(Refused(why.to_owned(), BAD_CONFIG));
    }
    let target = if let Some(id) = &whose.id {
        at(id)?
    } else {
        let query = query(&[
            ("user", whose.user.as_deref()),
            ("sub", whose.sub.as_deref()),
            ("all", whose.all.then_some("true")),
        ]);
        format!("/sessions?{query}")
    };
    let answer = send(socket, "DELETE", &target)?;
    if json {
        return Ok(answer.body.trim_end().to_owned());
    }
    let Ended { ended } = read(socket, &answer)?;
    Ok(match ended {
        1 => "1 session ended".to_owned(),
        more => format!("{more} sessions ended"),
    })
}

/// The parameters that have a value.
fn query(pairs: &[(&str, Option<&str>)]) -> String {
    let pairs = pairs
        .iter()
        .filter_map(|(name, value)| Some((name, (*value)?)));
    Serializer::new(String::new()).extend_pairs(pairs).finish()
}

/// The path of one session: nothing but an id may become a part of a path.
fn at(id: &str) -> Result<String, Refused> {
    if id.is_empty() || !id.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err(Refused("an id is hex digits".to_owned(), BAD_CONFIG));
    }
    Ok(format!("/sessions/{id}"))
}

fn text<'a>(object: &'a serde_json::Value, name: &str) -> &'a str {
    let value = object.get(name).and_then(serde_json::Value::as_str);
    value.unwrap_or_default()
}

fn in_words(value: &serde_json::Value) -> String {
    match value {
        serde_json::Value::Null => "-".to_owned(),
        serde_json::Value::String(text) => shown(text),
        serde_json::Value::Array(values) => {
            let values: Vec<String> = values.iter().map(in_words).collect();
            values.join(", ")
        }
        other => shown(&other.to_string()),
    }
}

/// Columns, as wide as they need to be.
fn table(sessions: &[serde_json::Value]) -> String {
    const HEAD: [&str; 7] = [
        "ID",
        "USER",
        "SUBJECT",
        "DEVICE",
        "ADDRESS",
        "SIGNED IN",
        "LAST USED",
    ];
    const FIELDS: [&str; 7] = [
        "id",
        "username",
        "subject",
        "device",
        "address",
        "started_at",
        "last_used",
    ];
    let mut rows = vec![HEAD.map(str::to_owned)];
    rows.extend(sessions.iter().map(|session| {
        FIELDS.map(|name| in_words(session.get(name).unwrap_or(&serde_json::Value::Null)))
    }));
    let mut widths = [0; 7];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let line = |row: &[String; 7]| {
        let cells = row.iter().zip(widths);
        let cells: Vec<String> = cells
            .map(|(cell, width)| format!("{cell:width$}"))
            .collect();
        cells.join("  ").trim_end().to_owned()
    };
    let lines: Vec<String> = rows.iter().map(line).collect();
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_table_has_a_line_for_each_session_and_nothing_that_moves_a_cursor() {
        let sessions = [
            json!({"id": "0123456789ab", "username": "ada\u{1b}[2J\u{202e}", "subject": "7b2f",
                "device": "Firefox on Windows", "address": "192.0.2.7",
                "started_at": "2026-11-26T01:05:09Z", "last_used": "2026-11-26T02:05:09Z"}),
            json!({"id": "ba9876543210", "username": null, "subject": "8c3f"}),
        ];
        let told = table(&sessions);
        let lines: Vec<&str> = told.lines().collect();
        assert_eq!(lines.len(), 3, "{told}");
        assert!(lines[0].starts_with("ID            USER"), "{told}");
        assert!(lines[1].contains("ada\u{fffd}[2J\u{fffd}  7b2f"), "{told}");
        assert!(lines[2].starts_with("ba9876543210  -"), "{told}");
    }

    #[test]
    fn only_an_id_becomes_a_part_of_a_path() {
        assert_eq!(at("0123AB").ok().unwrap(), "/sessions/0123AB");
        for id in ["", "../x", "a?all=true", "a b", "a\r\nb", "zz"] {
            assert!(at(id).is_err(), "{id:?}");
        }
    }
}
