//! People and their groups, for all replicas.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::super::super::StoreAway;
use super::super::super::people::{Known, StateError};
use super::super::When;
use super::SharedSessions;
use super::holding::Held;
use crate::domain::identity::Subject;
use crate::domain::time::Timestamp;

/// The kind of the names of people.
const PERSON: &str = "person";
/// The list of all of them.
const ALL: &str = "all people";
/// How many are looked up in one go.
const PAGE: u64 = 1000;
/// Most looks at the list for whoever came or moved since the one before.
const MOST_LOOKS: usize = 4;
/// How long somebody is kept at least who moves.
const LEAST: Duration = Duration::from_mins(1);

impl SharedSessions {
    /// Where somebody is: under the newest key of the ring, and where they were under an older one.
    fn places(&self, subject: &Subject) -> Vec<String> {
        self.names.lists(PERSON, subject.as_str())
    }

    /// What is known of somebody.
    ///
    /// # Errors
    /// [`StoreAway`]: it is not known.
    pub async fn person(&self, subject: &Subject) -> Result<Option<Known>, StoreAway> {
        self.may_serve()?;
        for place in self.places(subject) {
            let known = self.person_at(&place).await?;
            if known.is_some() {
                return Ok(known);
            }
        }
        Ok(None)
    }

    async fn person_at(&self, place: &str) -> Result<Option<Known>, StoreAway> {
        let value = self.store.get(place).await?;
        let opened = value.and_then(|value| self.names.open(place, &value));
        Ok(opened.as_deref().and_then(Known::from_bytes))
    }

    /// Keeps it for `life`.
    ///
    /// # Errors
    /// [`StoreAway`]: it may not be kept.
    pub async fn keep_person(&self, known: &Known, life: Duration) -> Result<(), StoreAway> {
        self.may_serve()?;
        let mut places = self.places(&known.subject).into_iter();
        let place = places.next().ok_or(StoreAway)?;
        let sealed = self.names.seal(&place, &known.to_bytes());
        let sealed = sealed.ok_or(StoreAway)?;
        let written = self.store.set(&place, &sealed, life, When::Absent).await?;
        if !written {
            self.store.set(&place, &sealed, life, When::Present).await?;
        }
        let seen = known.seen.unix();
        let oldest = seen.saturating_sub(life.as_secs());
        let (list, file) = (self.people_list(), (seen, oldest));
        self.store.file(&list, place.as_bytes(), file, life).await?;
        self.drop_places(places.collect()).await
    }

    /// Nothing is known of somebody any more.
    ///
    /// # Errors
    /// [`StoreAway`]: it still may be.
    pub async fn forget_person(&self, subject: &Subject) -> Result<(), StoreAway> {
        self.may_serve()?;
        self.drop_places(self.places(subject)).await
    }

    async fn drop_places(&self, places: Vec<String>) -> Result<(), StoreAway> {
        if places.is_empty() {
            return Ok(());
        }
        for place in &places {
            self.store.take(place).await?;
        }
        let members: Vec<Vec<u8>> = places.into_iter().map(String::into_bytes).collect();
        self.store.unfile(&self.people_list(), &members).await
    }

    fn people_list(&self) -> String {
        self.names.once("list", ALL)
    }

    /// Everybody who was seen since `oldest`, as they were seen last.
    ///
    /// # Errors
    /// [`StateError`]: they are not known. Whom this process cannot read is not taken for nobody.
    pub async fn people(&self, oldest: Timestamp) -> Result<Vec<Known>, StateError> {
        self.may_serve()?;
        let list = self.people_list();
        let mut all: BTreeMap<Subject, Known> = BTreeMap::new();
        let mut looked_at = BTreeSet::new();
        // Whoever is checked meanwhile moves within the list, and may do so to another place.
        for _ in 0..MOST_LOOKS {
            let mut places = self.filed_places(&list).await?;
            places.retain(|place| looked_at.insert(place.clone()));
            if places.is_empty() {
                break;
            }
            for place in places {
                let Some(value) = self.store.get(&place).await? else {
                    continue;
                };
                let opened = self.names.open(&place, &value);
                let known = opened.as_deref().and_then(Known::from_bytes);
                let known = known.ok_or_else(|| StateError::Sealed { list: list.clone() })?;
                if known.seen < oldest {
                    continue;
                }
                self.move_on(&known, (place, &value), oldest).await?;
                let newer = |there: &Known| there.seen >= known.seen;
                if !all.get(&known.subject).is_some_and(newer) {
                    all.insert(known.subject.clone(), known);
                }
            }
        }
        Ok(all.into_values().collect())
    }

    /// Where people are, in one go.
    async fn filed_places(&self, list: &str) -> Result<Vec<String>, StoreAway> {
        let mut places = Vec::new();
        let mut from = 0;
        loop {
            let page = self.store.filed(list, from, PAGE).await?;
            let count = page.len() as u64;
            let texts = page
                .into_iter()
                .filter_map(|(place, _)| String::from_utf8(place).ok());
            places.extend(texts);
            from += count;
            if count < PAGE {
                return Ok(places);
            }
        }
    }

    /// Somebody who is under an older key goes to the newest one's place: the older key leaves the ring
    /// some day. Not brought back where they are forgotten, or heard of anew, in this moment.
    async fn move_on(
        &self,
        known: &Known,
        (from, value): (String, &[u8]),
        oldest: Timestamp,
    ) -> Result<(), StoreAway> {
        let Some(to) = self.places(&known.subject).into_iter().next() else {
            return Ok(());
        };
        if to == from {
            return Ok(());
        }
        let sealed = self.names.seal(&to, &known.to_bytes()).ok_or(StoreAway)?;
        let life = known.seen.since(oldest).max(LEAST);
        if self.store.set(&to, &sealed, life, When::Absent).await? {
            if !self.store.remove_if(&from, value).await? {
                return self.store.remove_if(&to, &sealed).await.map(drop);
            }
            let (list, file) = (self.people_list(), (known.seen.unix(), oldest.unix()));
            self.store.file(&list, to.as_bytes(), file, life).await?;
        } else {
            let there = self.person_at(&to).await?;
            let older = there.is_some_and(|there| there.seen >= known.seen);
            if !older || !self.store.remove_if(&from, value).await? {
                return Ok(());
            }
        }
        let gone = [from.into_bytes()];
        self.store.unfile(&self.people_list(), &gone).await
    }

    /// The right to do what this `name` says; `None` while another replica has it. It is over after `life`.
    ///
    /// # Errors
    /// [`StoreAway`]: whether another has it is not known.
    pub async fn hold(&self, name: &str, life: Duration) -> Result<Option<Held>, StoreAway> {
        self.may_serve()?;
        let (place, token) = (self.names.once("held", name), self.random.token());
        let free = self.store.set(&place, token.as_bytes(), life, When::Absent);
        let held = || Held::new(&self.store, place.clone(), token.clone());
        Ok(free.await?.then(held))
    }
}
