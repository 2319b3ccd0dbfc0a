//! Patterns of `access` rules: an exact path, `/x/*` for one segment below, `/x/**` for `/x` and
//! everything below. Always at a segment's boundary, always with exact case.

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
    Path(super::path::TargetError),
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
    let path = if literal.is_empty() { "/" } else { literal };
    match super::path::Target::parse(path.as_bytes()) {
        Ok(target) if target.query().is_none() => Ok(()),
        Ok(_) => Err(PatternError::Path(super::path::TargetError::Character)),
        Err(why) => Err(PatternError::Path(why)),
    }
}

/// Whether a canonical `path` is one that `pattern` means.
pub fn path_matches(pattern: &str, path: &str) -> bool {
    if let Some(root) = pattern.strip_suffix("/**") {
        path.strip_prefix(root)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    } else if let Some(root) = pattern.strip_suffix("/*") {
        path.strip_prefix(root)
            .and_then(|rest| rest.strip_prefix('/'))
            .is_some_and(|segment| !segment.is_empty() && !segment.contains('/'))
    } else {
        pattern == path
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
        ] {
            assert_eq!(path_matches(pattern, path), matches, "{pattern} {path}");
        }
    }

    #[test]
    fn a_pattern_that_could_surprise_is_refused() {
        for pattern in [
            "admin", "", "*", "/a*", "/*/a", "/a/**/b", "/a//b", "/../a", "/a?b", "/a b",
        ] {
            assert!(check_pattern(pattern).is_err(), "{pattern}");
        }
        for pattern in ["/", "/admin", "/admin/**", "/web/*", "/**", "/*"] {
            assert_eq!(check_pattern(pattern), Ok(()), "{pattern}");
        }
    }
}
