//! The store that replicas share.

use crate::config::{Settings, Store};
use crate::domain::finding::Finding;
use crate::session::redis;

const STORE: &str = "store";

/// Whether it answers, and which one it is.
pub(super) async fn look(settings: &Settings) -> Vec<Finding> {
    let Store::Redis(shared) = &settings.session.store else {
        return vec![Finding::ok(
            STORE,
            "sessions are in the memory of the one process",
        )];
    };
    vec![match redis::version(shared).await {
        Ok(version) => Finding::ok(STORE, format!("{version} answers")),
        Err(why) => Finding::failure(
            STORE,
            format!("the session store does not answer: {why}"),
            "check session.redis: url, user, password and ca_path; while it is away nobody new signs in",
        ),
    }]
}
