//! How sessions begin, change and are renewed.

use std::sync::Arc;
use std::time::Duration;

use super::super::super::departures;
use super::super::super::id::{SessionId, SessionKey};
use super::super::super::live::Live;
use super::super::super::{Confirmations, StoreAway};
use super::super::When;
use super::super::message::Message;
use super::{STATE, SharedSessions};
use crate::domain::identity::Subject;
use crate::domain::session::Session;

/// Sessions that one person may have at a time, as in memory.
const MOST_OF_ONE_PERSON: u64 = 100;

impl SharedSessions {
    /// See [`super::super::super::Sessions::start`].
    pub(in super::super::super) async fn start(
        &self,
        session: Session,
    ) -> Result<(SessionId, Live), StoreAway> {
        self.may_serve()?;
        let id = SessionId::generate(self.random.as_ref());
        let key = id.key();
        let now = self.clock.now();
        // Listed before it is written: a logout that comes in between finds its name and buries it.
        let surplus = self.list(key, &session).await?;
        let asked = self.front().asking(self.now());
        if !self.write(key, &session).await? {
            return Err(StoreAway);
        }
        let subject = session.identity.subject.clone();
        let live = self.front().confirm(key, session, now, asked);
        // To begin is a use, and it was written.
        self.front().is_stamp_due(&key, self.now(), Duration::ZERO);
        if surplus {
            self.end_oldest(&subject, &key).await?;
        }
        // Ended by a logout that was faster.
        Ok((id, live.ok_or(StoreAway)?))
    }

    /// Writes a new session; false when a logout was faster.
    pub(in super::super) async fn write(
        &self,
        key: SessionKey,
        session: &Session,
    ) -> Result<bool, StoreAway> {
        let now = self.clock.now();
        let sealed = self
            .names
            .seal_session(&key, session, now)
            .ok_or(StoreAway)?;
        let (place, life) = (self.names.session(&key), self.life(session, now, now));
        self.store.set(&place, &sealed, life, When::Absent).await
    }

    /// Files `key` in every list of its session; true when the person has too many.
    pub(in super::super) async fn list(
        &self,
        key: SessionKey,
        session: &Session,
    ) -> Result<bool, StoreAway> {
        let now = self.clock.now().unix();
        let oldest = now.saturating_sub(self.limits.lifetime.as_secs());
        let order = (session.started_at.unix(), oldest);
        let of_person = self.names.lists("sub", session.identity.subject.as_str());
        let mut surplus = false;
        for list in self.lists(session) {
            let bytes = key.bytes();
            let count = self
                .store
                .file(&list, &bytes, order, self.limits.lifetime)
                .await?;
            surplus |= count > MOST_OF_ONE_PERSON && of_person.contains(&list);
        }
        Ok(surplus)
    }

    /// Ends the oldest sessions of a person who has more than allowed. What is over already does not
    /// count, and leaves the list.
    async fn end_oldest(&self, subject: &Subject, newest: &SessionKey) -> Result<(), StoreAway> {
        let alive = self.of_subject(subject).await?;
        let most = usize::try_from(MOST_OF_ONE_PERSON).unwrap_or(usize::MAX);
        let surplus = alive.len().saturating_sub(most);
        for live in alive
            .iter()
            .filter(|live| live.key != *newest)
            .take(surplus)
        {
            self.end(&live.key).await?;
        }
        Ok(())
    }

