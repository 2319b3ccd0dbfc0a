//! Client authentication at the token endpoint: the one client, by Basic or in the body, and a bound
//! on how often it may fail.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;
use http::header::AUTHORIZATION;
use percent_encoding::percent_decode_str;
use ring::digest;
use subtle::ConstantTimeEq as _;

use super::form::Form;
use crate::domain::secret::Secret;
use crate::domain::time::Timestamp;

/// The address a request to the private listener came from; put into the request's extensions by
/// whoever accepted it. Without one, all requests share one bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer(pub IpAddr);

/// Failed attempts that one peer may make within [`WINDOW`].
pub const MAX_FAILURES: u32 = 20;
const WINDOW: Duration = Duration::from_mins(1);
/// Peers whose failures are counted apart; the others share one count.
const MAX_PEERS: usize = 1024;

/// Why a request does not come from the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ClientError {
    /// No credentials, two sets of them, or wrong ones.
    Failed(&'static str),
    /// Too many failures; these credentials were not looked at. Whole seconds to wait.
    Limited(u64),
}

#[derive(Debug)]
pub(crate) struct Client {
    id: String,
    secret: ArcSwap<Secret<[u8; 32]>>,
    failures: Mutex<HashMap<Option<IpAddr>, Failures>>,
}

#[derive(Clone, Copy, Debug)]
struct Failures {
    since: Timestamp,
    count: u32,
}

impl Client {
    pub(crate) fn new(id: &str, secret: &Secret<String>) -> Self {
        Self {
            id: id.to_owned(),
            secret: ArcSwap::from_pointee(Secret::new(hash(secret.expose()))),
            failures: Mutex::new(HashMap::new()),
        }
    }

    /// Only this secret is the client's from now on.
    pub(crate) fn change_secret(&self, secret: &Secret<String>) {
        let secret = Secret::new(hash(secret.expose()));
        self.secret.store(Arc::new(secret));
    }

    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    /// Whether the request comes from the client: Basic with form-encoded halves (RFC 6749 section
    /// 2.3.1, which Go's client sends first), or `client_id` and `client_secret` in the body.
    pub(crate) fn authenticate(
        &self,
        headers: &HeaderMap,
        form: &Form,
        peer: Option<Peer>,
        now: Timestamp,
    ) -> Result<(), ClientError> {
        let peer = peer.map(|Peer(address)| address.to_canonical());
        self.check_limit(peer, now)?;
        let outcome = credentials(headers, form)
            .and_then(|(id, secret)| self.check(&id, &secret).then_some(()).ok_or("wrong"));
        outcome.map_err(|reason| {
            self.count_failure(peer, now);
            ClientError::Failed(reason)
        })
    }

    fn check(&self, id: &str, secret: &str) -> bool {
        // Hashes have one length, so the comparison's time tells nothing about the secret's.
        let same = self.secret.load().expose().ct_eq(&hash(secret));
        bool::from(same) && id == self.id
    }

    fn check_limit(&self, peer: Option<IpAddr>, now: Timestamp) -> Result<(), ClientError> {
        let failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        let bucket = if failures.contains_key(&peer) {
            peer
        } else {
            None
        };
        match failures.get(&bucket) {
            // A peer without a count of its own is held back by the common one only where there
            // was no room to count apart.
            Some(_) if bucket != peer && failures.len() < MAX_PEERS => Ok(()),
            Some(found) if found.lives(now) && found.count >= MAX_FAILURES => Err(
                ClientError::Limited(WINDOW.saturating_sub(now.since(found.since)).as_secs() + 1),
            ),
            _ => Ok(()),
        }
    }

    fn count_failure(&self, peer: Option<IpAddr>, now: Timestamp) {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        if failures.len() >= MAX_PEERS {
            failures.retain(|_, found| found.lives(now));
        }
        let full = failures.len() >= MAX_PEERS && !failures.contains_key(&peer);
        let bucket = if full { None } else { peer };
        let fresh = Failures {
            since: now,
            count: 0,
        };
        let found = failures.entry(bucket).or_insert(fresh);
        if !found.lives(now) {
            *found = fresh;
        }
        found.count = found.count.saturating_add(1);
    }
}

impl Failures {
    fn lives(self, now: Timestamp) -> bool {
        now.since(self.since) < WINDOW
    }
}

fn hash(text: &str) -> [u8; 32] {
    let mut bytes = [0; 32];
    bytes.copy_from_slice(digest::digest(&digest::SHA256, text.as_bytes()).as_ref());
    bytes
}

