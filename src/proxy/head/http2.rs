//! The head of an HTTP/2 request, as the same value that one of HTTP/1.1 becomes (RFC 9113 section 8.3).
//!
//! The library has taken the frames apart and refused what is malformed by itself: pseudo-header fields
//! that are missing, repeated, unknown or behind others, names in upper case, a body that is not as long
//! as it says. What remains is what a request for an HTTP/1.1 upstream must not bring along.

use http::header::{CONNECTION, COOKIE, HOST, TE, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};

use super::{Framing, Head, HeadError, MAX_FIELDS, MAX_HEAD, the_framing, values};
use crate::domain::authority::Authority;
use crate::domain::path::{Target, TargetError};

/// Fields that belong to a connection of HTTP/1.1 (RFC 9113 section 8.2.2).
const OF_CONNECTIONS: [HeaderName; 5] = [
    CONNECTION,
    TRANSFER_ENCODING,
    UPGRADE,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
];

impl Head {
    /// From what the library made of the pseudo-header fields (`target` is `:path`) and the others. `ends`
    /// says that no body follows.
    ///
    /// # Errors
    /// Whatever is ambiguous, as in [`Head::parse`].
    pub fn from_http2(
        method: &Method,
        uri: &Uri,
        target: &[u8],
        fields: &HeaderMap,
        ends: bool,
    ) -> Result<Self, HeadError> {
        check_size(target, fields)?;
        if *method == Method::CONNECT {
            return Err(HeadError::Malformed("a tunnel to elsewhere"));
        }
        if !matches!(uri.scheme_str(), None | Some("http" | "https")) {
            return Err(HeadError::Malformed("an unusable scheme"));
        }
        let target = Target::parse(target).map_err(|why| match why {
            TargetError::TooLong => HeadError::TargetTooLong,
            why => HeadError::Target(why),
        })?;
        check_fields(fields)?;
        let named = uri
            .authority()
            .map(|authority| authority.as_str().as_bytes());
        let body = match the_framing(fields, true)? {
            Framing::None if !ends && !fields.contains_key(http::header::CONTENT_LENGTH) => {
                Framing::Chunked
            }
            framing => framing,
        };
        Ok(Self {
            method: method.as_str().to_owned(),
            target,
            http11: true,
            http2: true,
            host: Some(the_authority(named, &values(fields, &HOST))?),
            upgrade: None,
            body,
            headers: with_one_cookie_field(fields)?,
        })
    }
}

/// As long as a head of HTTP/1.1 may be.
fn check_size(target: &[u8], fields: &HeaderMap) -> Result<(), HeadError> {
    let lines = fields.iter();
    let lines = lines.map(|(name, value)| name.as_str().len() + value.len() + 4);
    if fields.len() > MAX_FIELDS || target.len() + lines.sum::<usize>() > MAX_HEAD {
        return Err(HeadError::TooLarge);
    }
    Ok(())
}

fn check_fields(fields: &HeaderMap) -> Result<(), HeadError> {
    if OF_CONNECTIONS.iter().any(|name| fields.contains_key(name)) {
        return Err(HeadError::Malformed("a field of HTTP/1.1's connections"));
    }
    if values(fields, &TE).iter().any(|te| *te != b"trailers") {
        return Err(HeadError::Malformed("an unusable TE"));
    }
    // Whoever reads them as HTTP/1.1 does not see the space (RFC 9113 section 8.2.1).
    let trimmed = |value: &HeaderValue| value.as_bytes().trim_ascii().len() == value.len();
    if !fields.values().all(trimmed) {
        return Err(HeadError::Malformed("space around a value"));
    }
    Ok(())
}

/// `:authority`, or `Host` where a request was translated from HTTP/1.1; they agree where both are there
/// (RFC 9113 section 8.3.1).
fn the_authority(named: Option<&[u8]>, hosts: &[&[u8]]) -> Result<Authority, HeadError> {
    let parse = |raw| Authority::parse(raw).ok_or(HeadError::Malformed("an unusable authority"));
    match (named, hosts) {
        (Some(one), []) | (None, &[one]) => parse(one),
        (Some(named), &[host]) => {
            let (named, host) = (parse(named)?, parse(host)?);
            if named == host {
                Ok(named)
            } else {
                Err(HeadError::Malformed("Host is not the authority"))
            }
        }
        (None, []) => Err(HeadError::Malformed("no authority")),
        (_, [_, _, ..]) => Err(HeadError::Malformed("more than one Host")),
    }
}

/// Cookies may come in crumbs (RFC 9113 section 8.2.3); elsewhere they are one field.
fn with_one_cookie_field(fields: &HeaderMap) -> Result<HeaderMap, HeadError> {
    let mut fields = fields.clone();
    let crumbs = values(&fields, &COOKIE);
    if crumbs.len() > 1 {
        let joined = HeaderValue::from_bytes(&crumbs.join(&b"; "[..]))
            .map_err(|_| HeadError::Malformed("an unusable field"))?;
        fields.insert(COOKIE, joined);
    }
    Ok(fields)
}

