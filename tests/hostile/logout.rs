//! L: logout. Only a form of ours signs out; what was signed out is dead everywhere, at once and for
//! good.
//!
//! Who may sign out, with what is left of a session, and what the provider is told: `gate::sessions`. What
//! the provider tells us when all is well: `gate::provider_logout`.

mod back_channel;
mod front_channel;

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};

use serde_json::json;

use crate::faulty_provider::{Endpoint, Person as Account};
use crate::stage::{
    HTML, SAME_ORIGIN, SESSION, Stage, ask, cookie, member, request, session_line, session_value,
};
use crate::support::house::More;
use crate::support::person::Person;
use crate::support::raw::{PATIENCE, Raw, Response};
use crate::support::tailnet::{AUTH_ID, Tailnet};

const LOGOUT: &str = "/.headwarden/logout";
const EMPTY: &str = "Content-Length: 0";

#[test]
fn nothing_that_another_site_can_make_a_browser_send_signs_out() {
    let stage = Stage::start();
    let person = stage.somebody(Account::Member);
    let session = session_line(&stage.house, &person);
    let cross = "Sec-Fetch-Site: cross-site";
    let form = "Content-Type: application/x-www-form-urlencoded";
    for (method, target, lines) in [
        (
            "GET",
            LOGOUT,
            &[cross, "Sec-Fetch-Dest: image", "Sec-Fetch-Mode: no-cors"][..],
        ),
        ("GET", LOGOUT, &[cross, HTML, "Sec-Fetch-Mode: navigate"]),
        (
            "GET",
            LOGOUT,
            &[SAME_ORIGIN, "Sec-Purpose: prefetch;prerender"],
        ),
        (
            "GET",
            LOGOUT,
            &[SAME_ORIGIN, "X-HTTP-Method-Override: POST"],
        ),
        (
            "GET",
            LOGOUT,
            &[
                SAME_ORIGIN,
                "X-Method-Override: POST",
                "X-HTTP-Method: POST",
            ],
        ),
        ("GET", "/.headwarden/logout?_method=POST", &[SAME_ORIGIN]),
        ("HEAD", LOGOUT, &[SAME_ORIGIN]),
        (
            "OPTIONS",
            LOGOUT,
            &[cross, "Access-Control-Request-Method: POST"],
        ),
        ("POST", LOGOUT, &[cross, form, EMPTY]),
        ("POST", LOGOUT, &[cross, "Content-Type: text/plain", EMPTY]),
        ("POST", LOGOUT, &[cross, "Origin: null", form, EMPTY]),
        ("POST", LOGOUT, &["Sec-Fetch-Site: Same-Origin", EMPTY]),
        (
            "POST",
            LOGOUT,
            &["Sec-Fetch-Site: same-origin, same-origin", EMPTY],
        ),
        (
            "POST",
            LOGOUT,
            &["Sec-Fetch-Site: same-origin", cross, EMPTY],
        ),
        ("POST", LOGOUT, &["Sec-Fetch-Site:", EMPTY]),
        ("POST", LOGOUT, &["Origin: http://127.0.0.1", EMPTY]),
        (
            "POST",
            LOGOUT,
            &[
                "Origin: https://evil.example",
                "Referer: http://127.0.0.1/",
                EMPTY,
            ],
        ),
        ("POST", "/.headwarden/logout/", &[SAME_ORIGIN, EMPTY]),
        ("POST", "/.headwarden/Logout", &[SAME_ORIGIN, EMPTY]),
        ("POST", "/logout", &[SAME_ORIGIN, EMPTY]),
        ("DELETE", LOGOUT, &[SAME_ORIGIN]),
        ("PATCH", LOGOUT, &[SAME_ORIGIN, EMPTY]),
    ] {
        let answer = ask(&stage.house, method, target, &[lines, &[&session]].concat());
        let deleted = answer.head.fields.values("set-cookie");
        assert_eq!(deleted, Vec::<&str>::new(), "{method} {target} {lines:?}");
        assert_eq!(answer.header("access-control-allow-origin"), None);
        let still = ask(&stage.house, "GET", "/windows", &[&session]);
        assert_eq!(
            still.status(),
            200,
            "{method} {target} {lines:?} signed out"
        );
    }
    assert_eq!(stage.faulty.provider.hits(Endpoint::EndSession), 0);
}

