//! The request line and the upgrade that an upstream gets to see. pingora parses a head of its own;
//! what goes on is said again from the one request that the door, the rules and the log were shown, and
//! compared with it, so that no second reading of the same bytes can lead elsewhere.
//!
//! `Host` and the fields that say who is there are the phases' business; they are ours altogether.

use http::header::{AUTHORIZATION, CONNECTION, HeaderMap, HeaderName, HeaderValue, UPGRADE};
use http::request::Parts;
use http::{Method, Version};
use pingora::http::RequestHeader;
use pingora::{Error, ErrorType, Result};

use super::head::Head;
use super::headers::{self, Reserved};
use super::visit::Visit;
use crate::domain::door::{Door, Guarded};
use crate::domain::path::Target;

/// Fields of a request that is said again.
pub trait Fields {
    /// Sets a field to one value.
    fn set(&mut self, name: HeaderName, value: HeaderValue);
    /// Adds a value to a field.
    fn add(&mut self, name: HeaderName, value: HeaderValue);
    /// Takes a field out.
    fn take_out(&mut self, name: &HeaderName);
}

impl Fields for HeaderMap {
    fn set(&mut self, name: HeaderName, value: HeaderValue) {
        self.insert(name, value);
    }

    fn add(&mut self, name: HeaderName, value: HeaderValue) {
        self.append(name, value);
    }

    fn take_out(&mut self, name: &HeaderName) {
        self.remove(name);
    }
}

/// pingora refuses names and values that are none; these are.
impl Fields for RequestHeader {
    fn set(&mut self, name: HeaderName, value: HeaderValue) {
        let _ = self.insert_header(name, value);
    }

    fn add(&mut self, name: HeaderName, value: HeaderValue) {
        let _ = self.append_header(name, value);
    }

    fn take_out(&mut self, name: &HeaderName) {
        self.remove_header(name);
    }
}

/// Room for what we add to the fields of a client.
const OURS: usize = 20;

/// The fields of a request without a body that an upstream may see, `Authorization` among them; `Host` and
/// `Cookie` are the caller's business.
pub fn passed_on(head: &Head, reserved: &Reserved) -> HeaderMap {
    let mut fields = HeaderMap::with_capacity(head.headers.len() + OURS);
    for (name, value) in headers::passed(&head.headers, reserved) {
        fields.append(name.clone(), value.clone());
    }
    for credentials in head.headers.get_all(AUTHORIZATION) {
        fields.append(AUTHORIZATION, credentials.clone());
    }
    fields
}

/// A request for `target` with these fields.
///
/// # Errors
/// When the porch let something pass that cannot be written.
pub fn anew(method: &str, target: &Target, fields: HeaderMap) -> Result<RequestHeader> {
    let method = Method::from_bytes(method.as_bytes())
        .map_err(|_| Error::explain(ErrorType::HTTPStatus(500), "the method cannot be sent"))?;
    let request = RequestHeader::build_no_case(method, target.as_str().as_bytes(), Some(0))?;
    let mut parts: Parts = request.into();
    parts.version = Version::HTTP_11;
    parts.headers = fields;
    Ok(parts.into())
}

/// Drops what an upstream must not see, and states method, `target` and upgrade anew. pingora has taken
/// hop-by-hop fields off already.
///
/// # Errors
/// When the porch let something pass that cannot be written; nothing was sent then.
pub fn restate(
    request: &mut RequestHeader,
    visit: &Visit,
    target: &Target,
    reserved: &Reserved,
) -> Result<()> {
    let unsendable = |what| Error::explain(ErrorType::HTTPStatus(500), what);
    let method = Method::from_bytes(visit.head.method.as_bytes())
        .map_err(|_| unsendable("the method cannot be sent"))?;
    request.set_method(method);
    request
        .set_raw_path(target.as_str().as_bytes())
        .map_err(|_| unsendable("the target cannot be sent"))?;
    let names = request.headers.keys();
    let dropped: Vec<HeaderName> = names
        .filter(|name| reserved.drops(name.as_str()))
        .cloned()
        .collect();
    for name in &dropped {
        request.remove_header(name);
    }
    if is_websocket(visit) {
        request.insert_header(CONNECTION, "Upgrade")?;
        request.insert_header(UPGRADE, "websocket")?;
    }
    Ok(())
}

/// Whether a request of pingora's is one for this method and target, as the porch parsed them.
pub fn is_the_same(method: &str, target: &Target, request: &RequestHeader) -> bool {
    request.raw_path() == target.as_str().as_bytes()
        && request.uri.path() == target.path()
        && request.method.as_str() == method
}

