//! Which Headscale this is, as far as it says so itself. A version that is not known is no error:
//! builds from source say "dev", and Headscale before 0.27 does not say at all.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use serde::Deserialize;
use tokio::sync::watch;

use super::probe::Probe;

/// How often the version is asked for again: Headscale can be replaced while we run.
const INTERVAL: Duration = Duration::from_mins(1);
/// How often while nobody answers. In `issuer` mode Headscale always starts after us, since it wants
/// our discovery document; until it is known, people are asked twice.
const RETRY: Duration = Duration::from_secs(1);
/// The oldest minor version of the 0 line that is supported.
const OLDEST: u32 = 26;

/// What is known about Headscale's version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// A release, or a build that names one.
    Known {
        /// 0 so far.
        major: u32,
        /// 26 and up are supported.
        minor: u32,
        /// A build from before the release of that name (`0.29.0-beta.1`): what the release
        /// brings may be missing.
        before: bool,
    },
    /// It does not say, or nobody answered.
    Unknown,
}

/// Whether Headwarden works with a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Support {
    /// It does.
    Supported,
    /// Before 0.26.
    TooOld,
    /// Nobody knows.
    Unknown,
}

impl Version {
    /// Reads the answer of `GET /version`.
    pub fn parse(body: &[u8]) -> Self {
        #[derive(Deserialize)]
        struct Body {
            version: String,
        }
        let found = serde_json::from_slice::<Body>(body);
        found
            .ok()
            .and_then(|body| Self::from_text(&body.version))
            .unwrap_or(Self::Unknown)
    }

    /// `v0.29.2`, `0.29.0-beta.1`, `v0.29.3-0.20260601120000-f20f1f12abcd+dirty`.
    fn from_text(text: &str) -> Option<Self> {
        let text = text.strip_prefix('v').unwrap_or(text);
        let (text, _build) = text.split_once('+').unwrap_or((text, ""));
        let (numbers, pre) = text
            .split_once('-')
            .map_or((text, false), |(text, _)| (text, true));
        let mut parts = numbers.split('.').map(|part| part.parse::<u32>().ok());
        let (major, minor) = (parts.next()??, parts.next()??);
        let patch = parts.next().unwrap_or(Some(0))?;
        // Go stamps `v0.0.0-<time>-<commit>` on a build without tags: that says nothing.
        if parts.next().is_some() || (major, minor) == (0, 0) {
            return None;
        }
        Some(Self::Known {
            major,
            minor,
            before: pre && patch == 0,
        })
    }

    /// Whether Headscale itself asks before a device joins (0.29 and newer). Unknown is no.
    pub fn confirms_registration(self) -> bool {
        match self {
            Self::Known {
                major,
                minor,
                before,
            } => (major, minor) > (0, 29) || ((major, minor) == (0, 29) && !before),
            Self::Unknown => false,
        }
    }

    /// Whether its API answers with problem details (RFC 9457), and has a second version: from 0.30 on.
    pub fn answers_with_problems(self) -> bool {
        matches!(self, Self::Known { major, minor, .. } if (major, minor) >= (0, 30))
    }

    /// Whether Headwarden works with it.
    pub fn support(self) -> Support {
        match self {
            Self::Known { major, minor, .. } if (major, minor) < (0, OLDEST) => Support::TooOld,
            Self::Known { .. } => Support::Supported,
            Self::Unknown => Support::Unknown,
        }
    }
}

impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Known {
                major,
                minor,
                before: false,
            } => write!(f, "{major}.{minor}"),
            Self::Known {
                major,
                minor,
                before: true,
            } => write!(f, "{major}.{minor}-pre"),
            Self::Unknown => f.write_str("unknown"),
        }
    }
}

/// The version that was found last, asked for again every minute.
#[derive(Debug)]
pub struct VersionWatch {
    probe: Probe,
    /// `None` while nobody answers.
    found: ArcSwap<Option<Version>>,
}

impl VersionWatch {
    /// Knows nothing until the first answer.
    pub fn new(probe: Probe) -> Self {
        Self {
            probe,
            found: ArcSwap::from_pointee(None),
        }
    }

