//! Configuration in two stages: the file as written (`file`), then [`Settings`] that cannot hold
//! nonsense (`check` makes them and collects every [`Problem`]). Nothing here opens a network
//! connection.

mod settings;

pub use settings::*;
