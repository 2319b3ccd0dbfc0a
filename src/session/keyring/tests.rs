use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::PathBuf;
use std::sync::Barrier;

use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::ops::entropy::SystemRandom;

const NAME: &str = "__Host-headwarden-login-abcdefgh";
const PURPOSE: &str = "login attempt";

fn random() -> Arc<dyn Random> {
    Arc::new(SystemRandom::new())
}

fn load(path: &Path) -> Result<KeyRing, KeyRingError> {
    KeyRing::load_or_create(path, random())
}

/// A directory and the path of a key file in it that does not exist.
fn place() -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("keys.json");
    (directory, path)
}

fn fresh() -> KeyRing {
    let (_directory, path) = place();
    load(&path).unwrap()
}

fn write(path: &Path, text: impl AsRef<[u8]>, mode: u32) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// A key ring's file with these (id, byte) keys.
fn ring_of(keys: &[(&str, u8)]) -> String {
    let entries: Vec<_> = keys
        .iter()
        .map(|(id, byte)| serde_json::json!({"id": id, "key": STANDARD.encode([*byte; 32])}))
        .collect();
    serde_json::to_string(&entries).unwrap()
}

fn loaded(keys: &[(&str, u8)]) -> KeyRing {
    let (_directory, path) = place();
    write(&path, ring_of(keys), 0o600);
    load(&path).unwrap()
}

#[test]
fn what_was_sealed_opens_for_the_same_name_and_purpose() {
    let ring = fresh();
    for plaintext in [&b""[..], b"a", &[0; 3000]] {
        let text = ring.seal(NAME, PURPOSE, plaintext).unwrap();
        assert!(
            text.bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
        );
        assert_eq!(
            ring.open(NAME, PURPOSE, text.as_bytes()).as_deref(),
            Some(plaintext)
        );
    }
}

#[test]
fn another_name_purpose_or_key_opens_nothing() {
    let ring = fresh();
    let text = ring.seal(NAME, PURPOSE, b"attempt").unwrap();
    let open = |ring: &KeyRing, name, purpose| ring.open(name, purpose, text.as_bytes());
    assert!(open(&ring, NAME, PURPOSE).is_some());
    assert!(open(&ring, "__Host-headwarden", PURPOSE).is_none());
    assert!(open(&ring, "headwarden-login-abcdefgh", PURPOSE).is_none());
    assert!(open(&ring, NAME, "session").is_none());
    assert!(open(&ring, NAME, "").is_none());
    assert!(open(&ring, PURPOSE, NAME).is_none());
    assert!(open(&fresh(), NAME, PURPOSE).is_none());
    // The boundary between two fields is part of what is authenticated.
    assert!(open(&ring, &NAME[1..], &format!("{PURPOSE}{}", &NAME[..1])).is_none());
}

#[test]
fn the_same_id_with_another_key_opens_nothing() {
    let text = loaded(&[("00000001", 1)])
        .seal(NAME, PURPOSE, b"attempt")
        .unwrap();
    assert!(
        loaded(&[("00000001", 1)])
            .open(NAME, PURPOSE, text.as_bytes())
            .is_some()
    );
    assert!(
        loaded(&[("00000001", 2)])
            .open(NAME, PURPOSE, text.as_bytes())
            .is_none()
    );
    assert!(
        loaded(&[("00000002", 1)])
            .open(NAME, PURPOSE, text.as_bytes())
            .is_none()
    );
}

#[test]
fn an_old_key_opens_the_newest_seals_and_a_removed_key_is_refused() {
    let before = loaded(&[("00000001", 1)]);
    let rotated = loaded(&[("00000002", 2), ("00000001", 1)]);
    let after = loaded(&[("00000002", 2)]);
    let old = before.seal(NAME, PURPOSE, b"old").unwrap();
    let new = rotated.seal(NAME, PURPOSE, b"new").unwrap();
    assert_eq!(rotated.open(NAME, PURPOSE, old.as_bytes()).unwrap(), b"old");
    assert_eq!(after.open(NAME, PURPOSE, new.as_bytes()).unwrap(), b"new");
    assert!(after.open(NAME, PURPOSE, old.as_bytes()).is_none());
    assert!(before.open(NAME, PURPOSE, new.as_bytes()).is_none());
}

