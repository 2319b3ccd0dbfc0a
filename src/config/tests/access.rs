//! Rules for browser paths: whom they ask, for which methods, and what their order does.

use super::*;

#[test]
fn whom_a_rule_asks_is_said_in_words_that_somebody_can_satisfy() {
    refused(
        r#"
        access | [{"path": "/a", "methods": []}] | access[0].methods | names no method
        access | [{"path": "/a", "methods": "GET"}] | access[0].methods | must be a list
        access | [{"path": "/a", "methods": ["get"]}] | access[0].methods[0] | GET, HEAD
        access | [{"path": "/a", "methods": ["GET", "TRACE"]}] | access[0].methods[1] | ever let in
        access | [{"path": "/a", "public": "yes"}] | access[0].public | true or false
        access | [{"path": "/a", "public": true, "groups": ["x"]}] | access[0].public | remove public
        access | [{"path": "/a", "public": true, "claims": {"a": ["x"]}}] | access[0].public | remove public
        access | [{"path": "/a", "public": true, "max_auth_age": "1h"}] | access[0].public | remove public
        access | [{"path": "/a", "public": true, "identity_headers": "remote"}] | access[0].public | remove public
        access | [{"path": "/register/**", "public": true}] | access[0].path | never public
        access | [{"path": "/auth", "public": true}] | access[0].path | never public
        access | [{"path": "/api/**", "public": true}] | access[0].path | never public
        access | [{"path": "/api/v1/**", "public": true}] | access[0].path | in the api section
        access | [{"path": "/swagger/**", "public": true}] | access[0].path | never public
        access | [{"path": "/a", "groups": ["a/**"]}] | access[0].groups[0] | nothing in a list
        access | [{"path": "/a", "domains": ["*"]}] | access[0].domains[0] | last label
        access | [{"path": "/a", "domains": ["a.example", "a@b.example"]}] | access[0].domains[1] | no @
        access | [{"path": "/a", "domains": ["*a.example"]}] | access[0].domains[0] | anybody can register
        access | [{"path": "/a", "users": ["*@*a.example"]}] | access[0].users[0] | anybody can register
        access | [{"path": "/a", "users": ["ann"]}] | access[0].users[0] | write name@domain
        access | [{"path": "/a", "users": ["ann@*"]}] | access[0].users[0] | last label
        access | [{"path": "/a", "claims": ["x"]}] | access[0].claims | map of lists
        access | [{"path": "/a", "claims": {"a": "x"}}] | access[0].claims.a | must be a list of texts
        access | [{"path": "/a", "claims": {"a": []}}] | access[0].claims.a | no value would do
        access | [{"path": "/a", "claims": {"a": [""]}}] | access[0].claims.a[0] | an empty entry
        access | [{"path": "/a", "claims": {"a b": ["x"]}}] | access[0].claims.a b | not the name
        access | [{"path": "/a", "claims": {"email": ["x"]}}] | access[0].claims.email | use users or domains
        access | [{"path": "/a", "claims": {"a": ["x**"]}}] | access[0].claims.a[0] | nothing in a list
        "#,
    );
    let long = "x".repeat(257);
    let many: serde_json::Map<String, Value> =
        (0..9).map(|n| (format!("c{n}"), json!(["x"]))).collect();
    let spread: Vec<Value> = (0..17)
        .map(|n| json!({"path": format!("/{n}"), "claims": {format!("c{n}"): ["x"]}}))
        .collect();
    for rules in [
        json!([{"path": "/a", "claims": {"a": [long]}}]),
        json!([{"path": "/a", "claims": many}]),
        json!(spread),
    ] {
        let problems = bad(&[("access", rules.clone())]);
        assert_eq!(problems.len(), 1, "{rules}: {}", Problems(&problems));
    }
}

