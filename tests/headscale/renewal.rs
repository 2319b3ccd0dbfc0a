//! The API key is renewed, and whatever breaks off, its file holds a key that works.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use headwarden::config::{Current, KeyRenewal, Settings};
use headwarden::domain::secret::Secret;
use headwarden::domain::time::{Clock, Timestamp};
use headwarden::headscale::{Api, Renewal};
use headwarden::ops::audit::Audit;
use headwarden::ops::entropy::SystemRandom;
use headwarden::ops::metrics::Metrics;
use tempfile::TempDir;

use crate::support::headscale_standin::{HeadscaleStandin, Script};
use crate::support::raw::{PATIENCE, Raw};
use crate::{KEY, VERSIONS, api, of_version, settings};

const DAY: Duration = Duration::from_hours(24);
const KEYS: &str = "/api/v1/apikey";

/// The present, until it is told to go on.
#[derive(Debug)]
struct Hands(AtomicU64);

impl Clock for Hands {
    fn now(&self) -> Timestamp {
        Timestamp::from_unix(self.0.load(Ordering::SeqCst))
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the stand-in's keys end by the real clock"
)]
fn now() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.expect("it is later than 1970").as_secs()
}

struct Ground {
    headscale: HeadscaleStandin,
    hands: Arc<Hands>,
    settings: Settings,
    api: Api,
    metrics: Arc<Metrics>,
    path: PathBuf,
    _files: TempDir,
}

impl Ground {
    /// A key that ends in so many days.
    fn new(version: &str, days: u64) -> Self {
        let headscale = of_version(version);
        let key = if version < "v0.28" {
            "AbCdEfG.0123456789"
        } else {
            KEY
        };
        headscale.configure(|options| "hskey-api-another".clone_into(&mut options.api_key));
        let end = i64::try_from(now() + days * 86_400).expect("a time");
        headscale.add_api_key(key, Some(end));
        let files = tempfile::tempdir().expect("a directory");
        let path = files.path().join("key");
        std::fs::write(&path, format!("{key}\n")).expect("a file");
        let mut settings = settings(&headscale.url(), "");
        settings.headscale.renewal = Some(KeyRenewal {
            path: path.clone(),
            before: DAY * 30,
            lifetime: DAY * 90,
        });
        Self {
            api: api(&headscale, key),
            headscale,
            hands: Arc::new(Hands(AtomicU64::new(now()))),
            settings,
            metrics: Arc::new(Metrics::new().expect("a registry")),
            path,
            _files: files,
        }
    }

    fn renewal(&self) -> Renewal {
        self.renewal_of(self.api.clone())
    }

    /// By a process that asks by `api`, with the same file.
    fn renewal_of(&self, api: Api) -> Renewal {
        let clock = || Arc::clone(&self.hands) as Arc<dyn Clock>;
        let metrics = Arc::clone(&self.metrics);
        Renewal::new(
            Current::new(Arc::new(self.settings.clone())),
            api,
            metrics,
            Audit::in_log(clock()),
            clock(),
            Arc::new(SystemRandom::new()),
        )
    }

    fn later(&self, by: Duration) {
        self.hands.0.fetch_add(by.as_secs(), Ordering::SeqCst);
    }

    fn in_file(&self) -> String {
        std::fs::read_to_string(&self.path)
            .expect("a file")
            .trim()
            .to_owned()
    }

    fn in_use(&self) -> String {
        self.api.key().now().expect("a key").expose().clone()
    }

    /// Whether Headscale takes this key.
    fn works(&self, key: &str) -> bool {
        let request = format!(
            "GET /api/v1/user HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {key}\r\n\
             Connection: close\r\n\r\n"
        );
        let mut raw = Raw::connect(self.headscale.address()).expect("it listens");
        raw.exchange(request.as_bytes())
            .expect("an answer")
            .status()
            == 200
    }

    fn counted(&self, series: &str) -> String {
        let text = self.metrics.render().expect("text");
        let line = text.lines().find(|line| line.starts_with(series));
        let line = line.unwrap_or_else(|| panic!("no {series} in {text}"));
        line.rsplit(' ').next().unwrap_or_default().to_owned()
    }

    /// Waits for so many questions.
    async fn until(&self, count: usize) {
        let asked = async {
            while self.headscale.requests().len() < count {
                tokio::task::yield_now().await;
            }
        };
        let in_time = tokio::time::timeout(PATIENCE, asked).await;
        in_time.unwrap_or_else(|_| panic!("never {count} questions"));
    }

