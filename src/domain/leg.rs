//! What ties the two sign-ins together: a person's with the provider, and Headscale's with us.
//!
//! When a device's link is forwarded, Headscale answers with a redirect to our authorization
//! endpoint. That request is recorded in the session that asked. Only a request equal to it is
//! answered, once; and only the state and code that were issued to this session let a callback
//! through, once. So nobody can finish in their browser what was begun in another.

use std::collections::VecDeque;
use std::time::Duration;

use subtle::ConstantTimeEq as _;

use super::door::AuthId;
use super::time::Timestamp;

/// How many legs a session remembers; the oldest goes first.
const MOST: usize = 16;
/// How long: no longer than Headscale remembers its own part.
const LIFETIME: Duration = Duration::from_mins(15);

/// An authorization request of Headscale's, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthorizeRequest {
    /// `state`.
    pub state: String,
    /// `nonce`, echoed in the ID token.
    pub nonce: String,
    /// The S256 `code_challenge`, if Headscale uses PKCE.
    pub challenge: Option<String>,
    /// Where the code goes.
    pub redirect_uri: String,
    /// As asked for.
    pub scope: String,
}

/// What a leg is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LegKind {
    /// A device that wants to join.
    Register(AuthId),
    /// An SSH session that wants to begin.
    SshCheck(AuthId),
}

/// One authorization request that Headscale will make through this session.
#[derive(Clone, Debug)]
pub struct Leg {
    /// What it will ask.
    pub request: AuthorizeRequest,
    /// What it is about.
    pub kind: LegKind,
    /// When it was recorded.
    pub recorded_at: Timestamp,
}

/// Why a request is not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LegError {
    /// No link that was forwarded through this session led to it, or it was answered already, or it
    /// is too old.
    #[error("no open request with this state in this session")]
    Unknown,
    /// The state is known, but something else differs.
    #[error("the request differs from the one that headscale made")]
    Different,
}

#[derive(Clone, Debug)]
struct Issued {
    state: String,
    code: String,
    at: Timestamp,
}

/// The legs of one session.
#[derive(Debug, Default)]
pub struct Legs {
    open: VecDeque<Leg>,
    issued: VecDeque<Issued>,
}

impl Legs {
    /// Remembers what Headscale is about to ask.
    pub fn record(&mut self, leg: Leg, now: Timestamp) {
        self.forget(now);
        while self.open.len() >= MOST {
            self.open.pop_front();
        }
        self.open.push_back(leg);
    }

    /// Takes the leg that `request` belongs to; it is answered once.
    ///
    /// # Errors
    /// See [`LegError`]. A request that differs takes nothing.
    pub fn answer(&mut self, request: &AuthorizeRequest, now: Timestamp) -> Result<Leg, LegError> {
        self.forget(now);
        let at = self
            .open
            .iter()
            .position(|leg| same(&leg.request.state, &request.state))
            .ok_or(LegError::Unknown)?;
        if self.open.get(at).is_none_or(|leg| leg.request != *request) {
            return Err(LegError::Different);
        }
        self.open.remove(at).ok_or(LegError::Unknown)
    }

    /// Remembers the code that was given out for `state`.
    pub fn issued(&mut self, state: &str, code: &str, now: Timestamp) {
        self.forget(now);
        while self.issued.len() >= MOST {
            self.issued.pop_front();
        }
        self.issued.push_back(Issued {
            state: state.to_owned(),
            code: code.to_owned(),
            at: now,
        });
    }

    /// Whether a callback with this state and code is one that this session was sent to; once.
    pub fn take_callback(&mut self, state: &str, code: &str, now: Timestamp) -> bool {
        self.forget(now);
        let ours = |issued: &Issued| same(&issued.state, state) & same(&issued.code, code);
        match self.issued.iter().position(ours) {
            Some(at) => self.issued.remove(at).is_some(),
            None => false,
        }
    }

    fn forget(&mut self, now: Timestamp) {
        self.open
            .retain(|leg| now.since(leg.recorded_at) < LIFETIME);
        self.issued.retain(|issued| now.since(issued.at) < LIFETIME);
    }
}

fn same(a: &str, b: &str) -> bool {
    a.as_bytes().ct_eq(b.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_unix(1000);

    fn request(state: &str) -> AuthorizeRequest {
        AuthorizeRequest {
            state: state.to_owned(),
            nonce: "n".to_owned(),
            challenge: Some("c".to_owned()),
            redirect_uri: "https://hs/oidc/callback".to_owned(),
            scope: "openid".to_owned(),
        }
    }

    fn leg(state: &str) -> Leg {
        let id = AuthId::parse("0123456789abcdef01234567").unwrap();
        Leg {
            request: request(state),
            kind: LegKind::Register(id),
            recorded_at: NOW,
        }
    }

    #[test]
    fn a_recorded_request_is_answered_once() {
        let mut legs = Legs::default();
        legs.record(leg("a"), NOW);
        assert!(legs.answer(&request("a"), NOW).is_ok());
        assert_eq!(
            legs.answer(&request("a"), NOW).unwrap_err(),
            LegError::Unknown
        );
    }

    #[test]
    fn a_request_that_differs_in_anything_is_not_answered_and_takes_nothing() {
        let mut legs = Legs::default();
        legs.record(leg("a"), NOW);
        let with = |change: fn(&mut AuthorizeRequest)| {
            let mut request = request("a");
            change(&mut request);
            request
        };
        for other in [
            with(|r| r.nonce.push('x')),
            with(|r| r.challenge = None),
            with(|r| r.redirect_uri.push('/')),
            with(|r| r.scope.push_str(" x")),
        ] {
            assert_eq!(legs.answer(&other, NOW).unwrap_err(), LegError::Different);
        }
        assert_eq!(
            legs.answer(&request("b"), NOW).unwrap_err(),
            LegError::Unknown
        );
        assert!(legs.answer(&request("a"), NOW).is_ok());
    }

    #[test]
    fn legs_end_after_a_quarter_of_an_hour_and_beyond_sixteen() {
        let mut legs = Legs::default();
        legs.record(leg("old"), NOW);
        let late = NOW.plus(LIFETIME);
        assert_eq!(
            legs.answer(&request("old"), late).unwrap_err(),
            LegError::Unknown
        );
        for n in 0..=MOST {
            legs.record(leg(&n.to_string()), NOW);
        }
        assert_eq!(
            legs.answer(&request("0"), NOW).unwrap_err(),
            LegError::Unknown
        );
        assert!(legs.answer(&request("1"), NOW).is_ok());
    }

    #[test]
    fn a_callback_passes_once_with_its_own_state_and_code() {
        let mut legs = Legs::default();
        legs.issued("a", "code-a", NOW);
        legs.issued("b", "code-b", NOW);
        assert!(!legs.take_callback("a", "code-b", NOW));
        assert!(!legs.take_callback("a", "", NOW));
        assert!(legs.take_callback("a", "code-a", NOW));
        assert!(!legs.take_callback("a", "code-a", NOW));
        assert!(!legs.take_callback("b", "code-b", NOW.plus(LIFETIME)));
    }
}
