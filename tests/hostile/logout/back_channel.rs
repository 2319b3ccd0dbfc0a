//! Tokens that somebody posts. One that is wrong in one thing ends nothing; a good one counts once, for
//! those whom it names.

use serde_json::{Value, json};

use crate::faulty_provider::{Fault, FaultyProvider, Key, Person as Account};
use crate::stage::{SAME_ORIGIN, Stage, ask, log_at_info, request, send, session_line};
use crate::support::house::{House, More};
use crate::support::person::Person;
use crate::support::raw::{Raw, Response};

const BACK_CHANNEL: &str = "/.headwarden/backchannel-logout";
const FORM: &str = "Content-Type: application/x-www-form-urlencoded";
const EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";

fn with_body(house: &House, method: &str, target: &str, lines: &[&str], body: &str) -> Vec<u8> {
    let length = format!("Content-Length: {}", body.len());
    let mut bytes = request(house, method, target, &[lines, &[&length]].concat());
    bytes.extend_from_slice(body.as_bytes());
    bytes
}

/// Posts a token as a provider does.
fn post(house: &House, token: &str) -> Response {
    let body = format!("logout_token={token}");
    send(
        house.plan.public,
        &with_body(house, "POST", BACK_CHANNEL, &[FORM], &body),
    )
}

/// The provider says that somebody left.
pub(super) fn tell(stage: &Stage, who: Account, header: &Value, claims: &Value) -> Response {
    let token = stage.faulty.provider.logout_token(who, header, claims);
    post(&stage.house, &token)
}

fn is_signed_in(house: &House, session: &str) -> bool {
    ask(house, "GET", "/windows", &[session]).status() == 200
}

/// OpenID Connect Back-Channel Logout section 2.8.
#[track_caller]
fn is_refused(answer: &Response, row: &str) {
    assert_eq!(answer.status(), 400, "{row}: {}", answer.text());
    assert_eq!(answer.header("cache-control"), Some("no-store"), "{row}");
    assert_eq!(
        answer.header("content-type"),
        Some("application/json"),
        "{row}"
    );
    assert_eq!(answer.header("set-cookie"), None, "{row}");
    let body = answer.json();
    assert_eq!(body["error"], "invalid_request", "{row}");
    assert!(body["error_description"].is_string(), "{row}: {body}");
}

#[track_caller]
fn is_accepted(answer: &Response, row: &str) {
    assert_eq!(answer.status(), 200, "{row}: {}", answer.text());
    assert_eq!(answer.header("cache-control"), Some("no-store"), "{row}");
    assert_eq!(answer.header("set-cookie"), None, "{row}");
    assert_eq!(answer.body, b"", "{row}");
}

fn counted(house: &House, outcome: &str) -> u64 {
    let asked = "GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    let text = send(house.plan.admin, asked.as_bytes()).text();
    let series =
        format!("headwarden_logouts_total{{kind=\"back_channel\",outcome=\"{outcome}\"}} ");
    let line = text.lines().find_map(|line| line.strip_prefix(&series));
    line.and_then(|count| count.parse().ok())
        .unwrap_or_else(|| panic!("no {series} in {text}"))
}

