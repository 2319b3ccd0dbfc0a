//! What changes at once, seen from outside: one row for each kind of key.

use std::io::ErrorKind;

use crate::faulty_provider::{Endpoint, Person as Account};
use crate::ground::{BY_SIGNAL, Ground, NO_LIMITS};
use crate::stage::{HTML, SAME_ORIGIN, ask, request, seen, send};
use crate::support::headscale_standin::{HeadscaleStandin, Options};
use crate::support::house::{HEADSCALE_SECRET, More};
use crate::support::person::Person;
use crate::support::raw::Raw;
use crate::support::streams::Streams;
use crate::support::tls::Authority;

const TOP: &str = "trusted_proxies: [10.0.0.0/8]\nopen: [GET /logo.png]\n\
    access: [{ path: /admin/**, upstream: \"{headscale}\", groups: [headscale-admins] }]\n\
    api: { admins: [headscale-admins], bearer: allow }\nshutdown: { grace: 10m }\n\
    session: { recheck: 5m }\n";

/// Who asks, and of whom.
struct Scene {
    ground: Ground,
    member: String,
    admin: String,
    other: HeadscaleStandin,
    asked: std::cell::Cell<u32>,
}

impl Scene {
    fn start() -> Self {
        let more = More {
            headscale: "  api_key: hskey-api-standin\n",
            ..More::default()
        };
        let ground = Ground::start(&more, &[BY_SIGNAL, NO_LIMITS, TOP].concat());
        Self {
            member: ground.sign_in(Account::Member),
            admin: ground.sign_in(Account::Admin),
            other: HeadscaleStandin::start(Options::default()),
            asked: std::cell::Cell::new(0),
            ground,
        }
    }

    /// The status of a `GET`.
    fn get(&self, target: &str, lines: &[&str]) -> String {
        self.ground.get(target, lines).to_string()
    }

    /// What the upstream saw in a field of a `GET` that passes.
    fn upstream_sees(&self, target: &str, lines: &[&str], field: &str) -> String {
        self.asked.set(self.asked.get() + 1);
        let row = format!("row-{}", self.asked.get());
        let line = format!("X-Row: {row}");
        self.ground.get(target, &[lines, &[&line]].concat());
        let seen = seen(&self.ground.stage.headscale, &row);
        let seen = seen.first().expect("it came");
        seen.fields.value(field).unwrap_or("nothing").to_owned()
    }

    /// A parameter of the address that a browser is sent to for a sign-in.
    fn authorization(&self, parameter: &str) -> String {
        let answer = ask(self.ground.house(), "GET", "/windows", &[HTML]);
        let url = url::Url::parse(answer.header("location").expect("a redirect")).expect("a URL");
        let found = url.query_pairs().find(|(name, _)| name == parameter);
        found.map_or("nothing".to_owned(), |(_, value)| value.into_owned())
    }

    /// The status that somebody gets who signs in anew.
    fn signs_in(&self, account: Account) -> String {
        self.ground.stage.is_at_the_provider(account);
        let page = Person::new().open(&self.ground.house().url("/windows"));
        page.status().to_string()
    }

    /// What the token endpoint says to a client with this secret.
    fn token_endpoint(&self, secret: &str) -> String {
        let body = format!("client_id=headscale&client_secret={secret}&grant_type=none");
        let issuer = self.ground.house().plan.issuer;
        let text = format!(
            "POST /token HTTP/1.1\r\nHost: {issuer}\r\nConnection: close\r\n\
             Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let answer = send(issuer, text.as_bytes());
        answer.json()["error"]
            .as_str()
            .expect("an error")
            .to_owned()
    }

    /// A person who wants to let a device in.
    fn registers(&self) -> String {
        match self
            .ground
            .get("/register/0123456789abcdef01234567", &[&self.member])
        {
            429 => "429".to_owned(),
            _ => "passes".to_owned(),
        }
    }

    fn tunnel(&self) -> String {
        let derp = "GET /derp HTTP/1.1\r\nHost: d\r\nConnection: Upgrade\r\nUpgrade: DERP\r\n\r\n";
        let mut raw = Raw::connect(self.ground.house().plan.public).expect("it listens");
        raw.send(derp.as_bytes()).expect("it is taken");
        raw.read_head().expect("an answer").status.to_string()
    }
}

/// The second of two.
fn twice(ask: impl Fn() -> String) -> String {
    ask();
    ask()
}

/// A row: what is changed to what, what is asked, and what is heard before and after.
type Row<'a> = (
    &'a str,
    &'a str,
    &'a dyn Fn(&Scene) -> String,
    &'a str,
    &'a str,
);

