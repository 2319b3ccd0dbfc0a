//! The subcommands. Each is a few lines over the room that does the work; what they print goes to a
//! writer, what goes wrong becomes a sentence and an exit code.

mod check;
mod client;
mod doctor;
mod explain;
mod files;
mod health;
mod import;
mod manual;
mod migrate;
mod offboarding;
mod policy_sync;
mod running;
mod sessions;
mod status;

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use serde::Serialize;
use tokio::signal::unix::{SignalKind, signal};

use crate::app::{self, App, Configuration, Forebear, Inherited, Program, StartError, descriptors};
use crate::config::{Environment, Loaded, Reading, Refusal, Seen, Settings, SignIn, Source};
use crate::domain::causes::causes;
use crate::issuer::config_block;
use crate::ops::log::{self, Format};
use crate::ops::panics;

/// Exit code of a configuration that cannot be used.
const BAD_CONFIG: u8 = 2;
/// Exit code of everything that has none of its own.
const FAILED: u8 = 1;

/// The authenticating reverse proxy for Headscale.
#[derive(Debug, Parser)]
#[command(version, about)]
pub struct Cli {
    /// The configuration file
    #[arg(
        long,
        short,
        global = true,
        value_name = "FILE",
        default_value = "/etc/headwarden/config.yaml"
    )]
    config: PathBuf,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve (what happens without a subcommand)
    Serve {
        /// Go on with a signing key that belonged to another issuer string or provider. Headscale
        /// will take everybody for somebody new: see `headscale-migrate`
        #[arg(long)]
        accept_new_identity: bool,
        /// Take the place of the process that started this one, by what it hands over at standard input
        #[arg(long, hide = true)]
        take_over: bool,
    },
    /// Check the configuration and report every mistake; no network
    Check {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    Doctor(doctor::Doctor),
    Explain(explain::Explain),
    Import(import::Import),
    /// Ask the running process whether it is ready (for a container's health check)
    Health {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// See how the running process is, and what came of its configuration
    Status(status::Status),
    /// See who is gone and loses their devices soon, and have a say in it
    Offboarding(offboarding::Offboarding),
    /// See who is signed in to the running process, and end sessions
    Sessions(sessions::Sessions),
    PolicySync(policy_sync::PolicySync),
    /// Put a new key in front of the key ring that seals cookies; used from the next start on
    RotateKeys {
        /// Drop the old keys at once: somebody else may know them. Sign-ins on their way begin again
        #[arg(long)]
        forget_old: bool,
    },
    /// Print the `oidc:` block to paste into Headscale's configuration
    HeadscaleConfig,
    HeadscaleMigrate(migrate::Migrate),
    /// Print a JSON Schema of the configuration, for editors
    ConfigSchema,
    Completions(manual::Completions),
    Man(manual::Man),
}

/// Runs the command line of this process.
pub fn run() -> ExitCode {
    let cli = Cli::parse();
    let environment = Environment::from_process();
    let command = cli.command.unwrap_or(Command::Serve {
        accept_new_identity: false,
        take_over: false,
    });
    let done = match command {
        // What needs no configuration, or says itself what is wrong with it.
        Command::Completions(completions) => completions.run(),
        Command::Man(man) => man.run(),
        Command::ConfigSchema => {
            say(crate::config::schema().trim_end()).map(|()| ExitCode::SUCCESS)
        }
        Command::Import(import) => import.run(),
        Command::Check { json } => check::run(&cli.config, &environment, json),
        Command::Doctor(doctor) => doctor.run(&cli.config, &environment),
        Command::Offboarding(people) if !people.needs_settings() => people.run(None),
        Command::Sessions(sessions) if !sessions.needs_settings() => sessions.run(None),
        Command::Status(status) if !status.needs_settings() => status.run(None),
        Command::PolicySync(sync) if !sync.needs_settings() => sync.run(None),
        other => return with_settings(other, Source::new(cli.config, environment)),
    };
    done.unwrap_or(ExitCode::from(FAILED))
}

/// Runs what cannot do without a good configuration.
fn with_settings(command: Command, source: Source) -> ExitCode {
    let Reading { outcome, seen, .. } = source.read();
    let loaded = match outcome {
        Ok(loaded) => loaded,
        Err(refusal) => return report(source.path(), &refusal),
    };
    let settings = loaded.settings.clone();
    let done = match command {
        Command::Serve {
            accept_new_identity,
            take_over,
        } => return serve(source, loaded, seen, (accept_new_identity, take_over)),
        Command::Explain(explain) => explain.run(&settings),
        Command::Health { json } => health::run(&settings, json),
        Command::Offboarding(people) => people.run(Some(&settings)),
        Command::Sessions(sessions) => sessions.run(Some(&settings)),
        Command::Status(status) => status.run(Some(&settings)),
        Command::PolicySync(sync) => sync.run(Some(&settings)),
        Command::RotateKeys { forget_old } => rotate_keys(&settings, forget_old),
        Command::HeadscaleConfig => headscale_config(&settings),
        Command::HeadscaleMigrate(migrate) => migrate.run(&settings),
        Command::Check { .. }
        | Command::Completions(_)
        | Command::Doctor(_)
        | Command::ConfigSchema
        | Command::Import(_)
        | Command::Man(_) => Ok(ExitCode::SUCCESS),
    };
    match done {
        Ok(code) => code,
        Err(_) => ExitCode::from(FAILED),
    }
}

fn say(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.write_all(b"\n")
}

/// Prints a value as JSON: two blanks a level, and escapes for what does not draw.
fn say_json(value: &impl Serialize) -> io::Result<()> {
    let text = serde_json::to_string_pretty(value).map_err(io::Error::other)?;
    let lines: Vec<String> = text
        .lines()
        .map(crate::domain::text::escaped_json)
        .collect();
    say(&lines.join("\n"))
}

fn complain(text: &str) {
    let _ = writeln!(io::stderr().lock(), "headwarden: {text}");
}

/// An error and what lies under it; a cause that the text above it tells already is not told twice.
fn with_causes(error: &dyn std::error::Error) -> String {
    let mut told = error.to_string();
    for cause in causes(error) {
        let text = cause.to_string();
        if !told.contains(&text) {
            told = format!("{told}: {text}");
        }
    }
    told
}

fn report(path: &Path, refusal: &Refusal) -> ExitCode {
    let mut err = io::stderr().lock();
    for warning in &refusal.warnings {
        let _ = writeln!(err, "warning: {warning}");
    }
    if !refusal.warnings.is_empty() {
        let _ = writeln!(err);
    }
    let _ = writeln!(err, "{refusal}\n");
    drop(err);
    let count = refusal.problems.len();
    complain(&format!(
        "{} has {count} mistake{}",
        path.display(),
        if count == 1 { "" } else { "s" }
    ));
    ExitCode::from(BAD_CONFIG)
}

fn serve(
    source: Source,
    loaded: Loaded,
    seen: Seen,
    (accept_new_identity, take_over): (bool, bool),
) -> ExitCode {
    let settings = loaded.settings.clone();
    let format = if settings.log.json {
        Format::Json
    } else {
        Format::Human
    };
    let log = match log::init(format, &settings.log.level) {
        Ok(log) => log,
        Err(why) => {
            complain(&why.to_string());
            return ExitCode::from(BAD_CONFIG);
        }
    };
    panics::report_in_log();
    for warning in &settings.warnings {
        tracing::warn!("{warning}");
    }
    descriptors::raise();
    // Before there are threads: it changes the environment.
    let (forebear, inherited) = match inherited(take_over) {
        Ok(both) => both,
        Err(why) => return end(&why),
    };
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    if let Some(workers) = settings.workers {
        runtime.worker_threads(workers);
    }
    let runtime = match runtime.enable_all().build() {
        Ok(runtime) => runtime,
        Err(why) => {
            complain(&format!("cannot start worker threads: {why}"));
            return ExitCode::from(FAILED);
        }
    };
    let served = runtime.block_on(async {
        // Before anything that takes time: a SIGHUP that nobody asked for ends the process.
        let hangups = signal(SignalKind::hangup()).map_err(StartError::Signals)?;
        let program = Program::of_this_process(again(source.path()));
        let configuration = Configuration {
            source,
            loaded,
            seen,
            log,
            hangups,
        };
        let app = App::build(settings, accept_new_identity)?
            .inheriting(inherited)
            .succeeded_by(program)
            .reading_again(configuration);
        let app = match forebear {
            Some(forebear) => app.after(forebear),
            None => app,
        };
        let signals = signals().map_err(StartError::Signals)?;
        app.serve(signals, || {}).await
    });
    runtime.shutdown_background();
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => end(&why),
    }
}

