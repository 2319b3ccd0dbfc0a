//! Who a person is, as the provider said it.

use std::fmt;
use std::sync::Arc;

use ring::digest::{SHA256, digest};

use super::claims::NamedClaims;
use super::texts::Texts;

macro_rules! text {
    ($(#[$meta:meta])* $name:ident($inner:ty)) => {
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name($inner);

        impl $name {
            /// Takes the text as it is, byte for byte: comparison is exact.
            pub fn new(text: impl Into<String>) -> Self {
                Self(text.into().into())
            }

            /// The text itself.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
    };
}

text! {
    /// An issuer identifier (OpenID Connect Core section 1.2). Never normalised: a trailing slash is
    /// part of the identity.
    Issuer(Arc<str>)
}
text! {
    /// The `sub` claim: the provider's stable name for one account.
    Subject(Box<str>)
}
text! {
    /// The provider's own session, the `sid` claim (OpenID Connect Back-Channel Logout section 2.1).
    ProviderSession(Box<str>)
}
text! {
    /// An e-mail address as the provider sent it. Whether it counts for a rule is `policy`'s business.
    Email(Box<str>)
}

impl Issuer {
    /// The text, to be held by others too.
    pub const fn text(&self) -> &Arc<str> {
        &self.0
    }
}

impl From<Arc<str>> for Issuer {
    fn from(text: Arc<str>) -> Self {
        Self(text)
    }
}

impl fmt::Display for Issuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Subject {
    /// For logs. Where the provider takes the e-mail address for its `sub`, only its domain is shown,
    /// behind eight digits of the whole's SHA-256 that tell two people apart; and no more than the
    /// 255 characters that a `sub` may have (OpenID Connect Core section 2). In quotes where it could
    /// be taken for more than one field of a line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cut = |text: &str| text.chars().take(LONGEST_SUBJECT).collect::<String>();
        let shown = match self.0.rsplit_once('@') {
            None => cut(&self.0),
            Some((_, domain)) => {
                let digest = digest(&SHA256, self.0.as_bytes());
                let first = digest.as_ref().iter().take(4);
                let digits: String = first.map(|byte| format!("{byte:02x}")).collect();
                format!("{digits}@{}", cut(domain))
            }
        };
        let plain = |c: char| c.is_alphanumeric() || "-._~@:/|+".contains(c);
        if !shown.is_empty() && shown.chars().all(plain) {
            f.write_str(&shown)
        } else {
            write!(f, "{shown:?}")
        }
    }
}

/// Most characters of a `sub` in a log line.
const LONGEST_SUBJECT: usize = 255;

/// What the provider said about the person who signed in: the ID token's claims, with userinfo
/// merged over them when its `sub` was equal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The provider, exactly as configured and as found in `iss`.
    pub issuer: Issuer,
    /// The account at that provider.
    pub subject: Subject,
    /// `email`, verified or not.
    pub email: Option<Email>,
    /// `email_verified`: true only for JSON `true` or the string `"true"`.
    pub email_verified: bool,
    /// The value of `oidc.username_claim` (`preferred_username` by default), untouched.
    pub username: Option<Box<str>>,
    /// `name`: how the person is called.
    pub name: Option<Box<str>>,
    /// `picture`: passed on, never fetched.
    pub picture: Option<Box<str>>,
    /// The value of `oidc.groups_claim`, in the provider's order; empty when the claim is missing.
    pub groups: Texts,
    /// Claims that rules name.
    pub claims: NamedClaims,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_names_no_address_also_where_the_provider_calls_people_by_theirs() {
        let shown = |sub: &str| Subject::new(sub).to_string();
        assert_eq!(shown("7b2f-41"), "7b2f-41");
        assert_eq!(shown("jörg"), "jörg");
        let ada = shown("ada@company.example");
        assert!(
            ada.ends_with("@company.example") && !ada.contains("ada@"),
            "{ada}"
        );
        assert_eq!(ada.len(), "01234567@company.example".len());
        assert_ne!(ada, shown("bob@company.example"));
        assert!(!shown("\"ada@home\"@company.example").contains("home"));
        for forged in [
            "x status=200",
            "x\" y=\"",
            "a=b",
            "",
            " ",
            "x\r\ny",
            "x@y z=1",
        ] {
            let shown = shown(forged);
            assert!(shown.starts_with('"') && shown.ends_with('"'), "{shown}");
            assert_eq!(shown.replace("\\\"", "").matches('"').count(), 2, "{shown}");
        }
        assert_eq!(shown(&"a".repeat(1 << 20)).len(), 255);
        assert!(shown(&format!("ada@{}", "a".repeat(1 << 20))).len() < 300);
    }
}
