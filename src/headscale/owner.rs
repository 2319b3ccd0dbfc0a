//! Whose a device is. Headscale knows a person by issuer and subject, as one text that it normalises
//! (`types.OIDCClaims.Identifier`); names and addresses are nobody's proof.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::api::{Node, User};
use super::migrate::identifiers_begin_with;
use crate::domain::identity::{Issuer, Subject};

/// What Go leaves alone in a path that it has to escape.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~')
    .remove(b'$')
    .remove(b'&')
    .remove(b'+')
    .remove(b',')
    .remove(b':')
    .remove(b';')
    .remove(b'=')
    .remove(b'@');
/// What it also leaves where nothing else has to be escaped.
const TOLERATED: &[u8] = b"!'()*";

/// A person, as Headscale knows them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// The text, and the same before it is escaped.
    identifiers: [String; 2],
}

impl Owner {
    /// The person whom this issuer calls so. `None` where Headscale's text could be that of somebody else
    /// too: the subject has a slash, dots alone, an escape of its own, or white space.
    pub fn new(issuer: &Issuer, subject: &Subject) -> Option<Self> {
        let begin = identifiers_begin_with(issuer)?;
        let subject = subject.as_str();
        let odd = |c: char| matches!(c, '/' | '\\' | '%') || c.is_whitespace() || c.is_control();
        if matches!(subject, "" | "." | "..") || subject.contains(odd) {
            return None;
        }
        let escaped = utf8_percent_encode(subject, ESCAPED).to_string();
        let unescaped = |b: u8| ESCAPED_BUT.contains(&b) || b.is_ascii_alphanumeric();
        let plain = subject
            .bytes()
            .all(|b| unescaped(b) || TOLERATED.contains(&b));
        let first = if plain { subject } else { &escaped };
        Some(Self {
            identifiers: [format!("{begin}{first}"), format!("{begin}{subject}")],
        })
    }

    /// Whether this is the user.
    pub fn is(&self, user: &User) -> bool {
        self.identifiers.contains(&user.provider_id)
    }

    /// Their devices among `nodes`, by the ids of `users`. One with a tag is nobody's.
    pub fn devices<'a>(&self, users: &[User], nodes: &'a [Node]) -> Vec<&'a Node> {
        let ours = |user: &&User| self.is(user);
        let ids: Vec<&str> = users
            .iter()
            .filter(ours)
            .map(|user| user.id.as_str())
            .collect();
        let theirs = |node: &&Node| {
            let user = node.user.as_ref();
            node.tags.is_empty() && user.is_some_and(|user| ids.contains(&user.id.as_str()))
        };
        nodes.iter().filter(theirs).collect()
    }
}

/// The same as in [`ESCAPED`].
const ESCAPED_BUT: &[u8] = b"-_.~$&+,:;=@";

#[cfg(test)]
mod tests {
    use super::*;

    fn owner(issuer: &str, subject: &str) -> Option<Owner> {
        Owner::new(&Issuer::new(issuer), &Subject::new(subject))
    }

    fn user(id: &str, provider_id: &str) -> User {
        User {
            id: id.to_owned(),
            name: "mia".to_owned(),
            email: "mia@acmecorp.net".to_owned(),
            provider_id: provider_id.to_owned(),
        }
    }

    /// As Headscale's own normalisation has them.
    #[test]
    fn a_person_is_who_headscale_would_store_for_the_same_issuer_and_subject() {
        for (issuer, subject, provider_id, is) in [
            (
                "http://127.0.0.1:8181",
                "7b2f-41",
                "http://127.0.0.1:8181/7b2f-41",
                true,
            ),
            (
                "https://ak.co/application/o/headscale/",
                "ab12",
                "https://ak.co/application/o/headscale/ab12",
                true,
            ),
            (
                "HTTPS://ak.co//o//hs//",
                "ab12",
                "https://ak.co/o/hs/ab12",
                true,
            ),
            (
                "https://co.auth0.com/",
                "auth0|62",
                "https://co.auth0.com/auth0%7C62",
                true,
            ),
            (
                "https://co.auth0.com/",
                "auth0|62",
                "https://co.auth0.com/auth0|62",
                true,
            ),
            (
                "https://id.co",
                "ann@id.co",
                "https://id.co/ann@id.co",
                true,
            ),
            (
                "https://id.co",
                "o'neil(1)!*",
                "https://id.co/o'neil(1)!*",
                true,
            ),
            (
                "https://id.co",
                "o'neil|",
                "https://id.co/o%27neil%7C",
                true,
            ),
            ("https://id.co", "jörg", "https://id.co/j%C3%B6rg", true),
            ("https://id.co", "jo?rg#", "https://id.co/jo%3Frg%23", true),
            ("https://id.co", "ab12", "https://id.co/AB12", false),
            ("https://id.co", "ab12", "https://id.co/ab123", false),
            ("https://id.co", "ab12", "https://id.co/x/ab12", false),
            ("https://id.co", "ab12", "http://id.co/ab12", false),
            ("https://id.co", "ab12", "ab12", false),
            ("https://id.co", "ab12", "", false),
        ] {
            let owner = owner(issuer, subject).expect(subject);
            assert_eq!(
                owner.is(&user("1", provider_id)),
                is,
                "{issuer} {subject} {provider_id}"
            );
        }
        for subject in [
            "", ".", "..", "a/../b", "a/b", "%61b", "a b", " ab", "a\nb", "a\\b",
        ] {
            assert_eq!(owner("https://id.co", subject), None, "{subject:?}");
        }
        assert_eq!(owner("no issuer", "ab12"), None);
    }

    #[test]
    fn devices_are_found_by_their_user_and_not_by_a_name_and_tagged_ones_are_nobodys() {
        let node = |id: &str, user: Option<User>, tags: &[&str]| Node {
            id: id.to_owned(),
            given_name: id.to_owned(),
            hostname: id.to_owned(),
            addresses: Vec::new(),
            user,
            last_seen: None,
            expiry: None,
            created_at: None,
            online: true,
            tags: tags.iter().map(|tag| (*tag).to_owned()).collect(),
        };
        let (mia, twin) = (
            user("1", "https://id.co/mia"),
            user("2", "https://id.co/other"),
        );
        let by_hand = user("3", "");
        let users = [mia.clone(), twin.clone(), by_hand.clone()];
        let nodes = [
            node("10", Some(mia.clone()), &[]),
            node("11", Some(mia), &["tag:server"]),
            node("12", Some(twin), &[]),
            node("13", Some(by_hand), &[]),
            node("14", None, &[]),
            node("15", Some(user("1", "")), &[]),
        ];
        let owner = owner("https://id.co", "mia").unwrap();
        let ids = |nodes: Vec<&Node>| -> Vec<String> {
            nodes.into_iter().map(|node| node.id.clone()).collect()
        };
        assert_eq!(ids(owner.devices(&users, &nodes)), ["10", "15"]);
        assert_eq!(
            ids(owner.devices(&users[1..], &nodes)),
            Vec::<String>::new()
        );
    }
}
