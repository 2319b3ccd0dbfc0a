//! Secrets, the provider, and who may pass.

use super::*;

#[test]
fn secrets_are_real_secrets_from_one_place() {
    let secret = "oidc.client_secret";
    let path = "oidc.client_secret_path";
    refused(
        r#"
        oidc.client_secret | null | oidc.client_secret | set HEADWARDEN_OIDC_CLIENT_SECRET
        oidc.client_secret | "" | oidc.client_secret | the secret is empty
        oidc.client_secret | "..." | oidc.client_secret | placeholder
        oidc.client_secret | "changeme" | oidc.client_secret | placeholder
        oidc.client_secret | "ChangeMe" | oidc.client_secret | placeholder
        oidc.client_secret | " test " | oidc.client_secret | placeholder
        oidc.client_secret | "Headwarden" | oidc.client_secret | placeholder
        oidc.client_secret | "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx" | oidc.client_secret | placeholder
        headscale.issuer.client_secret | "redacted" | headscale.issuer.client_secret | placeholder
        headscale.issuer.client_secret | "aaaaaaaaaaaaaaaaaaaa" | headscale.issuer.client_secret | placeholder
        oidc.client_secret | "your_client_secret" | oidc.client_secret | placeholder
        oidc.client_secret | "${SECRET_OF_OURS}" | oidc.client_secret | not expanded here
        oidc.client_secret | "canary\u0007canary" | oidc.client_secret | control character
        oidc.client_secret | 12345 | oidc.client_secret | put it in quotes
        oidc.client_secret_path | "/run/good" | oidc.client_secret | only one of them
        headscale.issuer.client_secret | "canary" | headscale.issuer.client_secret | openssl rand
        headscale.issuer.client_secret | null | headscale.issuer.client_secret | is required
        headscale.api_key | "<key>" | headscale.api_key | placeholder
        headscale.api_key_path | "/run/good" | headscale.api_key | only one of them
        "#,
    );
    for (file, key, words) in [
        ("/run/missing", path, "cannot be read"),
        ("/run/empty", path, "the secret is empty"),
        ("/run/lines", path, "several lines"),
        ("/run/placeholder", path, "placeholder"),
        ("/run/binary", path, "no text"),
        (
            "${CREDENTIALS_DIRECTORY}/x",
            path,
            "CREDENTIALS_DIRECTORY is not set",
        ),
        ("/run/$/x", path, "without the name"),
        (" ", path, "the path is empty"),
        (CANARY, path, "takes the path of a file"),
    ] {
        let problems = bad(&[(secret, json!(null)), (path, json!(file))]);
        let text = Problems(&problems).to_string();
        assert_eq!(
            (problems.len(), problems[0].key.as_str()),
            (1, key),
            "{file}: {text}"
        );
        assert!(text.contains(words), "{file}: {text}");
    }
    let from = |file: &str| [(secret, json!(null)), (path, json!(file))];
    assert_eq!(good(&from("/run/good")).oidc.client_secret.expose(), CANARY);
    warned(&from("/run/open"), "mode 0644");
}

#[test]
fn paths_of_secrets_may_name_variables() {
    let tree = changed(&[
        ("oidc.client_secret", json!(null)),
        (
            "oidc.client_secret_path",
            json!("${CREDENTIALS_DIRECTORY}/good"),
        ),
    ]);
    let settings = read_with(&tree.to_string(), &[("CREDENTIALS_DIRECTORY", "/run")]).unwrap();
    assert_eq!(settings.oidc.client_secret.expose(), CANARY);
}

