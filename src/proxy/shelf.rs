//! Where codes and access tokens of the issuer are when replicas share them: beside the sessions.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::issuer::{Shelf, Unavailable};
use crate::session::StoreAway;
use crate::session::shared::SharedSessions;

/// The store of the sessions.
pub struct SessionShelf(pub Arc<SharedSessions>);

#[async_trait]
impl Shelf for SessionShelf {
    async fn put(
        &self,
        kind: &'static str,
        name: &str,
        value: &[u8],
        life: Duration,
    ) -> Result<(), Unavailable> {
        let put = self.0.put(kind, name, value, life).await;
        put.map_err(unavailable)
    }

    async fn peek(&self, kind: &'static str, name: &str) -> Result<Option<Vec<u8>>, Unavailable> {
        self.0.peek(kind, name).await.map_err(unavailable)
    }

    async fn take(&self, kind: &'static str, name: &str) -> Result<Option<Vec<u8>>, Unavailable> {
        self.0.take(kind, name).await.map_err(unavailable)
    }
}

fn unavailable(_: StoreAway) -> Unavailable {
    Unavailable
}
