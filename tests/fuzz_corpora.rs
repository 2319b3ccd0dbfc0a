//! The fuzz targets without fuzzing: every seed that was ever worth keeping goes through the same
//! bodies and oracles as under `cargo fuzz`, with the ordinary toolchain.
#![cfg(test)]

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use headwarden::domain::claims::NamedClaims;
use headwarden::domain::departure::Departure;
use headwarden::domain::door::Door;
use headwarden::domain::identity::{Email, Identity, Issuer, Subject};
use headwarden::domain::leg::AuthorizeRequest;
use headwarden::domain::time::Timestamp;
use headwarden::domain::username::StripDomain;
use headwarden::headscale::Database;
use headwarden::oidc::claims::Claims;
use headwarden::oidc::id_token::Verified;
use headwarden::oidc::logout_token::LogoutToken;
use headwarden::proxy::head::{Framing, Head};
use http::{Request, Response};
use serde_json::{Value, json};

#[path = "../fuzz/src/lib.rs"]
mod targets;

use targets::TARGETS;

/// Fewest seeds of a target.
const FEWEST: usize = 12;
/// Most bytes of all seeds together.
const MOST_BYTES: u64 = 2 << 20;

fn fuzz() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz")
}

/// The names in a directory, without what is behind a dot.
fn names(directory: &str) -> BTreeSet<String> {
    std::fs::read_dir(fuzz().join(directory))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned())
        .collect()
}

fn seeds(target: &str) -> Vec<PathBuf> {
    let mut seeds: Vec<PathBuf> = std::fs::read_dir(fuzz().join("corpus").join(target))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    seeds.sort();
    seeds
}

#[test]
fn every_seed_passes_its_target() {
    let (mut count, mut failed) = (0, Vec::new());
    for (name, run) in TARGETS {
        for seed in seeds(name) {
            let data = std::fs::read(&seed).unwrap();
            if catch_unwind(|| run(&data)).is_err() {
                failed.push(seed.strip_prefix(fuzz()).unwrap().to_owned());
            }
            count += 1;
        }
    }
    assert_eq!(failed, Vec::<PathBuf>::new(), "their panics are above");
    assert!(count > 500, "only {count} seeds found");
}

#[test]
fn inputs_that_no_target_expects_are_ignored() {
    for (_, run) in TARGETS {
        for data in [
            &b""[..],
            b"\n",
            b"\0",
            b"\xff\xfe",
            &[b'\n'; 20],
            &vec![b'a'; 70_000],
            &[0xc3; 300],
        ] {
            run(data);
        }
    }
}

