use super::*;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use proptest::prelude::*;

fn refusal(raw: impl AsRef<[u8]>) -> Option<TargetError> {
    Target::parse(raw.as_ref()).err()
}

#[test]
fn ordinary_targets_are_kept_byte_for_byte() {
    for raw in [
        "/",
        "/?",
        "/register/hskey-authreq-AAAAAAAAAAAAAAAAAAAAAAAA",
        "/ts2021?X-Tailscale-Handshake=AAAA/+==",
        "/web/",
        "/a.b/c..d/...e/.well-known",
        "/public../private",
        "/admin/a%20b?q=%2f..%2f&x=;a=1&r=//evil",
        "/caf%C3%A9/%e6%97%a5",
        "/%22quoted%22/%3Cb%3E/%7B%7D",
        "/api/v1/user/1/rename/bob%40example.net",
        "/@vite/client.js?v=1",
        "/(group)/$id-_index.js,a=b:c+d*e!f'g&h",
        "/private/%3F/public/",
        "/a?b?c=/../d&e=100%&f=\\^`{|}[]'",
    ] {
        let target = Target::parse(raw.as_bytes()).unwrap();
        assert_eq!(target.as_str(), raw);
        assert_eq!(target.to_string(), raw);
    }
}

#[test]
fn path_and_query_are_told_apart_at_the_first_question_mark() {
    for (raw, path, query) in [
        ("/a", "/a", None),
        ("/a?", "/a", Some("")),
        ("/a?b", "/a", Some("b")),
        ("/a?b?c", "/a", Some("b?c")),
        ("/?/public/", "/", Some("/public/")),
        ("/private?path=/health", "/private", Some("path=/health")),
    ] {
        let target = Target::parse(raw.as_bytes()).unwrap();
        assert_eq!((target.path(), target.query()), (path, query), "{raw}");
    }
}

#[test]
fn every_value_of_a_parameter_shows_under_every_spelling_of_its_name() {
    let target =
        Target::parse(b"/?b=1&a=0&b=2&%62=3&b&b[]=4&B=5&;b=6&c=%2B+%26&d=%zz&e=%ff").unwrap();
    assert_eq!(target.query_values("b"), ["1", "2", "3", ""]);
    assert_eq!(target.query_values("c"), ["+ &"]);
    assert_eq!(target.query_values("d"), ["%zz"]);
    assert_eq!(target.query_values("e"), ["\u{fffd}"]);
    assert!(target.query_values("missing").is_empty());
    for raw in ["/", "/?", "/?&&", "/?=&=", "/???"] {
        let target = Target::parse(raw.as_bytes()).unwrap();
        assert!(target.query_values("state").is_empty(), "{raw}");
    }
    let many = format!("/?{}", "a=b&".repeat(2000));
    let target = Target::parse(many.as_bytes()).unwrap();
    assert_eq!(target.query_values("a").len(), 2000);
}

#[test]
fn a_target_that_is_no_path_is_refused() {
    for raw in [
        "",
        "*",
        "http://evil/x",
        "HTTP://ours/",
        "evil:443",
        ":80/",
        "evil",
        "?/a",
        "\\a",
        " /a",
        "%2f",
        "./a",
        "../a",
        "\t/a",
        "#/a",
    ] {
        assert_eq!(refusal(raw), Some(TargetError::NotOriginForm), "{raw:?}");
    }
}

#[test]
fn dot_segments_are_refused_wherever_they_stand() {
    for raw in [
        "/public/../private",
        "/public/./../private",
        "/public/.../private",
        "/public/./private",
        "/public/..",
        "/public/.",
        "/public/../../..",
        "/public/..?x",
        "/..",
        "/.",
        "/../",
        "/./",
        "/key/../admin",
        "/register/../admin",
        "/apple/../../admin",
        "/derp/../admin",
        "/health/../private",
        "/api/v1/../../admin",
        "/oauth2/../private",
        "/public/..%20/private",
        "/public/%20../private",
        "/public/..%20",
        "/a/%20/b",
        "/a/%C2%A0/b",
        "/a/.%E2%80%83./b",
        "/....",
        "/public/..%3F",
        "/public/..%3f/private",
        "/.%3Fx",
        "/public/..%20%3F/private",
    ] {
        assert_eq!(refusal(raw), Some(TargetError::DotSegment), "{raw}");
    }
}

