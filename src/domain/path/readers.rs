//! How software behind a proxy reads a request target: small models for tests, each after its source
//! or its manual. What differs between them is what a canonical target must not have.
//!
//! A reader is given the whole target as it came over the wire, and says which path it acts on,
//! written as a target again ([`Reading`]): decoded text gets back exactly the escapes that a
//! canonical path has. `None` where it refuses, and so acts on nothing.

#![expect(
    clippy::unnecessary_wraps,
    reason = "readers are of one type, and some never refuse"
)]

use std::fmt::Write as _;

use percent_encoding::percent_decode_str;
use url::Url;

use super::may_stand_raw;

/// The path a reader acts on.
pub(crate) type Reading = Option<String>;

type Reader = fn(&str) -> Reading;

/// Readers that all have to agree on a canonical target.
pub(crate) const STRICT: [(&str, Reader); 10] = [
    ("Go, ServeMux", go_serve_mux),
    ("Go, chi", go_chi),
    ("nginx, merge_slashes on", nginx_merging),
    ("nginx, merge_slashes off", nginx_keeping),
    ("Tomcat", tomcat),
    ("Node, WHATWG URL", node_url),
    ("Node, legacy url.parse", node_legacy),
    ("Python, WSGI", wsgi),
    ("PHP behind Apache", php),
    ("whoever decodes twice", twice),
];

/// Readers that take different names for one: these may see less than a canonical target says, and
/// never more than was asked for.
pub(crate) const CARELESS: [(&str, Reader); 4] = [
    ("whoever decodes before cutting at ?", early),
    ("IIS and ASP.NET on Windows", iis),
    ("a router without case", caseless),
    ("a router without trailing slashes", slashless),
];

/// Decoded text as a target's path: what may stand in one stands, everything else is escaped.
pub(crate) fn encode(text: &str) -> String {
    escape(text, may_stand_raw)
}

fn escape(text: &str, plain: impl Fn(u8) -> bool) -> String {
    text.bytes().fold(String::new(), |mut path, byte| {
        if plain(byte) {
            path.push(char::from(byte));
        } else {
            let _ = write!(path, "%{byte:02X}");
        }
        path
    })
}

/// Percent-decoding as nearly everybody does it: broken escapes stay, what is no UTF-8 is replaced.
fn decode(path: &str) -> String {
    percent_decode_str(path).decode_utf8_lossy().into_owned()
}

/// `unescape` of Go's net/url and the like: a broken escape is an error.
fn decode_strictly(path: &str) -> Option<String> {
    let whole = path.split('%').skip(1).all(|after| {
        let mut digits = after.bytes();
        let mut digit = || digits.next().is_some_and(|b| b.is_ascii_hexdigit());
        digit() && digit()
    });
    whole.then(|| decode(path))
}

fn before<'a>(target: &'a str, ends: &[char]) -> &'a str {
    target.split(ends).next().unwrap_or_default()
}

/// Resolves dot segments, as RFC 3986 section 5.2.4 does; what it makes of empty segments, and of
/// `..` at the root, is each reader's own.
struct Cleaning {
    merges_slashes: bool,
    stops_at_root: bool,
}

impl Cleaning {
    fn clean(&self, path: &str) -> Reading {
        let mut kept: Vec<&str> = Vec::new();
        for segment in path.split('/').skip(1) {
            match segment {
                ".." if kept.pop().is_none() && !self.stops_at_root => return None,
                "." | ".." => {}
                "" if self.merges_slashes => {}
                other => kept.push(other),
            }
        }
        let open_ended = ["/", "/.", "/.."].iter().any(|end| path.ends_with(end));
        let ends = open_ended && kept.last().is_none_or(|last| !last.is_empty());
        let slash = if ends && !kept.is_empty() { "/" } else { "" };
        Some(format!("/{}{slash}", kept.join("/")))
    }
}

/// `path.Clean` and its kin: slashes merge, the root has no parent.
const CLEAN: Cleaning = Cleaning {
    merges_slashes: true,
    stops_at_root: true,
};

/// Go's `http.ServeMux` and everything over `URL.Path`: `ParseRequestURI` cuts at the first `?` only
/// (a `#` stays), `unescape` decodes once, `cleanPath` cleans. (The mux redirects to the clean path; a
/// file server or a handler that cleans by itself serves it.)
fn go_serve_mux(target: &str) -> Reading {
    CLEAN
        .clean(&decode_strictly(before(target, &['?']))?)
        .map(|path| encode(&path))
}