#[test]
fn what_was_signed_out_is_dead_on_every_connection_and_after_a_restart() {
    let mut stage = Stage::start();
    let mut person = stage.somebody(Account::Member);
    let session = session_line(&stage.house, &person);
    let asked = request(&stage.house, "GET", "/windows", &[&session]);
    let mut kept = Raw::connect(stage.house.plan.public).expect("a connection");
    assert_eq!(kept.exchange(&asked).expect("an answer").status(), 200);
    // A device's question that was open, and a leg of Headscale's that was begun.
    let begun = person.get(&stage.house.url(&format!("/register/{AUTH_ID}")));
    let authorize = begun.redirect().expect("headscale's redirect").clone();
    let page = person.open(&stage.house.url(LOGOUT));
    let out = person.submit(&page, "", &[]);
    assert_eq!(out.status(), 303);
    assert_eq!(cookie(&stage.house, &person, SESSION), None);
    // The connection was good a moment ago.
    assert_eq!(kept.exchange(&asked).expect("an answer").status(), 401);
    for (target, status) in [
        ("/windows", 401),
        ("/api/v1/user", 401),
        ("/swagger", 401),
        (&authorize.as_str()[stage.house.plan.origin().len()..], 400),
    ] {
        let answer = ask(&stage.house, "GET", target, &[SAME_ORIGIN, &session]);
        assert_eq!(answer.status(), status, "{target}");
    }
    stage.house.restart(&[]);
    stage.house.wait_for_log("serving");
    assert_eq!(
        ask(&stage.house, "GET", "/windows", &[&session]).status(),
        401
    );
}

#[test]
fn signing_out_with_two_cookies_ends_both_sessions() {
    let stage = Stage::start();
    let values = [Account::Member, Account::Admin]
        .map(|account| session_value(&stage.house, &stage.somebody(account)));
    let line = format!(
        "Cookie: {SESSION}={}; a=b; {SESSION}={}",
        values[0], values[1]
    );
    let answer = ask(&stage.house, "POST", LOGOUT, &[EMPTY, SAME_ORIGIN, &line]);
    assert_eq!(answer.status(), 303);
    for value in values {
        let line = format!("Cookie: {SESSION}={value}");
        assert_eq!(ask(&stage.house, "GET", "/windows", &[&line]).status(), 401);
    }
}

#[test]
fn requests_that_race_with_a_logout_never_bring_the_session_back() {
    let stage = Stage::start();
    for _ in 0..5 {
        let person = stage.somebody(Account::Member);
        let session = session_line(&stage.house, &person);
        let asked = request(&stage.house, "GET", "/windows", &[&session]);
        let over = AtomicBool::new(false);
        let late: usize = std::thread::scope(|scope| {
            let racers: Vec<_> = (0..6)
                .map(|_| {
                    scope.spawn(|| {
                        let connect =
                            || Raw::connect(stage.house.plan.public).expect("a connection");
                        let mut raw = connect();
                        let mut after = 0;
                        while after < 5 {
                            // Looked at before it is sent: then it came after the logout's answer.
                            let is_late = over.load(Ordering::SeqCst);
                            let answer = raw.exchange(&asked);
                            // What was on its way ends with its session, and so does its connection.
                            let cut = answer.as_ref().map_or(true, |answer| {
                                answer.header("connection") == Some("close")
                            });
                            if cut {
                                assert!(!is_late, "{answer:?} after the logout");
                                raw = connect();
                                continue;
                            }
                            let status = answer.expect("an answer").status();
                            assert!(status == 401 || !is_late, "{status} after the logout");
                            after += usize::from(is_late);
                        }
                        after
                    })
                })
                .collect();
            let lines = [EMPTY, SAME_ORIGIN, &session];
            assert_eq!(ask(&stage.house, "POST", LOGOUT, &lines).status(), 303);
            over.store(true, Ordering::SeqCst);
            racers
                .into_iter()
                .map(|racer| racer.join().expect("it ran"))
                .sum()
        });
        assert_eq!(late, 30);
    }
}

#[test]
fn a_step_up_whose_session_was_signed_out_meanwhile_begins_none() {
    use crate::faulty_provider::Fault;
    let stage = Stage::start();
    stage.faulty.provider.bend(Fault::AuthTimeAbsent);
    let mut person = stage.somebody(Account::Member);
    let session = session_line(&stage.house, &person);
    stage.faulty.provider.mend();
    let begun = person.get(&stage.house.url(&format!("/auth/{AUTH_ID}")));
    let answered = person.step(begun);
    assert_eq!(
        answered.redirect().expect("an answer").path(),
        "/oidc/callback"
    );
    let lines = [EMPTY, SAME_ORIGIN, &session];
    assert_eq!(ask(&stage.house, "POST", LOGOUT, &lines).status(), 303);
    // Its cookie is still in this browser.
    let page = person.follow(answered);
    assert_eq!(page.status(), 403, "{}", page.text());
    assert!(
        page.text().contains("A fresh sign-in is needed"),
        "{}",
        page.text()
    );
    assert_eq!(
        ask(&stage.house, "GET", "/windows", &[&session]).status(),
        401
    );
    assert!(stage.headscale.approved_ssh().is_empty());
}

