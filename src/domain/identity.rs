//! Who a person is, as the provider said it.

use std::fmt;

macro_rules! text {
    ($(#[$meta:meta])* $name:ident) => {
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(String);

        impl $name {
            /// Takes the text as it is, byte for byte: comparison is exact.
            pub fn new(text: impl Into<String>) -> Self {
                Self(text.into())
            }

            /// The text itself.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

text! {
    /// An issuer identifier (OpenID Connect Core section 1.2). Never normalised: a trailing slash is
    /// part of the identity.
    Issuer
}
text! {
    /// The `sub` claim: the provider's stable name for one account.
    Subject
}
text! {
    /// The provider's own session, the `sid` claim (OpenID Connect Back-Channel Logout section 2.1).
    ProviderSession
}
text! {
    /// An e-mail address as the provider sent it. Whether it counts for a rule is `policy`'s business.
    Email
}

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
    pub username: Option<String>,
    /// `name`: how the person is called.
    pub name: Option<String>,
    /// `picture`: passed on, never fetched.
    pub picture: Option<String>,
    /// The value of `oidc.groups_claim`, in the provider's order; empty when the claim is missing.
    pub groups: Vec<String>,
}
