//! Web UIs beside Headscale: where they are, and how they are spoken to.

use std::time::Duration;

use super::Upstream;
use crate::domain::rewrite::Rewrite;

/// Where the requests of a rule go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebUi {
    /// Its addresses, at least one: any of them may get a request. All speak TLS, or none does.
    pub addresses: Vec<Upstream>,
    /// The name in its certificates, where that is not the host of its address.
    pub server_name: Option<String>,
    /// Which address gets the next request.
    pub balance: Balance,
    /// Longest wait for a connection; `None` is Headscale's.
    pub connect_timeout: Option<Duration>,
    /// Longest silence before and between two pieces of an answer; WebSockets have no such limit.
    pub response_timeout: Duration,
    /// How paths change on their way.
    pub rewrite: Rewrite,
    /// What `Host` says.
    pub host: HostField,
    /// How its addresses are checked; `None` is not at all.
    pub health: Option<HealthCheck>,
}

impl WebUi {
    /// Its addresses in a line.
    pub fn authorities(&self) -> String {
        let each: Vec<String> = self.addresses.iter().map(Upstream::authority).collect();
        each.join(", ")
    }

    /// The origin of its first address: what it is called where one name has to do.
    pub fn origin(&self) -> Option<String> {
        self.addresses.first().map(Upstream::origin)
    }
}

/// Which address gets the next request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Balance {
    /// Each in its turn.
    RoundRobin,
    /// The one with the fewest requests that are there now.
    LeastConnections,
    /// The first that can be used: the others stand in for it.
    First,
}

/// What `Host` says to a web UI.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostField {
    /// The public name, which people see.
    Public,
    /// The address that was chosen.
    Upstream,
    /// This name, with a port where it has one.
    Name(String),
}

/// How an address is checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthCheck {
    /// The page that is asked for, as the web UI knows it.
    pub path: String,
    /// From the end of a check to the next.
    pub interval: Duration,
    /// Longest wait for an answer.
    pub timeout: Duration,
    /// So many good answers in a row make it healthy.
    pub healthy: u32,
    /// So many others in a row make it unhealthy.
    pub unhealthy: u32,
}
