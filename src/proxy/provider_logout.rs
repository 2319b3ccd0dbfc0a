//! Logout from the provider's side: a token that it posts (OpenID Connect Back-Channel Logout 1.0), or a
//! page of ours in a frame of its own (Front-Channel Logout 1.0).
//!
//! No cookie counts here, and no proof of the origin: a frame of another site brings no cookie of ours
//! along, and the provider has none. What counts is the token's signature, or knowing the `sid`, which
//! the provider and the browsers of its person alone do. Whether there was a session is nobody's
//! business: the answers do not tell.

use bytes::Bytes;
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, Response, StatusCode};
use url::form_urlencoded;

use super::house::{House, STORE_RETRY_SECONDS};
use super::rates::Rated;
use super::visit::Visit;
use crate::domain::departure::Departure;
use crate::domain::identity::ProviderSession;
use crate::oidc::LogoutRefused;
use crate::ops::audit;
use crate::ops::metrics::{Logout, LogoutOutcome};
use crate::pages::{self, Fault};
use crate::session::StoreAway;

/// The type of a posted logout token's form (Back-Channel Logout section 2.5).
const FORM: &str = "application/x-www-form-urlencoded";

/// The longest `sid` of a link, in bytes: twice what any provider is known to use. It is remembered for a
/// while, and anybody can write one.
const LONGEST_SID: usize = 255;

