//! People who are checked again at their provider, from outside; every second here. What happens when,
//! with a clock that can be set, is shown where the provider misbehaves (`oidc_provider_faults`), and
//! that nothing fails open, in `fail_closed`.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::time::Instant;

use ring::digest::{SHA256, digest};
use serde_json::json;

use crate::faulty_provider::{Fault, Key, Person as Account};
use crate::outages::probe;
use crate::stage::{HTML, SAME_ORIGIN, Stage, admin, ask, member, request, session_line};
use crate::support::certified_provider::{ADMIN, MEMBER};
use crate::support::headscale_standin::{PolicyMode, User};
use crate::support::house::{House, More};
use crate::support::person::Person;
use crate::support::raw::{PATIENCE, Raw};
use crate::support::streams::Streams;
use crate::support::tailnet::Tailnet;

const EVERY_SECOND: &str = "session: { recheck: 1s }\n";

/// The certified provider, with refresh tokens for whoever signs in.
fn tailnet(top: &'static str) -> Tailnet {
    let settings = json!({ "refresh_tokens": true });
    Tailnet::start_providing(&settings, |_| More {
        top,
        ..More::default()
    })
}

/// Asks for a page as the holder of a session, again and again, until the answer has this status.
fn until(house: &House, session: &str, status: u16) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let answer = ask(house, "GET", "/windows", &[session]).status();
        if answer == status {
            return;
        }
        assert!(Instant::now() < deadline, "{answer} for ever, not {status}");
    }
}

fn counted(house: &House, outcome: &str) -> u64 {
    let text = probe(&house.plan, "GET", "/metrics").text();
    let series = format!("headwarden_refreshes_total{{outcome=\"{outcome}\"}} ");
    let line = text.lines().find_map(|line| line.strip_prefix(&series));
    line.expect("it is there").parse().expect("a number")
}

#[test]
fn who_loses_a_group_at_the_provider_is_signed_out_and_nobody_else_is() {
    let mut tailnet = tailnet(EVERY_SECOND);
    let mut person = member(&tailnet);
    let session = session_line(&tailnet.house, &person);
    let other = session_line(&tailnet.house, &admin(&tailnet));
    tailnet
        .provider
        .set_person(MEMBER, &json!({ "groups": ["visitors"] }));
    until(&tailnet.house, &session, 401);
    assert_eq!(counted(&tailnet.house, "lost_right"), 1);
    let line = tailnet.house.wait_for_log("signed out: checked again");
    assert!(
        line.contains("rule=\"group\"") && line.contains("request_id="),
        "{line}"
    );
    // The provider lets the person in again, and the rules do not.
    let page = person.open(&tailnet.house.url("/windows"));
    assert_eq!(page.status(), 403, "{}", page.text());
    assert_eq!(
        ask(&tailnet.house, "GET", "/windows", &[&other]).status(),
        200
    );
    // The session stays dead when the group comes back.
    tailnet
        .provider
        .set_person(MEMBER, &json!({ "groups": ["headscale"] }));
    assert_eq!(
        ask(&tailnet.house, "GET", "/windows", &[&session]).status(),
        401
    );
}

#[test]
fn who_gains_a_group_at_the_provider_has_it_without_a_new_sign_in() {
    let mut tailnet = Tailnet::start_providing(&json!({ "refresh_tokens": true }), |_| More {
        top: "session: { recheck: 1s }\napi: { admins: [headscale-admins] }\n",
        headscale: "  api_key: hskey-api-standin\n",
        ..More::default()
    });
    let person = member(&tailnet);
    let session = session_line(&tailnet.house, &person);
    let asked = |tailnet: &Tailnet| {
        let lines = [SAME_ORIGIN, session.as_str()];
        ask(&tailnet.house, "GET", "/api/v1/user", &lines).status()
    };
    assert_eq!(asked(&tailnet), 403);
    let groups = json!({ "groups": ["headscale", "headscale-admins"] });
    tailnet.provider.set_person(MEMBER, &groups);
    let deadline = Instant::now() + PATIENCE;
    while asked(&tailnet) == 403 {
        assert!(Instant::now() < deadline);
    }
    assert_eq!(asked(&tailnet), 200);
}

#[test]
fn who_loses_the_group_of_one_path_loses_what_is_open_there_and_nothing_else() {
    let streams = Streams::start();
    let at = streams.address;
    let top = format!(
        "{EVERY_SECOND}access:\n  - {{ path: /a/**, upstream: \"http://{at}\", groups: [headscale-admins] }}\n  \
         - {{ path: /b/**, upstream: \"http://{at}\" }}\n"
    );
    let mut tailnet = tailnet(top.leak());
    let groups = json!({ "groups": ["headscale", "headscale-admins"] });
    tailnet.provider.set_person(MEMBER, &groups);
    let session = session_line(&tailnet.house, &member(&tailnet));
    let open = |path: &str| {
        let mut raw = Raw::connect(tailnet.house.plan.public).expect("it listens");
        raw.send(&request(&tailnet.house, "GET", path, &[&session]))
            .expect("it is taken");
        assert_eq!(raw.read_head().expect("a head").status, 200, "{path}");
        assert_eq!(streams.begun(), path);
        raw
    };
    let (mut lost, _kept) = (open("/a/1/silent"), open("/b/2/silent"));
    let groups = json!({ "groups": ["headscale"] });
    tailnet.provider.set_person(MEMBER, &groups);
    assert_eq!(streams.ended(), "/a/1/silent");
    assert!(lost.is_cut());
    assert!(streams.all_others_go_on());
    assert_eq!(counted(&tailnet.house, "lost_right"), 0);
}