/// What is changed in a token, and what the log says of it.
type Row = (Value, Value, &'static str);

fn bent_claims(now: u64) -> Vec<Row> {
    let claims = |claims: Value, why: &'static str| (json!({}), claims, why);
    let event = |value: Value| json!({ "events": { EVENT: value } });
    vec![
        claims(
            json!({ "iss": "https://evil.example/" }),
            "it was issued by",
        ),
        claims(json!({ "iss": null }), "has the wrong type"),
        claims(json!({ "aud": "another-client" }), "its audience"),
        claims(json!({ "aud": null }), "its audience"),
        claims(
            json!({ "aud": ["headwarden", "another-client"] }),
            "issued to another client",
        ),
        claims(json!({ "iat": null }), "it has no iat"),
        claims(json!({ "iat": "now" }), "not a number of seconds"),
        claims(json!({ "iat": now + 600 }), "in the future"),
        claims(json!({ "iat": now - 7200 }), "too long for a logout token"),
        claims(json!({ "exp": null }), "it has no exp"),
        claims(json!({ "exp": now - 600 }), "it expired"),
        claims(json!({ "nbf": now + 600 }), "it is not valid for another"),
        claims(json!({ "jti": null }), "it has no jti"),
        claims(json!({ "jti": "" }), "its claim \"jti\" is not a text"),
        claims(json!({ "nonce": "n" }), "it has a nonce"),
        claims(json!({ "events": null }), "its events do not say"),
        claims(json!({ "events": {} }), "its events do not say"),
        claims(json!({ "events": [EVENT] }), "its events do not say"),
        claims(json!({ "events": EVENT }), "its events do not say"),
        claims(
            json!({ "events": { "https://a.example/event": {} } }),
            "its events do not say",
        ),
        claims(event(json!(null)), "its events do not say"),
        claims(event(json!("{}")), "its events do not say"),
        claims(event(json!([])), "its events do not say"),
        claims(json!({ "sub": null, "sid": null }), "neither sub nor sid"),
        claims(
            json!({ "sub": ["b"], "sid": null }),
            "\"sub\" is not a text",
        ),
        claims(json!({ "sid": 7 }), "\"sid\" is not a text"),
    ]
}

fn bent_headers() -> Vec<Row> {
    let header = |header: Value, why: &'static str| (header, json!({}), why);
    vec![
        header(json!({ "typ": "at+jwt" }), "JWT type `at+jwt`"),
        header(json!({ "typ": "secevent+jwt" }), "JWT type"),
        header(json!({ "alg": "none" }), "it is not signed"),
        header(json!({ "alg": "HS256" }), "algorithm \"HS256\""),
        header(json!({ "alg": "RS256" }), "algorithm \"RS256\""),
        header(json!({ "kid": "nobody" }), "no key of the provider"),
        header(json!({ "crit": ["exp"] }), "critical"),
        header(json!({ "b64": false }), "b64"),
        header(json!({ "jwk": Key::EcOther.jwk(), "kid": "x" }), "no key"),
    ]
}

#[test]
fn a_token_that_is_wrong_in_one_thing_ends_nothing_and_the_log_says_in_which() {
    let mut stage = Stage::start();
    stage.faulty.provider.rotate_to(Key::Ec);
    let person = stage.somebody(Account::Member);
    let session = session_line(&stage.house, &person);
    let now = FaultyProvider::now();
    let rows = [bent_claims(now), bent_headers()].concat();
    let faults = [
        (Fault::AlgNone, "it is not signed"),
        (Fault::BadSignature, "its signature is wrong"),
        (Fault::SignedByForger, "its signature is wrong"),
        (Fault::Hs256WithPublicKey, "algorithm \"HS256\""),
        (Fault::Hs256WithClientSecret, "algorithm \"HS256\""),
        (Fault::Encrypted, "it is encrypted"),
        (Fault::TwoParts, "it has 2 parts"),
        (Fault::PayloadIsNoJson, "not base64url of a JSON object"),
    ];
    let (mut refused, mut whys) = (0, Vec::new());
    let mut check = |row: &str, answer: &Response, why: &'static str| {
        is_refused(answer, row);
        assert!(is_signed_in(&stage.house, &session), "{row} signed out");
        let id = answer.json()["support_id"].as_str().unwrap().to_owned();
        whys.push((row.to_owned(), id, why));
        refused += 1;
    };
    for (header, claims, why) in &rows {
        let answer = tell(&stage, Account::Member, header, claims);
        check(&format!("{header} {claims}"), &answer, why);
    }
    for (fault, why) in faults {
        stage.faulty.provider.bend(fault);
        let answer = tell(&stage, Account::Member, &json!({}), &json!({}));
        check(&format!("{fault:?}"), &answer, why);
        stage.faulty.provider.mend();
    }
    for (token, why) in [
        ("", "it has 1 parts"),
        ("a.b.c", "not base64url"),
        ("é", "it has 1 parts"),
    ] {
        check(token, &post(&stage.house, token), why);
    }
    assert_eq!(counted(&stage.house, "refused"), refused);
    assert_eq!(
        counted(&stage.house, "ended") + counted(&stage.house, "nothing"),
        0
    );
    for (row, id, why) in whys {
        let line = stage
            .house
            .wait_for_log(&format!("request_id=\"{id}\" client"));
        assert!(line.contains(why), "{row}: {why:?} in {line}");
    }
    // The same without a mistake.
    let sid = stage.faulty.provider.sid(Account::Member).unwrap();
    let token = stage
        .faulty
        .provider
        .logout_token(Account::Member, &json!({}), &json!({}));
    is_accepted(&post(&stage.house, &token), "a good one");
    assert!(!is_signed_in(&stage.house, &session));
    let line = stage.house.wait_for_log("signed out by the provider");
    for part in [
        "kind=\"back_channel\"",
        "sessions=1",
        "subject=bbbb",
        "request_id=",
    ] {
        assert!(line.contains(part), "{part} in {line}");
    }
    let log = log_at_info(&stage.house);
    assert!(!log.contains(&token) && !log.contains(&sid), "{log}");
    assert_eq!(counted(&stage.house, "ended"), 1);
}

