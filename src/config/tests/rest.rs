//! Sessions, access rules, API roles, limits and logging.

use super::*;
use crate::domain::identity_field::preset;

#[test]
fn sessions_have_limits_and_live_in_memory() {
    refused(
        r#"
        session | {"store": "disk"} | session.store | write memory or redis
        session | {"store": "redis"} | session.redis.url | is required
        session | {"idle_timeout": "8"} | session.idle_timeout | not a duration
        session | {"idle_timeout": "1s"} | session.idle_timeout | between 1m and
        session | {"idle_timeout": "8d"} | session.idle_timeout | longer than session.lifetime
        session | {"lifetime": "-1h"} | session.lifetime | not a duration
        session | {"recheck": "often"} | session.recheck | not a duration
        session | {"recheck": "0s"} | session.recheck | between 1s and
        session | {"recheck": "8d"} | session.recheck | longer than session.lifetime
        session | {"recheck_grace": "-1s"} | session.recheck_grace | not a duration
        session | {"recheck_grace": "8d"} | session.recheck_grace | between 0s and 7days
        session | {"capacity": 0} | session.capacity | between 100 and
        session | {"capacity": -5} | session.capacity | whole number
        session | {"capacity": 1.5} | session.capacity | whole number
        "#,
    );
    warned(
        &[("session", json!({"store": "memory", "recheck": "29s"}))],
        "asks the provider this often",
    );
    let session = good(&[(
        "session",
        json!({"idle_timeout": "30m", "lifetime": "1d 12h"}),
    )])
    .session;
    assert_eq!(session.limits.lifetime, Duration::from_hours(36));
    let minutes = Duration::from_mins;
    for (written, every, grace) in [
        (json!({}), minutes(5), minutes(15)),
        // Where people stay for less than the default, nobody is checked again.
        (
            json!({"lifetime": "1m", "idle_timeout": "1m"}),
            minutes(5),
            minutes(15),
        ),
        (
            json!({"recheck": "30s", "recheck_grace": "0s"}),
            Duration::from_secs(30),
            Duration::ZERO,
        ),
        (
            json!({"recheck": "7d", "recheck_grace": "7d"}),
            Duration::from_hours(168),
            Duration::from_hours(168),
        ),
    ] {
        let found = good(&[("session", written.clone())]).session.recheck;
        assert_eq!((found.every, found.grace), (every, grace), "{written}");
    }
}

/// A session section with the store of replicas, and `more` below `redis`.
fn shared(more: &Value) -> Value {
    let mut session = json!({"store": "redis", "redis": {"url": "redis://127.0.0.1:6379"}});
    for (key, value) in more.as_object().unwrap() {
        if key == "store_grace" {
            session[key] = value.clone();
        } else {
            session["redis"][key] = value.clone();
        }
    }
    session
}

/// What is below `redis`, which key is blamed, and with what words.
fn impossible_stores() -> Vec<(Value, &'static str, &'static str)> {
    vec![
        (json!({"url": "127.0.0.1:6379"}), "url", "not a valid URL"),
        (
            json!({"url": "http://127.0.0.1"}),
            "url",
            "must begin with redis://",
        ),
        (json!({"url": "redis://"}), "url", "session.redis.url"),
        (
            json!({"url": "redis://:canary@127.0.0.1"}),
            "url",
            "password_path",
        ),
        (
            json!({"url": "redis://canary:canary@h"}),
            "url",
            "password_path",
        ),
        (
            json!({"url": "rediss://h/#insecure"}),
            "url",
            "query or a fragment",
        ),
        (
            json!({"url": "rediss://h/?a=b"}),
            "url",
            "query or a fragment",
        ),
        (
            json!({"url": "redis://127.0.0.1/x"}),
            "url",
            "number of a database",
        ),
        (
            json!({"url": "redis://127.0.0.1/-1"}),
            "url",
            "number of a database",
        ),
        (
            json!({"topology": "ring"}),
            "topology",
            "one, sentinel or cluster",
        ),
        (
            json!({"topology": "sentinel"}),
            "sentinel_name",
            "is required",
        ),
        (
            json!({"sentinel_name": "primary"}),
            "sentinel_name",
            "topology sentinel only",
        ),
        (
            json!({"nodes": ["b:6379"]}),
            "nodes",
            "topology: sentinel or",
        ),
        (
            json!({"topology": "cluster", "nodes": ["redis://b"]}),
            "nodes[0]",
            "host and a port",
        ),
        (
            json!({"topology": "cluster", "nodes": ["u@b:1"]}),
            "nodes[0]",
            "host and a port",
        ),
        (
            json!({"topology": "cluster", "url": "redis://127.0.0.1/3"}),
            "url",
            "database 0 only",
        ),
        (json!({"ca_path": "/ca.pem"}), "ca_path", "not rediss://"),
        (json!({"password": "changeme"}), "password", "placeholder"),
        (
            json!({"password_path": "/run/nothing"}),
            "password_path",
            "cannot be read",
        ),
        (json!({"prefix": ""}), "prefix", "1 to 64"),
        (json!({"prefix": "a b"}), "prefix", "1 to 64"),
        (json!({"timeout": "1m"}), "timeout", "between 50ms and 10s"),
        (json!({"store_grace": "2h"}), "", "between 0s and 1h"),
    ]
}

