//! People whose provider is authentik: sessions as they are in a company, none like another.

use std::net::Ipv4Addr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use headwarden::domain::claims::NamedClaims;
use headwarden::domain::identity::{Email, Identity, Issuer, ProviderSession, Subject};
use headwarden::domain::secret::Secret;
use headwarden::domain::session::{Browser, Footing, Session};
use headwarden::domain::time::{Clock as _, Timestamp};
use headwarden::domain::token::Token;
use headwarden::ops::clock::SystemClock;

/// Characters of an ID token with five short groups, signed with RS256, and of an opaque refresh token.
const ID_TOKEN: usize = 1000;
const REFRESH_TOKEN: usize = 128;
/// What of an ID token is claims: the rest is a header of 76 bytes, a signature of 256, in base64url.
const CLAIMS: usize = 415;
const SIGNATURE: usize = 256;
const HEADER: &str =
    r#"{"alg":"RS256","kid":"7b2e7a5f0c6e4d8f9a1b2c3d4e5f60718293a4b5","typ":"JWT"}"#;

/// The session of the person numbered `n`.
pub fn session(n: u64) -> Session {
    let now = SystemClock.now();
    let groups = ["headscale", "headscale-admins", "staff", "berlin", "vpn"];
    Session {
        identity: Identity {
            issuer: Issuer::new("https://authentik.company/application/o/headscale/"),
            // authentik's are 64 hex digits.
            subject: Subject::new(format!("{n:064x}")),
            email: Some(Email::new(format!("user-{n}@acmecorp.net"))),
            email_verified: true,
            username: Some(format!("user-{n}").into()),
            name: Some(format!("User Number {n}").into()),
            picture: None,
            groups: groups.map(str::to_owned).to_vec().into(),
            claims: NamedClaims::default(),
        },
        provider_session: Some(ProviderSession::new(format!("{n:064x}"))),
        auth_time: Some(now),
        id_token: Token::pack(&Secret::new(id_token(n, now))),
        token_expires_at: now,
        started_at: now,
        refresh_token: Some(Token::pack(&Secret::new(refresh_token(n)))),
        acr: Some("goauthentik.io/providers/oauth2/default".into()),
        amr: vec!["pwd".to_owned(), "mfa".to_owned()].into(),
        checked_at: now,
        footing: Footing::default(),
        browser: Browser::new(
            Ipv4Addr::LOCALHOST.into(),
            "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
        ),
    }
}

fn id_token(n: u64, now: Timestamp) -> String {
    let at = now.unix();
    let claims = format!(
        r#"{{"iss":"https://authentik.company/application/o/headscale/","sub":"{n:064x}","aud":"headscale","exp":{},"iat":{at},"auth_time":{at},"acr":"goauthentik.io/providers/oauth2/default","amr":["pwd","mfa"],"sid":"{n:064x}","nonce":""#,
        at + 300,
    );
    let left = CLAIMS.saturating_sub(claims.len() + r#""}"#.len());
    let claims = format!("{claims}{}\"}}", letters(n, left));
    let signature: Vec<u8> = bytes(!n).take(SIGNATURE).collect();
    let parts = [HEADER.as_bytes(), claims.as_bytes(), &signature];
    let token = parts.map(|part| URL_SAFE_NO_PAD.encode(part)).join(".");
    assert_eq!(token.len(), ID_TOKEN);
    token
}

fn refresh_token(n: u64) -> String {
    letters(!n, REFRESH_TOKEN)
}

fn letters(seed: u64, count: usize) -> String {
    let alphabet = ('a'..='z').chain('A'..='Z').chain('0'..='9');
    let alphabet: Vec<char> = alphabet.collect();
    let all = bytes(seed).filter_map(|byte| alphabet.get(usize::from(byte)).copied());
    all.take(count).collect()
}

/// Bytes without a pattern, of their own for each seed (splitmix64).
fn bytes(seed: u64) -> impl Iterator<Item = u8> {
    let mut state = seed;
    std::iter::from_fn(move || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        Some((mixed ^ (mixed >> 31)).to_le_bytes())
    })
    .flatten()
}
