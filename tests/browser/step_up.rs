//! Pages that ask for more than a session, and what is open when it ends.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};

use serde_json::json;

use crate::scene::{HOST, Scene, Visitor};
use crate::support::browser::Browser;
use crate::support::certified_provider::MEMBER;
use crate::support::house::More;
use crate::support::streams::Streams;

const FORM: &str = "<!doctype html><title>Form</title><form method=post action=/ui/act>\
                    <button name=draft value=kept>Send</button></form>";
/// Longer than the rule allows, in seconds.
const LONG_AGO: u32 = 3600;

/// A web UI with a form at `/ui/form` that is sent to `/ui/act`.
fn web_ui() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    std::thread::spawn(move || {
        for tcp in listener.incoming().map_while(Result::ok) {
            std::thread::spawn(move || drop(serve(tcp)));
        }
    });
    address
}

fn serve(tcp: TcpStream) -> std::io::Result<()> {
    let mut reader = BufReader::new(tcp);
    let (mut start, mut line, mut length) = (String::new(), String::new(), 0);
    reader.read_line(&mut start)?;
    while reader.read_line(&mut line)? > 2 {
        if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap_or_default();
        }
        line.clear();
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let page = if start.starts_with("POST /ui/act ") {
        format!(
            "<!doctype html><title>Done</title>{}",
            String::from_utf8_lossy(&body)
        )
    } else {
        FORM.to_owned()
    };
    let length = page.len();
    write!(
        reader.get_mut(),
        "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {length}\r\n\
         Connection: close\r\n\r\n{page}"
    )
}

fn scene(access: &str) -> Scene {
    let top: &'static str = format!("access:\n{access}").leak();
    Scene::start_with(
        "v0.29.2",
        More {
            top,
            ..More::default()
        },
    )
}

#[test]
fn a_form_that_needs_a_recent_sign_in_is_not_lost_silently_and_is_sent_after_it() {
    let ui = web_ui();
    let mut scene = scene(&format!(
        "  - {{ path: /ui/act, upstream: \"http://{ui}\", max_auth_age: 10m }}\n  \
         - {{ path: \"/ui/**\", upstream: \"http://{ui}\" }}\n"
    ));
    let mut visitor = Visitor::new();
    scene.sign_in(&mut visitor, "/ui/form", MEMBER);
    scene.provider.age(MEMBER, LONG_AGO);
    visitor.browser.open(&scene.url("/.headwarden/sign-in"));
    let form = visitor.browser.open(&scene.url("/ui/form"));
    assert_eq!(form.title, "Form");
    let told = visitor.browser.press("Send");
    scene.shows(&told, "/ui/act", 403, "Nothing has been sent");
    visitor.shoot("nothing-sent");
    let asked = visitor.browser.press("Sign in again");
    scene.is_asked_by_the_provider(&asked);
    let back = visitor.browser.sign_in(MEMBER);
    assert_eq!(
        (&*back.url, &*back.title),
        (&*scene.url("/ui/form"), "Form")
    );
    let done = visitor.browser.press("Send");
    assert_eq!((&*done.title, done.status), ("Done", 200));
    assert!(done.text.contains("draft=kept"), "{done:?}");
}

#[test]
fn a_page_that_needs_another_class_of_sign_in_is_reached_by_it_or_says_that_it_was_not_done() {
    let mut scene =
        scene("  - { path: /apple, acr: [gold] }\n  - { path: /windows, amr: [mfa] }\n");
    scene.provider.set(&json!({ "acr_values": ["gold"] }));
    let mut visitor = Visitor::new();
    scene.sign_in(&mut visitor, "/", MEMBER);
    let form = visitor.browser.open(&scene.url("/apple"));
    scene.is_asked_by_the_provider(&form);
    let page = visitor.browser.sign_in(MEMBER);
    assert_eq!((page.url, page.status), (scene.url("/apple"), 200));
    // This provider knows one factor.
    let form = visitor.browser.open(&scene.url("/windows"));
    scene.is_asked_by_the_provider(&form);
    let told = visitor.browser.sign_in(MEMBER);
    scene.shows(&told, "/oidc/callback", 403, "A stronger sign-in is needed");
    visitor.shoot("step-up-not-done");
    let page = visitor.browser.open(&scene.url("/"));
    assert_eq!(page.status, 200, "the session is as it was");
}

/// Over TLS, and as a script sees it.
#[test]
fn a_stream_that_is_cut_does_not_look_finished_to_a_script() {
    let streams = Streams::start();
    let ui = streams.address;
    let scene = scene(&format!(
        "  - {{ path: \"/ui/**\", upstream: \"http://{ui}\" }}\n"
    ));
    let settings = json!({ "hosts": { HOST: "127.0.0.1" }, "trust_any_certificate": true });
    let mut browser = Browser::start_with(&settings);
    browser.open(&scene.url("/windows"));
    browser.sign_in(MEMBER);
    for (path, first) in [
        ("/ui/silent", "data: hello\n\n"),
        ("/ui/chatty", "data: hello\n\n"),
    ] {
        browser.open(&scene.url("/windows"));
        if browser.look().url.starts_with(scene.provider.origin()) {
            browser.sign_in(MEMBER);
        }
        let script = format!(
            "(async () => {{\
               const reader = (await fetch('{path}')).body.getReader();\
               const first = new TextDecoder().decode((await reader.read()).value);\
               await fetch('/.headwarden/logout', {{ method: 'POST', redirect: 'manual' }});\
               try {{ for (;;) {{ if ((await reader.read()).done) return [first, 'whole']; }} }}\
               catch (error) {{ return [first, 'cut']; }}\
             }})()"
        );
        let seen = browser.evaluate(&script);
        assert_eq!(seen[1], "cut", "{path}: {seen}");
        assert!(
            seen[0].as_str().is_some_and(|text| text.starts_with(first)),
            "{path}: {seen}"
        );
        assert_eq!(streams.ended(), path);
    }
}
