//! Which certificate a client is shown: by the name it asks for (SNI, RFC 6066 section 3).

use std::collections::HashMap;
use std::sync::Arc;

use rustls::SignatureScheme;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::pair::Pair;

/// The certificates of a listener.
#[derive(Debug)]
pub(super) struct Choice {
    /// Those for a name, in the order of the configuration; two for one name may differ in the kind of
    /// their keys.
    exact: HashMap<String, Vec<Arc<CertifiedKey>>>,
    /// The same for what follows `*.`.
    wild: HashMap<String, Vec<Arc<CertifiedKey>>>,
    /// For everybody else; `None` where there is no certificate yet.
    rest: Option<Arc<CertifiedKey>>,
}

impl Choice {
    /// The first of the pairs is for clients that name none, or one that no pair is for.
    pub(super) fn new(pairs: &[&Pair]) -> Self {
        let mut choice = Self {
            exact: HashMap::new(),
            wild: HashMap::new(),
            rest: pairs.first().map(|first| Arc::clone(&first.key)),
        };
        for pair in pairs {
            for name in &pair.leaf.names {
                let (map, name) = match name.strip_prefix("*.") {
                    Some(parent) => (&mut choice.wild, parent),
                    None => (&mut choice.exact, name.as_str()),
                };
                let keys = map.entry(name.to_owned()).or_default();
                keys.push(Arc::clone(&pair.key));
            }
        }
        choice
    }

    /// The certificate for `name`, if possible with a key that the client can verify. A wildcard stands
    /// for exactly one label (RFC 6125 section 6.4.3), and comes after the name itself.
    fn for_name(
        &self,
        name: Option<&str>,
        schemes: &[SignatureScheme],
    ) -> Option<&Arc<CertifiedKey>> {
        let Some(name) = name.map(str::to_ascii_lowercase) else {
            return self.rest.as_ref();
        };
        let wild = || {
            let (label, parent) = name.split_once('.')?;
            self.wild.get(parent).filter(|_| !label.is_empty())
        };
        let Some(keys) = self.exact.get(&name).or_else(wild) else {
            return self.rest.as_ref();
        };
        keys.iter()
            .find(|key| key.key.choose_scheme(schemes).is_some())
            .or_else(|| keys.first())
    }
}

impl ResolvesServerCert for Choice {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let chosen = self.for_name(hello.server_name(), hello.signature_schemes());
        chosen.map(Arc::clone)
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{pair, pair_of};
    use super::*;

    const EVERY: &[SignatureScheme] = &[
        SignatureScheme::ECDSA_NISTP256_SHA256,
        SignatureScheme::ED25519,
    ];

    fn parsed((chain, key): (String, String)) -> Arc<Pair> {
        Arc::new(Pair::parse(&chain, &key).unwrap())
    }

    #[test]
    fn a_name_gets_the_certificate_that_is_for_it_and_every_other_name_the_first() {
        let first = parsed(pair(&["headscale.company"]));
        let others = [
            parsed(pair(&["*.company", "deep.a.company"])),
            parsed(pair(&["exact.company", "headscale.company"])),
        ];
        let choice = Choice::new(
            &std::iter::once(&first)
                .chain(&others)
                .map(AsRef::as_ref)
                .collect::<Vec<_>>(),
        );
        for (name, expected) in [
            (None, &first),
            (Some("headscale.company"), &first),
            (Some("HEADSCALE.Company"), &first),
            (Some("elsewhere.example"), &first),
            (Some("company"), &first),
            (Some("a.b.company"), &first),
            (Some(".company"), &first),
            (Some("a.company"), &others[0]),
            (Some("deep.a.company"), &others[0]),
            (Some("exact.company"), &others[1]),
        ] {
            let chosen = choice.for_name(name, EVERY).unwrap();
            assert!(Arc::ptr_eq(chosen, &expected.key), "{name:?}");
        }
    }

    #[test]
    fn without_a_certificate_nobody_is_shown_one() {
        let choice = Choice::new(&[]);
        assert!(choice.for_name(None, EVERY).is_none());
        assert!(choice.for_name(Some("a.company"), EVERY).is_none());
    }

    #[test]
    fn of_two_for_one_name_the_client_gets_the_one_it_can_verify() {
        let first = parsed(pair_of(&rcgen::PKCS_ECDSA_P256_SHA256, &["a.company"]));
        let others = [parsed(pair_of(&rcgen::PKCS_ED25519, &["a.company"]))];
        let choice = Choice::new(
            &std::iter::once(&first)
                .chain(&others)
                .map(AsRef::as_ref)
                .collect::<Vec<_>>(),
        );
        for (schemes, expected) in [
            (EVERY, &first),
            (&[SignatureScheme::ED25519][..], &others[0]),
            (&[SignatureScheme::ECDSA_NISTP256_SHA256][..], &first),
            (&[][..], &first),
        ] {
            let chosen = choice.for_name(Some("a.company"), schemes).unwrap();
            assert!(Arc::ptr_eq(chosen, &expected.key), "{schemes:?}");
        }
    }
}
