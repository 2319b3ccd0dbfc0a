//! `headwarden offboarding`: who is gone and loses their devices soon, seen, taken off, and confirmed through
//! the socket of the running process.

use std::io;
use std::path::Path;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::Value;
use url::form_urlencoded::Serializer;

use super::running::{Refused, Running, as_json, get, send};
use super::{complain, say};
use crate::config::Settings;
use crate::domain::text::shown;

/// See who is to be off-boarded, and have a say in it.
#[derive(Debug, Args)]
pub(super) struct Offboarding {
    #[command(flatten)]
    running: Running,
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List people who are gone, and when their devices expire
    List {
        /// Print JSON: one object for each person
        #[arg(long)]
        json: bool,
    },
    /// Take a person off: their devices stay
    Cancel {
        /// The subject, as listed
        subject: String,
    },
    /// Say that it is right, where more people are gone than `offboarding.most`: their devices expire when
    /// the time has come
    Run {
        /// Of this person only, instead of everybody who is held
        subject: Option<String>,
    },
}

impl Offboarding {
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
                Action::List { json } => list(&socket, json),
                Action::Cancel { subject } => cancel(&socket, &subject),
                Action::Run { subject } => confirm(&socket, subject.as_deref()),
            });
        match done {
            Ok(text) if text.is_empty() => Ok(ExitCode::SUCCESS),
            Ok(text) => say(&text).map(|()| ExitCode::SUCCESS),
            Err(Refused(why, code)) => {
                complain(&why);
                Ok(ExitCode::from(code))
            }
        }
    }
}

fn list(socket: &Path, json: bool) -> Result<String, Refused> {
    let answer: Value = get(socket, "/offboarding")?;
    let people = answer.get("people").and_then(Value::as_array);
    let lines = people.into_iter().flatten();
    let lines: Vec<String> = lines
        .map(|person| {
            if json {
                as_json(person)
            } else {
                in_words(person)
            }
        })
        .collect();
    Ok(match lines.is_empty() {
        true if json => String::new(),
        true => "nobody is to be off-boarded".to_owned(),
        false => lines.join("\n"),
    })
}

fn in_words(person: &Value) -> String {
    let text = |name: &str| person.get(name).and_then(Value::as_str).unwrap_or("-");
    let held = person.get("held").and_then(Value::as_bool) == Some(true);
    let failures = person.get("failures").and_then(Value::as_u64).unwrap_or(0);
    let when = if held {
        "HELD: `headwarden offboarding run` says that it is right".to_owned()
    } else {
        format!("devices expire at {}", text("due_at"))
    };
    let tried = match failures {
        0 => String::new(),
        more => format!(", tried {more} times"),
    };
    let (subject, reason, noticed) = (text("subject"), text("reason"), text("noticed_at"));
    shown(&format!("{subject}: {reason} at {noticed}, {when}{tried}"))
}

fn cancel(socket: &Path, subject: &str) -> Result<String, Refused> {
    send(socket, "DELETE", &about(subject)).map(|_| "taken off: the devices stay".to_owned())
}

fn confirm(socket: &Path, only: Option<&str>) -> Result<String, Refused> {
    let target = only.map_or_else(|| "/offboarding?all=true".to_owned(), about);
    let answer = send(socket, "POST", &target)?;
    let body: Value = serde_json::from_str(&answer.body).unwrap_or_default();
    Ok(match body.get("confirmed").and_then(Value::as_u64) {
        Some(1) => "1 person confirmed".to_owned(),
        Some(more) => format!("{more} people confirmed"),
        None => "confirmed".to_owned(),
    })
}

fn about(subject: &str) -> String {
    let pair = [("sub", subject)];
    let query = Serializer::new(String::new()).extend_pairs(pair).finish();
    format!("/offboarding?{query}")
}
