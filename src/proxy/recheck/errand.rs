//! One re-check: the session's turn, the provider's word, and what becomes of the session.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use super::{Cause, Landed, Rechecks};
use crate::domain::secret::Secret;
use crate::domain::session::{Due, Footing, Session};
use crate::domain::time::Timestamp;
use crate::domain::token::Token;
use crate::oidc::{Known, Outage, RefreshError, Refreshed};
use crate::ops::audit;
use crate::ops::metrics::Refresh;
use crate::session::{Live, StoreAway};

/// Longest wait for one of the places.
const IN_LINE: Duration = Duration::from_secs(5);
/// Longest wait for the refresh of another replica, and the pause between two looks at it.
const ELSEWHERE: (Duration, Duration) = (Duration::from_secs(15), Duration::from_millis(100));
/// Pauses before each look at whether another replica was faster, when a refresh was refused.
const SECOND_LOOKS: [Duration; 2] = [Duration::ZERO, Duration::from_millis(300)];
/// Pauses before each try to store what a refresh brought.
const TRIES_TO_STORE: [Duration; 4] = [
    Duration::ZERO,
    Duration::from_millis(100),
    Duration::from_secs(1),
    Duration::from_secs(3),
];
/// Between two complaints about an outage, in seconds: each session would have one.
const COMPLAINTS: u64 = 10;

impl Rechecks {
    /// Waits for the session's lock, looks whether it is still due, and then waits for a place. Not the
    /// other way round: the lock of a replica that died must hold up nobody else's re-check.
    pub(super) async fn turn(&self, live: &Live, cause: &Cause) -> Result<Landed, StoreAway> {
        let (longest, pause) = ELSEWHERE;
        let began = Instant::now();
        loop {
            let lock = self.sessions.refresh_lock(&live.key).await?;
            let Some(now) = self.sessions.find_by_key(&live.key).await? else {
                return Ok(Landed::Over);
            };
            let newer = now.session.checked_at > live.session.checked_at;
            match (self.due_for(cause, &now.session), lock) {
                (Due::Later, _) => return Ok(Landed::Confirmed(now)),
                (Due::Now, _) if newer => return Ok(Landed::Confirmed(now)),
                (Due::Now | Due::Overdue, Some(_lock)) => {
                    let Ok(Ok(_place)) = timeout(IN_LINE, self.places.acquire()).await else {
                        tracing::debug!(session = %cause.session, "not checked again: many others are");
                        return Ok(Landed::Away);
                    };
                    if self.is_retired() {
                        return Ok(Landed::Away);
                    }
                    return self.ask(now, cause).await;
                }
                (Due::Now | Due::Overdue, None) if began.elapsed() >= longest => {
                    tracing::debug!(session = %cause.session, "not checked again: another replica is slow");
                    return Ok(Landed::Away);
                }
                (Due::Now | Due::Overdue, None) => sleep(pause).await,
            }
        }
    }

    /// As [`Self::due`], but now where it is to be sure of somebody.
    fn due_for(&self, cause: &Cause, session: &Session) -> Due {
        match (self.due(session), cause.unless_since) {
            (Due::Later, Some(since)) if session.checked_at <= since => Due::Now,
            (due, _) => due,
        }
    }

    /// Asks the provider. The caller has the session's lock.
    async fn ask(&self, live: Live, cause: &Cause) -> Result<Landed, StoreAway> {
        let Some(refresh_token) = &live.session.refresh_token else {
            return Ok(Landed::Confirmed(live));
        };
        // Who left in this moment is asked all the same, where somebody wants to know.
        if self.mark(&live).await?.is_none() && !self.is_departing(&live.key) {
            return Ok(Landed::Over);
        }
        let known = Known {
            issuer: &live.session.identity.issuer,
            subject: &live.session.identity.subject,
            id_token: &live.session.id_token.unpack(),
            refresh_token: &refresh_token.unpack(),
        };
        let provider = Arc::clone(&self.terms.load().provider);
        match provider.recheck(known).await {
            Ok(news) => self.vouched_for(&live, news, cause).await,
            Err(why @ RefreshError::Refused { .. }) => self.refused(&live, &why, cause).await,
            Err(why @ RefreshError::Misbehaved(_)) => Ok(self.misbehaved(&live, &why, cause).await),
            Err(RefreshError::Unavailable { reason, rotated }) => {
                self.unavailable(&live, &reason, rotated, cause).await
            }
        }
    }

