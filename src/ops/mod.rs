//! What an operator looks at, and what belongs to the process rather than to a request: its clock,
//! its randomness, its bounds on a single client.

pub mod clock;
pub mod entropy;
pub mod health;
pub mod log;
pub mod metrics;
pub mod panics;
pub mod rate;