#[expect(clippy::too_many_lines, reason = "a table")]
#[test]
fn what_may_change_counts_from_the_next_request_on() {
    let scene = Scene::start();
    let bearer = "Authorization: Bearer hskey-api-standin";
    let forwarded = "X-Forwarded-For: 203.0.113.9";
    let other = scene.other.url();
    let upstream = format!("upstream: \"{}\"", scene.ground.stage.headscale.url());
    let other_upstream = format!("upstream: \"{other}\"");
    let groups = "allowed_groups: [/headscale]";
    let rows: &[Row<'_>] = &[
        (
            groups,
            "allowed_groups: [other]",
            &|s| s.get("/windows", &[&s.member]),
            "200",
            "403",
        ),
        // A right that somebody gains.
        (
            groups,
            "allow_everyone: true",
            &|s| s.signs_in(Account::Outsider),
            "403",
            "200",
        ),
        (
            groups,
            "allowed_domains: [other.example]",
            &|s| s.get("/windows", &[&s.admin]),
            "200",
            "403",
        ),
        (
            groups,
            "allowed_users: [ada@company.example]",
            &|s| s.get("/windows", &[&s.member]),
            "200",
            "403",
        ),
        (
            groups,
            "allowed_users: [ada@company.example]",
            &|s| s.get("/windows", &[&s.admin]),
            "200",
            "200",
        ),
        (
            groups,
            "allowed_groups: [/headscale]\n  exact_group_names: true",
            &|s| s.get("/windows", &[&s.member]),
            "200",
            "403",
        ),
        (
            groups,
            "allowed_groups: [/headscale]\n  username_claim: nickname",
            &|s| s.signs_in(Account::Member),
            "200",
            "200",
        ),
        (
            groups,
            "allowed_groups: [/headscale]\n  groups_claim: roles",
            &|s| s.signs_in(Account::Member),
            "200",
            "403",
        ),
        (
            groups,
            "allowed_groups: [/headscale]\n  scope: [openid, offline_access]",
            &|s| s.authorization("scope"),
            "openid profile email",
            "openid offline_access",
        ),
        (
            groups,
            "allowed_groups: [/headscale]\n  extra_params: { domain_hint: company.example }",
            &|s| s.authorization("domain_hint"),
            "nothing",
            "company.example",
        ),
        (
            groups,
            "allowed_groups: [/headscale]\n  pkce: { method: plain }",
            &|s| s.authorization("code_challenge_method"),
            "S256",
            "plain",
        ),
        (
            "open: [GET /logo.png]",
            "open: []",
            &|s| s.get("/logo.png", &[]),
            "404",
            "401",
        ),
        (
            "open: [GET /logo.png]",
            "open: [GET /icon.png]",
            &|s| s.get("/icon.png", &[]),
            "401",
            "404",
        ),
        (
            "groups: [headscale-admins]",
            "groups: [headscale]",
            &|s| s.get("/admin/x", &[&s.member]),
            "403",
            "404",
        ),
        (
            "groups: [headscale-admins]",
            "users: [ben@company.example]",
            &|s| s.get("/admin/x", &[&s.admin]),
            "404",
            "403",
        ),
        (
            "groups: [headscale-admins]",
            "groups: [headscale-admins], acr: [gold]",
            &|s| s.get("/admin/x", &[&s.admin]),
            "404",
            "401",
        ),
        (
            "path: /admin/**",
            "path: /other/**",
            &|s| s.get("/other/x", &[&s.member]),
            "404",
            "403",
        ),
        (
            &upstream,
            &other_upstream,
            &|s| {
                s.get("/admin/x", &[&s.admin]);
                s.other.requests().len().min(1).to_string()
            },
            "0",
            "1",
        ),
        (
            "admins: [headscale-admins]",
            "admins: [headscale]",
            &|s| s.get("/api/v1/node", &[&s.member, SAME_ORIGIN]),
            "403",
            "200",
        ),
        (
            "admins: [headscale-admins]",
            "admins: []",
            &|s| s.get("/api/v1/node", &[&s.admin, SAME_ORIGIN]),
            "200",
            "403",
        ),
        (
            "admins: [headscale-admins]",
            "admins: [], viewers: [headscale]",
            &|s| s.get("/api/v1/node", &[&s.member, SAME_ORIGIN]),
            "403",
            "200",
        ),
        (
            "bearer: allow",
            "bearer: deny",
            &|s| s.get("/api/v1/node", &[bearer]),
            "200",
            "401",
        ),
        (
            "hskey-api-standin",
            "the-second-api-key-0123",
            &|s| s.upstream_sees("/api/v1/node", &[&s.admin, SAME_ORIGIN], "authorization"),
            "Bearer hskey-api-standin",
            "Bearer the-second-api-key-0123",
        ),
        (
            "trusted_proxies: [10.0.0.0/8]",
            "trusted_proxies: [127.0.0.1/32]",
            &|s| s.upstream_sees("/windows", &[&s.member, forwarded], "x-forwarded-for"),
            "127.0.0.1",
            "203.0.113.9",
        ),
        (
            "sign_in: issuer",
            "verify_from: [127.0.0.0/8]\n  sign_in: issuer",
            &|s| {
                ask(s.ground.house(), "POST", "/verify", &["Content-Length: 0"])
                    .status()
                    .to_string()
            },
            "404",
            "200",
        ),
        (
            HEADSCALE_SECRET,
            "another-secret-of-headscale",
            &|s| s.token_endpoint(HEADSCALE_SECRET),
            "unsupported_grant_type",
            "invalid_client",
        ),
        (
            HEADSCALE_SECRET,
            "another-secret-of-headscale",
            &|s| s.token_endpoint("another-secret-of-headscale"),
            "invalid_client",
            "unsupported_grant_type",
        ),
        (
            "open_requests_per_minute: 1000000",
            "open_requests_per_minute: 1",
            &|s| twice(|| s.get("/key?v=1", &[])),
            "200",
            "429",
        ),
        (
            "api_requests_per_minute: 1000000",
            "api_requests_per_minute: 1",
            &|s| twice(|| s.get("/api/v1/node", &[bearer])),
            "200",
            "429",
        ),
        (
            "sign_ins_per_minute: 1000000",
            "sign_ins_per_minute: 1",
            &|s| twice(|| s.get("/windows", &[HTML])),
            "303",
            "429",
        ),
        (
            "callbacks_per_minute: 1000000",
            "callbacks_per_minute: 1",
            &|s| twice(|| s.get("/oidc/callback?state=hw1.x", &[])),
            "400",
            "429",
        ),
        (
            "registrations_per_minute: 1000000",
            "registrations_per_minute: 1",
            &|s| twice(|| s.registers()),
            "passes",
            "429",
        ),
        (
            "tunnels_per_minute: 1000000",
            "tunnels_per_minute: 1",
            &|s| twice(|| s.tunnel()),
            "101",
            "429",
        ),
        (
            "connections_per_address: 100000",
            "connections_per_address: 1",
            &|s| {
                let _held = Raw::connect(s.ground.house().plan.public).expect("it listens");
                s.get("/key?v=1", &[])
            },
            "200",
            "429",
        ),
        (
            "socket_path:",
            "sessions: true, socket_path:",
            &|s| {
                let request =
                    b"GET /sessions HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n";
                send(s.ground.house().plan.admin, request)
                    .status()
                    .to_string()
            },
            "404",
            "200",
        ),
    ];
    for (from, to, asked, before, after) in rows {
        assert_eq!(asked(&scene), *before, "before {to}");
        let text = scene.ground.with(from, to);
        scene.ground.change_to(&text);
        assert_eq!(asked(&scene), *after, "after {to}");
        scene.ground.change_to(&scene.ground.text);
        if !after.starts_with("429") && *before != "0" {
            assert_eq!(asked(&scene), *before, "back from {to}");
        }
    }
}