#[test]
fn empty_segments_are_refused_and_one_trailing_slash_is_not() {
    for raw in [
        "//",
        "///",
        "//private",
        "///private",
        "//evil.com/private",
        "//evil/%22..",
        "/a//b",
        "/a//",
        "/a//?b",
        "//?",
        "/..//private",
        "/public//../private",
    ] {
        let why = refusal(raw);
        let either = [TargetError::EmptySegment, TargetError::DotSegment];
        assert!(
            why.is_some_and(|why| either.contains(&why)),
            "{raw} {why:?}"
        );
    }
    assert_eq!(refusal("/a/"), None);
    assert_eq!(refusal("/a?//b"), None);
}

#[test]
fn an_escape_that_hides_something_is_refused() {
    for raw in [
        "/public/..%2fprivate",
        "/public%2f..%2fprivate",
        "/%2fprivate",
        "/public/%2f%2fprivate",
        "/a%2F",
        "/public/..%5cprivate",
        "/a%5Cb",
        "/public/%2e%2e/private",
        "/public/%2E%2e%2fprivate",
        "/register/%2e%2e/admin",
        "/public%2e%2e/private",
        "/%2e",
        "/public/%252e%252e/private",
        "/a%25b",
        "/a%2525",
        "/%70rivate",
        "/%74s2021",
        "/%4Bey",
        "/a%5Fb",
        "/a%7eb",
        "/a%2db",
        "/a%30",
        "/public/secret%23/x",
        "/private%23/public",
        "/a%3bb",
        "/a%3B",
        "/public;/%3b",
    ] {
        let why = refusal(raw);
        let either = [TargetError::AmbiguousEscape, TargetError::Character];
        assert!(
            why.is_some_and(|why| either.contains(&why)),
            "{raw} {why:?}"
        );
    }
    for byte in (0..=0x1f).chain([0x7f]) {
        let raw = format!("/a%{byte:02x}b");
        assert_eq!(refusal(&raw), Some(TargetError::AmbiguousEscape), "{raw}");
    }
}

#[test]
fn a_byte_that_must_be_encoded_is_refused() {
    for raw in [
        "/public\\..\\private",
        "/a\\b",
        "/\\evil",
        "/public;/../private",
        "/private;x=/public/",
        "/public/..;/private",
        "/;/private",
        "/public/;jsessionid=1/../private",
        "/private#/public/",
        "/#/../private",
        "/a#",
        "/a?b#c",
        "/pri vate",
        "/a ",
        "/a?b c",
        "/a\tb",
        "/a\0b",
        "/a\r\nb",
        "/a\x0bb",
        "/a\x7fb",
        "/a?\0",
        "/a?\x7f",
        "/a?\r\nb",
        "/a?b=\"",
        "/a?b=<c",
        "/a?b=c>",
        "/a|b",
        "/a\"b",
        "/a<b>",
        "/a^b",
        "/a`b",
        "/a{b}",
        "/a[b]",
        "/é",
        "/a?é",
        "/\u{ff0f}",
        "/\u{2028}",
    ] {
        assert_eq!(refusal(raw), Some(TargetError::Character), "{raw:?}");
    }
    for raw in [&b"/\xff"[..], b"/a?\xff", b"/\xc0\xae", b"/a\x80"] {
        assert_eq!(refusal(raw), Some(TargetError::Character), "{raw:?}");
    }
    for byte in (0..=b' ').chain(0x7f..=0xff).chain(*b"#\"<>") {
        assert!(refusal([b'/', byte]).is_some(), "{byte:#x} in a path");
        assert!(
            refusal([b'/', b'?', byte]).is_some(),
            "{byte:#x} in a query"
        );
    }
}

#[test]
fn a_broken_escape_is_refused() {
    for raw in [
        "/%",
        "/%z",
        "/%zz",
        "/%2",
        "/public/%0",
        "/public/%u002e%u002e/",
        "/%%32%65",
        "/%+2",
        "/% 20",
        "/%2/x",
        "/a%?20",
        "/%-1",
        "/%0x2f",
        "/%\u{3b1}",
    ] {
        let why = refusal(raw);
        let either = [TargetError::BrokenEscape, TargetError::Character];
        assert!(
            why.is_some_and(|why| either.contains(&why)),
            "{raw} {why:?}"
        );
    }
}