#[test]
fn a_deactivated_account_is_signed_out() {
    let mut tailnet = tailnet(EVERY_SECOND);
    let session = session_line(&tailnet.house, &member(&tailnet));
    tailnet.provider.deactivate(MEMBER);
    until(&tailnet.house, &session, 401);
    assert_eq!(counted(&tailnet.house, "refused"), 1);
    let line = tailnet.house.wait_for_log("does not vouch for this person");
    assert!(line.contains("invalid_grant"), "{line}");
}

#[test]
fn a_provider_that_is_gone_locks_people_out_when_the_grace_is_over_and_not_before() {
    let Tailnet {
        provider,
        headscale: _headscale,
        mut house,
    } = tailnet("session: { recheck: 1s, recheck_grace: 4s }\n");
    let mut person = Person::new();
    let page = person.open(&house.url("/windows"));
    person.fill_in(&page, "login", &[("username", MEMBER)]);
    let session = session_line(&house, &person);
    drop(provider);
    house.wait_for_log("serving");
    let deadline = Instant::now() + PATIENCE;
    while !house.log().contains("people cannot be checked again") {
        let answer = ask(&house, "GET", "/windows", &[&session]);
        assert_eq!(answer.status(), 200, "{}", answer.text());
        assert!(Instant::now() < deadline);
    }
    until(&house, &session, 503);
    let page = ask(&house, "GET", "/windows", &[HTML, &session]);
    assert_eq!(page.status(), 503);
    assert!(page.text().contains("identity provider"), "{}", page.text());
    assert!(page.header("retry-after").is_some());
    let lines = ["Content-Length: 0", SAME_ORIGIN, &session];
    let out = ask(&house, "POST", "/.headwarden/logout", &lines);
    assert_eq!(out.status(), 303);
    until(&house, &session, 401);
}

/// A web UI with a WebSocket that sends everything back.
fn web_ui() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    std::thread::spawn(move || {
        for client in listener.incoming().flatten() {
            std::thread::spawn(move || echo(client));
        }
    });
    address
}

fn echo(mut client: std::net::TcpStream) {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        match client.read(&mut byte) {
            Ok(1..) => head.extend(byte),
            _ => return,
        }
    }
    let switched = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n\
                    Upgrade: websocket\r\n\r\n";
    let _ = client.write_all(switched.as_bytes());
    while let Ok(1..) = client.read(&mut byte) {
        let _ = client.write_all(&byte);
    }
}

#[test]
fn an_open_websocket_ends_when_its_person_loses_a_right_without_another_request() {
    let ui = web_ui();
    let access =
        format!("{EVERY_SECOND}access:\n  - {{ path: \"/ui/**\", upstream: \"http://{ui}\" }}\n");
    let mut tailnet = tailnet(access.leak());
    let open = |tailnet: &Tailnet, session: &str| {
        let mut raw = Raw::connect(tailnet.house.plan.public).expect("a connection");
        let lines = [
            "Connection: Upgrade",
            "Upgrade: websocket",
            "Sec-WebSocket-Version: 13",
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
            session,
        ];
        let asked = request(&tailnet.house, "GET", "/ui/socket", &lines);
        raw.send(&asked).expect("it is sent");
        assert_eq!(raw.read_head().expect("an answer").status, 101);
        raw
    };
    let session = session_line(&tailnet.house, &member(&tailnet));
    let other = session_line(&tailnet.house, &admin(&tailnet));
    let (mut ends, mut stays) = (open(&tailnet, &session), open(&tailnet, &other));
    tailnet
        .provider
        .set_person(MEMBER, &json!({ "groups": [] }));
    assert!(ends.is_cut());
    stays.send(b"ping").expect("it is open");
    assert_eq!(stays.read_exact(4).expect("it comes back"), b"ping");
    let line = tailnet.house.wait_for_log("signed out: checked again");
    assert!(!line.contains("request_id="), "nobody asked: {line}");
}

#[test]
fn a_provider_without_refresh_tokens_is_mentioned_once() {
    let stage = Stage::start();
    for account in [Account::Member, Account::Admin, Account::Member] {
        stage.somebody(account);
    }
    let log = stage.house.log();
    assert_eq!(log.matches("gave no refresh token").count(), 1, "{log}");
}

