//! What people and machines get while something behind the house is away, slow, or gone mad; and
//! what an operator reads meanwhile.

use crate::faulty_provider::{Endpoint, Fault, Person as Account};
use crate::stage::{Faulty, HTML, Stage, ask, request, send, session_line};
use crate::support::headscale_standin::{FIRST_BYTES, HeadscaleStandin, Options, Script};
use crate::support::house::{House, More, Plan};
use crate::support::person::Person;
use crate::support::raw::{Raw, Response};

const CONTROL: [&str; 3] = [
    "Connection: Upgrade",
    "Upgrade: tailscale-control-protocol",
    "X-Tailscale-Handshake: AAAA",
];

/// What the operator's listener says.
pub(crate) fn probe(plan: &Plan, method: &str, path: &str) -> Response {
    let text = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    send(plan.admin, text.as_bytes())
}

/// The verdict and each check's, as `name=status`.
fn readiness(plan: &Plan) -> (u16, Vec<String>) {
    let answer = probe(plan, "GET", "/readyz");
    let body = answer.json();
    let checks = body["checks"].as_object().expect("checks by name");
    let mut all: Vec<String> = checks
        .iter()
        .map(|(name, results)| format!("{name}={}", results[0]["status"].as_str().unwrap_or("?")))
        .collect();
    all.sort_unstable();
    (answer.status(), all)
}

#[test]
fn a_headscale_that_is_away_is_said_to_be_away_in_the_words_of_whoever_asks() {
    let mut stage = Stage::start();
    let person = stage.somebody(Account::Member);
    let session = session_line(&stage.house, &person);
    // Stopped, and its port free: connections are refused.
    stage.headscale = HeadscaleStandin::start(Options::default());
    let page = ask(&stage.house, "GET", "/windows", &[HTML, &session]);
    assert_eq!(
        (page.status(), page.header("retry-after")),
        (503, Some("5"))
    );
    assert!(
        page.header("content-type")
            .unwrap()
            .starts_with("text/html")
    );
    assert!(
        page.text().contains("The service is not available"),
        "{}",
        page.text()
    );
    assert!(page.text().contains("Support id"));
    for (target, lines) in [
        ("/windows", &[session.as_str()][..]),
        ("/key?v=140", &[]),
        ("/health", &[]),
    ] {
        let answer = ask(&stage.house, "GET", target, lines);
        assert_eq!(answer.status(), 503, "{target}");
        assert_eq!(answer.json()["error"], "upstream_unavailable");
        assert_eq!(answer.header("retry-after"), Some("5"), "{target}");
        // No source chain, no address of ours.
        assert!(!answer.text().contains("127.0.0.1"), "{}", answer.text());
    }
    let tunnel = ask(&stage.house, "POST", "/ts2021", &CONTROL);
    assert_eq!(tunnel.status(), 502, "{}", tunnel.text());
    // Our own pages need nobody.
    assert_eq!(
        ask(&stage.house, "GET", "/.headwarden/signed-out", &[]).status(),
        200
    );
    assert_eq!(ask(&stage.house, "GET", "/generate_204", &[]).status(), 204);
    let (status, checks) = readiness(&stage.house.plan);
    assert_eq!(status, 503);
    assert!(checks.contains(&"headscale=fail".to_owned()), "{checks:?}");
    assert!(checks.contains(&"provider=pass".to_owned()), "{checks:?}");
    stage.house.wait_for_log("request failed");
}

#[test]
fn a_headscale_that_answers_nonsense_is_a_502() {
    let stage = Stage::start();
    let person = stage.somebody(Account::Member);
    let session = session_line(&stage.house, &person);
    for nonsense in [
        b"hello\r\n\r\n".as_slice(),
        b"HTTP/1.1 abc\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        b"\x16\x03\x01\r\n\r\n",
    ] {
        for lines in [&[HTML, &session][..], &[&session]] {
            stage
                .headscale
                .script("/windows", Script::Bytes(nonsense.to_vec()));
            let answer = ask(&stage.house, "GET", "/windows", lines);
            assert_eq!(
                answer.status(),
                502,
                "{:?}: {}",
                String::from_utf8_lossy(nonsense),
                answer.text()
            );
            let html = answer
                .header("content-type")
                .unwrap()
                .starts_with("text/html");
            assert_eq!(html, lines.len() == 2);
        }
    }
    assert_eq!(
        ask(&stage.house, "GET", "/windows", &[&session]).status(),
        200
    );
}

