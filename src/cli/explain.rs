//! `headwarden explain`: what would become of a request of a person with these claims, and why.

use std::fmt::Write as _;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use serde::Serialize;

use super::{BAD_CONFIG, FAILED, complain, say, say_json};
use crate::config::{Settings, read_file};
use crate::domain::text::shown;
use crate::domain::time::Clock as _;
use crate::oidc::{Form, Unverified};
use crate::ops::clock::SystemClock;
use crate::proxy::explain::{Explanation, List, Outcome, Question, explain};

/// Largest text of claims, in bytes.
const MAX_CLAIMS: u64 = 1 << 20;

/// Say what would become of a request of a person with these claims, and why; no network
#[derive(Args, Debug)]
pub(super) struct Explain {
    /// A file with the person's claims: the payload of an ID token as JSON, or a compact JWT, which is
    /// read without being verified. `-` is standard input
    #[arg(long, value_name = "FILE")]
    claims: PathBuf,
    /// The path that the person would open
    #[arg(long, value_name = "PATH")]
    path: String,
    /// The method of the request
    #[arg(long, value_name = "METHOD", default_value = "GET")]
    method: String,
    /// The token of the request's `Upgrade` field
    #[arg(long, value_name = "TOKEN")]
    upgrade: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// The whole answer.
#[derive(Serialize)]
struct Told<'a> {
    #[serde(flatten)]
    explanation: &'a Explanation,
    /// The claims were taken out of a token whose signature nobody looked at.
    unverified_token: bool,
    /// What a real sign-in would stumble over.
    doubts: &'a [String],
}

impl Explain {
    /// Explains; the exit code says whether the request is served.
    pub(super) fn run(self, settings: &Settings) -> io::Result<ExitCode> {
        let read = text(&self.claims).map_err(|why| {
            let path = self.claims.display();
            format!("the claims in {path} cannot be read: {why}")
        });
        let read = read.and_then(|text| Unverified::read(&text).map_err(|why| why.to_string()));
        let person = read.and_then(|claims| match claims.person(&settings.oidc) {
            Ok(person) => Ok((claims, person)),
            Err(why) => Err(why.to_string()),
        });
        let (claims, person) = match person {
            Ok(both) => both,
            Err(why) => {
                complain(&why);
                return Ok(ExitCode::from(BAD_CONFIG));
            }
        };
        let explanation = explain(
            settings,
            &Question {
                method: &self.method,
                path: &self.path,
                upgrade: self.upgrade.as_deref(),
                person: &person,
                now: SystemClock.now(),
            },
        );
        let doubts = doubts(&claims, settings, &explanation);
        let unverified_token = claims.form == Form::Token;
        if self.json {
            say_json(&Told {
                explanation: &explanation,
                unverified_token,
                doubts: &doubts,
            })?;
        } else {
            say(in_words(&explanation, unverified_token, &doubts).trim_end())?;
        }
        Ok(match explanation.outcome {
            Outcome::Allowed | Outcome::StepUp => ExitCode::SUCCESS,
            Outcome::Depends | Outcome::Denied => ExitCode::from(FAILED),
        })
    }
}

fn text(path: &Path) -> io::Result<String> {
    if path != Path::new("-") {
        return Ok(read_file(path)?.text);
    }
    let mut text = String::new();
    io::stdin()
        .lock()
        .take(MAX_CLAIMS)
        .read_to_string(&mut text)?;
    Ok(text)
}

/// What a real sign-in would stumble over, and claims that the configuration names and that are not
/// there.
fn doubts(claims: &Unverified, settings: &Settings, told: &Explanation) -> Vec<String> {
    let mut doubts = claims.doubts(&settings.oidc);
    let names: Vec<&str> = claims.names().take(30).collect();
    let mut missing = |key: &str, claim: &str| {
        doubts.push(format!(
            "{key} is {claim}, which says nothing here; the claims are {}",
            names.join(", ")
        ));
    };
    if told.person.username.is_none() {
        missing("oidc.username_claim", &settings.oidc.username_claim);
    }
    if told.person.groups.is_empty() && !settings.rules.allowed_groups.is_empty() {
        missing("oidc.groups_claim", &settings.oidc.groups_claim);
    }
    doubts
}

