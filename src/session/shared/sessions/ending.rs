//! How sessions end.

use std::sync::Arc;

use super::super::super::StoreAway;
use super::super::super::departures;
use super::super::super::id::SessionKey;
use super::super::message::Message;
use super::super::over::Debt;
use super::{BURIED, SharedSessions};
use crate::domain::departure::Departure;
use crate::domain::session::Session;

/// Whose sessions end together.
#[derive(Clone, Copy)]
enum Whose<'a> {
    Everybody,
    Of(&'a Departure),
}

impl Whose<'_> {
    fn covers(self, session: &Session) -> bool {
        match self {
            Self::Everybody => true,
            Self::Of(departure) => departure.covers(session),
        }
    }

    fn debt(self) -> Debt {
        match self {
            Self::Everybody => Debt::Every,
            Self::Of(departure) => Debt::Left(departure.clone()),
        }
    }
}

impl SharedSessions {
    /// See [`super::super::super::Sessions::end`]. A session that is known here is over here in any case;
    /// where the store was not told, it is told later.
    pub(in super::super::super) async fn end(
        &self,
        key: &SessionKey,
    ) -> Result<Option<Arc<Session>>, StoreAway> {
        let real = self.front().is_real(key);
        self.front().is_gone(key, self.now());
        // Whoever has the name has it from a session that was written: nothing to wait for.
        let value = self.store.take(&self.names.session(key)).await;
        self.ended(key, value, real).await
    }

    /// The same for a name from a list, whose session may be about to be written: the name is buried.
    async fn end_listed_one(&self, key: &SessionKey) -> Result<Option<Arc<Session>>, StoreAway> {
        let value = self.store.bury(&self.names.session(key), BURIED).await;
        let real = value.is_err() || self.front().is_real(key);
        self.ended(key, value, real).await
    }

    /// What follows from the store's answer. `real`: the name is that of a session, and is worth being
    /// remembered and told, whatever the store says.
    async fn ended(
        &self,
        key: &SessionKey,
        value: Result<Option<Vec<u8>>, StoreAway>,
        real: bool,
    ) -> Result<Option<Arc<Session>>, StoreAway> {
        if real || matches!(value, Ok(Some(_))) {
            self.front().end(key, self.now());
            if value.is_err() {
                self.front().owe(Debt::One(*key));
            }
            // Also where the store failed: this may go through all the same, and what was done may not
            // have been answered.
            self.tell(Message::Ended(*key)).await;
        }
        let value = value?;
        self.front().paid(&Debt::One(*key));
        let Some(value) = value else { return Ok(None) };
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

    /// See [`super::super::super::Sessions::end_departed`].
    pub(in super::super::super) async fn end_departed(
        &self,
        departure: &Departure,
    ) -> Result<usize, StoreAway> {
        self.end_all(Whose::Of(departure)).await
    }

    /// See [`super::super::super::Sessions::end_every`].
    pub(in super::super::super) async fn end_every(&self) -> Result<usize, StoreAway> {
        self.end_all(Whose::Everybody).await
    }

    /// Where the store is away, the sessions that are known here are over here, and the rest follows.
    async fn end_all(&self, whose: Whose<'_>) -> Result<usize, StoreAway> {
        let result = self.end_listed(whose).await;
        if result.is_ok() {
            self.front().paid(&whose.debt());
            self.end_known(whose).await;
            return result;
        }
        let covered = self.front().known_of(|session| whose.covers(session));
        self.front().owe(whose.debt());
        for key in &covered {
            self.front().end(key, self.now());
            self.front().owe(Debt::One(*key));
        }
        for key in covered {
            if !self.tell(Message::Ended(key)).await {
                break;
            }
        }
        result
    }

    /// Ends what is known here and not in the store's lists any more: another one ended it, and it was not
    /// heard here yet.
    async fn end_known(&self, whose: Whose<'_>) {
        for key in self.front().known_of(|session| whose.covers(session)) {
            self.front().end(&key, self.now());
            if self.settle(&key, true).await.is_err() {
                self.front().owe(Debt::One(key));
            }
        }
    }

    /// Ends what the store lists; where that fails, some may have ended.
    async fn end_listed(&self, whose: Whose<'_>) -> Result<usize, StoreAway> {
        let (lists, all_of_it) = match whose {
            Whose::Everybody => (vec![self.names.all()], true),
            Whose::Of(Departure::Session(sid)) => (self.names.lists("sid", sid.as_str()), true),
            Whose::Of(Departure::Person(who)) => (self.names.lists("sub", who.as_str()), true),
            Whose::Of(Departure::SessionOf(_, who)) => {
                (self.names.lists("sub", who.as_str()), false)
            }
        };
        let mut ended = 0;
        for list in lists {
            for (key, _) in self.listed(&list).await? {
                if all_of_it || self.is_covered(&key, whose).await? {
                    ended += usize::from(self.end_listed_one(&key).await?.is_some());
                }
            }
        }
        Ok(ended)
    }

    /// Whether this session, as the store has it, is covered; memory is not asked, which may take it for
    /// over while the store does not. What cannot be opened may be covered, and a logout must not be lost.
    /// One that is about to be written is its sign-in's business, which looks who left meanwhile.
    async fn is_covered(&self, key: &SessionKey, whose: Whose<'_>) -> Result<bool, StoreAway> {
        let Some(value) = self.store.get(&self.names.session(key)).await? else {
            return Ok(false);
        };
        let opened = self.names.open_session(key, &value);
        Ok(opened.is_none_or(|(session, _)| whose.covers(&session)))
    }

    /// Tells the store that a session ended. Mostly it knows, and that costs little. `owed`: the others
    /// may not have heard of it either.
    async fn settle(&self, key: &SessionKey, owed: bool) -> Result<(), StoreAway> {
        let value = self.store.bury(&self.names.session(key), BURIED).await?;
        if owed || value.is_some() {
            self.tell(Message::Ended(*key)).await;
        }
        let session = value.and_then(|value| self.names.open_session(key, &value));
        if let Some((session, _)) = session {
            self.tidy(key, &session).await;
        }
        Ok(())
    }

    /// Tells the store what is owed to it. What cannot be told stays owed.
    pub(in super::super) async fn pay(&self) -> Result<(), StoreAway> {
        for debt in self.front().debts() {
            match &debt {
                Debt::One(key) => self.settle(key, true).await?,
                Debt::Every => {
                    self.end_listed(Whose::Everybody).await?;
                    self.end_known(Whose::Everybody).await;
                }
                Debt::Left(departure) => {
                    // Once more: whoever is signing in meanwhile looks for it since they began.
                    departures::note(self, departure).await?;
                    self.end_listed(Whose::Of(departure)).await?;
                    self.end_known(Whose::Of(departure)).await;
                }
            }
            self.front().paid(&debt);
        }
        Ok(())
    }

    /// The same, and tells it what ended in the last hour: a store that was replaced by its copy may not
    /// know.
    pub(in super::super) async fn pay_and_remind(&self) -> Result<(), StoreAway> {
        self.pay().await?;
        for key in self.front().ended() {
            self.settle(&key, false).await?;
        }
        Ok(())
    }
}