#[test]
fn a_headscale_that_hangs_is_given_up_after_the_time_the_operator_set() {
    let stage = Stage::start_with(|_| More {
        headscale: "  response_timeout: 2s\n",
        ..More::default()
    });
    let person = stage.somebody(Account::Member);
    let session = session_line(&stage.house, &person);
    let page_held = stage.headscale.gate("/windows");
    let page = ask(&stage.house, "GET", "/windows", &[HTML, &session]);
    assert_eq!(page.status(), 504, "{}", page.text());
    assert!(page.text().contains("took too long"));
    let key_held = stage.headscale.gate("/key");
    let answer = ask(&stage.house, "GET", "/key", &[]);
    assert_eq!(
        (answer.status(), answer.json()["error"].as_str()),
        (504, Some("upstream_unavailable"))
    );
    let tunnel_held = stage.headscale.gate("/ts2021");
    assert_eq!(ask(&stage.house, "POST", "/ts2021", &CONTROL).status(), 504);
    drop((page_held, key_held, tunnel_held));
    assert_eq!(
        ask(&stage.house, "GET", "/windows", &[&session]).status(),
        200
    );
}

#[test]
fn a_stream_arrives_chunk_by_chunk_and_ends_with_its_last() {
    let stage = Stage::start();
    let person = stage.somebody(Account::Member);
    let session = session_line(&stage.house, &person);
    let chunks = stage.headscale.stream("/events");
    let mut raw = Raw::connect(stage.house.plan.public).unwrap();
    raw.send(&request(&stage.house, "GET", "/events", &[&session]))
        .unwrap();
    let head = raw.read_head().unwrap();
    let framing = head.fields.value("transfer-encoding");
    assert_eq!((head.status, framing), (200, Some("chunked")));
    for chunk in ["first", "second", "third"] {
        // Nothing else is on its way: what arrives was passed on at once.
        chunks.send(chunk.as_bytes().to_vec()).unwrap();
        assert_eq!(raw.read_chunk().unwrap().unwrap(), chunk.as_bytes());
    }
    drop(chunks);
    assert_eq!(raw.read_chunk().unwrap(), None);
    // The connection is good for another.
    let next = raw.exchange(&request(&stage.house, "GET", "/windows", &[&session]));
    assert_eq!(next.unwrap().status(), 200);
}

#[test]
fn a_long_poll_of_a_web_ui_outlives_the_time_that_headscale_has() {
    let ui = HeadscaleStandin::start(Options::default());
    let access = format!("access:\n  - path: /ui/**\n    upstream: {}\n", ui.url());
    let stage = Stage::start_with(|_| More {
        headscale: "  response_timeout: 2s\n",
        top: Box::leak(access.into_boxed_str()),
        ..More::default()
    });
    let person = stage.somebody(Account::Member);
    let session = session_line(&stage.house, &person);
    let poll = ui.gate("/ui/poll");
    let mut raw = Raw::connect(stage.house.plan.public).unwrap();
    raw.send(&request(&stage.house, "GET", "/ui/poll", &[&session]))
        .unwrap();
    ui.wait_for_request("/ui/poll");
    // Two answers that take their whole time are the clock of this silence.
    for _ in 0..2 {
        let held = stage.headscale.gate("/windows");
        assert_eq!(
            ask(&stage.house, "GET", "/windows", &[&session]).status(),
            504
        );
        drop(held);
    }
    drop(poll);
    let answer = raw.read_response("GET").unwrap();
    assert_eq!(
        (answer.status(), answer.text().trim()),
        (404, "404 page not found")
    );
}