#[test]
fn what_is_no_form_with_one_token_is_refused_and_uses_nothing_up() {
    let stage = Stage::start();
    let person = stage.somebody(Account::Member);
    let session = session_line(&stage.house, &person);
    let token = stage
        .faulty
        .provider
        .logout_token(Account::Member, &json!({}), &json!({}));
    let one = format!("logout_token={token}");
    let json = json!({ "logout_token": token }).to_string();
    let multipart = format!(
        "--x\r\nContent-Disposition: form-data; name=\"logout_token\"\r\n\r\n{token}\r\n--x--\r\n"
    );
    let query = format!("{BACK_CHANNEL}?{one}");
    let twice = format!("{one}&{one}");
    let other = format!("{one}&logout_token=");
    let escaped = format!("{one}&logout%5ftoken=x");
    for (target, lines, body) in [
        (BACK_CHANNEL, &[FORM][..], ""),
        (BACK_CHANNEL, &[FORM], "logout_token="),
        (BACK_CHANNEL, &[FORM], &twice),
        (BACK_CHANNEL, &[FORM], &other),
        (BACK_CHANNEL, &[FORM], &escaped),
        (BACK_CHANNEL, &[FORM], &one.replace("logout_", "LOGOUT_")),
        (BACK_CHANNEL, &[FORM], &one.replace('=', "[]=")),
        (BACK_CHANNEL, &[FORM], &one.replace('=', ";x=")),
        (BACK_CHANNEL, &[FORM], &json),
        (BACK_CHANNEL, &[FORM], &token),
        (BACK_CHANNEL, &["Content-Type: application/json"], &json),
        (BACK_CHANNEL, &["Content-Type: application/json"], &one),
        (BACK_CHANNEL, &["Content-Type: text/plain"], &one),
        (
            BACK_CHANNEL,
            &["Content-Type: multipart/form-data; boundary=x"],
            &multipart,
        ),
        (BACK_CHANNEL, &[], &one),
        (BACK_CHANNEL, &[FORM, FORM], &one),
        (&query, &[FORM], ""),
        (&query, &[FORM], "a=b"),
    ] {
        let bytes = with_body(&stage.house, "POST", target, lines, body);
        is_refused(
            &send(stage.house.plan.public, &bytes),
            &format!("{target:.40} {lines:?} {body:.40}"),
        );
        assert!(is_signed_in(&stage.house, &session), "{lines:?} {body:.40}");
    }
    for method in ["GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS"] {
        for target in [BACK_CHANNEL, &query] {
            let bytes = with_body(&stage.house, method, target, &[FORM, SAME_ORIGIN], &one);
            let answer = Raw::connect(stage.house.plan.public)
                .and_then(|mut raw| raw.exchange(&bytes))
                .expect("an answer");
            assert_eq!(answer.status(), 405, "{method} {target:.40}");
            assert_eq!(answer.header("allow"), Some("POST"), "{method}");
            assert_eq!(answer.header("cache-control"), Some("no-store"), "{method}");
            assert!(is_signed_in(&stage.house, &session), "{method}");
        }
    }
    // Nothing about a sender counts, neither for nor against it.
    let lines = [
        "content-type: Application/X-WWW-Form-Urlencoded; charset=UTF-8",
        "Origin: https://evil.example",
        "Sec-Fetch-Site: cross-site",
        "Cookie: headwarden=x",
    ];
    let bytes = with_body(
        &stage.house,
        "POST",
        &query,
        &lines,
        &format!("a=b&{one}&c"),
    );
    is_accepted(&send(stage.house.plan.public, &bytes), "the good one");
    assert!(!is_signed_in(&stage.house, &session));
}

