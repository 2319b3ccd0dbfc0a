//! What an upstream gets to see of a path: segments taken off its front, others put there. Whole
//! segments only, and nothing else, so that what is canonical stays canonical: no `..` and no empty
//! segment comes about that was not there.

use super::path::{Target, TargetError, same_path};

/// Why there is nothing to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RewriteError {
    /// The path is not at or below what is taken off. Rules see to that; taking something else off would
    /// lead to a page that nobody was let through to.
    #[error("the path does not begin with what is taken off")]
    Elsewhere,
    /// What it became cannot be a target: it is too long.
    #[error(transparent)]
    Target(#[from] TargetError),
}

/// How paths change.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rewrite {
    strip: Option<String>,
    add: Option<String>,
}

impl Rewrite {
    /// Takes `strip` off and puts `add` in front. `None` unless each is a [prefix](is_prefix).
    pub fn new(strip: Option<String>, add: Option<String>) -> Option<Self> {
        let good = [&strip, &add].into_iter().flatten().all(|it| is_prefix(it));
        good.then_some(Self { strip, add })
    }

    /// Whether paths stay as they are.
    pub const fn is_nothing(&self) -> bool {
        self.strip.is_none() && self.add.is_none()
    }

    /// What is taken off, for upstreams that want to know where they are.
    pub fn stripped(&self) -> Option<&str> {
        self.strip.as_deref()
    }

    /// The target that goes on for `target`, whose path is at or below what is taken off, perhaps in other
    /// escapes. The query stays.
    ///
    /// # Errors
    /// See [`RewriteError`].
    pub fn apply(&self, target: &Target) -> Result<Target, RewriteError> {
        let rest = match self.strip.as_deref() {
            None => target.path(),
            Some(strip) => {
                let (front, rest) = after_segments(target.path(), strip.matches('/').count());
                if !same_path(strip, front) {
                    return Err(RewriteError::Elsewhere);
                }
                rest
            }
        };
        let mut path = self.add.clone().unwrap_or_default();
        path.push_str(rest);
        if path.is_empty() {
            path.push('/');
        }
        if let Some(query) = target.query() {
            path.push('?');
            path.push_str(query);
        }
        Ok(Target::parse(path.as_bytes())?)
    }
}

/// Whether `text` can be the front of a path: canonical, at least one segment, no slash at the end, no
/// query.
pub fn is_prefix(text: &str) -> bool {
    let target = Target::parse(text.as_bytes());
    !text.ends_with('/') && target.is_ok_and(|target| target.query().is_none())
}

/// The first `count` segments, and what follows, with the slash before it; empty where nothing does.
fn after_segments(path: &str, count: usize) -> (&str, &str) {
    let place = path.match_indices('/').nth(count).map(|(place, _)| place);
    place
        .and_then(|place| path.split_at_checked(place))
        .unwrap_or((path, ""))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rewrite(strip: &str, add: &str) -> Rewrite {
        let some = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
        Rewrite::new(some(strip), some(add)).unwrap()
    }

    fn applied(rewrite: &Rewrite, target: &str) -> String {
        let target = Target::parse(target.as_bytes()).unwrap();
        rewrite.apply(&target).unwrap().as_str().to_owned()
    }

    #[test]
    fn whole_segments_are_taken_off_and_put_in_front_and_the_query_stays() {
        for (strip, add, target, expected) in [
            ("/web", "", "/web/a/b", "/a/b"),
            ("/web", "", "/web/", "/"),
            ("/web", "", "/web", "/"),
            ("/web", "", "/web?a=/../b", "/?a=/../b"),
            ("/web", "", "/web/web/a", "/web/a"),
            ("/web/ui", "", "/web/ui/a", "/a"),
            ("/a@b", "", "/a%40b/c", "/c"),
            ("/web", "/app", "/web/a", "/app/a"),
            ("/web", "/app", "/web", "/app"),
            ("/web", "/app", "/web/", "/app/"),
            ("", "/app", "/web/a?b", "/app/web/a?b"),
            ("", "", "/web/a%20b", "/web/a%20b"),
        ] {
            let rewrite = rewrite(strip, add);
            assert_eq!(
                applied(&rewrite, target),
                expected,
                "{strip} {add} {target}"
            );
            let nothing = strip.is_empty() && add.is_empty();
            assert_eq!(rewrite.is_nothing(), nothing);
        }
    }

    #[test]
    fn a_prefix_is_canonical_and_ends_with_a_segment() {
        for good in ["/a", "/a/b", "/a.b", "/a%20b"] {
            assert!(is_prefix(good), "{good}");
        }
        for bad in [
            "", "/", "a", "/a/", "//a", "/a//b", "/..", "/a/..", "/a/../b", "/a?b", "/%2e",
            "/a%2fb", "/a;b",
        ] {
            assert!(!is_prefix(bad), "{bad}");
            assert_eq!(Rewrite::new(Some(bad.to_owned()), None), None, "{bad}");
            assert_eq!(Rewrite::new(None, Some(bad.to_owned())), None, "{bad}");
        }
    }

    #[test]
    fn what_becomes_too_long_is_not_sent() {
        let long = format!("/web/{}", "a".repeat(super::super::path::MAX_TARGET - 10));
        let target = Target::parse(long.as_bytes()).unwrap();
        assert!(rewrite("/web", "").apply(&target).is_ok());
        let added = rewrite("", "/a/much/longer/place").apply(&target);
        assert_eq!(added, Err(RewriteError::Target(TargetError::TooLong)));
    }

    #[test]
    fn nothing_but_the_prefix_is_taken_off() {
        for (strip, target) in [
            ("/web", "/"),
            ("/web", "/admin"),
            ("/web", "/webx/a"),
            ("/web", "/Web/a"),
            ("/web", "/web."),
            ("/web", "/web%20/a"),
            ("/web/ui", "/web"),
            ("/web/ui", "/web/x/a"),
        ] {
            let target = Target::parse(target.as_bytes()).unwrap();
            let found = rewrite(strip, "/x").apply(&target);
            assert_eq!(found, Err(RewriteError::Elsewhere), "{strip} {target}");
        }
    }

    proptest! {
        /// Every path that came in comes out canonical, below what was put in front, and no other one.
        #[test]
        fn what_goes_on_is_canonical_and_stays_below_what_was_put_in_front(
            rest in "(/[a-zA-Z0-9._~@,-]{1,4}|/%(20|40|c3%a9)){0,4}/?", query in "(\\?[!-~]{0,6})?",
        ) {
            let text = format!("/web{rest}{query}");
            if let Ok(target) = Target::parse(text.as_bytes()) {
                let gone_on = rewrite("/web", "/app").apply(&target).unwrap();
                prop_assert_eq!(gone_on.path(), format!("/app{rest}"));
                prop_assert_eq!(gone_on.query(), target.query());
                let bare = rewrite("/web", "").apply(&target).unwrap();
                let expected = if rest.is_empty() { "/" } else { rest.as_str() };
                prop_assert_eq!(bare.path(), expected);
            }
        }
    }
}
