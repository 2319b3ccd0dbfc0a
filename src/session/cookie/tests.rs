use http::HeaderValue;
use proptest::prelude::*;

use super::*;
use crate::ops::entropy::SystemRandom;

const TLS: Cookies = Cookies::new(true);
const PLAIN: Cookies = Cookies::new(false);

fn headers(values: &[&[u8]]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for value in values {
        headers.append(COOKIE, HeaderValue::from_bytes(value).unwrap());
    }
    headers
}

fn strip(header: &str) -> Option<String> {
    TLS.strip_ours(header.as_bytes())
        .map(|kept| String::from_utf8(kept).unwrap())
}

fn id() -> SessionId {
    SessionId::generate(&SystemRandom::new())
}

#[test]
fn every_cookie_of_ours_has_the_same_attributes_whether_set_or_deleted() {
    let id = SessionId::parse(&[b'A'; 43]).unwrap();
    let value = "A".repeat(43);
    let ten_minutes = Duration::from_mins(10);
    let cases = [
        (TLS.set_session(&id), format!("__Host-headwarden={value}; HttpOnly; SameSite=Lax; Secure; Path=/")),
        (
            TLS.delete_session(),
            "__Host-headwarden=; HttpOnly; SameSite=Lax; Secure; Path=/; Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT".into(),
        ),
        (
            TLS.set_login("Ab-_1234", "sealed", ten_minutes),
            "__Host-headwarden-login-Ab-_1234=sealed; HttpOnly; SameSite=Lax; Secure; Path=/; Max-Age=600".into(),
        ),
        (
            TLS.delete_login("Ab-_1234"),
            "__Host-headwarden-login-Ab-_1234=; HttpOnly; SameSite=Lax; Secure; Path=/; Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT".into(),
        ),
        (
            TLS.set_sign_out("sealed", ten_minutes),
            "__Host-headwarden-sign-out=sealed; HttpOnly; SameSite=Lax; Secure; Path=/; Max-Age=600".into(),
        ),
        (
            TLS.delete_sign_out(),
            "__Host-headwarden-sign-out=; HttpOnly; SameSite=Lax; Secure; Path=/; Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT".into(),
        ),
        (
            PLAIN.set_sign_out("sealed", ten_minutes),
            "headwarden-sign-out=sealed; HttpOnly; SameSite=Lax; Path=/; Max-Age=600".into(),
        ),
        (PLAIN.set_session(&id), format!("headwarden={value}; HttpOnly; SameSite=Lax; Path=/")),
        (
            PLAIN.delete_session(),
            "headwarden=; HttpOnly; SameSite=Lax; Path=/; Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT".into(),
        ),
        (
            PLAIN.set_login("Ab-_1234", "sealed", ten_minutes),
            "headwarden-login-Ab-_1234=sealed; HttpOnly; SameSite=Lax; Path=/; Max-Age=600".into(),
        ),
    ];
    for (made, expected) in cases {
        assert_eq!(made, expected);
        assert!(!made.contains("Domain"));
    }
}

#[test]
fn the_id_is_found_among_other_cookies_and_across_headers() {
    let id = id();
    let ours = format!("__Host-headwarden={}", id.expose());
    let cases: [&[String]; 6] = [
        &[format!("{ours};")],
        &[format!("a=1; {ours}; b=2")],
        &[format!("a=1;{ours};b=2")],
        &[format!(";; = ;\t{ours} ;;;")],
        &["a=1".to_owned(), ours.clone(), "b=2".to_owned()],
        &[format!(
            "__Host-headwarden_0=x; __host-headwarden=x; headwarden=x; {ours}"
        )],
    ];
    for case in cases {
        let headers = headers(&case.iter().map(String::as_bytes).collect::<Vec<_>>());
        assert_eq!(TLS.session_id(&headers), Some(id.clone()), "{case:?}");
        assert_eq!(PLAIN.session_id(&headers), None);
    }
}

#[test]
fn a_session_cookie_that_occurs_twice_is_no_session_in_either_order() {
    let (a, b) = (id().expose(), id().expose());
    let cases = [
        format!("__Host-headwarden={a}; __Host-headwarden={b}"),
        format!("__Host-headwarden={b}; __Host-headwarden={a}"),
        format!("__Host-headwarden={a}; __Host-headwarden={a}"),
        format!("__Host-headwarden={a}; __Host-headwarden=x"),
        format!("__Host-headwarden=; __Host-headwarden={a}"),
        format!("__Host-headwarden = x; __Host-headwarden={a}"),
    ];
    for case in &cases {
        assert_eq!(TLS.session_id(&headers(&[case.as_bytes()])), None, "{case}");
    }
    let (a, b) = (
        format!("__Host-headwarden={a}"),
        format!("__Host-headwarden={b}"),
    );
    assert_eq!(
        TLS.session_id(&headers(&[a.as_bytes(), b.as_bytes()])),
        None
    );
}