#[test]
fn a_store_for_many_replicas_has_a_place_and_bounds() {
    for (more, key, words) in impossible_stores() {
        let problems = bad(&[("session", shared(&more))]);
        let text = Problems(&problems).to_string();
        assert_eq!(problems.len(), 1, "{more}:\n{text}");
        let at = match key {
            "" => "session.store_grace".to_owned(),
            key => format!("session.redis.{key}"),
        };
        assert_eq!(problems[0].key, at, "{more}:\n{text}");
        assert!(text.contains(words), "{more}: {words:?} is not in\n{text}");
    }
}

#[test]
fn a_store_for_many_replicas_is_what_was_written_and_warns_of_open_ways() {
    let session = good(&[(
        "session",
        json!({"store": "redis", "store_grace": "30s", "redis": {
            "url": "rediss://[2001:db8::1]/2", "username": "hw", "password_path": "/run/good",
            "topology": "sentinel", "sentinel_name": "primary", "nodes": ["b", "c:26380"],
            "prefix": "hw:staging", "timeout": "200ms", "ca_path": "/ca.pem"}}),
    )])
    .session;
    let Store::Redis(redis) = session.store else {
        panic!("{session:?}")
    };
    let node = |host: &str, port| (host.to_owned(), port);
    assert_eq!(
        redis.nodes,
        [node("2001:db8::1", 6379), node("b", 6379), node("c", 26380)]
    );
    assert!(redis.tls && redis.database == 2 && redis.password.is_some());
    assert_eq!(redis.grace, Duration::from_secs(30));
    for (url, words) in [
        ("redis://redis.internal", "can be read on the way"),
        ("rediss://redis.internal", "can end sessions"),
    ] {
        warned(&[("session", shared(&json!({"url": url})))], words);
    }
    warned(
        &[("session", json!({"store": "memory", "store_grace": "1m"}))],
        "mean nothing with the store memory",
    );
    for local in [
        "redis://127.0.0.1",
        "redis://localhost:1",
        "redis://[::1]/1",
    ] {
        let settings = good(&[("session", shared(&json!({"url": local})))]);
        assert!(
            settings.warnings.is_empty(),
            "{local}: {:?}",
            settings.warnings
        );
    }
}

#[test]
fn only_a_page_can_be_opened_and_only_for_reading() {
    refused(
        r#"
        open | ["/logo.png"] | open[0] | for example
        open | ["POST /logo.png"] | open[0] | for example
        open | ["GET logo.png"] | open[0] | canonical
        open | ["GET /a/../b"] | open[0] | canonical
        open | ["GET /a?b"] | open[0] | canonical
        open | ["GET /web/**"] | open[0] | no star
        open | ["GET /api/v1/node"] | open[0] | another door
        open | ["GET /metrics"] | open[0] | another door
        open | ["GET /register/hskey-authreq-0123456789abcdef01234567"] | open[0] | another door
        "#,
    );
    let settings = good(&[("open", json!(["GET /logo.png", "GET /robots.txt"]))]);
    assert_eq!(settings.open[1].path, "/robots.txt");
}

fn what_is_told(written: &Value, names: &[&str], count: usize) {
    let upstream = "http://127.0.0.1:3000";
    let rule = json!({"path": "/a", "upstream": upstream, "identity_headers": written});
    let fields = &good(&[("access", json!([rule]))]).access[0].identity_headers;
    assert_eq!(fields.len(), count, "{written}");
    for name in names {
        assert!(fields.iter().any(|field| field.name.is(name)), "{name}");
    }
}

