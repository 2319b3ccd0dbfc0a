//! `headwarden doctor`: a look at the world around us, each finding with its fix. It changes nothing; at
//! the provider it asks for a silent sign-in that nobody has, and redeems a code that nobody gave out.

mod claims;
mod house;
mod store;
mod tls;
mod wire;

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use serde::Serialize;

use super::{BAD_CONFIG, FAILED, complain, say, say_json};
use crate::config::{
    self, Certificates, Environment, Refusal, Settings, SignIn, TlsFiles, exposed, read_file,
};
use crate::domain::finding::{Finding, Level, worst};
use crate::domain::session::Recheck;
use crate::domain::text::shown;
use crate::headscale;
use crate::oidc::{self, Checkup};
use crate::ops::clock::SystemClock;
use crate::ops::entropy::SystemRandom;

/// The name of findings about our own configuration.
const CONFIG: &str = "config";
/// The name of findings about files that others may read.
const FILES: &str = "config.files";
/// Longest look at one side of the world.
const PATIENCE: Duration = Duration::from_mins(1);

/// Look at provider, Headscale and the running process, and say what is wrong and how to mend it
#[derive(Args, Debug)]
pub(super) struct Doctor {
    /// A person's claims, as for `explain`: the names of groups and the verification of addresses are
    /// then set against them
    #[arg(long, value_name = "FILE")]
    claims: Option<PathBuf>,
    /// Headscale's config.yaml, to be set against ours
    #[arg(long, value_name = "FILE")]
    headscale_config: Option<PathBuf>,
    /// Reach `server_url` at this address instead of what its name resolves to
    #[arg(long, value_name = "ADDRESS:PORT")]
    connect: Option<SocketAddr>,
    /// Certificates to trust at `server_url` beside the system's, for a private authority
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// Exit with 1 for warnings too
    #[arg(long)]
    strict: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Everything, as JSON.
#[derive(Serialize)]
struct Told<'a> {
    worst: Level,
    findings: &'a [Finding],
}

impl Doctor {
    /// Looks at everything; a failure keeps nothing else from being looked at.
    pub(super) fn run(self, path: &Path, environment: &Environment) -> io::Result<ExitCode> {
        let (settings, mut findings) = configuration(path, environment);
        let Some(settings) = settings else {
            self.tell(&findings)?;
            return Ok(ExitCode::from(BAD_CONFIG));
        };
        let person = match self
            .claims
            .as_deref()
            .map(|path| claims::read(path, &settings))
        {
            None => None,
            Some(Ok(person)) => Some(person),
            Some(Err(why)) => {
                complain(&why);
                return Ok(ExitCode::from(BAD_CONFIG));
            }
        };
        findings.push(files(&settings));
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        runtime.block_on(self.look(&settings, person.as_ref(), &mut findings));
        self.tell(&findings)?;
        let bad = match worst(&findings) {
            Level::Failure => true,
            Level::Warning => self.strict,
            Level::Ok | Level::Skipped => false,
        };
        Ok(if bad {
            ExitCode::from(FAILED)
        } else {
            ExitCode::SUCCESS
        })
    }

    async fn look(
        &self,
        settings: &Settings,
        person: Option<&oidc::CheckedPerson>,
        findings: &mut Vec<Finding>,
    ) {
        let groups = claims::groups(settings);
        let redirect_uri = settings.server_url.join("/oidc/callback");
        let checkup = Checkup {
            settings: &settings.oidc,
            rules: &settings.rules,
            redirect_uri: &redirect_uri,
            rechecks: settings.session.recheck != Recheck::default(),
            groups: &groups,
            person,
            clock: &SystemClock,
        };
        findings.extend(within("provider", oidc::check_up(&checkup)).await);
        findings.extend(
            within(
                "headscale",
                headscale::check_up(settings, &SystemClock, &SystemRandom::new()),
            )
            .await,
        );
        if let Some(path) = &self.headscale_config {
            findings.extend(headscale_file(settings, path));
        }
        let house = house::look(settings, self.connect, self.ca.as_deref());
        findings.extend(within("house", house).await);
        findings.extend(within("store", store::look(settings)).await);
    }

