//! The signed assertion: who is there, said to one upstream in a way that it can verify, so that it need
//! not trust whoever reaches it. A JWT (RFC 7519) of a type of its own (RFC 8725 section 3.11), good for
//! a minute, in `X-Headwarden-Assertion`.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderName, HeaderValue, Response, StatusCode};
use moka::sync::Cache;
use serde_json::{Map, Value, json};

use super::house::House;
use super::identity_fields::told;
use super::visit::Visit;
use crate::config::Access;
use crate::domain::identity::Identity;
use crate::domain::identity_field::Told;
use crate::domain::secret::Secret;
use crate::domain::time::{Clock, Timestamp};
use crate::pages::{self, Fault};
use crate::session::{SigningError, SigningKeys};

/// The field that carries it.
pub const FIELD: HeaderName = HeaderName::from_static("x-headwarden-assertion");
/// Its `typ`.
const TYPE: &str = "headwarden-assertion+jwt";
/// From `iat` to `exp`.
const LIFE: Duration = Duration::from_mins(1);
/// How old one may be that is sent again: the upstream has half its life to look at it.
const SENT_AGAIN: Duration = Duration::from_secs(30);
/// People and upstreams of which the last assertion is kept.
const KEPT: u64 = 10_000;
/// How long whoever fetched the public keys may keep them. A rotation publishes a key long before it signs.
const JWKS_AGE: &str = "public, max-age=300";

/// Who signs.
pub struct Assertions {
    keys: SigningKeys,
    /// `iss`: our public origin.
    issuer: String,
    jwks: Bytes,
    last: Cache<Pair, Arc<Assertion>>,
    clock: Arc<dyn Clock>,
}

/// A person and an upstream.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Pair {
    subject: String,
    audience: Arc<str>,
}

/// What was said about a person to an upstream.
#[derive(Debug)]
pub struct Assertion {
    who: Identity,
    /// Whether the e-mail was among it.
    email: bool,
    at: Timestamp,
    text: Secret<String>,
}

impl Assertion {
    /// The compact JWS.
    pub fn text(&self) -> &str {
        self.text.expose()
    }

    /// Whether the same may be said again.
    fn still_says(&self, told: Told<'_>, now: Timestamp) -> bool {
        // Of a clock that was set back, nothing is known.
        let fresh = self.at <= now && now.since(self.at) < SENT_AGAIN;
        fresh && self.email == told.email && self.who == *told.who
    }
}

impl Assertions {
    /// Signs with `keys` as `issuer`.
    pub fn new(keys: SigningKeys, issuer: String, clock: Arc<dyn Clock>) -> Self {
        let jwks = Bytes::from(keys.jwks().to_string());
        let last = Cache::builder()
            .max_capacity(KEPT)
            .time_to_live(LIFE)
            .build();
        Self {
            keys,
            issuer,
            jwks,
            last,
            clock,
        }
    }

    /// What `told` says, for `audience`. Signed anew when it is half a minute old, or says something else.
    ///
    /// # Errors
    /// [`SigningError`]: the upstream cannot be told, so nothing may be forwarded to it.
    fn about(&self, told: Told<'_>, audience: &Arc<str>) -> Result<Arc<Assertion>, SigningError> {
        let now = self.clock.now();
        let pair = Pair {
            subject: told.who.subject.as_str().to_owned(),
            audience: Arc::clone(audience),
        };
        if let Some(last) = self.last.get(&pair)
            && last.still_says(told, now)
        {
            return Ok(last);
        }
        let claims = claims(&self.issuer, audience, told, now);
        let fresh = Arc::new(Assertion {
            who: told.who.clone(),
            email: told.email,
            at: now,
            text: Secret::new(self.keys.sign(TYPE, &claims)?),
        });
        self.last.insert(pair, Arc::clone(&fresh));
        Ok(fresh)
    }
}

impl fmt::Debug for Assertions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Assertions").field(&self.keys).finish()
    }
}

