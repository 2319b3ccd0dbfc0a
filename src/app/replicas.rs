//! What is built when several replicas share a store, and how one joins the others.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;

use super::StartError;
use crate::config::{Settings, Store};
use crate::domain::login;
use crate::domain::random::Random;
use crate::domain::time::Clock;
use crate::issuer::{Issuer, KeyIdentity, SigningKey};
use crate::oidc::logout_token;
use crate::ops::metrics::Metrics;
use crate::session::redis::Redis;
use crate::session::shared::{AgreeError, SharedSessions, SharedSettings};
use crate::session::{Departures, Journal, KeyRing, Sessions, UsedOnce};

/// Names that are remembered in one process: until they would mean nothing any more, as a rule.
const USED: usize = 100_000;
/// Departures remembered for the sign-ins on their way meanwhile, which take seconds. Anybody can add one:
/// 10 MB of them, and more than fifty addresses at once may send.
const DEPARTURES: usize = 30_000;
/// How long a start waits for the store. Without it, tunnels are carried and nobody can sign in.
const PATIENCE: Duration = Duration::from_secs(3);
/// Between two attempts to agree: while the store is away, and after it was said that they differ.
const ASK_AGAIN: Duration = Duration::from_millis(300);
const DISAGREE: Duration = Duration::from_secs(10);
/// What the agreed signing key is called.
const ISSUER_KEY: &str = "issuer key";
/// What the replicas agree on to know that they have the same key ring.
const KEY_RING: &str = "key ring";

/// The store that the settings name, if replicas share one.
pub(super) fn shared(
    settings: &Settings,
    keys: &Arc<KeyRing>,
    metrics: &Arc<Metrics>,
    clock: &Arc<dyn Clock>,
    random: &Arc<dyn Random>,
) -> Result<Option<Arc<SharedSessions>>, StartError> {
    let Store::Redis(redis) = &settings.session.store else {
        return Ok(None);
    };
    let store = Arc::new(Redis::new(redis, Arc::clone(metrics))?);
    let shared = SharedSettings {
        limits: settings.session.limits,
        capacity: settings.session.capacity,
        grace: redis.grace,
        prefix: &redis.prefix,
        deployment: &[
            &settings.server_url.origin,
            settings.oidc.issuer.as_str(),
            &settings.oidc.client_id,
        ],
        // Token endpoint, discovery, keys and userinfo, each in its time; and what the store takes.
        refresh: settings.oidc.timeout * 4 + Duration::from_secs(10),
    };
    let (keys, clock, random) = (Arc::clone(keys), Arc::clone(clock), Arc::clone(random));
    let sessions = SharedSessions::new(store, &shared, keys, clock, random);
    Ok(Some(Arc::new(sessions)))
}

/// Who is signed in, here or in what is shared.
pub(super) fn sessions(
    settings: &Settings,
    shared: Option<&Arc<SharedSessions>>,
    clock: &Arc<dyn Clock>,
    random: &Arc<dyn Random>,
) -> Sessions {
    if let Some(shared) = shared {
        return Sessions::shared(Arc::clone(shared));
    }
    let (limits, capacity) = (settings.session.limits, settings.session.capacity);
    Sessions::new(limits, capacity, Arc::clone(clock), Arc::clone(random))
}

/// The states that were used, here or in any replica.
pub(super) fn used_states(shared: Option<&Arc<SharedSessions>>) -> UsedOnce {
    // An attempt may come from a clock that is ahead by its whole lifetime.
    used_once("state", login::LIFETIME * 3, shared)
}

/// The logout tokens that counted, likewise.
pub(super) fn used_logouts(shared: Option<&Arc<SharedSessions>>) -> UsedOnce {
    used_once("logout", logout_token::LONGEST_AGE * 2, shared)
}

/// Who left lately, here or at any replica.
pub(super) fn departures(shared: Option<&Arc<SharedSessions>>) -> Departures {
    let departures = Departures::new(DEPARTURES);
    match shared {
        Some(shared) => departures.shared(Arc::clone(shared)),
        None => departures,
    }
}

/// Who is to be off-boarded, here or where replicas share it.
pub(super) fn journal(settings: &Settings, shared: Option<&Arc<SharedSessions>>) -> Journal {
    if let Some(shared) = shared {
        return Journal::shared(Arc::clone(shared));
    }
    let path = settings.offboarding.state_path.clone();
    Journal::in_file(path, &super::parts::deployment(settings))
}