/// Listeners that are open already, and whose they were if they are those of a process that serves.
fn inherited(take_over: bool) -> Result<(Option<Forebear>, Inherited), StartError> {
    if take_over {
        let (forebear, inherited) = Forebear::at_standard_input().map_err(StartError::Forebear)?;
        return Ok((Some(forebear), inherited));
    }
    Ok((None, Inherited::from_systemd()?))
}

/// The arguments of a process that takes the place of this one. A new identity is accepted for one start.
fn again(path: &Path) -> Vec<OsString> {
    let path = path.as_os_str().to_owned();
    vec![
        "serve".into(),
        "--take-over".into(),
        "--config".into(),
        path,
    ]
}

fn end(why: &StartError) -> ExitCode {
    let told = with_causes(why);
    tracing::error!("{told}");
    complain(&told);
    ExitCode::from(why.exit_code())
}

/// SIGTERM and SIGINT, one call each.
fn signals() -> io::Result<impl FnMut() -> futures::Stop> {
    futures::signals()
}

/// A small adapter: each call waits for the next signal.
mod futures {
    use std::future::Future;
    use std::io;
    use std::pin::Pin;
    use std::sync::Arc;

    use tokio::signal::unix::{Signal, SignalKind, signal};
    use tokio::sync::Mutex;

