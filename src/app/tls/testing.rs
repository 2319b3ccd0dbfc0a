//! Certificates for the tests of this room.

use rcgen::{CertificateParams, KeyPair, SignatureAlgorithm, date_time_ymd};

/// A self-signed certificate for these names, and its key, in PEM.
pub(super) fn pair(names: &[&str]) -> (String, String) {
    pair_of(&rcgen::PKCS_ECDSA_P256_SHA256, names)
}

/// The same with another kind of key.
pub(super) fn pair_of(kind: &'static SignatureAlgorithm, names: &[&str]) -> (String, String) {
    let key = KeyPair::generate_for(kind).unwrap();
    let certificate = params(names).self_signed(&key).unwrap();
    (certificate.pem(), key.serialize_pem())
}

/// The same, good in the year 2001 only.
pub(super) fn expired(names: &[&str]) -> (String, String) {
    let key = KeyPair::generate().unwrap();
    let mut params = params(names);
    params.not_before = date_time_ymd(2001, 1, 1);
    params.not_after = date_time_ymd(2002, 1, 1);
    (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
}

fn params(names: &[&str]) -> CertificateParams {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    CertificateParams::new(names).unwrap()
}