#[test]
fn a_token_counts_once_whoever_brings_it_again() {
    let stage = Stage::start();
    let provider = &stage.faulty.provider;
    let token = provider.logout_token(Account::Member, &json!({}), &json!({ "jti": "one" }));
    is_accepted(&post(&stage.house, &token), "nobody was signed in");
    let session = session_line(&stage.house, &stage.somebody(Account::Member));
    is_refused(&post(&stage.house, &token), "again");
    // Another token of the same name.
    for claims in [
        json!({ "jti": "one" }),
        json!({ "jti": "one", "sid": null }),
    ] {
        is_refused(
            &tell(&stage, Account::Member, &json!({}), &claims),
            "its namesake",
        );
    }
    assert!(is_signed_in(&stage.house, &session));
    // A token that was refused for something else was not used.
    let late = json!({ "jti": "two", "exp": 1 });
    is_refused(&tell(&stage, Account::Member, &json!({}), &late), "expired");
    // Of many at once, one is told that it counted.
    let token = provider.logout_token(Account::Member, &json!({}), &json!({ "jti": "two" }));
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let posts: Vec<_> = (0..8)
            .map(|_| scope.spawn(|| post(&stage.house, &token).status()))
            .collect();
        posts
            .into_iter()
            .map(|post| post.join().expect("it ran"))
            .collect()
    });
    let accepted = statuses.iter().filter(|status| **status == 200).count();
    assert_eq!(accepted, 1, "{statuses:?}");
    assert!(!is_signed_in(&stage.house, &session));
}

/// Two browsers of one person, each with its own session at the provider, and somebody else.
struct Three {
    stage: Stage,
    sids: [String; 3],
    sessions: [String; 3],
}

impl Three {
    fn sign_in(stage: Stage) -> Self {
        let provider = &stage.faulty.provider;
        let sign_in = |account| {
            stage.is_at_the_provider(account);
            let mut person = Person::new();
            person.open(&stage.house.url("/.headwarden/sign-in?switch=1"));
            let sid = provider.sid(account).expect("it is signed in");
            (sid, session_line(&stage.house, &person))
        };
        let three = [Account::Member, Account::Member, Account::Admin].map(sign_in);
        let sids = three.each_ref().map(|(sid, _)| sid.clone());
        let sessions = three.map(|(_, session)| session);
        assert_ne!(sids[0], sids[1]);
        Self {
            stage,
            sids,
            sessions,
        }
    }

    fn signed_in(&self) -> [bool; 3] {
        let house = &self.stage.house;
        self.sessions
            .each_ref()
            .map(|session| is_signed_in(house, session))
    }
}