#[test]
fn an_assertion_is_for_the_upstream_or_for_whom_the_operator_says() {
    for (upstream, more, audience) in [
        ("http://127.0.0.1:3000", json!({}), None),
        ("http://127.0.0.1:3000", json!({"assertion": false}), None),
        (
            "http://127.0.0.1:3000",
            json!({"assertion": true}),
            Some("http://127.0.0.1:3000"),
        ),
        (
            "http://127.0.0.1",
            json!({"assertion": true}),
            Some("http://127.0.0.1"),
        ),
        (
            "https://ui.internal:443/",
            json!({"assertion": true}),
            Some("https://ui.internal"),
        ),
        (
            "https://ui.internal:80",
            json!({"assertion": true}),
            Some("https://ui.internal:80"),
        ),
        (
            "http://[::1]:80",
            json!({"assertion": true}),
            Some("http://[::1]"),
        ),
        (
            "http://[::1]:81",
            json!({"assertion": true}),
            Some("http://[::1]:81"),
        ),
        (
            "http://127.0.0.1:3000",
            json!({"assertion": true, "assertion_audience": "urn:x:ui"}),
            Some("urn:x:ui"),
        ),
    ] {
        let mut rule = json!({"path": "/a", "upstream": upstream});
        let rule_map = rule.as_object_mut().unwrap();
        rule_map.extend(more.as_object().unwrap().clone());
        let settings = good(&[("access", json!([rule]))]);
        assert_eq!(settings.access[0].assertion.as_deref(), audience, "{rule}");
    }
}

