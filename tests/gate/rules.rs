//! What the rules for a path ask for, which methods they are about, and which are for everybody.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::faulty_provider::Person as Account;
use crate::stage::{HTML, SAME_ORIGIN, SESSION, Stage, ask, seen, session_line, session_value};
use crate::support::headscale_standin::{HeadscaleStandin, Options};
use crate::support::house::More;
use crate::support::raw::Response;

/// Longest wait for a re-check.
const PATIENCE: Duration = Duration::from_mins(1);

/// A house with these rules, each with the web UI as its upstream but where it has `headscale`.
fn stage(rules: &[&str], top: &str) -> (Stage, HeadscaleStandin) {
    let ui = HeadscaleStandin::start(Options::default());
    let mut text = top.to_owned();
    text.push_str("access:\n");
    for rule in rules {
        let upstream = match rule.strip_prefix("headscale ") {
            Some(rule) => rule.to_owned(),
            None => format!("upstream: \"{}\", {rule}", ui.url()),
        };
        writeln!(text, "  - {{ {upstream} }}").expect("a text grows");
    }
    let stage = Stage::start_with(|_| More {
        top: Box::leak(text.into_boxed_str()),
        headscale: "  api_key: hskey-api-standin\n",
        ..More::default()
    });
    (stage, ui)
}

/// The session of somebody with these claims.
fn session(stage: &Stage, claims: &Value) -> String {
    let claims = claims.as_object().expect("an object").clone();
    let provider = &stage.faulty.provider;
    provider.set(|knobs| knobs.extra_claims = claims);
    session_line(&stage.house, &stage.somebody(Account::Member))
}

fn unanswered(stage: &Stage, ui: &HeadscaleStandin, row: &str) -> bool {
    seen(ui, row).is_empty() && seen(&stage.headscale, row).is_empty()
}

/// The answer to a request that names its row, and what the web UI heard of it.
fn at(
    stage: &Stage,
    ui: &HeadscaleStandin,
    row: &str,
    (method, path): (&str, &str),
    lines: &[&str],
) -> (Response, usize) {
    let named = format!("X-Row: {row}");
    let lines = [&[HTML, named.as_str()], lines].concat();
    let answer = ask(&stage.house, method, path, &lines);
    (answer, seen(ui, row).len())
}

