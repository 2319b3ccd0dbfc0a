//! Patterns of access rules. Input: the pattern, then the path of a request.

use headwarden::domain::access::{check_pattern, path_matches};
use headwarden::domain::path::Target;

use super::support::{text_lines, unescape};

pub fn run(data: &[u8]) {
    let Some(([pattern], path)) = text_lines::<1>(data) else {
        return;
    };
    let accepted = check_pattern(pattern).is_ok();
    if accepted {
        let shape = pattern.trim_end_matches("/**").trim_end_matches("/*");
        assert!(
            pattern.starts_with('/') && !shape.contains(['*', '?', ';']),
            "{pattern}"
        );
        assert!(
            !pattern.contains("//") && !pattern.contains("/../"),
            "{pattern}"
        );
    }
    let Ok(target) = Target::parse(path.as_bytes()) else {
        return;
    };
    // Also for a pattern that is refused, since none may panic.
    let found = path_matches(pattern, target.path());
    if accepted {
        assert_eq!(found, means(pattern, target.path()), "{pattern} {target}");
    }
}

/// What a pattern means, with no loop over segments: an exact path, or a beginning that ends at a
/// slash.
fn means(pattern: &str, path: &str) -> bool {
    let decoded = unescape(path.as_bytes());
    let literal = |text: &str| unescape(text.as_bytes());
    if let Some(root) = pattern.strip_suffix("/**") {
        let root = literal(root);
        return decoded == root
            || decoded
                .strip_prefix(root.as_slice())
                .is_some_and(|rest| rest.starts_with(b"/"));
    }
    if let Some(root) = pattern.strip_suffix("/*") {
        let root = [literal(root), b"/".to_vec()].concat();
        return decoded
            .strip_prefix(root.as_slice())
            .is_some_and(|rest| !rest.is_empty() && !rest.contains(&b'/'));
    }
    decoded == literal(pattern)
}