#[test]
fn access_rules_name_paths_and_origins() {
    refused(
        r#"
        access | [{}] | access[0].path | is required
        access | [{"path": "admin/**"}] | access[0].path | must begin with /
        access | [{"path": "/a*"}] | access[0].path | last segment
        access | [{"path": "/a/../b"}] | access[0].path | never match
        access | [{"path": "/a?b"}] | access[0].path | not plain
        access | [{"path": "/api/v1/**"}] | access[0].path | in the api section
        access | [{"path": "/api/v2/device", "acr": ["a"], "groups": ["x"]}] | access[0].path | in the api section
        access | [{"path": "/api/v1/**", "max_auth_age": "1h", "upstream": "http://127.0.0.1:3000"}] | access[0].path | in the api section
        access | [{"path": "/.headwarden/*"}] | access[0].path | no rule is looked at
        access | [{"path": "/ts2021"}] | access[0].path | no rule is looked at
        access | [{"path": "/register/**", "upstream": "http://127.0.0.1:3000"}] | access[0].path | only Headscale
        access | [{"path": "/a", "upstream": "127.0.0.1:3000"}] | access[0].upstream | must begin with
        access | [{"path": "/a", "upstream": "http://127.0.0.1:3000/a"}] | access[0].upstream | write http://127.0.0.1:3000
        access | [{"path": "/a", "upstream": "http://127.0.0.1:8000"}] | access[0].upstream | Headwarden itself
        access | [{"path": "/a", "upstream": "http://127.0.0.1:3000", "ca_path": "/ca"}] | access[0].upstream | not https
        access | [{"path": "/a", "ca_path": "/ca"}] | access[0].ca_path | without an upstream
        access | [{"path": "/a", "identity_headers": "yes"}] | access[0].identity_headers | none, remote, forwarded, authentik, or a map
        access | [{"path": "/a", "identity_headers": true}] | access[0].identity_headers | a word, a list of words, or a map
        access | [{"path": "/a", "identity_headers": {"X-User": {"username": null}}}] | access[0].identity_headers | put a template in quotes
        access | [{"path": "/a", "identity_headers": []}] | access[0].identity_headers | an empty list tells nothing
        access | [{"path": "/a", "identity_headers": {}}] | access[0].identity_headers | write none to tell nothing
        access | [{"path": "/a", "identity_headers": ["remote", "none"]}] | access[0].identity_headers[1] | not one of the words
        access | [{"path": "/a", "identity_headers": ["remote", "remote"]}] | access[0].identity_headers[1] | stands in the list already
        access | [{"path": "/a", "identity_headers": {"X-User": "{user}"}}] | access[0].identity_headers.X-User | did you mean {username}?
        access | [{"path": "/a", "identity_headers": {"X-User": "{nobody}"}}] | access[0].identity_headers.X-User | {username}, {email}, {name}, {groups}, {subject}, {issuer}
        access | [{"path": "/a", "identity_headers": {"X-User": "username"}}] | access[0].identity_headers.X-User | names no claim
        access | [{"path": "/a", "identity_headers": {"X-User": null}}] | access[0].identity_headers.X-User | names no claim
        access | [{"path": "/a", "identity_headers": {"X-User": "{username}{email}"}}] | access[0].identity_headers.X-User | a punctuation mark between them
        access | [{"path": "/a", "identity_headers": {"X-User": "{groups:/}"}}] | access[0].identity_headers.X-User | {groups:|}
        access | [{"path": "/a", "identity_headers": {"X_User": "{username}"}}] | access[0].identity_headers.X_User | letters, digits and single hyphens
        access | [{"path": "/a", "identity_headers": {"Cookie": "{username}"}}] | access[0].identity_headers.Cookie | a meaning of its own
        access | [{"path": "/a", "identity_headers": {"X-Forwarded-For": "{username}"}}] | access[0].identity_headers.X-Forwarded-For | not who somebody is
        access | [{"path": "/a", "identity_headers": {"X-Headwarden-User": "{username}"}}] | access[0].identity_headers.X-Headwarden-User | set by Headwarden itself
        access | [{"path": "/a", "identity_headers": {"X-User": "{email}", "x-user": "{username}"}}] | access[0].identity_headers.x-user | in another case
        access | [{"path": "/a", "assertion": "yes"}] | access[0].assertion | true or false
        access | [{"path": "/a", "assertion": true}] | access[0].assertion | without an upstream
        access | [{"path": "/a", "upstream": "http://127.0.0.1:3000", "assertion_audience": "a"}] | access[0].assertion_audience | write assertion: true
        access | [{"path": "/a", "upstream": "http://127.0.0.1:3000", "assertion": false, "assertion_audience": "a"}] | access[0].assertion_audience | write assertion: true
        access | [{"path": "/a", "upstream": "http://127.0.0.1:3000", "assertion": true, "assertion_audience": ""}] | access[0].assertion_audience | 1 to 255
        access | [{"path": "/a", "upstream": "http://127.0.0.1:3000", "assertion": true, "assertion_audience": "a b"}] | access[0].assertion_audience | no blanks
        access | [{"path": "/api/v1/**", "acr": ["a"], "upstream": "http://127.0.0.1:3000", "assertion": true}] | access[0].path | in the api section
        access | [{"path": "/a", "groups": [""]}] | access[0].groups[0] | an empty entry
        access | [{"path": "/a", "groups": "x"}] | access[0].groups | must be a list
        "#,
    );
    asked_for_a_sign_in();
    let rules = good(&[(
        "access",
        json!([
            {"path": "/admin/**", "upstream": "http://127.0.0.1:3000", "groups": ["a"], "identity_headers": "remote"},
            {"path": "/register/**", "users": ["a@b.example"]},
        ]),
    )]);
    assert!(rules.warnings.is_empty());
    assert_eq!(
        rules.access[0].upstream.as_ref().unwrap().authorities(),
        "127.0.0.1:3000"
    );
    assert_eq!(rules.access[0].identity_headers, preset("remote").unwrap());
    assert!(rules.access[1].identity_headers.is_empty());
    what_is_told(
        &json!(["remote", "authentik"]),
        &["Remote-User", "X-authentik-uid"],
        9,
    );
    what_is_told(&json!({"X-Who": "{name} <{email}>"}), &["X-Who"], 1);
    what_is_told(&json!("none"), &[], 0);
    warned(
        &[("access", json!([{"path": "/a/**"}, {"path": "/a/b"}]))],
        "the rule /a/b (access[1], line 1) is never reached",
    );
    let open = ("open", json!(["GET /a/logo.png"]));
    warned(
        &[
            open.clone(),
            ("access", json!([{"path": "/a/**", "groups": ["x"]}])),
        ],
        "/a/logo.png needs no session",
    );
    for fine in [
        json!([{"path": "/a/**"}, {"path": "/a/logo.png", "groups": ["x"]}]),
        json!([{"path": "/b/**", "users": ["a@b.example"]}]),
    ] {
        let settings = good(&[open.clone(), ("access", fine)]);
        let told = |text: &String| text.contains("needs no session");
        assert!(
            !settings.warnings.iter().any(told),
            "{:?}",
            settings.warnings
        );
    }
}

