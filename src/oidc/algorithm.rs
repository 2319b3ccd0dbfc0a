//! The algorithms that the provider may sign with (RFC 7518 section 3.1, RFC 8037 section 3.1).

use ring::digest::{SHA256, SHA384, SHA512, digest};

/// An algorithm that is accepted from a provider; [`Algorithm::Hs256`] only where the operator says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// RSASSA-PKCS1-v1_5 over SHA-256.
    Rs256,
    /// ECDSA on P-256 over SHA-256.
    Es256,
    /// ECDSA on P-384 over SHA-384.
    Es384,
    /// Ed25519. (Ed448 has the same name, and is not accepted.)
    EdDsa,
    /// HMAC with SHA-256, under the client secret.
    Hs256,
}

impl Algorithm {
    /// Its name in `alg`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Rs256 => "RS256",
            Self::Es256 => "ES256",
            Self::Es384 => "ES384",
            Self::EdDsa => "EdDSA",
            Self::Hs256 => "HS256",
        }
    }

    /// The `kty` that a key for it has; none where the client secret is the key.
    pub(super) const fn key_type(self) -> Option<&'static str> {
        match self {
            Self::Rs256 => Some("RSA"),
            Self::Es256 | Self::Es384 => Some("EC"),
            Self::EdDsa => Some("OKP"),
            Self::Hs256 => None,
        }
    }

    /// The hash that goes with it, of `data` (OpenID Connect Core section 3.1.3.6; for Ed25519 its own).
    pub(super) fn hash(self, data: &[u8]) -> Vec<u8> {
        let hash = match self {
            Self::Rs256 | Self::Es256 | Self::Hs256 => &SHA256,
            Self::Es384 => &SHA384,
            Self::EdDsa => &SHA512,
        };
        digest(hash, data).as_ref().to_vec()
    }
}

/// What `alg` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Named {
    /// One that is accepted from some providers.
    Accepted(Algorithm),
    /// A signature of another kind.
    Other,
    /// `none`: no signature.
    Unsigned,
}

impl Named {
    /// `None` for a name that no signature has. Names are compared exactly (RFC 7515 section 4.1.1).
    pub(super) fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "RS256" => Self::Accepted(Algorithm::Rs256),
            "ES256" => Self::Accepted(Algorithm::Es256),
            "ES384" => Self::Accepted(Algorithm::Es384),
            "EdDSA" => Self::Accepted(Algorithm::EdDsa),
            "HS256" => Self::Accepted(Algorithm::Hs256),
            "HS384" | "HS512" | "RS384" | "RS512" | "ES512" | "PS256" | "PS384" | "PS512" => {
                Self::Other
            }
            "none" => Self::Unsigned,
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_algorithm_is_found_by_the_name_that_it_has() {
        for algorithm in [
            Algorithm::Rs256,
            Algorithm::Es256,
            Algorithm::Es384,
            Algorithm::EdDsa,
            Algorithm::Hs256,
        ] {
            let found = Named::parse(algorithm.name());
            assert_eq!(found, Some(Named::Accepted(algorithm)));
        }
        for (name, found) in [
            ("PS256", Some(Named::Other)),
            ("none", Some(Named::Unsigned)),
            ("None", None),
            ("es256", None),
            ("ES256 ", None),
            ("", None),
        ] {
            assert_eq!(Named::parse(name), found, "{name:?}");
        }
    }
}
