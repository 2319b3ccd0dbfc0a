//! Whose sessions end when the provider says that somebody left (OpenID Connect Back-Channel Logout 1.0
//! section 2.7).

use super::identity::{ProviderSession, Subject};
use super::session::Session;

/// Somebody, or a session of somebody, that is over at the provider.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Departure {
    /// A person, with every session.
    Person(Subject),
    /// One session at the provider.
    Session(ProviderSession),
    /// One session at the provider, of this person.
    SessionOf(ProviderSession, Subject),
}

impl Departure {
    /// Whether `session` ends with it. A session that the provider gave no `sid` could be any of its
    /// person's: it ends with each of them.
    pub fn covers(&self, session: &Session) -> bool {
        let subject = &session.identity.subject;
        let sid = session.provider_session.as_ref();
        match self {
            Self::Person(person) => subject == person,
            Self::Session(ended) => sid == Some(ended),
            Self::SessionOf(ended, person) => {
                subject == person && sid.is_none_or(|sid| sid == ended)
            }
        }
    }

    /// The session at the provider, where one is named.
    pub const fn provider_session(&self) -> Option<&ProviderSession> {
        match self {
            Self::Session(sid) | Self::SessionOf(sid, _) => Some(sid),
            Self::Person(_) => None,
        }
    }

    /// The person, where one is named.
    pub const fn subject(&self) -> Option<&Subject> {
        match self {
            Self::Person(subject) | Self::SessionOf(_, subject) => Some(subject),
            Self::Session(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::domain::claims::NamedClaims;
    use std::net::Ipv4Addr;

    use super::*;
    use crate::domain::identity::{Identity, Issuer};
    use crate::domain::secret::Secret;
    use crate::domain::session::{Browser, Footing};
    use crate::domain::time::Timestamp;
    use crate::domain::token::Token;

    fn session(subject: &str, sid: Option<&str>) -> Session {
        let at = Timestamp::from_unix(1_800_000_000);
        Session {
            identity: Identity {
                issuer: Issuer::new("https://idp.example/"),
                subject: Subject::new(subject),
                email: None,
                email_verified: false,
                username: None,
                name: None,
                picture: None,
                groups: Vec::new().into(),
                claims: NamedClaims::default(),
            },
            provider_session: sid.map(ProviderSession::new),
            auth_time: None,
            id_token: Token::pack(&Secret::new(String::new())),
            token_expires_at: at,
            started_at: at,
            refresh_token: None,
            acr: None,
            amr: Vec::new().into(),
            checked_at: at,
            footing: Footing::default(),
            browser: Browser::new(Ipv4Addr::LOCALHOST.into(), ""),
        }
    }

    #[test]
    fn a_departure_covers_what_it_names_and_what_could_be_meant() {
        let (ann, one) = (Subject::new("ann"), ProviderSession::new("one"));
        let person = Departure::Person(ann.clone());
        let any = Departure::Session(one.clone());
        let both = Departure::SessionOf(one, ann.clone());
        // By the person, by the session, by both.
        for (subject, sid, covered) in [
            ("ann", Some("one"), [true, true, true]),
            ("ann", Some("two"), [true, false, false]),
            ("ann", Some("One"), [true, false, false]),
            ("ann", None, [true, false, true]),
            ("ben", Some("one"), [false, true, false]),
            ("ben", Some("two"), [false, false, false]),
            ("ben", None, [false, false, false]),
            ("Ann", None, [false, false, false]),
        ] {
            let session = session(subject, sid);
            let verdict = [&person, &any, &both].map(|departure| departure.covers(&session));
            assert_eq!(verdict, covered, "{subject} {sid:?}");
        }
        let named = [&person, &any, &both].map(Departure::subject);
        assert_eq!(named, [Some(&ann), None, Some(&ann)]);
    }
}