    async fn misbehaved(&self, live: &Live, why: &RefreshError, cause: &Cause) -> Landed {
        self.metrics.refreshed(Refresh::Misbehaving);
        tracing::warn!(
            request_id = cause.request, session = %cause.session, reason = %why,
            "signed out: the provider's word about this person cannot be believed"
        );
        let who = &live.session.identity.subject;
        if let Some(offboarding) = &self.offboarding {
            let request = cause.request.as_deref();
            offboarding.not_refused(who, request).await;
        }
        if let Some(roll) = &self.roll {
            roll.gone(who, Some(live.session.checked_at)).await;
        }
        let reason = audit::EndReason::RecheckMisbehaved;
        self.end(live, audit::Actor::Headwarden, reason, cause)
            .await;
        Landed::Over
    }

    /// Writes down that a refresh is sent: should its answer be lost, with this process perhaps, the next
    /// refusal may be due to that. Not sent where it cannot be written.
    async fn mark(&self, live: &Live) -> Result<Option<Live>, StoreAway> {
        let mut session = Session::clone(&live.session);
        session.footing.in_doubt = true;
        self.sessions.update(live, session).await
    }

    /// The person is still there; may they still pass?
    async fn vouched_for(
        &self,
        live: &Live,
        news: Refreshed,
        cause: &Cause,
    ) -> Result<Landed, StoreAway> {
        let terms = self.terms.load_full();
        if let Err(denial) = terms.rules.decide(&news.identity) {
            self.metrics.refreshed(Refresh::LostRight);
            self.metrics.denied((&denial).into());
            tracing::info!(
                request_id = cause.request, session = %cause.session,
                subject = %news.identity.subject, rule = denial.kind(), reason = %denial,
                "signed out: checked again and denied by a rule"
            );
            // Before the session ends: where the process does, this is heard again.
            let request = cause.request.as_deref();
            if let Some(offboarding) = &self.offboarding {
                let (session, ruling) = (&live.session, (&terms.rules, &denial));
                let read_by = news.read_by;
                offboarding.denied(session, ruling, read_by, request).await;
            }
            if let Some(roll) = &self.roll {
                roll.gone(&news.identity.subject, None).await;
            }
            let reason = audit::EndReason::LostRight;
            self.end(live, audit::Actor::Headwarden, reason, cause)
                .await;
            return Ok(Landed::Over);
        }
        self.metrics.refreshed(Refresh::Confirmed);
        tracing::debug!(request_id = cause.request, session = %cause.session, "checked again");
        let (identity, now) = (news.identity.clone(), self.clock.now());
        let session = continued(&live.session, news, now);
        // First: whatever else is slow or away, the refresh token that counts now is not lost.
        let stored = self.store(live, session).await;
        if let Some(offboarding) = &self.offboarding {
            let request = cause.request.as_deref();
            offboarding.is_here(&identity.subject, request).await;
        }
        if let Some(roll) = &self.roll {
            // A session that could not be stored counts from before.
            let at = stored.as_ref().map_or(live.session.checked_at, |_| now);
            roll.vouched(&identity, at).await;
        }
        Ok(match stored? {
            Some(live) => Landed::Confirmed(live),
            None => Landed::Over,
        })
    }

    /// Perhaps only because another replica was faster: of two refreshes with one token, one loses.
    async fn refused(
        &self,
        live: &Live,
        why: &RefreshError,
        cause: &Cause,
    ) -> Result<Landed, StoreAway> {
        for pause in SECOND_LOOKS {
            sleep(pause).await;
            let Some(now) = self.sessions.find_by_key(&live.key).await? else {
                // A logout token was faster, and left this question to us.
                if self.is_departing(&live.key) {
                    self.tell_refused(live, why, cause).await;
                }
                return Ok(Landed::Over);
            };
            if now.session.refresh_token == live.session.refresh_token {
                continue;
            }
            self.metrics.refreshed(Refresh::Elsewhere);
            return Ok(match self.due(&now.session) {
                Due::Later => Landed::Confirmed(now),
                Due::Now | Due::Overdue => Landed::Away,
            });
        }
        self.metrics.refreshed(Refresh::Refused);
        tracing::info!(
            request_id = cause.request, session = %cause.session,
            subject = %live.session.identity.subject, reason = %why,
            "signed out: the provider does not vouch for this person any more"
        );
        self.tell_refused(live, why, cause).await;
        if let Some(roll) = &self.roll {
            let who = &live.session.identity.subject;
            roll.gone(who, Some(live.session.checked_at)).await;
        }
        let reason = audit::EndReason::RecheckRefused;
        self.end(live, audit::Actor::Provider, reason, cause).await;
        Ok(Landed::Over)
    }