#[test]
fn an_answer_that_breaks_off_is_never_made_to_look_whole() {
    let stage = Stage::start();
    let person = stage.somebody(Account::Member);
    let session = session_line(&stage.house, &person);
    for broken in [
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf".as_slice(),
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
    ] {
        stage
            .headscale
            .script("/windows", Script::Bytes(broken.to_vec()));
        let mut raw = Raw::connect(stage.house.plan.public).unwrap();
        raw.send(&request(&stage.house, "GET", "/windows", &[&session]))
            .unwrap();
        let head = raw.read_head().unwrap();
        // Where nothing of it was sent yet, the client hears what happened.
        if head.status == 502 {
            continue;
        }
        assert_eq!(head.status, 200);
        let body = raw.read_body("GET", &head);
        assert!(
            body.is_err(),
            "{:?}",
            body.map(|body| String::from_utf8_lossy(&body).into_owned())
        );
    }
}

#[test]
fn a_client_that_leaves_a_stream_ends_it_and_hurts_nobody() {
    let mut stage = Stage::start();
    let person = stage.somebody(Account::Member);
    let session = session_line(&stage.house, &person);
    let chunks = stage.headscale.stream("/events");
    let mut raw = Raw::connect(stage.house.plan.public).unwrap();
    raw.send(&request(&stage.house, "GET", "/events", &[&session]))
        .unwrap();
    assert_eq!(raw.read_head().unwrap().status, 200);
    drop(raw);
    // Nothing was sent meanwhile: the house notices by itself.
    stage.house.wait_for_log("path=\"/events\"");
    drop(chunks);
    assert_eq!(
        ask(&stage.house, "GET", "/windows", &[&session]).status(),
        200
    );
}

/// A house whose provider is down from the start.
fn without_a_provider(waits: bool) -> (Faulty, HeadscaleStandin, House) {
    let faulty = Faulty::start();
    faulty.provider.bend(Fault::DiscoveryIsDown);
    let headscale = HeadscaleStandin::start(Options::default());
    let (url, issuer) = (headscale.url(), faulty.provider.issuer());
    let more = More {
        waits_for_provider: waits,
        oidc: "  start_timeout: 1s\n",
        ..More::default()
    };
    let house = House::launch(|plan| plan.config(&url, &issuer, &more), &[]);
    (faulty, headscale, house)
}

#[test]
fn a_house_that_must_not_start_without_its_provider_says_so_and_ends_with_5() {
    let (faulty, _headscale, mut house) = without_a_provider(true);
    assert_eq!(house.wait().code(), Some(5), "{}", house.log());
    let log = house.log();
    assert!(
        log.contains("headwarden: the provider did not become available within 1 s"),
        "{log}"
    );
    assert!(!log.contains("serving"), "{log}");
    assert!(faulty.provider.hits(Endpoint::Discovery) > 0);
}

#[test]
fn a_house_that_may_start_without_its_provider_lets_devices_in_and_recovers_by_itself() {
    let (faulty, _headscale, mut house) = without_a_provider(false);
    house.wait_for_log("serving");
    assert_eq!(ask(&house, "GET", "/key?v=140", &[]).status(), 200);
    let mut tunnel = Raw::connect(house.plan.public).unwrap();
    let opened = tunnel
        .exchange(&request(&house, "POST", "/ts2021", &CONTROL))
        .unwrap();
    assert_eq!(opened.status(), 101);
    assert_eq!(tunnel.read_exact(FIRST_BYTES.len()).unwrap(), FIRST_BYTES);
    let page = ask(&house, "GET", "/windows", &[HTML]);
    assert_eq!(page.status(), 503);
    assert!(page.header("retry-after").is_some());
    assert!(
        page.text()
            .contains("Devices that are connected stay connected"),
        "{}",
        page.text()
    );
    assert_eq!(page.header("set-cookie"), None);
    assert_eq!(ask(&house, "GET", "/windows", &[]).status(), 401);
    assert_eq!(
        ask(
            &house,
            "GET",
            "/oidc/callback?code=a&state=hw1.AAAAAAAAAAAA",
            &[]
        )
        .status(),
        400
    );
    let (status, checks) = readiness(&house.plan);
    assert_eq!(status, 503);
    assert!(checks.contains(&"provider=fail".to_owned()), "{checks:?}");
    assert_eq!(probe(&house.plan, "GET", "/healthz").status(), 200);

    faulty.provider.mend();
    house.wait_for_log("the provider is known");
    let landed = Person::new().open(&house.url("/windows"));
    assert_eq!(landed.status(), 200, "{}", landed.text());
    tunnel.send(b"still here").unwrap();
    assert_eq!(tunnel.read_exact(10).unwrap(), b"still here");
}