/// A web UI that switches to a WebSocket, echoes, and says when a connection of its has ended.
fn web_ui() -> (SocketAddr, Receiver<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    let (ended, ends) = channel();
    std::thread::spawn(move || {
        for socket in listener.incoming() {
            let (Ok(mut socket), ended) = (socket, ended.clone()) else {
                return;
            };
            std::thread::spawn(move || {
                let mut bytes = [0; 4096];
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    let read = socket.read(&mut bytes).unwrap_or_default();
                    if read == 0 {
                        return;
                    }
                    head.extend_from_slice(&bytes[..read]);
                }
                let switch = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n\
                    Upgrade: websocket\r\n\r\n";
                let mut open = socket.write_all(switch).is_ok();
                while open {
                    let read = socket.read(&mut bytes).unwrap_or_default();
                    open = read > 0 && socket.write_all(&bytes[..read]).is_ok();
                }
                let _ = ended.send(());
            });
        }
    });
    (address, ends)
}

#[test]
fn a_websocket_ends_with_its_session_and_no_other_does() {
    let (ui, ends) = web_ui();
    let access = format!("access:\n  - {{ path: \"/ui/**\", upstream: \"http://{ui}\" }}\n");
    let stage = Stage::start_with(|_| More {
        top: Box::leak(access.into_boxed_str()),
        ..More::default()
    });
    let upgrade = [
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    ];
    let open = |session: &str| {
        let mut raw = Raw::connect(stage.house.plan.public).expect("a connection");
        let lines = [&upgrade[..], &[session]].concat();
        let asked = request(&stage.house, "GET", "/ui/socket", &lines);
        raw.send(&asked).expect("it is sent");
        assert_eq!(raw.read_head().expect("an answer").status, 101);
        raw
    };
    let echoes = |raw: &mut Raw| {
        raw.send(b"ping").expect("it is open");
        assert_eq!(raw.read_exact(4).expect("it comes back"), b"ping");
    };
    let sessions = [Account::Member, Account::Admin, Account::Member]
        .map(|account| session_line(&stage.house, &stage.somebody(account)));
    let mut sockets = sessions.each_ref().map(|session| open(session));
    let mut second = open(&sessions[0]);
    sockets.iter_mut().for_each(echoes);
    echoes(&mut second);
    let lines = [EMPTY, SAME_ORIGIN, &sessions[0]];
    assert_eq!(ask(&stage.house, "POST", LOGOUT, &lines).status(), 303);
    for ended in [&mut sockets[0], &mut second] {
        assert!(ended.is_cut());
        ends.recv_timeout(PATIENCE)
            .expect("it ends on the other side");
    }
    // Another sign-in in the browser takes the place of its session, and of what hangs on it.
    let mut person = Person::new();
    let url = url::Url::parse(&stage.house.url("/")).expect("a URL");
    person.jar.set(
        &url,
        &format!("{}; Path=/", &sessions[1]["Cookie: ".len()..]),
    );
    person.open(&stage.house.url("/.headwarden/sign-in"));
    assert!(sockets[1].is_cut());
    ends.recv_timeout(PATIENCE)
        .expect("it ends on the other side");
    echoes(&mut sockets[2]);
    assert!(ends.try_recv().is_err(), "the third goes on");
    // Until the provider says otherwise.
    let changed = (&json!({}), &json!({}));
    let answer = back_channel::tell(&stage, Account::Member, changed.0, changed.1);
    assert_eq!(answer.status(), 200, "{}", answer.text());
    assert!(sockets[2].is_cut());
    ends.recv_timeout(PATIENCE)
        .expect("it ends on the other side");
}

