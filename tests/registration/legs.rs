//! The two sign-ins are tied: what one browser began, no other finishes, and nothing is done twice.

use crate::support::certified_provider::{ADMIN, MEMBER};
use crate::support::jar::Kept;
use crate::support::person::Person;
use crate::support::tailnet::{AUTH_ID, Tailnet};
use crate::{asked, authorize_url, callback_url, is_start_again, parameter, signed_in, with};

const CALLBACK: &str = "/oidc/callback";

fn with_pkce() -> Tailnet {
    let tailnet = Tailnet::start("v0.29.2");
    tailnet.headscale.configure(|options| {
        options.oidc.as_mut().expect("it trusts us").pkce = true;
    });
    tailnet
}

#[test]
fn an_authorization_request_that_differs_in_anything_gets_no_code() {
    let tailnet = with_pkce();
    let mut person = signed_in(&tailnet, MEMBER);
    let url = authorize_url(&tailnet, &mut person, AUTH_ID);
    let other = "0123456789012345678901234567890123456789012345678901234567890123";
    for (name, value) in [
        ("client_id", Some("another")),
        ("client_id", None),
        ("redirect_uri", Some("https://evil.example/oidc/callback")),
        ("redirect_uri", None),
        ("response_type", Some("token")),
        ("scope", Some("openid profile email groups")),
        ("scope", None),
        ("state", Some(other)),
        ("state", None),
        ("nonce", Some(other)),
        ("nonce", None),
        ("code_challenge", Some(&other[..43])),
        ("code_challenge_method", Some("plain")),
        ("code_challenge_method", None),
    ] {
        let page = person.get(&with(&url, name, value));
        assert!(is_start_again(&page), "{name}={value:?}: {}", page.text());
    }
    let bare = with(&url, "code_challenge", None);
    let bare = url::Url::parse(&bare).expect("a URL");
    let page = person.get(&with(&bare, "code_challenge_method", None));
    assert!(is_start_again(&page), "without PKCE: {}", page.text());
    let twice = format!("{url}&state={}", parameter(&url, "state"));
    assert!(is_start_again(&person.get(&twice)), "a state given twice");

    let page = person.open(url.as_str());
    assert!(page.text().contains("Confirm node"), "{}", page.text());
}

#[test]
fn what_one_session_began_another_cannot_answer() {
    let tailnet = with_pkce();
    let (mut mia, mut dominic) = (signed_in(&tailnet, MEMBER), signed_in(&tailnet, ADMIN));
    let url = authorize_url(&tailnet, &mut mia, AUTH_ID);
    assert!(is_start_again(&dominic.get(url.as_str())));
    assert!(is_start_again(&Person::new().get(url.as_str())), "nobody");
    assert!(tailnet.headscale.users().is_empty());
    callback_url(&mut mia, &url);
}

#[test]
fn a_callback_of_another_session_never_reaches_headscale() {
    let tailnet = with_pkce();
    let (mut mia, mut dominic) = (signed_in(&tailnet, MEMBER), signed_in(&tailnet, ADMIN));
    let urls = [&mut mia, &mut dominic].map(|person| {
        let url = authorize_url(&tailnet, person, AUTH_ID);
        callback_url(person, &url)
    });
    let [hers, his] = &urls;
    let before = asked(&tailnet, CALLBACK);
    assert!(is_start_again(&dominic.get(hers.as_str())), "her callback");
    assert!(is_start_again(&Person::new().get(hers.as_str())), "nobody");
    let mixed = with(hers, "code", Some(&parameter(his, "code")));
    assert!(is_start_again(&mia.get(&mixed)), "his code");
    let mixed = with(hers, "state", Some(&parameter(his, "state")));
    assert!(is_start_again(&mia.get(&mixed)), "his state");
    let without = with(hers, "code", None);
    assert!(is_start_again(&mia.get(&without)), "no code");
    let twice = format!("{hers}&code={}", parameter(his, "code"));
    assert!(is_start_again(&mia.get(&twice)), "two codes");
    assert_eq!(asked(&tailnet, CALLBACK), before, "no upstream contact");

    for (person, url) in [(&mut mia, hers), (&mut dominic, his)] {
        let page = person.open(url.as_str());
        assert!(page.text().contains("Confirm node"), "{}", page.text());
    }
}

#[test]
fn neither_an_authorization_request_nor_a_callback_works_twice() {
    let tailnet = with_pkce();
    let mut person = signed_in(&tailnet, MEMBER);
    let url = authorize_url(&tailnet, &mut person, AUTH_ID);
    let callback = callback_url(&mut person, &url);
    assert!(is_start_again(&person.get(url.as_str())), "answered before");
    let page = person.get(callback.as_str());
    assert_eq!(page.status(), 200, "{}", page.text());
    let before = asked(&tailnet, CALLBACK);
    assert!(is_start_again(&person.get(callback.as_str())));
    assert_eq!(asked(&tailnet, CALLBACK), before, "no upstream contact");
}