fn asked_for_a_sign_in() {
    refused(
        r#"
        access | [{"path": "/a", "max_auth_age": "0s"}] | access[0].max_auth_age | between 1m and
        access | [{"path": "/a", "max_auth_age": "59s"}] | access[0].max_auth_age | between 1m and
        access | [{"path": "/a", "max_auth_age": "soon"}] | access[0].max_auth_age | not a duration
        access | [{"path": "/a", "max_auth_age": 300}] | access[0].max_auth_age | 30s, 5m
        access | [{"path": "/a", "acr": []}] | access[0].acr | delete the line
        access | [{"path": "/a", "amr": []}] | access[0].amr | delete the line
        access | [{"path": "/a", "acr": ["a b"]}] | access[0].acr[0] | has a blank
        access | [{"path": "/a", "amr": ["mfa", ""]}] | access[0].amr[1] | an empty entry
        access | [{"path": "/a", "amr": "mfa"}] | access[0].amr | must be a list
        access | [{"path": "/a", "max_auth_age": "8d"}] | access[0].max_auth_age | longer than session.lifetime
        headscale.issuer.ssh_acr | [] | headscale.issuer.ssh_acr | delete the line
        headscale.issuer.ssh_amr | ["a\tb"] | headscale.issuer.ssh_amr[0] | control character
        "#,
    );
    let long = "a".repeat(101);
    let many: Vec<String> = (0..17).map(|n| n.to_string()).collect();
    for list in [json!([long]), json!(many)] {
        let problems = bad(&[("access", json!([{"path": "/a", "acr": list}]))]);
        assert_eq!(problems.len(), 1, "{}", Problems(&problems));
    }
    let settings = good(&[
        (
            "access",
            json!([
                {"path": "/a", "max_auth_age": "10m", "acr": ["x", "y"], "amr": ["mfa"]},
                {"path": "/api/v1/**", "max_auth_age": "1h"},
                {"path": "/b"},
            ]),
        ),
        ("headscale.issuer.ssh_amr", json!(["mfa"])),
    ]);
    let ages = settings.access.iter().map(|rule| rule.assurance.max_age);
    let ages: Vec<_> = ages.collect();
    assert_eq!(
        ages,
        [
            Some(Duration::from_mins(10)),
            Some(Duration::from_hours(1)),
            None
        ]
    );
    assert_eq!(settings.access[0].assurance.acr_values(), ["x", "y"]);
    assert_eq!(settings.access[0].assurance.amr_values(), ["mfa"]);
    assert!(settings.access[2].assurance.asks_nothing());
    let SignIn::Issuer(issuer) = settings.headscale.sign_in else {
        panic!("issuer mode")
    };
    assert_eq!(issuer.ssh.max_age, Some(Duration::from_mins(5)));
    assert_eq!(issuer.ssh.amr_values(), ["mfa"]);
    warned(
        &[
            ("open", json!(["GET /a/logo.png"])),
            ("access", json!([{"path": "/a/**", "amr": ["mfa"]}])),
        ],
        "/a/logo.png needs no session",
    );
}

#[test]
fn a_snapshot_has_a_file_of_its_own() {
    refused(
        r#"
        session | {"snapshot_path": "/a", "store": "redis", "redis": {"url": "redis://127.0.0.1:1/0"}} | session.snapshot_path | leave it out
        session | {"snapshot_path": ""} | session.snapshot_path | is empty
        session | {"snapshot_path": "/var/lib/headwarden/keys.json"} | session.snapshot_path | a key of ours
        session | {"snapshot_path": "/var/lib/headwarden/issuer_key.json"} | session.snapshot_path | a key of ours
        session | {"snapshot_path": "/var/lib/headwarden/sessions", "store": "redis", "redis": {"url": "redis://127.0.0.1:6379"}} | session.snapshot_path | means nothing with session.store: redis
        "#,
    );
    let path = "/var/lib/headwarden/sessions";
    let session = good(&[("session", json!({"snapshot_path": path}))]).session;
    assert_eq!(session.snapshot_path, Some(path.into()));
    assert_eq!(good(&[]).session.snapshot_path, None);
}