#[test]
fn claims_that_rules_name_are_kept_each_once_whatever_their_values_are_written_like() {
    let settings = good(&[(
        "access",
        json!([
            {"path": "/a", "claims": {"level": [3, "4"], "staff": [true], "x": [1.5]}},
            {"path": "/b", "claims": {"https://a.b/c": ["y-*"], "level": [3]}, "methods": ["POST", "GET"]},
            {"path": "/c", "public": true},
        ]),
    )]);
    let kept = ["https://a.b/c", "level", "staff", "x"];
    assert_eq!(settings.oidc.kept_claims, kept);
    let claims = &settings.access[0].demands.claims;
    assert_eq!(claims["level"], ["3", "4"]);
    assert_eq!(claims["staff"], ["true"]);
    assert_eq!(claims["x"], ["1.5"]);
    let methods = settings.access.iter().map(|rule| rule.methods.to_string());
    let all = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";
    assert_eq!(methods.collect::<Vec<_>>(), [all, "GET, HEAD, POST", all]);
    assert!(settings.access[2].public);
    assert!(settings.warnings.is_empty(), "{:?}", settings.warnings);
    assert!(good(&[]).oidc.kept_claims.is_empty());
}

/// A rule, what is open, and the words of the warning.
#[test]
fn what_a_rule_says_in_vain_is_warned_of() {
    for (rule, open, words) in [
        (
            json!({"path": "/api/**", "groups": ["x"]}),
            json!([]),
            "in the api section",
        ),
        (
            json!({"path": "/api/*", "upstream": "http://127.0.0.1:1"}),
            json!([]),
            "in the api section",
        ),
        (json!({"path": "/api/**", "amr": ["mfa"]}), json!([]), ""),
        (json!({"path": "/api", "groups": ["x"]}), json!([]), ""),
        (json!({"path": "/apis/**", "groups": ["x"]}), json!([]), ""),
        (
            json!({"path": "/swagger/**", "upstream": "http://127.0.0.1:1"}),
            json!([]),
            "never the upstream",
        ),
        (
            json!({"path": "/swagger/**", "groups": ["x"]}),
            json!([]),
            "",
        ),
        (
            json!({"path": "/headscale.v1.HeadscaleService/**", "groups": ["x"]}),
            json!([]),
            "gRPC",
        ),
        (
            json!({"path": "/x", "methods": ["POST"]}),
            json!(["GET /x"]),
            "answered with 405",
        ),
        (
            json!({"path": "/x", "methods": ["GET"]}),
            json!(["GET /x"]),
            "",
        ),
        (
            json!({"path": "/y", "methods": ["POST"]}),
            json!(["GET /x"]),
            "",
        ),
    ] {
        let warnings = good(&[("access", json!([rule])), ("open", open)]).warnings;
        let expected = usize::from(!words.is_empty());
        assert_eq!(warnings.len(), expected, "{rule}: {warnings:?}");
        assert!(
            warnings.iter().all(|text| text.contains(words)),
            "{rule}: {warnings:?}"
        );
    }
}