fn credentials(headers: &HeaderMap, form: &Form) -> Result<(String, String), &'static str> {
    let mut found = headers.get_all(AUTHORIZATION).iter();
    match (found.next(), found.next()) {
        (None, _) => {
            let id = form.get("client_id").ok_or("no credentials")?;
            let secret = form.get("client_secret").ok_or("no credentials")?;
            Ok((id.to_owned(), secret.to_owned()))
        }
        // RFC 6749 section 2.3: one method of authentication, never two.
        (Some(_), None) if form.get("client_secret").is_some() => Err("credentials given twice"),
        (Some(header), None) => {
            let (id, secret) = basic(header.as_bytes()).ok_or("malformed basic credentials")?;
            match form.get("client_id") {
                Some(other) if other != id => Err("two client ids"),
                _ => Ok((id, secret)),
            }
        }
        (Some(_), Some(_)) => Err("credentials given twice"),
    }
}

/// The two halves of Basic credentials (RFC 7617), form-decoded.
fn basic(header: &[u8]) -> Option<(String, String)> {
    let (scheme, text) = std::str::from_utf8(header).ok()?.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = String::from_utf8(STANDARD.decode(text.trim()).ok()?).ok()?;
    let (id, secret) = decoded.split_once(':')?;
    Some((form_decode(id)?, form_decode(secret)?))
}

