//! What the tests of this room share: a clock that obeys, and a person who is signed in.

use std::net::Ipv4Addr;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};

use crate::domain::claims::NamedClaims;
use crate::domain::identity::{Email, Identity, Issuer, ProviderSession, Subject};
use crate::domain::secret::Secret;
use crate::domain::session::{Browser, Footing, Session};
use crate::domain::time::{Clock, Timestamp};
use crate::domain::token::Token;

/// The moment every test begins.
pub(super) const START: u64 = 1_800_000_000;

/// A clock that stands still until it is set.
#[derive(Debug)]
pub(crate) struct SetClock(AtomicU64);

impl SetClock {
    pub(crate) fn new() -> Self {
        Self(AtomicU64::new(START))
    }

    /// Sets the clock to `seconds` after the beginning (or before it).
    pub(crate) fn set(&self, seconds: i64) {
        self.0
            .store(START.saturating_add_signed(seconds), Ordering::SeqCst);
    }
}

impl Clock for SetClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_unix(self.0.load(Ordering::SeqCst))
    }
}

/// A session of `subject`, from the provider session `sid`, that began at the beginning.
pub(crate) fn session(subject: &str, sid: Option<&str>) -> Session {
    let start = Timestamp::from_unix(START);
    Session {
        identity: Identity {
            issuer: Issuer::new("https://authentik.test/application/o/headscale/"),
            subject: Subject::new(subject),
            email: Some(Email::new(format!("{subject}@example.net"))),
            email_verified: true,
            username: Some(subject.into()),
            name: None,
            picture: None,
            groups: Vec::new().into(),
            claims: NamedClaims::default(),
        },
        provider_session: sid.map(ProviderSession::new),
        auth_time: Some(start),
        id_token: Token::pack(&Secret::new("e30.e30.e30".to_owned())),
        token_expires_at: start,
        started_at: start,
        refresh_token: None,
        acr: None,
        amr: Vec::new().into(),
        checked_at: start,
        footing: Footing::default(),
        browser: Browser::new(Ipv4Addr::LOCALHOST.into(), "Test/1.0"),
    }
}

/// What `future` gives, which waits for nothing: sessions in memory never do.
pub(crate) fn ready<F: Future>(future: F) -> F::Output {
    let mut context = Context::from_waker(Waker::noop());
    match pin!(future).poll(&mut context) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("it waits for something"),
    }
}
