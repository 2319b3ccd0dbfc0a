//! A person's sign-in: sent to the provider, and back through the callback, which reads as a column
//! of early returns. State, age and issuer are checked before the code is redeemed; a session begins
//! only behind the rules.

use bytes::Bytes;
use http::{Response, StatusCode};

use super::gate::Verdict;
use super::house::{House, see_other, set_cookie};
use super::rates::Rated;
use super::visit::Visit;
use crate::domain::login::{self, Attempt, AttemptKind};
use crate::domain::return_to::ReturnTo;
use crate::domain::secret::Secret;
use crate::domain::session::{Browser, Session};
use crate::domain::token::Token;
use crate::oidc::{AuthorizeOptions, Callback, CallbackError, SignedIn};
use crate::ops::audit;
use crate::ops::metrics::CallbackFailure;
use crate::pages::{self, Fault};
use crate::session::{AttemptError, Live, Moment, SessionId, SessionKey, StoreAway};

/// When a browser may try again while the provider is not known.
const RETRY_SECONDS: u32 = 15;

impl House {
    /// A request without a session: a person is sent to the provider, everybody else gets a 401. No
    /// network.
    pub(super) fn ask_to_sign_in(&self, visit: &Visit) -> Response<Bytes> {
        if !visit.is_navigation() {
            let message = "sign in first";
            return pages::json(StatusCode::UNAUTHORIZED, "unauthorized", message, &visit.id);
        }
        let return_to = ReturnTo::parse(visit.head.target.as_str()).unwrap_or_else(ReturnTo::root);
        self.begin(
            visit,
            return_to,
            AttemptKind::SignIn,
            &AuthorizeOptions::default(),
        )
    }

    /// `/.headwarden/sign-in`: asked for by a link of ours. `switch=1` makes the provider ask for the
    /// account again.
    pub(super) fn sign_in(&self, visit: &Visit) -> Response<Bytes> {
        if visit.head.method != "GET" {
            return self.method_not_allowed(visit, "GET");
        }
        if !visit.is_navigation() {
            let message = "open this address in a browser";
            return pages::json(StatusCode::UNAUTHORIZED, "unauthorized", message, &visit.id);
        }
        let switch = visit.head.target.query_values("switch") == ["1"];
        let (kind, options) = if switch {
            let options = AuthorizeOptions {
                prompt_login: true,
                ..AuthorizeOptions::default()
            };
            (AttemptKind::SwitchUser, options)
        } else {
            (AttemptKind::SignIn, AuthorizeOptions::default())
        };
        self.begin(visit, ReturnTo::root(), kind, &options)
    }

    /// Sends a browser to the provider.
    pub(super) fn begin(
        &self,
        visit: &Visit,
        return_to: ReturnTo,
        kind: AttemptKind,
        options: &AuthorizeOptions,
    ) -> Response<Bytes> {
        if let Some(answer) = self.held_back(visit, Rated::SignIn) {
            return answer;
        }
        let now = self.clock.now();
        let attempt = Attempt::begin(self.random.as_ref(), return_to, kind, now);
        let Ok(location) = self.provider.authorization_url(&attempt, options) else {
            return self.page(visit, |c| pages::provider_unavailable(c, RETRY_SECONDS));
        };
        let Ok(cookies) = self.attempts.plant(&attempt, &visit.head.headers, now) else {
            return self.page(visit, pages::sign_in_failed);
        };
        let mut response = see_other(location.as_str());
        for cookie in &cookies {
            set_cookie(&mut response, cookie);
        }
        response
    }

    /// `/oidc/callback`, which Headscale's own sign-in shares. The prefix of the state decides whose
    /// it is.
    pub(super) async fn callback(&self, visit: &Visit) -> Verdict {
        if visit.head.method != "GET" {
            return Verdict::Answer(self.method_not_allowed(visit, "GET"));
        }
        // Nothing of the attempt is used up: the same address works after the wait.
        if let Some(answer) = self.held_back(visit, Rated::Callback) {
            return Verdict::Answer(answer);
        }
        let target = &visit.head.target;
        let states = target.query_values("state");
        let [state] = states.as_slice() else {
            return Verdict::Answer(self.bad_callback(visit, CallbackFailure::State));
        };
        if !login::is_ours(state) {
            return self.foreign_callback(visit, state).await;
        }
        if visit
            .only("sec-fetch-mode")
            .is_some_and(|mode| mode != "navigate")
        {
            return Verdict::Answer(self.bad_callback(visit, CallbackFailure::State));
        }
        Verdict::Answer(self.our_callback(visit, state).await)
    }