/// chi, Headscale's router since 0.29: it routes on `URL.RawPath` where there is one, without cleaning.
/// There is one when the path as sent is not what `URL.EscapedPath` would write for it.
fn go_chi(target: &str) -> Reading {
    let raw = before(target, &['?']);
    let decoded = decode_strictly(raw)?;
    // `shouldEscape` in mode encodePath: of the reserved characters, `?` alone.
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.~$&+,/:;=@".contains(&b);
    let escaped = escape(&decoded, plain);
    Some(if escaped == raw {
        encode(&decoded)
    } else {
        raw.to_owned()
    })
}

/// nginx's `ngx_http_parse_complex_uri`: `?` and `#` end the path; an escape is decoded once and then
/// read as if it had been sent plain (so `%2e%2e%2f` climbs), `%00` is refused, as is climbing above
/// the root. Only `%23`, `%25` and `%3f` are taken for characters of a name, which they stay.
fn nginx(target: &str, merges_slashes: bool) -> Reading {
    let decoded = decode_strictly(before(target, &['?', '#']))?;
    if decoded.contains('\0') {
        return None;
    }
    let cleaning = Cleaning {
        merges_slashes,
        stops_at_root: false,
    };
    cleaning.clean(&decoded).map(|path| encode(&path))
}

fn nginx_merging(target: &str) -> Reading {
    nginx(target, true)
}

fn nginx_keeping(target: &str) -> Reading {
    nginx(target, false)
}

/// Tomcat's `CoyoteAdapter`: path parameters (`;` to the next slash) go first, then one decoding, then
/// `normalize`, as configured by those who allow backslashes and encoded slashes: both are slashes.
fn tomcat(target: &str) -> Reading {
    let bare: Vec<&str> = before(target, &['?'])
        .split('/')
        .map(|segment| before(segment, &[';']))
        .collect();
    let decoded = decode_strictly(&bare.join("/"))?.replace('\\', "/");
    let cleaning = Cleaning {
        merges_slashes: true,
        stops_at_root: false,
    };
    (!decoded.contains('\0'))
        .then(|| cleaning.clean(&decoded))?
        .map(|path| encode(&path))
}

/// `new URL(req.url, base)`: tabs and line ends vanish, backslashes are slashes, `%2e` is a dot, two
/// slashes begin a host. Routers then decode what they match.
fn node_url(target: &str) -> Reading {
    let base = Url::parse("http://upstream/").ok()?;
    let url = base.join(target).ok()?;
    Some(encode(&decode(url.path())))
}

/// Node's `url.parse(req.url)`, as connect and Express use it: backslashes before the `?` are slashes,
/// `#` ends the path, nothing is cleaned; decoded by the router.
fn node_legacy(target: &str) -> Reading {
    let path = before(target, &['?', '#']).replace('\\', "/");
    Some(encode(&decode_strictly(&path)?))
}

/// `PATH_INFO` of WSGI (PEP 3333), as `http.server` and wsgiref make it: cut at `?`, slashes at the
/// beginning collapsed, `urllib.parse.unquote` once.
fn wsgi(target: &str) -> Reading {
    let path = before(target, &['?']);
    let path = match path.strip_prefix("//") {
        Some(rest) => format!("/{}", rest.trim_start_matches('/')),
        None => path.to_owned(),
    };
    Some(encode(&decode(&path)))
}

/// PHP behind Apache: `ap_unescape_url`, `ap_getparents`, `ap_no2slash` (with `AllowEncodedSlashes`), and a
/// file name that ends at its first NUL.
fn php(target: &str) -> Reading {
    let decoded = decode_strictly(before(target, &['?', '#']))?;
    CLEAN
        .clean(before(&decoded, &['\0']))
        .map(|path| encode(&path))
}

/// Two layers of any of them.
fn twice(target: &str) -> Reading {
    Some(encode(&decode(&decode(before(target, &['?', '#'])))))
}

/// A proxy in front of the upstream that forwards the decoded path, so that the upstream takes an
/// escaped `?` for the beginning of the query.
fn early(target: &str) -> Reading {
    let decoded = decode(before(target, &['?', '#']));
    Some(encode(before(&decoded, &['?'])))
}