    /// See [`super::super::super::Sessions::update`].
    pub(in super::super::super) async fn update(
        &self,
        live: &Live,
        session: Session,
    ) -> Result<Option<Live>, StoreAway> {
        self.may_serve()?;
        let moved = session.provider_session != live.session.provider_session;
        if moved {
            self.list(live.key, &session).await?;
        }
        let asked = self.front().asking(self.now());
        let written = self.overwrite(live, &session).await;
        let written = match written {
            // A logout that named where it went was too early to find it in that list.
            Ok(true) if moved => self.moved(live, &session).await,
            written => written,
        };
        if written.is_err() {
            // It may have been written all the same.
            self.front().doubt(&live.key);
        }
        if !written? {
            return Ok(None);
        }
        let changed = self.front().update(&live.key, Arc::new(session.clone()));
        self.tell(Message::Changed(live.key)).await;
        match changed {
            Some(live) => Ok(Some(live)),
            None => Ok(self
                .front()
                .confirm(live.key, session, live.last_used(), asked)),
        }
    }

    /// Writes `session` in place of what `live` shows; false if it is over.
    async fn overwrite(&self, live: &Live, session: &Session) -> Result<bool, StoreAway> {
        let (now, last_used) = (self.clock.now(), live.last_used());
        let sealed = self
            .names
            .seal_session(&live.key, session, last_used)
            .ok_or(StoreAway)?;
        let life = self.life(session, last_used, now);
        let place = self.names.session(&live.key);
        let written = self.store.set(&place, &sealed, life, When::Present).await?;
        if !written {
            self.front().is_gone(&live.key, self.now());
        }
        Ok(written)
    }

    /// The session at the provider is another one now: false, and over, if that has ended.
    async fn moved(&self, live: &Live, session: &Session) -> Result<bool, StoreAway> {
        if departures::is_over(self, session).await? {
            self.end(&live.key).await?;
            return Ok(false);
        }
        if let Some(sid) = &live.session.provider_session {
            for list in self.names.lists("sid", sid.as_str()) {
                let _ = self.store.unfile(&list, &[live.key.bytes().to_vec()]).await;
            }
        }
        Ok(true)
    }

    /// See [`super::super::super::Sessions::renew`].
    pub(in super::super::super) async fn renew(
        &self,
        old: &SessionKey,
        session: Session,
    ) -> Result<Option<(SessionId, Live)>, StoreAway> {
        let Some(before) = self.find_by_key(old).await? else {
            return Ok(None);
        };
        let state = self.store.get(&self.names.state(old)).await?;
        // Of a logout and a renewal at once, whoever takes the old session out goes first. Its followers
        // are kept from being told.
        let kept = before.entry.put_aside();
        match self.take_out(old).await {
            Ok(true) => {}
            Ok(false) => return Ok(None),
            Err(away) => {
                // It may be there or not; whoever follows it is told, and the store is asked.
                self.front().forget(old);
                return Err(away);
            }
        }
        let (id, live) = self.start(session).await?;
        live.entry.take_over(kept);
        if let Some(mut state) = state.and_then(|value| self.names.open_state(old, &value)) {
            state.confirmations = Confirmations::default();
            let place = self.names.state(&live.key);
            let plain = serde_json::to_vec(&state).map_err(|_| StoreAway)?;
            let sealed = self.names.seal_state(&live.key, &plain).ok_or(StoreAway)?;
            self.store.swap(&place, None, &sealed, STATE).await?;
        }
        self.tell(Message::Renewed(*old, live.key)).await;
        Ok(Some((id, live)))
    }

    /// Another replica renewed a session: what follows it here goes over to the new one.
    pub(in super::super) async fn renewed(&self, old: &SessionKey, new: &SessionKey) {
        let followed = self.front().followed();
        let before = followed.into_iter().find(|live| live.key == *old);
        let kept = before.map(|live| live.entry.put_aside());
        self.front().end(old, self.now());
        if let Some(kept) = kept
            && let Ok(Some(live)) = self.find_by_key(new).await
        {
            live.entry.take_over(kept);
        }
    }

    /// Tells the other replicas; whoever does not hear it asks the store within seconds. False when it
    /// failed.
    pub(super) async fn tell(&self, message: Message) -> bool {
        let told = self.store.publish(&message.to_bytes()).await.is_ok();
        if !told {
            tracing::debug!("the other replicas were not told of a session");
        }
        told
    }
}
