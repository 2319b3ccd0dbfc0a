//! The signed assertion: where it is sent, and what an upstream makes of it that checks what our page says.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use headwarden::ops::entropy::SystemRandom;
use headwarden::session::{KeyRing, SigningKeys};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::faulty_provider::Person as Account;
use crate::stage::{HTML, SAME_ORIGIN, Stage, ask, seen, session_line};
use crate::support::headscale_standin::{HeadscaleStandin, Options};
use crate::support::house::{More, headwarden};

const PAGE: &str = include_str!("../../docs/guides/verifying-the-assertion.md");
const TYPE: &str = "headwarden-assertion+jwt";
const FIELD: &str = "X-Headwarden-Assertion";

/// A house in front of a web UI that is told who is there in every way.
struct Place {
    stage: Stage,
    ui: HeadscaleStandin,
}

impl Place {
    fn start() -> Self {
        let ui = HeadscaleStandin::start(Options::default());
        let url = ui.url();
        let rule =
            |path: &str, more: &str| format!("  - {{ path: {path}, upstream: \"{url}\"{more} }}\n");
        let access = [
            rule("/ui/**", ", assertion: true, identity_headers: remote"),
            rule("/named/**", ", assertion: true, assertion_audience: my-ui"),
            rule("/plain/**", ", identity_headers: remote"),
            rule("/off/**", ", assertion: false"),
            "  - { path: /windows, groups: [headscale] }\n".to_owned(),
        ];
        let top = format!(
            "api: {{ admins: [headscale-admins] }}\nopen: [GET /ui/open]\naccess:\n{}",
            access.concat()
        );
        let stage = Stage::start_with(|_| More {
            listen: "    http2: true\n",
            headscale: "  api_key: hskey-api-standin\n",
            top: Box::leak(top.into_boxed_str()),
            ..More::default()
        });
        Self { stage, ui }
    }

    fn session(&self) -> String {
        session_line(&self.stage.house, &self.stage.somebody(Account::Admin))
    }

    /// The assertions that came along with a request.
    fn told(&self, method: &str, target: &str, lines: &[&str], row: &str) -> Vec<String> {
        let tag = format!("X-Row: {row}");
        let answer = ask(
            &self.stage.house,
            method,
            target,
            &[lines, &[&tag]].concat(),
        );
        assert!(answer.status() < 500, "{row}: {}", answer.text());
        self.heard(row)
    }

    fn heard(&self, row: &str) -> Vec<String> {
        let mut all = seen(&self.ui, row);
        all.extend(seen(&self.stage.headscale, row));
        let [one] = &all[..] else {
            panic!("{row}: {} requests", all.len())
        };
        let values = one.fields.values(FIELD);
        values.iter().map(|value| (*value).to_owned()).collect()
    }

    fn assertion(&self, session: &str, row: &str) -> String {
        let told = self.told("GET", "/ui/page", &[session], row);
        let [assertion] = &told[..] else {
            panic!("{row}: {told:?}")
        };
        assertion.clone()
    }

    /// What our keys would make of other claims, and of another type.
    fn signed(&self, ring: &str, typ: &str, claims: &Value) -> String {
        let path = self.stage.house.plan.files.join(ring);
        let ring = KeyRing::load_or_create(&path, Arc::new(SystemRandom::new()));
        let keys = SigningKeys::of(&ring.expect("a ring")).expect("keys");
        keys.sign(typ, claims).expect("a token")
    }
}

fn part(token: &str, at: usize) -> Value {
    let part = token.split('.').nth(at).expect("three parts");
    let part = URL_SAFE_NO_PAD.decode(part).expect("base64url");
    serde_json::from_slice(&part).expect("JSON")
}

/// The code of the page in `language`, about this house and this upstream.
fn sample(language: &str, issuer: &str, audience: &str) -> String {
    let (_, rest) = PAGE
        .split_once(&format!("```{language}\n"))
        .expect("a sample");
    let (code, _) = rest.split_once("```").expect("its end");
    for text in ["https://headscale.company", "http://127.0.0.1:3000"] {
        assert_eq!(code.matches(text).count(), 1, "{language}: {text}");
    }
    code.replace("https://headscale.company", issuer)
        .replace("http://127.0.0.1:3000", audience)
}