/// IIS, and whatever opens files on Windows: `best fit` code pages make ASCII of full-width letters and
/// of other solidi, backslashes are slashes, blanks and dots at the end of a name vanish, case too.
fn iis(target: &str) -> Reading {
    let folded: String = decode(before(target, &['?', '#']))
        .chars()
        .map(|c| match c {
            '\u{ff01}'..='\u{ff5e}' => char::from_u32(u32::from(c) - 0xfee0).unwrap_or(c),
            '\u{2044}' | '\u{2215}' | '\u{2216}' | '\u{20e5}' | '\u{a5}' | '\u{20a9}' | '\\' => '/',
            '\u{2024}' => '.',
            _ => c,
        })
        .collect();
    // Dot segments first: `..` is no name whose dots vanish.
    let clean = CLEAN.clean(&folded)?;
    let names: Vec<&str> = clean
        .split('/')
        .map(|name| name.trim_end_matches(['.', ' ']))
        .collect();
    Some(encode(&names.join("/").to_lowercase()))
}

/// Routers that compare without case, as ASP.NET's and Express's do by default.
fn caseless(target: &str) -> Reading {
    let path = decode(before(target, &['?'])).to_uppercase().to_lowercase();
    Some(encode(&path))
}

/// Routers for which `/a/` is `/a`, as Express's is by default.
fn slashless(target: &str) -> Reading {
    let path = decode(before(target, &['?']));
    let bare = path.strip_suffix('/').filter(|bare| !bare.is_empty());
    Some(encode(bare.unwrap_or(&path)))
}

/// The models are worth something only if they do read hostile targets in their own ways.
#[test]
fn each_reader_falls_for_what_it_is_known_to_fall_for() {
    for (name, target, path) in [
        ("Go, ServeMux", "/a/%2e%2e%2fkey", "/key"),
        ("Go, ServeMux", "//key", "/key"),
        ("Go, ServeMux", "/a/..;/key", "/a/..%3B/key"),
        ("Go, ServeMux", "/key#/x", "/key%23/x"),
        ("Go, chi", "/%6bey", "/%6bey"),
        ("Go, chi", "/a%20b", "/a%20b"),
        ("Go, chi", "/a/../key", "/a/../key"),
        ("nginx, merge_slashes on", "/a/..//key", "/key"),
        ("nginx, merge_slashes on", "/key#/../x", "/key"),
        ("nginx, merge_slashes on", "/a%2f%2e%2e/key", "/key"),
        ("nginx, merge_slashes off", "/a//../key", "/a/key"),
        ("nginx, merge_slashes off", "//key", "//key"),
        ("Tomcat", "/a/..;x=1/key", "/key"),
        ("Tomcat", "/key;jsessionid=1", "/key"),
        ("Tomcat", "/a\\..\\key", "/key"),
        ("Node, WHATWG URL", "/a/%2e%2e/key", "/key"),
        ("Node, WHATWG URL", "//evil/key", "/key"),
        ("Node, WHATWG URL", "/a\\..\\key", "/key"),
        ("Node, WHATWG URL", "/ke\ty", "/key"),
        ("Node, legacy url.parse", "\\key", "/key"),
        ("Python, WSGI", "///key", "/key"),
        ("Python, WSGI", "/%6b%65%79", "/key"),
        ("PHP behind Apache", "/key%00/x", "/key"),
        ("PHP behind Apache", "/a/./..//key", "/key"),
        ("whoever decodes twice", "/%256bey", "/key"),
        (
            "IIS and ASP.NET on Windows",
            "/A%EF%BC%8F../Key.%20",
            "/key",
        ),
        ("whoever decodes before cutting at ?", "/key%3F/x", "/key"),
        ("a router without case", "/%E2%84%AAey", "/key"),
        ("a router without trailing slashes", "/key/", "/key"),
    ] {
        let mut readers = STRICT.iter().chain(&CARELESS);
        let (_, read) = readers.find(|(found, _)| *found == name).unwrap();
        assert_eq!(read(target).as_deref(), Some(path), "{name} {target:?}");
    }
    for (name, target) in [
        ("Go, ServeMux", "/%zz"),
        ("Go, chi", "/%2"),
        ("nginx, merge_slashes on", "/../key"),
        ("nginx, merge_slashes off", "/key%00"),
        ("Tomcat", "/../key"),
        ("Tomcat", "/a%00"),
    ] {
        let (_, read) = STRICT.iter().find(|(found, _)| *found == name).unwrap();
        assert_eq!(read(target), None, "{name} {target:?}");
    }
}
