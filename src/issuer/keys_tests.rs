use std::os::unix::fs::PermissionsExt as _;

use super::*;

fn identity(issuer: &str, provider: &str) -> KeyIdentity {
    KeyIdentity {
        issuer: Issuer::new(issuer),
        provider_issuer: Issuer::new(provider),
    }
}

fn ours() -> KeyIdentity {
    identity(
        "http://127.0.0.1:8181",
        "https://authentik.company/application/o/headscale/",
    )
}

fn place() -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("issuer.json");
    (directory, path)
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn the_first_start_creates_a_file_that_only_its_owner_reads() {
    let (_directory, path) = place();
    SigningKey::load_or_create(&path, &ours(), false).unwrap();
    assert_eq!(mode(&path), 0o600);
}

#[test]
fn the_second_start_has_the_same_key() {
    let (_directory, path) = place();
    let first = SigningKey::load_or_create(&path, &ours(), false).unwrap();
    let second = SigningKey::load_or_create(&path, &ours(), false).unwrap();
    assert_eq!(first.kid(), second.kid());
    assert_eq!(first.jwks(), second.jwks());
}

#[test]
fn two_files_have_two_keys() {
    let (_one, first) = place();
    let (_two, second) = place();
    let first = SigningKey::load_or_create(&first, &ours(), false).unwrap();
    let second = SigningKey::load_or_create(&second, &ours(), false).unwrap();
    assert_ne!(first.kid(), second.kid());
}

#[test]
fn the_kid_is_the_thumbprint_of_rfc_7638() {
    let (_directory, path) = place();
    let key = SigningKey::load_or_create(&path, &ours(), false).unwrap();
    let jwk = key.jwks()["keys"][0].clone();
    // Section 3: the required members, by their names in order, with no blanks.
    let required: std::collections::BTreeMap<_, _> = ["kty", "y", "x", "crv"]
        .map(|name| (name, jwk[name].as_str().unwrap()))
        .into();
    let text = serde_json::to_string(&required).unwrap();
    let hash = digest::digest(&digest::SHA256, text.as_bytes());
    assert_eq!(URL_SAFE_NO_PAD.encode(hash), key.kid());
}

#[test]
fn a_broken_file_is_an_error_and_stays_as_it_is() {
    let good = {
        let (_directory, path) = place();
        SigningKey::load_or_create(&path, &ours(), false).unwrap();
        std::fs::read_to_string(&path).unwrap()
    };
    let half = good.split_at(good.len() / 2).0.to_owned();
    let not_a_key = serde_json::json!({
        "issuer": ours().issuer.as_str(),
        "provider_issuer": ours().provider_issuer.as_str(),
        "pkcs8": STANDARD.encode("not a key"),
    });
    let mut extra: serde_json::Value = serde_json::from_str(&good).unwrap();
    extra["other"] = true.into();
    let mut no_base64: serde_json::Value = serde_json::from_str(&good).unwrap();
    no_base64["pkcs8"] = "%".into();
    for text in [
        String::new(),
        half,
        not_a_key.to_string(),
        extra.to_string(),
        no_base64.to_string(),
    ] {
        let (_directory, path) = place();
        write_new(&path, &text).unwrap();
        let error = SigningKey::load_or_create(&path, &ours(), true).unwrap_err();
        assert!(
            matches!(error, KeyError::Broken { .. }),
            "{text:?}: {error}"
        );
        assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
    }
}

#[test]
fn a_file_that_others_can_read_is_refused() {
    for bits in [0o640, 0o604, 0o660] {
        let (_directory, path) = place();
        SigningKey::load_or_create(&path, &ours(), false).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(bits)).unwrap();
        let error = SigningKey::load_or_create(&path, &ours(), false).unwrap_err();
        assert!(
            matches!(error, KeyError::Exposed { mode, .. } if mode == bits),
            "{error}"
        );
    }
}

#[test]
fn another_identity_is_refused_byte_for_byte() {
    let (_directory, path) = place();
    SigningKey::load_or_create(&path, &ours(), false).unwrap();
    let provider = ours().provider_issuer.as_str().to_owned();
    for (other, named) in [
        (
            identity("http://127.0.0.1:8181/", &provider),
            "headscale.issuer.url",
        ),
        (
            identity("http://localhost:8181", &provider),
            "headscale.issuer.url",
        ),
        (
            identity("http://127.0.0.1:8181", provider.trim_end_matches('/')),
            "oidc.issuer",
        ),
    ] {
        let error = SigningKey::load_or_create(&path, &other, false).unwrap_err();
        assert!(matches!(error, KeyError::IdentityChanged { .. }), "{error}");
        assert!(error.to_string().contains(named), "{error}");
        assert!(
            error.to_string().contains("--accept-new-identity"),
            "{error}"
        );
    }
}

#[test]
fn an_accepted_identity_is_written_down_and_keeps_the_key() {
    let (_directory, path) = place();
    let first = SigningKey::load_or_create(&path, &ours(), false).unwrap();
    let other = identity("http://127.0.0.1:9999", "https://other.example/");
    let second = SigningKey::load_or_create(&path, &other, true).unwrap();
    assert_eq!(first.kid(), second.kid());
    assert_eq!(mode(&path), 0o600);
    assert!(SigningKey::load_or_create(&path, &other, false).is_ok());
    assert!(SigningKey::load_or_create(&path, &ours(), false).is_err());
}

#[test]
fn a_directory_that_does_not_exist_is_told_by_name() {
    let (_directory, path) = place();
    let path = path.join("below").join("issuer.json");
    let error = SigningKey::load_or_create(&path, &ours(), false).unwrap_err();
    assert!(matches!(error, KeyError::Io { .. }), "{error}");
    assert!(error.to_string().contains("below"), "{error}");
}

#[test]
fn nothing_secret_is_in_the_debug_print() {
    let (_directory, path) = place();
    let key = SigningKey::load_or_create(&path, &ours(), false).unwrap();
    let stored: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    assert!(!format!("{key:?}").contains(stored["pkcs8"].as_str().unwrap()));
}