#[cfg(test)]
mod tests {
    use super::*;

    type Row<'a> = (&'a str, &'a str, &'a str, &'a [(&'a str, &'a str)]);

    /// A `GET` with these fields.
    fn with<'a>(lines: &'a [(&'a str, &'a str)]) -> Row<'a> {
        ("GET", "https://a/", "/", lines)
    }

    fn read(row: Row<'_>, ends: bool) -> Result<Head, String> {
        let (method, uri, target, lines) = row;
        let mut fields = HeaderMap::new();
        for (name, value) in lines {
            let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
            fields.append(name, HeaderValue::from_str(value).unwrap());
        }
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let uri: Uri = uri.parse().unwrap();
        Head::from_http2(&method, &uri, target.as_bytes(), &fields, ends)
            .map_err(|why| why.to_string())
    }

    #[test]
    fn a_request_is_read_as_one_of_http_1_1_would_be() {
        let crumbs = [("cookie", "a=1"), ("accept", "*/*"), ("cookie", "b=2; c=3")];
        let head = read(("GET", "https://Hs.example:443/a?b", "/a?b", &crumbs), true).unwrap();
        assert_eq!(head.method, "GET");
        assert_eq!(head.target.as_str(), "/a?b");
        assert_eq!(head.host.unwrap().to_string(), "hs.example:443");
        assert_eq!((head.upgrade, head.body), (None, Framing::None));
        assert_eq!(head.headers.get("cookie").unwrap(), "a=1; b=2; c=3");
        assert_eq!(head.headers.get_all("cookie").iter().count(), 1);
    }

    #[test]
    fn a_body_is_as_long_as_it_says_or_ends_with_its_stream() {
        type Row<'r> = (&'r [(&'r str, &'r str)], bool, Framing);
        let rows: [Row<'_>; 4] = [
            (&[], true, Framing::None),
            (&[], false, Framing::Chunked),
            (&[("content-length", "0")], false, Framing::None),
            (&[("content-length", "7")], false, Framing::Length(7)),
        ];
        for (lines, ends, body) in rows {
            assert_eq!(
                read(with(lines), ends).unwrap().body,
                body,
                "{lines:?} {ends}"
            );
        }
    }

    #[test]
    fn what_an_upstream_could_read_otherwise_is_refused() {
        let long = "x".repeat(MAX_HEAD);
        let long = [("a", long.as_str())];
        let many: Vec<(&str, &str)> = vec![("x", "y"); MAX_FIELDS + 1];
        let rows: &[(Row<'_>, &str)] = &[
            (("CONNECT", "a:1", "a:1", &[]), "a tunnel"),
            (("GET", "ftp://a/", "/", &[]), "scheme"),
            (("GET", "https://a/", "*", &[]), "target"),
            (("GET", "https://a/", "", &[]), "target"),
            (("GET", "https://a/", "http://a/", &[]), "target"),
            (("GET", "https://a/", "/a/../b", &[]), "target"),
            (("GET", "https://a/", "//a", &[]), "target"),
            (("GET", "/", "/", &[]), "no authority"),
            (("GET", "https://u@a/", "/", &[]), "authority"),
            (("GET", "https://a:/", "/", &[]), "authority"),
            (("GET", "/", "/", &[("host", "u@a")]), "authority"),
            (with(&[("host", "b")]), "Host is not"),
            (with(&[("host", "a:443")]), "Host is not"),
            (with(&[("host", "a"), ("host", "a")]), "more than one Host"),
            (with(&[("connection", "x")]), "connections"),
            (with(&[("transfer-encoding", "chunked")]), "connections"),
            (with(&[("upgrade", "h2c")]), "connections"),
            (with(&[("keep-alive", "1")]), "connections"),
            (with(&[("proxy-connection", "x")]), "connections"),
            (with(&[("te", "trailers, deflate")]), "TE"),
            (with(&[("te", "Trailers")]), "TE"),
            (with(&[("a", " b")]), "space"),
            (with(&[("a", "b\t")]), "space"),
            (with(&[("content-length", "+1")]), "Content-Length"),
            (
                with(&[("content-length", "1"), ("content-length", "1")]),
                "more than one",
            ),
            (with(&long), "too large"),
            (with(&many), "too large"),
        ];
        for (row, why) in rows {
            let found = read(*row, true).map(|_| ()).unwrap_err();
            assert!(found.contains(why), "{row:.80?}: {found}");
        }
        for row in [with(&[("te", "trailers")]), with(&[("host", "A")])] {
            assert!(read(row, true).is_ok(), "{row:?}");
        }
        assert!(read(("GET", "/", "/", &[("host", "a")]), true).is_ok());
    }
}