fn in_words(told: &Explanation, unverified_token: bool, doubts: &[String]) -> String {
    let mut text = String::new();
    let mut line = |name: &str, value: String| {
        let _ = writeln!(text, "{:<11}{}", format!("{name}:"), shown(&value));
    };
    line("request", format!("{} {}", told.method, told.path));
    if let Some(door) = &told.door {
        line(
            "door",
            format!("{} ({}): {}", door.name, door.kind, door.passes),
        );
    }
    line("person", person(told));
    let verdict = told.rules.refusal.as_deref().unwrap_or("admitted");
    line("rules", verdict.to_owned());
    for list in &told.rules.lists {
        line("", in_a_line(list));
    }
    for rule in &told.access {
        let verdict = if rule.admitted { "admitted" } else { "refused" };
        let how = match (rule.exactly, rule.routes) {
            (true, true) => "the rule of this path",
            (true, false) => "a rule of this path",
            (false, _) => "a careless upstream could take the path for this rule's",
        };
        line(
            "access",
            format!("access[{}] {}: {verdict} ({how})", rule.index, rule.path),
        );
        let lists = [&rule.groups, &rule.domains, &rule.users];
        for list in lists
            .into_iter()
            .chain(&rule.claims)
            .filter(|_| !rule.public)
        {
            line("", in_a_line(list));
        }
    }
    line("step-up", step_up(told));
    if let Some(upstream) = &told.upstream {
        let path = told.upstream_path.as_ref();
        let path = path.map_or_else(String::new, |path| format!(", as {path}"));
        line("upstream", format!("{upstream}{path}"));
    }
    for field in &told.identity_headers {
        line("header", format!("{}: {}", field.name, field.value));
    }
    if let Some(audience) = &told.assertion {
        line("assertion", format!("signed, for {audience}"));
    }
    line("headscale", headscale(told));
    let key = if told.api.key {
        ""
    } else {
        ", which means nothing without headscale.api_key"
    };
    line("api role", format!("{}{key}", told.api.role));
    for note in &told.notes {
        line("note", note.clone());
    }
    if unverified_token {
        let why = "the token was read and not verified: anybody could have written it";
        line("note", why.to_owned());
    }
    for doubt in doubts {
        line("doubt", doubt.clone());
    }
    line(told.outcome.label(), told.why.clone());
    text
}

fn person(told: &Explanation) -> String {
    let who = &told.person;
    let email = match (&who.email, who.email_verified) {
        (Some(email), true) => format!("{email} (verified)"),
        (Some(email), false) => format!("{email} (not verified)"),
        (None, _) => "no e-mail".to_owned(),
    };
    let name = who.username.as_deref().unwrap_or("no user name");
    format!("{name}, {email}, sub {}", who.subject)
}

fn in_a_line(list: &List) -> String {
    let all = |values: &[String]| match values {
        [] => "nothing".to_owned(),
        some => some.join(", "),
    };
    if !list.restricts {
        return format!("{}: empty, restricts nobody", list.list);
    }
    if list.matched {
        return format!("{}: matched by {}", list.list, all(&list.matches));
    }
    let (wanted, found) = (all(&list.wanted), all(&list.found));
    format!(
        "{}: not matched; wants {wanted}; the claims have {found}",
        list.list
    )
}

fn step_up(told: &Explanation) -> String {
    let asked = &told.step_up;
    let mut asks = Vec::new();
    asks.extend(
        asked
            .max_auth_age_seconds
            .map(|age| format!("a sign-in of the last {age} s")),
    );
    let one_of = |name: &str, values: &[String]| {
        (!values.is_empty()).then(|| format!("{name} {}", values.join(" or ")))
    };
    asks.extend(one_of("acr", &asked.acr));
    asks.extend(one_of("amr", &asked.amr));
    if asks.is_empty() {
        return "not asked for".to_owned();
    }
    let asks = asks.join(", ");
    if asked.needed {
        format!("needed: {asks}; missing: {}", asked.missing.join(", "))
    } else {
        format!("not needed: {asks}, which this sign-in has")
    }
}

fn headscale(told: &Explanation) -> String {
    let hears = &told.headscale;
    if let Some(why) = &hears.refusal {
        return format!("is told nothing: {why}");
    }
    match (&hears.name, &hears.email) {
        (None, _) => format!(
            "asks the provider itself (headscale.sign_in: {})",
            hears.sign_in
        ),
        (Some(name), Some(email)) => format!("is told the name {name} and the address {email}"),
        (Some(name), None) => format!("is told the name {name} and no address"),
    }
}