#[test]
fn a_rule_lets_through_who_has_what_it_asks_for_and_nobody_else() {
    let (stage, ui) = stage(
        &[
            "path: /domain, domains: [\"*.company.example\", other.example]",
            "path: /user, users: [\"ann*@*.company.example\"]",
            "path: /team/**, groups: [\"teams/*\"]",
            "path: /text, claims: { department: [it, \"dev-*\"] }",
            "path: /number, claims: { level: [3] }",
            "path: /flag, claims: { staff: [true] }",
            "path: /dotted, claims: { org.unit: [x] }",
            "path: /url, claims: { \"https://company.example/unit\": [x] }",
            "path: /all, groups: [teams/red], domains: [eu.company.example], \
             claims: { department: [it], level: [3] }",
        ],
        "",
    );
    let all = json!({
        "groups": ["headscale", "/teams/red"], "email": "ann.b@eu.company.example",
        "department": ["hr", "it"], "level": 3, "staff": true, "org": {"unit": "x"},
        "https://company.example/unit": "x",
    });
    let but = |name: &str, value: Value| {
        let mut claims = all.clone();
        claims[name] = value;
        claims
    };
    let every = [
        "/domain", "/user", "/team/a", "/text", "/number", "/flag", "/dotted", "/url", "/all",
    ];
    let only_without = |lost: &[&'static str]| -> Vec<&str> {
        every
            .into_iter()
            .filter(|path| !lost.contains(path))
            .collect()
    };
    for (number, (claims, passes)) in [
        (all.clone(), every.to_vec()),
        (
            but("email", json!("ann@other.example")),
            only_without(&["/user", "/all"]),
        ),
        (
            but("email", json!("ann@company.example")),
            only_without(&["/domain", "/user", "/all"]),
        ),
        (
            but("email", json!("ann@a.eu.company.example")),
            only_without(&["/domain", "/user", "/all"]),
        ),
        (
            but("email", json!("ann@eu.company.example@evil.example")),
            only_without(&["/domain", "/user", "/all"]),
        ),
        (
            but("email", json!("ben@eu.company.example")),
            only_without(&["/user"]),
        ),
        (
            but("email_verified", json!(false)),
            only_without(&["/domain", "/user", "/all"]),
        ),
        (
            but("groups", json!(["headscale", "teams"])),
            only_without(&["/team/a", "/all"]),
        ),
        (
            but("groups", json!(["headscale", "teams/red/x"])),
            only_without(&["/team/a", "/all"]),
        ),
        (
            but("groups", json!(["headscale", "teams/blue"])),
            only_without(&["/all"]),
        ),
        (but("department", json!("dev-ops")), only_without(&["/all"])),
        (
            but("department", json!("dev/ops")),
            only_without(&["/text", "/all"]),
        ),
        (
            but("department", json!("IT")),
            only_without(&["/text", "/all"]),
        ),
        (
            but("department", json!({"it": true})),
            only_without(&["/text", "/all"]),
        ),
        (
            but("department", json!([["it"]])),
            only_without(&["/text", "/all"]),
        ),
        (
            but("department", json!(null)),
            only_without(&["/text", "/all"]),
        ),
        (but("level", json!("3")), every.to_vec()),
        (but("level", json!([1, 3])), every.to_vec()),
        (but("level", json!(33)), only_without(&["/number", "/all"])),
        (but("staff", json!(false)), only_without(&["/flag"])),
        (but("staff", json!("true")), every.to_vec()),
        (but("staff", json!(1)), only_without(&["/flag"])),
        (but("org", json!({})), only_without(&["/dotted"])),
        (json!({"groups": ["headscale"]}), vec![]),
    ]
    .into_iter()
    .enumerate()
    {
        let session = session(&stage, &claims);
        for path in every {
            let row = format!("{number}{path}");
            let (answer, heard) = at(&stage, &ui, &row, ("GET", path), &[&session]);
            let through = passes.contains(&path);
            assert_eq!(heard, usize::from(through), "{path} {claims}");
            assert_eq!(answer.status() == 403, !through, "{path} {claims}");
        }
    }
    let log = stage.house.log();
    assert!(log.contains("unmet=the claim department"), "{log}");
    assert!(
        !log.contains("dev-ops"),
        "no value of a claim is in the log"
    );
}

#[test]
fn a_claim_is_asked_for_again_when_the_person_is_checked_again() {
    let (stage, ui) = stage(
        &["path: /text, claims: { department: [it] }"],
        "session: { recheck: 1s }\n",
    );
    stage
        .faulty
        .provider
        .set(|knobs| knobs.refresh_tokens = true);
    let session = session(&stage, &json!({"department": "it"}));
    let (answer, heard) = at(&stage, &ui, "before", ("GET", "/text"), &[&session]);
    assert_eq!(heard, 1, "{}", answer.text());
    for (department, status) in [("hr", 403), ("it", 200), ("", 403)] {
        let claims = json!({ "department": department });
        let claims = claims.as_object().expect("an object").clone();
        stage
            .faulty
            .provider
            .set(|knobs| knobs.extra_claims = claims);
        let deadline = Instant::now() + PATIENCE;
        loop {
            let (answer, _) = at(&stage, &ui, "again", ("GET", "/text"), &[&session]);
            if (answer.status() == 403) == (status == 403) {
                break;
            }
            assert!(
                Instant::now() < deadline,
                "{department:?}: {}",
                answer.text()
            );
        }
    }
}

