//! The rig tests itself: a peer that is wrong would prove nothing about Headwarden.

#![cfg(test)]

mod support;

use std::collections::BTreeSet;

use serde_json::json;
use support::browser::Browser;
use support::certified_provider::{ADMIN, CertifiedProvider, MEMBER, OUTSIDER};
use support::headscale_standin::{End, FIRST_BYTES, HeadscaleStandin, Oidc, Options, Script};
use support::person::{Page, Person};
use support::raw::{Raw, Response};
use url::Url;

const AUTH_ID: &str = "hskey-authreq-0123456789abcdef01234567";
const SHORT_AUTH_ID: &str = "0123456789abcdefABCDEF-_";

fn standin() -> HeadscaleStandin {
    HeadscaleStandin::start(Options::default())
}

fn raw(standin: &HeadscaleStandin) -> Raw {
    Raw::connect(standin.address()).expect("the stand-in listens")
}

fn exchange(standin: &HeadscaleStandin, request: &str) -> Response {
    raw(standin)
        .exchange(request.as_bytes())
        .expect("an answer")
}

fn upgrade(path: &str, method: &str, token: &str, more: &str) -> String {
    format!(
        "{method} {path} HTTP/1.1\r\nHost: h\r\nUpgrade: {token}\r\nConnection: upgrade\r\n\
         {more}\r\n"
    )
}

fn control() -> String {
    upgrade(
        "/ts2021",
        "POST",
        "tailscale-control-protocol",
        "X-Tailscale-Handshake: AAAA\r\nContent-Length: 0\r\n",
    )
}

/// A provider and a Headscale that trusts it directly, as in authentik's guide.
fn trusting(
    options: Options,
    pkce: bool,
    algorithm: &str,
) -> (CertifiedProvider, HeadscaleStandin) {
    let mut provider = CertifiedProvider::start();
    let standin = HeadscaleStandin::start(options);
    let callback = format!("{}/oidc/callback", standin.url());
    provider.register("headscale", "s3cret/+ %", &callback, algorithm);
    let oidc = Oidc {
        pkce,
        ..Oidc::trusting(provider.issuer(), "headscale", "s3cret/+ %")
    };
    standin.configure(|options| options.oidc = Some(oidc));
    (provider, standin)
}

fn sign_in(person: &mut Person, standin: &HeadscaleStandin, path: &str, who: &str) -> Page {
    let form = person.open(&format!("{}{path}", standin.url()));
    assert_eq!(form.status(), 200, "{}", form.text());
    person.fill_in(&form, "login", &[("username", who)])
}

#[test]
fn an_upgrade_brings_the_first_bytes_in_the_same_segment_and_then_echoes() {
    let standin = standin();
    let mut client = raw(&standin);
    client.send(control().as_bytes()).unwrap();
    let head = client.read_head().unwrap();
    assert_eq!(head.status, 101);
    assert_eq!(
        head.fields.value("upgrade"),
        Some("tailscale-control-protocol")
    );
    assert_eq!(client.read_exact(FIRST_BYTES.len()).unwrap(), FIRST_BYTES);
    client.send(b"\x00ping\r\n\r\n").unwrap();
    assert_eq!(client.read_exact(9).unwrap(), b"\x00ping\r\n\r\n");
    assert_eq!(standin.tunnel(0).wait_for_bytes(9), b"\x00ping\r\n\r\n");
}

#[test]
fn the_server_goes_on_after_the_client_has_finished_sending() {
    let standin = standin();
    standin.configure(|options| options.farewell = b"farewell".to_vec());
    let mut client = raw(&standin);
    client.send(control().as_bytes()).unwrap();
    assert_eq!(client.read_head().unwrap().status, 101);
    client.send(b"last").unwrap();
    client.finish_sending().unwrap();
    let rest = client.read_to_end().unwrap();
    assert_eq!(rest, [FIRST_BYTES, b"last", b"farewell"].concat());
    assert_eq!(standin.tunnel(0).wait_for_end(), End::Finished);
}

