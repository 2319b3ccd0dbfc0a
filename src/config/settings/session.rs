//! How long sessions live, and where.

use std::path::PathBuf;
use std::time::Duration;

use crate::domain::secret::Secret;
use crate::domain::session::{Limits, Recheck};

/// Session limits and bounds.
#[derive(Clone, Debug)]
pub struct SessionSettings {
    /// Where sessions are kept.
    pub store: Store,
    /// Idle and absolute limits.
    pub limits: Limits,
    /// How often people are checked again at the provider.
    pub recheck: Recheck,
    /// Most sessions kept; the least recently used goes first.
    pub capacity: u64,
    /// Where sessions wait, sealed, while the process is stopped; `None` forgets them.
    pub snapshot_path: Option<PathBuf>,
}

/// Where sessions are kept.
#[derive(Clone, Debug)]
pub enum Store {
    /// In this process.
    Memory,
    /// In Redis or Valkey, for all replicas.
    Redis(Box<RedisSettings>),
}

/// Redis or Valkey.
#[derive(Clone, Debug)]
pub struct RedisSettings {
    /// Which kind of servers the nodes are.
    pub topology: RedisTopology,
    /// Host and port of each node; at least one, and one only for [`RedisTopology::One`].
    pub nodes: Vec<(String, u16)>,
    /// TLS or not, to all of them.
    pub tls: bool,
    /// A PEM bundle to verify their certificates with, instead of the system's.
    pub ca_path: Option<PathBuf>,
    /// The user; `None` is the default one.
    pub username: Option<String>,
    /// The user's password.
    pub password: Option<Secret<String>>,
    /// Which of the numbered databases; 0 in a cluster.
    pub database: i64,
    /// What every key begins with.
    pub prefix: String,
    /// Longest wait for one answer, and for a connection.
    pub timeout: Duration,
    /// How long sessions known to this process go on while the store is away.
    pub grace: Duration,
}

/// Which kind of servers the nodes are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RedisTopology {
    /// One server.
    One,
    /// Sentinels, which know the primary of this name.
    Sentinel {
        /// The name.
        name: String,
    },
    /// Nodes of a cluster.
    Cluster,
}
