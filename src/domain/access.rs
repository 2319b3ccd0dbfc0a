//! Patterns of `access` rules: an exact path, `/x/*` for one segment below, `/x/**` for `/x` and
//! everything below. Always at a segment's boundary, always with exact case, and always what an
//! upstream decodes: `/a%40b` is `/a@b`, in a pattern as in a path.
//!
//! Not every upstream tells `/Admin`, `/admin.`, `/admin/` and `/admin%3Fx` from `/admin`. So what a
//! rule asks for is asked for there as well ([`walk`]), while only the exact path is routed by it.

use percent_encoding::percent_decode_str;

use super::methods::Methods;
use super::path::{Target, TargetError, same_path};

/// What no rule makes public, whatever a careless upstream would take it for: devices' links, the API and its
/// documentation, and what is of machines and of Headwarden itself.
pub const NEVER_PUBLIC: &[&str] = &[
    "/register/**",
    "/auth/**",
    "/api/**",
    "/swagger/**",
    "/oidc/**",
    "/metrics/**",
    "/debug/**",
    "/.headwarden/**",
];

/// Why a pattern is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// It does not begin with `/`.
    #[error("must begin with /")]
    NotAbsolute,
    /// A `*` that is not the whole last segment.
    #[error("may have * or ** only as the whole last segment")]
    Star,
    /// No request could have this path.
    #[error("cannot be a path: {0}")]
    Path(#[source] TargetError),
}

/// Checks a pattern as an operator wrote it.
///
/// # Errors
/// See [`PatternError`].
pub fn check_pattern(pattern: &str) -> Result<(), PatternError> {
    if !pattern.starts_with('/') {
        return Err(PatternError::NotAbsolute);
    }
    let literal = pattern
        .strip_suffix("/**")
        .or_else(|| pattern.strip_suffix("/*"))
        .unwrap_or(pattern);
    if literal.contains('*') {
        return Err(PatternError::Star);
    }
    // A star may stand in a path, so the whole pattern is checked: `/a//**` could never match.
    match Target::parse(pattern.as_bytes()) {
        Ok(target) if target.query().is_none() => Ok(()),
        Ok(_) => Err(PatternError::Path(TargetError::Character)),
        Err(why) => Err(PatternError::Path(why)),
    }
}

/// How a pattern stands to a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holds {
    /// The path is another one.
    No,
    /// The path is another one, and the same to an upstream that ignores case, blanks and dots at the
    /// end of a segment, or a slash at the end.
    Alike,
    /// The pattern means this path.
    Exactly,
}

/// How `pattern` stands to `path`, a [`Target`]'s.
pub fn holds(pattern: &str, path: &str) -> Holds {
    if are_unlike(pattern, path) {
        Holds::No
    } else if path_matches(pattern, path) {
        Holds::Exactly
    } else if matches(bare(pattern), bare(path), alike) {
        Holds::Alike
    } else {
        Holds::No
    }
}

/// Where a walk ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// No rule means the path.
    Nothing,
    /// The rule at this place.
    Rule(usize),
    /// Rules mean the path, and none of them this method. What they take together.
    OtherMethods(Methods),
}

/// Walks the rules of a path in their order, to the first that means it exactly and takes `method`.
/// `ask` is called with the place of every rule for that method whose demands count: that one, and
/// those before it that a careless upstream could take the path for. An escaped `?` is a query to
/// whoever decodes before cutting, so the path up to it is walked as well.
///
/// # Errors
/// The first that `ask` gives; the walk ends there.
pub fn walk<'p, E>(
    rules: &(impl Iterator<Item = (&'p str, Methods)> + Clone),
    method: &str,
    path: &str,
    mut ask: impl FnMut(usize) -> Result<(), E>,
) -> Result<Found, E> {
    let mut along = |path: &str| {
        let mut others = Methods::NONE;
        for (place, (pattern, methods)) in rules.clone().enumerate() {
            let stands = holds(pattern, path);
            if stands == Holds::No {
                continue;
            }
            if methods.has(method) {
                ask(place)?;
                if stands == Holds::Exactly {
                    return Ok(Found::Rule(place));
                }
            } else if stands == Holds::Exactly {
                others = others.and(methods);
            }
        }
        Ok(if others.is_empty() {
            Found::Nothing
        } else {
            Found::OtherMethods(others)
        })
    };
    let before_query = cut(path);
    if before_query != path {
        along(before_query)?;
    }
    along(path)
}

/// Whether `path` is what one of `patterns` means, or could be taken for it, also by whoever decodes an
/// escaped `?` before cutting there.
pub fn could_be_any(patterns: &[&str], path: &str) -> bool {
    patterns
        .iter()
        .any(|pattern| holds(pattern, path) != Holds::No || holds(pattern, cut(path)) != Holds::No)
}

/// Whether `path`, a [`Target`]'s, is one that `pattern` means.
pub fn path_matches(pattern: &str, path: &str) -> bool {
    matches(pattern, path, same_path)
}

/// Whether both begin alike and then have letters, digits, hyphens or underscores that differ by more than
/// case: such bytes stand for themselves to everybody, so that no reader takes one for the other. Most
/// rules are not about most paths, and end here.
fn are_unlike(pattern: &str, path: &str) -> bool {
    let mut differing = pattern
        .bytes()
        .zip(path.bytes())
        .skip_while(|(wanted, found)| {
            wanted.eq_ignore_ascii_case(found) && (is_plain(*wanted) || *wanted == b'/')
        });
    // The first pair is one that differs, or that has to be looked at more closely.
    differing.next().is_some_and(|(wanted, found)| {
        is_plain(wanted) && is_plain(found) && !wanted.eq_ignore_ascii_case(&found)
    })
}

/// A byte that nobody decodes, folds (but for its case) or drops.
const fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')
}

