//! Where log lines go and how they look: standard error, one line an event, for people or as JSON.

use std::io::{self, Write};

use tracing::Subscriber;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

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
}

/// Sends the process's log to standard error from now on. `level` is a comma-separated list of
/// levels and `target=level` pairs, e.g. `info,headwarden::proxy=debug`.
///
/// # Errors
/// [`LogError`]; nothing is logged then.
pub fn init(format: Format, level: &str) -> Result<(), LogError> {
    let subscriber = subscriber(format, level, io::stderr)?;
    tracing::subscriber::set_global_default(subscriber).map_err(|_| LogError::SetUpBefore)
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
) -> Result<Box<dyn Subscriber + Send + Sync>, LogError>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let builder = tracing_subscriber::fmt().with_env_filter(filter(level)?);
    Ok(match format {
        Format::Human => Box::new(
            builder
                .with_ansi(false)
                .with_writer(OneLine(writer))
                .finish(),
        ),
        Format::Json => Box::new(
            builder
                .json()
                .flatten_event(true)
                .with_writer(writer)
                .finish(),
        ),
    })
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
    EnvFilter::try_new(parts.join(",")).map_err(|_| refused(level))
}

/// Keeps an event on one line: what a client or the provider sent may hold line breaks and terminal
/// escapes, and a log line must not be forged with them. JSON escapes them by itself.
struct OneLine<W>(W);

/// Longest human line in bytes.
const LONGEST_LINE: usize = 16 * 1024;

impl<'w, W: MakeWriter<'w>> MakeWriter<'w> for OneLine<W> {
    type Writer = OneLine<W::Writer>;

    fn make_writer(&'w self) -> Self::Writer {
        OneLine(self.0.make_writer())
    }
}

impl<W: Write> Write for OneLine<W> {
    /// The formatter writes each event whole.
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(event.strip_suffix(b"\n").unwrap_or(event));
        let mut line = String::with_capacity(text.len() + 1);
        for c in text.chars() {
            if c.is_control() {
                line.extend(c.escape_default());
            } else {
                line.push(c);
            }
            if line.len() >= LONGEST_LINE {
                line.push('…');
                break;
            }
        }
        line.push('\n');
        self.0.write_all(line.as_bytes())?;
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

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
        let subscriber = subscriber(format, level, move || writer.clone()).unwrap();
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
    fn the_level_decides_what_is_written() {
        let quiet = logged(Format::Human, "warn", || tracing::info!("seen"));
        assert_eq!(quiet, "");
        let target = logged(Format::Human, "off,headwarden=info", || {
            tracing::info!("seen");
        });
        assert!(target.contains("seen"));
    }
}
