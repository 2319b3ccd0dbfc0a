//! One login attempt: what must come back unchanged from the provider, and what the person wanted.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::assurance::Assurance;
use super::random::Random;
use super::return_to::ReturnTo;
use super::time::Timestamp;

/// How long a sign-in may take.
pub const LIFETIME: Duration = Duration::from_mins(10);

/// Our states begin with this; the callback that we share with Headscale's sign-in is told apart by
/// it alone.
const PREFIX: &str = "hw1.";
/// How many characters behind the prefix name an attempt.
const TAG: usize = 8;

/// One sign-in on its way. Kept by the browser, sealed. `Debug` shows none of its secrets.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// `state`; begins with our prefix.
    pub state: String,
    /// `nonce`.
    pub nonce: String,
    /// The PKCE verifier.
    pub verifier: String,
    /// Where the person wanted to go.
    pub return_to: ReturnTo,
    /// What it is for.
    pub kind: AttemptKind,
    /// When it began.
    pub started_at: Timestamp,
}

/// What a sign-in is for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum AttemptKind {
    /// To get in.
    SignIn,
    /// To get in as somebody else: the provider was told to ask again.
    SwitchUser,
    /// To prove more about the person of a session than it can.
    StepUp {
        /// The session, by the name its holder has for it.
        session: String,
        /// Whom the new sign-in must name.
        subject: String,
        /// When the proof was asked for.
        since: Timestamp,
        /// Whether the person was to prove who they are once more; then `auth_time` must not be
        /// earlier than that.
        afresh: bool,
        /// What the new sign-in must have.
        asked: Assurance,
    },
}

impl fmt::Debug for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Attempt")
            .field("return_to", &self.return_to)
            .field("kind", &self.kind)
            .field("started_at", &self.started_at)
            .finish_non_exhaustive()
    }
}

impl Attempt {
    /// A new attempt: state, nonce (OpenID Connect Core section 3.1.2.1) and PKCE verifier (RFC 7636
    /// section 4.1) of 256 random bits each.
    pub fn begin(
        random: &dyn Random,
        return_to: ReturnTo,
        kind: AttemptKind,
        now: Timestamp,
    ) -> Self {
        Self {
            state: format!("{PREFIX}{}", random.token()),
            nonce: random.token(),
            verifier: random.token(),
            return_to,
            kind,
            started_at: now,
        }
    }

    /// Whether it took too long, or claims to begin in the future.
    pub fn expired(&self, now: Timestamp) -> bool {
        now.since(self.started_at) >= LIFETIME || self.started_at > now.plus(LIFETIME)
    }
}

/// Whether a state came from us, by its prefix and not by a look-up.
pub fn is_ours(state: &str) -> bool {
    state.starts_with(PREFIX)
}