#[test]
fn patience_changes_too() {
    let ground = Ground::start(&More::default(), &[BY_SIGNAL, NO_LIMITS].concat());
    let connect = || Raw::connect(ground.house().plan.public).expect("it listens");
    let whole = request(ground.house(), "GET", "/key?v=1", &[]);
    let asks = |raw: &mut Raw| {
        let answer = raw.exchange(&whole).expect("an answer");
        assert_eq!(answer.status(), 200);
    };
    let (mut half, mut idle) = (connect(), connect());
    asks(&mut half);
    ground.change_to(&ground.with("header_timeout: 2m", "header_timeout: 1s"));
    // A new connection has that second for all of its first head: one that says nothing just ends.
    let end = connect().read_to_end();
    assert_eq!(end.expect("closed in good order"), b"");
    // One that was open has it from the request on that ends after the change, and then from the first
    // byte of the next: until that one comes, it may be silent for as long as before.
    asks(&mut half);
    half.send(b"GET /key HTTP/1.1\r\n").expect("it is taken");
    assert_eq!(half.read_head().expect("an answer").status, 408);
    ground.change_to(&ground.with("keepalive_timeout: 60m", "keepalive_timeout: 1s"));
    asks(&mut idle);
    let end = idle.read_to_end();
    assert_eq!(end.expect("closed in good order"), b"");
}

