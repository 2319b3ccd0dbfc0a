//! What ties the two OpenID Connect legs: the one between Headscale and us to the one that the
//! person's session came from.

/// An authorization request of Headscale's, checked against the one client there is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthorizeRequest {
    /// Headscale's `state`.
    pub state: String,
    /// Headscale's `nonce`, for the ID token.
    pub nonce: String,
    /// The PKCE challenge; the method is always S256.
    pub challenge: Option<String>,
    /// Headscale's callback.
    pub redirect_uri: String,
    /// What was asked for, space-separated.
    pub scope: String,
}
