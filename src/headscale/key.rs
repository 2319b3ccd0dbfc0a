//! The API key as it is now: what was configured, or what took its place while the process runs.

use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwapOption;

use crate::domain::secret::Secret;

/// Where everybody who needs the key finds it. A copy is the same place.
#[derive(Clone, Default)]
pub struct ApiKey(Arc<ArcSwapOption<Secret<String>>>);

impl ApiKey {
    /// Begins with `key`.
    pub fn new(key: Option<Secret<String>>) -> Self {
        Self(Arc::new(ArcSwapOption::from_pointee(key)))
    }

    /// The key as it is now; none, if none is set.
    pub fn now(&self) -> Option<Arc<Secret<String>>> {
        self.0.load_full()
    }

    /// Whether there is one.
    pub fn is_set(&self) -> bool {
        self.0.load().is_some()
    }

    /// Goes on with another one.
    pub fn replace(&self, key: Option<Secret<String>>) {
        self.0.store(key.map(Arc::new));
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ApiKey").field(&self.is_set()).finish()
    }
}