    async fn our_callback(&self, visit: &Visit, state: &str) -> Response<Bytes> {
        let attempt = match self
            .attempts
            .find(state, &visit.head.headers, self.clock.now())
        {
            Ok(attempt) => attempt,
            // A page at the callback's address was loaded again: its cookie went with the first time.
            Err(AttemptError::Missing) if self.used.was_used(state).await == Ok(true) => {
                self.failed(visit, CallbackFailure::Used, "the state was used before");
                return self.page(visit, pages::attempt_used);
            }
            Err(AttemptError::Missing) => {
                self.failed(
                    visit,
                    CallbackFailure::Cookie,
                    "the browser brought no attempt",
                );
                return self.page(visit, pages::cookies_needed);
            }
            Err(AttemptError::Expired) => {
                self.failed(visit, CallbackFailure::Expired, "the attempt has expired");
                return self.finished(state, self.page(visit, pages::attempt_expired));
            }
        };
        let query = |name: &str| visit.head.target.query_values(name);
        let (codes, issuers, errors) = (query("code"), query("iss"), query("error"));
        if codes.len() > 1 || issuers.len() > 1 || errors.len() > 1 {
            return self.finished(state, self.bad_callback(visit, CallbackFailure::State));
        }
        let iss = issuers.first().cloned();
        if let Err(why) = self.provider.check_iss(iss.as_deref()) {
            self.failed(visit, CallbackFailure::Issuer, &why);
            return self.finished(state, self.page(visit, pages::sign_in_failed));
        }
        // Before anything is redeemed: whoever leaves from here on ends what is about to begin.
        let moment = match self.departures.moment().await {
            Ok(moment) => moment,
            Err(away) => return self.store_away(visit, away),
        };
        match self.used.first_use(state).await {
            Ok(true) => {}
            Ok(false) => {
                self.failed(visit, CallbackFailure::Used, "the state was used before");
                return self.finished(state, self.page(visit, pages::attempt_used));
            }
            // The attempt goes on when the store does.
            Err(away) => {
                self.sign_in_failed(visit, CallbackFailure::Unavailable);
                return self.store_away(visit, away);
            }
        }
        if let Some(error) = errors.first() {
            let error = pages::ProviderError::parse(error);
            self.failed(visit, CallbackFailure::Provider, format_args!("{error:?}"));
            return self.finished(
                state,
                self.page(visit, |c| pages::provider_refused(c, error)),
            );
        }
        let Some(code) = codes.first().filter(|code| !code.is_empty()) else {
            return self.finished(state, self.bad_callback(visit, CallbackFailure::State));
        };
        let callback = Callback {
            state: state.to_owned(),
            code: Secret::new(code.clone()),
            iss,
        };
        let response = match self.provider.redeem(&attempt, &callback).await {
            Ok(person) => self.welcome(visit, &attempt, person, moment).await,
            Err(why) => self.not_redeemed(visit, &why),
        };
        self.finished(state, response)
    }

    /// The provider vouches for a person: now the rules, and then a session under a new id.
    async fn welcome(
        &self,
        visit: &Visit,
        attempt: &Attempt,
        person: SignedIn,
        moment: Moment,
    ) -> Response<Bytes> {
        let now = self.clock.now();
        if let Err(refusal) = self.same_person(visit, &attempt.kind, &person).await {
            return refusal;
        }
        if let Err(denial) = self.settings.rules.decide(&person.identity) {
            self.roll.gone(&person.identity.subject, None).await;
            return self.denied(visit, &denial, &person.identity);
        }
        let session = Session {
            identity: person.identity,
            provider_session: person.provider_session,
            auth_time: match &attempt.kind {
                // Proven at or after `since`, give or take the skew of the provider's clock; by our
                // own clock it was not before we asked.
                AttemptKind::StepUp {
                    since,
                    afresh: true,
                    ..
                } => person.auth_time.max(Some(*since)),
                AttemptKind::StepUp { .. } | AttemptKind::SignIn | AttemptKind::SwitchUser => {
                    person.auth_time
                }
            },
            id_token: Token::pack(&person.id_token),
            token_expires_at: person.token_expires_at,
            started_at: now,
            refresh_token: person.refresh_token.as_ref().map(Token::pack),
            acr: person.acr.map(Into::into),
            amr: person.amr.into(),
            checked_at: now,
            browser: Browser::new(visit.client, visit.only("user-agent").unwrap_or_default()),
            footing: person.footing,
        };
        if let Err(refusal) = self.stepped_up(visit, &attempt.kind, &session) {
            return refusal;
        }
        let (id, live) = match self.begin_session(visit, &attempt.kind, session).await {
            Ok(Some(begun)) => begun,
            Ok(None) => {
                self.failed(visit, CallbackFailure::StepUp, "its session is over");
                return self.page(visit, pages::step_up_refused);
            }
            Err(away) => {
                self.sign_in_failed(visit, CallbackFailure::Unavailable);
                return self.store_away(visit, away);
            }
        };
        if let Some(answer) = self.left_meanwhile(visit, &live, moment).await {
            return answer;
        }
        self.metrics.signed_in((&attempt.kind).into());
        self.rechecks.begun(&live.session);
        let subject = &live.session.identity.subject;
        self.offboarding.is_here(subject, Some(&visit.id)).await;
        self.roll
            .vouched(&live.session.identity, live.session.checked_at)
            .await;
        self.audit.record(&audit::Entry {
            client: Some(visit.client),
            subject: Some(&live.session.identity.subject),
            user: live.session.identity.username.as_deref(),
            session: Some(&live.key.to_string()),
            ..audit::Entry::new(audit::Act::SignedIn, audit::Actor::Person, &visit.id)
        });
        let mut response = see_other(attempt.return_to.as_str());
        set_cookie(&mut response, &self.cookies.set_session(&id));
        response
    }