/// At the most talkative level that there is.
#[test]
fn no_token_of_a_refresh_is_in_the_log_whatever_becomes_of_it() {
    let mut stage = Stage::start_with(|_| More {
        top: "session: { recheck: 1s }\nlog: { level: trace }\n",
        ..More::default()
    });
    stage.faulty.provider.rotate_to(Key::Ec);
    stage
        .faulty
        .provider
        .set(|knobs| knobs.refresh_tokens = true);
    for (fault, said) in [
        (None, "checked again"),
        (
            Some(Fault::UserinfoIsDown),
            "people cannot be checked again",
        ),
        (Some(Fault::ErrorWith200), "does not vouch for this person"),
        (Some(Fault::UserinfoOfSomebodyElse), "cannot be believed"),
    ] {
        stage.faulty.provider.mend();
        let session = session_line(&stage.house, &stage.somebody(Account::Member));
        if let Some(fault) = fault {
            stage.faulty.provider.bend(fault);
        }
        let deadline = Instant::now() + PATIENCE;
        while !stage.house.log().contains(said) {
            ask(&stage.house, "GET", "/windows", &[&session]);
            assert!(Instant::now() < deadline, "{said}");
        }
    }
    stage.faulty.provider.mend();
    let session = session_line(&stage.house, &stage.somebody(Account::Member));
    let mut tokens = Vec::new();
    stage.faulty.provider.set(|knobs| {
        tokens.clone_from(&knobs.secrets);
        // The newest, as the one that the next refresh is refused for.
        let newest = knobs.secrets.iter().rfind(|(name, _)| *name == "refresh");
        let description = newest.map(|(_, token)| format!("not {token}"));
        knobs.token_answer = json!({ "error": "invalid_grant", "error_description": description })
            .as_object()
            .cloned()
            .expect("an object");
    });
    until(&stage.house, &session, 401);
    stage.house.wait_for_log("it repeats what was sent");
    stage
        .faulty
        .provider
        .set(|knobs| tokens.extend(knobs.secrets.clone()));
    let log = stage.house.log();
    assert!(tokens.iter().filter(|(name, _)| *name == "refresh").count() > 4);
    for (name, token) in tokens
        .iter()
        .filter(|(name, _)| !["state", "nonce"].contains(name))
    {
        assert!(!log.contains(token), "{name} is in the log");
    }
}

#[test]
fn who_loses_a_group_or_the_account_at_the_provider_leaves_the_policy_at_the_next_re_check() {
    let mut tailnet = Tailnet::start_providing(&json!({ "refresh_tokens": true }), |plan| {
        let top = format!(
            "session: {{ recheck: 1s }}\npolicy_sync:\n  groups: [{{ from: [headscale, headscale-admins] }}]\n  \
             state_path: {}/people\n",
            plan.files.display()
        );
        More {
            headscale: "  api_key: hskey-api-standin\n",
            top: Box::leak(top.into_boxed_str()),
            ..More::default()
        }
    });
    let [admin_id, member_id] = [ADMIN, MEMBER].map(|name| {
        let digest = digest(&SHA256, format!("headwarden-rig-{name}").as_bytes());
        let subject: String = digest
            .as_ref()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        let id = format!("{}/{subject}", tailnet.house.plan.issuer_url());
        tailnet.headscale.add_user(User {
            provider_identifier: id.clone(),
            name: name.to_owned(),
            ..User::default()
        });
        id
    });
    tailnet
        .headscale
        .configure(|options| options.policy = PolicyMode::Database);
    tailnet.headscale.set_policy("{\"groups\": {}}");
    let session = session_line(&tailnet.house, &admin(&tailnet));
    let other = session_line(&tailnet.house, &member(&tailnet));
    // Each look is a visit of both, so that both are checked again.
    let until_policy = |tailnet: &Tailnet, right: &dyn Fn(&str) -> bool| {
        let deadline = Instant::now() + PATIENCE;
        loop {
            for session in [&session, &other] {
                ask(&tailnet.house, "GET", "/windows", &[session]);
            }
            let there = tailnet.headscale.policy().unwrap_or_default();
            if right(&there) {
                return;
            }
            assert!(Instant::now() < deadline, "{there}");
        }
    };
    let holds = |policy: &str, id: &str, times: usize| policy.matches(id).count() == times;
    until_policy(&tailnet, &|policy| {
        holds(policy, &admin_id, 2) && holds(policy, &member_id, 1)
    });
    tailnet
        .provider
        .set_person(ADMIN, &json!({ "groups": ["headscale"] }));
    until_policy(&tailnet, &|policy| {
        holds(policy, &admin_id, 1) && policy.contains("\"group:headscale-admins\": [],")
    });
    tailnet.provider.deactivate(ADMIN);
    until_policy(&tailnet, &|policy| holds(policy, &admin_id, 0));
    // A rule that refuses is as final.
    tailnet
        .provider
        .set_person(MEMBER, &json!({ "groups": ["visitors"] }));
    until_policy(&tailnet, &|policy| holds(policy, &member_id, 0));
}