#[test]
fn a_token_ends_the_sessions_of_those_whom_it_names_and_no_other() {
    let (member, admin) = (Account::Member.subject(), Account::Admin.subject());
    let mut stage = Stage::start();
    // What the claims are made of, and who is signed in afterwards.
    for (sub, sid, left) in [
        (None, Some(0), [false, true, true]),
        (None, Some(1), [true, false, true]),
        (Some(&member), None, [false, false, true]),
        (Some(&admin), None, [true, true, false]),
        (Some(&member), Some(0), [false, true, true]),
        (Some(&member), Some(1), [true, false, true]),
        (Some(&admin), Some(0), [true, true, true]),
        (Some(&member), Some(2), [true, true, true]),
        (Some(&"nobody".to_owned()), None, [true, true, true]),
        (Some(&member.to_uppercase()), None, [true, true, true]),
    ] {
        let three = Three::sign_in(stage);
        let claims = json!({ "sub": sub, "sid": sid.map(|at| three.sids[at].clone()) });
        let answer = tell(&three.stage, Account::Member, &json!({}), &claims);
        is_accepted(&answer, &claims.to_string());
        assert_eq!(three.signed_in(), left, "{sub:?} {sid:?}");
        stage = three.stage;
    }
    let three = Three::sign_in(stage);
    for sid in ["unknown", &three.sids[0].to_uppercase(), "*"] {
        let claims = json!({ "sub": null, "sid": sid });
        is_accepted(
            &tell(&three.stage, Account::Member, &json!({}), &claims),
            sid,
        );
    }
    assert_eq!(three.signed_in(), [true; 3]);
}

#[test]
fn a_session_whose_sid_is_not_known_ends_with_any_of_its_person() {
    let stage = Stage::start();
    let without = json!({ "sid": null });
    stage.faulty.provider.set(|knobs| {
        knobs.id_claims = without.as_object().unwrap().clone();
    });
    let session = session_line(&stage.house, &stage.somebody(Account::Member));
    let other = json!({ "sub": Account::Admin.subject() });
    is_accepted(
        &tell(&stage, Account::Member, &json!({}), &other),
        "another",
    );
    assert!(is_signed_in(&stage.house, &session));
    let sid = json!({ "sid": "whatever" });
    is_accepted(
        &tell(&stage, Account::Member, &json!({}), &sid),
        "it could be this one",
    );
    assert!(!is_signed_in(&stage.house, &session));
}

#[test]
fn nobody_learns_by_an_answer_whether_somebody_was_signed_in() {
    let stage = Stage::start();
    let shown = |answer: &Response| {
        let fields = String::from_utf8_lossy(&answer.head.raw).into_owned();
        let fields: Vec<String> = fields
            .lines()
            .filter(|line| !line.to_ascii_lowercase().starts_with("date:"))
            .map(str::to_owned)
            .collect();
        (fields, answer.body.clone())
    };
    let nobody = shown(&tell(&stage, Account::Admin, &json!({}), &json!({})));
    stage.somebody(Account::Member);
    let somebody = shown(&tell(&stage, Account::Member, &json!({}), &json!({})));
    assert_eq!(nobody, somebody);
}

#[test]
fn tokens_of_every_name_that_providers_have_for_them_are_taken() {
    let stage = Stage::start();
    for typ in [
        json!("logout+jwt"),
        json!("JWT"),
        json!("Logout+JWT"),
        json!(null),
    ] {
        let session = session_line(&stage.house, &stage.somebody(Account::Member));
        let header = json!({ "typ": typ });
        is_accepted(
            &tell(&stage, Account::Member, &header, &json!({})),
            &header.to_string(),
        );
        assert!(!is_signed_in(&stage.house, &session), "{header}");
    }
    // authentik shows one key only, the newest.
    stage.faulty.provider.rotate_to(Key::Ec);
    let session = session_line(&stage.house, &stage.somebody(Account::Member));
    stage.faulty.provider.rotate_to(Key::EcOther);
    let refused = tell(&stage, Account::Member, &json!({}), &json!({}));
    is_refused(&refused, "keys were fetched a moment ago");
    stage.faulty.provider.rotate_to(Key::Ec);
    is_accepted(
        &tell(&stage, Account::Member, &json!({}), &json!({})),
        "the known key",
    );
    assert!(!is_signed_in(&stage.house, &session));
}

#[test]
fn a_secret_signs_only_where_the_operator_said_so() {
    let stage = Stage::start_with(|_| More {
        oidc: "  allow_hs256: true\n",
        ..More::default()
    });
    stage.faulty.provider.rotate_to(Key::ClientSecret);
    let session = session_line(&stage.house, &stage.somebody(Account::Member));
    is_accepted(
        &tell(&stage, Account::Member, &json!({}), &json!({})),
        "opted in",
    );
    assert!(!is_signed_in(&stage.house, &session));
}