/// The short name of the attempt that `state` belongs to, for its cookie; empty for a state that we
/// cannot have made.
pub fn tag(state: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    match state.strip_prefix(PREFIX) {
        Some(rest) if rest.len() == 43 && rest.bytes().all(plain) => {
            rest.chars().take(TAG).collect()
        }
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU8, Ordering};

    #[derive(Debug, Default)]
    struct Counting(AtomicU8);

    impl Random for Counting {
        fn fill(&self, buffer: &mut [u8]) {
            buffer.fill(self.0.fetch_add(1, Ordering::Relaxed));
        }
    }

    fn attempt(now: u64) -> Attempt {
        let random = Counting::default();
        let now = Timestamp::from_unix(now);
        Attempt::begin(&random, ReturnTo::root(), AttemptKind::SignIn, now)
    }

    #[test]
    fn an_attempt_has_three_different_values_and_a_name_of_its_own() {
        let attempt = attempt(1000);
        assert!(is_ours(&attempt.state));
        assert_ne!(attempt.nonce, attempt.verifier);
        assert_ne!(attempt.state[4..], attempt.nonce);
        assert_eq!(tag(&attempt.state), &attempt.state[4..12]);
        assert_eq!(
            attempt.verifier.len(),
            43,
            "RFC 7636 asks for at least 43 characters"
        );
    }

    #[test]
    fn an_attempt_ends_after_ten_minutes_whatever_the_clock_does() {
        let attempt = attempt(1000);
        for (now, expired) in [
            (1000, false),
            (1599, false),
            (1600, true),
            (399, true),
            (400, false),
            (500, false),
        ] {
            assert_eq!(attempt.expired(Timestamp::from_unix(now)), expired, "{now}");
        }
    }

    #[test]
    fn printing_an_attempt_gives_none_of_its_secrets_away() {
        let attempt = attempt(1000);
        let printed = format!("{attempt:?}");
        assert!(printed.contains("started_at: Timestamp(1000)"), "{printed}");
        for secret in [&attempt.state, &attempt.nonce, &attempt.verifier] {
            assert!(
                !printed.contains(secret.trim_start_matches("hw1.")),
                "{printed}"
            );
        }
    }

    #[test]
    fn states_of_others_have_no_name_here() {
        for state in [
            "",
            "hw1.",
            "hw1.short",
            "hw2.AAAA",
            &"a".repeat(64),
            &format!("hw1.{}", "é".repeat(22)),
            &format!("hw1.{};{}", "A".repeat(3), "A".repeat(39)),
            &format!("hw1.{}=x; b", "A".repeat(37)),
            &format!("hw1.{}", "A".repeat(44)),
            &format!("hw1.{}", "A".repeat(10_000)),
            &format!("HW1.{}", "A".repeat(43)),
            &format!(" hw1.{}", "A".repeat(43)),
        ] {
            assert_eq!(tag(state), "", "{state}");
        }
    }

    #[test]
    fn the_prefix_alone_says_whose_a_state_is() {
        for (state, ours) in [
            ("hw1.", true),
            ("hw1.anything at all", true),
            ("hw1", false),
            ("HW1.x", false),
            ("xhw1.x", false),
            (" hw1.x", false),
            ("hw2.x", false),
            ("", false),
            (
                "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
                false,
            ),
        ] {
            assert_eq!(is_ours(state), ours, "{state:?}");
        }
    }

    #[test]
    fn every_kind_of_attempt_is_read_back_as_it_was() {
        let since = Timestamp::from_unix(990);
        let step_up = AttemptKind::StepUp {
            session: "00ff".to_owned(),
            subject: "someone".to_owned(),
            since,
            afresh: true,
            asked: Assurance::new(Some(LIFETIME), vec!["gold".to_owned()], Vec::new()),
        };
        for kind in [AttemptKind::SignIn, AttemptKind::SwitchUser, step_up] {
            let begun = Attempt {
                kind,
                return_to: ReturnTo::parse("/admin/?tab=2").unwrap(),
                ..attempt(1000)
            };
            let json = serde_json::to_vec(&begun).unwrap();
            assert_eq!(serde_json::from_slice::<Attempt>(&json).unwrap(), begun);
        }
    }

    #[test]
    fn an_attempt_with_a_foreign_target_cannot_be_read_back() {
        let mut json = serde_json::to_value(attempt(1000)).unwrap();
        json["return_to"] = "//evil".into();
        assert!(serde_json::from_value::<Attempt>(json).is_err());
    }

    #[test]
    fn only_a_state_that_we_can_have_made_has_a_name() {
        let rest = format!("-_{}Zz9", "a".repeat(38));
        assert_eq!(tag(&format!("hw1.{rest}")), "-_aaaaaa");
        for state in [
            rest.clone(),
            format!("hw2.{rest}"),
            format!("hw1.{rest}a"),
            format!("hw1.{}", &rest[1..]),
            format!("hw1.{}=", &rest[1..]),
            format!("hw1.{} ", &rest[1..]),
            "hw1.".to_owned(),
            String::new(),
        ] {
            assert_eq!(tag(&state), "", "{state:?}");
        }
    }
}
