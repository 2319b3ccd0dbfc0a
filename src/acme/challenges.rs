//! The challenges of the order that is running: what the directory's validators will ask our listeners
//! for. Nothing is answered that no order of ours is waiting for.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use rcgen::{CertificateParams, CustomExtension, DistinguishedName, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use rustls::sign::{CertifiedKey, SingleCertAndKey};

/// Where validators ask over HTTP (RFC 8555 section 8.3), up to the token.
pub const HTTP_PATH: &str = "/.well-known/acme-challenge/";
/// What validators offer by ALPN (RFC 8737 section 3).
pub const PROTOCOL: &[u8] = b"acme-tls/1";

/// What listeners answer validators with.
#[derive(Default)]
pub struct Challenges {
    /// Key authorizations by token.
    http: RwLock<HashMap<String, String>>,
    /// TLS with the validation certificate, by the name that is validated.
    tls: RwLock<HashMap<String, Arc<ServerConfig>>>,
}

/// A challenge that is answered until this is dropped.
#[must_use = "the challenge is not answered any more when this is dropped"]
pub(super) struct Raised {
    challenges: Arc<Challenges>,
    place: Place,
}

enum Place {
    Http(String),
    Tls(String),
}

impl Challenges {
    /// What belongs at `target`, a whole request target, if a validator of the running order asks.
    pub fn over_http(&self, target: &str) -> Option<String> {
        let token = target.strip_prefix(HTTP_PATH)?;
        let answers = self.http.read().unwrap_or_else(PoisonError::into_inner);
        answers.get(token).cloned()
    }

    /// The TLS for a validator of the running order: it offers the one protocol and nothing else, and
    /// names what it validates.
    pub fn over_tls<'a>(
        &self,
        name: Option<&str>,
        mut offered: impl Iterator<Item = &'a [u8]>,
    ) -> Option<Arc<ServerConfig>> {
        let alone = offered.next() == Some(PROTOCOL) && offered.next().is_none();
        let name = name.filter(|_| alone)?.to_ascii_lowercase();
        let answers = self.tls.read().unwrap_or_else(PoisonError::into_inner);
        answers.get(&name).cloned()
    }

    /// Answers at `token` over HTTP.
    pub(super) fn raise_http(self: &Arc<Self>, token: &str, answer: &str) -> Raised {
        let mut answers = self.http.write().unwrap_or_else(PoisonError::into_inner);
        answers.insert(token.to_owned(), answer.to_owned());
        self.raised(Place::Http(token.to_owned()))
    }

    /// Answers for `name` in the handshake, with the hash of the key authorization.
    ///
    /// # Errors
    /// When there can be no certificate for that name.
    pub(super) fn raise_tls(self: &Arc<Self>, name: &str, hash: &[u8]) -> Result<Raised, String> {
        let config = validation(name, hash)?;
        let mut answers = self.tls.write().unwrap_or_else(PoisonError::into_inner);
        answers.insert(name.to_owned(), config);
        Ok(self.raised(Place::Tls(name.to_owned())))
    }

    fn raised(self: &Arc<Self>, place: Place) -> Raised {
        Raised {
            challenges: Arc::clone(self),
            place,
        }
    }
}

impl Drop for Raised {
    fn drop(&mut self) {
        let Challenges { http, tls } = self.challenges.as_ref();
        match &self.place {
            Place::Http(token) => {
                let mut answers = http.write().unwrap_or_else(PoisonError::into_inner);
                answers.remove(token);
            }
            Place::Tls(name) => {
                let mut answers = tls.write().unwrap_or_else(PoisonError::into_inner);
                answers.remove(name);
            }
        }
    }
}

impl fmt::Debug for Challenges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Challenges").finish_non_exhaustive()
    }
}

/// A self-signed certificate for `name` alone, with the hash in the critical extension that RFC 8737
/// section 3 defines.
fn validation(name: &str, hash: &[u8]) -> Result<Arc<ServerConfig>, String> {
    if hash.len() != 32 {
        return Err("the hash of a key authorization has 32 bytes".to_owned());
    }
    let told = |why: rcgen::Error| why.to_string();
    let mut params = CertificateParams::new(vec![name.to_owned()]).map_err(told)?;
    params.distinguished_name = DistinguishedName::new();
    params.custom_extensions = vec![CustomExtension::new_acme_identifier(hash)];
    let key = KeyPair::generate().map_err(told)?;
    let certificate = params.self_signed(&key).map_err(told)?;
    let key = PrivateKeyDer::try_from(key.serialize_der()).map_err(str::to_owned)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let key = provider.key_provider.load_private_key(key);
    let key = key.map_err(|why| why.to_string())?;
    // Not looked at by us: to whom does not know it, a critical extension makes a certificate a bad one.
    let shown = CertifiedKey::new(vec![certificate.der().clone()], key);
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|why| why.to_string())?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(shown)));
    config.alpn_protocols = vec![PROTOCOL.to_vec()];
    Ok(Arc::new(config))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_answered_while_its_order_runs_and_at_its_own_address_only() {
        let challenges = Arc::new(Challenges::default());
        let at = |token: &str| challenges.over_http(&format!("{HTTP_PATH}{token}"));
        assert_eq!(at("abc"), None);
        let raised = challenges.raise_http("abc", "abc.thumb");
        assert_eq!(at("abc").as_deref(), Some("abc.thumb"));
        for target in ["", "ab", "abcd", "abc/", "abc?x", "ABC"] {
            assert_eq!(at(target), None, "{target}");
        }
        assert_eq!(challenges.over_http("/abc"), None);
        drop(raised);
        assert_eq!(at("abc"), None);
    }

    #[test]
    fn a_name_is_answered_in_the_handshake_of_a_validator_and_of_nobody_else() {
        let challenges = Arc::new(Challenges::default());
        let raised = challenges.raise_tls("headscale.company", &[7; 32]).unwrap();
        let http: &[u8] = b"http/1.1";
        for (name, offered, answered) in [
            (Some("headscale.company"), &[PROTOCOL][..], true),
            (Some("Headscale.Company"), &[PROTOCOL], true),
            (Some("other.company"), &[PROTOCOL], false),
            (None, &[PROTOCOL], false),
            (Some("headscale.company"), &[], false),
            (Some("headscale.company"), &[http], false),
            (Some("headscale.company"), &[PROTOCOL, http], false),
            (Some("headscale.company"), &[http, PROTOCOL], false),
        ] {
            let found = challenges.over_tls(name, offered.iter().copied());
            assert_eq!(found.is_some(), answered, "{name:?} {offered:?}");
        }
        drop(raised);
        let offered = [PROTOCOL].into_iter();
        assert!(
            challenges
                .over_tls(Some("headscale.company"), offered)
                .is_none()
        );
        assert!(challenges.raise_tls("headscale.company", b"short").is_err());
    }
}
