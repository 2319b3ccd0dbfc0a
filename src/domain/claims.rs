//! Claims that rules name, and what the provider said in them: kept with a session, so that a rule can
//! be asked at any time. A claim that is not here satisfies nothing.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use super::texts::Texts;

/// Most values of one claim that are kept; the rest satisfies nothing.
pub const MOST_VALUES: usize = 256;
/// The longest value that is kept, in bytes.
pub const LONGEST_VALUE: usize = 256;

/// Values by the name of their claim. It never changes, and a clone costs nothing.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct NamedClaims(Arc<[(Arc<str>, Texts)]>);

impl NamedClaims {
    /// The values of the claim `name`; none where the provider did not send it.
    pub fn values(&self, name: &str) -> &[Arc<str>] {
        let found = self.0.iter().find(|(known, _)| **known == *name);
        found.map_or(&[], |(_, values)| values)
    }

    /// Whether these and `other` are one and the same in memory.
    pub fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Whether somebody else holds them.
    pub fn is_held(&self) -> bool {
        Arc::strong_count(&self.0) > 1
    }

    /// Every claim with its values.
    pub fn iter(&self) -> impl Iterator<Item = (&Arc<str>, &Texts)> {
        self.0.iter().map(|(name, values)| (name, values))
    }

    /// A copy of one's own.
    pub fn to_map(&self) -> BTreeMap<String, Vec<String>> {
        self.iter()
            .map(|(name, values)| (name.as_ref().to_owned(), values.to_strings()))
            .collect()
    }
}

impl FromIterator<(Arc<str>, Texts)> for NamedClaims {
    fn from_iter<I: IntoIterator<Item = (Arc<str>, Texts)>>(claims: I) -> Self {
        Self(claims.into_iter().collect())
    }
}

impl From<BTreeMap<String, Vec<String>>> for NamedClaims {
    fn from(claims: BTreeMap<String, Vec<String>>) -> Self {
        let each = claims.into_iter();
        each.map(|(name, values)| (Arc::from(name), Texts::from(values)))
            .collect()
    }
}

impl fmt::Debug for NamedClaims {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_that_is_not_there_has_no_values() {
        let map = BTreeMap::from([
            ("department".to_owned(), vec!["it".to_owned()]),
            ("empty".to_owned(), Vec::new()),
        ]);
        let claims = NamedClaims::from(map.clone());
        assert_eq!(claims.values("department").len(), 1);
        assert_eq!(&*claims.values("department")[0], "it");
        for none in ["Department", "depart", "", "empty"] {
            assert!(claims.values(none).is_empty(), "{none}");
        }
        assert_eq!(claims.to_map(), map);
        assert!(NamedClaims::default().values("department").is_empty());
    }
}
