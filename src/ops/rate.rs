//! How often one client address may do something. Where it counts is the caller's business.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::domain::client_ip::limit_key;

const MINUTE: Duration = Duration::from_mins(1);

/// Whose bucket a request takes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Asker {
    /// The client at this address.
    Client(IpAddr),
    /// Pages in the browsers at this address, which are not the client's own doing.
    Page(IpAddr),
}

impl Asker {
    /// The same for all addresses that count as one.
    fn key(self) -> Self {
        match self {
            Self::Client(ip) => Self::Client(limit_key(ip)),
            Self::Page(ip) => Self::Page(limit_key(ip)),
        }
    }
}

/// A token bucket for each address: `per_minute` at once, refilled evenly over a minute.
///
/// Bounded: when more addresses than `capacity` are active, those not seen for longest start afresh.
/// A newcomer always has its place: a table that may refuse to keep one would let it through for
/// ever. An address costs about 120 bytes, and nothing once it has rested for two minutes.
///
/// One IPv6 client holds at least a /64, which therefore counts as one address.
#[derive(Debug)]
pub struct RateLimiter {
    /// Nanoseconds that one request costs; 0 refuses everything.
    cost: AtomicU64,
    buckets: Mutex<Buckets>,
}

/// When each address's bucket is full again (the "theoretical arrival time" of GCRA), in two
/// generations: an address that is seen moves to the young one; when that is full, or a minute old,
/// it becomes the old one, and the old one is forgotten at once.
#[derive(Debug)]
struct Buckets {
    /// Addresses in one generation.
    room: usize,
    young: HashMap<Asker, Instant>,
    old: HashMap<Asker, Instant>,
    /// When the young generation began.
    since: Option<Instant>,
}

impl Buckets {
    fn full_at(&mut self, asker: Asker, now: Instant) -> Instant {
        let known = self.young.get(&asker).or_else(|| self.old.get(&asker));
        known.copied().unwrap_or(now).max(now)
    }

    fn set(&mut self, asker: Asker, full_at: Instant, now: Instant) {
        // A bucket that rested for a minute is full: forgetting it changes nothing.
        let aged = self
            .since
            .is_none_or(|since| now.saturating_duration_since(since) >= MINUTE);
        let full = self.young.len() >= self.room && !self.young.contains_key(&asker);
        if aged || full {
            self.old = std::mem::take(&mut self.young);
            self.since = Some(now);
        }
        self.young.insert(asker, full_at);
    }
}

impl RateLimiter {
    /// `per_minute` requests for each address, which is also the burst; zero refuses everything.
    /// At most `capacity` addresses are remembered (at least two), half of them however many others
    /// come.
    pub fn new(per_minute: u32, capacity: usize) -> Self {
        Self {
            cost: AtomicU64::new(cost(per_minute)),
            buckets: Mutex::new(Buckets {
                room: (capacity / 2).max(1),
                young: HashMap::new(),
                old: HashMap::new(),
                since: None,
            }),
        }
    }

    /// `per_minute` from now on. What was used up stays so, as a share of a bucket: half of the old burst is
    /// half of the new one.
    pub fn change(&self, per_minute: u32) {
        self.cost.store(cost(per_minute), Ordering::Relaxed);
    }

    /// Takes one token of `asker` at `now`.
    ///
    /// # Errors
    /// How long it takes until there is one, if nobody else takes it. A refusal costs nothing.
    pub fn take(&self, asker: Asker, now: Instant) -> Result<(), Duration> {
        let cost = match self.cost.load(Ordering::Relaxed) {
            0 => return Err(MINUTE),
            nanoseconds => Duration::from_nanos(nanoseconds),
        };
        let asker = asker.key();
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        let full_at = buckets.full_at(asker, now);
        let next = full_at.checked_add(cost).ok_or(MINUTE)?;
        match next.saturating_duration_since(now).checked_sub(MINUTE) {
            None | Some(Duration::ZERO) => {
                buckets.set(asker, next, now);
                Ok(())
            }
            Some(wait) => {
                // Seen, and so not forgotten before those that were not.
                buckets.set(asker, full_at, now);
                Err(wait)
            }
        }
    }
}