#[test]
fn groups_of_the_policy_have_names_of_their_own_and_need_a_key() {
    refused(
        r#"
        policy_sync | {"groups": [{}]} | policy_sync.groups[0].from | is required
        policy_sync | {"groups": [{"name": "a", "from": []}]} | policy_sync.groups[0].from | is required
        policy_sync | {"groups": [{"name": "a:b", "from": ["x"]}]} | policy_sync.groups[0].name | no name that is safe
        policy_sync | {"groups": [{"name": "a\" b", "from": ["x"]}]} | policy_sync.groups[0].name | letters, digits
        policy_sync | {"groups": [{"from": ["\u7ba1"]}]} | policy_sync.groups[0].from[0] | give the entry a name
        policy_sync | {"groups": [{"from": ["Team A", "team-a"]}]} | policy_sync.groups[0] | group:team-a is what policy_sync.groups[0] makes
        policy_sync | {"groups": [{"name": "net", "from": ["x"]}, {"from": ["/Net"]}]} | policy_sync.groups[1] | group:net is what policy_sync.groups[0] makes
        policy_sync | {"groups": [{"name": "net", "from": ["x"]}, {"name": "group:net", "from": ["y"]}]} | policy_sync.groups[1] | one entry with a name
        policy_sync | {"groups": {"group:a": ["x"]}} | policy_sync.groups | must be a list
        policy_sync | {"interval": "1s"} | policy_sync.interval | between 30s and 1day
        policy_sync | {"forget_after": "1h"} | policy_sync.forget_after | between 1day and
        policy_sync | {"state_path": "/var/lib/headwarden/keys.json"} | policy_sync.state_path | the same file
        "#,
    );
    let groups = json!([{"name": "admins", "from": ["x"]}, {"from": ["vpn-*", "/staff", "staff"]}]);
    let sync = good(&[("policy_sync.groups", groups.clone())]).policy_sync;
    assert!(sync.is_on() && !sync.sources.exact && !sync.dry_run);
    // Two groups where the slash counts, which cannot have one name.
    let exact = ("oidc.exact_group_names", json!(true));
    let problems = bad(&[("policy_sync.groups", groups.clone()), exact.clone()]);
    let refused = Problems(&problems).to_string();
    assert!(refused.contains("group:staff is what"), "{refused}");
    let one = json!([{"from": ["/staff"]}]);
    let one = good(&[("policy_sync.groups", one), exact]).policy_sync;
    assert!(one.sources.exact);
    assert_eq!(sync.sources.entries.len(), 2);
    assert!(!good(&[]).policy_sync.is_on());
    for (key, value, problem) in [
        ("headscale.api_key", json!(null), "headscale.api_key_path"),
        (
            "headscale.sign_in",
            json!("none"),
            "headscale.sign_in: none",
        ),
    ] {
        let problems = bad(&[("policy_sync.groups", groups.clone()), (key, value)]);
        let refused = Problems(&problems).to_string();
        assert!(refused.contains(problem), "{refused}");
    }
    warned(
        &[("policy_sync.dry_run", json!(true))],
        "does nothing without policy_sync.groups",
    );
}

#[test]
fn api_roles_need_a_key() {
    refused(
        r#"
        api | {"bearer": "maybe"} | api.bearer | allow or deny
        api | {"bearer": true} | api.bearer | put it in quotes
        api | {"admins": "x"} | api.admins | must be a list
        "#,
    );
    let api = good(&[(
        "api",
        json!({"admins": ["a"], "viewers": ["b"], "bearer": "deny"}),
    )])
    .api;
    assert_eq!(
        (api.admins, api.viewers, api.bearer),
        (vec!["a".into()], vec!["b".into()], false)
    );
    warned(
        &[
            ("api", json!({"admins": ["a"]})),
            ("headscale.api_key", json!(null)),
        ],
        "mean nothing without",
    );
}

