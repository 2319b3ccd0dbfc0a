//! The discovery document (OpenID Connect Discovery section 3): written once, served without asking
//! anybody, so that Headscale can start before the provider is there.

use serde_json::json;

use super::endpoints::Endpoints;

/// The document. `id_token_signing_alg_values_supported` must name ES256, or Headscale's library
/// accepts RS256 only.
pub(crate) fn document(endpoints: &Endpoints) -> serde_json::Value {
    json!({
        "issuer": endpoints.issuer,
        "authorization_endpoint": endpoints.authorization,
        "token_endpoint": endpoints.url("/token"),
        "userinfo_endpoint": endpoints.url("/userinfo"),
        "jwks_uri": endpoints.url("/jwks"),
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "grant_types_supported": ["authorization_code"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["ES256"],
        "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
        "code_challenge_methods_supported": ["S256"],
        "scopes_supported": ["openid", "profile", "email"],
        "claims_supported": [
            "iss", "sub", "aud", "exp", "iat", "auth_time", "nonce",
            "preferred_username", "name", "email", "email_verified", "picture", "groups",
        ],
        "claims_parameter_supported": false,
        "request_parameter_supported": false,
        "request_uri_parameter_supported": false,
    })
}