fn form_decode(text: &str) -> Option<String> {
    let spaced = text.replace('+', " ");
    percent_decode_str(&spaced)
        .decode_utf8()
        .ok()
        .map(std::borrow::Cow::into_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_unix(1_000_000);

    fn client() -> Client {
        Client::new("headscale", &Secret::new("s3 cr+t:%&\u{fc}".to_owned()))
    }

    fn header(text: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, text.parse().unwrap());
        headers
    }

    fn with(id: &str, secret: &str) -> HeaderMap {
        header(&format!(
            "Basic {}",
            STANDARD.encode(format!("{id}:{secret}"))
        ))
    }

    fn form(text: &str) -> Form {
        Form::parse(text.as_bytes()).unwrap()
    }

    fn peer(last: u8) -> Peer {
        Peer([192, 0, 2, last].into())
    }

    #[test]
    fn the_client_is_known_by_basic_as_go_encodes_it_and_by_the_body() {
        let secret = "s3+cr%2Bt%3A%25%26%C3%BC";
        let none = form("");
        let go = with("headscale", secret);
        assert_eq!(client().authenticate(&go, &none, None, NOW), Ok(()));
        let body = form(&format!("client_id=headscale&client_secret={secret}"));
        assert_eq!(
            client().authenticate(&HeaderMap::new(), &body, None, NOW),
            Ok(())
        );
        let same_id = form("client_id=headscale");
        assert_eq!(client().authenticate(&go, &same_id, None, NOW), Ok(()));
    }

    #[test]
    fn anything_else_is_refused() {
        let good = "s3+cr%2Bt%3A%25%26%C3%BC";
        let good_body = format!("client_id=headscale&client_secret={good}");
        let mut twice = with("headscale", good);
        twice.append(AUTHORIZATION, twice[AUTHORIZATION].clone());
        for (name, headers, body) in [
            ("nothing", HeaderMap::new(), ""),
            ("an id alone", HeaderMap::new(), "client_id=headscale"),
            (
                "a secret alone",
                HeaderMap::new(),
                good_body.split_once('&').unwrap().1,
            ),
            ("a wrong secret", with("headscale", "wrong"), ""),
            ("an empty secret", with("headscale", ""), ""),
            (
                "a secret that is not encoded",
                with("headscale", "s3 cr+t:%&\u{fc}"),
                "",
            ),
            ("another client", with("other", good), ""),
            ("both ways", with("headscale", good), good_body.as_str()),
            ("two ids", with("headscale", good), "client_id=other"),
            ("two headers", twice, ""),
            ("another scheme", header("Bearer headscale"), ""),
            ("no base64", header("Basic %%%"), ""),
            (
                "no colon",
                header(&format!("Basic {}", STANDARD.encode("headscale"))),
                "",
            ),
            (
                "no utf-8",
                header(&format!("Basic {}", STANDARD.encode(b"\xff:\xff"))),
                "",
            ),
            ("encoded garbage", with("headscale", "%ff"), ""),
        ] {
            let found = client().authenticate(&headers, &form(body), None, NOW);
            assert!(
                matches!(found, Err(ClientError::Failed(_))),
                "{name}: {found:?}"
            );
        }
    }

    #[test]
    fn after_too_many_failures_a_peer_waits_and_others_do_not() {
        let client = client();
        let good = with("headscale", "s3+cr%2Bt%3A%25%26%C3%BC");
        let wrong = with("headscale", "wrong");
        let none = form("");
        for _ in 0..MAX_FAILURES {
            let found = client.authenticate(&wrong, &none, Some(peer(1)), NOW);
            assert!(matches!(found, Err(ClientError::Failed(_))));
        }
        let later = NOW.plus(Duration::from_secs(20));
        let limited = Err(ClientError::Limited(41));
        assert_eq!(
            client.authenticate(&wrong, &none, Some(peer(1)), later),
            limited
        );
        assert_eq!(
            client.authenticate(&good, &none, Some(peer(1)), later),
            limited
        );
        assert_eq!(
            client.authenticate(&good, &none, Some(peer(2)), later),
            Ok(())
        );
        let next = NOW.plus(WINDOW);
        assert_eq!(
            client.authenticate(&good, &none, Some(peer(1)), next),
            Ok(())
        );
    }

    #[test]
    fn success_costs_nothing() {
        let client = client();
        let good = with("headscale", "s3+cr%2Bt%3A%25%26%C3%BC");
        for _ in 0..=2 * MAX_FAILURES {
            assert_eq!(
                client.authenticate(&good, &form(""), Some(peer(1)), NOW),
                Ok(())
            );
        }
    }

    #[test]
    fn a_mapped_address_is_the_same_peer() {
        let client = client();
        let wrong = with("headscale", "wrong");
        let mapped = Some(Peer("::ffff:192.0.2.1".parse().unwrap()));
        for _ in 0..MAX_FAILURES {
            let _ = client.authenticate(&wrong, &form(""), mapped, NOW);
        }
        let found = client.authenticate(&wrong, &form(""), Some(peer(1)), NOW);
        assert!(matches!(found, Err(ClientError::Limited(_))), "{found:?}");
    }

    #[test]
    fn counting_is_bounded() {
        let client = client();
        let wrong = with("headscale", "wrong");
        for n in 0..u32::try_from(MAX_PEERS).unwrap() + 50 {
            let peer = Some(Peer(std::net::Ipv4Addr::from(n).into()));
            let _ = client.authenticate(&wrong, &form(""), peer, NOW);
        }
        assert!(client.failures.lock().unwrap().len() <= MAX_PEERS + 1);
        let newcomer = client.authenticate(&wrong, &form(""), Some(peer(9)), NOW);
        assert!(
            matches!(newcomer, Err(ClientError::Limited(_))),
            "{newcomer:?}"
        );
    }

    #[test]
    fn the_common_count_holds_back_only_whom_there_was_no_room_to_count_apart() {
        let client = client();
        let good = with("headscale", "s3+cr%2Bt%3A%25%26%C3%BC");
        let wrong = with("headscale", "wrong");
        let none = form("");
        for _ in 0..MAX_FAILURES {
            let _ = client.authenticate(&wrong, &none, None, NOW);
        }
        let nth = |n: u32| Some(Peer(std::net::Ipv4Addr::from(n).into()));
        for n in 1..u32::try_from(MAX_PEERS).unwrap() {
            assert_eq!(client.authenticate(&good, &none, nth(n), NOW), Ok(()));
            let _ = client.authenticate(&wrong, &none, nth(n), NOW);
        }
        let limited = Err(ClientError::Limited(61));
        let newcomer = Some(peer(1));
        assert_eq!(client.authenticate(&good, &none, nth(1), NOW), Ok(()));
        assert_eq!(client.authenticate(&good, &none, newcomer, NOW), limited);
        let later = NOW.plus(WINDOW);
        assert_eq!(client.authenticate(&good, &none, newcomer, later), Ok(()));
    }

    #[test]
    fn whoever_failed_a_minute_ago_makes_room_to_count_others_apart() {
        let client = client();
        let good = with("headscale", "s3+cr%2Bt%3A%25%26%C3%BC");
        let wrong = with("headscale", "wrong");
        let none = form("");
        for n in 0..u32::try_from(MAX_PEERS).unwrap() {
            let peer = Some(Peer(std::net::Ipv4Addr::from(n).into()));
            let _ = client.authenticate(&wrong, &none, peer, NOW);
        }
        let later = NOW.plus(WINDOW);
        let ask = |from: u8, with| client.authenticate(with, &none, Some(peer(from)), later);
        for _ in 0..MAX_FAILURES {
            assert_eq!(ask(1, &wrong), Err(ClientError::Failed("wrong")));
        }
        assert_eq!(ask(1, &good), Err(ClientError::Limited(61)));
        assert_eq!(ask(2, &good), Ok(()));
        assert_eq!(client.failures.lock().unwrap().len(), 1);
    }
}
