//! Patterns of paths: which have one meaning, and how two of them stand to each other.

use crate::domain::access::{PatternError, check_pattern};
use crate::domain::path::TargetError;

/// What is wrong with a pattern, and what to do: it must have one meaning, and be one that a canonical path can
/// match. None may have an escape, so that two patterns are compared by their text.
pub(super) fn mistake(pattern: &str) -> Option<(&'static str, &'static str)> {
    let example = "for example /admin/** (all below), /web/* (one segment), /page (exactly)";
    let not_plain = (
        "a character that is not plain in a path",
        "use /** above it",
    );
    match check_pattern(pattern) {
        Ok(()) => pattern.contains('%').then_some(not_plain),
        Err(PatternError::NotAbsolute) => Some(("must begin with /", example)),
        Err(PatternError::Star) => {
            Some(("`*` stands only as the last segment, /* or /**", example))
        }
        Err(PatternError::Path(TargetError::EmptySegment | TargetError::DotSegment)) => {
            Some(("empty and dot segments never match", example))
        }
        Err(PatternError::Path(_)) => Some(not_plain),
    }
}

/// The pattern without its last `/*` or `/**`.
pub(super) fn head(pattern: &str) -> &str {
    pattern
        .strip_suffix("/**")
        .or_else(|| pattern.strip_suffix("/*"))
        .unwrap_or(pattern)
}

/// Whether every path that `later` matches is matched by `earlier`.
pub(super) fn covers(earlier: &str, later: &str) -> bool {
    let below = |path: &str, top: &str| {
        path.strip_prefix(top)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    if earlier.ends_with("/**") {
        below(head(later), head(earlier))
    } else if earlier.ends_with("/*") && !later.ends_with('*') {
        later
            .strip_prefix(head(earlier))
            .and_then(|rest| rest.strip_prefix('/'))
            .is_some_and(|segment| !segment.is_empty() && !segment.contains('/'))
    } else {
        earlier == later
    }
}

/// Whether some path is matched by both, and neither covers the other: `/a/*` and `/a/b/**` share `/a/b`.
pub(super) fn crosses(one: &str, other: &str) -> bool {
    let shares = |short: &str, tree: &str| {
        short.ends_with("/*") && tree.ends_with("/**") && covers(short, head(tree))
    };
    !covers(one, other) && !covers(other, one) && (shares(one, other) || shares(other, one))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_has_one_meaning_or_is_refused() {
        for good in [
            "/", "/a", "/a/b", "/a/*", "/a/**", "/*", "/**", "/a.b/c~d", "/a/",
        ] {
            assert_eq!(mistake(good), None, "{good}");
        }
        for bad in [
            "", "a", "a/**", "/*/a", "/**/a", "/a*", "/a/b*", "/a/***", "//", "//a", "/a//b",
            "/a/../b", "/./a", "/a/..", "/a/..", "/a%2fb", "/a?b", "/a#b", "/a;b", "/a\\b", "/a b",
            "/ä", "/a//**", "/../**",
        ] {
            assert!(mistake(bad).is_some(), "{bad}");
        }
    }

    #[test]
    fn a_rule_covers_what_it_matches_completely() {
        for (earlier, later, expected) in [
            ("/**", "/a", true),
            ("/**", "/a/**", true),
            ("/a/**", "/a", true),
            ("/a/**", "/a/*", true),
            ("/a/**", "/a/b/c", true),
            ("/a/**", "/ab", false),
            ("/a/**", "/**", false),
            ("/a/b/**", "/a/**", false),
            ("/a/*", "/a/b", true),
            ("/a/*", "/a/b/c", false),
            ("/a/*", "/a", false),
            ("/a/*", "/a/*", true),
            ("/a/*", "/a/**", false),
            ("/a", "/a", true),
            ("/a", "/a/**", false),
            ("/a", "/a/b", false),
        ] {
            assert_eq!(covers(earlier, later), expected, "{earlier} {later}");
        }
    }

    #[test]
    fn two_patterns_cross_where_each_has_paths_of_its_own() {
        for (one, other, expected) in [
            ("/a/*", "/a/b/**", true),
            ("/*", "/a/**", true),
            ("/a/*", "/a/**", false),
            ("/a/*", "/a/b", false),
            ("/a/*", "/a/b/*", false),
            ("/a/*", "/b/c/**", false),
            ("/a/**", "/a/b/**", false),
            ("/a", "/b", false),
        ] {
            assert_eq!(crosses(one, other), expected, "{one} {other}");
            assert_eq!(crosses(other, one), expected, "{other} {one}");
        }
    }
}
