//! A session as bytes: versioned JSON, for whoever seals sessions and keeps them elsewhere. The only
//! place where its secrets are written out; nothing here is sealed.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::domain::identity::{Email, Identity, Issuer, ProviderSession, Subject};
use crate::domain::secret::Secret;
use crate::domain::session::{Browser, Footing, Session};
use crate::domain::time::Timestamp;
use crate::domain::token::Token;

/// The version that is written, and the only one that is read: a session that is read otherwise than it
/// was written could be somebody else's.
const VERSION: u8 = 1;

#[derive(Serialize, Deserialize)]
struct Record {
    version: u8,
    last_used: Timestamp,
    issuer: String,
    subject: String,
    email: Option<String>,
    email_verified: bool,
    username: Option<Box<str>>,
    name: Option<Box<str>>,
    picture: Option<Box<str>>,
    groups: Vec<String>,
    /// Not there in what was written before rules could name claims: then no claim satisfies a rule
    /// until the person is checked again.
    #[serde(default)]
    claims: BTreeMap<String, Vec<String>>,
    provider_session: Option<String>,
    auth_time: Option<Timestamp>,
    id_token: String,
    refresh_token: Option<String>,
    token_expires_at: Timestamp,
    started_at: Timestamp,
    acr: Option<String>,
    amr: Vec<String>,
    checked_at: Timestamp,
    address: IpAddr,
    agent: String,
    /// Not there in what was written before it was kept: then it proves nothing.
    #[serde(default)]
    footing: Footing,
}

/// The bytes of a session that was last used at `last_used`. They hold its tokens.
pub fn to_bytes(session: &Session, last_used: Timestamp) -> Vec<u8> {
    let who = &session.identity;
    let record = Record {
        version: VERSION,
        last_used,
        issuer: who.issuer.as_str().to_owned(),
        subject: who.subject.as_str().to_owned(),
        email: who.email.as_ref().map(|email| email.as_str().to_owned()),
        email_verified: who.email_verified,
        username: who.username.clone(),
        name: who.name.clone(),
        picture: who.picture.clone(),
        groups: who.groups.to_strings(),
        claims: who.claims.to_map(),
        provider_session: session
            .provider_session
            .as_ref()
            .map(|sid| sid.as_str().to_owned()),
        auth_time: session.auth_time,
        id_token: session.id_token.unpack().expose().clone(),
        refresh_token: session
            .refresh_token
            .as_ref()
            .map(|token| token.unpack().expose().clone()),
        token_expires_at: session.token_expires_at,
        started_at: session.started_at,
        acr: session.acr.as_deref().map(str::to_owned),
        amr: session.amr.to_strings(),
        checked_at: session.checked_at,
        address: session.browser.address,
        agent: session.browser.agent.as_ref().to_owned(),
        footing: session.footing,
    };
    // JSON refuses maps with odd keys and nothing else; nobody reads what is empty.
    serde_json::to_vec(&record).unwrap_or_default()
}

