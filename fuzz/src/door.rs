//! Request targets and doors. Input: the method, the upgrade token (empty for none), and behind these
//! two lines the target.

use headwarden::domain::door::{self, Asked, Door, Guarded, OpenPath};
use headwarden::domain::path::{MAX_TARGET, Target};
use url::Url;

use super::support::{lines, unescape};

/// What the operator opened.
const OPENED: &str = "/assets/a@b.png";

pub fn run(data: &[u8]) {
    let Some(([method, upgrade], raw)) = lines::<2>(data) else {
        return;
    };
    let (Ok(method), Ok(upgrade)) = (std::str::from_utf8(method), std::str::from_utf8(upgrade))
    else {
        return;
    };
    let upgrade = Some(upgrade).filter(|token| !token.is_empty());
    let Ok(target) = Target::parse(raw) else {
        return;
    };
    check_target(&target, raw);
    let found = decide(method, &target, upgrade);
    check_door(method, target.path(), upgrade, &found);
    for view in views(target.path()) {
        let seen = Target::parse(view.as_bytes()).unwrap_or_else(|why| {
            panic!("{target}: an upstream sees {view}, which is refused: {why}")
        });
        let there = decide(method, &seen, upgrade);
        // An operator's path is compared as it was written: another spelling may stay shut.
        let shut = there == Door::Open && found == Door::Guarded(Guarded::Page);
        assert!(
            there == found || shut,
            "{target} is {found:?}, and what an upstream sees, {view}, is {there:?}"
        );
    }
}

fn decide(method: &str, target: &Target, upgrade: Option<&str>) -> Door {
    let open = [OpenPath {
        method: "GET".to_owned(),
        path: OPENED.to_owned(),
    }];
    let asked = Asked {
        method,
        target,
        upgrade,
    };
    door::decide(&asked, &open)
}

/// A canonical target is what was received, and has nothing that two readers could differ about.
pub fn check_target(target: &Target, raw: &[u8]) {
    assert_eq!(target.as_str().as_bytes(), raw, "a target was changed");
    assert!(raw.len() <= MAX_TARGET && raw.starts_with(b"/"), "{target}");
    assert!(raw.iter().all(u8::is_ascii_graphic), "{target:?}");
    assert!(!raw.contains(&b'#'), "{target}");
    let path = target.path();
    assert!(!path.contains(['?', ';', '\\']), "{target}");
    let decoded = unescape(path.as_bytes());
    assert!(!decoded.contains(&b'%'), "{target} can be decoded twice");
    assert!(!decoded.iter().any(u8::is_ascii_control), "{target}");
    let text = std::str::from_utf8(&decoded).expect("a path that is no text");
    let segments: Vec<&str> = text.split('/').skip(1).collect();
    assert_eq!(
        segments.len(),
        path.split('/').skip(1).count(),
        "{target}: decoding makes segments"
    );
    for (index, segment) in segments.iter().enumerate() {
        assert!(!matches!(segment.trim(), "." | ".."), "{target}");
        assert!(
            !segment.is_empty() || index + 1 == segments.len(),
            "{target}"
        );
        assert!(!segment.contains(['\\', ';', '#']), "{target}");
    }
}

/// The path of a canonical target as upstreams see it, written as a path again.
fn views(path: &str) -> Vec<String> {
    let decoded = unescape(path.as_bytes());
    let url = Url::parse("http://upstream.test").unwrap();
    let whatwg = url.join(path).unwrap();
    assert_eq!(whatwg.origin(), url.origin(), "{path} leads away");
    assert_eq!(whatwg.path(), path, "a browser or Node reads another path");
    vec![escape(&decoded), escape(&go_clean(&decoded))]
}

/// Go's `path.Clean`, which keeps a slash at the end as `http.ServeMux` does.
fn go_clean(path: &[u8]) -> Vec<u8> {
    let mut kept: Vec<&[u8]> = Vec::new();
    for segment in path.split(|byte| *byte == b'/') {
        match segment {
            b"" | b"." => {}
            b".." => drop(kept.pop()),
            other => kept.push(other),
        }
    }
    let mut clean = b"/".to_vec();
    clean.extend(kept.join(&b'/'));
    if path.ends_with(b"/") && clean != b"/" {
        clean.push(b'/');
    }
    clean
}

fn escape(decoded: &[u8]) -> String {
    decoded
        .iter()
        .map(|byte| match byte {
            b if b.is_ascii_alphanumeric() || b"-._~!$&'()*+,=:@/".contains(b) => {
                char::from(*b).to_string()
            }
            other => format!("%{other:02X}"),
        })
        .collect()
}

/// The doors that ask for nobody, written down once more, by hand.
pub fn check_door(method: &str, path: &str, upgrade: Option<&str>, found: &Door) {
    let websocket = upgrade.is_some_and(|token| token.eq_ignore_ascii_case("websocket"));
    let machine = match (method, path) {
        ("POST", "/ts2021") => upgrade == Some("tailscale-control-protocol"),
        ("GET", "/ts2021") => websocket,
        ("GET", "/derp") => websocket || upgrade == Some("DERP"),
        _ => false,
    };
    // In the spelling of the operator, or as an upstream decodes it.
    let literally = path == OPENED;
    let opened = unescape(path.as_bytes()) == OPENED.as_bytes();
    let open = match method {
        "GET" => {
            matches!(
                path,
                "/key" | "/bootstrap-dns" | "/health" | "/derp/probe" | "/derp/latency-check"
            ) || (opened && upgrade.is_none())
        }
        "HEAD" => {
            matches!(
                path,
                "/machine/ping-response" | "/derp/probe" | "/derp/latency-check"
            ) || (opened && upgrade.is_none())
        }
        _ => false,
    };
    let asked = format!("{method} {path} ({upgrade:?}) is {found:?}");
    assert_eq!(matches!(found, Door::Machine(_)), machine, "{asked}");
    if opened == literally {
        assert_eq!(*found == Door::Open, open && !machine, "{asked}");
    } else {
        assert!(*found != Door::Open || open, "{asked}");
    }
    if *found == Door::Verify {
        assert_eq!((method, path), ("POST", "/verify"), "{asked}");
    }
    if *found == Door::NoContent {
        assert_eq!(path, "/generate_204", "{asked}");
    }
    let below = |root: &str| path == root || path.starts_with(&format!("{root}/"));
    if below("/metrics") || below("/debug") || below("/oidc/register") {
        assert_eq!(*found, Door::Closed, "{asked}");
    }
    if below("/.headwarden") || path == "/oidc/callback" {
        assert!(matches!(found, Door::Own(_) | Door::Closed), "{asked}");
    }
    if let Door::Guarded(
        Guarded::Register(id) | Guarded::SshCheck(id) | Guarded::RegisterConfirm(id),
    ) = found
    {
        let name = id.as_str();
        assert!(path.ends_with(&format!("/{name}")), "{asked}");
        assert!(!name.contains(['/', '.', '%']), "{asked}");
    }
}
