//! Where log lines go and how they look: standard error, one line an event, for people or as JSON.
//!
//! What the operator's level asks for is shown of our own lines only. Libraries say what they are
//! doing at `debug` and `trace`, heads and bodies included, and know nothing of secrets: of them,
//! `info` and above is shown, whatever the level is. The audit log is written at any level, unless the
//! operator switches it off by its name.

mod line;

use std::io;

use line::OneLine;
use tracing::level_filters::LevelFilter;
use tracing::{Level, Metadata, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::fmt::{self, MakeWriter};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::{Registry, reload};

use super::audit;

/// How a log line looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// For a person. Never coloured, so that no escape in the log is wanted and all are escaped.
    Human,
    /// One JSON object a line.
    Json,
}

/// Why logging could not begin.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The operator's level is none.
    #[error(
        "{directive:?} is not a log level: expected off, error, warn, info, debug or trace, alone \
         or as target=level, separated by commas"
    )]
    Directive {
        /// The part that was not understood.
        directive: String,
    },
    /// Something else in the process has taken the log already.
    #[error("logging was set up before")]
    SetUpBefore,
    /// The log that a [`Handle`] belongs to is no more.
    #[error("the log whose level should change is no more")]
    Gone,
}

/// Changes what is logged while the process runs. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Handle(reload::Handle<EnvFilter, Registry>);

impl Handle {
    /// Logs at `level` from now on; as in [`init`].
    ///
    /// # Errors
    /// [`LogError::Directive`] for what is no level, and [`LogError::Gone`]; the level is as it was then.
    pub fn set_level(&self, level: &str) -> Result<(), LogError> {
        let filter = filter(level)?;
        self.0.reload(filter).map_err(|_| LogError::Gone)
    }
}

/// Sends the process's log to standard error from now on. `level` is a comma-separated list of
/// levels and `target=level` pairs, e.g. `info,headwarden::proxy=debug`; the [`Handle`] changes it.
///
/// # Errors
/// [`LogError`]; nothing is logged then.
pub fn init(format: Format, level: &str) -> Result<Handle, LogError> {
    let (subscriber, handle) = subscriber(format, level, io::stderr)?;
    tracing::subscriber::set_global_default(subscriber).map_err(|_| LogError::SetUpBefore)?;
    Ok(handle)
}

/// Checks a level as [`init`] would, without setting anything up.
///
/// # Errors
/// [`LogError::Directive`].
pub fn check_level(level: &str) -> Result<(), LogError> {
    filter(level).map(drop)
}

fn subscriber<W>(
    format: Format,
    level: &str,
    writer: W,
) -> Result<(Box<dyn Subscriber + Send + Sync>, Handle), LogError>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let (filter, handle) = reload::Layer::new(filter(level)?);
    let registry = tracing_subscriber::registry()
        .with(filter)
        .with(filter_fn(may_be_shown));
    // An error of the log itself has nowhere to go: standard error is what failed.
    let layer = fmt::layer()
        .log_internal_errors(false)
        .with_writer(OneLine::new(format, writer));
    let subscriber: Box<dyn Subscriber + Send + Sync> = match format {
        Format::Human => Box::new(registry.with(layer.with_ansi(false))),
        Format::Json => Box::new(registry.with(layer.json().flatten_event(true))),
    };
    Ok((subscriber, Handle(handle)))
}

/// Our own lines; of libraries, those that are for an operator.
fn may_be_shown(event: &Metadata<'_>) -> bool {
    let room = event.target().split("::").next();
    room == Some(env!("CARGO_PKG_NAME")) || *event.level() <= Level::INFO
}

