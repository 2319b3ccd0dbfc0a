//! How sessions end.

use std::sync::Arc;

use super::super::super::StoreAway;
use super::super::super::id::SessionKey;
use super::super::super::live::Live;
use super::super::message::Message;
use super::{BURIED, SharedSessions};
use crate::domain::identity::{ProviderSession, Subject};
use crate::domain::session::Session;

impl SharedSessions {
    /// See [`super::super::super::Sessions::end`]. Here it is over in any case; where the store was not
    /// told, it is told later.
    pub(in super::super::super) async fn end(
        &self,
        key: &SessionKey,
    ) -> Result<Option<Arc<Session>>, StoreAway> {
        self.front().is_gone(key, self.now());
        // Whoever has the name has it from a session that was written: nothing to wait for.
        let value = self.store.take(&self.names.session(key)).await;
        self.ended(key, value).await
    }

    /// The same for a name from a list, whose session may be about to be written: the name is buried.
    async fn end_listed_one(&self, key: &SessionKey) -> Result<Option<Arc<Session>>, StoreAway> {
        let value = self.store.bury(&self.names.session(key), BURIED).await;
        self.ended(key, value).await
    }

    async fn ended(
        &self,
        key: &SessionKey,
        value: Result<Option<Vec<u8>>, StoreAway>,
    ) -> Result<Option<Arc<Session>>, StoreAway> {
        let Ok(value) = value else {
            self.front().end(key, self.now());
            self.front().owe(*key);
            return Err(StoreAway);
        };
        // Made up, or over for long.
        let Some(value) = value else { return Ok(None) };
        self.front().end(key, self.now());
        self.tell(Message::Ended(*key)).await;
        let Some((session, _)) = self.names.open_session(key, &value) else {
            return Ok(None);
        };
        self.tidy(key, &session).await;
        Ok(Some(Arc::new(session)))
    }

    /// Takes a session out for another one in its place; false when somebody else was faster.
    pub(super) async fn take_out(&self, key: &SessionKey) -> Result<bool, StoreAway> {
        let value = self.store.take(&self.names.session(key)).await?;
        self.front().end(key, self.now());
        let session = value.and_then(|value| self.names.open_session(key, &value));
        let Some((session, _)) = session else {
            return Ok(false);
        };
        self.tidy(key, &session).await;
        Ok(true)
    }

    /// Removes what points at a session that is over. What fails is removed by its own end, or by whoever
    /// reads the lists next.
    async fn tidy(&self, key: &SessionKey, session: &Session) {
        for list in self.lists(session) {
            let _ = self.store.unfile(&list, &[key.bytes().to_vec()]).await;
        }
        let _ = self.store.take(&self.names.state(key)).await;
    }

    /// See [`super::super::super::Sessions::end_subject`].
    pub(in super::super::super) async fn end_subject(
        &self,
        subject: &Subject,
    ) -> Result<usize, StoreAway> {
        let lists = self.names.lists("sub", subject.as_str());
        self.end_listed(lists, |live| live.session.identity.subject == *subject)
            .await
    }

    /// See [`super::super::super::Sessions::end_provider_session`].
    pub(in super::super::super) async fn end_provider_session(
        &self,
        sid: &ProviderSession,
    ) -> Result<usize, StoreAway> {
        let lists = self.names.lists("sid", sid.as_str());
        self.end_listed(lists, |live| {
            live.session.provider_session.as_ref() == Some(sid)
        })
        .await
    }

    /// See [`super::super::super::Sessions::end_every`].
    pub(in super::super::super) async fn end_every(&self) -> Result<usize, StoreAway> {
        self.end_listed(vec![self.names.all()], |_| true).await
    }

    /// Ends the sessions of all these lists. Where the store is away, those known here are over here, and
    /// the rest follows.
    async fn end_listed(
        &self,
        lists: Vec<String>,
        belongs: impl Fn(&Live) -> bool,
    ) -> Result<usize, StoreAway> {
        let (mut ended, mut away) = (0, false);
        for list in lists {
            if let Ok(count) = self.end_list(&list).await {
                ended += count;
            } else {
                self.front().owe_list(list);
                away = true;
            }
        }
        if !away {
            return Ok(ended);
        }
        for live in self.front().known() {
            if belongs(&live) {
                self.front().end(&live.key, self.now());
                self.front().owe(live.key);
            }
        }
        Err(StoreAway)
    }

    async fn end_list(&self, list: &str) -> Result<usize, StoreAway> {
        let mut ended = 0;
        for key in self.listed(list).await? {
            ended += usize::from(self.end_listed_one(&key).await?.is_some());
        }
        Ok(ended)
    }

    /// Tells the store that a session ended. Mostly it knows, and that costs little.
    async fn settle(&self, key: &SessionKey) -> Result<(), StoreAway> {
        let value = self.store.bury(&self.names.session(key), BURIED).await?;
        let session = value.and_then(|value| self.names.open_session(key, &value));
        if let Some((session, _)) = session {
            self.tell(Message::Ended(*key)).await;
            self.tidy(key, &session).await;
        }
        Ok(())
    }

    /// Tells the store what it missed. What cannot be told stays owed.
    pub(in super::super) async fn pay(&self) {
        let (keys, lists) = self.front().take_owed();
        let mut unpaid = false;
        for key in keys {
            unpaid = unpaid || self.settle(&key).await.is_err();
            if unpaid {
                self.front().owe(key);
            }
        }
        for list in lists {
            unpaid = unpaid || self.end_list(&list).await.is_err();
            if unpaid {
                self.front().owe_list(list);
            }
        }
    }
}