fn matches(pattern: &str, path: &str, same: fn(&str, &str) -> bool) -> bool {
    let mut wanted = pattern.split('/');
    let mut found = path.split('/');
    loop {
        match (wanted.next(), found.next()) {
            (Some("**"), _) | (None, None) => return true,
            (Some("*"), Some(segment)) if !segment.is_empty() => {}
            (Some(literal), Some(segment)) if literal != "*" && same(literal, segment) => {}
            _ => return false,
        }
    }
}

/// Without what comes behind an escaped `?`, which is a query to whoever decodes before cutting.
fn cut(path: &str) -> &str {
    let marks = ["%3F", "%3f"].iter();
    let end = marks.filter_map(|mark| path.find(mark)).min();
    end.and_then(|end| path.get(..end)).unwrap_or(path)
}

/// Without a slash at the end.
fn bare(path: &str) -> &str {
    path.strip_suffix('/').unwrap_or(path)
}

fn alike(literal: &str, segment: &str) -> bool {
    // Nothing to decode, to fold or to drop: most segments of most requests.
    let plain = |text: &str| text.bytes().all(is_plain);
    literal.eq_ignore_ascii_case(segment)
        || (!(plain(literal) && plain(segment)) && folded(literal) == folded(segment))
}

/// A segment without case (by way of upper case, which folds `ſ` and the Kelvin sign too) and without
/// what file systems drop at the end of a name.
fn folded(segment: &str) -> String {
    let text = percent_decode_str(segment).decode_utf8_lossy();
    let dropped = |c: char| c == '.' || c.is_whitespace();
    text.to_uppercase()
        .to_lowercase()
        .trim_end_matches(dropped)
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_pattern_means_whole_segments() {
        for (pattern, path, matches) in [
            ("/admin/**", "/admin", true),
            ("/admin/**", "/admin/", true),
            ("/admin/**", "/admin/a/b", true),
            ("/admin/**", "/administrator", false),
            ("/admin/**", "/Admin", false),
            ("/admin/**", "/", false),
            ("/**", "/", true),
            ("/**", "/a/b", true),
            ("/web/*", "/web/a", true),
            ("/web/*", "/web/a/b", false),
            ("/web/*", "/web/", false),
            ("/web/*", "/web", false),
            ("/web", "/web", true),
            ("/web", "/web/", false),
            ("/web", "/web/a", false),
            ("/web/*", "/webx/a", false),
            ("/web/*", "/web/a/", false),
            ("/web/*", "/web/*", true),
            ("/*", "/", false),
            ("/*", "/a", true),
            ("/", "/", true),
            ("/", "/a", false),
            ("/public", "/public.php", false),
            ("/public", "/public~", false),
            ("/public/**", "/publicity", false),
            ("/public/**", "/public../private", false),
            ("/admin/**", "/a/admin/b", false),
            ("/admin/**", "", false),
        ] {
            assert_eq!(path_matches(pattern, path), matches, "{pattern} {path}");
        }
    }

    #[test]
    fn no_other_spelling_of_a_path_gets_past_a_pattern() {
        for (pattern, path) in [
            ("/a@b/**", "/a%40b/x"),
            ("/a%40b/**", "/a@b/x"),
            ("/a,b", "/a%2Cb"),
            ("/a,b", "/a%2cb"),
            ("/caf%C3%A9/*", "/caf%c3%a9/x"),
            ("/a%20b", "/a%20b"),
        ] {
            assert!(path_matches(pattern, path), "{pattern} {path}");
        }
        // An escaped star is a character of the path, never a pattern.
        assert!(!path_matches("/%2A", "/a"));
        assert!(path_matches("/%2A", "/*"));
        assert!(!path_matches("/a/%2A%2A", "/a/b/c"));
    }

    #[test]
    fn what_a_careless_upstream_takes_for_a_rules_path_is_told_from_what_is_another() {
        for (pattern, path, expected) in [
            ("/admin/**", "/admin/x", Holds::Exactly),
            ("/admin/**", "/Admin/x", Holds::Alike),
            ("/admin/**", "/ADMIN", Holds::Alike),
            ("/admin/**", "/admin./x", Holds::Alike),
            ("/admin/**", "/admin%20/x", Holds::Alike),
            ("/admin/**", "/admin.%20./x", Holds::Alike),
            ("/admin/**", "/administrator/x", Holds::No),
            ("/admin/**", "/.admin/x", Holds::No),
            ("/admin/**", "/a.dmin/x", Holds::No),
            ("/admin/**", "/x/Admin", Holds::No),
            ("/admin", "/admin/", Holds::Alike),
            ("/admin/", "/admin", Holds::Alike),
            ("/admin", "/admin/x", Holds::No),
            ("/web/*", "/web/a/", Holds::Alike),
            ("/web/*", "/Web/a", Holds::Alike),
            ("/web/*", "/web/a/b", Holds::No),
            ("/web/*", "/web/", Holds::No),
            ("/caf%C3%A9", "/CAF%C3%89", Holds::Alike),
            ("/k", "/%E2%84%AA", Holds::Alike),
            ("/s", "/%C5%BF", Holds::Alike),
            ("/admin/**", "/admin%3F/x", Holds::No),
            ("/Admin/*", "/admin/%3F", Holds::Alike),
            ("/%2A", "/a", Holds::No),
            ("/", "/", Holds::Exactly),
            ("/", "/a", Holds::No),
            ("/**", "/A", Holds::Exactly),
        ] {
            assert_eq!(holds(pattern, path), expected, "{pattern} {path}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20_000))]

        /// A rule that is passed over at first sight is one that no closer look would find.
        #[test]
        fn no_rule_is_passed_over_at_first_sight_that_a_closer_look_would_find(
            pattern in "/(a|b|A|-|k|%4B|%C5%BF|s|%20|\\.|/|%E2%84%AA){0,5}(/\\*{1,2})?",
            path in "/(a|b|A|-|K|%4B|%C5%BF|s|%20|\\.|/|%E2%84%AA|\\*){0,6}",
        ) {
            let found = path_matches(&pattern, &path) || matches(bare(&pattern), bare(&path), alike);
            prop_assert!(!(found && are_unlike(&pattern, &path)), "{} {}", pattern, path);
        }
    }

    #[test]
    fn the_first_exact_rule_routes_and_every_rule_a_path_could_be_taken_for_is_asked() {
        let rules = ["/ui/admin/**", "/ui/page", "/ui/one/*", "/ui/**"];
        for (path, rule, asks) in [
            ("/ui/admin/x", Some(0), &[0][..]),
            ("/ui/Admin/x", Some(3), &[0, 3]),
            ("/UI/ADMIN", None, &[0, 3]),
            ("/ui/admin%3F/x", Some(3), &[0, 3]),
            ("/ui/page", Some(1), &[1]),
            ("/ui/page/", Some(3), &[1, 3]),
            ("/ui/page/x", Some(3), &[3]),
            ("/ui/one/x", Some(2), &[2]),
            // Up to the mark it is another page, of another rule.
            ("/ui/one/%3Fx", Some(2), &[3, 2]),
            ("/ui/x", Some(3), &[3]),
            ("/x", None, &[]),
        ] {
            let mut asked = Vec::new();
            let rules = rules.into_iter().map(|pattern| (pattern, Methods::ALL));
            let found = walk(&rules, "GET", path, |place| {
                if !asked.contains(&place) {
                    asked.push(place);
                }
                Ok::<(), ()>(())
            });
            let rule = rule.map_or(Found::Nothing, Found::Rule);
            assert_eq!((found, asked.as_slice()), (Ok(rule), asks), "{path}");
        }
        // A refusal ends the walk.
        let rules = rules.into_iter().map(|pattern| (pattern, Methods::ALL));
        let found = walk(&rules, "GET", "/ui/Admin/x", |place| match place {
            0 => Err("not this one"),
            other => panic!("{other} was asked"),
        });
        assert_eq!(found, Err("not this one"));
    }

    #[test]
    fn a_rule_of_other_methods_is_passed_over_and_a_path_that_only_such_rules_mean_is_told() {
        let of = |methods: &[&str]| {
            let each = methods.iter().filter_map(|method| Methods::parse(method));
            each.fold(Methods::NONE, Methods::and)
        };
        let (read, write) = (of(&["GET"]), of(&["POST", "DELETE"]));
        let rules = [
            ("/a/admin/**", write),
            ("/a/**", read),
            ("/a/b", write),
            ("/c", write),
            ("/c", of(&["PUT"])),
            ("/d/**", read),
            ("/d/**", Methods::ALL),
        ];
        for (method, path, expected, asks) in [
            ("GET", "/a/x", Found::Rule(1), &[1][..]),
            ("HEAD", "/a/x", Found::Rule(1), &[1]),
            ("POST", "/a/x", Found::OtherMethods(read), &[]),
            ("OPTIONS", "/a/x", Found::OtherMethods(read), &[]),
            ("get", "/a/x", Found::OtherMethods(read), &[]),
            ("POST", "/a/admin/x", Found::Rule(0), &[0]),
            ("GET", "/a/admin/x", Found::Rule(1), &[1]),
            ("GET", "/a/Admin/x", Found::Rule(1), &[1]),
            ("POST", "/a/Admin/x", Found::OtherMethods(read), &[0]),
            ("POST", "/a/b", Found::Rule(2), &[2]),
            ("PUT", "/a/b", Found::OtherMethods(read.and(write)), &[]),
            (
                "GET",
                "/c",
                Found::OtherMethods(of(&["POST", "DELETE", "PUT"])),
                &[],
            ),
            ("PUT", "/c", Found::Rule(4), &[4]),
            ("GET", "/d", Found::Rule(5), &[5]),
            ("POST", "/d", Found::Rule(6), &[6]),
            ("POST", "/x", Found::Nothing, &[]),
        ] {
            let mut asked = Vec::new();
            let found = walk(&rules.into_iter(), method, path, |place| {
                asked.push(place);
                Ok::<(), ()>(())
            });
            let expected = (Ok(expected), asks);
            assert_eq!((found, asked.as_slice()), expected, "{method} {path}");
        }
    }

    #[test]
    fn a_path_that_could_be_taken_for_a_link_is_told() {
        let links = ["/register/**", "/auth/**"];
        for (path, could) in [
            ("/register", true),
            ("/register/", true),
            ("/register/x", true),
            ("/Register/x", true),
            ("/register./x", true),
            ("/register%3Fx", true),
            ("/REGISTER%3fx/y", true),
            ("/auth%20/x", true),
            ("/registers/x", false),
            ("/x/register", false),
            ("/", false),
        ] {
            assert_eq!(could_be_any(&links, path), could, "{path}");
        }
    }

    #[test]
    fn a_pattern_that_could_surprise_is_refused() {
        for pattern in [
            "admin",
            "",
            "*",
            "/a*",
            "/*/a",
            "/a/**/b",
            "/a//b",
            "/../a",
            "/a?b",
            "/a b",
            "//**",
            "/a//**",
            "/a//*",
            "/a/***",
            "/a**",
            "/**/",
            "/*/",
            "/a;b/**",
            "/%61dmin",
            "/é",
            "/a#b",
            "/a\\b",
            "https://evil/**",
            "/./**",
        ] {
            assert!(check_pattern(pattern).is_err(), "{pattern}");
        }
        for pattern in [
            "/",
            "/admin",
            "/admin/",
            "/admin/**",
            "/web/*",
            "/**",
            "/*",
            "/caf%C3%A9/**",
            "/%2A",
        ] {
            assert_eq!(check_pattern(pattern), Ok(()), "{pattern}");
        }
    }
    proptest! {
        /// A pattern that is accepted means its own paths and what is below, and nothing beside.
        #[test]
        fn a_tree_is_its_root_and_what_is_below(root in "(/[a-z@,]{1,3}){1,3}", below in "(/[a-z@]{0,3}){0,2}", beside in "[a-z.~]{1,3}") {
            let tree = format!("{root}/**");
            prop_assert_eq!(check_pattern(&tree), Ok(()));
            prop_assert!(path_matches(&tree, &root));
            let found = format!("{root}{below}");
            prop_assert!(path_matches(&tree, &found));
            let escaped = found.replace('@', "%40").replace(',', "%2c");
            prop_assert!(path_matches(&tree, &escaped));
            let other = format!("{root}{beside}");
            prop_assert!(!path_matches(&tree, &other));
        }
    }
}