/// Asks the sample about one assertion a line; says who asks, or why nobody does.
const NODE: &str = r#"
import { createInterface } from "node:readline";
console.log("ready");
for await (const line of createInterface({ input: process.stdin })) {
  try {
    console.log(JSON.stringify(await whoAsks(line ? { "x-headwarden-assertion": line } : {})));
  } catch (error) {
    console.log(JSON.stringify({ refused: String(error) }));
  }
}
"#;
const PYTHON: &str = r#"
import json, sys

print("ready", flush=True)
for line in sys.stdin:
    line = line.strip()
    try:
        told = who_asks({"X-Headwarden-Assertion": line} if line else {})
    except jwt.PyJWTError as error:
        told = {"refused": str(error)}
    print(json.dumps(told), flush=True)
"#;
const GO: &str = r#"package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
)

func main() {
	fmt.Println("ready")
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		request := &http.Request{Header: http.Header{}}
		if lines.Text() != "" {
			request.Header.Set("X-Headwarden-Assertion", lines.Text())
		}
		var told any
		person, err := WhoAsks(request)
		told = person
		if err != nil {
			told = map[string]string{"refused": err.Error()}
		}
		text, _ := json.Marshal(told)
		fmt.Println(string(text))
	}
}
"#;

/// An upstream that runs the code of the page.
struct Verifier {
    child: Child,
    asks: ChildStdin,
    hears: BufReader<ChildStdout>,
    _files: TempDir,
}