#[test]
fn a_provider_that_goes_away_later_stops_sign_ins_and_nothing_else() {
    let stage = Stage::start();
    let mut insider = stage.somebody(Account::Member);
    let Stage {
        house,
        headscale: _headscale,
        faulty,
    } = stage;
    drop(faulty);
    // The way there is known by heart; what fails is the way back.
    assert_eq!(ask(&house, "GET", "/windows", &[HTML]).status(), 303);
    assert_eq!(insider.get(&house.url("/windows")).status(), 200);
    assert_eq!(ask(&house, "GET", "/key?v=140", &[]).status(), 200);
}

#[test]
fn the_operators_listener_names_each_check() {
    let stage = Stage::start();
    let (status, checks) = readiness(&stage.house.plan);
    let all = [
        "headscale=pass",
        "headscale_oidc=pass",
        "provider=pass",
        "shutdown=pass",
        "startup=pass",
    ];
    assert_eq!((status, checks), (200, all.map(str::to_owned).to_vec()));
    let health = probe(&stage.house.plan, "GET", "/healthz");
    assert_eq!(
        (health.status(), health.json()["status"].as_str()),
        (200, Some("pass"))
    );
    // Headscale fell back, as it does when its issuer is not there when it starts.
    stage.headscale.configure(|options| options.oidc = None);
    let (status, checks) = readiness(&stage.house.plan);
    assert_eq!(status, 503);
    assert!(
        checks.contains(&"headscale_oidc=fail".to_owned()),
        "{checks:?}"
    );
    let why = probe(&stage.house.plan, "GET", "/readyz").text();
    assert!(why.contains("restart headscale"), "{why}");
    for (method, path, status) in [
        ("GET", "/livez", 200),
        ("GET", "/startupz", 200),
        ("HEAD", "/healthz", 200),
        ("POST", "/healthz", 405),
        ("GET", "/", 404),
        ("GET", "/sessions", 404),
    ] {
        assert_eq!(
            probe(&stage.house.plan, method, path).status(),
            status,
            "{method} {path}"
        );
    }
}

#[test]
fn metrics_count_what_happened_and_name_nobody() {
    let stage = Stage::start();
    let person = stage.somebody(Account::Member);
    let session = session_line(&stage.house, &person);
    ask(&stage.house, "GET", "/key?v=140", &[]);
    stage.is_at_the_provider(Account::Outsider);
    assert_eq!(
        Person::new().open(&stage.house.url("/windows")).status(),
        403
    );
    ask(&stage.house, "GET", "/secret-path", &[&session]);
    let scrape = || probe(&stage.house.plan, "GET", "/metrics");
    assert_eq!(scrape().status(), 200);
    for line in [
        "headwarden_sign_ins_total{purpose=\"session\"} 1",
        "headwarden_denials_total{rule=\"group\"} 1",
        "headwarden_requests_total{door=\"open\",status=\"2xx\"} 1",
        // The last one: a request is counted once it is over.
        "headwarden_requests_total{door=\"guarded\",status=\"4xx\"} 1",
    ] {
        let there = || scrape().text().contains(line);
        stage.house.wait_until(line, there);
    }
    let text = scrape().text();
    for secret in ["secret-path", "ben", "company.example", "127.0.0.1"] {
        assert!(!text.contains(secret), "{secret} is in\n{text}");
    }
    // Nobody reaches them from outside.
    assert_eq!(
        ask(&stage.house, "GET", "/metrics", &[&session]).status(),
        404
    );
    assert_eq!(ask(&stage.house, "GET", "/readyz", &[]).status(), 401);
}
