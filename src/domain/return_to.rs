//! Where a person goes after signing in: always a path of ours.
//!
//! A target is taken only when it is a canonical [`Target`], whose every reading stays on this
//! origin: it begins with one `/` and has no second one, no backslash, no dot segment and no
//! escape of any of these. Checked again whenever it is read back from where it was kept.

use serde::{Deserialize, Serialize};

use super::path::Target;

/// The longest target that is remembered, in bytes.
const LONGEST: usize = 2048;

/// A path and query of this origin.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ReturnTo(String);

/// It is no path that a person may be sent to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a path of this origin")]
pub struct NotOurs;

impl ReturnTo {
    /// The front page.
    pub fn root() -> Self {
        Self("/".to_owned())
    }

    /// Parses a target; `None` for whatever is not provably ours, for the callback (which must never
    /// be visited again), and for our own endpoints (which would loop).
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() > LONGEST {
            return None;
        }
        let target = Target::parse(text.as_bytes()).ok()?;
        let path = target.path();
        let loops = path == "/oidc/callback"
            || path == "/.headwarden"
            || path.starts_with("/.headwarden/")
            || path.starts_with("/oidc/callback/");
        (!loops).then(|| Self(text.to_owned()))
    }

    /// Path and query.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for ReturnTo {
    type Error = NotOurs;

    fn try_from(text: String) -> Result<Self, NotOurs> {
        Self::parse(&text).ok_or(NotOurs)
    }
}

impl From<ReturnTo> for String {
    fn from(target: ReturnTo) -> Self {
        target.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use percent_encoding::percent_decode_str;
    use proptest::prelude::*;
    use url::Url;

    /// What browsers would make of it (WHATWG URL), and what its bytes begin with.
    fn stays(target: &str) -> bool {
        let ours = Url::parse("https://ours.example/").unwrap();
        let bytes = target.as_bytes();
        let begins_well =
            bytes.first() == Some(&b'/') && !matches!(bytes.get(1), Some(b'/' | b'\\'));
        begins_well
            && ours
                .join(target)
                .is_ok_and(|url| url.origin() == ours.origin())
    }

    const VECTORS: &[&str] = &[
        "https://evil",
        "//evil",
        "http:evil",
        "https:/evil",
        "https:///evil",
        "HTTPS://evil",
        " https://evil",
        "\thttps://evil",
        "javascript:alert(1)",
        "data:text/html,x",
        "vbscript:x",
        "ftp://evil",
        "mailto:a@evil",
        "/\\evil",
        "\\/evil",
        "\\\\evil",
        "/\\/evil",
        "\\/\\/evil",
        "/%09/evil",
        "/%0a/evil",
        "/%0d/evil",
        "/%0b/evil",
        "/%0c/evil",
        "/%00/evil",
        "/\t/evil",
        "/\x0b\\evil",
        "/\t\t\\\t/evil",
        "/\n/evil",
        "/\r/evil",
        "\n//evil",
        "/./\\evil",
        "/../\\evil",
        "/.//evil",
        "/..//evil",
        "/%2e//evil",
        "/./../../\\evil",
        "/x/..//evil",
        "https://ours@evil",
        "https://ours:pw@evil",
        "https://evil\\@ours",
        "https://evil#@ours",
        "https://evil?@ours",
        "https://ours\\.evil",
        "https://ours%2eevil",
        "//evil%00.ours",
        "///evil",
        "////evil",
        "/%2f/evil",
        "/%2fevil",
        "/%5cevil",
        "/%5c%5cevil",
        "/%252f/evil",
        "//evil/..",
        "/..//evil/%2f..",
        "//%65vil",
        "/;@evil",
        "//;@evil",
        "/.evil//",
        "〱evil",
        "/〱evil",
        "///\\;@evil",
        "//\tevil",
        "/ /evil",
        "/%20/\\evil",
        "x",
        "",
        "?//evil",
        "#//evil",
        "/oidc/callback?code=x",
        "/oidc/callback/",
        "/.headwarden/logout",
        "/.headwarden",
        "/.headwarden/authorize?x",
        "/x\r\nLocation: evil",
        "/x%0d%0aSet-Cookie:a=b",
        "/x?\r\nSet-Cookie:a=b",
        "/\u{2028}/evil",
        "/%e2%80%a8/..//evil",
        "/\u{ff0f}evil",
        "/%ef%bc%8fevil",
        "/%E5%98%8A%E5%98%8DSet-Cookie/..",
    ];

    #[test]
    fn every_known_vector_is_refused_at_every_decoding() {
        for vector in VECTORS {
            let plus = vector.replace('+', " ");
            let once = percent_decode_str(vector).decode_utf8_lossy().into_owned();
            let twice = percent_decode_str(&once).decode_utf8_lossy().into_owned();
            assert_eq!(ReturnTo::parse(vector), None, "{vector:?}");
            for form in [plus, once, twice] {
                assert!(
                    ReturnTo::parse(&form).is_none_or(|to| stays(to.as_str())),
                    "{form:?}"
                );
            }
        }
    }

    #[test]
    fn ordinary_targets_are_kept() {
        for target in [
            "/",
            "/admin/",
            "/register/abc?x=https://evil",
            "/a%20b?c=%2f%2f",
        ] {
            assert_eq!(ReturnTo::parse(target).unwrap().as_str(), target);
            assert!(stays(target));
        }
    }

    #[test]
    fn a_long_target_is_forgotten() {
        assert_eq!(ReturnTo::parse(&format!("/{}", "a".repeat(LONGEST))), None);
    }

    #[test]
    fn a_bad_target_is_refused_when_it_is_read_back() {
        assert!(serde_json::from_str::<ReturnTo>("\"//evil\"").is_err());
        assert!(serde_json::from_str::<ReturnTo>("\"/fine\"").is_ok());
    }

    proptest! {
        #[test]
        fn whatever_is_accepted_stays_on_this_origin(text in "[/\\\\.:@?#%0-9a-fA-F;\t\n ehtps]{0,16}") {
            if let Some(target) = ReturnTo::parse(&text) {
                prop_assert!(stays(target.as_str()), "{:?}", target);
            }
        }
    }
}