#[test]
fn the_provider_is_named_byte_for_byte() {
    let key = "oidc.issuer";
    refused(
        r#"
        oidc.issuer | null | oidc.issuer | is required
        oidc.issuer | "http://id.company/" | oidc.issuer | must be https
        oidc.issuer | "id.company" | oidc.issuer | must begin with https://
        oidc.issuer | "https://id.company/?a=b" | oidc.issuer | no query
        oidc.issuer | "https://id.company/#a" | oidc.issuer | no query
        oidc.issuer | "https://a:canary@id.company/" | oidc.issuer | user name
        oidc.issuer | "https://id.company/.well-known/openid-configuration" | oidc.issuer | not the issuer
        oidc.issuer | "https://id.company/application/o/<slug>/" | oidc.issuer | placeholder
        oidc.client_id | null | oidc.client_id | is required
        oidc.client_id | "..." | oidc.client_id | placeholder
        oidc.client_id | "a b" | oidc.client_id | visible ASCII
        oidc.timeout | "0s" | oidc.timeout | between 1s and 2m
        oidc.timeout | 10 | oidc.timeout | 30s, 5m, 8h or 7d
        oidc.username_claim | "a b" | oidc.username_claim | name of a claim
        oidc.groups_claim | "" | oidc.groups_claim | name of a claim
        oidc.ca_path | "${NO}" | oidc.ca_path | NO is not set
        "#,
    );
    for issuer in [
        "https://id.company",
        "https://id.company/a//b/",
        "http://127.0.0.1:9000/x/",
    ] {
        assert_eq!(good(&[(key, json!(issuer))]).oidc.issuer.as_str(), issuer);
    }
    warned(
        &[(key, json!("https://a.company/application/o/h"))],
        "end in a slash",
    );
}

#[test]
fn tokens_are_not_signed_with_a_secret_that_can_be_guessed() {
    let hs256 = ("oidc.allow_hs256", json!(true));
    let secret = |length: usize| {
        let text: String = CANARY.chars().cycle().take(length).collect();
        ("oidc.client_secret", json!(text))
    };
    for length in [16, 31] {
        let problems = bad(&[hs256.clone(), secret(length)]);
        let text = Problems(&problems).to_string();
        assert_eq!(
            (problems.len(), problems[0].key.as_str()),
            (1, "oidc.allow_hs256")
        );
        assert!(text.contains("signing key"), "{text}");
        good(&[secret(length)]);
    }
    warned(&[hs256, secret(32)], "sign ID tokens");
}

#[test]
fn scopes_are_single_names_with_openid() {
    refused(
        r#"
        oidc.scope | [] | oidc.scope | openid is missing
        oidc.scope | ["email"] | oidc.scope | openid is missing
        oidc.scope | ["openid email"] | oidc.scope[0] | not the name of one scope
        oidc.scope | ["openid", ""] | oidc.scope[1] | an empty entry
        oidc.scope | "openid" | oidc.scope | must be a list
        oidc.scope | ["openid", 5] | oidc.scope[1] | must be a text
        "#,
    );
}

#[test]
fn extra_parameters_leave_the_protocol_alone() {
    for name in [
        "client_id",
        "redirect_uri",
        "response_type",
        "response_mode",
        "scope",
        "state",
        "nonce",
        "code_challenge",
        "code_challenge_method",
        "request",
        "request_uri",
        "prompt",
        "max_age",
        "id_token_hint",
        "login_hint",
        "State",
    ] {
        refused(&format!(
            "oidc.extra_params | {{\"{name}\": \"canary\"}} | oidc.extra_params.{name} | sets this parameter itself"
        ));
    }
    refused(
        r#"
        oidc.extra_params | {"a b": "canary"} | oidc.extra_params.a b | name of a parameter
        oidc.extra_params | {"a": 5} | oidc.extra_params.a | put it in quotes
        oidc.extra_params | ["a"] | oidc.extra_params | must be a map of texts
        "#,
    );
    let params = good(&[(
        "oidc.extra_params",
        json!({"acr_values": "mfa", "hd": null}),
    )])
    .oidc
    .extra_params;
    assert_eq!(params.len(), 2);
}

#[test]
fn pkce_stays_on_whatever_is_written() {
    for (pkce, method) in [
        (json!({"enabled": true, "method": "S256"}), Pkce::S256),
        (json!({"enabled": true}), Pkce::S256),
        (json!({"enabled": false, "method": "S256"}), Pkce::S256),
        (json!({"method": "plain"}), Pkce::Plain),
        (json!(null), Pkce::S256),
    ] {
        assert_eq!(good(&[("oidc.pkce", pkce)]).oidc.pkce, method);
    }
    warned(&[("oidc.pkce", json!({"enabled": false}))], "PKCE stays on");
    warned(
        &[("oidc.pkce", json!({"method": "plain"}))],
        "plain protects little",
    );
    refused(
        r#"
        oidc.pkce | {"method": "s256"} | oidc.pkce.method | S256 or plain
        oidc.pkce | {"enabled": "yes"} | oidc.pkce.enabled | must be true or false
        oidc.pkce | true | oidc.pkce | must be a map
        "#,
    );
}