fn used_once(kind: &'static str, life: Duration, shared: Option<&Arc<SharedSessions>>) -> UsedOnce {
    let used = UsedOnce::new(USED);
    match shared {
        Some(shared) => used.shared(Arc::clone(shared), kind, life),
        None => used,
    }
}

/// This replica among the others.
pub(super) struct Replicas {
    pub(super) shared: Arc<SharedSessions>,
    pub(super) issuer: Option<Arc<Issuer>>,
    pub(super) identity: Option<KeyIdentity>,
    pub(super) accept_new_identity: bool,
}

impl Replicas {
    /// Begins to listen to the others and agrees with them on the key ring and the signing key: now if the
    /// store answers, and whenever it is reached anew, since it may be an empty one.
    pub(super) async fn join(&self, tasks: &mut JoinSet<()>) -> Result<(), StartError> {
        // Nobody is served by a key that the others may not have.
        self.shared.serve(false);
        let (sender, mut connected) = watch::channel(0);
        tasks.spawn(Arc::clone(&self.shared).keep_up(sender));
        let reached = tokio::time::timeout(PATIENCE, connected.wait_for(|times| *times > 0))
            .await
            .is_ok();
        if reached {
            if self.accept_new_identity {
                self.insist().await?;
            }
            match self.agree().await {
                Ok(()) => self.shared.serve(true),
                // It went away again.
                Err(StartError::Replicas(AgreeError::Away(_))) => {}
                Err(why) => return Err(why),
            }
        } else {
            tracing::warn!(
                "starting without the session store: nobody can sign in until it answers"
            );
        }
        let here = Self {
            shared: Arc::clone(&self.shared),
            issuer: self.issuer.clone(),
            identity: self.identity.clone(),
            accept_new_identity: false,
        };
        tasks.spawn(async move { here.keep_agreeing(connected).await });
        Ok(())
    }

    /// Asks whenever the store was reached anew. While this replica does not agree with the others, it
    /// serves no session and signs nothing, and asks again: they, or what is in the store, may change.
    async fn keep_agreeing(&self, mut connected: watch::Receiver<u64>) {
        let mut agreed = true;
        loop {
            let patience = match self.agree().await {
                Ok(()) => {
                    agreed = true;
                    self.shared.serve(true);
                    None
                }
                Err(StartError::Replicas(AgreeError::Away(_))) => Some(ASK_AGAIN),
                Err(why) => {
                    self.shared.serve(false);
                    if std::mem::replace(&mut agreed, false) {
                        tracing::error!(
                            %why,
                            "this replica does not agree with the others and serves no session"
                        );
                    }
                    Some(DISAGREE)
                }
            };
            let changed = connected.changed();
            let open = match patience {
                None => changed.await.is_ok(),
                Some(patience) => {
                    tokio::time::timeout(patience, changed)
                        .await
                        .is_ok_and(|changed| changed.is_ok())
                        || connected.has_changed().is_ok()
                }
            };
            if !open {
                return;
            }
        }
    }

    /// Puts this replica's key, with its new identity, in place of the others'; and its key ring, which may
    /// be a new one too.
    async fn insist(&self) -> Result<(), StartError> {
        self.shared.insist(KEY_RING, b"the same").await?;
        if let (Some(issuer), Some(identity)) = (&self.issuer, &self.identity) {
            let mine = issuer.signing_key().to_shared(identity);
            let insisted = self.shared.insist(ISSUER_KEY, mine.expose().as_bytes());
            insisted.await?;
        }
        Ok(())
    }

    async fn agree(&self) -> Result<(), StartError> {
        self.shared.agree(KEY_RING, b"the same").await?;
        let (Some(issuer), Some(identity)) = (&self.issuer, &self.identity) else {
            return Ok(());
        };
        let mine = issuer.signing_key();
        let text = mine.to_shared(identity);
        let agreed = self
            .shared
            .agree(ISSUER_KEY, text.expose().as_bytes())
            .await?;
        let key = SigningKey::from_shared(&agreed, identity)?;
        if key.kid() != mine.kid() {
            tracing::warn!(
                kid = key.kid(),
                "signing with the key of the other replicas, not with that of the key file"
            );
            issuer.adopt(key);
        }
        Ok(())
    }
}