#[test]
fn the_log_tells_as_much_as_it_is_told_to() {
    let top = format!("{BY_SIGNAL}log: {{ level: \"warn,headwarden::app=info\" }}\n");
    let ground = Ground::start(&More::default(), &top);
    let lines = |ground: &Ground| ground.house().log().matches(" request ").count();
    ground.get("/key?v=1", &[]);
    assert_eq!(lines(&ground), 0);
    ground.change_to(&ground.with("\"warn,headwarden::app=info\"", "info"));
    ground.get("/key?v=1", &[]);
    ground.wait("a line", || lines(&ground) > 0);
    ground.change_to(&ground.text);
    let before = lines(&ground);
    ground.get("/key?v=1", &[]);
    // Whatever it had to say is said by then.
    assert!(ground.hang_up());
    assert_eq!(lines(&ground), before);
}

#[test]
fn what_is_told_no_longer_is_told_for_the_last_time() {
    let ground = Ground::start(
        &More::default(),
        &format!("{BY_SIGNAL}log: {{ level: info }}\n"),
    );
    let count = |what: &str| ground.house().log().matches(what).count();
    for (level, what) in [
        ("\"info,headwarden::audit=off\"", "configuration_reloaded"),
        ("error", "configuration taken over"),
    ] {
        ground.change_to(&ground.text);
        let before = count(what);
        ground.change_to(&ground.with("level: info", &format!("level: {level}")));
        assert_eq!(count(what), before + 1, "{level}");
        // And back again: the first that is told.
        ground.change_to(&ground.text);
        assert_eq!(count(what), before + 2, "{level}");
    }
}