/// Something that no border may let through.
type Hole = (&'static str, Box<dyn Fn()>);

fn object(value: &Value) -> Claims {
    value.as_object().unwrap().clone()
}

fn holes() -> Vec<Hole> {
    let mut holes: Vec<Hole> = vec![
        (
            "an open door",
            Box::new(|| targets::door::check_door("GET", "/admin", None, &Door::Open)),
        ),
        (
            "a told secret",
            Box::new(|| targets::config_file::check_told("a canary")),
        ),
        (
            "a name in capitals",
            Box::new(|| targets::username::check_name("Zoe", "Zoe", StripDomain::Keep)),
        ),
        (
            "another name",
            Box::new(|| targets::username::check_name("eve", "zoe@a.b", StripDomain::Strip)),
        ),
        (
            "injected SQL",
            Box::new(|| targets::migration::check_script("DROP;", Database::Sqlite)),
        ),
        (
            "a code for nobody",
            Box::new(|| {
                let request = Request::post("/token").body(bytes::Bytes::from("code=x"));
                targets::token_endpoint::check_redeemed(&request.unwrap(), "x");
            }),
        ),
        (
            "an authorization request without anything",
            Box::new(|| {
                let request = AuthorizeRequest {
                    state: "s".to_owned(),
                    nonce: "n".to_owned(),
                    challenge: None,
                    redirect_uri: "https://evil.example".to_owned(),
                    scope: "openid".to_owned(),
                };
                targets::authorize::check_request(&[], &request);
            }),
        ),
        (
            "a script on a page",
            Box::new(|| {
                let page = |html: &'static str| {
                    let response = Response::builder().header("content-security-policy", "a");
                    response.body(bytes::Bytes::from(html)).unwrap()
                };
                targets::pages::check_page(&page("<p><script>"), &page("<p>"));
            }),
        ),
        (
            "two ways of framing",
            Box::new(|| check_head("Content-Length: 5\r\nTransfer-Encoding: chunked")),
        ),
        (
            "a blank before the colon",
            Box::new(|| check_head("X-Auth-User : x")),
        ),
        ("an address that nobody verified", Box::new(check_email)),
    ];
    for target in [
        "//evil.example",
        "/\\evil.example",
        "/%2f/evil.example",
        "/a%0d%0ab",
        "https://evil",
    ] {
        holes.push((
            target,
            Box::new(|| targets::return_to::check_accepted(target)),
        ));
    }
    for (header, payload) in [
        (json!({"alg": "none"}), json!({})),
        (json!({"alg": "EdDSA", "typ": "logout+jwt"}), json!({})),
        (
            json!({"alg": "EdDSA"}),
            json!({"iss": "https://evil.example", "aud": "headwarden"}),
        ),
    ] {
        let (header, payload) = (header.to_string(), payload.to_string());
        let check = move || {
            let verified = Verified {
                claims: Claims::new(),
                subject: Subject::new("s"),
                expires_at: Timestamp::from_unix(0),
                auth_time: None,
                provider_session: None,
            };
            targets::id_token::check_verified(header.as_bytes(), payload.as_bytes(), &verified);
        };
        holes.push(("a token that is none", Box::new(check)));
    }
    holes.extend(logout_holes());
    holes
}

fn logout_holes() -> Vec<Hole> {
    let mut holes: Vec<Hole> = Vec::new();
    for (header, claims) in [
        (json!({"alg": "EdDSA", "typ": "at+jwt"}), json!({})),
        (json!({"alg": "none"}), json!({})),
        (json!({"alg": "EdDSA"}), json!({"nonce": "n"})),
        (json!({"alg": "EdDSA"}), json!({"events": {}})),
        (json!({"alg": "EdDSA"}), json!({"sub": "somebody else"})),
        (json!({"alg": "EdDSA"}), json!({"sid": "s"})),
        (json!({"alg": "EdDSA"}), json!({"iat": 1_799_000_000})),
        (json!({"alg": "EdDSA"}), json!({"aud": "another client"})),
    ] {
        holes.push((
            "a logout token that is none",
            Box::new(move || check_logout_token(&header, &claims)),
        ));
    }
    holes
}

/// A logout token that was taken for one although its header and these claims are wrong.
fn check_logout_token(header: &Value, changed: &Value) {
    let mut claims = json!({
        "iss": targets::id_token::ISSUER, "aud": targets::id_token::CLIENT, "sub": "s",
        "iat": 1_800_000_000, "exp": 1_800_000_300, "jti": "j",
        "events": { "http://schemas.openid.net/event/backchannel-logout": {} },
    });
    let members = claims.as_object_mut().unwrap();
    members.extend(changed.as_object().unwrap().clone());
    let told = LogoutToken {
        departure: Departure::Person(Subject::new("s")),
        used_as: "j".to_owned(),
    };
    let (header, claims) = (header.to_string(), claims.to_string());
    targets::logout_token::check_told(header.as_bytes(), claims.as_bytes(), &told);
}

#[test]
fn a_logout_token_that_is_one_passes_its_oracle() {
    check_logout_token(&json!({"alg": "EdDSA"}), &json!({}));
}

