use super::*;

const NOW: Timestamp = Timestamp::from_unix(1000);

fn request(state: &str) -> AuthorizeRequest {
    AuthorizeRequest {
        state: state.to_owned(),
        nonce: "n".to_owned(),
        challenge: Some("c".to_owned()),
        redirect_uri: "https://hs/oidc/callback".to_owned(),
        scope: "openid".to_owned(),
    }
}

fn leg(state: &str) -> Leg {
    let id = AuthId::parse("0123456789abcdef01234567").unwrap();
    Leg {
        request: request(state),
        kind: LegKind::Register(id),
        recorded_at: NOW,
    }
}

#[test]
fn a_recorded_request_is_answered_once() {
    let mut legs = Legs::default();
    legs.record(leg("a"), NOW);
    assert!(legs.answer(&request("a"), NOW).is_ok());
    assert_eq!(
        legs.answer(&request("a"), NOW).unwrap_err(),
        LegError::Unknown
    );
}

#[test]
fn a_request_that_differs_in_anything_is_not_answered_and_takes_nothing() {
    let mut legs = Legs::default();
    legs.record(leg("a"), NOW);
    let with = |change: fn(&mut AuthorizeRequest)| {
        let mut request = request("a");
        change(&mut request);
        request
    };
    for other in [
        with(|r| r.nonce.push('x')),
        with(|r| r.challenge = None),
        with(|r| r.redirect_uri.push('/')),
        with(|r| r.scope.push_str(" x")),
    ] {
        assert_eq!(legs.answer(&other, NOW).unwrap_err(), LegError::Different);
    }
    assert_eq!(
        legs.answer(&request("b"), NOW).unwrap_err(),
        LegError::Unknown
    );
    assert!(legs.answer(&request("a"), NOW).is_ok());
}

#[test]
fn legs_end_after_a_quarter_of_an_hour_and_beyond_sixteen() {
    let mut legs = Legs::default();
    legs.record(leg("old"), NOW);
    let late = NOW.plus(LIFETIME);
    assert_eq!(
        legs.answer(&request("old"), late).unwrap_err(),
        LegError::Unknown
    );
    for n in 0..=MOST {
        legs.record(leg(&n.to_string()), NOW);
    }
    assert_eq!(
        legs.answer(&request("0"), NOW).unwrap_err(),
        LegError::Unknown
    );
    assert!(legs.answer(&request("1"), NOW).is_ok());
}

#[test]
fn a_callback_passes_once_with_its_own_state_and_code() {
    let mut legs = Legs::default();
    legs.issued("a", "code-a", NOW);
    legs.issued("b", "code-b", NOW);
    assert!(!legs.take_callback("a", "code-b", NOW));
    assert!(!legs.take_callback("a", "", NOW));
    assert!(legs.take_callback("a", "code-a", NOW));
    assert!(!legs.take_callback("a", "code-a", NOW));
    assert!(!legs.take_callback("b", "code-b", NOW.plus(LIFETIME)));
}
#[test]
fn a_state_that_is_recorded_again_is_still_answered_once() {
    let mut legs = Legs::default();
    legs.record(leg("a"), NOW);
    legs.record(leg("a"), NOW);
    assert!(legs.answer(&request("a"), NOW).is_ok());
    assert_eq!(
        legs.answer(&request("a"), NOW).unwrap_err(),
        LegError::Unknown
    );
}

#[test]
fn a_state_has_one_code_the_newest() {
    let mut legs = Legs::default();
    legs.issued("a", "first", NOW);
    legs.issued("a", "second", NOW);
    assert!(!legs.take_callback("a", "first", NOW));
    assert!(legs.take_callback("a", "second", NOW));
}

#[test]
fn the_legs_of_another_session_are_unknown() {
    let (mut victim, mut attacker) = (Legs::default(), Legs::default());
    attacker.record(leg("theirs"), NOW);
    attacker.issued("theirs", "code", NOW);
    assert_eq!(
        victim.answer(&request("theirs"), NOW).unwrap_err(),
        LegError::Unknown
    );
    assert!(!victim.take_callback("theirs", "code", NOW));
}

#[test]
fn a_recorded_leg_opens_no_callback_before_it_was_answered() {
    let mut legs = Legs::default();
    legs.record(leg("a"), NOW);
    for code in ["", "a", "code"] {
        assert!(!legs.take_callback("a", code, NOW));
    }
    assert!(legs.answer(&request("a"), NOW).is_ok());
    assert!(!legs.take_callback("a", "", NOW));
}

#[test]
fn a_wrong_code_does_not_end_the_right_one() {
    let mut legs = Legs::default();
    legs.issued("a", "code", NOW);
    for (state, code) in [
        ("a", "codf"),
        ("a", "code "),
        ("a", "CODE"),
        ("b", "code"),
        ("", ""),
    ] {
        assert!(!legs.take_callback(state, code, NOW), "{state} {code}");
    }
    assert!(legs.take_callback("a", "code", NOW));
}

#[test]
fn sixteen_codes_are_remembered_and_the_oldest_goes_first() {
    let mut legs = Legs::default();
    for n in 0..=MOST {
        legs.issued(&n.to_string(), "code", NOW);
    }
    assert!(!legs.take_callback("0", "code", NOW));
    assert!(legs.take_callback("1", "code", NOW));
}

#[test]
fn a_clock_that_jumps_back_ends_nothing_and_panics_nowhere() {
    let mut legs = Legs::default();
    legs.record(leg("a"), NOW);
    legs.issued("b", "code", NOW);
    let earlier = Timestamp::from_unix(1);
    assert!(legs.answer(&request("a"), earlier).is_ok());
    assert!(legs.take_callback("b", "code", earlier));
}

#[test]
fn a_debug_print_shows_no_state_nonce_challenge_or_code() {
    let mut secret = leg("canary-state");
    secret.request.nonce = "canary-nonce".to_owned();
    secret.request.challenge = Some("canary-challenge".to_owned());
    let mut legs = Legs::default();
    legs.record(secret, NOW);
    legs.issued("canary-state", "canary-code", NOW);
    let shown = format!("{legs:?}");
    // What is no secret is shown.
    assert!(shown.contains("https://hs/oidc/callback"), "{shown}");
    assert!(shown.contains("Issued { at: Timestamp(1000)"), "{shown}");
    assert!(
        shown.contains("Register") && !shown.contains("canary"),
        "{shown}"
    );
}
