//! How often one client address may do something. Where it counts is the caller's business.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use moka::policy::EvictionPolicy;
use moka::sync::Cache;

use crate::domain::client_ip::limit_key;

const MINUTE: Duration = Duration::from_mins(1);

/// A token bucket for each address: `per_minute` at once, refilled evenly over a minute.
///
/// Bounded: when more addresses than `capacity` are active, the least recently seen one starts
/// afresh. Admission is plain LRU on purpose: a policy that may refuse to keep a newcomer would
/// let that newcomer through for ever.
///
/// One IPv6 client holds at least a /64, which therefore counts as one address.
#[derive(Debug)]
pub struct RateLimiter {
    /// Time one request costs; `None` refuses everything.
    cost: Option<Duration>,
    /// When each address's bucket is full again (the "theoretical arrival time" of GCRA).
    full_at: Cache<IpAddr, Arc<Mutex<Instant>>>,
}

impl RateLimiter {
    /// `per_minute` requests for each address, which is also the burst; zero refuses everything.
    /// At most `capacity` addresses are remembered (at least one).
    pub fn new(per_minute: u32, capacity: u64) -> Self {
        Self {
            cost: MINUTE.checked_div(per_minute),
            full_at: Cache::builder()
                .max_capacity(capacity.max(1))
                .eviction_policy(EvictionPolicy::lru())
                // A bucket that rested for a minute is full: forgetting it changes nothing.
                .time_to_idle(MINUTE * 2)
                .build(),
        }
    }

    /// Takes one token of `ip` at `now`, or says that none is left. A refusal costs nothing.
    pub fn allow(&self, ip: IpAddr, now: Instant) -> bool {
        self.take(ip, now).is_ok()
    }

    /// Takes one token of `ip` at `now`.
    ///
    /// # Errors
    /// How long it takes until there is one, if nobody else takes it. A refusal costs nothing.
    pub fn take(&self, ip: IpAddr, now: Instant) -> Result<(), Duration> {
        let Some(cost) = self.cost else {
            return Err(MINUTE);
        };
        let bucket = self
            .full_at
            .get_with(limit_key(ip), || Arc::new(Mutex::new(now)));
        let mut full_at = bucket.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(next) = (*full_at).max(now).checked_add(cost) else {
            return Err(MINUTE);
        };
        match next.saturating_duration_since(now).checked_sub(MINUTE) {
            None | Some(Duration::ZERO) => {
                *full_at = next;
                Ok(())
            }
            Some(wait) => Err(wait),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use super::*;

    const A: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
    const B: IpAddr = IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0));

    fn allowed(limiter: &RateLimiter, ip: IpAddr, now: Instant, asked: usize) -> usize {
        (0..asked).filter(|_| limiter.allow(ip, now)).count()
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
            while limiter.take(A, now).is_ok() {}
            for _ in 0..5 {
                let wait = limiter.take(A, now).unwrap_err();
                assert!(wait <= MINUTE / per_minute, "{per_minute}: {wait:?}");
                let almost = wait.checked_sub(Duration::from_nanos(1)).unwrap();
                assert!(limiter.take(A, now + almost).is_err(), "{per_minute}");
                now += wait;
                assert_eq!(limiter.take(A, now), Ok(()), "{per_minute}");
            }
        }
        assert_eq!(RateLimiter::new(0, 10).take(A, Instant::now()), Err(MINUTE));
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
            limiter.full_at.run_pending_tasks();
        }
        let mut passed = 0;
        for _ in 0..20 {
            passed += usize::from(limiter.allow(A, now));
            limiter.full_at.run_pending_tasks();
        }
        assert_eq!(passed, 3);
        assert!(limiter.full_at.entry_count() <= 4);
    }
}