/// What one of so many requests a minute costs, in nanoseconds; none cost nothing.
fn cost(per_minute: u32) -> u64 {
    let cost = MINUTE.checked_div(per_minute);
    cost.map_or(0, |cost| u64::try_from(cost.as_nanos()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use super::*;

    const A: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
    const B: IpAddr = IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0));

    impl RateLimiter {
        fn allow(&self, ip: IpAddr, now: Instant) -> bool {
            self.take(Asker::Client(ip), now).is_ok()
        }

        fn remembered(&self) -> usize {
            let buckets = self.buckets.lock().unwrap();
            buckets.young.len() + buckets.old.len()
        }
    }

    fn allowed(limiter: &RateLimiter, ip: IpAddr, now: Instant, asked: usize) -> usize {
        (0..asked).filter(|_| limiter.allow(ip, now)).count()
    }

    /// The nth network of 64 bits.
    fn network(n: u64) -> IpAddr {
        IpAddr::V6(Ipv6Addr::from_bits(u128::from(n) << 64))
    }

    #[test]
    fn a_burst_of_n_passes_and_the_next_waits_for_its_share_of_the_minute() {
        let limiter = RateLimiter::new(6, 10);
        let start = Instant::now();
        assert_eq!(allowed(&limiter, A, start, 20), 6);
        assert!(!limiter.allow(A, start + Duration::from_millis(9_999)));
        assert!(limiter.allow(A, start + Duration::from_secs(10)));
        assert!(!limiter.allow(A, start + Duration::from_secs(10)));
        assert_eq!(allowed(&limiter, A, start + Duration::from_secs(40), 20), 3);
    }

    #[test]
    fn rest_never_saves_up_more_than_one_burst() {
        let limiter = RateLimiter::new(6, 10);
        let start = Instant::now();
        assert_eq!(allowed(&limiter, A, start, 6), 6);
        assert_eq!(
            allowed(&limiter, A, start + Duration::from_hours(24), 100),
            6
        );
    }

    #[test]
    fn a_refusal_says_how_long_to_wait_and_keeps_its_word() {
        for per_minute in [1, 3, 7, 60, 600, 10_000] {
            let limiter = RateLimiter::new(per_minute, 10);
            let mut now = Instant::now();
            while limiter.take(Asker::Client(A), now).is_ok() {}
            for _ in 0..5 {
                let wait = limiter.take(Asker::Client(A), now).unwrap_err();
                assert!(wait <= MINUTE / per_minute, "{per_minute}: {wait:?}");
                let almost = wait.checked_sub(Duration::from_nanos(1)).unwrap();
                assert!(
                    limiter.take(Asker::Client(A), now + almost).is_err(),
                    "{per_minute}"
                );
                now += wait;
                assert_eq!(limiter.take(Asker::Client(A), now), Ok(()), "{per_minute}");
            }
        }
        assert_eq!(
            RateLimiter::new(0, 10).take(Asker::Client(A), Instant::now()),
            Err(MINUTE)
        );
    }

    #[test]
    fn addresses_do_not_share_a_bucket() {
        let limiter = RateLimiter::new(1, 10);
        let now = Instant::now();
        assert!(limiter.allow(A, now));
        assert!(!limiter.allow(A, now));
        assert!(limiter.allow(B, now));
    }

    #[test]
    fn pages_do_not_use_up_what_their_neighbours_need() {
        let limiter = RateLimiter::new(2, 10);
        let now = Instant::now();
        let page = |ip| limiter.take(Asker::Page(ip), now).is_ok();
        assert!(page(A) && page(A) && !page(A));
        assert_eq!(allowed(&limiter, A, now, 5), 2);
        assert!(!page(A));
    }

    #[test]
    fn a_network_of_64_bits_shares_one_bucket() {
        let limiter = RateLimiter::new(1, 10);
        let now = Instant::now();
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        assert!(limiter.allow(ip("2001:db8:0:1::1"), now));
        assert!(!limiter.allow(ip("2001:db8:0:1:ffff::2"), now));
        assert!(limiter.allow(ip("2001:db8:0:2::1"), now));
        assert!(limiter.allow(ip("192.0.2.1"), now));
        assert!(!limiter.allow(ip("::ffff:192.0.2.1"), now));
    }

    #[test]
    fn any_number_divides_the_minute_without_losing_its_burst() {
        for per_minute in [1, 7, 59, 60, 61, 999, 7_001] {
            let limiter = RateLimiter::new(per_minute, 1);
            let asked = per_minute as usize + 5;
            assert_eq!(
                allowed(&limiter, A, Instant::now(), asked),
                per_minute as usize
            );
        }
    }

    #[test]
    fn another_rate_counts_at_once_and_gives_back_nothing_that_was_used_up() {
        let limiter = RateLimiter::new(10, 10);
        let now = Instant::now();
        assert_eq!(allowed(&limiter, A, now, 5), 5);
        limiter.change(100);
        assert_eq!(
            allowed(&limiter, A, now, 200),
            50,
            "half of the bucket is left"
        );
        assert_eq!(allowed(&limiter, B, now, 200), 100);
        limiter.change(10);
        assert_eq!(allowed(&limiter, A, now, 200), 0);
        let later = now + Duration::from_secs(30);
        assert_eq!(allowed(&limiter, A, later, 200), 5);
        limiter.change(0);
        assert_eq!(allowed(&limiter, A, later + MINUTE, 200), 0);
        limiter.change(10);
        assert_eq!(allowed(&limiter, A, later + MINUTE, 200), 10);
    }

    #[test]
    fn zero_a_minute_refuses_everything() {
        assert!(!RateLimiter::new(0, 10).allow(A, Instant::now()));
    }

    #[test]
    fn a_time_before_the_last_one_seen_neither_panics_nor_refills() {
        let limiter = RateLimiter::new(2, 10);
        let now = Instant::now() + MINUTE;
        assert_eq!(allowed(&limiter, A, now, 5), 2);
        assert!(!limiter.allow(A, now.checked_sub(MINUTE).unwrap()));
    }

    #[test]
    fn a_newcomer_is_limited_even_when_the_table_is_full_of_busy_addresses() {
        let limiter = RateLimiter::new(3, 4);
        let now = Instant::now();
        for _ in 0..50 {
            for last in 1..=4 {
                limiter.allow(IpAddr::V4(Ipv4Addr::new(10, 0, 0, last)), now);
            }
        }
        assert_eq!(allowed(&limiter, A, now, 20), 3);
        assert!(limiter.remembered() <= 4);
    }

    #[test]
    fn a_flood_of_addresses_is_bounded_and_does_not_free_whoever_comes_often() {
        let limiter = RateLimiter::new(3, 100);
        let now = Instant::now();
        let mut passed = 0;
        for at in 0..10_000 {
            assert!(limiter.allow(network(at), now), "{at}");
            if at % 40 == 0 {
                passed += usize::from(limiter.allow(A, now));
            }
            assert!(limiter.remembered() <= 100);
        }
        assert_eq!(passed, 3);
    }

    #[test]
    fn nothing_is_kept_of_addresses_that_rested_for_two_minutes() {
        let limiter = RateLimiter::new(3, 1_000);
        let start = Instant::now();
        for at in 0..500 {
            limiter.allow(network(at), start);
        }
        assert_eq!(limiter.remembered(), 500);
        // Seen again within the minute, and so not forgotten.
        assert_eq!(allowed(&limiter, A, start, 5), 3);
        for seconds in [59, 61, 119] {
            limiter.allow(A, start + Duration::from_secs(seconds));
        }
        limiter.allow(A, start + Duration::from_secs(122));
        assert_eq!(limiter.remembered(), 2, "once in each generation");
    }

    #[test]
    fn a_bucket_that_changes_its_generation_stays_as_empty_as_it_was() {
        let limiter = RateLimiter::new(2, 1_000);
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(allowed(&limiter, A, at(0), 5), 2);
        assert_eq!(allowed(&limiter, A, at(30), 5), 1);
        assert_eq!(allowed(&limiter, A, at(60), 5), 1);
        assert_eq!(allowed(&limiter, A, at(61), 5), 0);
        assert_eq!(allowed(&limiter, A, at(90), 5), 1);
    }
}