#[test]
fn a_key_is_renewed_where_it_can_be_kept_and_in_time() {
    refused(
        r#"
        headscale.api_key_rotate | {"enabled": true} | headscale.api_key_rotate.enabled | needs headscale.api_key_path
        headscale.api_key_rotate | {"enabled": "yes"} | headscale.api_key_rotate.enabled | true or false
        headscale.api_key_rotate | {"before": "soon"} | headscale.api_key_rotate.before | not a duration
        headscale.api_key_rotate | {"before": "1m"} | headscale.api_key_rotate.before | between 1h and
        headscale.api_key_rotate | {"before": "366d"} | headscale.api_key_rotate.before | between 1h and
        headscale.api_key_rotate | {"lifetime": "11y"} | headscale.api_key_rotate.lifetime | between 1h and
        headscale.api_key_rotate | {"after": "1d"} | headscale.api_key_rotate.after | there is no such key
        "#,
    );
    let keyed = |path: &str, rotate: Value| {
        [
            ("headscale.api_key", Value::Null),
            ("headscale.api_key_path", json!(path)),
            ("headscale.api_key_rotate", rotate),
        ]
    };
    for (path, rotate, key, words) in [
        (
            "/run/good",
            json!({"enabled": true, "before": "30d", "lifetime": "59d"}),
            "headscale.api_key_rotate.lifetime",
            "twice as long",
        ),
        (
            "/run/credentials/headwarden.service/key",
            json!({"enabled": true}),
            "headscale.api_key_rotate.enabled",
            "nobody can write",
        ),
        (
            "/run/secrets/key",
            json!({"enabled": true}),
            "headscale.api_key_rotate.enabled",
            "nobody can write",
        ),
    ] {
        let problems = bad(&keyed(path, rotate.clone()));
        let found = problems.iter().find(|problem| problem.key == key);
        let found = found.unwrap_or_else(|| panic!("{path} {rotate}: {}", Problems(&problems)));
        assert!(
            found.to_string().contains(words),
            "{path} {rotate}: {found}"
        );
    }
    for (rotate, expected) in [
        (json!({"enabled": false, "before": "1h"}), None),
        (json!({}), None),
        (json!({"enabled": true}), Some((30, 90))),
        (
            json!({"enabled": true, "before": "10d", "lifetime": "20d"}),
            Some((10, 20)),
        ),
    ] {
        let renewal = good(&keyed("/run/good", rotate.clone())).headscale.renewal;
        let days = |time: Duration| time.as_secs() / 86_400;
        let found = renewal.map(|it| (days(it.before), days(it.lifetime)));
        assert_eq!(found, expected, "{rotate}");
    }
}

#[test]
fn a_page_of_the_api_is_one_of_a_rule() {
    let access = json!([{"path": "/web/**"}, {"path": "/admin/*"}]);
    let with = |from: Value| [("access", access.clone()), ("api", json!({ "from": from }))];
    for (from, key, words) in [
        (json!(["/web"]), "api.from[0]", "of no rule in access"),
        (
            json!(["/web/**", "/web/*"]),
            "api.from[1]",
            "of no rule in access",
        ),
        (json!(["/Web/**"]), "api.from[0]", "exactly as it is there"),
        (json!("/web/**"), "api.from", "must be a list"),
        (json!([7]), "api.from[0]", ""),
    ] {
        let problems = bad(&with(from.clone()));
        let text = Problems(&problems).to_string();
        assert_eq!(
            (problems.len(), problems[0].key.as_str()),
            (1, key),
            "{from}: {text}"
        );
        assert!(text.contains(words), "{from}: {text}");
    }
    let from = good(&with(json!(["/admin/*", "/web/**"]))).api.from;
    assert_eq!(from, ["/admin/*", "/web/**"]);
    // Without rules there is no page.
    let alone = bad(&[("api", json!({"from": ["/web/**"]}))]);
    assert_eq!(alone[0].key, "api.from[0]");
}

#[test]
fn numbers_and_logging_have_bounds() {
    refused(
        r#"
        workers | 0 | workers | between 1 and 1024
        shutdown | {"grace": "2h"} | shutdown.grace | between 0s and 1h
        limits | {"connections_per_address": 0} | limits.connections_per_address | between 1 and
        limits | {"tunnels_per_minute": "x"} | limits.tunnels_per_minute | whole number
        limits | {"open_requests_per_minute": 9999999} | limits.open_requests_per_minute | between 1 and
        limits | {"api_requests_per_minute": 0} | limits.api_requests_per_minute | between 1 and
        limits | {"sign_ins_per_minute": 0} | limits.sign_ins_per_minute | between 1 and
        limits | {"callbacks_per_minute": -1} | limits.callbacks_per_minute | whole number
        limits | {"registrations_per_minute": "10/s"} | limits.registrations_per_minute | whole number
        limits | {"logouts_per_minute": 0} | limits.logouts_per_minute | between 1 and
        limits | {"header_timeout": "1h"} | limits.header_timeout | between 1s and 2m
        limits | {"keepalive_timeout": "0s"} | limits.keepalive_timeout | between 1s and 1h
        log | {"format": "xml"} | log.format | human or json
        log | {"level": "infoo"} | log.level | error, warn, info
        log | {"level": "info,x=loud"} | log.level | error, warn, info
        "#,
    );
    let log = good(&[(
        "log",
        json!({"format": "json", "level": "warn,headwarden::oidc=debug"}),
    )])
    .log;
    assert!(log.json);
    assert_eq!(good(&[("workers", json!(8))]).workers, Some(8));
}

