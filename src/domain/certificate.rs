//! What a certificate says of itself (RFC 5280): whom it is for, and when.

use std::time::Duration;

use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer as _;
use x509_parser::time::ASN1Time;

use super::hash::sha256;
use super::time::Timestamp;

/// Certificates of one age are not all renewed in the same minute: up to one part in this many of a
/// certificate's life before the time.
const SPREAD: u64 = 50;

/// The first certificate of a chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leaf {
    /// The DNS names it is for, in lower case; they may begin with `*.`.
    pub names: Vec<String>,
    /// When it begins to be good.
    pub begins: Timestamp,
    /// When it ends to be.
    pub expires: Timestamp,
    /// Its public key: the `SubjectPublicKeyInfo` in DER.
    pub key: Vec<u8>,
    /// Where in the time for renewal it is: the same for the same certificate.
    place: u64,
}

impl Leaf {
    /// Reads a certificate in DER; `None` for what is none. Nothing is verified.
    pub fn parse(der: &[u8]) -> Option<Self> {
        let (_, leaf) = X509Certificate::from_der(der).ok()?;
        let names = leaf.subject_alternative_name().ok().flatten();
        let names = names.map(|found| found.value.general_names.iter());
        let names = names
            .into_iter()
            .flatten()
            .filter_map(|name| match name {
                GeneralName::DNSName(name) => Some(name.to_ascii_lowercase()),
                _ => None,
            })
            .collect();
        let at =
            |time: ASN1Time| Timestamp::from_unix(u64::try_from(time.timestamp()).unwrap_or(0));
        let validity = leaf.validity();
        let place = sha256(der).into_iter().take(4);
        Some(Self {
            names,
            begins: at(validity.not_before),
            expires: at(validity.not_after),
            key: leaf.public_key().raw.to_vec(),
            place: place.fold(0, |place, byte| place << 8 | u64::from(byte)),
        })
    }

    /// What keeps it from being good at `now`.
    pub fn fault(&self, now: Timestamp) -> Option<&'static str> {
        if self.expires <= now {
            Some("has expired")
        } else if self.begins > now {
            Some("is not valid yet")
        } else {
            None
        }
    }

    /// When it should be renewed: when two thirds of its life are over, or a little before.
    pub fn renewal(&self) -> Timestamp {
        let life = self.expires.since(self.begins).as_secs();
        let early = (life / SPREAD).saturating_mul(self.place) >> 32;
        let due = (life / 3 * 2).saturating_sub(early);
        self.begins.plus(Duration::from_secs(due))
    }

    /// Whether it is for every one of these names, written in lower case.
    pub fn covers(&self, names: &[String]) -> bool {
        names.iter().all(|name| self.names.contains(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: u64 = 86_400;

    fn leaf(begins: u64, expires: u64, place: u64) -> Leaf {
        Leaf {
            names: vec!["headscale.company".to_owned()],
            begins: Timestamp::from_unix(begins),
            expires: Timestamp::from_unix(expires),
            key: Vec::new(),
            place,
        }
    }

    #[test]
    fn renewal_is_due_when_two_thirds_of_a_life_are_over_or_a_little_before() {
        for (days, earliest, latest) in [(90, 58, 60), (6, 3, 4), (3, 1, 2)] {
            let life = days * DAY;
            let late = leaf(1000, 1000 + life, 0).renewal().unix() - 1000;
            let early = leaf(1000, 1000 + life, u64::from(u32::MAX))
                .renewal()
                .unix()
                - 1000;
            assert_eq!(late, latest * DAY, "{days} days");
            assert!(
                early < late && early >= earliest * DAY,
                "{days} days: {early}"
            );
        }
        assert_eq!(leaf(10, 5, 7).renewal().unix(), 10, "it never was good");
    }

    #[test]
    fn a_certificate_is_good_between_its_two_times() {
        for (now, expected) in [
            (99, Some("is not valid yet")),
            (100, None),
            (199, None),
            (200, Some("has expired")),
        ] {
            let now = Timestamp::from_unix(now);
            assert_eq!(leaf(100, 200, 0).fault(now), expected, "{now:?}");
        }
    }

    #[test]
    fn it_covers_the_names_it_holds_and_no_others() {
        let leaf = leaf(0, 1, 0);
        let names = |names: &[&str]| {
            names
                .iter()
                .map(|name| (*name).to_owned())
                .collect::<Vec<_>>()
        };
        assert!(leaf.covers(&names(&["headscale.company"])));
        assert!(!leaf.covers(&names(&["headscale.company", "other.company"])));
    }

    #[test]
    fn what_is_no_certificate_is_none() {
        let key = rcgen::KeyPair::generate().unwrap();
        let params = rcgen::CertificateParams::new(vec!["A.company".to_owned()]).unwrap();
        let certificate = params.self_signed(&key).unwrap();
        let der = certificate.der();
        let leaf = Leaf::parse(der).unwrap();
        assert_eq!(leaf.names, ["a.company"]);
        assert!(leaf.begins < leaf.expires);
        assert_eq!(Leaf::parse(der), Some(leaf));
        for wrong in [&b""[..], b"text", &der[..der.len() / 2]] {
            assert_eq!(Leaf::parse(wrong), None);
        }
    }
}