/// A WebSocket to a web UI: the one upgrade that stays in pingora's loop.
pub fn is_websocket(visit: &Visit) -> bool {
    matches!(visit.door, Door::Guarded(Guarded::Page))
        && visit
            .head
            .upgrade
            .as_deref()
            .is_some_and(|token| token.eq_ignore_ascii_case("websocket"))
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr, SocketAddr};
    use std::time::Instant;

    use proptest::prelude::*;

    use super::*;
    use crate::domain::door::{Asked, decide};

    const NOBODY: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    fn visit(method: &str, target: &str, fields: &str) -> Option<Visit> {
        let raw = format!("{method} {target} HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
        let head = Head::parse(raw.as_bytes()).ok()?;
        let door = decide(
            &Asked {
                method: &head.method,
                target: &head.target,
                upgrade: head.upgrade.as_deref(),
            },
            &[],
        );
        Some(Visit {
            head,
            door,
            client: NOBODY,
            peer: SocketAddr::new(NOBODY, 1),
            trusted: false,
            id: "id".to_owned(),
            started: Instant::now(),
        })
    }

    fn sent(
        method: &str,
        target: &str,
        fields: &str,
        others: &[(&'static str, &str)],
    ) -> RequestHeader {
        let visit = visit(method, target, fields).unwrap();
        // Whatever pingora made of it.
        let mut request = RequestHeader::build("DELETE", b"/elsewhere?x", None).unwrap();
        for (name, value) in others {
            request.append_header(*name, *value).unwrap();
        }
        restate(
            &mut request,
            &visit,
            &visit.head.target,
            &Reserved::default(),
        )
        .unwrap();
        assert!(is_the_same(method, &visit.head.target, &request));
        request
    }

    #[test]
    fn what_goes_on_is_what_was_judged_whatever_pingora_read() {
        let request = sent(
            "GET",
            "/web/a?b=c",
            "",
            &[("x-original-url", "/key"), ("accept", "*/*")],
        );
        assert_eq!(request.method, Method::GET);
        assert_eq!(request.raw_path(), b"/web/a?b=c");
        assert!(request.headers.contains_key("accept"));
        assert!(!request.headers.contains_key("x-original-url"));
    }

    #[test]
    fn an_upgrade_goes_on_only_where_ours_is_one() {
        let both = [("connection", "upgrade, x"), ("upgrade", "h2c")];
        for (method, target, fields, token) in [
            (
                "GET",
                "/web",
                "Connection: upgrade\r\nUpgrade: WebSocket\r\n",
                Some("websocket"),
            ),
            (
                "GET",
                "/web",
                "Connection: upgrade\r\nUpgrade: h2c\r\n",
                None,
            ),
            ("GET", "/web", "Upgrade: websocket\r\n", None),
            ("GET", "/web", "", None),
            (
                "GET",
                "/api/v1/node",
                "Connection: upgrade\r\nUpgrade: websocket\r\n",
                None,
            ),
            (
                "GET",
                "/key",
                "Connection: upgrade\r\nUpgrade: websocket\r\n",
                None,
            ),
        ] {
            let request = sent(method, target, fields, &both);
            let found = request
                .headers
                .get(UPGRADE)
                .map(|value| value.to_str().unwrap());
            assert_eq!(found, token, "{target} {fields:?}");
            assert_eq!(request.headers.contains_key(CONNECTION), token.is_some());
        }
    }

    #[test]
    fn another_method_path_or_query_is_not_the_same() {
        let visit = visit("GET", "/a?b", "").unwrap();
        for (method, target, same) in [
            ("GET", "/a?b", true),
            ("POST", "/a?b", false),
            ("GET", "/a", false),
            ("GET", "/a?", false),
            ("GET", "/a?b=", false),
            ("GET", "/A?b", false),
            ("GET", "http://a/a?b", false),
        ] {
            let request = RequestHeader::build(method, target.as_bytes(), None).unwrap();
            assert_eq!(
                is_the_same(&visit.head.method, &visit.head.target, &request),
                same,
                "{method} {target}"
            );
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4096))]

        /// No target that the porch lets pass is one that pingora would refuse or read otherwise.
        #[test]
        fn pingora_reads_every_canonical_target_as_the_porch_does(
            path in "(/[a-zA-Z0-9._~!$&'()*+,=:@-]{0,4}|/%[2-7c][0-9a-f]){1,4}",
            query in proptest::option::of("[!-~]{0,12}"),
        ) {
            let target = query.map_or(path.clone(), |query| format!("{path}?{query}"));
            if let Some(visit) = visit("GET", &target, "") {
                let request = RequestHeader::build("GET", target.as_bytes(), None);
                let head = &visit.head;
                prop_assert!(request.is_ok_and(|request| is_the_same(&head.method, &head.target, &request)), "{}", target);
            }
        }
    }
}
