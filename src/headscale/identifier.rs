//! By what Headscale knows a person: `provider_id`, made of the issuer and the subject of their ID token,
//! as Headscale joins and cleans the two. Names and addresses are not compared: anybody may come to have
//! another's.

use std::fmt::Write as _;

use percent_encoding::percent_decode_str;

use super::api::Node;
use super::migrate::identifiers_begin_with;
use crate::domain::identity::{Issuer, Subject};

/// What Headscale leaves as it is in a path, where all of it is of this kind.
const fn is_plain(b: u8) -> bool {
    is_always_plain(b) || matches!(b, b'!' | b'\'' | b'(' | b')' | b'*' | b'[' | b']')
}

/// What it leaves as it is in any case.
const fn is_always_plain(b: u8) -> bool {
    b.is_ascii_alphanumeric()
        || matches!(
            b,
            b'-' | b'_' | b'.' | b'~' | b'$' | b'&' | b'+' | b',' | b':' | b';' | b'=' | b'@'
        )
}

/// The `provider_id` of whoever signs in to Headscale with `subject` at `issuer`. None where Headscale's
/// cleaning could make one of two subjects: of such a person nothing is known.
pub fn provider_id(issuer: &Issuer, subject: &Subject) -> Option<String> {
    let prefix = identifiers_begin_with(issuer)?;
    let subject = subject.as_str();
    let odd =
        |c: char| matches!(c, '/' | '%' | '?' | '#' | '\\') || c.is_control() || c.is_whitespace();
    if subject.is_empty() || matches!(subject, "." | "..") || subject.contains(odd) {
        return None;
    }
    if subject.bytes().all(is_plain) {
        return Some(format!("{prefix}{subject}"));
    }
    let mut id = prefix;
    for b in subject.bytes() {
        if is_always_plain(b) {
            id.push(char::from(b));
        } else {
            // Writing to a string does not fail.
            let _ = write!(id, "%{b:02X}");
        }
    }
    Some(id)
}

/// Whether the device's user is the person of this [`provider_id`]. One with a tag may still name them.
pub fn is_theirs(node: &Node, id: &str) -> bool {
    let user = node.user.as_ref();
    user.is_some_and(|user| !user.provider_id.is_empty() && user.provider_id == id)
}

/// The subject of somebody whom Headscale knows by `provider_id` at `issuer`; none if it is another issuer's.
pub fn subject_of(provider_id: &str, issuer: &Issuer) -> Option<Subject> {
    let escaped = provider_id.strip_prefix(&identifiers_begin_with(issuer)?)?;
    let subject = percent_decode_str(escaped).decode_utf8().ok()?;
    let subject = Subject::new(&*subject);
    // What Headscale would not write so is of something else.
    let is_it = self::provider_id(issuer, &subject).as_deref() == Some(provider_id);
    is_it.then_some(subject)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_person_is_known_by_issuer_and_subject_as_headscale_joins_them() {
        for (issuer, subject, id) in [
            (
                "http://127.0.0.1:8181",
                "7b2f",
                Some("http://127.0.0.1:8181/7b2f"),
            ),
            (
                "https://authentik.company/application/o/headscale/",
                "7b2f",
                Some("https://authentik.company/application/o/headscale/7b2f"),
            ),
            (
                "HTTPS://id.example//a//",
                "7",
                Some("https://id.example/a/7"),
            ),
            (
                "https://id.example",
                "mia@acmecorp.net",
                Some("https://id.example/mia@acmecorp.net"),
            ),
            (
                "https://id.example",
                "a!(b)*'[c]",
                Some("https://id.example/a!(b)*'[c]"),
            ),
            (
                "https://id.example",
                "auth0|5f",
                Some("https://id.example/auth0%7C5f"),
            ),
            (
                "https://id.example",
                "auth0|5f!",
                Some("https://id.example/auth0%7C5f%21"),
            ),
            ("https://id.example", "é", Some("https://id.example/%C3%A9")),
            // Headscale would make one of what are two.
            ("https://id.example", "a/b", None),
            ("https://id.example", "/a", None),
            ("https://id.example", "a b", None),
            ("https://id.example", " a", None),
            ("https://id.example", "a%2Fb", None),
            ("https://id.example", "a?b", None),
            ("https://id.example", "a#b", None),
            ("https://id.example", "a\\b", None),
            ("https://id.example", "a\nb", None),
            ("https://id.example", ".", None),
            ("https://id.example", "..", None),
            ("https://id.example", "", None),
            ("not a url", "a", None),
        ] {
            let found = provider_id(&Issuer::new(issuer), &Subject::new(subject));
            assert_eq!(found.as_deref(), id, "{issuer} {subject:?}");
        }
    }

    #[test]
    fn of_another_issuer_nobody_is_known() {
        let ours = Issuer::new("https://id.example/");
        let subject = |id: &str| subject_of(id, &ours).map(|it| it.as_str().to_owned());
        for (id, of) in [
            ("https://id.example/7b2f", "7b2f"),
            ("https://id.example/auth0%7C5f", "auth0|5f"),
            ("https://id.example/auth0%7C5f%21", "auth0|5f!"),
            ("https://id.example/%C3%A9", "é"),
        ] {
            assert_eq!(subject(id).as_deref(), Some(of), "{id}");
        }
        for id in [
            "",
            "https://id.example/",
            "https://id.example/other/7b2f",
            "https://id.example.org/7",
            "https://id.example/a%2Fb",
            "https://id.example/a%20b",
            "https://id.example/%37b2f",
            "https://id.example/auth0|5f",
            "https://id.example/%FF",
        ] {
            assert_eq!(subject(id), None, "{id}");
        }
    }
}
