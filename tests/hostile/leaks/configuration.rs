//! What `headwarden check` says about a configuration with a secret where none belongs.

use std::process::{Command, Stdio};

use crate::support::house::{CLIENT_SECRET, More, Plan, free_addresses};

const SECRET: &str = "C4n4ry-1f0e2d3c4b5a69788796";

/// A text of the configuration (`  client_secret` for its whole line), and what takes its place.
fn rows() -> Vec<(&'static str, String)> {
    let line = format!("  client_secret: {CLIENT_SECRET}\n");
    let put = |replaced: &'static str, with: String| (replaced, with);
    vec![
        put("  client_secret", format!("  client_secrt: {SECRET}\n")),
        put("  client_secret", format!("  client_secret: [{SECRET}]\n")),
        put(
            "  client_secret",
            format!("  client_secret: {{ a: {SECRET} }}\n"),
        ),
        put(
            "  client_secret",
            format!("  client_secret: {{ {SECRET}: a }}\n"),
        ),
        put(
            "  client_secret",
            format!("  client_secret: \"{SECRET}\\nx\"\n"),
        ),
        put(
            "  client_secret",
            format!("  client_secret: |\n    {SECRET}\n    {SECRET}\n"),
        ),
        put("  client_secret", format!("  client_secret: \"{SECRET}\n")),
        put("  client_secret", format!("  client_secret: '{SECRET}\n")),
        put("  client_secret", format!("  client_secret: *{SECRET}\n")),
        put("  client_secret", format!("  client_secret: &{SECRET}\n")),
        put("  client_secret", format!("  client_secret: !{SECRET}\n")),
        put(
            "  client_secret",
            format!("  client_secret: !!{SECRET} x\n"),
        ),
        put("  client_secret", format!("  client_secret: @{SECRET}\n")),
        put("  client_secret", format!("  client_secret: `{SECRET}\n")),
        put("  client_secret", format!("  client_secret: %{SECRET}\n")),
        put("  client_secret", format!("  client_secret: {{{SECRET}\n")),
        put("  client_secret", format!("  client_secret: [{SECRET}\n")),
        put("  client_secret", format!("  client_secret: {SECRET}: x\n")),
        put(
            "  client_secret",
            format!("  client_secret: \"\\{SECRET}\"\n"),
        ),
        put(
            "  client_secret",
            format!("  client_secret:\t{SECRET}\n\tx: y\n"),
        ),
        put(
            "  client_secret",
            format!("  client_secret: {SECRET}\n  client_secret: {SECRET}\n"),
        ),
        put(
            "  client_secret",
            format!("  client_secret: {SECRET}\n  client_secret_path: /dev/null\n"),
        ),
        put(
            "  client_secret",
            format!("{line}  extra_params: {{ client_secret: {SECRET} }}\n"),
        ),
        put(
            "  client_secret",
            format!("{line}  extra_params: {{ api: [{SECRET}] }}\n"),
        ),
        put(
            "  client_secret",
            format!("{line}  extra_params: {SECRET}\n"),
        ),
        put("  client_secret", format!("{line}  pkce: {SECRET}\n")),
        put(
            "https://id.example/",
            format!("https://user:{SECRET}@id.example/"),
        ),
        put(
            "https://id.example/",
            format!("https://id.example/?key={SECRET}"),
        ),
        put(
            "http://127.0.0.1:8080",
            format!("http://user:{SECRET}@127.0.0.1:8080"),
        ),
        put(
            "http://127.0.0.1:8080",
            format!("http://127.0.0.1:8080/?key={SECRET}"),
        ),
        put("headscale:\n", format!("headscale:\n  api_kye: {SECRET}\n")),
        put(
            "headscale:\n",
            format!("headscale:\n  api_key: [{SECRET}]\n"),
        ),
        put(
            "headscale:\n",
            format!("headscale:\n  api_key: \"{SECRET} {SECRET}\\n\\n{SECRET}\"\n"),
        ),
        put("headscale:\n", format!("api_key: {SECRET}\nheadscale:\n")),
        put("headscale:\n", format!("headscale: {SECRET}\nheadscale:\n")),
    ]
}

/// A configuration file of its own, and what the program says about it.
fn checked(
    config: impl Fn(&Plan) -> String,
    environment: &[(&str, &str)],
) -> (Option<i32>, String) {
    let files = tempfile::tempdir().expect("a directory");
    let [public, admin, issuer] = free_addresses();
    let plan = Plan {
        public,
        admin,
        issuer,
        files: files.path().to_owned(),
    };
    let path = files.path().join("config.yaml");
    std::fs::write(&path, config(&plan)).expect("it can be written");
    let output = Command::new(env!("CARGO_BIN_EXE_headwarden"))
        .args(["check", "--config"])
        .arg(&path)
        .envs(environment.iter().copied())
        .stdin(Stdio::null())
        .output()
        .expect("headwarden runs");
    let said = [output.stdout, output.stderr].concat();
    (
        output.status.code(),
        String::from_utf8_lossy(&said).into_owned(),
    )
}

#[test]
fn a_configuration_with_a_secret_in_the_wrong_place_is_reported_without_it() {
    let good = |plan: &Plan| {
        plan.config(
            "http://127.0.0.1:8080",
            "https://id.example/",
            &More::default(),
        )
    };
    assert_eq!(checked(good, &[]).0, Some(0));
    let line = format!("  client_secret: {CLIENT_SECRET}\n");
    let rows = rows();
    for (replaced, with) in &rows {
        let config = |plan: &Plan| {
            let text = good(plan);
            let replaced = if *replaced == "  client_secret" {
                &line
            } else {
                *replaced
            };
            let bent = text.replacen(replaced, with, 1);
            assert_ne!(bent, text, "{replaced}");
            bent
        };
        let (code, said) = checked(config, &[]);
        assert!(!said.contains(&SECRET[..12]), "{with} is told:\n{said}");
        assert!(matches!(code, Some(0 | 2)), "{with}: {code:?} {said}");
        assert_eq!(code, Some(2), "{with} was taken:\n{said}");
    }
    let two_lines = format!("{SECRET}\n{SECRET}");
    for (name, value) in [
        ("HEADWARDEN_OIDC_CLIENT_SECRET", two_lines.as_str()),
        ("HEADWARDEN_OIDC_CLIENT_SECRT", SECRET),
        ("HEADWARDEN_HEADSCALE_API_KEY", &two_lines),
        ("HEADWARDEN_HEADSCALE_ISSUER_CLIENT_SECRET", &two_lines),
        (
            "HEADWARDEN_HEADSCALE_URL",
            &format!("http://a:{SECRET}@127.0.0.1:8080"),
        ),
        (
            "HEADWARDEN_OIDC_EXTRA_PARAMS",
            &format!("{{ client_secret: {SECRET} }}"),
        ),
    ] {
        let (code, said) = checked(good, &[(name, value)]);
        assert!(!said.contains(&SECRET[..12]), "{name} is told:\n{said}");
        assert_eq!(code, Some(2), "{name}: {said}");
    }
}
