//! The settings by which the process runs now.

use std::sync::Arc;

use arc_swap::ArcSwap;

use super::settings::Settings;

/// The present settings. A copy is the same place.
///
/// Whoever decides something takes them once, and decides all of it by them.
#[derive(Clone, Debug)]
pub struct Current(Arc<ArcSwap<Settings>>);

impl Current {
    /// Begins with `settings`.
    pub fn new(settings: Arc<Settings>) -> Self {
        Self(Arc::new(ArcSwap::new(settings)))
    }

    /// Those that hold at this moment.
    pub fn now(&self) -> Arc<Settings> {
        self.0.load_full()
    }

    /// Whoever asks from now on gets `settings`.
    pub fn replace(&self, settings: Arc<Settings>) {
        self.0.store(settings);
    }
}
