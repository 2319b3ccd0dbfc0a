use super::*;
use proptest::prelude::*;
use url::Url;

/// What browsers would make of it (WHATWG URL), and what its bytes begin with.
fn stays(target: &str) -> bool {
    let ours = Url::parse("https://ours.example/").unwrap();
    let bytes = target.as_bytes();
    bytes.first() == Some(&b'/')
        && !matches!(bytes.get(1), Some(b'/' | b'\\'))
        && bytes.iter().all(u8::is_ascii_graphic)
        && ours
            .join(target)
            .is_ok_and(|url| url.origin() == ours.origin())
}

fn decode(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

/// The ways in which somebody may read a text before it becomes a target.
fn readings(text: &str) -> [String; 4] {
    let once = decode(text);
    let twice = decode(&once);
    [text.to_owned(), text.replace('+', " "), once, twice]
}

/// What must not be taken, in no reading.
const REFUSED: &[&str] = &[
    // Other schemes.
    "https://evil",
    "http:evil",
    "https:evil",
    "https:/evil",
    "https:///evil",
    "HTTPS://evil",
    " https://evil",
    "\thttps://evil",
    "\nhttps://evil",
    "\u{a0}https://evil",
    "javascript:alert(1)",
    "java\nscript:alert(1)",
    "JAVASCRIPT:alert(1)",
    "data:text/html,x",
    "vbscript:x",
    "ftp://evil",
    "mailto:a@evil",
    "file:///etc/passwd",
    "view-source:x",
    "blob:https://evil/x",
    // Slashes and backslashes.
    "//evil",
    "///evil",
    "////evil",
    "//",
    "///",
    "/\\evil",
    "\\/evil",
    "\\\\evil",
    "\\evil",
    "/\\/evil",
    "\\/\\/evil",
    "/\\\\evil",
    "//\\evil",
    "/a\\b",
    "/a//evil",
    "//evil/..",
    "//evil.com/%2f..",
    "//evil%2f@ours",
    "/%2f/evil",
    "/%2fevil",
    "/%2F%2Fevil",
    "%2f%2fevil",
    "/%5cevil",
    "/%5c%5cevil",
    "/%5C/evil",
    "/%252fevil",
    "/%252f/evil",
    "/%255cevil",
    "/%25252fevil",
    "//%65vil",
    "//;@evil",
    "/;@evil",
    "///\\;@evil",
    "//?evil",
    "//#evil",
    // Blanks and controls, which parsers drop or stop at.
    "/%09/evil",
    "/%0a/evil",
    "/%0d/evil",
    "/%0b/evil",
    "/%0c/evil",
    "/%00/evil",
    "/%20/evil",
    "/%1f/evil",
    "/%7f/evil",
    "/\t/evil",
    "/\n/evil",
    "/\r/evil",
    "/\x0b\\evil",
    "/\t\t\\\t/evil",
    "//\tevil",
    "/ /evil",
    "/ evil",
    " //evil",
    "\t//evil",
    "\n//evil",
    "/%20/\\evil",
    "/%c2%a0/evil",
    "/%e2%80%a8/evil",
    "/%e2%80%8b/evil",
    "/\u{a0}/evil",
    "/\u{2028}/evil",
    "\0//evil",
    "/\0/evil",
    "/evil ",
    "/%e3%80%80/evil",
    // Dot segments.
    "/./\\evil",
    "/../\\evil",
    "/.//evil",
    "/..//evil",
    "/%2e//evil",
    "/%2e%2e//evil",
    "/./../../\\evil",
    "/x/..//evil",
    "/..//evil/%2f..",
    "/.evil//",
    "/./",
    "/..",
    "/.",
    "/x/%2e%2e/%2f/evil",
    "/%2e%2e%2fevil",
    "/../../evil",
    // Whole addresses, however much of us they name.
    "https://ours.example/",
    "https://ours.example",
    "https://ours@evil",
    "https://ours:pw@evil",
    "https://evil\\@ours",
    "https://evil#@ours",
    "https://evil?@ours",
    "https://ours\\.evil",
    "https://ours%2eevil",
    "https://ours%00.evil",
    "https://ours%E3%80%82evil",
    "https://ours\u{3002}evil",
    "https://[::1]",
    "https://0x7f.1",
    "http://3627734734",
    "http://0330.072.07.076",
    "//ours@evil",
    "//ours:443@evil",
    "//ours:0443",
    "//ours:80",
    "//ours.",
    "//xn--urs-1na",
    "//\u{ff4f}urs",
    "https://\u{ff4f}urs",
    "//evil%00.ours",
    "//0x7f000001",
    "//[::1]",
    "@evil",
    ":443@evil",
    ":80",
    ".evil",
    "evil",
    "evil/",
    "www.evil.com",
    // Look-alikes.
    "/\u{ff0f}evil",
    "/%ef%bc%8fevil",
    "/%ef%bc%bcevil",
    "/%e2%81%84evil",
    "/%e2%88%95evil",
    "\u{3031}evil",
    "\u{3035}evil",
    "\u{309d}evil",
    "\u{30fc}evil",
    "\u{ff70}evil",
    "/\u{3031}evil",
    "/<>//evil",
    "/<>/evil",
    "//evil\u{3002}com",
    "/%e3%80%82/evil",
    // Header splitting.
    "/x\r\nLocation: evil",
    "/x\rLocation: evil",
    "/x\nLocation: evil",
    "/x%0d%0aSet-Cookie:a=b",
    "/x%0dSet-Cookie:a=b",
    "/x%0aSet-Cookie:a=b",
    "/x?\r\nSet-Cookie:a=b",
    "/x?%0d%0aSet-Cookie:a=b",
    "/x?%0aa",
    "/x?a=%00",
    "/%E5%98%8A%E5%98%8DSet-Cookie:a=b",
    "/x?%E5%98%8A%E5%98%8DLocation:evil",
    "/x%250d%250aSet-Cookie:a=b",
    "/x?%250d%250aSet-Cookie:a=b",
    "/x?%25250aSet-Cookie:a=b",
    "/x?a=%2500",
    "/x?%E5%98%8A",
    "/x?%25E5%2598%258D",
    "/x?%E4%B8%8D%E4%B8%8ASet-Cookie:a=b",
    "/x?%E0%A4%8D%E0%A4%8A",
    // No path at all, or not only one.
    "",
    "?",
    "#",
    "?//evil",
    "#//evil",
    "?rd=/",
    "x",
    ".",
    "..",
    "*",
    "/#",
    "/#/evil",
    "/x#//evil",
    "/%",
    "/%zz",
    "/%2",
    "/%u002f/evil",
    "/%c0%af/evil",
    "/%ff",
    "/;/",
    "/x;y",
    "/x|y",
    "/\"",
    "/{x}",
];

/// Ours, but nowhere to go to after a sign-in.
const LOOPS: &[&str] = &[
    "/oidc/callback",
    "/oidc/callback?code=x&state=hw1.y",
    "/oidc/callback/",
    "/oidc/callback/x",
    "/.headwarden",
    "/.headwarden/",
    "/.headwarden/logout",
    "/.headwarden/sign-in",
    "/.headwarden/authorize?x",
    "/.headwarden/x/y",
    "/.headwarden/sessions?x",
    "/.headwarden/devices?user=1",
    "/.headwarden/devices/",
    "/.headwarden/devices/remove",
    "/.headwarden/devices/sign-out?id=1",
    "/.headwarden/sessions/",
    "/.headwarden/sessions/x",
    "/.headwarden%2Fsessions",
    "/.headwarden/sessions%3Fx",
    "//.headwarden/sessions",
    "/.headwarden%3Fx",
    "/.headwarden/logout%3fx",
    "/.headwarden%20",
    "/oidc/callback%3Fcode=x&state=hw1.y",
    "/oidc/callback%20",
];

#[test]
fn what_is_not_provably_ours_is_refused_and_in_no_reading_leaves_us() {
    for text in REFUSED {
        assert_eq!(ReturnTo::parse(text), None, "{text:?}");
        for reading in readings(text) {
            assert!(
                ReturnTo::parse(&reading).is_none_or(|to| stays(to.as_str())),
                "{text:?} read as {reading:?}"
            );
        }
    }
}

#[test]
fn our_own_endpoints_are_no_destination() {
    for text in LOOPS {
        assert_eq!(ReturnTo::parse(text), None, "{text:?}");
    }
}

#[test]
fn ordinary_targets_are_kept_byte_for_byte() {
    for target in [
        "/",
        "/?",
        "/admin/",
        "/web/a.b/c-d_e~f?tab=2&x=%2F",
        "/register/hskey-authreq-0123456789abcdef01234567",
        "/auth/hskey-authreq-0123456789abcdef01234567",
        "/register/abc?x=https://evil",
        "/a?rd=//evil&rd=/ok",
        "/a%20b?c=%2f%2f",
        "/caf%C3%A9/%C4%8D%C4%8A",
        "/a?q=%C4%8D+x",
        "/%E4%B8%8A?q=%E4%B8%8D",
        "/a?q=%E4%B8%8A+%E4%B8%8D",
        "/a?next=/b%3Fc=%2526",
        "/oidc",
        "/oidc/callbackx",
        "/.headwardenx",
        "/.headwarden/sessions",
        "/.headwarden/devices",
        "/.headwarden/devices/add",
        "/.headwarden/devices/people",
        "/@evil",
        "/:80",
        "/http:",
        "/evil.com",
    ] {
        assert_eq!(ReturnTo::parse(target).unwrap().as_str(), target);
        assert!(
            readings(target)
                .iter()
                .all(|reading| stays(&reading.replace(|c: char| !c.is_ascii_graphic(), "_")))
        );
    }
    assert_eq!(ReturnTo::root().as_str(), "/");
    assert_eq!(ReturnTo::parse("/"), Some(ReturnTo::root()));
}

#[test]
fn a_target_over_two_kibibytes_is_refused() {
    let path = |length: usize| format!("/{}", "a".repeat(length - 1));
    assert!(ReturnTo::parse(&path(LONGEST)).is_some());
    for length in [LONGEST + 1, 8 * 1024, 64 * 1024] {
        assert_eq!(ReturnTo::parse(&path(length)), None);
    }
}

#[test]
fn a_bad_target_is_refused_when_it_is_read_back() {
    for text in REFUSED.iter().chain(LOOPS) {
        let json = serde_json::to_string(text).unwrap();
        assert!(serde_json::from_str::<ReturnTo>(&json).is_err(), "{text:?}");
    }
    for json in ["null", "1", "[\"/\"]", "{}"] {
        assert!(serde_json::from_str::<ReturnTo>(json).is_err(), "{json}");
    }
    let target = ReturnTo::parse("/fine?x=y").unwrap();
    let json = serde_json::to_string(&target).unwrap();
    assert_eq!(json, "\"/fine?x=y\"");
    assert_eq!(serde_json::from_str::<ReturnTo>(&json).unwrap(), target);
}

fn hostile() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        3 => proptest::sample::select(vec![
            "/", "\\", "//", "/\\", "evil.com", "@", ":", "?", "#", ".", "..", "%2f", "%5c", "%2e", "%09", "%0a", "%00",
            "%25", "%20", "+", "\t", "\n", "\r", " ", ";", "https:", "javascript:", "%ef%bc%8f", "\u{ff0f}", "\u{3002}",
            "%e5%98%8a", "ours.example", "&", "=", "a",
        ])
        .prop_map(str::to_owned),
        1 => "\\PC{0,3}",
    ];
    proptest::collection::vec(piece, 0..8).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    /// Taken as it is, decoded once or twice: a browser never leaves, and no header is split.
    #[test]
    fn whatever_is_taken_stays_on_this_origin(text in hostile(), slash in any::<bool>()) {
        let text = if slash { format!("/{text}") } else { text };
        if let Some(target) = ReturnTo::parse(&text) {
            prop_assert!(stays(target.as_str()), "{:?}", target);
            for reading in readings(target.as_str()) {
                let ours = Url::parse("https://ours.example/").unwrap();
                let joined = ours.join(&reading).unwrap();
                prop_assert_eq!(joined.origin(), ours.origin(), "{:?} read as {:?}", target, reading);
            }
            let twice = decode(&decode(target.as_str()));
            prop_assert!(!twice.chars().any(char::is_control), "{:?}", target);
        }
    }
}