#[test]
fn what_is_open_ends_for_whoever_lost_the_right_to_it_and_for_nobody_else() {
    let streams = Streams::start();
    let at = format!("http://{}", streams.address);
    let top = format!(
        "{BY_SIGNAL}access:\n  - {{ path: /a/**, upstream: \"{at}\", groups: [headscale-admins, headscale] }}\n  \
         - {{ path: /b/**, upstream: \"{at}\" }}\n"
    );
    let ground = Ground::start(&More::default(), &top);
    let (member, admin) = (
        ground.sign_in(Account::Member),
        ground.sign_in(Account::Admin),
    );
    let open = |path: &str, who: &str| {
        let websocket = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==";
        let lines: &[&str] = if path.ends_with("/socket") {
            &[who, websocket]
        } else {
            &[who]
        };
        let mut raw = Raw::connect(ground.house().plan.public).expect("it listens");
        raw.send(&request(ground.house(), "GET", path, lines))
            .expect("it is taken");
        let status = raw.read_head().expect("a head").status;
        assert!([200, 101].contains(&status), "{path}: {status}");
        assert_eq!(streams.begun(), path);
        raw
    };
    let mut lost = [open("/a/1/silent", &member), open("/a/2/socket", &member)];
    let mut kept = vec![
        open("/a/3/socket", &admin),
        open("/b/4/socket", &member),
        open("/b/5/socket", &admin),
    ];
    // The same again: nothing ends.
    assert!(ground.hang_up());
    for raw in &mut kept {
        talk(raw);
    }
    assert!(streams.all_others_go_on());
    ground.change_to(&ground.with(
        "groups: [headscale-admins, headscale]",
        "groups: [headscale-admins]",
    ));
    for raw in &mut lost {
        assert!(raw.is_cut(), "a right that is lost");
    }
    let mut ended = [streams.ended(), streams.ended()];
    ended.sort();
    assert_eq!(ended, ["/a/1/silent", "/a/2/socket"]);
    for raw in &mut kept {
        talk(raw);
    }
    // And whoever may not be here at all loses everything.
    let only_ada = ground.with(
        "allowed_groups: [/headscale]",
        "allowed_users: [ada@company.example]",
    );
    ground.change_to(&only_ada);
    assert_eq!(streams.ended(), "/b/4/socket");
    let mut gone = kept.remove(1);
    assert!(gone.is_cut());
    for raw in &mut kept {
        talk(raw);
    }
    assert!(streams.all_others_go_on());
    assert_eq!(ground.get("/b/x", &[&admin]), 200);
}

fn talk(raw: &mut Raw) {
    raw.send(b"hello").expect("it is open");
    let heard = raw.read_exact(5);
    assert_eq!(
        heard.map_err(|why| why.kind()),
        Ok::<_, ErrorKind>(b"hello".to_vec())
    );
}

#[test]
fn a_provider_is_asked_again_when_other_certificates_are_trusted_there() {
    let more = More {
        oidc: "  ca_path: CA\n",
        ..More::default()
    };
    let authority = Authority::new();
    let ground = Ground::start_with(&more, BY_SIGNAL, |files, text| {
        let path = files.join("ca.pem");
        std::fs::write(&path, authority.pem()).expect("ours");
        text.replace("ca_path: CA", &format!("ca_path: {}", path.display()))
    });
    let hits = || ground.stage.faulty.provider.hits(Endpoint::Discovery);
    let before = hits();
    // The same again: it knows already.
    assert!(ground.hang_up());
    std::fs::write(ground.file("ca.pem"), Authority::new().pem()).expect("ours");
    assert!(ground.hang_up(), "{}", ground.status());
    assert_eq!(
        ground.last_reload()["changed"],
        serde_json::json!(["oidc.ca_path"])
    );
    ground.wait("another look", || hits() > before);
    assert_eq!(hits(), before + 1);
}
