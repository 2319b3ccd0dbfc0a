use std::path::Path;

use super::*;
use crate::config::{Environment, FileText, read_text};
use crate::oidc::Unverified;

const NOW: Timestamp = Timestamp::from_unix(1_800_000_000);
const ID: &str = "hskey-authreq-abcdefghijklmnopqrstuvwx";

/// Settings with `more` at the top level.
fn settings(more: &str) -> Settings {
    let text = format!(
        "server_url: https://hs.company\n\
         listen: [{{ address: '0.0.0.0:443', tls: {{ cert_path: /c, key_path: /k }} }}]\n\
         oidc: {{ issuer: 'https://id.company/', client_id: hw, client_secret: 0123456789abcdef, \
         allowed_groups: [/staff], allowed_domains: [company.example], strip_email_domain: true }}\n\
         {more}"
    );
    let text = if more.contains("headscale:") {
        text
    } else {
        format!(
            "{text}\nheadscale: {{ sign_in: issuer, api_key: 0123456789abcdef, issuer: {{ url: \
             'http://127.0.0.1:8181', client_secret: 0123456789abcdef }} }}\n"
        )
    };
    let none = |_: &Path| -> std::io::Result<FileText> { unreachable!("no file is named") };
    read_text(&text, &Environment::default(), &none).unwrap_or_else(|why| panic!("{text}\n{why}"))
}

