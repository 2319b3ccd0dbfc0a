//! A list of short texts that many people have alike: groups, ways of signing in.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

/// Texts in an order that is kept. It never changes, and a clone costs nothing, so that any number of
/// sessions can hold the same one.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct Texts(Arc<[Arc<str>]>);

impl Texts {
    /// Whether `text` is one of them, byte for byte.
    pub fn has(&self, text: &str) -> bool {
        self.iter().any(|one| **one == *text)
    }

    /// Whether this and `other` are one and the same list in memory.
    pub fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Whether somebody else holds it.
    pub fn is_held(&self) -> bool {
        Arc::strong_count(&self.0) > 1
    }

    /// A copy of one's own.
    pub fn to_strings(&self) -> Vec<String> {
        self.iter().map(|text| text.as_ref().to_owned()).collect()
    }
}

impl Deref for Texts {
    type Target = [Arc<str>];

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl From<Vec<String>> for Texts {
    fn from(texts: Vec<String>) -> Self {
        texts.into_iter().map(Arc::from).collect()
    }
}

impl<const N: usize> PartialEq<[&str; N]> for Texts {
    fn eq(&self, other: &[&str; N]) -> bool {
        self.len() == N && self.iter().zip(other).all(|(one, other)| **one == **other)
    }
}

impl FromIterator<Arc<str>> for Texts {
    fn from_iter<I: IntoIterator<Item = Arc<str>>>(texts: I) -> Self {
        Self(texts.into_iter().collect())
    }
}

impl fmt::Debug for Texts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_told_apart_byte_for_byte_and_keep_their_order() {
        let list = ["b", "", "abc"].map(str::to_owned).to_vec();
        let texts = Texts::from(list.clone());
        assert_eq!(texts.to_strings(), list);
        assert!(texts.has("abc") && texts.has("") && !texts.has("ABC") && !texts.has("bc"));
        assert!(!Texts::default().has(""));
        assert!(texts == ["b", "", "abc"] && texts != ["b", ""] && texts != ["abc", "", "b"]);
        assert!(texts.is(&texts.clone()) && !texts.is(&texts.to_strings().into()));
        assert_eq!(format!("{texts:?}"), r#"["b", "", "abc"]"#);
    }
}