    /// What the last question found; no network.
    pub fn current(&self) -> Version {
        self.found.load().unwrap_or(Version::Unknown)
    }

    /// Asks once. No answer makes the version unknown again: what comes back may be another
    /// Headscale.
    pub async fn refresh(&self) -> Version {
        self.ask().await.unwrap_or(Version::Unknown)
    }

    /// Asks once; `None` when nobody answers.
    async fn ask(&self) -> Option<Version> {
        let answer = self.probe.version().await;
        if let Err(error) = &answer {
            tracing::debug!(%error, "headscale's version is not known");
        }
        let answer = answer.ok();
        let before = self.found.swap(Arc::new(answer));
        if let Some(version) = answer
            && *before != answer
        {
            tracing::info!(%version, "headscale's version");
            if version.support() == Support::TooOld {
                tracing::error!(%version, "headscale is older than 0.26, which is not supported");
            }
        }
        answer
    }

    /// Asks now and then every minute (every second while nobody answers), until `shutdown` says true or its sender is gone.
    pub async fn run(&self, mut shutdown: watch::Receiver<bool>) {
        loop {
            if *shutdown.borrow() {
                return;
            }
            let pause = tokio::select! {
                answer = self.ask() => answer.map_or(RETRY, |_| INTERVAL),
                _ = shutdown.wait_for(|stop| *stop) => return,
            };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                _ = shutdown.wait_for(|stop| *stop) => return,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(version: &str) -> Version {
        Version::parse(
            serde_json::json!({ "version": version })
                .to_string()
                .as_bytes(),
        )
    }

    const fn known(minor: u32, before: bool) -> Version {
        Version::Known {
            major: 0,
            minor,
            before,
        }
    }

    #[test]
    fn what_headscale_calls_itself_is_read() {
        for (text, version) in [
            ("v0.29.2", known(29, false)),
            ("0.28.0", known(28, false)),
            ("v0.27", known(27, false)),
            ("v0.29.0-beta.1", known(29, true)),
            ("v0.29.2+dirty", known(29, false)),
            ("v0.29.3-0.20260601120000-f20f1f12abcd", known(29, false)),
            (
                "v0.30.0-0.20260601120000-f20f1f12abcd+dirty",
                known(30, true),
            ),
            (
                "v1.0.0",
                Version::Known {
                    major: 1,
                    minor: 0,
                    before: false,
                },
            ),
            ("v0.0.0-20260601120000-f20f1f12abcd", Version::Unknown),
            ("dev", Version::Unknown),
            ("(devel)", Version::Unknown),
            ("", Version::Unknown),
            ("v0", Version::Unknown),
            ("v0.x.1", Version::Unknown),
            ("v0.29.x", Version::Unknown),
            ("v0.29.1.2", Version::Unknown),
            ("v0.-29", Version::Unknown),
            ("v0.99999999999", Version::Unknown),
        ] {
            assert_eq!(parsed(text), version, "{text}");
        }
    }

    #[test]
    fn an_answer_that_is_no_version_is_unknown() {
        for body in [
            "",
            "404 page not found",
            "{}",
            "[]",
            "{\"version\":29}",
            "<html>",
        ] {
            assert_eq!(Version::parse(body.as_bytes()), Version::Unknown, "{body}");
        }
    }

    #[test]
    fn only_a_known_release_from_0_29_on_asks_by_itself() {
        for (version, confirms) in [
            (known(28, false), false),
            (known(29, true), false),
            (known(29, false), true),
            (known(30, true), true),
            (
                Version::Known {
                    major: 1,
                    minor: 0,
                    before: true,
                },
                true,
            ),
            (Version::Unknown, false),
        ] {
            assert_eq!(version.confirms_registration(), confirms, "{version:?}");
        }
    }

    #[test]
    fn before_0_26_is_too_old() {
        assert_eq!(known(25, false).support(), Support::TooOld);
        assert_eq!(known(26, true).support(), Support::Supported);
        assert_eq!(
            Version::Known {
                major: 1,
                minor: 0,
                before: false
            }
            .support(),
            Support::Supported
        );
        assert_eq!(Version::Unknown.support(), Support::Unknown);
    }
}
