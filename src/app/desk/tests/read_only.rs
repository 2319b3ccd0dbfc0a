//! A store that replicas share and that takes nothing any more: it is full, or a copy of the real one.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;

use super::*;
use crate::ops::entropy::SystemRandom;
use crate::session::KeyRing;
use crate::session::shared::{SharedSessions, SharedSettings, SharedStore, Subscription, When};

#[derive(Debug, Default)]
struct Store {
    values: Mutex<HashMap<String, Vec<u8>>>,
    lists: Mutex<HashMap<String, Vec<Vec<u8>>>>,
    read_only: AtomicBool,
}

impl Store {
    fn writable(&self) -> Result<(), StoreAway> {
        if self.read_only.load(Ordering::SeqCst) {
            Err(StoreAway)
        } else {
            Ok(())
        }
    }
}

#[async_trait]
impl SharedStore for Store {
    async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, StoreAway> {
        Ok(self.values.lock().unwrap().get(key).cloned())
    }

    async fn set(&self, key: &str, value: &[u8], _: Duration, _: When) -> Result<bool, StoreAway> {
        self.writable()?;
        let mut values = self.values.lock().unwrap();
        values.insert(key.to_owned(), value.to_vec());
        Ok(true)
    }

    async fn swap(
        &self,
        _: &str,
        _: Option<&[u8]>,
        _: &[u8],
        _: Duration,
    ) -> Result<bool, StoreAway> {
        Err(StoreAway)
    }

    async fn stamp(&self, _: &str, _: &[u8], _: Duration) -> Result<bool, StoreAway> {
        Err(StoreAway)
    }

    async fn take(&self, key: &str) -> Result<Option<Vec<u8>>, StoreAway> {
        self.writable()?;
        Ok(self.values.lock().unwrap().remove(key))
    }

    async fn bury(&self, key: &str, _: Duration) -> Result<Option<Vec<u8>>, StoreAway> {
        self.take(key).await
    }

    async fn remove_if(&self, _: &str, _: &[u8]) -> Result<bool, StoreAway> {
        Err(StoreAway)
    }

    async fn file(
        &self,
        list: &str,
        member: &[u8],
        _: (u64, u64),
        _: Duration,
    ) -> Result<u64, StoreAway> {
        let mut lists = self.lists.lock().unwrap();
        let list = lists.entry(list.to_owned()).or_default();
        list.push(member.to_vec());
        Ok(list.len() as u64)
    }

    async fn filed(&self, list: &str, from: u64, _: u64) -> Result<Vec<(Vec<u8>, u64)>, StoreAway> {
        let lists = self.lists.lock().unwrap();
        let members = lists.get(list).into_iter().flatten();
        Ok(members
            .skip(usize::try_from(from).unwrap())
            .map(|member| (member.clone(), 0))
            .collect())
    }

    async fn unfile(&self, _: &str, members: &[Vec<u8>]) -> Result<(), StoreAway> {
        if members.is_empty() {
            return Ok(());
        }
        self.writable()
    }

    async fn append(&self, _: &str, _: &[u8], _: u64, _: Duration) -> Result<(), StoreAway> {
        Err(StoreAway)
    }

    async fn position(&self, _: &str) -> Result<u64, StoreAway> {
        Err(StoreAway)
    }

    async fn since(&self, _: &str, _: u64) -> Result<Vec<Vec<u8>>, StoreAway> {
        Err(StoreAway)
    }

    async fn publish(&self, _: &[u8]) -> Result<(), StoreAway> {
        Ok(())
    }

    async fn subscribe(&self) -> Result<Box<dyn Subscription>, StoreAway> {
        Err(StoreAway)
    }
}

#[tokio::test]
async fn whoever_is_revoked_is_out_here_with_every_session_also_where_the_store_takes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let fixed = Arc::new(Fixed::default());
    let random: Arc<dyn Random> = Arc::new(SystemRandom::new());
    let path = directory.path().join("keys.json");
    let keys = Arc::new(KeyRing::load_or_create(&path, Arc::clone(&random)).unwrap());
    let store = Arc::new(Store::default());
    let settings = SharedSettings {
        limits: LIMITS,
        capacity: 100,
        grace: Duration::from_mins(5),
        prefix: "test",
        deployment: &["test"],
        refresh: Duration::from_mins(1),
    };
    let shared = Arc::<Store>::clone(&store) as Arc<dyn SharedStore>;
    let shared = SharedSessions::new(shared, &settings, keys, fixed.clone(), random.clone());
    let sessions = Sessions::shared(Arc::new(shared));
    let desk = Desk {
        sessions: Arc::new(sessions),
        random,
        ..desk()
    };
    let mut begun = Vec::new();
    for subject in ["ada", "ada", "ada", "ben"] {
        let session = session(subject, &format!("{subject}@x"));
        begun.push(desk.sessions.start(session).await.unwrap().1.key);
    }
    store.read_only.store(true, Ordering::SeqCst);
    let (status, told) = ask(&desk, Method::DELETE, "/sessions?user=ada").await;
    assert_eq!(
        (status, &told["error"]),
        (503, &"session_store_unavailable".into())
    );
    for (at, key) in begun.iter().enumerate() {
        let found = desk.sessions.find_by_key(key).await;
        assert_eq!(found.unwrap().is_some(), at == 3, "session {at}");
    }
}