#[test]
fn an_audit_log_of_its_own_has_a_file_or_standard_output_and_names_people_only_there() {
    refused(
        r#"
        audit | {"path": "audit.jsonl"} | audit.path | not the absolute path of a file
        audit | {"path": "/"} | audit.path | not the absolute path of a file
        audit | {"path": " "} | audit.path | the path is empty
        audit | {"path": "/var/lib/headwarden/keys.json"} | audit.path | the same file as another one
        audit | {"user_names": true} | audit.user_names | give it a file of its own
        audit | {"user_names": "yes"} | audit.user_names | true or false
        "#,
    );
    let path = "/var/log/headwarden/audit.jsonl";
    for (written, place, user_names) in [
        (json!({}), AuditPlace::Log, false),
        (json!({"user_names": false}), AuditPlace::Log, false),
        (json!({"path": "stdout"}), AuditPlace::Stdout, false),
        (
            json!({"path": path, "user_names": true}),
            AuditPlace::File(path.into()),
            true,
        ),
    ] {
        let audit = good(&[("audit", written.clone())]).audit;
        assert_eq!(
            (audit.place, audit.user_names),
            (place, user_names),
            "{written}"
        );
    }
}

#[test]
fn off_boarding_needs_an_api_a_user_and_a_file_of_its_own() {
    refused(
        r#"
        offboarding | {"after": "8d"} | offboarding.after | between 0s and 7days
        offboarding | {"after": "soon"} | offboarding.after | not a duration
        offboarding | {"most": 0} | offboarding.most | between 1 and
        offboarding | {"expire_nodes": "yes"} | offboarding.expire_nodes | true or false
        offboarding | {"state_path": ""} | offboarding.state_path | is empty
        offboarding | {"state_path": "/var/lib/headwarden/keys.json"} | offboarding.state_path | another one of ours
        offboarding | {"state_path": "/var/lib/headwarden/issuer_key.json"} | offboarding.state_path | another one of ours
        "#,
    );
    let on = ("offboarding.expire_nodes", json!(true));
    for (path, value, words) in [
        (
            "headscale.api_key",
            json!(null),
            "write headscale.api_key_path",
        ),
        (
            "headscale.sign_in",
            json!("none"),
            "users are headscale's own",
        ),
    ] {
        let problems = bad(&[("offboarding", json!({})), on.clone(), (path, value)]);
        assert_eq!(problems.len(), 1, "{path}: {}", Problems(&problems));
        assert_eq!(problems[0].key, "offboarding.expire_nodes");
        let text = Problems(&problems).to_string();
        assert!(text.contains(words), "{text}");
    }
    let redis = json!({"store": "redis", "redis": {"url": "redis://127.0.0.1:6379"}});
    let path = json!({"state_path": "/var/lib/headwarden/other"});
    let problems = bad(&[("session", redis.clone()), ("offboarding", path)]);
    assert!(
        Problems(&problems)
            .to_string()
            .contains("replicas share it")
    );
    good(&[
        ("session", redis),
        ("offboarding", json!({"expire_nodes": true})),
    ]);
    let on = json!({"expire_nodes": true, "after": "0s", "most": 3, "dry_run": true});
    let settings = good(&[("offboarding", on)]);
    let found = &settings.offboarding;
    assert!(found.expire_nodes && found.dry_run && found.refused_refresh);
    assert_eq!((found.after, found.most), (Duration::ZERO, 3));
    assert!(
        settings
            .warnings
            .iter()
            .any(|text| text.contains("no offline_access"))
    );
    let off = good(&[]);
    assert!(!off.offboarding.expire_nodes);
    assert!(
        !off.warnings
            .iter()
            .any(|text| text.contains("offline_access"))
    );
}