    async fn tell_refused(&self, live: &Live, why: &RefreshError, cause: &Cause) {
        if let (Some(offboarding), RefreshError::Refused { error, description }) =
            (&self.offboarding, why)
        {
            let (said, request) = ((error.as_str(), description.as_str()), &cause.request);
            offboarding
                .refused(&live.session, said, request.as_deref())
                .await;
        }
    }

    async fn unavailable(
        &self,
        live: &Live,
        reason: &Outage,
        rotated: Option<Secret<String>>,
        cause: &Cause,
    ) -> Result<Landed, StoreAway> {
        self.metrics.refreshed(Refresh::Unavailable);
        self.complain(reason, cause);
        let session = without_answer(&live.session, reason, rotated);
        if !session.footing.in_doubt {
            self.store(live, session).await?;
        }
        Ok(Landed::Away)
    }

    /// Each session has its own line, and while the provider is away there would be many.
    fn complain(&self, reason: &Outage, cause: &Cause) {
        let (last, now) = (
            self.complained.load(Ordering::Relaxed),
            self.clock.now().unix(),
        );
        if now.abs_diff(last) < COMPLAINTS {
            tracing::debug!(session = %cause.session, %reason, "not checked again");
            return;
        }
        self.complained.store(now, Ordering::Relaxed);
        tracing::warn!(
            request_id = cause.request, session = %cause.session, %reason,
            "people cannot be checked again; their sessions are good for session.recheck_grace"
        );
    }

    /// What came with a refresh must not be lost: the refresh token before it is worth nothing now.
    async fn store(&self, live: &Live, session: Session) -> Result<Option<Live>, StoreAway> {
        let mut stored = Err(StoreAway);
        for pause in TRIES_TO_STORE {
            sleep(pause).await;
            stored = self.sessions.update(live, session.clone()).await;
            if stored.is_ok() {
                break;
            }
        }
        stored
    }

    /// Where the store does not answer, the next look at the session leads here again.
    async fn end(&self, live: &Live, by: audit::Actor, reason: audit::EndReason, cause: &Cause) {
        let ended = self.sessions.end(&live.key).await;
        if let Err(away) = &ended {
            tracing::warn!(session = %live.key, reason = %away, "a session was not ended everywhere");
        }
        self.audit.record(&audit::Entry {
            outcome: ended.map_or(audit::Outcome::Failed, |_| audit::Outcome::Done),
            subject: Some(&live.session.identity.subject),
            user: live.session.identity.username.as_deref(),
            session: Some(&live.key.to_string()),
            sessions: Some(1),
            reason: Some(reason.label()),
            ..audit::Entry::new(
                audit::Act::Ended,
                by,
                cause.request.as_deref().unwrap_or_default(),
            )
        });
    }
}

/// The session after a refresh that did not say anything of the person: with the newer refresh token, if
/// that came.
pub(super) fn without_answer(
    before: &Session,
    reason: &Outage,
    rotated: Option<Secret<String>>,
) -> Session {
    let mut session = before.clone();
    match rotated {
        Some(token) => {
            session.refresh_token = Some(Token::pack(&token));
            session.footing.in_doubt = false;
        }
        None => session.footing.in_doubt = reason.leaves_in_doubt(before.footing.in_doubt),
    }
    session
}

/// The session as it goes on: what the provider did not say stays, and so do the sign-in itself (when and
/// how the person proved who they are) and its age.
fn continued(before: &Session, news: Refreshed, now: Timestamp) -> Session {
    let mut session = before.clone();
    session.identity = news.identity;
    session.checked_at = now;
    session.footing = Footing {
        in_doubt: false,
        read_by: Some(news.read_by),
        ..before.footing
    };
    if let Some(sid) = news.provider_session {
        session.provider_session = Some(sid);
    }
    if let Some((id_token, expires_at)) = news.id_token {
        session.id_token = Token::pack(&id_token);
        session.token_expires_at = expires_at;
    }
    if let Some(token) = news.refresh_token {
        session.refresh_token = Some(Token::pack(&token));
    }
    session
}
