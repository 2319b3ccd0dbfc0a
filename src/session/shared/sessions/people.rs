//! People and their groups, for all replicas.

use std::time::Duration;

use super::super::super::StoreAway;
use super::super::super::people::Known;
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

    /// Everybody who was seen since `oldest`.
    ///
    /// # Errors
    /// [`StoreAway`]: they are not known.
    pub async fn people(&self, oldest: Timestamp) -> Result<Vec<Known>, StoreAway> {
        self.may_serve()?;
        let list = self.people_list();
        let (mut all, mut from) = (Vec::new(), 0);
        loop {
            let page = self.store.filed(&list, from, PAGE).await?;
            from += page.len() as u64;
            for (place, _) in &page {
                let Ok(place) = std::str::from_utf8(place) else {
                    continue;
                };
                let known = self.person_at(place).await?;
                all.extend(known.filter(|known| known.seen >= oldest));
            }
            if (page.len() as u64) < PAGE {
                return Ok(all);
            }
        }
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