#[test]
fn a_rule_is_about_its_methods_and_what_no_rule_takes_goes_nowhere() {
    let (stage, ui) = stage(
        &[
            "path: /read/**, methods: [GET]",
            "path: /both/**, methods: [GET]",
            "path: /both/**, methods: [POST, DELETE], groups: [headscale-admins]",
            "path: /write, methods: [PUT]",
            "headscale path: /windows, methods: [GET]",
            "headscale path: /swagger/**, methods: [POST]",
        ],
        "api: { admins: [headscale] }\n",
    );
    let session = session(&stage, &json!({}));
    for (number, (method, path, status, allow)) in [
        ("GET", "/read/x", 0, ""),
        ("HEAD", "/read/x", 0, ""),
        ("POST", "/read/x", 405, "GET, HEAD"),
        ("OPTIONS", "/read/x", 405, "GET, HEAD"),
        ("DELETE", "/read/x", 405, "GET, HEAD"),
        ("GET", "/both/x", 0, ""),
        ("POST", "/both/x", 403, ""),
        ("DELETE", "/both/x", 403, ""),
        ("PUT", "/both/x", 405, "GET, HEAD, POST, DELETE"),
        ("GET", "/write", 405, "PUT"),
        ("HEAD", "/write", 405, "PUT"),
        ("PUT", "/write", 0, ""),
        ("POST", "/windows", 405, "GET, HEAD"),
        ("GET", "/swagger/v1", 405, "POST"),
    ]
    .into_iter()
    .enumerate()
    {
        let row = format!("row-{number}");
        let lines = [session.as_str(), SAME_ORIGIN, "Content-Length: 0"];
        let (answer, heard) = at(&stage, &ui, &row, (method, path), &lines);
        let row_told = format!("{method} {path}: {}", answer.text());
        assert_eq!(heard, usize::from(status == 0), "{row_told}");
        if status > 0 {
            assert_eq!(answer.status(), status, "{row_told}");
            assert!(unanswered(&stage, &ui, &row), "{row_told}");
            assert_eq!(
                answer.header("allow").unwrap_or_default(),
                allow,
                "{row_told}"
            );
        }
    }
    // Without a session nobody learns which methods there are.
    for (method, path) in [("POST", "/read/x"), ("GET", "/write")] {
        let (answer, _) = at(
            &stage,
            &ui,
            "nobody",
            (method, path),
            &["Content-Length: 0"],
        );
        assert!([303, 401].contains(&answer.status()), "{}", answer.text());
        assert_eq!(answer.header("allow"), None);
    }
    assert!(unanswered(&stage, &ui, "nobody"));
}

#[test]
fn a_public_page_is_for_everybody_and_its_neighbours_are_not() {
    let (stage, ui) = stage(
        &[
            "path: /pub/admin/**, groups: [headscale-admins]",
            "path: /pub/**, public: true, methods: [GET]",
            "path: /pub/**",
            "headscale path: /windows, public: true",
            "path: /**, public: true",
        ],
        "",
    );
    let id = "hskey-authreq-0123456789abcdef01234567";
    let links = ["/register/", "/auth/"].map(|top| format!("{top}{id}"));
    for (number, (method, path, passes)) in [
        ("GET", "/pub", true),
        ("GET", "/pub/a/b?c=d", true),
        ("HEAD", "/pub/a", true),
        ("POST", "/pub/a", false),
        ("OPTIONS", "/pub/a", false),
        ("GET", "/pub/admin", false),
        ("GET", "/pub/admin/x", false),
        ("GET", "/pub/Admin/x", false),
        ("GET", "/pub/admin./x", false),
        ("GET", "/pub/admin%3Fx", false),
        ("GET", "/elsewhere", true),
        ("POST", "/elsewhere", true),
        ("GET", "/register", false),
        ("GET", "/register/", false),
        ("GET", "/Register/x", false),
        ("GET", "/register%3Fx", false),
        ("GET", links[0].as_str(), false),
        ("GET", links[1].as_str(), false),
        ("GET", "/auth", false),
        ("GET", "/api/v1/node", false),
        ("GET", "/Api/v1/node", false),
        ("GET", "/api/v9/node", false),
        ("GET", "/swagger", false),
        ("GET", "/Swagger/x", false),
        ("GET", "/metrics", false),
        ("GET", "/Metrics", false),
        ("GET", "/.headwarden/x", false),
        ("TRACE", "/elsewhere", false),
        ("GETX", "/elsewhere", false),
        ("GET", "/pub/../windows", false),
    ]
    .into_iter()
    .enumerate()
    {
        let row = format!("row-{number}");
        let lines: &[&str] = if method == "POST" {
            &["Content-Length: 0"]
        } else {
            &[]
        };
        let (answer, heard) = at(&stage, &ui, &row, (method, path), lines);
        assert_eq!(
            heard,
            usize::from(passes),
            "{method} {path} {}",
            answer.status()
        );
        assert!(seen(&stage.headscale, &row).is_empty(), "{method} {path}");
    }
    let (answer, heard) = at(&stage, &ui, "headscale", ("GET", "/windows"), &[]);
    assert_eq!((answer.status(), heard), (200, 0));
    assert_eq!(seen(&stage.headscale, "headscale").len(), 1);
}