fn claims(issuer: &str, audience: &str, told: Told<'_>, now: Timestamp) -> Value {
    let who = told.who;
    let mut claims = Map::new();
    let mut say = |name: &str, value: Value| drop(claims.insert(name.to_owned(), value));
    say("iss", issuer.into());
    say("aud", audience.into());
    say("sub", who.subject.as_str().into());
    say("iat", now.unix().into());
    say("exp", now.plus(LIFE).unix().into());
    let named = |text: &Option<Box<str>>| {
        let text = text.as_deref().filter(|text| !text.trim().is_empty());
        text.map(str::to_owned)
    };
    if let Some(username) = named(&who.username) {
        say("preferred_username", username.into());
    }
    if let Some(name) = named(&who.name) {
        say("name", name.into());
    }
    if let Some(email) = who.email.as_ref().filter(|_| told.email) {
        say("email", email.as_str().into());
    }
    say("groups", json!(who.groups.to_strings()));
    claims.into()
}

impl House {
    /// What the upstream of `rule` is told about `who` under our signature, if it is.
    ///
    /// # Errors
    /// The answer in its place.
    pub(super) fn assertion(
        &self,
        visit: &Visit,
        rule: &Access,
        who: &Identity,
    ) -> Result<Option<Arc<Assertion>>, Response<Bytes>> {
        let Some(audience) = &rule.assertion else {
            return Ok(None);
        };
        let told = told(&self.settings.rules, who);
        self.assertions
            .about(told, audience)
            .map(Some)
            .map_err(|why| {
                tracing::error!(request_id = visit.id, reason = %why, "not served");
                let status = StatusCode::INTERNAL_SERVER_ERROR;
                let page =
                    |context: &pages::Context<'_>| pages::error(context, status, Fault::Internal);
                self.page_or_json(visit, page, "internal", "this request was not served")
            })
    }

