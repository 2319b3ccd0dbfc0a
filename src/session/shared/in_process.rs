//! The store as the tests have it: in this process, with a clock that obeys, and able to be away, to
//! lose messages, and to be slow.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;

use super::super::StoreAway;
use super::super::live::lock;
use super::{SharedStore, Subscription, When};

/// Scores and members, the lowest score first.
type List = BTreeSet<(u64, Vec<u8>)>;

/// The server.
#[derive(Debug, Default)]
pub(super) struct Server {
    /// Milliseconds.
    now: AtomicU64,
    values: Mutex<HashMap<String, (Vec<u8>, u64)>>,
    lists: Mutex<HashMap<String, List>>,
    messages: Mutex<Vec<Vec<u8>>>,
}

impl Server {
    pub(super) fn now(&self) -> Duration {
        Duration::from_millis(self.now.load(Ordering::SeqCst))
    }

    pub(super) fn pass(&self, time: Duration) {
        let millis = u64::try_from(time.as_millis()).unwrap();
        self.now.fetch_add(millis, Ordering::SeqCst);
    }

    /// Every byte there is.
    pub(super) fn dump(&self) -> Vec<u8> {
        let mut all = Vec::new();
        for (key, (value, _)) in lock(&self.values).iter() {
            all.extend(key.bytes().chain(*b"=").chain(value.iter().copied()));
        }
        for (key, members) in lock(&self.lists).iter() {
            all.extend(key.bytes());
            all.extend(
                members
                    .iter()
                    .flat_map(|(_, member)| member.iter().copied()),
            );
        }
        all.extend(lock(&self.messages).concat());
        all
    }

    /// What a copy would hold.
    pub(super) fn copy(&self) -> HashMap<String, (Vec<u8>, u64)> {
        lock(&self.values).clone()
    }

    /// Everything since the copy is forgotten.
    pub(super) fn restore(&self, copy: HashMap<String, (Vec<u8>, u64)>) {
        *lock(&self.values) = copy;
    }

    pub(super) fn keys(&self) -> Vec<String> {
        let now = self.now.load(Ordering::SeqCst);
        let values = lock(&self.values);
        let live = values
            .iter()
            .filter(|(_, (value, end))| *end > now && !value.is_empty());
        let mut keys: Vec<String> = live.map(|(key, _)| key.clone()).collect();
        keys.extend(
            lock(&self.lists)
                .iter()
                .filter(|(_, all)| !all.is_empty())
                .map(|(key, _)| key.clone()),
        );
        keys.sort();
        keys
    }

    /// All the messages from the one numbered `from`.
    pub(super) fn messages(&self, from: usize) -> Vec<Vec<u8>> {
        lock(&self.messages)
            .get(from..)
            .unwrap_or_default()
            .to_vec()
    }

    fn get(&self, key: &str) -> Option<Vec<u8>> {
        let now = self.now.load(Ordering::SeqCst);
        let values = lock(&self.values);
        let (value, end) = values.get(key)?;
        (*end > now).then(|| value.clone())
    }

    fn put(&self, key: &str, value: &[u8], life: Duration) {
        let end = self.now() + life;
        let end = u64::try_from(end.as_millis()).unwrap_or(u64::MAX);
        lock(&self.values).insert(key.to_owned(), (value.to_vec(), end));
    }
}

/// One replica's way to the server.
#[derive(Debug)]
pub(super) struct InProcess {
    server: Arc<Server>,
    cut: AtomicBool,
    /// Reads take a turn between the server's answer and its arrival.
    slow: AtomicBool,
    /// Writes arrive, and their answers do not.
    deaf: AtomicBool,
}

impl InProcess {
    pub(super) fn new(server: Arc<Server>) -> Self {
        let [cut, slow, deaf] = [(); 3].map(|()| AtomicBool::new(false));
        Self {
            server,
            cut,
            slow,
            deaf,
        }
    }

    pub(super) fn cut(&self, cut: bool) {
        self.cut.store(cut, Ordering::SeqCst);
    }

    pub(super) fn slow(&self, slow: bool) {
        self.slow.store(slow, Ordering::SeqCst);
    }

    pub(super) fn deaf(&self, deaf: bool) {
        self.deaf.store(deaf, Ordering::SeqCst);
    }

    fn reach(&self) -> Result<&Server, StoreAway> {
        if self.cut.load(Ordering::SeqCst) {
            Err(StoreAway)
        } else {
            Ok(&self.server)
        }
    }

    /// The answer of a write.
    fn heard<T>(&self, answer: T) -> Result<T, StoreAway> {
        if self.deaf.load(Ordering::SeqCst) {
            Err(StoreAway)
        } else {
            Ok(answer)
        }
    }
}

fn full(value: Option<Vec<u8>>) -> Option<Vec<u8>> {
    value.filter(|value| !value.is_empty())
}

