//! Tokens that must not be believed (group J), over the house: the person gets a page, nobody a
//! session, and the operator the reason. The verifier in every detail: `oidc_provider_faults`.

use serde_json::{Value, json};

use super::provider::{members, nobody_comes_in, somebody_comes_in, stage_and, stage_with};
use crate::faulty_provider::{Fault, Key};
use crate::support::house::More;

const FAILED: &str = "The sign-in failed";

#[test]
fn a_token_with_a_fault_signs_nobody_in_and_the_log_names_the_fault() {
    let mut stage = stage_with(More::default());
    for (fault, reason) in [
        (Fault::AlgNone, "not signed (alg none)"),
        (
            Fault::Hs256WithPublicKey,
            r#"algorithm "HS256" is not accepted"#,
        ),
        (
            Fault::Hs256WithClientSecret,
            r#"algorithm "HS256" is not accepted"#,
        ),
        (Fault::BadSignature, "its signature is wrong"),
        (Fault::SignedByForger, "its signature is wrong"),
        (Fault::UnknownKid, "no key of the provider has its kid"),
        (Fault::CriticalHeader, "critical JWT header fields"),
        (
            Fault::TypIsLogoutToken,
            "unexpected or unsupported JWT type",
        ),
        (Fault::IssWithoutSlash, "it was issued by"),
        (Fault::IssOfSomebodyElse, "it was issued by"),
        (Fault::AudienceOfSomebodyElse, "is not our client id"),
        (Fault::TwoAudiencesWithoutAzp, "issued to another client"),
        (Fault::AzpOfSomebodyElse, "issued to another client"),
        (Fault::ExpiredFor(3600), "is a clock wrong?"),
        (Fault::IatAhead(3600), "is a clock wrong?"),
        (Fault::NbfAhead(3600), "is a clock wrong?"),
        (Fault::AuthTimeAhead(3600), "is a clock wrong?"),
        (Fault::ExpAbsent, "it has no exp"),
        (Fault::IatAbsent, "it has no iat"),
        (Fault::NonceAbsent, "it has no nonce"),
        (Fault::NonceWrong, "not the one of this sign-in"),
        (Fault::SubAbsent, "the ID token has no sub"),
        (Fault::SubEmpty, "the ID token has no sub"),
        (Fault::BadAtHash, "its at_hash does not belong"),
        (Fault::TwoParts, "it has 2 parts"),
        (Fault::PayloadIsNoJson, "not base64url of a JSON object"),
        (
            Fault::Encrypted,
            "unset the Encryption Key of the provider's application",
        ),
        (Fault::NoIdToken, "it has no ID token"),
        (Fault::NoAccessToken, "it has no access token"),
        (Fault::TokenTypeMac, r#"token_type is "mac""#),
        (
            Fault::ErrorWith200,
            "the provider refused the code: invalid_grant",
        ),
        (
            Fault::InvalidClient,
            "check oidc.client_id, oidc.client_secret",
        ),
    ] {
        stage.faulty.provider.bend(fault);
        nobody_comes_in(&mut stage, &format!("{fault:?}"), 502, FAILED, reason);
        stage.faulty.provider.mend();
    }
    somebody_comes_in(&stage, "after all of them");
}

#[test]
fn a_bent_header_or_claim_signs_nobody_in() {
    let mut stage = stage_with(More::default());
    let issuer = stage.faulty.provider.issuer();
    let none = || json!({});
    let rows: Vec<(Value, Value, &str)> = vec![
        (json!({"b64": false}), none(), "b64 is not supported"),
        (
            json!({"b64": false, "crit": ["b64"]}),
            none(),
            "b64 is not supported",
        ),
        (json!({"typ": "at+jwt"}), none(), "JWT type `at+jwt`"),
        (json!({"cty": "JWT"}), none(), "nested JWT"),
        (json!({"alg": "PS256"}), none(), "is not accepted"),
        (json!({"alg": null}), none(), "it is malformed"),
        (
            json!({"kid": "x\r\n2026 INFO forged"}),
            none(),
            "no key of the provider",
        ),
        (
            none(),
            json!({"iss": issuer.replace("headscale", "wiki"), "aud": "wiki"}),
            "issued by",
        ),
        (none(), json!({"aud": "wiki"}), "is not our client id"),
        (
            none(),
            json!({"exp": "2999-01-01T00:00:00Z"}),
            "not a number of seconds",
        ),
        (
            none(),
            json!({"iat": "2999-01-01T00:00:00Z"}),
            "not a number of seconds",
        ),
        (
            none(),
            json!({"nbf": "2999-01-01T00:00:00Z"}),
            "not a number of seconds",
        ),
        (none(), json!({"nbf": 1e300}), "is not valid for another"),
        (none(), json!({"exp": -1}), "it expired"),
        (none(), json!({"exp": 1e300}), "it is malformed"),
        (none(), json!({"nonce": ["x"]}), "it is malformed"),
        (
            none(),
            json!({"email": ["ben@company.example"]}),
            r#"its claim "email" has the wrong"#,
        ),
        (
            none(),
            json!({"name": "x".repeat(2_000_000)}),
            "larger than 1048576 bytes",
        ),
    ];
    for (header, claims, reason) in rows {
        let row: String = format!("{header} {claims}").chars().take(200).collect();
        stage.faulty.provider.set(|knobs| {
            knobs.header = members(&header);
            knobs.id_claims = members(&claims);
        });
        let (status, words) = if reason.starts_with("larger") {
            (503, "not available right now")
        } else {
            (502, FAILED)
        };
        nobody_comes_in(&mut stage, &row, status, words, reason);
        stage.faulty.provider.mend();
    }
    let log = stage.house.log();
    assert!(
        !log.lines().any(|line| line.starts_with("2026 INFO forged")),
        "{log}"
    );
    stage
        .faulty
        .provider
        .set(|knobs| knobs.before_claims = r#""groups":["headscale-admins"],"#);
    nobody_comes_in(&mut stage, "groups twice", 502, FAILED, "repeats a name");
    stage.faulty.provider.mend();
    somebody_comes_in(&stage, "after all of them");
}

#[test]
fn a_key_of_512_bits_signs_nobody_in_and_the_log_says_that_a_key_cannot_be_used() {
    let mut stage = stage_with(More::default());
    stage.faulty.provider.rotate_to(Key::Weak);
    nobody_comes_in(
        &mut stage,
        "weak",
        502,
        FAILED,
        "no key of the provider has its kid",
    );
    let line = stage
        .house
        .wait_for_log("keys of the provider cannot be used");
    assert!(
        line.contains("WARN") && line.contains("skipped=1"),
        "{line}"
    );
}

#[test]
fn hs256_is_the_operators_choice() {
    let announced = json!({"id_token_signing_alg_values_supported": ["HS256", "ES256"]});
    for (oidc, fault, comes_in) in [
        ("", Fault::Hs256WithClientSecret, false),
        ("", Fault::Hs256WithPublicKey, false),
        ("  allow_hs256: true\n", Fault::Hs256WithClientSecret, true),
        ("  allow_hs256: true\n", Fault::Hs256WithPublicKey, false),
    ] {
        let more = More {
            oidc,
            ..More::default()
        };
        let mut stage = stage_and(more, |provider| {
            provider.set(|knobs| knobs.discovery = members(&announced));
        });
        let row = format!("{oidc:?} {fault:?}");
        stage.faulty.provider.bend(fault);
        if comes_in {
            somebody_comes_in(&stage, &row);
        } else {
            nobody_comes_in(&mut stage, &row, 502, FAILED, "the ID token is refused");
        }
    }
}