#[test]
fn a_public_page_hears_of_nobody_also_where_somebody_is_signed_in() {
    let (stage, ui) = stage(
        &[
            "path: /pub/**, public: true",
            "path: /ui/**, identity_headers: remote",
        ],
        "",
    );
    let person = stage.somebody(Account::Member);
    let value = session_value(&stage.house, &person);
    let ours = format!("Cookie: theirs=1; {SESSION}={value}; more=2");
    let lines = [
        ours.as_str(),
        "Remote-User: ada",
        "X-Forwarded-Email: ada@company.example",
        "X-Headwarden-Assertion: x",
        "Authorization: Basic dXNlcjpwYXNz",
    ];
    at(&stage, &ui, "public", ("GET", "/pub/x"), &lines);
    let told = seen(&ui, "public").pop().expect("it came");
    let head = String::from_utf8_lossy(&told.head).to_lowercase();
    assert!(
        !head.contains(&value.to_lowercase()) && !head.contains("remote-"),
        "{head}"
    );
    assert!(!head.contains("ben") && !head.contains("ada"), "{head}");
    assert_eq!(told.fields.value("cookie"), Some("theirs=1; more=2"));
    assert_eq!(
        told.fields.value("authorization"),
        Some("Basic dXNlcjpwYXNz")
    );
    // The same person elsewhere is told of: the rig tells them apart.
    at(&stage, &ui, "private", ("GET", "/ui/x"), &lines);
    let told = seen(&ui, "private").pop().expect("it came");
    assert_eq!(told.fields.value("remote-user"), Some("ben"));
    // A page of another site opens no socket with the cookies of this one.
    let websocket = [
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
        "Origin: https://evil.example",
    ];
    let (answer, heard) = at(&stage, &ui, "socket", ("GET", "/pub/x"), &websocket);
    assert_eq!((answer.status(), heard), (403, 0));
}

#[test]
fn a_step_up_for_some_methods_is_asked_of_those_and_its_link_knows_which() {
    let (stage, ui) = stage(
        &["path: /money, methods: [POST], amr: [mfa]", "path: /money"],
        "",
    );
    let session = session(&stage, &json!({"amr": ["pwd"]}));
    let lines = [session.as_str(), "Content-Length: 0"];
    let (answer, heard) = at(&stage, &ui, "get", ("GET", "/money"), &lines);
    assert_eq!(heard, 1, "{}", answer.text());
    let (answer, heard) = at(&stage, &ui, "post", ("POST", "/money"), &lines);
    assert_eq!(heard, 0, "{}", answer.text());
    assert!(answer.text().contains("method=POST"), "{}", answer.text());
    // The link leads to the provider, and not back to where it came from.
    let link = "/.headwarden/step-up?for=%2Fmoney&method=POST&back=%2Fmoney";
    let told = ask(&stage.house, "GET", link, &[HTML, &session]);
    let place = told.header("location").unwrap_or_default();
    assert!(
        place.starts_with(&stage.faulty.provider.issuer()[..16]),
        "{place}"
    );
    let link = "/.headwarden/step-up?for=%2Fmoney&back=%2Fmoney";
    let told = ask(&stage.house, "GET", link, &[HTML, &session]);
    assert_eq!(told.header("location"), Some("/money"));
}
