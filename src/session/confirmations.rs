//! One-time tokens for the forms with which a person confirms a device or an SSH check, or ends sessions
//! of theirs. They live in
//! the session that showed the form, so that a token is worth nothing in another one.

use std::collections::VecDeque;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq as _;

use crate::domain::door::AuthId;
use crate::domain::random::Random;
use crate::domain::time::Timestamp;

/// How long a form may stay open: a device's own request is not valid for longer.
const LIFETIME: Duration = Duration::from_mins(15);
/// Forms one session may have open; beyond that the oldest one stops working.
const MOST: usize = 32;

/// What the person confirms.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Purpose {
    /// A device that wants to join.
    Register,
    /// An SSH session that wants a person's presence.
    Ssh,
    /// Sessions of the person, to be ended. A form about them names no id.
    Sessions,
    /// Devices of the person, or of others, to be changed. A form about them names no id.
    Devices,
}

/// The open confirmation forms of one session.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Confirmations {
    /// Oldest first.
    open: VecDeque<Open>,
    /// What was answered with yes and not used yet, oldest first.
    approved: VecDeque<(Purpose, AuthId, Timestamp)>,
}

/// How long a yes may wait for the browser to follow the redirect that comes with it.
const APPROVAL_LIFETIME: Duration = Duration::from_mins(1);

#[derive(Serialize, Deserialize)]
struct Open {
    purpose: Purpose,
    id: Option<AuthId>,
    token: String,
    issued_at: Timestamp,
}

impl std::fmt::Debug for Open {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}", self.purpose)
    }
}

impl Confirmations {
    /// A new token for a form that asks about `id`, where its purpose has one: 43 characters of
    /// base64url.
    pub fn issue<'a>(
        &mut self,
        purpose: Purpose,
        id: impl Into<Option<&'a AuthId>>,
        random: &dyn Random,
        now: Timestamp,
    ) -> String {
        self.open.retain(|open| !open.expired(now));
        while self.open.len() >= MOST {
            self.open.pop_front();
        }
        let token = random.token();
        self.open.push_back(Open {
            purpose,
            id: id.into().cloned(),
            token: token.clone(),
            issued_at: now,
        });
        token
    }

    /// Whether `token` was issued for this very question within the last 15 minutes, and not taken
    /// yet; it is taken then. A wrong token takes nothing. The comparison does not tell by its time
    /// how much of a token was right.
    pub fn take<'a>(
        &mut self,
        purpose: Purpose,
        id: impl Into<Option<&'a AuthId>>,
        token: &str,
        now: Timestamp,
    ) -> bool {
        let id = id.into();
        self.open.retain(|open| !open.expired(now));
        let asked = |open: &Open| {
            open.purpose == purpose
                && open.id.as_ref() == id
                && bool::from(open.token.as_bytes().ct_eq(token.as_bytes()))
        };
        let Some(at) = self.open.iter().position(asked) else {
            return false;
        };
        self.open.remove(at).is_some()
    }

    /// The person said yes: the link may be forwarded, once, within a minute.
    pub fn approve(&mut self, purpose: Purpose, id: &AuthId, now: Timestamp) {
        while self.approved.len() >= MOST {
            self.approved.pop_front();
        }
        self.approved.push_back((purpose, id.clone(), now));
    }

    /// Whether the person said yes to this very question; that yes is used up then.
    pub fn use_approval(&mut self, purpose: Purpose, id: &AuthId, now: Timestamp) -> bool {
        self.approved
            .retain(|(.., at)| now.since(*at) < APPROVAL_LIFETIME);
        let asked = |(about, of, _): &(Purpose, AuthId, Timestamp)| *about == purpose && of == id;
        match self.approved.iter().position(asked) {
            Some(at) => self.approved.remove(at).is_some(),
            None => false,
        }
    }
}

impl Confirmations {
    /// Whether nothing is remembered.
    pub fn is_empty(&self) -> bool {
        self.open.is_empty() && self.approved.is_empty()
    }
}

