//! The connection that messages arrive on.

use std::time::Duration;

use async_trait::async_trait;
use redis::aio::{ConnectionLike as _, MultiplexedConnection};
use redis::{PushInfo, PushKind, Value, cmd};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::super::shared::Subscription;
use super::connect::{Connector, bounded};

/// How often a silent connection is asked whether it is still there.
const PROBE: Duration = Duration::from_millis(500);

/// A subscription to the one channel.
pub(super) struct Messages {
    connection: MultiplexedConnection,
    pushed: UnboundedReceiver<PushInfo>,
    timeout: Duration,
}

impl Messages {
    /// Subscribes; what is published after this returned arrives.
    pub(super) async fn open(
        connector: &Connector,
        channel: &str,
        timeout: Duration,
    ) -> Result<Self, String> {
        let (sender, pushed) = unbounded_channel();
        let config = bounded(timeout).set_push_sender(sender);
        let opened = tokio::time::timeout(timeout, async {
            let mut connection = connector.connect_for_messages(&config).await?;
            connection.subscribe(channel).await?;
            Ok::<_, redis::RedisError>(connection)
        });
        match opened.await {
            Ok(Ok(connection)) => Ok(Self {
                connection,
                pushed,
                timeout,
            }),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err("no subscription in time".to_owned()),
        }
    }

    async fn is_there(&mut self) -> bool {
        let ping = cmd("PING");
        let answer = self.connection.req_packed_command(&ping);
        matches!(tokio::time::timeout(self.timeout, answer).await, Ok(Ok(_)))
    }
}

#[async_trait]
impl Subscription for Messages {
    async fn next(&mut self) -> Option<Vec<u8>> {
        loop {
            match tokio::time::timeout(PROBE, self.pushed.recv()).await {
                Ok(Some(push)) if push.kind == PushKind::Message => {
                    if let Some(Value::BulkString(text)) = push.data.into_iter().nth(1) {
                        return Some(text);
                    }
                }
                Ok(Some(push)) if push.kind == PushKind::Disconnection => return None,
                Ok(Some(_)) => {}
                Ok(None) => return None,
                Err(_) => {
                    if !self.is_there().await {
                        return None;
                    }
                }
            }
        }
    }
}