const ACCESS: &str = "\
open: [GET /logo.png]
access:
  - { path: /admin/**, upstream: 'http://127.0.0.1:3000', groups: [admins], identity_headers: remote }
  - { path: /money/*, groups: [admins], max_auth_age: 15m, amr: [mfa] }
  - { path: /ann, users: [ann@company.example] }
api: { admins: [admins], viewers: [auditors], bearer: allow }
";

/// Of the groups `staff`, and those that are named.
fn claims(groups: &[&str], more: &str) -> String {
    let groups: Vec<String> = groups.iter().map(|group| format!("\"{group}\"")).collect();
    format!(
        "{{\"sub\":\"7\",\"preferred_username\":\"Ann@company.example\",\"name\":\"Ann, A\",\
         \"email\":\"ann@company.example\",\"email_verified\":true,\"groups\":[{}]{more}}}",
        groups.join(",")
    )
}

fn told(settings: &Settings, claims: &str, method: &str, path: &str) -> Explanation {
    told_upgrade(settings, claims, method, path, None)
}

fn told_upgrade(
    settings: &Settings,
    claims: &str,
    method: &str,
    path: &str,
    upgrade: Option<&str>,
) -> Explanation {
    let person = Unverified::read(claims).unwrap().person(&settings.oidc);
    explain(
        settings,
        &Question {
            method,
            path,
            upgrade,
            person: &person.unwrap(),
            now: NOW,
        },
    )
}

#[test]
fn an_open_path_whose_rules_mean_other_methods_is_answered_with_405() {
    let settings = settings("open: [GET /x]\naccess: [{ path: /x, methods: [POST] }]\n");
    let told = told(&settings, &claims(&["staff"], ""), "GET", "/x");
    assert_eq!(told.outcome, Outcome::Denied);
    assert!(told.why.contains("405"), "{}", told.why);
}

#[test]
fn each_door_has_its_outcome_and_its_reason() {
    use Outcome::{Allowed, Denied, Depends, StepUp};
    let settings = settings(ACCESS);
    let staff = claims(&["staff"], "");
    let admin = claims(&["staff", "admins"], "");
    let auditor = claims(&["staff", "auditors"], "");
    let fresh = claims(
        &["staff", "admins"],
        ",\"amr\":[\"mfa\"],\"auth_time\":1799999999",
    );
    let stranger = claims(&["others"], "");
    let register = format!("/register/{ID}");
    let confirm = format!("/register/confirm/{ID}");
    for (who, method, path, outcome, part) in [
        (&staff, "GET", "/", Allowed, "rules admit"),
        (&stranger, "GET", "/", Denied, "none of the allowed groups"),
        (&staff, "GET", "/admin/x", Denied, "access[0] (/admin/**)"),
        (&admin, "GET", "/admin/x", Allowed, "rules admit"),
        (&staff, "GET", "/Admin/x", Denied, "access[0]"),
        (&admin, "GET", "/money/x", StepUp, "step-up"),
        (&fresh, "GET", "/money/x", Allowed, "rules admit"),
        (&staff, "GET", "/ann", Allowed, "rules admit"),
        (&staff, "GET", "/../x", Denied, "400"),
        (&staff, "GET", "x", Denied, "400"),
        (&stranger, "GET", "/logo.png", Allowed, "anybody passes"),
        (&stranger, "GET", "/key?v=39", Allowed, "anybody passes"),
        (&stranger, "GET", "/generate_204", Allowed, "204"),
        (&staff, "GET", "/metrics", Denied, "closed"),
        (&staff, "BREW", "/", Denied, "closed"),
        (&staff, "POST", "/verify", Denied, "verify_from is empty"),
        (&staff, "GET", "/.headwarden/sign-in", Allowed, "itself"),
        (&staff, "GET", "/.headwarden/nothing", Denied, "404"),
        (&admin, "GET", "/api/v1/node", Allowed, "admin"),
        (&admin, "DELETE", "/api/v1/node/1", Allowed, "admin"),
        (&auditor, "GET", "/api/v1/node", Allowed, "viewer"),
        (
            &auditor,
            "POST",
            "/api/v1/user",
            Denied,
            "does not allow POST",
        ),
        (
            &staff,
            "GET",
            "/api/v1/node",
            Denied,
            "role on the API is none",
        ),
        (
            &stranger,
            "GET",
            "/api/v1/node",
            Denied,
            "none of the allowed groups",
        ),
        (
            &admin,
            "POST",
            "/api/v2/oauth/token",
            Depends,
            "what the form brings",
        ),
        (&auditor, "GET", "/swagger", Allowed, "rules admit"),
        (&staff, "GET", "/swagger", Denied, "needs a role"),
        (&staff, "GET", &register, Allowed, "rules admit"),
        (&staff, "POST", &register, Denied, "takes GET only"),
        (&staff, "POST", &confirm, Allowed, "rules admit"),
        (&staff, "GET", "/register/x", Denied, "closed"),
    ] {
        let told = told(&settings, who, method, path);
        assert_eq!(told.outcome, outcome, "{method} {path} {who}: {}", told.why);
        assert!(told.why.contains(part), "{method} {path}: {}", told.why);
    }
    // An SSH check asks for a fresh sign-in by itself.
    let check = format!("/auth/{ID}");
    assert_eq!(told(&settings, &staff, "GET", &check).outcome, StepUp);
    assert_eq!(told(&settings, &fresh, "GET", &check).outcome, Allowed);
    let tunnel = told_upgrade(
        &settings,
        &stranger,
        "POST",
        "/ts2021",
        Some("tailscale-control-protocol"),
    );
    assert_eq!(tunnel.outcome, Allowed);
    assert_eq!(tunnel.door.unwrap().kind, "control");
}

#[test]
fn rules_by_method_by_claim_and_for_everybody_are_told_as_the_gate_asks_them() {
    let settings = settings(
        "access:\n  - { path: /pub/admin/**, groups: [admins] }\n  - { path: /pub/**, public: true, methods: [GET] }\n  \
         - { path: /it/*, claims: { department: [it, 'dev-*'] }, domains: ['*.example'] }\n",
    );
    for (method, path, department, outcome, words) in [
        (
            "GET",
            "/pub/x",
            "",
            Outcome::Allowed,
            "access[1] (/pub/**) is public",
        ),
        ("HEAD", "/pub/x", "", Outcome::Allowed, "is public"),
        (
            "POST",
            "/pub/x",
            "",
            Outcome::Denied,
            "about GET, HEAD only, so POST is answered with 405",
        ),
        (
            "GET",
            "/pub/Admin/x",
            "",
            Outcome::Denied,
            "asks for groups that this person has not",
        ),
        (
            "GET",
            "/it/x",
            "dev-ops",
            Outcome::Allowed,
            "admit this person",
        ),
        (
            "GET",
            "/it/x",
            "hr",
            Outcome::Denied,
            "access[2] (/it/*) asks for the claim department",
        ),
    ] {
        let claims = claims(&["staff"], &format!(",\"department\":\"{department}\""));
        let told = told(&settings, &claims, method, path);
        assert_eq!(told.outcome, outcome, "{method} {path}: {}", told.why);
        assert!(told.why.contains(words), "{method} {path}: {}", told.why);
        if path == "/it/x" {
            let list = &told.access[0].claims[0];
            assert_eq!(
                (list.list.as_str(), &list.found[..]),
                ("claims.department", &[department.to_owned()][..])
            );
            assert_eq!(list.matched, outcome == Outcome::Allowed);
        }
    }
}

#[test]
fn each_list_says_what_it_wants_what_there_is_and_what_fits() {
    let settings = settings(ACCESS);
    let told = told(&settings, &claims(&["others", "/staff"], ""), "GET", "/ann");
    let list = |index: usize| &told.rules.lists[index];
    assert_eq!(list(0).list, "oidc.allowed_groups");
    assert_eq!(list(0).wanted, ["/staff"]);
    assert_eq!(list(0).found, ["others", "/staff"]);
    assert_eq!(list(0).matches, ["/staff"]);
    assert_eq!(list(1).matches, ["company.example"]);
    assert_eq!(list(1).found, ["ann@company.example"]);
    assert!(list(2).matched && !list(2).restricts);
    assert_eq!(told.access.len(), 1);
    assert_eq!(
        (
            told.access[0].index,
            told.access[0].exactly,
            told.access[0].routes
        ),
        (2, true, true)
    );
    assert_eq!(told.access[0].users.matches, ["ann@company.example"]);
    // Each list by itself, whatever the others say.
    let refused = told_upgrade(&settings, &claims(&["others"], ""), "GET", "/", None);
    let matched: Vec<bool> = refused
        .rules
        .lists
        .iter()
        .map(|list| list.matched)
        .collect();
    assert_eq!(matched, [false, true, true]);
    assert_eq!(refused.rules.denial, Some("group"));
    let unverified = claims(&["staff"], "").replace("true", "false");
    let refused = told_upgrade(&settings, &unverified, "GET", "/", None);
    assert_eq!(refused.rules.denial, Some("unverified_email"));
    assert!(!refused.rules.lists[1].matched);
}

#[test]
fn what_is_told_to_a_web_ui_and_to_headscale_is_what_they_get() {
    let settings = settings(ACCESS);
    let admin = claims(&["staff", "admins"], "");
    let told = told(&settings, &admin, "GET", "/admin/x");
    let fields: Vec<(&str, &str)> = told
        .identity_headers
        .iter()
        .map(|f| (f.name.as_ref(), f.value.as_str()))
        .collect();
    assert_eq!(
        fields,
        [
            ("Remote-User", "Ann@company.example"),
            ("Remote-Email", "ann@company.example"),
            ("Remote-Name", "Ann%2C A"),
            ("Remote-Groups", "staff,admins"),
        ]
    );
    assert_eq!(told.upstream.as_deref(), Some("127.0.0.1:3000"));
    assert_eq!(told.headscale.name.as_deref(), Some("ann"));
    assert_eq!(told.headscale.email.as_deref(), Some("ann@company.example"));
    assert_eq!((told.api.role, told.api.key), ("admin", true));
    let elsewhere = told_upgrade(&settings, &admin, "GET", "/ann", None);
    assert!(elsewhere.identity_headers.is_empty());
    assert_eq!(elsewhere.upstream.as_deref(), Some("127.0.0.1:8080"));
}

#[test]
fn a_name_that_headscale_would_refuse_keeps_a_device_out() {
    let settings = settings("");
    let odd = claims(&["staff"], "").replace("Ann@company.example", "7");
    let page = told(&settings, &odd, "GET", "/");
    assert_eq!(page.outcome, Outcome::Allowed);
    assert!(page.headscale.refusal.unwrap().contains("two characters"));
    let device = told(&settings, &odd, "GET", &format!("/register/{ID}"));
    assert_eq!(device.outcome, Outcome::Denied);
    assert!(
        device.why.contains("headscale would refuse"),
        "{}",
        device.why
    );
    let confirm = told(&settings, &odd, "POST", &format!("/register/confirm/{ID}"));
    assert_eq!(confirm.outcome, Outcome::Allowed, "{}", confirm.why);
    let none = super::tests::settings("headscale: { sign_in: none }\n");
    for (method, path) in [("POST", "register"), ("HEAD", "register"), ("PUT", "auth")] {
        let device = told(&none, &odd, method, &format!("/{path}/{ID}"));
        assert_eq!(device.outcome, Outcome::Allowed, "{method}: {}", device.why);
        let asks = device.notes.iter().any(|note| note.contains("asks before"));
        assert!(!asks, "{:?}", device.notes);
    }
    let own = super::tests::settings("headscale: { sign_in: own }\n");
    let device = told(&own, &odd, "GET", &format!("/register/{ID}"));
    assert_eq!(
        (device.outcome, device.headscale.name),
        (Outcome::Allowed, None)
    );
}

#[test]
fn without_an_api_key_a_role_means_nothing() {
    let settings =
        settings("headscale: { sign_in: none }\napi: { admins: [staff], bearer: deny }\n");
    let told = told(&settings, &claims(&["staff"], ""), "GET", "/api/v1/node");
    assert_eq!(told.outcome, Outcome::Denied);
    assert!(told.why.contains("headscale.api_key"), "{}", told.why);
    assert_eq!(
        (told.api.role, told.api.key, told.api.bearer),
        ("admin", false, false)
    );
}
