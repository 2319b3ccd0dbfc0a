//! How often one client address may do what costs something. The numbers are the operator's
//! (`limits`); where each counts is decided where the work would begin, after everything that is
//! cheaper: what a session or the rules refuse uses up nothing.

use std::time::Duration;

use bytes::Bytes;
use http::Response;

use super::house::House;
use super::visit::Visit;
use crate::config::ClientLimits;
use crate::ops::metrics::Limit;
use crate::ops::rate::{Asker, RateLimiter};
use crate::pages;

/// Addresses that each limit remembers at once.
pub const ADDRESSES: usize = 100_000;

/// Requests that are counted together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rated {
    /// Through an open door.
    Open,
    /// To the API, with credentials that cost Headscale a bcrypt.
    Api,
    /// A sign-in begun.
    SignIn,
    /// The shared callback.
    Callback,
    /// A person's, about a device or an SSH check.
    Registration,
    /// A logout from the provider's side, or of a browser whose session is not known.
    Logout,
}

/// One bound for each [`Rated`].
#[derive(Debug)]
pub struct Rates {
    open: RateLimiter,
    api: RateLimiter,
    sign_ins: RateLimiter,
    callbacks: RateLimiter,
    registrations: RateLimiter,
    logouts: RateLimiter,
}

impl Rates {
    /// Full buckets, at the rates of `limits`.
    pub fn new(limits: &ClientLimits) -> Self {
        let rate = |per_minute| RateLimiter::new(per_minute, ADDRESSES);
        Self {
            open: rate(limits.open_requests_per_minute),
            api: rate(limits.api_requests_per_minute),
            sign_ins: rate(limits.sign_ins_per_minute),
            callbacks: rate(limits.callbacks_per_minute),
            registrations: rate(limits.registrations_per_minute),
            logouts: rate(limits.logouts_per_minute),
        }
    }

    /// The rates of `limits` from now on; what was used up stays so.
    pub fn change(&self, limits: &ClientLimits) {
        self.open.change(limits.open_requests_per_minute);
        self.api.change(limits.api_requests_per_minute);
        self.sign_ins.change(limits.sign_ins_per_minute);
        self.callbacks.change(limits.callbacks_per_minute);
        self.registrations.change(limits.registrations_per_minute);
        self.logouts.change(limits.logouts_per_minute);
    }

    const fn of(&self, rated: Rated) -> (&RateLimiter, Limit) {
        match rated {
            Rated::Open => (&self.open, Limit::OpenRequests),
            Rated::Api => (&self.api, Limit::ApiRequests),
            Rated::SignIn => (&self.sign_ins, Limit::SignIns),
            Rated::Callback => (&self.callbacks, Limit::Callbacks),
            Rated::Registration => (&self.registrations, Limit::Registrations),
            Rated::Logout => (&self.logouts, Limit::Logouts),
        }
    }
}

impl House {
    /// Counts a request. The answer is there when the client's address has made too many: a 429 that
    /// says when the next one will pass.
    pub(super) fn held_back(&self, visit: &Visit, rated: Rated) -> Option<Response<Bytes>> {
        let (limiter, limit) = self.rates.of(rated);
        let wait = limiter.take(counted_as(visit), visit.started).err()?;
        let retry_after_s = whole_seconds(wait);
        self.metrics.limit_hit(limit);
        tracing::info!(
            request_id = visit.id, client = %visit.client, limit = limit.label(), retry_after_s,
            "too many requests from this address"
        );
        let page = |context: &pages::Context<'_>| pages::too_many_requests(context, retry_after_s);
        Some(self.page_or_json(visit, page, "too_many_requests", "slow down"))
    }
}

/// Whose request this is to a limit. What pages do by themselves is counted apart: any page can make
/// the browser of whoever looks at it ask for anything here, ten times a second, and must not use up
/// what the people and devices beside it need.
pub(super) fn counted_as(visit: &Visit) -> Asker {
    if visit.is_made_by_a_page() {
        Asker::Page(visit.client)
    } else {
        Asker::Client(visit.client)
    }
}

/// For `Retry-After` (RFC 9110 section 10.2.3): rounded up, so that nobody comes back too early.
pub(super) fn whole_seconds(wait: Duration) -> u32 {
    let seconds = wait
        .as_secs()
        .saturating_add(u64::from(wait.subsec_nanos() > 0));
    u32::try_from(seconds.max(1)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_rounded_up_to_whole_seconds() {
        for (wait, seconds) in [
            (Duration::ZERO, 1),
            (Duration::from_nanos(1), 1),
            (Duration::from_secs(1), 1),
            (Duration::from_millis(1001), 2),
            (Duration::from_secs(20), 20),
            (Duration::MAX, u32::MAX),
        ] {
            assert_eq!(whole_seconds(wait), seconds, "{wait:?}");
        }
    }
}
