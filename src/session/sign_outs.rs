//! Sign-outs on their way to the provider and back. The browser keeps the `state` of the newest one for
//! us, sealed in a cookie, so that the page at the end can say truthfully whether the provider answered
//! it (OpenID Connect RP-Initiated Logout 1.0 section 3). Nothing but words depends on it: the session
//! here has ended before.

use std::sync::Arc;
use std::time::Duration;

use http::HeaderMap;
use subtle::ConstantTimeEq as _;

use super::cookie::Cookies;
use super::keyring::{KeyRing, SealError, bound};
use crate::domain::time::Timestamp;

/// What is sealed here, as the key ring's purpose. What follows names the deployment.
const PURPOSE: &str = "sign-out";
/// How long a person may take at the provider.
const LIFETIME: Duration = Duration::from_mins(10);

/// Sign-outs in cookies.
#[derive(Debug)]
pub struct SignOuts {
    cookies: Cookies,
    keys: Arc<KeyRing>,
    purpose: String,
}

impl SignOuts {
    /// Sign-outs in cookies of these names, sealed with these keys, of one deployment named by these
    /// texts: see [`super::Attempts::bound_to`].
    pub fn new(cookies: Cookies, keys: Arc<KeyRing>, deployment: &[&str]) -> Self {
        Self {
            cookies,
            keys,
            purpose: bound(PURPOSE, deployment),
        }
    }

    /// `Set-Cookie` that keeps `state` in the browser, in place of an earlier one.
    ///
    /// # Errors
    /// [`SealError`]; the answer will not be recognised then.
    pub fn plant(&self, state: &str, now: Timestamp) -> Result<String, SealError> {
        let text = format!("{} {state}", now.unix());
        let name = self.cookies.sign_out_name();
        let sealed = self.keys.seal(name, &self.purpose, text.as_bytes())?;
        Ok(self.cookies.set_sign_out(&sealed, LIFETIME))
    }

    /// Whether `state` answers the sign-out that this browser began, not long ago.
    pub fn is_answer(&self, state: &str, headers: &HeaderMap, now: Timestamp) -> bool {
        self.open(headers).is_some_and(|(began, kept)| {
            now.since(began) < LIFETIME && bool::from(kept.as_bytes().ct_eq(state.as_bytes()))
        })
    }

    /// `Set-Cookie` that takes it out of the browser.
    pub fn forget(&self) -> String {
        self.cookies.delete_sign_out()
    }

    fn open(&self, headers: &HeaderMap) -> Option<(Timestamp, String)> {
        let value = self.cookies.sign_out(headers)?;
        let name = self.cookies.sign_out_name();
        let text = self.keys.open(name, &self.purpose, value)?;
        let text = String::from_utf8(text).ok()?;
        let (began, state) = text.split_once(' ')?;
        Some((Timestamp::from_unix(began.parse().ok()?), state.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use http::header::COOKIE;

    use super::*;
    use crate::ops::entropy::SystemRandom;

    const NOW: Timestamp = Timestamp::from_unix(1_800_000_000);
    const STATE: &str = "c3RhdGUtb2YtdGhpcy1zaWduLW91dA";

    fn ring() -> Arc<KeyRing> {
        let directory = tempfile::tempdir().unwrap();
        let random = Arc::new(SystemRandom::new());
        Arc::new(KeyRing::load_or_create(&directory.path().join("keys"), random).unwrap())
    }

    fn sign_outs(keys: &Arc<KeyRing>) -> SignOuts {
        SignOuts::new(Cookies::new(true), Arc::clone(keys), &["https://a.example"])
    }

    /// What a browser sends that keeps this.
    fn browser(set_cookie: &str) -> HeaderMap {
        let (cookie, _) = set_cookie.split_once(';').unwrap();
        HeaderMap::from_iter([(COOKIE, HeaderValue::from_str(cookie).unwrap())])
    }

    #[test]
    fn the_state_that_a_browser_left_with_is_the_one_it_may_come_back_with() {
        let sign_outs = sign_outs(&ring());
        let left = browser(&sign_outs.plant(STATE, NOW).unwrap());
        for (state, later, answered) in [
            (STATE, 0, true),
            (STATE, 599, true),
            (STATE, 600, false),
            ("", 0, false),
            ("c3RhdGUtb2YtdGhpcy1zaWduLW91da", 0, false),
            (&STATE[1..], 0, false),
            ("c3RhdGUtb2YtdGhpcy1zaWduLW91dA ", 0, false),
        ] {
            let now = NOW.plus(Duration::from_secs(later));
            assert_eq!(
                sign_outs.is_answer(state, &left, now),
                answered,
                "{state:?} {later}"
            );
        }
    }

    #[test]
    fn a_cookie_that_is_not_ours_alone_answers_nothing() {
        let keys = ring();
        let ours = sign_outs(&keys);
        let set = ours.plant(STATE, NOW).unwrap();
        let (cookie, _) = set.split_once(';').unwrap();
        let (name, value) = cookie.split_once('=').unwrap();
        for cookies in [
            String::new(),
            format!("{name}="),
            format!("{name}={STATE}"),
            format!("{name}={value}A"),
            format!("{name}={value}; {name}={value}"),
            format!("headwarden-sign-out={value}"),
            format!("__Host-headwarden={value}"),
        ] {
            let headers =
                HeaderMap::from_iter([(COOKIE, HeaderValue::from_str(&cookies).unwrap())]);
            assert!(!ours.is_answer(STATE, &headers, NOW), "{cookies}");
        }
        let left = browser(&set);
        assert!(ours.is_answer(STATE, &left, NOW));
        let elsewhere = SignOuts::new(Cookies::new(true), keys, &["https://b.example"]);
        assert!(
            !elsewhere.is_answer(STATE, &left, NOW),
            "of another deployment"
        );
        assert!(
            !sign_outs(&ring()).is_answer(STATE, &left, NOW),
            "of other keys"
        );
    }
}