#[test]
fn the_way_back_from_the_provider_does_nothing_whoever_walks_it() {
    let mut tailnet = Tailnet::start("v0.29.2");
    let mut person = member(&tailnet);
    let session = session_line(&tailnet.house, &person);
    let before = tailnet.provider.requests().len();
    for query in [
        "",
        "?state=forged",
        "?state=a&state=b",
        "?error=x",
        "?id_token_hint=eyJ",
    ] {
        let target = format!("/.headwarden/signed-out{query}");
        for lines in [
            &[HTML, &session][..],
            &[HTML],
            &["Sec-Fetch-Site: cross-site", &session],
        ] {
            let answer = ask(&tailnet.house, "GET", &target, lines);
            assert_eq!(
                (answer.status(), answer.header("location")),
                (200, None),
                "{target}"
            );
            assert_eq!(answer.header("set-cookie"), None, "{target}");
            assert_eq!(answer.header("cache-control"), Some("no-store"));
        }
    }
    assert_eq!(tailnet.provider.requests().len(), before);
    assert_eq!(
        ask(&tailnet.house, "GET", "/windows", &[&session]).status(),
        200
    );
    a_state_counts_in_its_own_browser_only(&tailnet);
    // What the provider is told: our client, where to come back to, and a new state each time.
    let mut states = Vec::new();
    for _ in 0..2 {
        let page = person.open(&tailnet.house.url(LOGOUT));
        let out = person.submit(&page, "", &[]);
        let location = out.redirect().expect("the provider").clone();
        let pairs: std::collections::BTreeMap<_, _> = location.query_pairs().collect();
        assert_eq!(pairs["client_id"], "headwarden");
        assert_eq!(pairs["id_token_hint"].split('.').count(), 3);
        assert_eq!(
            pairs["post_logout_redirect_uri"],
            tailnet.house.url("/.headwarden/signed-out")
        );
        states.push(pairs["state"].to_string());
        assert!(!tailnet.house.log().contains(&*pairs["id_token_hint"]));
        person = member(&tailnet);
    }
    assert!(
        states[0] != states[1] && states[0].len() == 43,
        "{states:?}"
    );
}

/// Whether the page at the end says that the provider answered.
fn says_answered(answer: &Response) -> bool {
    assert_eq!(answer.status(), 200, "{}", answer.text());
    let text = answer.text();
    assert!(text.contains("Your session here has ended"), "{text}");
    let (answered, unknown) = (
        text.contains("was told, and answered"),
        text.contains("may still be signed in"),
    );
    assert_ne!(answered, unknown, "{text}");
    answered
}

fn a_state_counts_in_its_own_browser_only(tailnet: &Tailnet) {
    let mut person = member(tailnet);
    let page = person.open(&tailnet.house.url(LOGOUT));
    let out = person.submit(&page, "", &[]);
    let location = out.redirect().expect("the provider").clone();
    let mut pairs = location.query_pairs();
    let (_, state) = pairs.find(|(name, _)| name == "state").expect("a state");
    let kept = cookie(&tailnet.house, &person, "headwarden-sign-out").expect("it is kept");
    assert!(!kept.contains(&*state), "it is sealed");
    let right = format!("/.headwarden/signed-out?state={state}");
    let twice = format!("{right}&state={state}");
    let ours = format!("Cookie: headwarden-sign-out={kept}");
    let planted = format!("Cookie: headwarden-sign-out={state}");
    let both = format!("{ours}; headwarden-sign-out={kept}");
    for (method, target, cookie, answered) in [
        ("GET", right.as_str(), HTML, false),
        ("GET", &right, &planted, false),
        ("GET", &right, &both, false),
        ("GET", "/.headwarden/signed-out", &ours, false),
        ("GET", "/.headwarden/signed-out?state=", &ours, false),
        ("GET", "/.headwarden/signed-out?state=forged", &ours, false),
        ("GET", &twice, &ours, false),
        ("GET", &right, &ours, true),
    ] {
        let answer = ask(&tailnet.house, method, target, &[cookie]);
        assert_eq!(says_answered(&answer), answered, "{target} {cookie}");
        let deleted = answer.header("set-cookie");
        assert_eq!(
            deleted.is_some(),
            answered,
            "{target} {cookie}: {deleted:?}"
        );
    }
    // Looking ahead uses nothing up.
    let head = ask(&tailnet.house, "HEAD", &right, &[&ours]);
    assert_eq!((head.status(), head.header("set-cookie")), (200, None));
    let back = person.open(&tailnet.house.url(&right));
    assert!(says_answered(&back.response));
    assert_eq!(cookie(&tailnet.house, &person, "headwarden-sign-out"), None);
    let again = person.open(&tailnet.house.url(&right));
    assert!(!says_answered(&again.response), "once");
}