/// Rules, and the words of each warning about them, in their order.
#[test]
fn rules_that_never_get_a_turn_or_take_by_surprise_are_named_with_both_places() {
    for (rules, expected) in [
        (json!([{"path": "/a/b"}, {"path": "/a/**"}]), vec![]),
        (
            json!([{"path": "/a/**"}, {"path": "/a/b"}]),
            vec![
                "the rule /a/b (access[1]) is never reached: the rule /a/** (access[0]) stands before",
            ],
        ),
        (
            json!([{"path": "/a/**", "methods": ["GET"]}, {"path": "/a/b", "methods": ["HEAD"]}]),
            vec!["is never reached"],
        ),
        (
            json!([{"path": "/a/**", "methods": ["GET"]}, {"path": "/a/b", "methods": ["POST"]}]),
            vec![],
        ),
        // Two that together leave nothing.
        (
            json!([
                {"path": "/a/**", "methods": ["GET"]},
                {"path": "/a/*", "methods": ["POST"]},
                {"path": "/a/b", "methods": ["GET", "POST"]},
            ]),
            vec!["(access[0]) and the rule /a/* for POST (access[1]) stand before it"],
        ),
        // What is more exact comes first, and asks for less: that is how exceptions are written.
        (
            json!([{"path": "/a/b/**", "public": true}, {"path": "/a/**", "groups": ["x"]}]),
            vec![],
        ),
        (
            json!([{"path": "/a"}, {"path": "/a/**", "groups": ["x"]}]),
            vec![],
        ),
        (
            json!([{"path": "/a/*", "public": true}, {"path": "/a/b/**", "groups": ["x"]}]),
            vec!["takes /a/b from it, although it asks for no session; put the stricter one first"],
        ),
        (
            json!([{"path": "/a/*", "groups": ["y"]}, {"path": "/a/b/**", "groups": ["x"]}]),
            vec![],
        ),
        (
            json!([{"path": "/a/*", "groups": ["y"]}, {"path": "/a/b/**", "groups": ["x"], "max_auth_age": "1h"}]),
            vec!["takes /a/b from it, although it asks for no sign-in of a certain kind"],
        ),
        (
            json!([
                {"path": "/a/**", "public": true, "methods": ["GET"]},
                {"path": "/a/admin/**", "groups": ["x"]},
            ]),
            vec![
                "the rule /a/** for GET, HEAD (access[0]) stands before the rule /a/admin/** (access[1]) and \
                  takes GET, HEAD from it, although it asks for no session",
            ],
        ),
        (
            json!([
                {"path": "/a/**", "methods": ["GET"]},
                {"path": "/a/admin/**", "claims": {"c": ["x"]}},
            ]),
            vec!["takes GET, HEAD from it, although it asks for no claims"],
        ),
        (
            json!([{"path": "/Admin/**", "groups": ["x"]}, {"path": "/admin/**", "groups": ["y"]}]),
            vec![
                "the rule /Admin/** (access[0]) and the rule /admin/** (access[1]) differ only in",
            ],
        ),
        (
            json!([{"path": "/a/"}, {"path": "/a"}]),
            vec!["differ only in"],
        ),
        (
            json!([{"path": "/A", "methods": ["GET"]}, {"path": "/a", "methods": ["PUT"]}]),
            vec![],
        ),
    ] {
        let warnings = good(&[("access", rules.clone())]).warnings;
        assert_eq!(warnings.len(), expected.len(), "{rules}: {warnings:?}");
        // All on one line of JSON.
        let warnings = warnings.iter().map(|text| text.replace(", line 1", ""));
        for (warning, words) in warnings.zip(expected) {
            assert!(warning.contains(words), "{rules}: {warning}");
        }
    }
}

#[test]
fn a_warning_names_the_lines_where_the_file_has_them() {
    let text = changed(&[]).to_string();
    let text = format!(
        "{},\n\"access\": [\n{{\"path\": \"/a/**\"}},\n{{\"path\": \"/a/b\"}}\n]}}",
        text.trim_end_matches('}')
    );
    let settings = read_with(&text, &[]).unwrap();
    let words =
        "the rule /a/b (access[1], line 4) is never reached: the rule /a/** (access[0], line 3)";
    assert!(
        settings.warnings[0].contains(words),
        "{:?}",
        settings.warnings
    );
}