#[test]
fn the_client_goes_on_after_the_server_has_finished_sending() {
    let standin = standin();
    let mut client = raw(&standin);
    client.send(control().as_bytes()).unwrap();
    let tunnel = standin.tunnel(0);
    tunnel.send(b"bye").unwrap();
    tunnel.finish_sending().unwrap();
    assert_eq!(client.read_head().unwrap().status, 101);
    assert_eq!(
        client.read_to_end().unwrap(),
        [FIRST_BYTES, b"bye"].concat()
    );
    client.send(b"still here").unwrap();
    assert_eq!(tunnel.wait_for_bytes(10), b"still here");
    client.finish_sending().unwrap();
    assert_eq!(tunnel.wait_for_end(), End::Finished);
}

#[test]
fn every_form_of_upgrade_gets_the_answer_of_headscale() {
    let websocket = |protocol: &str| {
        format!(
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Protocol: {protocol}\r\n"
        )
    };
    let control_protocol = websocket("tailscale-control-protocol");
    let derp_protocol = websocket("derp");
    let table = [
        (control(), 101),
        (
            upgrade("/ts2021", "GET", "websocket", &control_protocol),
            101,
        ),
        (upgrade("/derp", "GET", "DERP", ""), 101),
        (upgrade("/derp", "GET", "websocket", &derp_protocol), 101),
        (upgrade("/derp", "GET", "websocket", &control_protocol), 426),
        (
            upgrade("/ts2021", "POST", "tailscale-control-protocol", ""),
            400,
        ),
        (
            upgrade("/ts2021", "POST", "h2c", "X-Tailscale-Handshake: A\r\n"),
            400,
        ),
        ("POST /ts2021 HTTP/1.1\r\nHost: h\r\n\r\n".to_owned(), 500),
        ("GET /ts2021 HTTP/1.1\r\nHost: h\r\n\r\n".to_owned(), 405),
        ("GET /derp HTTP/1.1\r\nHost: h\r\n\r\n".to_owned(), 426),
    ];
    for (request, status) in table {
        let answer = exchange(&standin(), &request);
        assert_eq!(answer.status(), status, "{request}");
        if request.contains("websocket") && status == 101 {
            // The example of RFC 6455 section 1.3.
            let accept = answer.header("sec-websocket-accept");
            assert_eq!(accept, Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
        }
    }
}

#[test]
fn an_upgrade_can_be_answered_with_anything_else() {
    let standin = standin();
    let answer = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 4\r\n\r\nbusy";
    standin.configure(|options| options.upgrade_answer = Some(answer.to_vec()));
    let refused = exchange(&standin, &control());
    assert_eq!((refused.status(), refused.text().as_str()), (503, "busy"));
    assert_eq!(standin.tunnels(), 0);
}

#[test]
fn a_request_head_is_kept_byte_for_byte() {
    let standin = standin();
    let odd = "GET  /key?v=130 HTTP/1.1\r\n";
    assert_eq!(
        exchange(&standin, &format!("{odd}Host: h\r\n\r\n")).status(),
        400
    );
    let head = "GET /key?v=130 HTTP/1.1\r\nhOsT:h\r\nX-Twice: 1\r\nx-twice:   2 \r\n\r\n";
    assert_eq!(exchange(&standin, head).status(), 200);
    let body = "POST /verify HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n\
                5\r\n{\"Nod\r\n12\r\nePublic\":\"nodekey\"\r\n1\r\n}\r\n0\r\n\r\n";
    standin.configure(|options| options.members = BTreeSet::from(["nodekey".to_owned()]));
    assert_eq!(exchange(&standin, body).json(), json!({ "Allow": true }));
    assert_eq!(standin.heads()[0], head.as_bytes());
    assert_eq!(standin.requests()[1].body, br#"{"NodePublic":"nodekey"}"#);
}

#[test]
fn the_plain_routes_answer_as_headscale_does() {
    let standin = standin();
    let table = [
        ("GET /key?v=130", 200),
        ("GET /key?v=1", 200),
        ("GET /key", 400),
        ("GET /health", 200),
        ("POST /health", 405),
        ("GET /version", 200),
        ("HEAD /derp/probe", 200),
        ("GET /bootstrap-dns", 200),
        ("HEAD /machine/ping-response?id=1", 200),
        ("GET /apple", 200),
        ("GET /windows", 200),
        ("GET /", 200),
        ("GET /metrics", 200),
        ("GET /oidc/callback", 404),
        ("GET /api/v1/node", 401),
        ("GET /nowhere", 404),
        ("GET /register/short", 400),
    ];
    for (line, status) in table {
        let answer = exchange(&standin, &format!("{line} HTTP/1.1\r\nHost: h\r\n\r\n"));
        assert_eq!(answer.status(), status, "{line}");
    }
    let keyed =
        "GET /api/v1/node HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer hskey-api-standin\r\n\r\n";
    assert_eq!(exchange(&standin, keyed).json(), json!({ "nodes": [] }));
    let page = exchange(
        &standin,
        &format!("GET /register/{AUTH_ID} HTTP/1.1\r\nHost: h\r\n\r\n"),
    );
    assert!(page.text().contains(&format!("--auth-id {AUTH_ID}")));
}

#[test]
fn a_gate_holds_one_answer_back_and_a_stream_gives_chunks_as_they_come() {
    let standin = standin();
    let gate = standin.gate("/health");
    let mut waiting = raw(&standin);
    waiting
        .send(b"GET /health HTTP/1.1\r\nHost: h\r\n\r\n")
        .unwrap();
    standin.wait_for_request("/health");
    let meanwhile = exchange(&standin, "GET /health HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_eq!(meanwhile.status(), 200);
    gate.send(()).unwrap();
    assert_eq!(waiting.read_response("GET").unwrap().status(), 200);

    let chunks = standin.stream("/slow");
    let mut reading = raw(&standin);
    reading
        .send(b"GET /slow HTTP/1.1\r\nHost: h\r\n\r\n")
        .unwrap();
    assert_eq!(reading.read_head().unwrap().status, 200);
    for chunk in ["one", "two"] {
        chunks.send(chunk.into()).unwrap();
        assert_eq!(
            reading.read_chunk().unwrap().as_deref(),
            Some(chunk.as_bytes())
        );
    }
    drop(chunks);
    assert_eq!(reading.read_chunk().unwrap(), None);

    standin.script("/gone", Script::Close);
    let mut disappointed = raw(&standin);
    assert!(
        disappointed
            .exchange(b"GET /gone HTTP/1.1\r\nHost: h\r\n\r\n")
            .is_err()
    );
}

#[test]
fn the_certified_provider_has_the_issuer_and_the_paths_of_authentik() {
    let provider = CertifiedProvider::start();
    let origin = provider.origin().to_owned();
    assert_eq!(
        provider.issuer(),
        format!("{origin}/application/o/headscale/")
    );
    let url = format!("{}.well-known/openid-configuration", provider.issuer());
    let document = Person::new().get(&url).response.json();
    let global = format!("{origin}/application/o");
    for (member, expected) in [
        ("issuer", format!("{global}/headscale/")),
        ("authorization_endpoint", format!("{global}/authorize/")),
        ("token_endpoint", format!("{global}/token/")),
        ("userinfo_endpoint", format!("{global}/userinfo/")),
        ("revocation_endpoint", format!("{global}/revoke/")),
        ("introspection_endpoint", format!("{global}/introspect/")),
        ("jwks_uri", format!("{global}/headscale/jwks/")),
        (
            "end_session_endpoint",
            format!("{global}/headscale/end-session/"),
        ),
    ] {
        assert_eq!(document[member], expected, "{member}");
    }
    assert_eq!(document["backchannel_logout_session_supported"], true);
}

#[test]
fn a_person_signs_in_through_the_forms_and_the_device_is_registered() {
    for (algorithm, pkce) in [("ES256", true), ("RS256", false)] {
        let (_provider, standin) = trusting(Options::default(), pkce, algorithm);
        let mut person = Person::new();
        let asked = sign_in(
            &mut person,
            &standin,
            &format!("/register/{AUTH_ID}"),
            ADMIN,
        );
        assert_eq!(standin.problems(), Vec::<String>::new());
        assert!(
            asked.text().contains("Confirm node registration"),
            "{}",
            asked.text()
        );
        assert!(standin.nodes().is_empty());
        let done = person.fill_in(&asked, "", &[]);
        assert!(done.text().contains("Node registered"), "{}", done.text());

        let [user] = &standin.users()[..] else {
            panic!("{:?}", standin.users())
        };
        assert_eq!(
            (user.name.as_str(), user.display_name.as_str()),
            ("dominic", "Dominic Admin")
        );
        assert_eq!(user.email.as_deref(), Some("dominic@acmecorp.net"));
        assert_eq!(user.groups, ["headscale", "headscale-admins"]);
        let [node] = &standin.nodes()[..] else {
            panic!("{:?}", standin.nodes())
        };
        assert_eq!(
            (&node.auth_id[..], &node.provider_identifier),
            (AUTH_ID, &user.provider_identifier)
        );
    }
}

#[test]
fn headscale_before_0_29_registers_at_once() {
    let options = Options {
        version: "v0.28.0".to_owned(),
        ..Options::default()
    };
    let (_provider, standin) = trusting(options, false, "RS256");
    let mut person = Person::new();
    let done = sign_in(
        &mut person,
        &standin,
        &format!("/register/{SHORT_AUTH_ID}"),
        MEMBER,
    );
    assert!(done.text().contains("Node registered"), "{}", done.text());
    assert_eq!(standin.nodes().len(), 1);
}

#[test]
fn an_ssh_check_is_approved_without_asking_and_only_for_the_owner() {
    let (_provider, standin) = trusting(Options::default(), false, "ES256");
    standin.set_ssh_owner(AUTH_ID, "somebody else");
    let mut person = Person::new();
    let refused = sign_in(&mut person, &standin, &format!("/auth/{AUTH_ID}"), OUTSIDER);
    assert_eq!(refused.status(), 403);
    standin.set_ssh_owner(AUTH_ID, &standin.users()[0].provider_identifier);
    // The session at the provider answers this time.
    let approved = person.open(&format!("{}/auth/{AUTH_ID}", standin.url()));
    assert!(
        approved.text().contains("SSH session authorized"),
        "{}",
        approved.text()
    );
    assert_eq!(standin.approved_ssh().len(), 1);
}

#[test]
fn headscale_refuses_a_callback_that_does_not_belong_to_this_browser() {
    let (_provider, standin) = trusting(Options::default(), true, "ES256");
    let mut victim = Person::new();
    let form = victim.open(&format!("{}/register/{AUTH_ID}", standin.url()));
    let mut page = victim.submit(&form, "login", &[("username", MEMBER)]);
    while page
        .redirect()
        .is_none_or(|next| next.path() != "/oidc/callback")
    {
        page = victim.step(page);
    }
    let callback = page.redirect().expect("the callback").clone();
    let mut thief = Person::new();
    assert_eq!(thief.get(callback.as_str()).status(), 400);
    assert_eq!(
        victim
            .get(&format!("{}/oidc/callback", standin.url()))
            .status(),
        400
    );
    assert_eq!(victim.step(page).status(), 200);
    // A code works once.
    assert_eq!(victim.get(callback.as_str()).status(), 404);
    assert_eq!(standin.users().len(), 1);
}

#[test]
fn a_confirmation_without_its_cookie_or_field_registers_nothing() {
    let (_provider, standin) = trusting(Options::default(), false, "ES256");
    let mut person = Person::new();
    let asked = sign_in(
        &mut person,
        &standin,
        &format!("/register/{AUTH_ID}"),
        MEMBER,
    );
    let forged = person.submit(&asked, "", &[("headscale_register_confirm", "0")]);
    assert_eq!(forged.status(), 403);
    person.jar.clear();
    assert_eq!(person.submit(&asked, "", &[]).status(), 403);
    assert!(standin.nodes().is_empty());
}

#[test]
fn a_client_secret_that_is_wrong_ends_in_a_refused_exchange() {
    let (mut provider, standin) = trusting(Options::default(), false, "ES256");
    let callback = format!("{}/oidc/callback", standin.url());
    provider.register("headscale", "another secret", &callback, "ES256");
    let mut person = Person::new();
    let refused = sign_in(
        &mut person,
        &standin,
        &format!("/register/{AUTH_ID}"),
        MEMBER,
    );
    assert_eq!(refused.status(), 403);
    assert!(
        standin.problems()[0].contains("invalid_client"),
        "{:?}",
        standin.problems()
    );
    assert!(
        provider
            .requests()
            .contains(&"POST /application/o/token/".to_owned())
    );
}

#[test]
fn the_provider_can_say_no_and_can_be_told_about_people() {
    let (mut provider, standin) = trusting(Options::default(), false, "ES256");
    let mut person = Person::new();
    let form = person.open(&format!("{}/register/{AUTH_ID}", standin.url()));
    let unknown = person.submit(&form, "login", &[("username", "nobody")]);
    assert_eq!(unknown.status(), 401);
    let cancelled = person.fill_in(&form, "deny", &[]);
    assert!(
        cancelled
            .url
            .query()
            .is_some_and(|query| query.contains("error=access_denied"))
    );

    provider.set_person(
        "zoë",
        &json!({ "name": "Zoë", "email": "zoe@acmecorp.net", "groups": ["a"] }),
    );
    provider.set(&json!({ "email_verified": false }));
    sign_in(
        &mut person,
        &standin,
        &format!("/register/{AUTH_ID}"),
        "zoë",
    );
    let [user] = &standin.users()[..] else {
        panic!("{:?}", standin.problems())
    };
    assert_eq!((user.name.as_str(), user.email.as_deref()), ("zoë", None));
    let told = provider.end_sessions("zoë");
    assert_eq!(
        told,
        [json!({ "client_id": "headscale", "outcome": "accepted" })]
    );
    provider.deactivate("zoë");
    let again = person.open(&format!("{}/register/{AUTH_ID}", standin.url()));
    assert!(again.text().contains("Sign in"), "{}", again.text());
}

#[test]
fn a_person_keeps_cookies_as_the_strictest_browser_does() {
    let mut person = Person::new();
    let here = Url::parse("http://127.0.0.1:1/a/b").unwrap();
    for field in [
        "plain=1",
        "root=1; Path=/",
        "elsewhere=1; Path=/other",
        "gone=1",
        "gone=; Max-Age=0",
        "secure=1; Secure",
        "__Host-x=1; Path=/",
        "none=1; SameSite=None",
        "foreign=1; Domain=example.com",
        "strict=1; SameSite=Strict",
    ] {
        person.jar.set(&here, field);
    }
    let kept: Vec<&str> = person
        .jar
        .at(&here)
        .iter()
        .map(|kept| kept.name.as_str())
        .collect();
    assert_eq!(kept, ["plain", "root", "elsewhere", "strict"]);
    assert_eq!(person.jar.refused.len(), 4);
    let tls = Url::parse("https://h.example/").unwrap();
    person.jar.set(&tls, "__Host-x=1; Path=/; Secure");
    person
        .jar
        .set(&tls, "__Host-y=1; Path=/; Secure; Domain=h.example");
    assert_eq!(person.jar.at(&tls).len(), 1);
}

#[test]
fn a_person_sends_what_a_browser_would() {
    let standin = standin();
    let page = "HTTP/1.1 200 OK\r\nContent-Length: 88\r\nReferrer-Policy: same-origin\r\n\r\n\
                <form method=post action=\"/verify?a=1&amp;b=2\"><input name=q value='&#39;x'><button></form>";
    let body = page.len() - page.find("<form").unwrap();
    let page = page.replace("88", &body.to_string());
    standin.script("/form", Script::Bytes(page.clone().into_bytes()));
    let mut person = Person::new();
    person.jar.set(
        &Url::parse(&standin.url()).unwrap(),
        "strict=1; SameSite=Strict; Path=/",
    );
    let form = person.get(&format!("{}/form", standin.url()));
    let typed = standin.wait_for_request("/form");
    assert_eq!(typed.fields.value("sec-fetch-site"), Some("none"));
    assert_eq!(typed.fields.value("cookie"), Some("strict=1"));
    person.submit(&form, "", &[]);
    let posted = standin.wait_for_request("/verify");
    assert_eq!(
        (posted.target.as_str(), &posted.body[..]),
        ("/verify?a=1&b=2", &b"q=%27x"[..])
    );
    assert_eq!(posted.fields.value("origin"), Some(standin.url().as_str()));
    assert_eq!(posted.fields.value("sec-fetch-site"), Some("same-origin"));
    assert_eq!(posted.fields.value("cookie"), Some("strict=1"));

    // The same from another site.
    let attacker = HeadscaleStandin::start(Options::default());
    let target = format!("action=\"{}/verify?", standin.url());
    let evil = page.replace("action=\"/verify?", &target);
    let grown = evil.len() - evil.find("<form").unwrap();
    let evil = evil.replace(&format!("Length: {body}"), &format!("Length: {grown}"));
    attacker.script("/form", Script::Bytes(evil.into_bytes()));
    let lure = format!("http://localhost:{}/form", attacker.address().port());
    let form = person.get(&lure);
    person.submit(&form, "", &[]);
    let posted = standin.wait_for_request("/verify");
    assert_eq!(posted.fields.value("sec-fetch-site"), Some("cross-site"));
    assert_eq!(posted.fields.value("origin"), Some("null"));
    assert_eq!(posted.fields.value("cookie"), None);
}

#[test]
fn a_browser_signs_in_at_the_provider_and_a_screenshot_shows_the_result() {
    let (_provider, standin) = trusting(Options::default(), true, "ES256");
    let pictures = tempfile::tempdir().unwrap();
    let mut browser = Browser::start();
    let form = browser.open(&format!("{}/register/{AUTH_ID}", standin.url()));
    assert_eq!((form.title.as_str(), form.status), ("Sign in", 200));
    let asked = browser.sign_in(MEMBER);
    assert_eq!(
        asked.title, "Confirm node registration - Headscale",
        "{asked:?}"
    );
    assert_eq!(
        browser.press("Confirm registration").title,
        "Node registered - Headscale"
    );
    browser.screenshot(pictures.path(), "registered");
    let picture = std::fs::read(pictures.path().join("registered.png")).unwrap();
    assert!(picture.starts_with(b"\x89PNG") && picture.len() > 1000);
    assert_eq!(standin.nodes().len(), 1);
    let callback = browser.requests().into_iter().find(|request| {
        request["url"]
            .as_str()
            .is_some_and(|url| url.contains("/oidc/callback"))
    });
    assert_eq!(callback.expect("a callback")["status"], 200);
    let cookies = browser.cookies(&format!("{}/oidc/callback", standin.url()));
    assert!(
        cookies.iter().any(|cookie| cookie["httpOnly"] == true),
        "{cookies:?}"
    );
}

#[test]
fn a_browser_without_cookies_sends_none() {
    let (_provider, standin) = trusting(Options::default(), true, "ES256");
    let mut browser = Browser::start_with(&json!({ "cookies": false }));
    let url = format!("{}/register/{AUTH_ID}", standin.url());
    browser.open(&url);
    let again = browser.open(&url);
    assert_eq!(
        (again.title.as_str(), again.status),
        ("Request failed", 400)
    );
    let [_, second] = &standin.requests()[..2] else {
        panic!("two requests")
    };
    assert_eq!(second.fields.value("cookie"), None);
    assert_eq!(browser.cookies(&url), Vec::<serde_json::Value>::new());

    standin.script(
        "/bare",
        Script::Bytes(b"HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n".to_vec()),
    );
    assert_eq!(browser.open(&format!("{}/bare", standin.url())).status, 404);
}