/// Why a posted token ends nothing.
#[derive(Debug, thiserror::Error)]
enum NotEnded {
    /// No form, or not with exactly one token.
    #[error("the request is no form with exactly one logout_token")]
    Form,
    /// Not the provider's word, or nobody can tell.
    #[error(transparent)]
    Token(#[from] LogoutRefused),
    /// It counted before.
    #[error("the logout token was used before")]
    Replayed,
    /// Sessions cannot be ended now; the token may come again.
    #[error(transparent)]
    Store(#[from] StoreAway),
}

impl House {
    /// `POST /.headwarden/backchannel-logout`: 200 when nothing of what the token names is left, 400
    /// when it is not believed (section 2.8), 503 when that is not known.
    pub(super) async fn backchannel_logout(&self, visit: &Visit, body: &Bytes) -> Response<Bytes> {
        if visit.head.method != "POST" {
            return self.method_not_allowed(visit, "POST");
        }
        if let Some(answer) = self.held_back(visit, Rated::Logout) {
            return answer;
        }
        match self.end_by_token(visit, body).await {
            Ok((departure, ended)) => {
                self.told(visit, Logout::BackChannel, &departure, ended);
                let mut response = Response::new(Bytes::new());
                pages::guard(response.headers_mut());
                response
            }
            Err(why) => self.not_ended(visit, &why),
        }
    }

    async fn end_by_token(
        &self,
        visit: &Visit,
        body: &Bytes,
    ) -> Result<(Departure, usize), NotEnded> {
        let raw = posted_token(visit, body).ok_or(NotEnded::Form)?;
        let token = self.provider.verify_logout_token(&raw).await?;
        if self.used_logouts.was_used(&token.used_as).await? {
            return Err(NotEnded::Replayed);
        }
        let last = self.rechecks.before_they_end(&token.departure).await;
        let ended = self.depart(&token.departure).await;
        // Whoever is gone is told from whoever signed out, whatever the store did.
        self.rechecks.ask_for_the_last_time(last, &visit.id);
        let reason = audit::EndReason::BackChannel;
        self.audited(visit, &token.departure, ended.ok(), reason);
        let ended = ended?;
        // Last, so that a token whose sessions could not be ended may come again. Of two at once, both
        // end the same sessions, and one is told so.
        if self.used_logouts.first_use(&token.used_as).await? {
            Ok((token.departure, ended))
        } else {
            Err(NotEnded::Replayed)
        }
    }

    fn not_ended(&self, visit: &Visit, why: &NotEnded) -> Response<Bytes> {
        let away = matches!(
            why,
            NotEnded::Store(_) | NotEnded::Token(LogoutRefused::ProviderUnknown(_))
        );
        let (status, code, outcome) = if away {
            (
                StatusCode::SERVICE_UNAVAILABLE,
                "temporarily_unavailable",
                LogoutOutcome::Unavailable,
            )
        } else {
            (
                StatusCode::BAD_REQUEST,
                "invalid_request",
                LogoutOutcome::Refused,
            )
        };
        self.metrics.logout(Logout::BackChannel, outcome);
        tracing::warn!(
            request_id = visit.id, client = %visit.client, reason = %why,
            "a logout of the provider ended nothing"
        );
        let description = match why {
            NotEnded::Form => "a form with exactly one logout_token is expected",
            NotEnded::Token(LogoutRefused::Token(_)) => "the logout token is not acceptable",
            NotEnded::Replayed => "the logout token was used before",
            NotEnded::Token(LogoutRefused::ProviderUnknown(_)) | NotEnded::Store(_) => {
                "try again in a moment"
            }
        };
        let mut response = pages::oauth_error(status, code, description, &visit.id);
        if away {
            let seconds = HeaderValue::from_static(STORE_RETRY_SECONDS);
            response.headers_mut().insert(RETRY_AFTER, seconds);
        }
        response
    }

    /// `GET /.headwarden/frontchannel-logout?iss=…&sid=…`, in a frame of the provider's page (section
    /// 2). Both parameters are required: without them it would be anybody's link to sign people out.
    pub(super) async fn frontchannel_logout(&self, visit: &Visit) -> Response<Bytes> {
        if visit.head.method != "GET" {
            return self.method_not_allowed(visit, "GET");
        }
        if let Some(answer) = self.held_back(visit, Rated::Logout) {
            return answer;
        }
        let Some(sid) = self.named_session(visit) else {
            self.metrics
                .logout(Logout::FrontChannel, LogoutOutcome::Refused);
            tracing::info!(
                request_id = visit.id, client = %visit.client,
                "a logout through a browser names no session of the provider"
            );
            return self.not_the_providers_link(visit);
        };
        let departure = Departure::Session(ProviderSession::new(sid));
        match self.depart(&departure).await {
            Ok(ended) => {
                let reason = audit::EndReason::FrontChannel;
                self.audited(visit, &departure, Some(ended), reason);
                self.told(visit, Logout::FrontChannel, &departure, ended);
                pages::signed_out_in_frame(visit.language(), &self.provider.framing_origins())
            }
            Err(away) => {
                self.metrics
                    .logout(Logout::FrontChannel, LogoutOutcome::Unavailable);
                self.store_away(visit, away)
            }
        }
    }

    /// The `sid` of a request that is one of the provider's, and that a browser makes because a page
    /// asks for it: not ahead of time.
    fn named_session(&self, visit: &Visit) -> Option<String> {
        let query = |name: &str| visit.head.target.query_values(name);
        let (issuers, sessions) = (query("iss"), query("sid"));
        let ([issuer], [sid]) = (issuers.as_slice(), sessions.as_slice()) else {
            return None;
        };
        let ahead = visit.has("sec-purpose") || visit.has("purpose");
        let named = self.provider.is_issued_by(issuer) && (1..=LONGEST_SID).contains(&sid.len());
        (named && !ahead).then(|| sid.clone())
    }

    fn not_the_providers_link(&self, visit: &Visit) -> Response<Bytes> {
        let page = |context: &pages::Context<'_>| {
            let status = StatusCode::BAD_REQUEST;
            pages::error(context, status, Fault::NotTheProviders)
        };
        let message = "iss and sid must be there once, and of the provider";
        self.page_or_json(visit, page, "invalid_request", message)
    }

    /// Ends the sessions of a departure, and keeps those that are beginning from it; how many there
    /// were. Where it cannot be noted, what can end ends all the same.
    async fn depart(&self, departure: &Departure) -> Result<usize, StoreAway> {
        let noted = self.departures.note(departure.clone()).await;
        let ended = self.sessions.end_departed(departure).await?;
        noted.map(|()| ended)
    }

    fn told(&self, visit: &Visit, way: Logout, departure: &Departure, sessions: usize) {
        let outcome = match sessions {
            0 => LogoutOutcome::Nothing,
            _ => LogoutOutcome::Ended,
        };
        self.metrics.logout(way, outcome);
        let subject = departure.subject();
        tracing::info!(
            request_id = visit.id,
            kind = way.label(),
            subject = subject.map(tracing::field::display),
            sessions,
            "signed out by the provider"
        );
    }

    /// What a departure ended, into the audit log; `None` where the store failed in the middle: some may
    /// have ended, and here those that are known have.
    fn audited(
        &self,
        visit: &Visit,
        departure: &Departure,
        sessions: Option<usize>,
        reason: audit::EndReason,
    ) {
        if sessions == Some(0) {
            return;
        }
        self.audit.record(&audit::Entry {
            outcome: sessions.map_or(audit::Outcome::Failed, |_| audit::Outcome::Done),
            client: Some(visit.client),
            subject: departure.subject(),
            sessions,
            reason: Some(reason.label()),
            ..audit::Entry::new(audit::Act::Ended, audit::Actor::Provider, &visit.id)
        });
    }
}

/// The one token of a form (section 2.5); other fields are none of our business.
fn posted_token(visit: &Visit, body: &Bytes) -> Option<String> {
    let kind = visit.only(CONTENT_TYPE.as_str())?.split(';').next()?;
    if !kind.trim().eq_ignore_ascii_case(FORM) {
        return None;
    }
    let mut tokens = form_urlencoded::parse(body)
        .filter(|(name, _)| name == "logout_token")
        .map(|(_, token)| token.into_owned());
    match (tokens.next(), tokens.next()) {
        (Some(token), None) => Some(token),
        _ => None,
    }
}
