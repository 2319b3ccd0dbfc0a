//! A page of ours in the provider's frame, and what somebody else makes of its address.

use url::form_urlencoded::Serializer;

use crate::faulty_provider::Person as Account;
use crate::stage::{HTML, SAME_ORIGIN, Stage, ask, log_at_info, session_line};

const FRONT_CHANNEL: &str = "/.headwarden/frontchannel-logout";
/// What a frame of another site says about itself.
const FRAME: [&str; 4] = [
    HTML,
    "Sec-Fetch-Site: cross-site",
    "Sec-Fetch-Mode: navigate",
    "Sec-Fetch-Dest: iframe",
];

fn address(parameters: &[(&str, &str)]) -> String {
    let query = Serializer::new(String::new())
        .extend_pairs(parameters)
        .finish();
    format!("{FRONT_CHANNEL}?{query}")
}

#[test]
fn the_providers_frame_ends_the_sessions_of_its_sid_and_may_show_the_answer() {
    let mut stage = Stage::start();
    let [member, admin] = [Account::Member, Account::Admin]
        .map(|account| session_line(&stage.house, &stage.somebody(account)));
    let issuer = stage.faulty.provider.issuer();
    let sid = stage
        .faulty
        .provider
        .sid(Account::Member)
        .expect("a session");
    let target = address(&[("iss", &issuer), ("sid", &sid), ("and", "more")]);
    let shown = |target: &str| {
        let answer = ask(&stage.house, "GET", target, &FRAME);
        assert_eq!(answer.status(), 200, "{}", answer.text());
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        assert_eq!(answer.header("x-frame-options"), None);
        assert_eq!(answer.header("set-cookie"), None);
        let policy = answer.header("content-security-policy").expect("a policy");
        let ancestors = format!("frame-ancestors {}", stage.faulty.provider.origin());
        assert!(policy.ends_with(&ancestors), "{policy}");
        assert!(policy.starts_with("default-src 'none'"), "{policy}");
        answer.text()
    };
    let first = shown(&target);
    for (session, status) in [(&member, 401), (&admin, 200)] {
        let answer = ask(&stage.house, "GET", "/windows", &[session]);
        assert_eq!(answer.status(), status);
    }
    // Whether there was a session is not told.
    assert_eq!(shown(&target), first);
    assert_eq!(
        shown(&address(&[("iss", &issuer), ("sid", "unknown")])),
        first
    );
    let line = stage.house.wait_for_log("signed out by the provider");
    assert!(
        line.contains("kind=\"front_channel\"") && line.contains("sessions=1"),
        "{line}"
    );
    assert!(!log_at_info(&stage.house).contains(&sid));
}

#[test]
fn an_address_that_names_no_session_of_the_provider_ends_nothing() {
    let stage = Stage::start();
    let session = session_line(&stage.house, &stage.somebody(Account::Member));
    let issuer = stage.faulty.provider.issuer();
    let issuer = issuer.as_str();
    let sid = stage
        .faulty
        .provider
        .sid(Account::Member)
        .expect("a session");
    let sid = sid.as_str();
    let (no_slash, shouted) = (issuer.trim_end_matches('/'), issuer.to_uppercase());
    let (longer, spaced) = (format!("{issuer}/"), format!("{issuer} "));
    let good = address(&[("iss", issuer), ("sid", sid)]);
    for parameters in [
        &[][..],
        &[("iss", issuer)],
        &[("sid", sid)],
        &[("iss", issuer), ("sid", "")],
        &[("iss", issuer), ("sid", &"a".repeat(256))],
        &[("iss", ""), ("sid", sid)],
        &[("iss", issuer), ("sid", sid), ("sid", sid)],
        &[("iss", issuer), ("iss", issuer), ("sid", sid)],
        &[("iss", issuer), ("sid", sid), ("sid", "")],
        &[("iss", no_slash), ("sid", sid)],
        &[("iss", &shouted), ("sid", sid)],
        &[("iss", &longer), ("sid", sid)],
        &[("iss", &spaced), ("sid", sid)],
        &[("iss", "https://evil.example/"), ("sid", sid)],
        &[("iss", issuer), ("sid[]", sid)],
        &[("iss", issuer), ("SID", sid)],
        &[("ISS", issuer), ("sid", sid)],
    ] {
        let answer = ask(&stage.house, "GET", &address(parameters), &FRAME);
        assert_eq!(answer.status(), 400, "{parameters:?}");
        assert_eq!(answer.header("x-frame-options"), Some("DENY"));
        let policy = answer.header("content-security-policy").expect("a policy");
        assert!(policy.contains("frame-ancestors 'none'"), "{policy}");
        let still = ask(&stage.house, "GET", "/windows", &[&session]);
        assert_eq!(still.status(), 200, "{parameters:?} signed out");
    }
    for (status, method, more) in [
        (405, "HEAD", HTML),
        (405, "POST", "Content-Length: 0"),
        (405, "OPTIONS", SAME_ORIGIN),
        (405, "DELETE", SAME_ORIGIN),
        (400, "GET", "Sec-Purpose: prefetch"),
        (400, "GET", "Sec-Purpose: prefetch;prerender"),
        (400, "GET", "Purpose: prefetch"),
    ] {
        let answer = ask(&stage.house, method, &good, &[more, &session]);
        assert_eq!(answer.status(), status, "{method} {more}");
        let still = ask(&stage.house, "GET", "/windows", &[&session]);
        assert_eq!(still.status(), 200, "{method} {more} signed out");
    }
    assert_eq!(ask(&stage.house, "GET", &good, &FRAME).status(), 200);
    let over = ask(&stage.house, "GET", "/windows", &[&session]);
    assert_eq!(over.status(), 401);
}

#[test]
fn no_sid_that_reaches_the_index_under_another_spelling_is_taken_for_one() {
    let stage = Stage::start();
    let session = session_line(&stage.house, &stage.somebody(Account::Member));
    let issuer = stage.faulty.provider.issuer();
    let sid = stage
        .faulty
        .provider
        .sid(Account::Member)
        .expect("a session");
    for sid in [
        sid.to_uppercase(),
        format!("{sid} "),
        format!(" {sid}"),
        sid[1..].to_owned(),
        "*".to_owned(),
        "%".to_owned(),
        "' or 1=1 --".to_owned(),
    ] {
        let answer = ask(
            &stage.house,
            "GET",
            &address(&[("iss", &issuer), ("sid", &sid)]),
            &FRAME,
        );
        assert_eq!(answer.status(), 200, "{sid:?}");
        let still = ask(&stage.house, "GET", "/windows", &[&session]);
        assert_eq!(still.status(), 200, "{sid:?} signed out");
    }
}
