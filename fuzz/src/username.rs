//! The user name for Headscale. Input: what is done with a domain (`s`trip, `d`ot, or else keep), then
//! the claim.

use headwarden::domain::claims::NamedClaims;
use headwarden::domain::identity::{Identity, Issuer, Subject};
use headwarden::domain::username::{StripDomain, for_headscale};

use super::support::text_lines;

pub fn run(data: &[u8]) {
    let Some(([strip], claim)) = text_lines::<1>(data) else {
        return;
    };
    let strip = match strip {
        "s" => StripDomain::Strip,
        "d" => StripDomain::Dot,
        _ => StripDomain::Keep,
    };
    let identity = Identity {
        issuer: Issuer::new("https://authentik.company/"),
        subject: Subject::new("s"),
        email: None,
        email_verified: false,
        username: Some(claim.into()),
        name: None,
        picture: None,
        groups: Vec::new().into(),
        claims: NamedClaims::default(),
    };
    match for_headscale(&identity, strip) {
        Ok(name) => check_name(&name, claim, strip),
        Err(error) => assert!(!error.to_string().chars().any(char::is_control)),
    }
}

/// Headscale's own `ValidateUsername`, and that the name came from the claim.
pub fn check_name(name: &str, claim: &str, strip: StripDomain) {
    assert!(name.len() >= 2, "{name:?}");
    assert!(name.starts_with(char::is_alphabetic), "{name:?}");
    let allowed = |c: char| c.is_alphanumeric() || matches!(c, '-' | '.' | '_' | '@');
    assert!(name.chars().all(allowed), "{name:?}");
    assert!(
        name.matches('@').count() <= 1 && !name.ends_with('@'),
        "{name:?}"
    );
    assert!(!name.bytes().any(|b| b.is_ascii_uppercase()), "{name:?}");
    let wanted = match (strip, claim.matches('@').count()) {
        (StripDomain::Strip, 1) => claim.split('@').next().unwrap().to_owned(),
        (StripDomain::Dot, 1) => claim.replace('@', "."),
        _ => claim.to_owned(),
    };
    assert!(
        name.eq_ignore_ascii_case(&wanted),
        "{claim:?} became {name:?}"
    );
    // A name is a fixed point: signing in again gives the same one.
    assert_eq!(name.to_ascii_lowercase(), name);
}