#[test]
fn a_rotation_puts_a_key_in_front_keeps_the_two_before_it_and_drops_the_rest() {
    let (directory, path) = place();
    let first = load(&path).unwrap();
    let old = first.seal(NAME, PURPOSE, b"old").unwrap();
    let turn = || {
        let rotation = rotate(&path, random().as_ref(), false).unwrap();
        let ring = load(&path).unwrap();
        let all: Vec<&String> = [&rotation.newest]
            .into_iter()
            .chain(&rotation.kept)
            .collect();
        assert_eq!(format!("{ring:?}"), format!("{all:?}"));
        (rotation, ring)
    };

    let (once, second) = turn();
    assert_eq!((once.kept.len(), once.dropped.len()), (1, 0));
    let new = second.seal(NAME, PURPOSE, b"new").unwrap();
    assert_eq!(second.open(NAME, PURPOSE, old.as_bytes()).unwrap(), b"old");
    assert!(first.open(NAME, PURPOSE, new.as_bytes()).is_none());

    let (twice, third) = turn();
    assert_eq!(twice.kept, [once.newest.clone(), once.kept[0].clone()]);
    assert_eq!(twice.dropped, Vec::<String>::new());
    assert_eq!(third.open(NAME, PURPOSE, old.as_bytes()).unwrap(), b"old");

    let (thrice, fourth) = turn();
    assert_eq!(thrice.kept, [twice.newest, once.newest]);
    assert_eq!(thrice.dropped, once.kept);
    assert_eq!(fourth.open(NAME, PURPOSE, new.as_bytes()).unwrap(), b"new");
    assert!(fourth.open(NAME, PURPOSE, old.as_bytes()).is_none());

    let alone = rotate(&path, random().as_ref(), true).unwrap();
    assert_eq!((alone.kept.len(), alone.dropped.len()), (0, 3));
    let last = load(&path).unwrap();
    assert!(last.open(NAME, PURPOSE, new.as_bytes()).is_none());
    let mode = fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o600);
    let left: Vec<_> = fs::read_dir(directory.path()).unwrap().collect();
    assert_eq!(left.len(), 1, "a draft was left behind: {left:?}");
}

#[test]
fn a_ring_that_cannot_be_read_is_not_rotated() {
    let (_directory, path) = place();
    assert!(matches!(
        rotate(&path, random().as_ref(), false),
        Err(KeyRingError::Io { action: "read", .. })
    ));
    assert!(!path.exists());
    for (text, mode) in [
        (ring_of(&[("00000001", 1)]), 0o644),
        ("[]".to_owned(), 0o600),
    ] {
        write(&path, &text, mode);
        assert!(rotate(&path, random().as_ref(), true).is_err());
        assert_eq!(fs::read_to_string(&path).unwrap(), text);
    }
}

#[test]
fn a_rotation_through_a_link_changes_the_file_and_keeps_the_link() {
    let (directory, path) = place();
    load(&path).unwrap();
    let link = directory.path().join("link.json");
    symlink(&path, &link).unwrap();
    let rotated = rotate(&link, random().as_ref(), false).unwrap();
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert!(format!("{:?}", load(&path).unwrap()).contains(&rotated.newest));
}

#[test]
fn each_flipped_bit_opens_nothing() {
    let ring = fresh();
    let text = ring.seal(NAME, PURPOSE, b"attempt").unwrap();
    let bytes = URL_SAFE_NO_PAD.decode(&text).unwrap();
    for bit in 0..bytes.len() * 8 {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        let flipped = URL_SAFE_NO_PAD.encode(flipped);
        assert!(
            ring.open(NAME, PURPOSE, flipped.as_bytes()).is_none(),
            "bit {bit}"
        );
    }
    for at in 0..text.len() {
        for bit in 0..8 {
            let mut flipped = text.clone().into_bytes();
            flipped[at] ^= 1 << bit;
            assert!(
                ring.open(NAME, PURPOSE, &flipped).is_none(),
                "character {at}, bit {bit}"
            );
        }
    }
}

#[test]
fn truncated_extended_and_foreign_texts_open_nothing() {
    let ring = fresh();
    let text = ring.seal(NAME, PURPOSE, b"attempt").unwrap();
    for length in 0..text.len() {
        assert!(
            ring.open(NAME, PURPOSE, &text.as_bytes()[..length])
                .is_none(),
            "{length}"
        );
    }
    let bytes = URL_SAFE_NO_PAD.decode(&text).unwrap();
    let bad = [
        format!("{text}A"),
        format!("{text}AAAA"),
        format!("{text}="),
        format!("\"{text}\""),
        format!("{text}\0"),
        URL_SAFE_NO_PAD.encode([&bytes[..], b"x"].concat()),
        "A".repeat(65_536),
        "A".repeat(LONGEST_TEXT),
    ];
    for text in bad {
        assert!(ring.open(NAME, PURPOSE, text.as_bytes()).is_none());
    }
}