#[test]
fn nobody_opens_a_tailnet_by_forgetting_a_line() {
    refused(
        r"
        oidc.allowed_groups | [] | oidc.allow_everyone | no rule says who may pass
        oidc.allowed_groups | null | oidc.allow_everyone | allow_everyone: true
        ",
    );
    let everyone = ("oidc.allow_everyone", json!(true));
    good(&[("oidc.allowed_groups", json!([])), everyone.clone()]);
    warned(&[everyone], "no effect");
}

#[test]
fn rules_that_could_never_match_are_refused_or_told() {
    let (domains, users) = ("oidc.allowed_domains", "oidc.allowed_users");
    refused(
        r#"
        oidc.allowed_domains | ["@acmecorp.net"] | oidc.allowed_domains[0] | after the @ only
        oidc.allowed_domains | ["*.acmecorp.net"] | oidc.allowed_domains[0] | no patterns
        oidc.allowed_domains | ["acmecorp.net."] | oidc.allowed_domains[0] | not a domain
        oidc.allowed_domains | ["acme corp.net"] | oidc.allowed_domains[0] | not a domain
        oidc.allowed_domains | ["acmecorp。net"] | oidc.allowed_domains[0] | not a domain
        oidc.allowed_domains | [" acmecorp.net"] | oidc.allowed_domains[0] | blank
        oidc.allowed_users | ["dominic"] | oidc.allowed_users[0] | matched by e-mail
        oidc.allowed_users | ["a@b@acmecorp.net"] | oidc.allowed_users[0] | matched by e-mail
        oidc.allowed_users | ["@acmecorp.net"] | oidc.allowed_users[0] | matched by e-mail
        oidc.allowed_users | ["ann,bob@acmecorp.net"] | oidc.allowed_users[0] | matched by e-mail
        oidc.allowed_users | ["<ann@acmecorp.net"] | oidc.allowed_users[0] | matched by e-mail
        oidc.allowed_users | ["*@acmecorp.net"] | oidc.allowed_users[0] | no patterns
        oidc.allowed_groups | [""] | oidc.allowed_groups[0] | an empty entry
        oidc.allowed_groups | "headscale" | oidc.allowed_groups | must be a list
        "#,
    );
    warned(
        &[
            (domains, json!(["acmecorp.net"])),
            (users, json!(["ann@other.example"])),
        ],
        "is in no allowed domain",
    );
    warned(
        &[("oidc.email_verified_required", json!(false))],
        "count unverified",
    );
}

#[test]
fn stripping_domains_needs_exactly_one() {
    let strip = ("oidc.strip_email_domain", json!(true));
    let domains = |list: &[&str]| ("oidc.allowed_domains", json!(list));
    for list in [vec![], vec!["a.example", "b.example"]] {
        let problems = bad(&[strip.clone(), domains(&list)]);
        assert_eq!(problems[0].key, "oidc.strip_email_domain");
        assert!(
            problems[0]
                .hint
                .as_deref()
                .unwrap()
                .contains("allow_name_collisions")
        );
        let allowed = ("oidc.allow_name_collisions", json!(true));
        warned(
            &[strip.clone(), domains(&list), allowed],
            "become one user name",
        );
    }
    for (value, list, expected) in [
        (json!(true), vec!["a.example"], StripDomain::Strip),
        (
            json!(true),
            vec!["a.example", "A.Example"],
            StripDomain::Strip,
        ),
        (json!(false), vec![], StripDomain::Dot),
        (json!(null), vec![], StripDomain::Keep),
    ] {
        let settings = good(&[("oidc.strip_email_domain", value), domains(&list)]);
        assert_eq!(settings.oidc.strip_email_domain, expected);
    }
}

#[test]
fn retired_keys_say_what_to_use_instead() {
    refused(
        r#"
        oidc.expiry | "180d" | oidc.expiry | headscale.issuer.node_expiry
        oidc.map_legacy_users | true | oidc.map_legacy_users | headscale-migrate
        listen_addr | "0.0.0.0:8080" | listen_addr | listen:
        "#,
    );
}
