//! An open tunnel: all that is left once the way to it is behind us.

use std::future::poll_fn;
use std::io;
use std::sync::Arc;

use tokio::sync::watch;

use super::Tunnels;
use crate::domain::door::Tunnel;
use crate::ops::metrics::{Direction, Metrics, OpenTunnel, TunnelEnd};
use crate::proxy::relay::Relay;
use crate::proxy::stream::Transport;

/// An upgrade that both sides have agreed on: nothing left to do but carry bytes. There are as many of these
/// as devices, and each is idle nearly always: what is here is what a device costs.
#[derive(Debug)]
pub struct Held {
    kind: Tunnel,
    relay: Relay<Transport, Transport>,
    metrics: Arc<Metrics>,
    cut: watch::Receiver<bool>,
    /// Counted as open until dropped.
    open: OpenTunnel,
}

impl Held {
    pub(super) fn new(kind: Tunnel, relay: Relay<Transport, Transport>, tunnels: &Tunnels) -> Self {
        Self {
            kind,
            relay,
            metrics: Arc::clone(&tunnels.metrics),
            cut: tunnels.cut.clone(),
            open: tunnels.metrics.tunnel_opened(kind),
        }
    }

    /// Carries bytes until both sides have ended or the process must. `guards` are dropped then.
    #[expect(
        clippy::manual_async_fn,
        reason = "an async function has room for the tunnel twice: where it was given, and where it is"
    )]
    pub fn carry<G: Send>(mut self, guards: G) -> impl Future<Output = ()> + Send {
        async move {
            let ended = tokio::select! {
                biased;
                ended = poll_fn(|cx| self.relay.poll(cx)) => Some(ended),
                _ = self.cut.wait_for(|cut| *cut) => None,
            };
            self.over(ended);
            drop(guards);
        }
    }

    /// What is counted and told of a tunnel that has ended by itself, or was cut.
    fn over(self, ended: Option<io::Result<()>>) {
        let Self {
            kind,
            relay,
            metrics,
            cut: _,
            open,
        } = self;
        drop(open);
        metrics.relayed(Direction::Up, relay.upward());
        metrics.relayed(Direction::Down, relay.downward());
        let cause = match &ended {
            Some(Ok(())) => TunnelEnd::Closed,
            Some(Err(_)) => TunnelEnd::Broken,
            None => TunnelEnd::Cut,
        };
        metrics.tunnel_ended(kind, cause);
        match ended {
            Some(Ok(())) => tracing::debug!(tunnel = kind.label(), "tunnel ended"),
            Some(Err(error)) => tracing::debug!(tunnel = kind.label(), %error, "tunnel broke"),
            None => tracing::debug!(tunnel = kind.label(), "tunnel cut at shutdown"),
        }
    }
}