    fn made(&self) -> usize {
        self.headscale.api_keys().len()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_near_its_end_is_replaced_in_the_file_and_in_use_and_ends_later() {
    for version in VERSIONS {
        let ground = Ground::new(version, 29);
        let old = ground.in_file();
        let mut renewal = ground.renewal();
        renewal.look().await;
        let new = ground.in_file();
        assert_ne!(new, old, "{version}");
        assert_eq!(ground.in_use(), new, "{version}");
        assert!(
            ground.works(&new) && ground.works(&old),
            "{version}: both, for a while"
        );
        let end = ground.counted("headwarden_api_key_expiry_seconds");
        assert_eq!(end, (ground.hands.now().plus(DAY * 90)).unix().to_string());
        assert_eq!(
            ground.counted("headwarden_api_key_renewals_total{outcome=\"done\"}"),
            "1"
        );
        // Nothing more for an hour; the one before ends after ten minutes.
        let asked = ground.headscale.requests().len();
        ground.later(Duration::from_mins(9));
        renewal.look().await;
        assert_eq!(ground.headscale.requests().len(), asked, "{version}");
        ground.later(Duration::from_mins(2));
        renewal.look().await;
        assert!(ground.works(&new) && !ground.works(&old), "{version}");
        ground.later(DAY);
        renewal.look().await;
        assert_eq!(
            (ground.in_file(), ground.made()),
            (new, 3),
            "{version}: it is young"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_good_for_long_or_for_ever_stays() {
    let ground = Ground::new("v0.29.2", 31);
    ground.renewal().look().await;
    assert_eq!((ground.in_file(), ground.made()), (KEY.to_owned(), 2));
    let mut off = Ground::new("v0.29.2", 1);
    off.settings.headscale.renewal = None;
    off.renewal().look().await;
    assert_eq!(
        (off.in_file(), off.headscale.requests().len()),
        (KEY.to_owned(), 0)
    );
    let endless = Ground::new("v0.29.2", 1);
    endless
        .api
        .key()
        .replace(Some(Secret::new("AbCdEfG.0".to_owned())));
    endless.headscale.add_api_key("AbCdEfG.0", None);
    endless.renewal().look().await;
    assert_eq!(endless.made(), 3, "nothing is made");
    assert_eq!(endless.counted("headwarden_api_key_expiry_seconds"), "0");
}

/// Each question of a renewal, in its order.
const QUESTIONS: usize = 3;

#[tokio::test(flavor = "multi_thread")]
async fn whenever_the_process_dies_the_file_holds_a_key_that_works() {
    for dies_at in 1..=QUESTIONS {
        let ground = Ground::new("v0.29.2", 1);
        let mut gate = ground.headscale.gate(KEYS);
        let mut renewal = ground.renewal();
        let running = tokio::spawn(async move { renewal.look().await });
        for at in 1..dies_at {
            ground.until(at).await;
            let next = ground.headscale.gate(KEYS);
            drop(std::mem::replace(&mut gate, next));
        }
        ground.until(dies_at).await;
        running.abort();
        assert!(running.await.is_err_and(|why| why.is_cancelled()));
        drop(gate);
        let kept = ground.in_file();
        assert!(ground.works(&kept), "dies at question {dies_at}");
        // The next process does it.
        ground.renewal().look().await;
        let new = ground.in_file();
        assert!(new != kept && ground.works(&new), "after {dies_at}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_headscale_breaks_off_the_key_stays_and_it_is_tried_again() {
    let broken = || Script::Bytes(b"HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n".to_vec());
    for breaks_at in 0..QUESTIONS {
        let ground = Ground::new("v0.29.2", 1);
        let mut gate = None;
        if breaks_at == 0 {
            ground.headscale.script(KEYS, broken());
        } else {
            gate = Some(ground.headscale.gate(KEYS));
        }
        let mut renewal = ground.renewal();
        let running = tokio::spawn(async move {
            renewal.look().await;
            renewal
        });
        for at in 1..=breaks_at {
            ground.until(at).await;
            let next = if at == breaks_at {
                ground.headscale.script(KEYS, broken());
                None
            } else {
                Some(ground.headscale.gate(KEYS))
            };
            // Whoever holds the gate before lets go of it.
            drop(std::mem::replace(&mut gate, next));
        }
        let mut renewal = running.await.expect("it ends");
        assert_eq!(
            (ground.in_file().as_str(), ground.in_use().as_str()),
            (KEY, KEY)
        );
        assert!(ground.works(KEY), "{breaks_at}");
        let failed = "headwarden_api_key_renewals_total{outcome=\"failed\"}";
        assert_eq!(ground.counted(failed), "1", "{breaks_at}");
        // One that was made and could not be tried is not left behind.
        let rows = ground.headscale.api_keys();
        let left = rows.iter().skip(2).filter(|row| ground.works(&row.key));
        assert_eq!(left.count(), 0, "{breaks_at}");
        let asked = ground.headscale.requests().len();
        renewal.look().await;
        assert_eq!(ground.headscale.requests().len(), asked, "not at once");
        ground.later(Duration::from_mins(2));
        renewal.look().await;
        let new = ground.in_file();
        assert!(new != KEY && ground.works(&new), "{breaks_at}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_cannot_be_replaced_makes_no_key_and_one_that_changes_meanwhile_leaves_none() {
    let ground = Ground::new("v0.29.2", 1);
    std::fs::remove_file(&ground.path).expect("it was there");
    ground.renewal().look().await;
    assert_eq!(ground.made(), 2, "no key that nobody could keep");
    std::fs::write(&ground.path, KEY).expect("a file");
    // Between the making and the writing.
    let before = ground.headscale.requests().len();
    let first = ground.headscale.gate(KEYS);
    let mut renewal = ground.renewal();
    let running = tokio::spawn(async move { renewal.look().await });
    ground.until(before + 1).await;
    let second = ground.headscale.gate(KEYS);
    drop(first);
    ground.until(before + 2).await;
    std::fs::write(&ground.path, "hskey-api-operators-own").expect("a file");
    drop(second);
    running.await.expect("it ends");
    assert_eq!(
        ground.in_file(),
        "hskey-api-operators-own",
        "not overwritten"
    );
    let rows = ground.headscale.api_keys();
    assert_eq!(rows.len(), 3);
    assert!(!ground.works(&rows[2].key) && ground.works(KEY), "{rows:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_broken_renewal_left_beside_the_file_is_ended_and_taken_away() {
    const LEFT: &str = "hskey-api-leftoverleft-0123456789";
    let ground = Ground::new("v0.29.2", 1);
    let end = i64::try_from(now() + 90 * 86_400).expect("a time");
    ground.headscale.add_api_key(LEFT, Some(end));
    let beside = |name: &str| {
        ground
            .path
            .with_file_name(format!(".headwarden-api-key.{name}.new"))
    };
    std::fs::write(beside("one"), format!("{LEFT}\n")).expect("a file");
    std::fs::write(beside("empty"), "").expect("a file");
    // Put there by hand, what is in use is no leftover.
    std::fs::write(beside("used"), KEY).expect("a file");
    assert!(ground.works(LEFT));
    ground.renewal().look().await;
    let new = ground.in_file();
    assert!(new != KEY && ground.works(&new) && ground.works(KEY));
    assert!(!ground.works(LEFT));
    for name in ["one", "empty", "used"] {
        assert!(!beside(name).exists(), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_in_the_file_that_does_not_work_takes_no_place_of_one_that_does() {
    let ground = Ground::new("v0.29.2", 1);
    std::fs::write(&ground.path, "hskey-api-endedendeded-0123456789").expect("a file");
    ground.renewal().look().await;
    assert_eq!(ground.in_use(), KEY);
    assert_eq!(ground.made(), 2);
    let failed = "headwarden_api_key_renewals_total{outcome=\"failed\"}";
    assert_eq!(ground.counted(failed), "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_key_is_not_ended_when_nobody_can_say_whether_the_file_has_it() {
    let ground = Ground::new("v0.29.2", 1);
    let first = ground.headscale.gate(KEYS);
    let mut renewal = ground.renewal();
    let running = tokio::spawn(async move { renewal.look().await });
    ground.until(1).await;
    let second = ground.headscale.gate(KEYS);
    drop(first);
    ground.until(2).await;
    std::fs::remove_file(&ground.path).expect("it was there");
    drop(second);
    running.await.expect("it ends");
    let rows = ground.headscale.api_keys();
    assert_eq!(rows.len(), 3);
    assert!(ground.works(&rows[2].key) && ground.works(KEY), "{rows:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_that_share_the_file_renew_it_once_and_all_use_it() {
    let ground = Ground::new("v0.29.2", 1);
    let other = api(&ground.headscale, KEY);
    let (mut one, mut two) = (ground.renewal(), ground.renewal_of(other.clone()));
    tokio::join!(one.look(), two.look());
    for _ in 0..2 {
        ground.later(Duration::from_mins(2));
        one.look().await;
        two.look().await;
    }
    let new = ground.in_file();
    assert_ne!(new, KEY);
    let used = other.key().now().expect("a key");
    assert_eq!(
        (ground.in_use().as_str(), used.expose()),
        (new.as_str(), &new)
    );
    assert_eq!(ground.made(), 3, "one new key");
    assert!(ground.works(&new));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_has_ended_is_told_and_one_that_an_operator_puts_in_is_taken() {
    let ground = Ground::new("v0.29.2", 1);
    ground
        .api
        .key()
        .replace(Some(Secret::new("hskey-api-000000000000-0".to_owned())));
    std::fs::write(&ground.path, "hskey-api-000000000000-0").expect("a file");
    let mut renewal = ground.renewal();
    renewal.look().await;
    assert_eq!(
        ground.counted("headwarden_api_key_renewals_total{outcome=\"failed\"}"),
        "1"
    );
    std::fs::write(&ground.path, KEY).expect("a file");
    ground.later(Duration::from_mins(2));
    renewal.look().await;
    let new = ground.in_file();
    assert!(new != KEY && ground.in_use() == new && ground.works(&new));
}

/// What a Headscale says it made, and what is listed of that.
#[tokio::test(flavor = "multi_thread")]
async fn a_new_key_that_is_not_what_was_asked_for_takes_no_place() {
    const MADE: &str = "hskey-api-madeanewmade-0123456789";
    let until = |ground: &Ground| {
        let until = ground.hands.now().plus(DAY * 90).unix();
        i64::try_from(until).expect("a time")
    };
    for (said, end) in [
        // Another end, another secret, none that anybody knows.
        (MADE, Some(-1)),
        ("hskey-api-madeanewmade-another", Some(0)),
        ("hskey-api-madeanewmade-another", None),
    ] {
        let ground = Ground::new("v0.29.2", 1);
        if let Some(off) = end {
            ground
                .headscale
                .add_api_key(MADE, Some(until(&ground) + off));
        }
        let first = ground.headscale.gate(KEYS);
        let mut renewal = ground.renewal();
        let running = tokio::spawn(async move { renewal.look().await });
        ground.until(1).await;
        let body = format!("{{\"apiKey\":\"{said}\"}}");
        let answer = format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        ground
            .headscale
            .script(KEYS, Script::Bytes(answer.into_bytes()));
        drop(first);
        running.await.expect("it ends");
        assert_eq!(
            (ground.in_file().as_str(), ground.in_use().as_str()),
            (KEY, KEY),
            "{said} {end:?}"
        );
        let failed = "headwarden_api_key_renewals_total{outcome=\"failed\"}";
        assert_eq!(ground.counted(failed), "1", "{said} {end:?}");
        assert!(!ground.works(said), "{said} {end:?}: not left behind");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_an_operator_went_back_to_is_not_ended() {
    let ground = Ground::new("v0.29.2", 1);
    let mut renewal = ground.renewal();
    renewal.look().await;
    assert_ne!(ground.in_use(), KEY);
    let key = Secret::new(KEY.to_owned());
    ground.api.key().replace(Some(key));
    ground.later(Duration::from_mins(11));
    renewal.look().await;
    assert!(ground.works(KEY));
}

/// Each may have the old key in a file of its own.
#[tokio::test(flavor = "multi_thread")]
async fn replicas_with_a_store_in_common_leave_the_old_key_good() {
    let mut ground = Ground::new("v0.29.2", 1);
    let shared = "session: { store: redis, redis: { url: \"redis://127.0.0.1:6379/0\" } }\n";
    let store = settings(&ground.headscale.url(), shared).session.store;
    ground.settings.session.store = store;
    let mut renewal = ground.renewal();
    renewal.look().await;
    assert_ne!(ground.in_file(), KEY);
    ground.later(Duration::from_mins(11));
    renewal.look().await;
    assert!(ground.works(KEY));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_was_emptied_takes_no_key_away_and_gets_the_next_one() {
    let ground = Ground::new("v0.29.2", 1);
    std::fs::write(&ground.path, "\n").expect("a file");
    ground.renewal().look().await;
    let new = ground.in_file();
    assert!(new != KEY && ground.works(&new), "{new:?}");
    assert_eq!(ground.in_use(), new);
}

/// Where root may do everything, a name that is too long still cannot be made.
#[tokio::test(flavor = "multi_thread")]
async fn no_key_is_made_where_nothing_can_be_written_beside_the_file() {
    const LONGEST_PATH: usize = 4095;
    let mut ground = Ground::new("v0.29.2", 1);
    let mut directory =
        std::fs::canonicalize(ground.path.parent().expect("a directory")).expect("it is there");
    loop {
        let left = LONGEST_PATH.saturating_sub(directory.as_os_str().len() + "//key".len());
        if left < 2 {
            break;
        }
        directory.push("d".repeat(left.min(200)));
        std::fs::create_dir(&directory).expect("ours");
    }
    let path = directory.join("key");
    std::fs::write(&path, KEY).expect("a file");
    ground.path.clone_from(&path);
    let renewal = ground.settings.headscale.renewal.as_mut();
    renewal.expect("it is on").path = path;
    ground.renewal().look().await;
    assert_eq!((ground.made(), ground.in_file().as_str()), (2, KEY));
    let failed = "headwarden_api_key_renewals_total{outcome=\"failed\"}";
    assert_eq!(ground.counted(failed), "1");
}
