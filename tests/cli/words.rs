//! `check` and `health` as JSON.

use serde_json::json;

use crate::desk::{Desk, ISSUER};

#[test]
fn check_tells_every_mistake_as_an_object_and_no_secret() {
    let bad = ISSUER
        .replace(
            "client_id: headwarden",
            "client_id: headwarden\n  clientt_id: x",
        )
        .replace("https://id.company/", "http://user:canary@id.company/")
        + "workers: many\n";
    let ran = Desk::new(&bad).run(&["check", "--json"]);
    assert_eq!(ran.code, 2, "{}", ran.err);
    assert!(!ran.out.contains("canary"), "{}", ran.out);
    let told = ran.json();
    assert_eq!(told["file"], "config.yaml");
    assert_eq!(told["good"], false);
    let problems = told["problems"].as_array().unwrap();
    let keys: Vec<&str> = problems
        .iter()
        .map(|p| p["key"].as_str().unwrap())
        .collect();
    assert_eq!(keys, ["oidc.issuer", "oidc.clientt_id", "workers"]);
    assert_eq!(
        problems[1],
        json!({
            "key": "oidc.clientt_id", "line": 9, "variable": null, "value": "(not shown)",
            "reason": "there is no such key", "hint": "did you mean oidc.client_id?",
        })
    );
    assert_eq!(problems[2]["value"], "many");
}

#[test]
fn check_tells_warnings_by_key_and_a_good_file_is_good() {
    let ran =
        Desk::new(&format!("{ISSUER}  pkce: {{ method: plain }}\n")).run(&["check", "--json"]);
    let told = ran.json();
    assert_eq!(
        (ran.code, &told["good"], &told["problems"]),
        (0, &json!(true), &json!([]))
    );
    let warnings = told["warnings"].as_array().unwrap();
    let plain = json!({"key": "oidc.pkce.method", "text": "plain protects little; S256 works with authentik"});
    assert!(warnings.contains(&plain), "{warnings:?}");
}

#[test]
fn a_file_that_is_not_there_and_one_that_is_no_yaml_are_problems_too() {
    let desk = Desk::new("a: [");
    let told = desk.run(&["check", "--json"]).json();
    assert_eq!(told["problems"].as_array().unwrap().len(), 1);
    std::fs::remove_file(desk.path("config.yaml")).unwrap();
    let ran = desk.run(&["check", "--json"]);
    assert_eq!(ran.code, 2);
    assert_eq!(ran.json()["problems"][0]["key"], "config.yaml");
}

#[test]
fn health_as_json_says_that_nobody_answers() {
    let [address] = crate::support::house::free_addresses();
    let desk = Desk::new(&format!("{ISSUER}admin: {{ address: '{address}' }}\n"));
    let ran = desk.run(&["health", "--json"]);
    let told = ran.json();
    assert_eq!(ran.code, 1);
    assert_eq!(
        (&told["ready"], &told["status"]),
        (&json!(false), &json!(null))
    );
    assert!(
        told["error"].as_str().unwrap().contains("does not answer"),
        "{told}"
    );
}