#[test]
fn every_id_that_a_browser_brought_can_be_ended() {
    let (a, b) = (id(), id());
    let header = format!(
        "__Host-headwarden={}; x=y; headwarden={}; __Host-headwarden=x; __Host-headwarden={}",
        a.expose(),
        id().expose(),
        b.expose()
    );
    let found: Vec<SessionId> = TLS.session_ids(&headers(&[header.as_bytes()])).collect();
    assert_eq!(found, [a, b]);
}

#[test]
fn one_request_ends_no_more_than_four_ids_that_it_may_have_made_up() {
    let cookies: Vec<String> = (0..300)
        .map(|_| format!("__Host-headwarden={}", id().expose()))
        .collect();
    let header = cookies.join("; ");
    assert_eq!(TLS.session_ids(&headers(&[header.as_bytes()])).count(), 4);
    let lines: Vec<&[u8]> = cookies.iter().map(String::as_bytes).collect();
    assert_eq!(TLS.session_ids(&headers(&lines)).count(), 4);
}

#[test]
fn no_bit_of_a_session_cookie_can_be_flipped() {
    let ours = id();
    let pair = format!("__Host-headwarden={}", ours.expose());
    for bit in 0..pair.len() * 8 {
        let mut flipped = pair.clone().into_bytes();
        flipped[bit / 8] ^= 1 << (bit % 8);
        if let Ok(value) = http::HeaderValue::from_bytes(&flipped) {
            let headers = HeaderMap::from_iter([(COOKIE, value)]);
            assert_ne!(TLS.session_id(&headers), Some(ours.clone()), "bit {bit}");
        }
    }
}

#[test]
fn garbage_is_no_session_and_never_a_panic() {
    let good = id().expose();
    let values: Vec<Vec<u8>> = vec![
        b"".to_vec(),
        b"A".to_vec(),
        b"=".to_vec(),
        good.as_bytes()[..42].to_vec(),
        format!("{good}A").into_bytes(),
        format!("{good}=").into_bytes(),
        format!("\"{good}\"").into_bytes(),
        format!("{good} {good}").into_bytes(),
        format!("={good}").into_bytes(),
        format!("{}%00", &good[..40]).into_bytes(),
        good.replace(|_| true, "+").into_bytes(),
        "é".repeat(21).into_bytes(),
        vec![0xff; 43],
        vec![b'A'; 65_536],
        vec![b';'; 65_536],
    ];
    for value in values {
        let header = [b"__Host-headwarden=", &value[..]].concat();
        assert_eq!(TLS.session_id(&headers(&[&header])), None);
        TLS.strip_ours(&header);
    }
    for header in [
        "",
        "=",
        ";",
        ";;;",
        "__Host-headwarden",
        "=__Host-headwarden",
        " ",
        "==;==",
    ] {
        assert_eq!(
            TLS.session_id(&headers(&[header.as_bytes()])),
            None,
            "{header}"
        );
    }
    assert_eq!(TLS.session_id(&HeaderMap::new()), None);
}

#[test]
fn a_login_cookie_cannot_serve_as_a_session() {
    let header = format!("__Host-headwarden-login-abcdefgh={}", id().expose());
    assert_eq!(TLS.session_id(&headers(&[header.as_bytes()])), None);
    assert!(!TLS.has_session_cookie(&headers(&[header.as_bytes()])));
}

#[test]
fn a_broken_session_cookie_is_still_one_to_delete() {
    for header in [
        "__Host-headwarden=x",
        "a=1; __Host-headwarden=",
        "__Host-headwarden=x; __Host-headwarden=y",
    ] {
        assert!(
            TLS.has_session_cookie(&headers(&[header.as_bytes()])),
            "{header}"
        );
    }
    assert!(!TLS.has_session_cookie(&headers(&[b"a=1"])));
}

#[test]
fn login_cookies_are_listed_when_their_tag_can_be_ours() {
    let long = "a".repeat(33);
    let header = format!(
        "a=1; __Host-headwarden-login-one=1; __Host-headwarden-login-=2; __Host-headwarden-login-t.o=3; \
         __Host-headwarden-login-{long}=4; headwarden-login-x=5; __Host-headwarden-login-two=6"
    );
    let headers = headers(&[header.as_bytes()]);
    let found: Vec<_> = TLS
        .login_cookies(&headers)
        .map(|c| (c.tag, c.value))
        .collect();
    assert_eq!(found, [("one", &b"1"[..]), ("two", b"6")]);
}

