//! What an operator looks at (logs, the audit log, metrics, health), and what belongs to the process rather than to a request: its clock,
//! its randomness, its bounds on a single client, its
//! service manager.

pub mod audit;
pub mod clock;
pub mod entropy;
pub mod health;
pub mod log;
pub mod metrics;
pub mod notify;
pub mod panics;
pub mod pulse;
pub mod rate;
pub mod trace;