    /// Ends a session that has just begun, where its person or its session at the provider left after
    /// `moment`, or where nobody can tell.
    async fn left_meanwhile(
        &self,
        visit: &Visit,
        live: &Live,
        moment: Moment,
    ) -> Option<Response<Bytes>> {
        let answer = match self.departures.ended_since(moment, &live.session).await {
            Ok(false) => return None,
            Ok(true) => {
                self.failed(
                    visit,
                    CallbackFailure::SignedOut,
                    "the provider ended its session meanwhile",
                );
                self.page(visit, pages::signed_out_meanwhile)
            }
            Err(away) => {
                self.sign_in_failed(visit, CallbackFailure::Unavailable);
                self.store_away(visit, away)
            }
        };
        // Nobody has its id: where the store does not take this, it idles out.
        let _ = self.sessions.end(&live.key).await;
        Some(answer)
    }

    /// Under a new id, in place of whatever the browser brought. A step-up goes on with a session that
    /// is alive, and never brings one back.
    async fn begin_session(
        &self,
        visit: &Visit,
        kind: &AttemptKind,
        session: Session,
    ) -> Result<Option<(SessionId, Live)>, StoreAway> {
        if let AttemptKind::StepUp { session: old, .. } = kind {
            let Ok(old) = SessionKey::parse(old) else {
                return Ok(None);
            };
            return self.sessions.renew(&old, session).await;
        }
        let brought = self.cookies.session_ids(&visit.head.headers);
        let brought: Vec<SessionKey> = brought.map(|id| id.key()).collect();
        self.sessions.replace(brought, session).await.map(Some)
    }

    fn not_redeemed(&self, visit: &Visit, why: &CallbackError) -> Response<Bytes> {
        let (failure, is_outage) = match why {
            CallbackError::ProviderUnknown(_) | CallbackError::ProviderUnavailable { .. } => {
                (CallbackFailure::Unavailable, true)
            }
            CallbackError::CodeRefused { .. } => (CallbackFailure::Code, false),
            CallbackError::StateMismatch | CallbackError::AttemptExpired => {
                (CallbackFailure::State, false)
            }
            CallbackError::IssMismatch(_) => (CallbackFailure::Issuer, false),
            CallbackError::AnswerInvalid(_)
            | CallbackError::Encrypted
            | CallbackError::SubjectMissing
            | CallbackError::TokenInvalid { .. } => (CallbackFailure::Token, false),
            CallbackError::UserinfoRefused(_) | CallbackError::UserinfoSubject => {
                (CallbackFailure::Token, false)
            }
        };
        self.sign_in_failed(visit, failure);
        tracing::warn!(request_id = visit.id, reason = %why, "sign-in failed");
        if is_outage {
            self.page(visit, |c| pages::provider_unavailable(c, RETRY_SECONDS))
        } else {
            self.page(visit, pages::sign_in_failed)
        }
    }

    fn bad_callback(&self, visit: &Visit, failure: CallbackFailure) -> Response<Bytes> {
        self.failed(
            visit,
            failure,
            "the callback's parameters are not those of an answer",
        );
        self.page(visit, |context| {
            pages::error(context, StatusCode::BAD_REQUEST, Fault::NotASignIn)
        })
    }

    pub(super) fn failed(
        &self,
        visit: &Visit,
        failure: CallbackFailure,
        why: impl std::fmt::Display,
    ) {
        self.sign_in_failed(visit, failure);
        tracing::info!(request_id = visit.id, reason = %why, "callback refused");
    }

    /// Counts a failure, and notes it in the audit log where it was somebody's sign-in: whoever comes
    /// without an attempt of this browser only asked for an address.
    fn sign_in_failed(&self, visit: &Visit, failure: CallbackFailure) {
        self.metrics.callback_failed(failure);
        let outcome = match failure {
            CallbackFailure::Cookie | CallbackFailure::State => return,
            CallbackFailure::Unavailable => audit::Outcome::Failed,
            CallbackFailure::Expired
            | CallbackFailure::Used
            | CallbackFailure::Issuer
            | CallbackFailure::Provider
            | CallbackFailure::Code
            | CallbackFailure::Token
            | CallbackFailure::StepUp
            | CallbackFailure::SignedOut => audit::Outcome::Refused,
        };
        self.audit.record(&audit::Entry {
            outcome,
            client: Some(visit.client),
            reason: Some(failure.label()),
            ..audit::Entry::new(audit::Act::SignInFailed, audit::Actor::Person, &visit.id)
        });
    }

    /// An attempt that came back is over, whatever became of it.
    fn finished(&self, state: &str, mut response: Response<Bytes>) -> Response<Bytes> {
        if let Some(cookie) = self.attempts.forget(state) {
            set_cookie(&mut response, &cookie);
        }
        response
    }
}