    fn tell(&self, findings: &[Finding]) -> io::Result<()> {
        if self.json {
            return say_json(&Told {
                worst: worst(findings),
                findings,
            });
        }
        let count = |level: Level| findings.iter().filter(|it| it.level == level).count();
        let lines: Vec<String> = findings.iter().map(in_words).collect();
        say(&format!(
            "{}\n\n{} ok, {} warnings, {} failures, {} not looked at",
            lines.join("\n"),
            count(Level::Ok),
            count(Level::Warning),
            count(Level::Failure),
            count(Level::Skipped)
        ))
    }
}

/// What came of a look, or that it took too long.
async fn within(area: &'static str, look: impl Future<Output = Vec<Finding>>) -> Vec<Finding> {
    tokio::time::timeout(PATIENCE, look)
        .await
        .unwrap_or_else(|_| {
            let told = format!("no answer within {} s", PATIENCE.as_secs());
            vec![Finding::failure(
                area,
                told,
                "look at the network between the two machines",
            )]
        })
}

fn in_words(finding: &Finding) -> String {
    let line = format!(
        "{:<8} {}: {}",
        finding.level.label(),
        finding.check,
        shown(&finding.told)
    );
    match &finding.fix {
        Some(fix) => format!("{line}\n         fix: {}", shown(fix)),
        None => line,
    }
}

fn configuration(path: &Path, environment: &Environment) -> (Option<Settings>, Vec<Finding>) {
    let warned = |warnings: &[String]| -> Vec<Finding> {
        let warned = warnings.iter();
        let fix = "docs/configuration.md says what the key means";
        warned
            .map(|line| Finding::warning(CONFIG, line, fix))
            .collect()
    };
    match config::load(path, environment) {
        Ok(settings) => {
            let good = Finding::ok(CONFIG, format!("{} is good", path.display()));
            let findings = [vec![good], warned(&settings.warnings)].concat();
            (Some(settings), findings)
        }
        Err(Refusal { problems, warnings }) => {
            let findings = problems.iter().map(|problem| {
                let told = format!("{}: {}", problem.key, problem.reason);
                let fix = problem.hint.as_deref().unwrap_or("see `headwarden check`");
                Finding::failure(CONFIG, told, fix)
            });
            (None, findings.chain(warned(&warnings)).collect())
        }
    }
}

/// Keys that others than their owner may read. Those of certificates may be a group's, as Debian's
/// `ssl-cert` and Kubernetes have them, and nobody else's.
fn files(settings: &Settings) -> Finding {
    let mut keys = vec![(settings.keys_path.clone(), 0o077)];
    let mut shown: Vec<&TlsFiles> = Vec::new();
    for listener in &settings.listen {
        let certificates = listener.tls.as_ref().map(|tls| &tls.certificates);
        if let Some(Certificates::Files(files)) = certificates {
            shown.extend(files);
        }
    }
    if let SignIn::Issuer(issuer) = &settings.headscale.sign_in {
        keys.push((issuer.key_path.clone(), 0o077));
        shown.extend(issuer.tls.iter().flatten());
    }
    if let Some(acme) = &settings.acme {
        keys.push((acme.place().join("account.json"), 0o077));
        keys.push((acme.certificate_path(), 0o077));
    }
    keys.extend(shown.into_iter().map(|pair| (pair.key_path.clone(), 0o007)));
    let open: Vec<String> = keys
        .iter()
        .filter_map(|(path, others)| {
            let mode = exposed(path).filter(|mode| mode & others != 0)?;
            Some(format!("{} (mode {mode:04o})", path.display()))
        })
        .collect();
    if open.is_empty() {
        return Finding::ok(FILES, "no key file is open to others");
    }
    let told = format!("others may read {}", open.join(", "));
    Finding::failure(
        FILES,
        told,
        "chmod 600; if somebody may have read it, make a new key",
    )
}

fn headscale_file(settings: &Settings, path: &Path) -> Vec<Finding> {
    let name = path.display().to_string();
    match read_file(path) {
        Ok(file) => headscale::check_config(settings, &file.text, &name, &read_file),
        Err(why) => {
            let told = format!("{name} cannot be read: {why}");
            vec![Finding::failure(
                "headscale.config",
                told,
                "run this as a user who may read it",
            )]
        }
    }
}
