//! The block that authentik's guide made people write.

use super::*;

/// The `oidc` block in the form of authentik's guide for Headscale: its keys, its order, its
/// indentation, comments between them and a secret explained three times.
const GUIDE: &str = r#"
oidc:
    # Wait for authentik – Headscale does not start before it answers
    only_start_if_oidc_is_available: true
    issuer: "https://authentik.company/application/o/headscale/"
    client_id: "Zq8t1v"
    # The secret, in one of three ways:
    #
    # 1. here:
    client_secret: "canary-0123456789abcdef"
    #
    # 2. in a file:
    # client_secret_path: "${CREDENTIALS_DIRECTORY}/oidc_client_secret"
    #
    # 3. in HEADSCALE_OIDC_CLIENT_SECRET

    # "openid", "profile" and "email" unless others are named
    scope: ["openid", "profile", "email", "custom"]
    # For the browser's request (optional)
    extra_params:
        domain_hint: acmecorp.net

    # Who may sign in (optional)
    allowed_domains:
        - acmecorp.net

    allowed_groups:
        - /headscale

    allowed_users:
        - dominic@acmecorp.net

    pkce:
        enabled: true
        method: S256

    # true: "user@acmecorp.net" becomes "user"
    # false: "user@acmecorp.net" becomes "user.acmecorp.net"
    strip_email_domain: true
"#;

const OURS: &str = "
server_url: https://headscale.company
trusted_proxies: [10.0.0.1/32]
headscale: { sign_in: own }
";

#[test]
fn the_block_of_authentiks_guide_is_taken_whole() {
    let settings = read_with(&format!("{OURS}{GUIDE}"), &[]).unwrap();
    let oidc = &settings.oidc;
    assert!(oidc.only_start_if_available);
    assert_eq!(
        oidc.issuer.as_str(),
        "https://authentik.company/application/o/headscale/"
    );
    assert_eq!(oidc.client_id, "Zq8t1v");
    assert_eq!(oidc.client_secret.expose(), CANARY);
    assert_eq!(oidc.scope, ["openid", "profile", "email", "custom"]);
    let hint = ("domain_hint".to_owned(), "acmecorp.net".to_owned());
    assert_eq!(oidc.extra_params, BTreeMap::from([hint]));
    assert_eq!(
        (oidc.pkce, oidc.strip_email_domain),
        (Pkce::S256, StripDomain::Strip)
    );
    let rules = &settings.rules;
    assert_eq!(rules.allowed_domains, ["acmecorp.net"]);
    assert_eq!(rules.allowed_groups, ["/headscale"]);
    assert_eq!(rules.allowed_users, ["dominic@acmecorp.net"]);
    assert!(rules.email_verified_required);
    assert!(!rules.exact_groups, "/headscale means headscale");
    assert!(
        settings
            .warnings
            .iter()
            .any(|text| text.contains("authentik 2025.10"))
    );
}

#[test]
fn the_guides_placeholders_are_not_taken_for_values() {
    let text = format!("{OURS}{GUIDE}")
        .replace("o/headscale/", "o/<headscale-slug>/")
        .replace("Zq8t1v", "<Client ID from authentik>")
        .replace(CANARY, "<Client secret from authentik>");
    let problems = read_with(&text, &[]).unwrap_err();
    let keys: Vec<&str> = problems
        .iter()
        .map(|problem| problem.key.as_str())
        .collect();
    assert_eq!(
        keys,
        ["oidc.issuer", "oidc.client_id", "oidc.client_secret"]
    );
    assert_eq!(problems[0].line, Some(9));
}

#[test]
fn exact_group_names_are_exact() {
    assert!(
        good(&[("oidc.exact_group_names", json!(true))])
            .rules
            .exact_groups
    );
    warned(
        &[
            ("oidc.exact_group_names", json!(true)),
            ("oidc.allowed_groups", json!(["/headscale"])),
            ("oidc.issuer", json!("https://a.company/application/o/h/")),
        ],
        "no leading slash",
    );
}
