//! What a session is and when it ends. Where sessions are kept is the `session` room's business.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::identity::{Identity, ProviderSession};
use super::texts::Texts;
use super::time::Timestamp;
use super::token::Token;

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
    pub id_token: Token,
    /// The ID token's own `exp`; counts only where `oidc.use_expiry_from_token` says so.
    pub token_expires_at: Timestamp,
    /// When this session began; the absolute limit counts from here.
    pub started_at: Timestamp,
    /// The refresh token (RFC 6749 section 1.5), where the provider gave one.
    pub refresh_token: Option<Token>,
    /// `acr`: the authentication context class that the sign-in satisfied (OpenID Connect Core
    /// section 2).
    pub acr: Option<Arc<str>>,
    /// `amr`: the authentication methods used (RFC 8176).
    pub amr: Texts,
    /// When the provider last vouched for the person: the sign-in, or a re-check since.
    pub checked_at: Timestamp,
    /// Where the person signed in.
    pub browser: Browser,
    /// What a later word of the provider is compared with.
    pub footing: Footing,
}

/// What has to be known of a session to tell whether a refused refresh, or other claims, mean that its
/// person is gone (`super::offboarding`). The default is what proves least.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Footing {
    /// The refresh token was asked for with `offline_access`, and the provider did not say that it is without.
    pub offline: bool,
    /// A refresh was sent, and no answer to it is stored: the refresh token may be used up.
    pub in_doubt: bool,
    /// By which settings the claims were read; `None` where that is not known.
    pub read_by: Option<NonZeroU32>,
}

/// Where a person signed in, for them to recognise; proves nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Browser {
    /// The client's address then.
    pub address: IpAddr,
    /// `User-Agent`: printable ASCII, at most 256 characters; empty without one.
    pub agent: Arc<str>,
}

/// Most characters of a `User-Agent` that are kept.
const LONGEST_AGENT: usize = 256;

impl Browser {
    /// A browser at `address` that calls itself `agent`.
    pub fn new(address: IpAddr, agent: &str) -> Self {
        let printable = agent.chars().filter(|c| *c == ' ' || c.is_ascii_graphic());
        Self {
            address,
            agent: printable.take(LONGEST_AGENT).collect::<String>().into(),
        }
    }
}

/// How long a session may live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Longest time between two requests.
    pub idle: Duration,
    /// Longest time since the sign-in, whatever happens in between.
    pub lifetime: Duration,
}

/// How often the person of a session is checked again at the provider, where that is possible.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recheck {
    /// From one check to the next.
    pub every: Duration,
    /// How long a session is good after a check was due that the provider did not answer.
    pub grace: Duration,
}

impl Default for Recheck {
    /// What holds where nothing is configured.
    fn default() -> Self {
        Self {
            every: Duration::from_mins(5),
            grace: Duration::from_mins(15),
        }
    }
}

/// Whether a person has to be checked again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// Not yet.
    Later,
    /// Now; until that has succeeded, the session is still good.
    Now,
    /// Long ago: the session is good for nothing until it has succeeded.
    Overdue,
}

/// How far the clocks of two replicas may differ.
const SKEW: Duration = Duration::from_mins(1);

impl Recheck {
    /// Judges a session whose person was checked at `checked_at`. A check from the future, which a clock
    /// that was set back makes of an old one, proves nothing.
    pub fn due(self, checked_at: Timestamp, now: Timestamp) -> Due {
        let since = now.since(checked_at);
        let last = self.every.saturating_add(self.grace);
        if checked_at > now.plus(SKEW) || since >= last {
            Due::Overdue
        } else if since >= self.every {
            Due::Now
        } else {
            Due::Later
        }
    }
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
    use std::net::Ipv4Addr;

    use super::*;

    #[test]
    fn a_browsers_name_is_cut_to_what_can_be_shown() {
        let name = |agent: &str| Browser::new(Ipv4Addr::LOCALHOST.into(), agent).agent;
        assert_eq!(&*name("Mozilla/5.0 (X11)"), "Mozilla/5.0 (X11)");
        assert_eq!(&*name("a\r\nb\u{7f}c\u{202e}d\te"), "abcde");
        assert_eq!(name(&"x".repeat(1000)).len(), 256);
    }

    /// Last check and present, in seconds.
    #[test]
    fn a_check_is_due_when_its_time_has_come_and_overdue_when_the_grace_is_over() {
        let recheck = |every, grace| Recheck {
            every: Duration::from_secs(every),
            grace: Duration::from_secs(grace),
        };
        for (checked, now, due) in [
            (1000, 1000, Due::Later),
            (1000, 1009, Due::Later),
            (1000, 1010, Due::Now),
            (1000, 1039, Due::Now),
            (1000, 1040, Due::Overdue),
            (1000, u64::MAX, Due::Overdue),
            // By the clock of another replica.
            (1060, 1000, Due::Later),
            (1061, 1000, Due::Overdue),
            (0, u64::MAX, Due::Overdue),
        ] {
            let [checked, now] = [checked, now].map(Timestamp::from_unix);
            assert_eq!(
                recheck(10, 30).due(checked, now),
                due,
                "{checked:?} {now:?}"
            );
        }
        let at = Timestamp::from_unix;
        assert_eq!(recheck(10, 0).due(at(1000), at(1009)), Due::Later);
        assert_eq!(recheck(10, 0).due(at(1000), at(1010)), Due::Overdue);
        let forever = recheck(u64::MAX, u64::MAX);
        assert_eq!(forever.due(at(0), at(u64::MAX - 1)), Due::Later);
    }

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