/// The session that [`to_bytes`] wrote, and when it was last used. `None` for anything else, and for
/// what another version wrote.
pub fn from_bytes(bytes: &[u8]) -> Option<(Session, Timestamp)> {
    let record: Record = serde_json::from_slice(bytes).ok()?;
    if record.version != VERSION {
        return None;
    }
    let session = Session {
        identity: Identity {
            issuer: Issuer::new(record.issuer),
            subject: Subject::new(record.subject),
            email: record.email.map(Email::new),
            email_verified: record.email_verified,
            username: record.username,
            name: record.name,
            picture: record.picture,
            groups: record.groups.into(),
            claims: record.claims.into(),
        },
        provider_session: record.provider_session.map(ProviderSession::new),
        auth_time: record.auth_time,
        id_token: Token::pack(&Secret::new(record.id_token)),
        token_expires_at: record.token_expires_at,
        started_at: record.started_at,
        refresh_token: record
            .refresh_token
            .map(|token| Token::pack(&Secret::new(token))),
        acr: record.acr.map(Into::into),
        amr: record.amr.into(),
        checked_at: record.checked_at,
        browser: Browser::new(record.address, &record.agent),
        footing: record.footing,
    };
    Some((session, record.last_used))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{START, session};
    use super::*;

    /// Every field, compared as printed; tokens are not printed.
    fn assert_same(one: &Session, other: &Session) {
        assert_eq!(format!("{one:?}"), format!("{other:?}"));
        assert_eq!(one.id_token, other.id_token);
        assert_eq!(one.refresh_token, other.refresh_token);
    }

    #[test]
    fn a_session_is_read_back_as_it_was() {
        let at = |seconds| Timestamp::from_unix(START + seconds);
        let mut full = session("ann\u{202e}\"\\\n", Some("sid"));
        full.identity.name = Some("Änn".into());
        full.identity.picture = Some("https://a.example/p".into());
        full.identity.groups = vec!["/a".to_owned(), String::new()].into();
        full.identity.email_verified = false;
        full.identity.claims = BTreeMap::from([
            (
                "department".to_owned(),
                vec!["it".to_owned(), "\"".to_owned()],
            ),
            ("https://x.y/z".to_owned(), Vec::new()),
        ])
        .into();
        full.auth_time = Some(at(1));
        full.token_expires_at = at(2);
        full.started_at = at(3);
        full.checked_at = at(4);
        full.refresh_token = Some(Token::pack(&Secret::new("refresh".to_owned())));
        full.acr = Some("gold".into());
        full.amr = vec!["pwd".to_owned(), "mfa".to_owned()].into();
        full.footing = Footing {
            offline: true,
            in_doubt: true,
            read_by: Some(std::num::NonZeroU32::MAX),
        };
        full.browser = Browser::new("2001:db8::1".parse().unwrap(), "Mozilla/5.0 (X11)");
        let mut bare = session("ann", None);
        bare.identity.email = None;
        bare.identity.username = None;
        bare.auth_time = None;
        for session in [full, bare] {
            let bytes = to_bytes(&session, at(5));
            let (read, last_used) = from_bytes(&bytes).unwrap();
            assert_same(&read, &session);
            assert_eq!(last_used, at(5));
        }
    }

    #[test]
    fn a_session_from_before_there_were_claims_has_none() {
        let now = Timestamp::from_unix(START);
        let mut session = session("ann", None);
        let claims = BTreeMap::from([("department".to_owned(), vec!["it".to_owned()])]);
        session.identity.claims = claims.into();
        let text = String::from_utf8(to_bytes(&session, now)).unwrap();
        let old = text.replacen("\"claims\":{\"department\":[\"it\"]},", "", 1);
        assert_ne!(old, text);
        let (read, _) = from_bytes(old.as_bytes()).unwrap();
        assert!(read.identity.claims.values("department").is_empty());
        let bent = text.replacen("[\"it\"]", "\"it\"", 1);
        assert!(from_bytes(bent.as_bytes()).is_none());
    }

    #[test]
    fn a_session_from_before_there_was_a_footing_is_read_and_proves_nothing() {
        let now = Timestamp::from_unix(START);
        let mut session = session("ann", None);
        session.footing.offline = true;
        let text = String::from_utf8(to_bytes(&session, now)).unwrap();
        let (whole, footing) = text.split_once(",\"footing\":").unwrap();
        assert!(footing.contains("\"offline\":true"), "{footing}");
        let (read, _) = from_bytes(format!("{whole}}}").as_bytes()).unwrap();
        assert_eq!(read.footing, Footing::default());
        assert_eq!(read.checked_at, session.checked_at);
    }

    #[test]
    fn what_is_not_a_whole_session_of_this_version_is_none() {
        let now = Timestamp::from_unix(START);
        let good = to_bytes(&session("ann", Some("sid")), now);
        for length in 0..good.len() {
            assert!(from_bytes(&good[..length]).is_none(), "{length}");
        }
        let text = String::from_utf8(good).unwrap();
        for (from, to) in [
            ("\"version\":1", "\"version\":2"),
            ("\"version\":1", "\"version\":0"),
            ("\"version\":1,", ""),
            ("\"subject\":\"ann\",", ""),
            ("\"email_verified\":true", "\"email_verified\":\"yes\""),
            ("\"address\":\"127.0.0.1\"", "\"address\":\"nowhere\""),
            ("{\"version\":1", "[{\"version\":1"),
        ] {
            let bent = text.replacen(from, to, 1);
            assert_ne!(bent, text, "{from}");
            assert!(from_bytes(bent.as_bytes()).is_none(), "{to}");
        }
        assert!(from_bytes(text.as_bytes()).is_some());
    }
}