#[test]
fn an_upstream_is_an_address_or_a_map_that_says_where_a_mistake_is() {
    refused(
        r#"
        access | [{"path": "/a", "upstream": 5}] | access[0].upstream | a text or a map
        access | [{"path": "/a", "upstream": ["x"]}] | access[0].upstream | a text or a map
        access | [{"path": "/a", "upstream": {}}] | access[0].upstream.url | is required
        access | [{"path": "/a", "upstream": {"url": "http://127.0.0.1:3000", "balanec": "first"}}] | access[0].upstream.balanec | did you mean access[0].upstream.balance
        access | [{"path": "/a", "upstream": {"url": 5}}] | access[0].upstream.url | must be a text
        access | [{"path": "/a", "upstream": {"url": "http://127.0.0.1:3000/x"}}] | access[0].upstream.url | scheme, host and port only
        access | [{"path": "/a", "upstream": {"url": "http://127.0.0.1:8000"}}] | access[0].upstream | Headwarden itself
        access | [{"path": "/a", "upstream": {"url": "http://127.0.0.1:3000", "urls": ["http://127.0.0.1:3001"]}}] | access[0].upstream.urls | in urls
        access | [{"path": "/a", "upstream": {"urls": ["http://127.0.0.1:3000"]}}] | access[0].upstream.urls | write url for one
        access | [{"path": "/a", "upstream": {"urls": ["http://127.0.0.1:3000", "http://127.0.0.1:3000"]}}] | access[0].upstream.urls[1] | once more
        access | [{"path": "/a", "upstream": {"urls": ["http://127.0.0.1:3000", "https://127.0.0.1:3001"]}}] | access[0].upstream.urls[1] | scheme of the others
        access | [{"path": "/a", "upstream": {"url": "http://127.0.0.1:3000"}, "ca_path": "/ca"}] | access[0].ca_path | write access[0].upstream.ca_path
        access | [{"path": "/a", "upstream": {"url": "http://127.0.0.1:3000", "ca_path": "/ca"}}] | access[0].upstream.url | not https
        access | [{"path": "/a", "upstream": {"url": "http://127.0.0.1:3000", "tls_server_name": "x"}}] | access[0].upstream.tls_server_name | without https
        access | [{"path": "/a", "upstream": {"url": "https://127.0.0.1:3000", "tls_server_name": "a b"}}] | access[0].upstream.tls_server_name | no certificate
        access | [{"path": "/a", "upstream": {"url": "http://127.0.0.1:3000", "connect_timeout": "2m"}}] | access[0].upstream.connect_timeout | between 1s and 1m
        access | [{"path": "/a", "upstream": {"url": "http://127.0.0.1:3000", "response_timeout": 5}}] | access[0].upstream.response_timeout | 30s, 5m
        access | [{"path": "/a/**", "upstream": {"url": "http://127.0.0.1:3000", "strip_prefix": "/a/"}}] | access[0].upstream.strip_prefix | no slash at the end
        access | [{"path": "/a/**", "upstream": {"url": "http://127.0.0.1:3000", "strip_prefix": "/"}}] | access[0].upstream.strip_prefix | whole segments
        access | [{"path": "/a/**", "upstream": {"url": "http://127.0.0.1:3000", "strip_prefix": "/b"}}] | access[0].upstream.strip_prefix | not at or below it
        access | [{"path": "/a/**", "upstream": {"url": "http://127.0.0.1:3000", "strip_prefix": "/a/b"}}] | access[0].upstream.strip_prefix | not at or below it
        access | [{"path": "/ab/**", "upstream": {"url": "http://127.0.0.1:3000", "strip_prefix": "/a"}}] | access[0].upstream.strip_prefix | not at or below it
        access | [{"path": "/a/**", "upstream": {"url": "http://127.0.0.1:3000", "add_prefix": "/a/../b"}}] | access[0].upstream.add_prefix | no dots
        access | [{"path": "/a/**", "upstream": {"url": "http://127.0.0.1:3000", "host_header": "a b"}}] | access[0].upstream.host_header | not a host
        access | [{"path": "/a/**", "upstream": {"url": "http://127.0.0.1:3000", "host_header": "a@b"}}] | access[0].upstream.host_header | not a host
        access | [{"path": "/a/**", "upstream": {"url": "http://127.0.0.1:3000", "host_header": "a,b"}}] | access[0].upstream.host_header | not a host
        access | [{"path": "/a/**", "upstream": {"url": "http://127.0.0.1:3000", "host_header": "a:0x1"}}] | access[0].upstream.host_header | not a host
        access | [{"path": "/a/**", "upstream": {"url": "http://127.0.0.1:3000", "host_header": "a/b"}}] | access[0].upstream.host_header | not a host
        access | [{"path": "/a/**", "upstream": {"url": "http://127.0.0.1:3000", "balance": "random"}}] | access[0].upstream.balance | round_robin or
        access | [{"path": "/a/**", "upstream": {"url": "http://127.0.0.1:3000", "health_check": {}}}] | access[0].upstream.health_check.path | must be a path
        access | [{"path": "/a/**", "upstream": {"url": "http://127.0.0.1:3000", "health_check": true}}] | access[0].upstream.health_check | map of keys
        access | [{"path": "/a/**", "upstream": {"url": "http://127.0.0.1:3000", "health_check": {"path": "/", "healthy_after": 0}}}] | access[0].upstream.health_check.healthy_after | between 1 and 100
        access | [{"path": "/a/**", "upstream": {"url": "http://localhost:8080", "strip_prefix": "/a"}}] | access[0].upstream | past its doors
        access | [{"path": "/a/**", "upstream": {"url": "http://0.0.0.0:8080", "strip_prefix": "/a"}}] | access[0].upstream | past its doors
        access | [{"path": "/a/**", "upstream": {"url": "http://hs.localhost:8080", "add_prefix": "/b"}}] | access[0].upstream | past its doors
        access | [{"path": "/a/**", "upstream": {"urls": ["http://[::1]:3000", "http://[::1]:8080"], "add_prefix": "/b"}}] | access[0].upstream | past its doors
        "#,
    );
    let settings = good(&[(
        "access",
        json!([
            {"path": "/a/**", "upstream": "http://127.0.0.1:3000"},
            {"path": "/b/c/**", "upstream": {
                "urls": ["https://10.0.0.7", "https://10.0.0.8:3000"], "tls_server_name": "ui.internal",
                "strip_prefix": "/b", "host_header": "upstream", "balance": "first",
                "connect_timeout": "2s", "response_timeout": "1h", "health_check": {"path": "/healthz"},
            }},
        ]),
    )]);
    let of = |place: usize| settings.access[place].upstream.as_ref().unwrap();
    assert_eq!(of(0).authorities(), "127.0.0.1:3000");
    assert!(of(0).rewrite.is_nothing() && of(0).health.is_none());
    assert_eq!(of(1).authorities(), "10.0.0.7:443, 10.0.0.8:3000");
    assert_eq!(of(1).addresses[0].host_field(), "10.0.0.7");
    assert_eq!(of(1).server_name.as_deref(), Some("ui.internal"));
    assert_eq!(of(1).rewrite.stripped(), Some("/b"));
    assert_eq!(
        (of(1).balance, &of(1).host),
        (Balance::First, &HostField::Upstream)
    );
    let check = of(1).health.as_ref().unwrap();
    assert_eq!(
        (check.interval, check.timeout),
        (Duration::from_secs(10), Duration::from_secs(5))
    );
    assert_eq!((check.healthy, check.unhealthy), (2, 3));
    assert_eq!(settings.warnings, Vec::<String>::new());
}