    pub(super) type Stop = Pin<Box<dyn Future<Output = ()> + Send>>;

    pub(super) fn signals() -> io::Result<impl FnMut() -> Stop> {
        let both: (Signal, Signal) = (
            signal(SignalKind::terminate())?,
            signal(SignalKind::interrupt())?,
        );
        let both = Arc::new(Mutex::new(both));
        Ok(move || -> Stop {
            let both = Arc::clone(&both);
            Box::pin(async move {
                let mut both = both.lock().await;
                let (term, int) = &mut *both;
                tokio::select! {
                    _ = term.recv() => {}
                    _ = int.recv() => {}
                }
            })
        })
    }
}

fn rotate_keys(settings: &Settings, forget_old: bool) -> io::Result<ExitCode> {
    let rotation = match app::rotate_keys(settings, forget_old) {
        Ok(rotation) => rotation,
        Err(why) => {
            complain(&with_causes(&why));
            return Ok(ExitCode::from(why.exit_code()));
        }
    };
    say(&format!("{} is the newest key", rotation.newest))?;
    for kept in rotation.kept {
        say(&format!("{kept} still opens what it sealed"))?;
    }
    for dropped in rotation.dropped {
        say(&format!("{dropped} is gone"))?;
    }
    say("restart headwarden to use them")?;
    Ok(ExitCode::SUCCESS)
}

fn headscale_config(settings: &Settings) -> io::Result<ExitCode> {
    let SignIn::Issuer(issuer) = &settings.headscale.sign_in else {
        complain("headscale.sign_in is not `issuer`, so headscale gets no block from here");
        return Ok(ExitCode::from(BAD_CONFIG));
    };
    say(config_block(issuer, settings.oidc.use_expiry_from_token).trim_end())?;
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cause_of_a_failed_start_is_told_once() {
        use crate::domain::random::Random;
        use crate::ops::entropy::SystemRandom;
        let random: std::sync::Arc<dyn Random> = std::sync::Arc::new(SystemRandom::new());
        let nowhere = tempfile::tempdir().unwrap().path().join("keys.json");
        let error = crate::session::KeyRing::load_or_create(&nowhere, random).unwrap_err();
        let told = with_causes(&crate::app::StartError::from(error));
        assert!(told.contains("cannot create the key ring"), "{told}");
        assert!(
            told.ends_with("No such file or directory (os error 2)"),
            "{told}"
        );
        assert_eq!(told.matches("cannot create").count(), 1, "{told}");
    }
}
