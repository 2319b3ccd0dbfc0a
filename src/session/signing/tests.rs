use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use ring::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};

use super::super::keyring::rotate;
use super::*;
use crate::ops::entropy::SystemRandom as Entropy;

fn load(path: &Path) -> SigningKeys {
    let ring = KeyRing::load_or_create(path, Arc::new(Entropy::new())).unwrap();
    SigningKeys::of(&ring).unwrap()
}

fn kids(keys: &SigningKeys) -> BTreeSet<String> {
    let keys = keys.jwks();
    let keys = keys["keys"].as_array().unwrap().iter();
    keys.map(|key| key["kid"].as_str().unwrap().to_owned())
        .collect()
}

/// Whether the set of `theirs` has the key of a token of `ours`, and it verifies.
fn verifies(ours: &SigningKeys, theirs: &SigningKeys) -> bool {
    let token = ours.sign("x+jwt", &json!({"sub": "ann"})).unwrap();
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let (header, claims) = signed.split_once('.').unwrap();
    let decode = |text: &str| URL_SAFE_NO_PAD.decode(text).unwrap();
    let header: Value = serde_json::from_slice(&decode(header)).unwrap();
    assert_eq!(header["alg"], "ES256");
    assert_eq!(header["typ"], "x+jwt");
    assert_eq!(header["kid"], ours.kid());
    assert_eq!(decode(claims), br#"{"sub":"ann"}"#);
    let keys = theirs.jwks();
    let mut keys = keys["keys"].as_array().unwrap().iter();
    let Some(key) = keys.find(|key| key["kid"] == header["kid"]) else {
        return false;
    };
    let half = |name: &str| decode(key[name].as_str().unwrap());
    let point = [&[4][..], &half("x"), &half("y")].concat();
    let public = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point);
    public.verify(signed.as_bytes(), &decode(signature)).is_ok()
}

#[test]
fn the_same_ring_has_the_same_keys_and_another_ring_has_others() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("keys.json");
    let (one, same) = (load(&path), load(&path));
    let other = load(&directory.path().join("other.json"));
    assert_eq!(one.jwks(), same.jwks());
    assert!(verifies(&one, &same) && verifies(&same, &one) && verifies(&one, &one));
    assert!(!verifies(&one, &other) && kids(&one).is_disjoint(&kids(&other)));
}

/// A replica that was restarted after a rotation, and one that was not, and an upstream that has fetched
/// the set of either: all of them verify what any of them signs.
#[test]
fn while_a_rotation_goes_round_every_set_verifies_what_every_replica_signs() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("keys.json");
    let mut before = load(&path);
    let mut signers = BTreeSet::from([before.kid().to_owned()]);
    for round in 0..4 {
        rotate(&path, &Entropy::new(), false).unwrap();
        let after = load(&path);
        for (ours, theirs) in [(&before, &after), (&after, &before), (&after, &after)] {
            assert!(verifies(ours, theirs), "round {round}");
        }
        signers.insert(after.kid().to_owned());
        before = after;
    }
    // It is a rotation all the same: a key signs from the second rotation on.
    assert_eq!(signers.len(), 4);
    assert_eq!(kids(&before).len(), 3);

    // What somebody may have read counts for nothing at once.
    rotate(&path, &Entropy::new(), true).unwrap();
    let fresh = load(&path);
    assert!(!verifies(&before, &fresh) && !verifies(&fresh, &before));
    assert!(kids(&before).is_disjoint(&kids(&fresh)));
}

#[test]
fn nothing_that_is_shown_or_published_is_a_private_key() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("keys.json");
    let keys = load(&path);
    assert_eq!(
        format!("{keys:?}"),
        format!("SigningKeys({:?})", keys.kid())
    );
    for key in keys.jwks()["keys"].as_array().unwrap() {
        let members: Vec<&str> = key
            .as_object()
            .unwrap()
            .keys()
            .map(String::as_str)
            .collect();
        assert_eq!(members, ["alg", "crv", "kid", "kty", "use", "x", "y"]);
    }
}

#[test]
fn what_is_no_private_key_is_skipped_and_the_next_seed_is_taken() {
    // Zero, and the order of the curve (SEC 2 section 2.4.2), of which the next smaller one is a key.
    let order = p256_order();
    let mut largest = order;
    largest[31] -= 1;
    let key = |seeds: &[[u8; 32]]| SigningKey::from_seeds(seeds.iter().copied()).map(|key| key.kid);
    assert_eq!(key(&[[0; 32], order, [255; 32]]), None);
    assert!(key(&[largest]).is_some());
    assert_eq!(key(&[[0; 32], order, [7; 32]]), key(&[[7; 32]]));
    assert_ne!(key(&[[7; 32]]), key(&[[8; 32]]));
}

fn p256_order() -> [u8; 32] {
    let hex = "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551";
    std::array::from_fn(|at| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).unwrap())
}