/// `EnvFilter` takes a misspelt level for the name of a target, which would silence everything else:
/// so a part without `=` has to be a level.
fn filter(level: &str) -> Result<EnvFilter, LogError> {
    let refused = |directive: &str| LogError::Directive {
        directive: directive.to_owned(),
    };
    let parts: Vec<&str> = level.split(',').map(str::trim).collect();
    for part in &parts {
        let value = part.rsplit_once('=').map_or(*part, |(_, value)| value);
        if value.is_empty() || value.parse::<LevelFilter>().is_err() {
            return Err(refused(part));
        }
    }
    let mut parts = parts;
    // The longest target that fits counts, wherever it stands.
    let audit = format!("{}=info", audit::TARGET);
    if !parts.iter().any(|part| part.starts_with(audit::TARGET)) {
        parts.push(&audit);
    }
    EnvFilter::try_new(parts.join(",")).map_err(|_| refused(level))
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use super::super::clock::SystemClock;
    use super::line::LONGEST_LINE;
    use super::*;
    use crate::domain::text::draws;

    #[derive(Clone, Default)]
    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// What comes out when `log` runs.
    fn logged(format: Format, level: &str, log: impl FnOnce()) -> String {
        let sink = Sink::default();
        let writer = sink.clone();
        let (subscriber, _) = subscriber(format, level, move || writer.clone()).unwrap();
        tracing::subscriber::with_default(subscriber, log);
        String::from_utf8(sink.0.lock().unwrap().clone()).unwrap()
    }

    #[test]
    fn levels_and_targets_are_taken() {
        for level in [
            "info",
            "INFO",
            "off",
            "warn,headwarden=debug",
            "info, a::b=trace",
        ] {
            assert!(check_level(level).is_ok(), "{level}");
        }
    }

    #[test]
    fn a_misspelt_level_is_an_error_that_names_it() {
        for (level, directive) in [
            ("inof", "inof"),
            ("", ""),
            ("info,", ""),
            ("info,headwarden", "headwarden"),
            ("info,headwarden=loud", "headwarden=loud"),
            ("info,headwarden=", "headwarden="),
            ("info;debug", "info;debug"),
        ] {
            let error = check_level(level).unwrap_err();
            assert!(matches!(&error, LogError::Directive { directive: d } if d == directive));
            assert!(
                error
                    .to_string()
                    .starts_with(&format!("{directive:?} is not a log level"))
            );
        }
    }

    #[test]
    fn a_hostile_value_stays_on_its_line_for_people() {
        let value = "x\r\nERROR forged\u{1b}[2J\u{9b}31m%s%n${jndi:ldap://x}";
        let out = logged(Format::Human, "info", || tracing::info!(%value, "seen"));
        assert_eq!(out.matches(char::is_control).count(), 1, "{out:?}");
        assert!(out.ends_with("${jndi:ldap://x}\n"), "{out:?}");
        assert!(out.contains(r"x\r\nERROR forged\u{1b}[2J"), "{out:?}");
    }

    #[test]
    fn a_hostile_value_stays_in_its_string_as_json() {
        let value = "x\r\n\",\"level\":\"ERROR\u{1b}[2J";
        let out = logged(Format::Json, "info", || tracing::info!(%value, "seen"));
        assert_eq!(out.matches('\n').count(), 1, "{out:?}");
        let line: serde_json::Value = serde_json::from_str(&out).unwrap();
        assert_eq!(line["value"], value);
        assert_eq!(line["message"], "seen");
        assert_eq!(line["level"], "INFO");
    }

    #[test]
    fn an_endless_value_is_cut_for_people() {
        let value = "é".repeat(1 << 20);
        let out = logged(Format::Human, "info", || tracing::info!(%value, "seen"));
        assert!(
            out.len() < LONGEST_LINE + 16 && out.ends_with("…\n"),
            "{}",
            out.len()
        );
    }

    #[test]
    fn what_turns_text_around_or_moves_a_cursor_is_escaped_in_both_formats() {
        let value = "a\u{7f}\u{9b}2J\u{202e}b\u{2028}c\u{2066}d\u{200b}e\u{feff}f\u{e0041}g";
        for format in [Format::Human, Format::Json] {
            let out = logged(format, "info", || tracing::info!(%value, "seen"));
            let odd: Vec<char> = out.trim_end().chars().filter(|c| !draws(*c)).collect();
            assert_eq!(odd, Vec::<char>::new(), "{format:?}: {out}");
        }
        let out = logged(Format::Json, "info", || tracing::info!(%value, "seen"));
        let line: serde_json::Value = serde_json::from_str(&out).unwrap();
        assert_eq!(line["value"], value, "an escape means the same");
    }

    #[test]
    fn an_endless_value_is_cut_in_json_and_the_line_stays_an_object() {
        let value = "é\"".repeat(1 << 19);
        let out = logged(Format::Json, "info", || {
            tracing::info!(%value, request_id = "abc", "seen");
        });
        assert!(out.len() <= LONGEST_LINE + 1, "{}", out.len());
        let line: serde_json::Value = serde_json::from_str(&out).unwrap();
        assert_eq!(line["request_id"], "abc");
        assert_eq!(line["message"], "seen");
        assert!(line["value"].as_str().unwrap().ends_with('…'));
        let out = logged(Format::Json, "info", || {
            let list = vec!["x"; 1 << 16];
            tracing::info!(list = ?list, a = %value, "{value}");
        });
        let line: serde_json::Value = serde_json::from_str(&out).unwrap();
        assert!(out.len() <= LONGEST_LINE + 1 && line["level"] == "INFO");
    }

    #[test]
    fn libraries_are_not_heard_below_info_whatever_the_level() {
        for level in ["trace", "info,h2=trace", "h2=trace,hyper=debug"] {
            let out = logged(Format::Human, level, || {
                tracing::trace!(target: "h2::codec", "s3cret");
                tracing::debug!(target: "hyper", "s3cret");
                tracing::debug!(target: "headwarden_look_alike", "s3cret");
            });
            assert_eq!(out, "", "{level}");
        }
        let out = logged(Format::Human, "trace", || {
            tracing::info!(target: "h2", "heard");
            tracing::trace!("ours");
        });
        assert!(out.contains("heard") && out.contains("ours"), "{out}");
    }

    #[test]
    fn the_audit_log_is_written_at_any_level_unless_it_is_switched_off_by_name() {
        use super::audit::{Act, Actor, Audit, Entry, Scope};
        use crate::domain::identity::Subject;
        let subject = Subject::new("ada@company.example");
        let record = || {
            let audit = Audit::in_log(Arc::new(SystemClock));
            tracing::info!("seen");
            audit.record(&Entry {
                client: Some("192.0.2.7".parse().unwrap()),
                subject: Some(&subject),
                session: Some("0123456789ab"),
                scope: Some(Scope::Session),
                sessions: Some(1),
                user: Some("ada"),
                ..Entry::new(Act::Ended, Actor::LocalUser(0), "abc")
            });
            audit.record(&Entry::new(Act::Listed, Actor::AdminListener, "def"));
        };
        for level in [
            "off",
            "error",
            "warn,headwarden=error",
            "headwarden::ops=warn",
        ] {
            let out = logged(Format::Json, level, record);
            let lines: Vec<serde_json::Value> = out
                .lines()
                .map(|line| serde_json::from_str(line).unwrap())
                .collect();
            let [ended, listed] = lines.as_slice() else {
                panic!("{level}: {out}")
            };
            for (field, value) in [
                ("target", "headwarden::audit"),
                ("message", "sessions ended"),
                ("act", "sessions_ended"),
                ("outcome", "done"),
                ("by", "uid:0"),
                ("request_id", "abc"),
                ("client", "192.0.2.7"),
                ("session", "0123456789ab"),
                ("scope", "session"),
            ] {
                assert_eq!(ended[field], value, "{field}: {out}");
            }
            assert_eq!(ended["sessions"], 1);
            assert!(!out.contains("ada"), "{out}");
            let fields = listed.as_object().unwrap();
            assert!(!fields.contains_key("client") && !fields.contains_key("session"));
        }
        let out = logged(Format::Human, "off,headwarden::audit=off", record);
        assert_eq!(out, "");
    }

    #[test]
    fn the_level_changes_while_the_log_is_written_and_a_bad_one_changes_nothing() {
        let sink = Sink::default();
        let writer = sink.clone();
        let (subscriber, handle) =
            subscriber(Format::Human, "warn", move || writer.clone()).unwrap();
        let written = || String::from_utf8(std::mem::take(&mut *sink.0.lock().unwrap())).unwrap();
        // One place in the code: whether it is heard is remembered for each.
        let say = || tracing::debug!("seen");
        tracing::subscriber::with_default(subscriber, || {
            for (level, changed, heard) in [
                ("debug", true, true),
                ("inof", false, true),
                ("info", true, false),
                ("", false, false),
                ("off,headwarden=trace", true, true),
            ] {
                assert_eq!(handle.set_level(level).is_ok(), changed, "{level:?}");
                say();
                assert_eq!(written().contains("seen"), heard, "{level:?}");
            }
            handle.set_level("off").unwrap();
            let entry = audit::Entry::new(audit::Act::Listed, audit::Actor::AdminListener, "");
            audit::Audit::in_log(Arc::new(SystemClock)).record(&entry);
            assert!(written().contains("sessions_listed"));
        });
        assert!(matches!(handle.set_level("info"), Err(LogError::Gone)));
    }

    #[test]
    fn the_level_decides_what_is_written() {
        let quiet = logged(Format::Human, "warn", || tracing::info!("seen"));
        assert_eq!(quiet, "");
        let target = logged(Format::Human, "off,headwarden=info", || {
            tracing::info!("seen");
        });
        assert!(target.contains("seen"));
    }
}
