//! `headwarden explain`, as it is called. What it says is tested beside the gate.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::desk::{Desk, ISSUER};

const ANN: &str = r#"{"iss":"https://id.company/","aud":"headwarden","sub":"7","preferred_username":"ann","groups":["staff"]}"#;

#[test]
fn claims_come_from_a_file_standard_input_or_a_token() {
    let desk = Desk::new(ISSUER);
    desk.write("claims.json", ANN);
    let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
    let token = format!("{}.{}.{}\n", part("{}"), part(ANN), part("nothing"));
    for (from, input, unverified) in [
        ("claims.json", "", false),
        ("-", ANN, false),
        ("-", token.as_str(), true),
    ] {
        let arguments = ["explain", "--claims", from, "--path", "/"];
        let ran = desk.run_with(&[&arguments[..], &["--json"]].concat(), input);
        assert_eq!(ran.code, 0, "{from}: {}", ran.err);
        let told = ran.json();
        assert_eq!(told["outcome"], "allowed");
        assert_eq!(told["unverified_token"], unverified, "{from}");
        assert_eq!(told["doubts"], serde_json::json!([]));
        let words = desk.run_with(&arguments, input).out;
        assert_eq!(
            words.contains("was read and not verified"),
            unverified,
            "{words}"
        );
    }
}

#[test]
fn the_exit_code_says_whether_the_request_is_served() {
    let desk = Desk::new(ISSUER);
    let eve = ANN.replace("staff", "others");
    for (claims, path, code) in [
        (ANN, "/", 0),
        (ANN, "/metrics", 1),
        (&eve, "/", 1),
        (&eve, "/key", 0),
        ("{}", "/", 2),
        ("nonsense", "/", 2),
    ] {
        let ran = desk.run_with(&["explain", "--claims", "-", "--path", path], claims);
        assert_eq!(ran.code, code, "{claims} {path}: {}{}", ran.out, ran.err);
    }
    let ran = desk.run(&["explain", "--claims", "nowhere.json", "--path", "/"]);
    assert_eq!(ran.code, 2);
    assert!(
        ran.err.contains("nowhere.json cannot be read"),
        "{}",
        ran.err
    );
}

#[test]
fn in_words_every_step_has_a_line_and_no_claim_moves_the_terminal() {
    let config = ISSUER.replace(
        "[staff]",
        "[staff]\n  allowed_domains: [company.example]\n  email_verified_required: false",
    ) + "access: [{ path: /admin/**, upstream: 'http://127.0.0.1:3000', groups: [admins], identity_headers: remote }]\n";
    let desk = Desk::new(&config);
    let claims = r#"{"sub":"7","preferred_username":"ann\u001b[2J","email":"ann@company.example","groups":["staff","admins"],"iss":"https://id.company"}"#;
    let words = desk
        .run_with(&["explain", "--claims", "-", "--path", "/admin/x"], claims)
        .out;
    for part in [
        "request:   GET /admin/x\n",
        "door:      guarded (page): a session that the rules admit\n",
        "rules:     admitted\n",
        "oidc.allowed_groups: matched by staff\n",
        "oidc.allowed_users: empty, restricts nobody\n",
        "access:    access[0] /admin/**: admitted (the rule of this path)\n",
        "step-up:   not asked for\n",
        "upstream:  127.0.0.1:3000\n",
        "header:    Remote-Email: ann@company.example\n",
        "headscale: is told nothing: a user name may not contain '\\u{1b}'\n",
        "api role:  none, which means nothing without headscale.api_key\n",
        "doubt:     iss is \"https://id.company\", but oidc.issuer is \"https://id.company/\"",
        "allowed:   the rules admit this person\n",
    ] {
        assert!(words.contains(part), "{part}\n{words}");
    }
    assert!(!words.contains('\u{1b}'), "{words:?}");
}

#[test]
fn claims_that_the_configuration_names_and_nobody_sent_are_doubts() {
    let desk = Desk::new(&format!("{ISSUER}  groups_claim: roles\n"));
    let ran = desk.run_with(&["explain", "--claims", "-", "--path", "/", "--json"], ANN);
    let told = ran.json();
    let doubt = told["doubts"][0].as_str().unwrap();
    assert!(
        doubt.contains("oidc.groups_claim is roles") && doubt.contains("groups, iss"),
        "{doubt}"
    );
    assert_eq!(ran.code, 1);
}
