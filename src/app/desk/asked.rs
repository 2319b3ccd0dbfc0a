//! What an operator asks for, read strictly: a parameter that is not understood must not leave a wider
//! request than the one that was meant.

use crate::domain::identity::{Email, Subject};
use crate::session::{Live, SessionKey};

/// Most sessions on one page, and how many there are without a word about it.
const MOST: usize = 10_000;
const DEFAULT: usize = 1_000;
/// Fewest and most hex digits of a session's id.
const DIGITS: std::ops::RangeInclusive<usize> = 6..=64;

/// Whose sessions.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Whose {
    /// Everybody's.
    All,
    /// Those of one subject.
    Subject(Subject),
    /// Those of whoever has this user name, or this e-mail address.
    User(String),
}

impl Whose {
    /// Whether `live` is meant. User names are compared exactly, addresses without case.
    pub(super) fn covers(&self, live: &Live) -> bool {
        let who = &live.session.identity;
        match self {
            Self::All => true,
            Self::Subject(subject) => who.subject == *subject,
            Self::User(name) => {
                let email = who.email.as_ref().map(Email::as_str);
                who.username.as_deref() == Some(name)
                    || email.is_some_and(|email| email.eq_ignore_ascii_case(name))
            }
        }
    }
}

/// The parameters of a request about several sessions.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Asked {
    pub(super) whose: Option<Whose>,
    pub(super) after: Option<SessionKey>,
    /// Most on one page, where the request says so.
    limit: Option<usize>,
}

impl Asked {
    /// Reads a query.
    ///
    /// # Errors
    /// A sentence: an unknown parameter, one that stands twice, a value that is none, or two of `user`,
    /// `sub` and `all`.
    pub(super) fn parse(query: &str) -> Result<Self, String> {
        let (mut whose, mut after, mut limit) = (None, None, None);
        for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
            let again = match name.as_ref() {
                "user" | "sub" | "all" => whose.replace(one_of(&name, &value)?).is_some(),
                "after" => {
                    let key = SessionKey::parse(&value).map_err(|why| format!("after: {why}"))?;
                    after.replace(key).is_some()
                }
                "limit" => {
                    let count = value
                        .parse()
                        .ok()
                        .filter(|count| (1..=MOST).contains(count));
                    let count = count.ok_or(format!("limit: must be between 1 and {MOST}"))?;
                    limit.replace(count).is_some()
                }
                _ => return Err("no such parameter: user, sub, all, after or limit".to_owned()),
            };
            if again {
                return Err("one of user, sub and all, and each parameter once".to_owned());
            }
        }
        Ok(Self {
            whose,
            after,
            limit,
        })
    }

    /// Most sessions on one page.
    pub(super) fn most(&self) -> usize {
        self.limit.unwrap_or(DEFAULT)
    }

    /// Whose, if the request says that and nothing more: half of them cannot be ended.
    pub(super) fn only_whose(self) -> Option<Whose> {
        let pages = self.after.is_some() || self.limit.is_some();
        self.whose.filter(|_| !pages)
    }
}

fn one_of(name: &str, value: &str) -> Result<Whose, String> {
    match (name, value) {
        (_, "") => Err(format!("{name}: has no value")),
        ("all", "true") => Ok(Whose::All),
        ("sub", subject) => Ok(Whose::Subject(Subject::new(subject))),
        ("user", name) => Ok(Whose::User(name.to_owned())),
        _ => Err("all: must be true".to_owned()),
    }
}

/// A session's id: the first digits of its name, or all of them.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Prefix(String);

impl Prefix {
    /// Reads it: 6 to 64 hex digits.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let good = DIGITS.contains(&text.len()) && text.bytes().all(|b| b.is_ascii_hexdigit());
        good.then(|| Self(text.to_ascii_lowercase()))
    }

    /// Whether it is the beginning of `key`.
    pub(super) fn begins(&self, key: SessionKey) -> bool {
        key.to_hex().starts_with(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_understood_is_refused_and_never_left_out() {
        let whose = |query: &str| Asked::parse(query).map(|asked| asked.whose);
        assert_eq!(whose(""), Ok(None));
        assert_eq!(whose("all=true"), Ok(Some(Whose::All)));
        let ada = Subject::new("ada@x");
        assert_eq!(whose("sub=ada%40x"), Ok(Some(Whose::Subject(ada))));
        let named = Whose::User("a b+c".to_owned());
        assert_eq!(whose("user=a+b%2Bc"), Ok(Some(named)));
        for query in [
            "usr=ada",
            "User=ada",
            "user",
            "user=",
            "sub=",
            "all=",
            "all=false",
            "all=1",
            "all=True",
            "user=a&user=b",
            "user=a&sub=b",
            "sub=a&all=true",
            "all=true&all=true",
            "limit=0",
            "limit=10001",
            "limit=-1",
            "limit=x",
            "limit=1&limit=1",
            "after=abc",
            "after=",
            "id=0123456789ab",
        ] {
            assert!(Asked::parse(query).is_err(), "{query}");
        }
        let only = |query: &str| Asked::parse(query).unwrap().only_whose();
        assert_eq!(only("all=true"), Some(Whose::All));
        for query in ["", "limit=5", "all=true&limit=5"] {
            assert_eq!(only(query), None, "{query}");
        }
        let key = "0".repeat(64);
        let asked = Asked::parse(&format!("user=a&limit=10000&after={key}")).unwrap();
        assert_eq!(
            (asked.most(), asked.after),
            (MOST, SessionKey::parse(&key).ok())
        );
        assert_eq!(Asked::parse("").unwrap().most(), DEFAULT);
    }

    #[test]
    fn an_id_is_the_beginning_of_a_name_and_long_enough_to_be_meant() {
        let key = SessionKey::parse(&"0123456789abcdef".repeat(4)).unwrap();
        for (text, begins) in [
            ("012345", Some(true)),
            ("0123456789AB", Some(true)),
            ("0123456789ac", Some(false)),
            ("123456", Some(false)),
            (&"0123456789abcdef".repeat(4), Some(true)),
            ("01234", None),
            ("", None),
            ("01234g", None),
            ("0123 45", None),
            (&"0".repeat(65), None),
        ] {
            let prefix = Prefix::parse(text);
            assert_eq!(prefix.map(|prefix| prefix.begins(key)), begins, "{text}");
        }
    }
}