    /// The public keys, to whoever asks: `/.headwarden/jwks.json`.
    pub(super) fn jwks(&self, visit: &Visit) -> Response<Bytes> {
        if !matches!(visit.head.method.as_str(), "GET" | "HEAD") {
            return self.method_not_allowed(visit, "GET, HEAD");
        }
        let mut response = Response::new(self.assertions.jwks.clone());
        let headers = response.headers_mut();
        // RFC 7517 section 8.5.2.
        let kind = HeaderValue::from_static("application/jwk-set+json");
        headers.insert(CONTENT_TYPE, kind);
        headers.insert(CACHE_CONTROL, HeaderValue::from_static(JWKS_AGE));
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        response
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    use super::*;
    use crate::domain::identity::{Email, Issuer, Subject};
    use crate::ops::entropy::SystemRandom;
    use crate::session::KeyRing;

    #[derive(Debug)]
    struct SetClock(AtomicU64);

    impl Clock for SetClock {
        fn now(&self) -> Timestamp {
            Timestamp::from_unix(self.0.load(Ordering::SeqCst))
        }
    }

    struct Desk {
        assertions: Assertions,
        clock: Arc<SetClock>,
        audience: Arc<str>,
    }

    impl Desk {
        fn new() -> Self {
            let directory = tempfile::tempdir().unwrap();
            let path = directory.path().join("keys.json");
            let ring = KeyRing::load_or_create(&path, Arc::new(SystemRandom::new())).unwrap();
            let clock = Arc::new(SetClock(AtomicU64::new(1000)));
            let keys = SigningKeys::of(&ring).unwrap();
            let origin = "https://headscale.company".to_owned();
            let assertions = Assertions::new(keys, origin, Arc::<SetClock>::clone(&clock));
            let audience = Arc::from("http://127.0.0.1:3000");
            Self {
                assertions,
                clock,
                audience,
            }
        }

        fn at(&self, now: u64) -> &Self {
            self.clock.0.store(now, Ordering::SeqCst);
            self
        }

        fn text(&self, who: &Identity, email: bool) -> String {
            let told = Told { who, email };
            let said = self.assertions.about(told, &self.audience).unwrap();
            said.text().to_owned()
        }
    }

    fn ann() -> Identity {
        Identity {
            issuer: Issuer::new("https://idp.example/"),
            subject: Subject::new("7b2f"),
            email: Some(Email::new("ann@company.example")),
            email_verified: true,
            username: Some("ann".into()),
            name: Some("Ann".into()),
            picture: None,
            groups: vec!["staff".to_owned()].into(),
            claims: crate::domain::claims::NamedClaims::default(),
        }
    }

    fn part(text: &str, at: usize) -> Value {
        let part = text.split('.').nth(at).unwrap();
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
    }

    #[test]
    fn it_says_who_is_there_to_whom_and_until_when_and_nothing_else() {
        let desk = Desk::new();
        let text = desk.text(&ann(), true);
        assert_eq!(
            part(&text, 0),
            json!({"alg": "ES256", "typ": TYPE, "kid": desk.assertions.keys.kid()})
        );
        let full = json!({
            "iss": "https://headscale.company", "aud": "http://127.0.0.1:3000", "sub": "7b2f",
            "iat": 1000, "exp": 1060, "preferred_username": "ann", "name": "Ann",
            "email": "ann@company.example", "groups": ["staff"],
        });
        assert_eq!(part(&text, 1), full);
        let nobody = Identity {
            username: Some(" ".into()),
            name: None,
            groups: Vec::new().into(),
            ..ann()
        };
        let bare = json!({
            "iss": "https://headscale.company", "aud": "http://127.0.0.1:3000", "sub": "7b2f",
            "iat": 1000, "exp": 1060, "groups": [],
        });
        assert_eq!(part(&desk.text(&nobody, false), 1), bare);
    }

    #[test]
    fn it_is_sent_again_for_half_its_life_and_while_it_says_the_same() {
        let desk = Desk::new();
        let first = desk.at(1000).text(&ann(), true);
        assert_eq!(desk.at(1029).text(&ann(), true), first);
        let second = desk.at(1030).text(&ann(), true);
        assert_eq!(part(&second, 1)["exp"], 1090);
        assert_eq!(desk.at(1031).text(&ann(), true), second);

        // Another e-mail rule, another group, another name: at once.
        let unverified = desk.text(&ann(), false);
        assert_eq!(part(&unverified, 1).get("email"), None);
        let moved = Identity {
            groups: vec!["guests".to_owned()].into(),
            ..ann()
        };
        assert_eq!(
            part(&desk.text(&moved, true), 1)["groups"],
            json!(["guests"])
        );
        let third = desk.text(&ann(), true);
        assert_eq!(part(&third, 1)["groups"], json!(["staff"]));

        // A clock that was set back: what lies in the future says nothing.
        assert_eq!(part(&desk.at(500).text(&ann(), true), 1)["iat"], 500);
    }

    #[test]
    fn each_upstream_gets_its_own_and_each_person_theirs() {
        let mut desk = Desk::new();
        let first = desk.text(&ann(), true);
        desk.audience = Arc::from("https://other.internal");
        let other = desk.text(&ann(), true);
        assert_eq!(part(&other, 1)["aud"], "https://other.internal");
        let bob = Identity {
            subject: Subject::new("bob"),
            ..ann()
        };
        assert_eq!(part(&desk.text(&bob, true), 1)["sub"], "bob");
        desk.audience = Arc::from("http://127.0.0.1:3000");
        assert_eq!(desk.text(&ann(), true), first);
    }

    #[test]
    fn no_debug_print_shows_an_assertion() {
        let desk = Desk::new();
        let told = Told {
            who: &ann(),
            email: true,
        };
        let said = desk.assertions.about(told, &desk.audience).unwrap();
        let shown = format!("{said:?} {:?}", desk.assertions);
        assert!(
            !shown.contains("eyJ") && shown.contains("[secret]"),
            "{shown}"
        );
    }
}