#[test]
fn our_cookies_go_and_the_others_stay_as_they_were() {
    let cases = [
        ("a=1; __Host-headwarden=x; b=2", Some("a=1; b=2")),
        ("__Host-headwarden=x; a=1", Some("a=1")),
        ("a=1; __Host-headwarden=x", Some("a=1")),
        ("a=1;__Host-headwarden=x;b=2", Some("a=1;b=2")),
        ("__Host-headwarden=x", None),
        (" __Host-headwarden = x ;", None),
        ("__Host-headwarden=x; __Host-headwarden=y; ;", None),
        ("__HOST-Headwarden=x; a=1", Some("a=1")),
        (
            "__Host-headwarden-login-abc=x; __Host-headwarden-login-=y; a=1",
            Some("a=1"),
        ),
        (
            "a=\"1; 2\"; __Host-headwarden=x; b==\"\"",
            Some("a=\"1; 2\"; b==\"\""),
        ),
        ("__Host-headwarden_0=x", Some("__Host-headwarden_0=x")),
        ("__Host-headwarden-2=x", Some("__Host-headwarden-2=x")),
        ("headwarden=x", Some("headwarden=x")),
        ("xx__Host-headwarden=x", Some("xx__Host-headwarden=x")),
        ("a=__Host-headwarden=x", Some("a=__Host-headwarden=x")),
        (";;", Some(";;")),
        ("  a ; =b ;;c", Some("  a ; =b ;;c")),
        ("", None),
    ];
    for (header, expected) in cases {
        assert_eq!(strip(header).as_deref(), expected, "{header}");
    }
    let plain = PLAIN.strip_ours(b"headwarden=x; headwarden-login-a=y; __Host-headwarden=z");
    assert_eq!(plain.unwrap(), b"__Host-headwarden=z");
}

#[test]
fn only_the_named_cookies_reach_a_shared_callback() {
    let only = |header: &str| {
        only_named(header.as_bytes(), &["state", "nonce"])
            .map(|kept| String::from_utf8(kept).unwrap())
    };
    let cases = [
        ("state_ab=1; nonce_cd=2", Some("state_ab=1; nonce_cd=2")),
        (
            "a=1; state_ab=1; __Host-headwarden=x; nonce_cd=2; b=2",
            Some("state_ab=1; nonce_cd=2"),
        ),
        ("a=state_ab=1; xstate_=2; STATE_=3; statex=4; nonce", None),
        ("state=1; states=2; nonce=3", Some("state=1; nonce=3")),
        ("state_", None),
        ("", None),
    ];
    for (header, expected) in cases {
        assert_eq!(only(header).as_deref(), expected, "{header}");
    }
}

/// A cookie that is not ours, as odd as browsers let scripts make them.
fn foreign() -> impl Strategy<Value = Vec<u8>> {
    let odd = proptest::collection::vec(
        any::<u8>().prop_filter("no separator", |b| {
            *b != b';' && *b != 0 && *b != b'\n' && *b != b'\r'
        }),
        0..20,
    );
    let close = prop_oneof![
        Just(b"__Host-headwarden_0=x".to_vec()),
        Just(b"__Host-headwarde=x".to_vec()),
        Just(b"headwarden=\"q\"".to_vec()),
        Just(b"a= b ".to_vec()),
    ];
    prop_oneof![4 => odd, 1 => close]
        .prop_filter("not ours", |part| !TLS.is_ours(split(part).0))
        .prop_filter("a cookie", |part| {
            part.iter().any(|b| !b.is_ascii_whitespace())
        })
        .prop_filter("no blank in front", |part| part.first() != Some(&b' '))
}

fn ours() -> impl Strategy<Value = Vec<u8>> {
    "(__Host-headwarden|__Host-headwarden-sign-out|__Host-headwarden-login-[a-z]{0,8})=[A-Za-z0-9_-]{0,60}"
        .prop_map(String::into_bytes)
}

proptest! {
    #[test]
    fn stripping_leaves_every_other_cookie_byte_for_byte(
        parts in proptest::collection::vec(prop_oneof![foreign(), ours()], 0..12),
    ) {
        let others: Vec<&[u8]> =
            parts.iter().filter(|part| !TLS.is_ours(split(part).0)).map(Vec::as_slice).collect();
        let stripped = TLS.strip_ours(&parts.join(&b"; "[..]));
        prop_assert_eq!(stripped, (!others.is_empty()).then(|| others.join(&b"; "[..])));
    }

    #[test]
    fn whatever_is_sent_nothing_of_ours_gets_through_and_nothing_panics(header: Vec<u8>, at: usize) {
        let mut header = header;
        let at = at % (header.len() + 1);
        header.splice(at..at, *b";__Host-headwarden=secret;");
        let stripped = TLS.strip_ours(&header).unwrap_or_default();
        prop_assert!(stripped.split(|b| *b == b';').all(|part| !TLS.is_ours(split(part).0)));
        only_named(&header, &["state"]);
    }
}
