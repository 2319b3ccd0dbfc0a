//! Configuration in two stages: the file as written (`file`), then [`Settings`] that cannot hold
//! nonsense (`check` makes them and collects every [`Problem`]). Nothing here opens a network
//! connection.

mod env;
mod file;
mod keys;
mod problem;
mod settings;
mod yaml;

pub use env::Environment;
pub use problem::{Problem, Problems};
pub use settings::*;
