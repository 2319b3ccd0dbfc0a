//! `headwarden import`: a configuration out of Headscale's.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use serde::Serialize;

use super::check::Warning;
use super::files::write_new;
use super::{BAD_CONFIG, FAILED, complain, say, say_json};
use crate::config::{self, Environment, FileText, Problem, Problems, Refusal, read_file};
use crate::domain::text::shown;
use crate::headscale::{self, Import as Made};

/// Where systemd puts a service's secrets; for the check of what was made, which reads none.
const CREDENTIALS: (&str, &str) = (
    "CREDENTIALS_DIRECTORY",
    "/run/credentials/headwarden.service",
);

/// Make a configuration out of Headscale's, and say what to change there; no network, no secret copied
#[derive(Args, Debug)]
pub(super) struct Import {
    /// Headscale's config.yaml, of any version since 0.23
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Write Headwarden's configuration there, where nothing is yet, and print the rest. Without it the
    /// configuration is printed, and the rest goes to standard error
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Print everything as JSON
    #[arg(long)]
    json: bool,
}

/// Everything, as JSON.
#[derive(Serialize)]
struct Told<'a> {
    #[serde(flatten)]
    made: &'a Made,
    /// What `headwarden check` says of it, secrets aside.
    problems: &'a [Problem],
    /// What it warns of.
    warnings: Vec<Warning>,
}

impl Import {
    /// Makes it; the exit code says whether it can be used as it is, secrets aside.
    pub(super) fn run(self) -> io::Result<ExitCode> {
        let name = self.file.display().to_string();
        let text = match read_file(&self.file) {
            Ok(file) => file.text,
            Err(why) => {
                complain(&format!("{name} cannot be read: {why}"));
                return Ok(ExitCode::from(BAD_CONFIG));
            }
        };
        let made = match headscale::import(&text, &name) {
            Ok(made) => made,
            Err(why) => {
                complain(&why.to_string());
                return Ok(ExitCode::from(BAD_CONFIG));
            }
        };
        let (problems, warnings) = checked(&made.config);
        if let Some(out) = &self.out
            && let Err(why) = write_new(out, &made.config)
        {
            complain(&format!("{} cannot be written: {why}", out.display()));
            return Ok(ExitCode::from(BAD_CONFIG));
        }
        if self.json {
            say_json(&Told {
                made: &made,
                problems: &problems,
                warnings: warnings.iter().map(|line| Warning::parse(line)).collect(),
            })?;
        } else {
            self.tell(&made, &problems, &warnings)?;
        }
        Ok(if problems.is_empty() {
            ExitCode::SUCCESS
        } else {
            ExitCode::from(FAILED)
        })
    }

    fn tell(&self, made: &Made, problems: &[Problem], warnings: &[String]) -> io::Result<()> {
        let rest = rest(made, problems, warnings);
        if let Some(out) = &self.out {
            let written = format!("{} is written", out.display());
            return say(&format!("{written}\n\n{}", rest.trim_end()));
        }
        say(made.config.trim_end())?;
        writeln!(io::stderr().lock(), "{}", rest.trim_end())
    }
}

/// What `headwarden check` says of the configuration, with secrets that are none.
fn checked(text: &str) -> (Vec<Problem>, Vec<String>) {
    let secret = |_: &Path| {
        Ok(FileText {
            text: "0123456789abcdef0123456789abcdef".to_owned(),
            mode: 0o600,
        })
    };
    match config::read_text(text, &Environment::from_pairs([CREDENTIALS]), &secret) {
        Ok(settings) => (Vec::new(), settings.warnings),
        Err(Refusal { problems, warnings }) => (problems, warnings),
    }
}

fn rest(made: &Made, problems: &[Problem], warnings: &[String]) -> String {
    let mut text = String::new();
    let _ = writeln!(text, "{}\nWhat became of each key:\n", made.headscale);
    for note in &made.notes {
        let (key, why) = (shown(&note.key), shown(&note.text));
        let _ = writeln!(text, "{:<8} {key}: {why}", note.what.label());
    }
    if !problems.is_empty() {
        let _ = writeln!(
            text,
            "\n`headwarden check` would say:\n\n{}",
            Problems(problems)
        );
    }
    for warning in warnings {
        let _ = writeln!(text, "warning: {warning}");
    }
    text
}