#[test]
fn a_text_of_8_kib_opens_and_a_longer_one_does_not() {
    let ring = fresh();
    // Of the 6144 bytes that fit into 8 KiB of base64, 33 are not the plaintext.
    for (length, text_length, opens) in [(6111, 8192, true), (6112, 8194, false)] {
        let text = ring.seal(NAME, PURPOSE, &vec![0; length]).unwrap();
        assert_eq!(text.len(), text_length);
        let opened = ring.open(NAME, PURPOSE, text.as_bytes());
        assert_eq!(opened.is_some(), opens, "{text_length}");
    }
}

#[test]
fn no_nonce_is_used_twice() {
    let ring = fresh();
    let mut seen = HashSet::new();
    for _ in 0..1 << 16 {
        let text = ring.seal(NAME, PURPOSE, b"").unwrap();
        let bytes = URL_SAFE_NO_PAD.decode(text).unwrap();
        assert!(seen.insert(bytes[NONCE_AT..CIPHERTEXT_AT].to_vec()));
    }
}

#[test]
fn the_first_start_creates_a_file_for_its_owner_only_and_the_next_one_reads_it() {
    let (directory, path) = place();
    let text = load(&path)
        .unwrap()
        .seal(NAME, PURPOSE, b"attempt")
        .unwrap();
    assert_eq!(
        fs::metadata(&path).unwrap().permissions().mode() & 0o7777,
        0o600
    );
    let before = fs::read(&path).unwrap();
    assert_eq!(
        load(&path)
            .unwrap()
            .open(NAME, PURPOSE, text.as_bytes())
            .unwrap(),
        b"attempt"
    );
    assert_eq!(fs::read(&path).unwrap(), before);
    assert_eq!(
        fs::read_dir(directory.path()).unwrap().count(),
        1,
        "no draft is left behind"
    );
}

#[test]
fn several_processes_that_create_it_at_once_end_up_with_the_same_keys() {
    for _ in 0..20 {
        let (directory, path) = place();
        let barrier = Barrier::new(4);
        let rings: Vec<KeyRing> = std::thread::scope(|scope| {
            let start = || {
                barrier.wait();
                load(&path).unwrap()
            };
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(start)).collect();
            threads
                .into_iter()
                .map(|thread| thread.join().unwrap())
                .collect()
        });
        let text = rings[0].seal(NAME, PURPOSE, b"attempt").unwrap();
        assert!(
            rings
                .iter()
                .all(|ring| ring.open(NAME, PURPOSE, text.as_bytes()).is_some())
        );
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }
}

#[test]
fn a_file_that_others_may_use_is_refused_and_left_alone() {
    for mode in [0o640, 0o604, 0o644, 0o660, 0o601, 0o620, 0o777] {
        let (_directory, path) = place();
        write(&path, ring_of(&[("00000001", 1)]), mode);
        let before = fs::read(&path).unwrap();
        let error = load(&path).unwrap_err();
        assert!(matches!(error, KeyRingError::Exposed { mode: found, .. } if found == mode));
        assert!(
            error.to_string().contains(&format!("mode {mode:04o}")),
            "{error}"
        );
        assert_eq!(fs::read(&path).unwrap(), before);
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o7777,
            mode
        );
    }
}

#[test]
fn a_read_only_file_of_ours_is_fine() {
    let (_directory, path) = place();
    write(&path, ring_of(&[("00000001", 1)]), 0o400);
    assert!(load(&path).is_ok());
}