#[test]
fn the_seventeenth_open_link_forgets_the_first() {
    let tailnet = Tailnet::start("v0.29.2");
    let mut person = signed_in(&tailnet, MEMBER);
    let urls: Vec<_> = (0..17)
        .map(|n| authorize_url(&tailnet, &mut person, &format!("{AUTH_ID:.36}{n:02}")))
        .collect();
    assert!(is_start_again(&person.get(urls[0].as_str())));
    callback_url(&mut person, &urls[1]);
    callback_url(&mut person, &urls[16]);
}

#[test]
fn a_callback_without_one_state_is_a_bad_request_and_begins_no_sign_in() {
    let mut tailnet = Tailnet::start("v0.29.2");
    let mut stranger = Person::new();
    let mut person = signed_in(&tailnet, MEMBER);
    let before = tailnet.provider.requests().len();
    for query in [
        "",
        "?code=a",
        "?state=a&state=b&code=c",
        "?state=hw1.a&state=b&code=c",
    ] {
        for person in [&mut stranger, &mut person] {
            let page = person.get(&tailnet.house.url(&format!("{CALLBACK}{query}")));
            assert_eq!(page.status(), 400, "{query:?}: {}", page.text());
            assert!(page.redirect().is_none(), "{query:?}");
        }
    }
    let page = stranger.get(&tailnet.house.url("/oidc/callback?state=a&code=b"));
    assert!(is_start_again(&page), "{}", page.text());
    assert_eq!(tailnet.provider.requests().len(), before);
    assert_eq!(asked(&tailnet, CALLBACK), 0);
}

#[test]
fn an_error_in_a_callback_of_headscales_gets_our_page() {
    let tailnet = Tailnet::start("v0.29.2");
    let mut person = signed_in(&tailnet, MEMBER);
    let url = authorize_url(&tailnet, &mut person, AUTH_ID);
    let url = callback_url(&mut person, &url);
    let page = person.get(&with(&url, "error", Some("access_denied")));
    assert!(is_start_again(&page), "{}", page.text());
    assert_eq!(asked(&tailnet, CALLBACK), 0);
}

#[test]
fn only_the_cookies_of_its_own_sign_in_reach_headscale_at_the_callback() {
    let tailnet = Tailnet::start("v0.29.2");
    let mut person = signed_in(&tailnet, MEMBER);
    let url = authorize_url(&tailnet, &mut person, AUTH_ID);
    let url = callback_url(&mut person, &url);
    let all = person.jar.at(&url).into_iter().cloned();
    let of_ours: Vec<Kept> = all.filter(|cookie| cookie.path == "/").collect();
    assert!(!of_ours.is_empty(), "the session's is there");
    person.jar.plant(Kept {
        name: "a_web_uis".to_owned(),
        ..of_ours[0].clone()
    });
    assert_eq!(person.get(url.as_str()).status(), 200);
    let seen = tailnet.headscale.wait_for_request(CALLBACK);
    let cookies = seen.fields.values("cookie").join("; ");
    let names: Vec<&str> = cookies
        .split("; ")
        .filter_map(|pair| pair.split('=').next())
        .collect();
    let (state, nonce) = (
        parameter(&url, "state"),
        names.iter().filter(|n| n.starts_with("nonce_")),
    );
    assert_eq!((names.len(), nonce.count()), (2, 1), "{names:?}");
    assert!(
        names.contains(&format!("state_{}", &state[..6]).as_str()),
        "{names:?}"
    );
}

#[test]
fn an_old_link_leads_to_a_page_that_says_so() {
    let tailnet = Tailnet::start("v0.29.2");
    let mut person = signed_in(&tailnet, MEMBER);
    tailnet.headscale.expire(AUTH_ID);
    let gone = person.open(&tailnet.house.url(&crate::register(AUTH_ID)));
    assert_eq!(gone.status(), 410);
    assert!(gone.text().contains("newest link"), "{}", gone.text());
    let script = crate::support::headscale_standin::Script::Bytes(
        b"HTTP/1.1 404 Not Found\r\nContent-Length: 9\r\nConnection: close\r\n\r\nnot found".into(),
    );
    tailnet.headscale.script(&crate::register(AUTH_ID), script);
    let gone = person.open(&tailnet.house.url(&crate::register(AUTH_ID)));
    assert_eq!(gone.status(), 404);
    assert!(gone.text().contains("newest link"), "{}", gone.text());
}