impl Verifier {
    fn start(language: &str, place: &Place) -> Self {
        let files = tempfile::tempdir().expect("a directory");
        let issuer = place.stage.house.plan.origin();
        let code = sample(language, &issuer, &place.ui.url());
        let write = |name: &str, text: &str| {
            std::fs::write(files.path().join(name), text).expect("written");
        };
        let mut command = match language {
            "js" => {
                write("verify.mjs", &format!("{code}{NODE}"));
                let modules = Path::new(env!("CARGO_MANIFEST_DIR"));
                let modules = modules.join("tests/rig/provider/node_modules");
                let here = files.path().join("node_modules");
                std::os::unix::fs::symlink(modules, here).expect("a link");
                let mut command = Command::new("node");
                command.arg("verify.mjs");
                command
            }
            "python" => {
                write("verify.py", &format!("{code}{PYTHON}"));
                // Debian's own, whose packages tests/setup.sh installs.
                let mut command = Command::new("/usr/bin/python3");
                command.arg("verify.py");
                command
            }
            _ => {
                write("verify.go", &code);
                write("main.go", GO);
                let go = std::env::var_os("GO_BIN").expect("a go command");
                let mut command = Command::new(go);
                command.args(["run", "verify.go", "main.go"]);
                command
            }
        };
        let mut child = command
            .current_dir(files.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let asks = child.stdin.take().expect("a pipe");
        let hears = BufReader::new(child.stdout.take().expect("a pipe"));
        let mut verifier = Self {
            child,
            asks,
            hears,
            _files: files,
        };
        assert_eq!(verifier.line(), "ready\n", "{language}");
        verifier
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.hears.read_line(&mut line).expect("a line");
        line
    }

    fn ask(&mut self, assertion: &str) -> Value {
        writeln!(self.asks, "{assertion}").expect("it listens");
        let line = self.line();
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{line:?}: {error}"))
    }
}

impl Drop for Verifier {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Those that are there on every machine of the tests, and Go's where somebody names it.
fn languages() -> Vec<&'static str> {
    let go = std::env::var_os("GO_BIN").map(|_| "go");
    ["js", "python"].into_iter().chain(go).collect()
}

#[test]
fn the_code_of_our_page_believes_what_we_sign_for_this_upstream_now_and_nothing_else() {
    let place = Place::start();
    let session = place.session();
    let genuine = place.assertion(&session, "look");
    let now = part(&genuine, 1)["iat"].as_u64().expect("a time");
    let (issuer, audience) = (place.stage.house.plan.origin(), place.ui.url());
    let claims = |changes: Value| {
        let mut claims = json!({
            "iss": issuer, "aud": audience, "sub": "eve", "iat": now, "exp": now + 3600, "groups": [],
        });
        for (name, value) in changes.as_object().expect("a map") {
            claims[name] = value.clone();
        }
        if let Some(claims) = claims.as_object_mut() {
            claims.retain(|_, value| !value.is_null());
        }
        claims
    };
    let sign = |typ: &str, changes: Value| place.signed("keys.json", typ, &claims(changes));
    let [header, payload, signature] = genuine.split('.').collect::<Vec<_>>()[..] else {
        panic!("{genuine}")
    };
    let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let mut other_header = part(&genuine, 0);
    other_header["alg"] = json!("none");
    let unsigned = encode(&other_header);
    other_header["alg"] = json!("HS256");
    let symmetric = encode(&other_header);
    let eve = encode(&claims(json!({})));
    let refused = [
        ("nothing", String::new()),
        ("no token", "abc".to_owned()),
        ("no signature", format!("{header}.{payload}.")),
        ("another person", format!("{header}.{eve}.{signature}")),
        ("alg none", format!("{unsigned}.{eve}.")),
        ("alg HS256", format!("{symmetric}.{eve}.{signature}")),
        (
            "another upstream",
            sign(TYPE, json!({"aud": "http://127.0.0.1:1"})),
        ),
        ("a named upstream", sign(TYPE, json!({"aud": "my-ui"}))),
        (
            "another issuer",
            sign(TYPE, json!({"iss": "https://headscale.company"})),
        ),
        (
            "expired",
            sign(TYPE, json!({"exp": now - 60, "iat": now - 120})),
        ),
        ("an ID token", sign("JWT", json!({}))),
        ("a logout token", sign("logout+jwt", json!({}))),
        ("nobody's", sign(TYPE, json!({"sub": null}))),
        (
            "another ring",
            place.signed("other.json", TYPE, &claims(json!({}))),
        ),
    ];
    for language in languages() {
        let mut upstream = Verifier::start(language, &place);
        // Good at least until half of its life is over.
        let genuine = place.assertion(&session, &format!("genuine-{language}"));
        let told = upstream.ask(&genuine);
        let said = part(&genuine, 1);
        for claim in [
            "iss",
            "aud",
            "sub",
            "exp",
            "preferred_username",
            "name",
            "email",
            "groups",
        ] {
            assert_eq!(
                told.get(claim),
                said.get(claim),
                "{language} {claim}: {told}"
            );
        }
        // The forgeries differ from this in what they are refused for, and in nothing else.
        let told = upstream.ask(&sign(TYPE, json!({})));
        assert_eq!(told["sub"], "eve", "{language}: {told}");
        for (what, assertion) in &refused {
            let told = upstream.ask(assertion);
            assert!(told["refused"].is_string(), "{language}, {what}: {told}");
        }
    }
}

#[test]
fn a_rotation_interrupts_nobody_and_a_ring_that_was_read_counts_for_nothing() {
    let mut place = Place::start();
    let rotated = |place: &mut Place, arguments: &[&str], row: &str| {
        let output = headwarden(&place.stage.house.plan, arguments);
        assert!(output.status.success(), "{output:?}");
        place.stage.house.restart(&[]);
        place.stage.house.wait_for_log("serving");
        let session = place.session();
        place.assertion(&session, row)
    };
    let session = place.session();
    let first = place.assertion(&session, "first");
    // It fetches the set now, and has no reason to do so again.
    let mut before = Verifier::start("js", &place);
    assert_eq!(before.ask(&first)["sub"], part(&first, 1)["sub"]);
    let second = rotated(&mut place, &["rotate-keys"], "second");
    assert_eq!(before.ask(&second)["sub"], part(&second, 1)["sub"]);

    let third = rotated(&mut place, &["rotate-keys"], "third");
    assert_ne!(part(&third, 0)["kid"], part(&first, 0)["kid"]);
    // Whoever fetches it now knows who signed before, and who does now.
    let mut after = Verifier::start("js", &place);
    for ring in [&second, &third] {
        let told = after.ask(ring);
        let old = told["refused"]
            .as_str()
            .is_some_and(|why| why.contains("exp"));
        assert!(told["sub"] == part(ring, 1)["sub"] || old, "{told}");
    }

    let fourth = rotated(&mut place, &["rotate-keys", "--forget-old"], "fourth");
    let mut last = Verifier::start("js", &place);
    assert_eq!(last.ask(&fourth)["sub"], part(&fourth, 1)["sub"]);
    let told = last.ask(&third);
    let why = told["refused"].as_str().unwrap_or_default();
    assert!(why.contains("no applicable key"), "{told}");
}

#[test]
fn it_goes_to_the_upstream_of_its_rule_with_every_kind_of_request_and_to_nobody_else() {
    let place = Place::start();
    let session = place.session();
    let session = session.as_str();
    let forged = format!("{FIELD}: forged");
    let alias = format!("{}: forged", FIELD.replace('-', "_"));
    let websocket = [
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    ];
    let url = place.ui.url();
    let ui = Some(url.as_str());
    let with = |lines: &[&'static str]| [&[session], lines].concat();
    for (row, (method, target, lines, audience)) in [
        ("GET", "/ui/a", with(&[]), ui),
        ("HEAD", "/ui/a", with(&[]), ui),
        ("POST", "/ui/a", with(&["Content-Length: 0"]), ui),
        ("GET", "/ui/socket", with(&websocket), ui),
        (
            "GET",
            "/ui",
            with(&["Connection: x-headwarden-assertion"]),
            ui,
        ),
        ("GET", "/named/a", with(&[]), Some("my-ui")),
        ("GET", "/plain/a", with(&[]), None),
        ("GET", "/off/a", with(&[]), None),
        ("GET", "/ui/open", with(&[]), None),
        ("GET", "/windows", with(&[]), None),
        ("GET", "/key?v=140", with(&[]), None),
        ("GET", "/api/v1/user", with(&[SAME_ORIGIN]), None),
        (
            "POST",
            "/ts2021",
            with(&[
                "Connection: Upgrade",
                "Upgrade: tailscale-control-protocol",
                "X-Tailscale-Handshake: AAAA",
            ]),
            None,
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let lines = [&lines[..], &[forged.as_str(), alias.as_str()]].concat();
        let told = place.told(method, target, &lines, &row.to_string());
        let audiences: Vec<Value> = told
            .iter()
            .map(|told| part(told, 1)["aud"].clone())
            .collect();
        let expected: Vec<Value> = audience.into_iter().map(Value::from).collect();
        assert_eq!(audiences, expected, "{method} {target}");
        for told in &told {
            assert_eq!(part(told, 0)["typ"], TYPE, "{method} {target}");
        }
    }
    let output = Command::new("curl")
        .args([
            "-sS",
            "--http2-prior-knowledge",
            "-o",
            "/dev/null",
            "-H",
            session,
        ])
        .args([
            "-H",
            "X-Row: h2",
            "-H",
            &forged,
            &place.stage.house.url("/ui/a"),
        ])
        .output()
        .expect("curl runs");
    assert!(output.status.success(), "{output:?}");
    let told = place.heard("h2");
    assert_eq!(told.len(), 1);
    assert_eq!(part(&told[0], 1)["aud"], url);
    // The same as over HTTP/1.1, while it is young; and another one for another upstream.
    let log = place.stage.house.log();
    assert!(!log.contains("eyJ"), "an assertion is in the log");
}

#[test]
fn an_address_that_nobody_verified_is_told_neither_under_our_signature_nor_in_a_field() {
    let place = Place::start();
    for verified in [true, false] {
        let claim = ("email_verified".to_owned(), serde_json::json!(verified));
        place
            .stage
            .faulty
            .provider
            .set(|knobs| knobs.extra_claims.extend([claim]));
        let row = format!("verified-{verified}");
        let assertion = place.assertion(&place.session(), &row);
        let email = part(&assertion, 1).get("email").is_some();
        let fields = seen(&place.ui, &row)[0].fields.values("remote-email").len();
        assert_eq!((email, fields), (verified, usize::from(verified)));
    }
}

#[test]
fn the_public_keys_are_everybodys_for_five_minutes_and_hold_nothing_else() {
    let place = Place::start();
    let house = &place.stage.house;
    let answer = ask(house, "GET", "/.headwarden/jwks.json", &[HTML]);
    assert_eq!(answer.status(), 200);
    for (name, value) in [
        ("content-type", Some("application/jwk-set+json")),
        ("cache-control", Some("public, max-age=300")),
        ("x-content-type-options", Some("nosniff")),
        ("set-cookie", None),
        ("access-control-allow-origin", None),
    ] {
        assert_eq!(answer.header(name), value, "{name}");
    }
    let keys = answer.json();
    let [key] = &keys["keys"].as_array().expect("a list")[..] else {
        panic!("{keys}")
    };
    let members: Vec<&String> = key.as_object().expect("a key").keys().collect();
    assert_eq!(members, ["alg", "crv", "kid", "kty", "use", "x", "y"]);
    let session = place.session();
    let assertion = place.assertion(&session, "kid");
    assert_eq!(part(&assertion, 0)["kid"], key["kid"]);
    // A restart with the same ring is no reason for other keys.
    let again = place.signed("keys.json", TYPE, &json!({}));
    assert_eq!(part(&again, 0)["kid"], key["kid"]);
}