#[test]
fn one_address_under_two_paths_is_told_where_the_rules_ask_for_different_things() {
    let at = |path: &str, more: Value| {
        let mut rule = json!({"path": path, "upstream": {"url": "http://127.0.0.1:3000"}});
        for (key, value) in more.as_object().unwrap() {
            match rule["upstream"].as_object_mut() {
                Some(upstream) if key == "strip_prefix" => {
                    upstream.insert(key.clone(), value.clone());
                }
                _ => rule[key] = value.clone(),
            }
        }
        rule
    };
    for (one, other, told) in [
        (
            json!({"groups": ["x"]}),
            json!({"strip_prefix": "/b"}),
            true,
        ),
        (
            json!({"groups": ["x"]}),
            json!({"strip_prefix": "/b", "groups": ["x"]}),
            false,
        ),
        (json!({"groups": ["x"]}), json!({}), false),
        (
            json!({}),
            json!({"strip_prefix": "/b", "public": true}),
            true,
        ),
        (
            json!({}),
            json!({"strip_prefix": "/b", "methods": ["GET"]}),
            true,
        ),
    ] {
        let rules = json!([at("/a/**", one), at("/b/**", other)]);
        let warnings = good(&[("access", rules.clone())]).warnings;
        let found = warnings
            .iter()
            .any(|text| text.contains("lead to the same address"));
        assert_eq!(found, told, "{rules}: {warnings:?}");
    }
}
