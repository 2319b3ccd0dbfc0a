//! Patterns of `access` rules: an exact path, `/x/*` for one segment below, `/x/**` for `/x` and
//! everything below. Always at a segment's boundary, always with exact case, and always what an
//! upstream decodes: `/a%40b` is `/a@b`, in a pattern as in a path.

use percent_encoding::percent_decode_str;

use super::path::{Target, TargetError};

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

/// Whether `path`, a [`Target`]'s, is one that `pattern` means.
pub fn path_matches(pattern: &str, path: &str) -> bool {
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

fn same(literal: &str, segment: &str) -> bool {
    percent_decode_str(literal).eq(percent_decode_str(segment))
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