/// A head that was taken although its bytes have this field.
fn check_head(field: &str) {
    let raw = |field: &str| format!("GET / HTTP/1.1\r\nHost: a\r\n{field}\r\n\r\n");
    let good = Head::parse(raw("X: y").as_bytes()).unwrap();
    let head = Head {
        body: Framing::Length(5),
        ..good
    };
    targets::head::check_head(&head, raw(field).as_bytes());
}

fn check_email() {
    let who = Identity {
        issuer: Issuer::new("https://i.test/"),
        subject: Subject::new("s"),
        email: Some(Email::new("b@x.example")),
        email_verified: true,
        username: None,
        name: None,
        picture: None,
        groups: Vec::new().into(),
        claims: NamedClaims::default(),
    };
    let token = object(&json!({"email": "a@x.example", "email_verified": true}));
    targets::claims::check_email(&token, &object(&json!({"email": "b@x.example"})), &who);
}

#[test]
fn the_oracles_see_a_hole() {
    for (name, check) in holes() {
        let seen = catch_unwind(AssertUnwindSafe(check)).is_err();
        assert!(seen, "{name} is not seen");
    }
}

#[test]
fn every_target_has_a_program_seeds_and_a_dictionary_and_nothing_else_has() {
    let known: BTreeSet<String> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(known.len(), TARGETS.len());
    for directory in ["fuzz_targets", "corpus", "dictionaries"] {
        assert_eq!(names(directory), known, "fuzz/{directory}");
    }
    let manifest = std::fs::read_to_string(fuzz().join("Cargo.toml")).unwrap();
    for (name, _) in TARGETS {
        let entry = format!("name = \"{name}\"\npath = \"fuzz_targets/{name}.rs\"\n");
        assert!(manifest.contains(&entry), "{name} has no [[bin]]");
        // Only `cargo fuzz` compiles these, so they may be nothing but this.
        let program = std::fs::read_to_string(fuzz().join(format!("fuzz_targets/{name}.rs")));
        let call = format!("headwarden_fuzz::{name}::run(data)");
        let expected =
            format!("#![no_main]\n\nlibfuzzer_sys::fuzz_target!(|data: &[u8]| {call});\n");
        assert_eq!(program.unwrap(), expected, "{name}");
    }
    assert_eq!(manifest.matches("[[bin]]").count(), TARGETS.len());
}

#[test]
fn the_corpora_stay_small_and_the_dictionaries_can_be_read() {
    let mut bytes = 0;
    for (name, _) in TARGETS {
        let seeds = seeds(name);
        assert!(seeds.len() >= FEWEST, "{name} has {} seeds", seeds.len());
        bytes += seeds
            .iter()
            .map(|seed| seed.metadata().unwrap().len())
            .sum::<u64>();
        let dictionary = fuzz().join(format!("dictionaries/{name}.dict"));
        let text = std::fs::read_to_string(dictionary).unwrap();
        let words: Vec<&str> = text
            .lines()
            .filter(|line| !line.is_empty() && !line.starts_with('#'))
            .collect();
        assert!(words.len() >= 5, "{name} has {} words", words.len());
        for word in words {
            let inner = word
                .strip_prefix('"')
                .and_then(|rest| rest.strip_suffix('"'));
            let inner = inner.unwrap_or_else(|| panic!("{name}: {word} has no quotes"));
            assert!(!inner.is_empty() && is_word(inner), "{name}: {word}");
        }
    }
    assert!(bytes <= MOST_BYTES, "{bytes} bytes of seeds");
}

/// A word of a dictionary as libFuzzer reads it: printable, with `\\`, `\"` and `\xAB`.
fn is_word(text: &str) -> bool {
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        let fine = match byte {
            b'"' => false,
            b'\\' => match bytes.next() {
                Some(b'\\' | b'"') => true,
                Some(b'x') => {
                    let mut digit = || bytes.next().is_some_and(|b| b.is_ascii_hexdigit());
                    digit() && digit()
                }
                _ => false,
            },
            other => (b' '..=b'~').contains(&other),
        };
        if !fine {
            return false;
        }
    }
    true
}