#[async_trait]
impl SharedStore for InProcess {
    async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, StoreAway> {
        let value = full(self.reach()?.get(key));
        if self.slow.load(Ordering::SeqCst) {
            tokio::task::yield_now().await;
        }
        Ok(value)
    }

    async fn set(
        &self,
        key: &str,
        value: &[u8],
        life: Duration,
        when: When,
    ) -> Result<bool, StoreAway> {
        let server = self.reach()?;
        let there = server.get(key);
        let may = match when {
            When::Absent => there.is_none(),
            When::Present => full(there).is_some(),
        };
        if may {
            server.put(key, value, life);
        }
        self.heard(may)
    }

    async fn swap(
        &self,
        key: &str,
        old: Option<&[u8]>,
        new: &[u8],
        life: Duration,
    ) -> Result<bool, StoreAway> {
        let server = self.reach()?;
        let may = full(server.get(key)).as_deref() == old;
        if may {
            server.put(key, new, life);
        }
        self.heard(may)
    }

    async fn stamp(&self, key: &str, head: &[u8], life: Duration) -> Result<bool, StoreAway> {
        let server = self.reach()?;
        let Some(mut value) = full(server.get(key)) else {
            return self.heard(false);
        };
        value[..head.len()].copy_from_slice(head);
        server.put(key, &value, life);
        self.heard(true)
    }

    async fn take(&self, key: &str) -> Result<Option<Vec<u8>>, StoreAway> {
        let server = self.reach()?;
        let value = full(server.get(key));
        lock(&server.values).remove(key);
        self.heard(value)
    }

    async fn bury(&self, key: &str, life: Duration) -> Result<Option<Vec<u8>>, StoreAway> {
        let server = self.reach()?;
        let value = full(server.get(key));
        server.put(key, b"", life);
        self.heard(value)
    }

    async fn remove_if(&self, key: &str, value: &[u8]) -> Result<bool, StoreAway> {
        let server = self.reach()?;
        let is = server.get(key).as_deref() == Some(value);
        if is {
            lock(&server.values).remove(key);
        }
        self.heard(is)
    }

    async fn file(
        &self,
        list: &str,
        member: &[u8],
        (score, oldest): (u64, u64),
        _: Duration,
    ) -> Result<u64, StoreAway> {
        let server = self.reach()?;
        let mut lists = lock(&server.lists);
        let members = lists.entry(list.to_owned()).or_default();
        members.retain(|(score, other)| *score >= oldest && other != member);
        members.insert((score, member.to_vec()));
        self.heard(members.len() as u64)
    }

    async fn filed(
        &self,
        list: &str,
        from: u64,
        count: u64,
    ) -> Result<Vec<(Vec<u8>, u64)>, StoreAway> {
        let lists = lock(&self.reach()?.lists);
        let members = lists.get(list).into_iter().flatten();
        let from = members.skip(usize::try_from(from).unwrap());
        let some = from.take(usize::try_from(count).unwrap());
        Ok(some
            .map(|(score, member)| (member.clone(), *score))
            .collect())
    }

    async fn unfile(&self, list: &str, members: &[Vec<u8>]) -> Result<(), StoreAway> {
        if let Some(all) = lock(&self.reach()?.lists).get_mut(list) {
            all.retain(|(_, member)| !members.contains(member));
        }
        Ok(())
    }

    async fn append(
        &self,
        log: &str,
        entry: &[u8],
        most: u64,
        _: Duration,
    ) -> Result<(), StoreAway> {
        let server = self.reach()?;
        let mut lists = lock(&server.lists);
        let entries = lists.entry(log.to_owned()).or_default();
        let number = entries.last().map_or(0, |(number, _)| *number) + 1;
        entries.insert((number, entry.to_vec()));
        entries.retain(|(other, _)| number - *other < most);
        self.heard(())
    }

    async fn position(&self, log: &str) -> Result<u64, StoreAway> {
        let lists = lock(&self.reach()?.lists);
        let last = lists.get(log).and_then(BTreeSet::last);
        Ok(last.map_or(0, |(number, _)| *number))
    }

    async fn since(&self, log: &str, position: u64) -> Result<Vec<Vec<u8>>, StoreAway> {
        let lists = lock(&self.reach()?.lists);
        let entries = lists.get(log).into_iter().flatten();
        let later = entries.filter(|(number, _)| *number > position);
        Ok(later.map(|(_, entry)| entry.clone()).collect())
    }

    async fn publish(&self, message: &[u8]) -> Result<(), StoreAway> {
        lock(&self.reach()?.messages).push(message.to_vec());
        Ok(())
    }

    async fn subscribe(&self) -> Result<Box<dyn Subscription>, StoreAway> {
        // The tests carry messages by hand.
        Err(StoreAway)
    }
}