#[test]
fn a_broken_file_is_an_error_that_shows_no_key_and_is_left_alone() {
    let good = ring_of(&[("00000001", 1)]);
    let secret = STANDARD.encode([1; 32]);
    let cases = [
        (String::new(), "not a JSON list"),
        (good[..good.len() - 1].to_owned(), "not a JSON list"),
        (format!("{good}x"), "not a JSON list"),
        (format!("{{\"keys\": {good}}}"), "not a JSON list"),
        (format!("\"{secret}\""), "not a JSON list"),
        (good.replace("\"id\"", "\"kid\""), "not a JSON list"),
        (
            good.replace("\"id\"", "\"use\":\"x\",\"id\""),
            "not a JSON list",
        ),
        ("[]".to_owned(), "no key"),
        (good.replace("00000001", "1"), "8 lower-case hex digits"),
        (
            good.replace("00000001", "0000000G"),
            "8 lower-case hex digits",
        ),
        (
            good.replace("00000001", "+0000001"),
            "8 lower-case hex digits",
        ),
        (
            good.replace("00000001", "0000000A"),
            "8 lower-case hex digits",
        ),
        (
            good.replace(&secret, &STANDARD.encode([1; 31])),
            "base64 of 32 bytes",
        ),
        (
            good.replace(&secret, &STANDARD.encode([1; 33])),
            "base64 of 32 bytes",
        ),
        (good.replace(&secret, &secret[1..]), "base64 of 32 bytes"),
        (good.replace(&secret, ""), "base64 of 32 bytes"),
        (ring_of(&[("00000001", 1), ("00000001", 2)]), "the same id"),
        (" ".repeat(70_000), "larger than 64 KiB"),
    ];
    for (text, reason) in cases {
        let (_directory, path) = place();
        write(&path, &text, 0o600);
        let error = load(&path).unwrap_err();
        assert!(
            matches!(error, KeyRingError::Broken { .. }),
            "{text}: {error}"
        );
        assert!(error.to_string().contains(reason), "{text}: {error}");
        assert!(
            !format!("{error} {error:?}").contains(&secret[..16]),
            "{error:?}"
        );
        assert_eq!(fs::read_to_string(&path).unwrap(), text);
    }
}

#[test]
fn a_file_of_64_kib_is_read_and_one_of_a_byte_more_is_not() {
    let ring = ring_of(&[("00000001", 1)]);
    for (length, reads) in [(64 * 1024, true), (64 * 1024 + 1, false)] {
        let (_directory, path) = place();
        let blanks = " ".repeat(length - ring.len());
        write(&path, format!("{ring}{blanks}"), 0o600);
        assert_eq!(load(&path).is_ok(), reads, "{length}");
    }
}

#[test]
fn a_file_that_cannot_be_read_is_not_taken_for_a_missing_one() {
    let (_directory, path) = place();
    write(&path, ring_of(&[("00000001", 1)]), 0o600);
    assert!(matches!(
        load(&path.join("keys.json")),
        Err(KeyRingError::Io { action: "read", .. })
    ));
}

#[test]
fn what_is_not_a_file_of_keys_is_refused_without_waiting_for_it() {
    let (directory, path) = place();
    fs::create_dir(&path).unwrap();
    assert!(matches!(load(&path), Err(KeyRingError::Broken { .. })));
    assert!(matches!(
        load(Path::new("/dev/null")),
        Err(KeyRingError::Broken { .. })
    ));
    let link = directory.path().join("link");
    symlink(directory.path().join("nowhere"), &link).unwrap();
    assert!(matches!(
        load(&link),
        Err(KeyRingError::Io { action: "read", .. })
    ));
    assert!(
        !directory.path().join("nowhere").exists(),
        "a planted link creates nothing elsewhere"
    );
}

#[test]
fn a_directory_that_is_missing_is_named() {
    let (directory, _) = place();
    let error = load(&directory.path().join("missing/keys.json")).unwrap_err();
    assert!(matches!(
        error,
        KeyRingError::Io {
            action: "create",
            ..
        }
    ));
    assert!(error.to_string().contains("missing/keys.json"));
}

#[test]
fn a_debug_print_shows_ids_and_no_key() {
    let ring = loaded(&[("0000000b", 2), ("0000000a", 1)]);
    assert_eq!(format!("{ring:?}"), r#"["0000000b", "0000000a"]"#);
}

proptest! {
    #[test]
    fn anything_at_all_opens_nothing_and_never_panics(text: Vec<u8>) {
        prop_assert!(fresh_once().open(NAME, PURPOSE, &text).is_none());
        let encoded = URL_SAFE_NO_PAD.encode(&text);
        prop_assert!(fresh_once().open(NAME, PURPOSE, encoded.as_bytes()).is_none());
    }

    #[test]
    fn different_fields_never_authenticate_as_the_same_bytes(
        a in (0_u8..3, "[a-c]{0,4}", "[a-c]{0,4}", "[a-c]{0,4}"),
        b in (0_u8..3, "[a-c]{0,4}", "[a-c]{0,4}", "[a-c]{0,4}"),
    ) {
        let of = |f: &(u8, String, String, String)| associated(f.0, f.1.as_bytes(), &f.2, &f.3);
        prop_assert_eq!(a == b, of(&a) == of(&b));
    }
}

fn fresh_once() -> &'static KeyRing {
    static RING: std::sync::LazyLock<KeyRing> = std::sync::LazyLock::new(fresh);
    &RING
}