#[test]
fn escapes_that_are_no_text_or_look_like_a_separator_are_refused() {
    for raw in [
        "/public/%c0%ae%c0%ae/",
        "/%c0%af",
        "/%c1%9c",
        "/%e0%80%ae",
        "/%e0%80%af",
        "/%f0%80%80%af",
        "/%f8%80%80%80%af",
        "/%ed%a0%80",
        "/%f4%90%80%80",
        "/%ff",
        "/%fe",
        "/%ad",
        "/%80",
        "/%c3",
        "/%c3x%a9",
        "/%c3/%a9",
    ] {
        assert_eq!(
            refusal(raw),
            Some(TargetError::NotText),
            "{raw} is no utf-8"
        );
    }
    for hidden in [
        '\u{ff0f}', '\u{ff0e}', '\u{ff3c}', '\u{ff05}', '\u{ff1b}', '\u{ff03}', '\u{ff1f}',
        '\u{ff41}', '\u{2024}', '\u{2025}', '\u{2026}', '\u{2044}', '\u{2215}', '\u{2216}',
        '\u{29f8}', '\u{29f9}', '\u{29f5}', '\u{3002}', '\u{ff61}', '\u{fe52}', '\u{fe54}',
        '\u{fe5f}', '\u{fe68}', '\u{fe6a}', '\u{2100}', '\u{2105}', '\u{37e}', '\u{85}', '\u{9f}',
        '\u{ad}', '\u{200b}', '\u{200e}', '\u{202e}', '\u{2028}', '\u{2029}', '\u{2060}',
        '\u{2066}', '\u{feff}', '\u{20e5}', '\u{a5}', '\u{20a9}', '\u{66a}', '\u{2047}',
        '\u{2049}', '\u{fe13}', '\u{fe16}', '\u{fe19}', '\u{fe30}', '\u{337}', '\u{338}',
    ] {
        let raw = format!("/a{}b", escape(hidden));
        assert_eq!(refusal(&raw), Some(TargetError::NotText), "{raw}");
    }
    for plain in ['é', 'ß', 'č', '日', 'ק', '\u{1f600}', '\u{301}'] {
        let raw = format!("/a{}b", escape(plain));
        assert_eq!(refusal(&raw), None, "{raw}");
    }
}

fn escape(c: char) -> String {
    utf8_percent_encode(&c.to_string(), NON_ALPHANUMERIC).to_string()
}

#[test]
fn eight_kibibytes_are_a_target_and_one_byte_more_is_not() {
    let path = |length: usize| format!("/{}", "a".repeat(length - 1));
    assert_eq!(refusal(path(MAX_TARGET)), None);
    assert_eq!(refusal(path(MAX_TARGET + 1)), Some(TargetError::TooLong));
    let query = format!("/?{}", "a".repeat(MAX_TARGET - 2));
    assert_eq!(refusal(&query), None);
    assert_eq!(refusal(format!("{query}a")), Some(TargetError::TooLong));
    assert_eq!(refusal("a".repeat(64 * 1024)), Some(TargetError::TooLong));
}

/// Paths made of what has confused readers before.
fn confusing() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        4 => Just("/".to_owned()),
        3 => "[a-z0-9._~-]{1,4}",
        1 => proptest::sample::select(vec![
            ".", "..", ";", "\\", "%2e", "%2f", "%5c", "%252e", "%25", "%00", "%23", "%3f", "%3b", "%20", "%c3%a9",
            "%ef%bc%8f", "%ef%bc%8e", "%c0%ae", "%41", "%40", "@", ",", "//", "#", "?", "%", "ts2021", "key",
            "admin", "%e2%80%a6", "%e3%80%82",
        ])
        .prop_map(str::to_owned),
        1 => "[ -~]{1,2}",
    ];
    proptest::collection::vec(piece, 0..8).prop_map(|pieces| format!("/{}", pieces.concat()))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    /// The property behind all of the above: what is let in is read alike by everybody.
    #[test]
    fn an_accepted_path_is_the_same_path_for_every_reader(raw in confusing()) {
        if let Ok(target) = Target::parse(raw.as_bytes()) {
            let decoded = percent_decode_str(target.path()).decode_utf8().unwrap().into_owned();
            let ours = readers::encode(&decoded);
            for (name, read) in readers::STRICT {
                let read = read(&raw);
                let same = read.as_deref() == Some(&ours) || read.as_deref() == Some(target.path());
                prop_assert!(same, "{} reads {:?} as {:?}", name, raw, read);
            }
        }
    }

    #[test]
    fn no_bytes_make_it_panic_and_what_is_accepted_is_visible_ascii(raw in proptest::collection::vec(any::<u8>(), 0..64)) {
        let mut raw = raw;
        raw.insert(0, b'/');
        if let Ok(target) = Target::parse(&raw) {
            prop_assert_eq!(target.as_str().as_bytes(), &raw[..]);
            prop_assert!(raw.iter().all(u8::is_ascii_graphic));
            prop_assert!(target.path().starts_with('/') && !target.path().contains("//"));
        }
    }
}