impl Open {
    fn expired(&self, now: Timestamp) -> bool {
        now.since(self.issued_at) >= LIFETIME
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::entropy::SystemRandom;
    use crate::session::testing::START;

    const NOW: Timestamp = Timestamp::from_unix(START);

    fn id(last: char) -> AuthId {
        AuthId::parse(&format!("hskey-authreq-{}{last}", "A".repeat(23))).unwrap()
    }

    fn issue(open: &mut Confirmations, purpose: Purpose, last: char) -> String {
        open.issue(purpose, &id(last), &SystemRandom::new(), NOW)
    }

    #[test]
    fn a_token_confirms_once() {
        let mut open = Confirmations::default();
        let token = issue(&mut open, Purpose::Ssh, 'a');
        assert!(open.take(Purpose::Ssh, &id('a'), &token, NOW));
        assert!(!open.take(Purpose::Ssh, &id('a'), &token, NOW));
    }

    #[test]
    fn a_token_confirms_nothing_but_what_its_form_asked() {
        let mut open = Confirmations::default();
        let token = issue(&mut open, Purpose::Ssh, 'a');
        assert!(!open.take(Purpose::Register, &id('a'), &token, NOW));
        assert!(!open.take(Purpose::Ssh, &id('b'), &token, NOW));
        assert!(!Confirmations::default().take(Purpose::Ssh, &id('a'), &token, NOW));
        for wrong in [
            "",
            &token[1..],
            &format!("{token}A"),
            &token.to_uppercase(),
            &"A".repeat(43),
        ] {
            assert!(!open.take(Purpose::Ssh, &id('a'), wrong, NOW), "{wrong}");
        }
        assert!(
            open.take(Purpose::Ssh, &id('a'), &token, NOW),
            "wrong guesses take nothing"
        );
    }

    #[test]
    fn a_token_for_the_list_of_sessions_answers_no_question_and_none_of_them_ends_a_session() {
        let mut open = Confirmations::default();
        let list = open.issue(Purpose::Sessions, None, &SystemRandom::new(), NOW);
        let device = issue(&mut open, Purpose::Register, 'a');
        assert!(!open.take(Purpose::Register, &id('a'), &list, NOW));
        assert!(!open.take(Purpose::Register, None, &device, NOW));
        assert!(!open.take(Purpose::Sessions, None, &device, NOW));
        assert!(!open.take(Purpose::Sessions, &id('a'), &list, NOW));
        assert!(open.take(Purpose::Sessions, None, &list, NOW));
        assert!(!open.take(Purpose::Sessions, None, &list, NOW), "once");
    }

    #[test]
    fn two_tabs_about_the_same_device_both_work() {
        let mut open = Confirmations::default();
        let first = issue(&mut open, Purpose::Register, 'a');
        let second = issue(&mut open, Purpose::Register, 'a');
        assert_ne!(first, second);
        assert!(open.take(Purpose::Register, &id('a'), &second, NOW));
        assert!(open.take(Purpose::Register, &id('a'), &first, NOW));
    }

    #[test]
    fn a_form_that_stayed_open_for_fifteen_minutes_confirms_nothing() {
        for (minutes, works) in [(0, true), (14, true), (15, false), (60, false)] {
            let mut open = Confirmations::default();
            let token = issue(&mut open, Purpose::Ssh, 'a');
            let later = NOW.plus(Duration::from_mins(minutes));
            assert_eq!(
                open.take(Purpose::Ssh, &id('a'), &token, later),
                works,
                "{minutes} min"
            );
        }
    }

    #[test]
    fn at_most_32_forms_are_open_and_the_oldest_goes() {
        let mut open = Confirmations::default();
        let tokens: Vec<_> = (0..33)
            .map(|_| issue(&mut open, Purpose::Ssh, 'a'))
            .collect();
        assert_eq!(open.open.len(), 32);
        assert!(!open.take(Purpose::Ssh, &id('a'), &tokens[0], NOW));
        assert!(
            tokens[1..]
                .iter()
                .all(|token| open.take(Purpose::Ssh, &id('a'), token, NOW))
        );
    }

    #[test]
    fn a_debug_print_shows_no_token() {
        let mut open = Confirmations::default();
        let token = issue(&mut open, Purpose::Ssh, 'a');
        let shown = format!("{open:?}");
        assert!(shown.contains("Ssh") && !shown.contains(&token), "{shown}");
    }

    #[test]
    fn a_yes_lets_its_own_question_through_once_and_not_for_long() {
        let mut open = Confirmations::default();
        open.approve(Purpose::Ssh, &id('a'), NOW);
        assert!(!open.use_approval(Purpose::Register, &id('a'), NOW));
        assert!(!open.use_approval(Purpose::Ssh, &id('b'), NOW));
        assert!(open.use_approval(Purpose::Ssh, &id('a'), NOW));
        assert!(!open.use_approval(Purpose::Ssh, &id('a'), NOW));
        open.approve(Purpose::Ssh, &id('a'), NOW);
        let late = NOW.plus(APPROVAL_LIFETIME);
        assert!(!open.use_approval(Purpose::Ssh, &id('a'), late));
    }
}
