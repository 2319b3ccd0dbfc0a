//! What a session is and when it ends. Where sessions are kept is the `session` room's business.

use std::time::Duration;

use super::identity::{Identity, ProviderSession};
use super::secret::Secret;
use super::time::Timestamp;

/// One signed-in person on one browser. Immutable: what changes while it lives is kept beside it.
#[derive(Clone, Debug)]
pub struct Session {
    /// Who signed in.
    pub identity: Identity,
    /// The provider's `sid`, when it sent one.
    pub provider_session: Option<ProviderSession>,
    /// When the person last proved who they are to the provider. `None` where it did not say: then
    /// nothing is known but that it was before this session began, perhaps by days.
    pub auth_time: Option<Timestamp>,
    /// The ID token as received, for `id_token_hint` at logout.
    pub id_token: Secret<String>,
    /// The ID token's own `exp`; counts only where `oidc.use_expiry_from_token` says so.
    pub token_expires_at: Timestamp,
    /// When this session began; the absolute limit counts from here.
    pub started_at: Timestamp,
}

/// How long a session may live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Longest time between two requests.
    pub idle: Duration,
    /// Longest time since the sign-in, whatever happens in between.
    pub lifetime: Duration,
}

/// What the limits say about a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Age {
    /// It may be used.
    Fresh,
    /// No request for longer than the idle limit.
    Idle,
    /// Older than the absolute limit.
    Expired,
}

impl Limits {
    /// Judges a session that began at `started_at` and was last used at `last_used`. Activity never
    /// extends past the absolute limit, which is therefore looked at first.
    pub fn age(self, started_at: Timestamp, last_used: Timestamp, now: Timestamp) -> Age {
        if now.since(started_at) >= self.lifetime {
            Age::Expired
        } else if now.since(last_used) >= self.idle {
            Age::Idle
        } else {
            Age::Fresh
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Start, last use and present, in seconds.
    #[test]
    fn a_session_ends_when_a_limit_is_reached_and_not_a_second_later() {
        let limits = Limits {
            idle: Duration::from_secs(10),
            lifetime: Duration::from_secs(100),
        };
        for (started, used, now, age) in [
            (1000, 1000, 1000, Age::Fresh),
            (1000, 1000, 1009, Age::Fresh),
            (1000, 1000, 1010, Age::Idle),
            (1000, 1095, 1099, Age::Fresh),
            (1000, 1095, 1100, Age::Expired),
            // Both limits: the absolute one is told.
            (1000, 1000, 2000, Age::Expired),
            // A clock that was set back counts no time.
            (1000, 1000, 0, Age::Fresh),
            // One that was set forward and back again.
            (1000, 0, 1000, Age::Idle),
        ] {
            let [started, used, now] = [started, used, now].map(Timestamp::from_unix);
            assert_eq!(
                limits.age(started, used, now),
                age,
                "{started:?} {used:?} {now:?}"
            );
        }
    }
}
