//! The public half of the issuer: the authorization endpoint that Headscale's redirects lead to, and
//! the callback they share with our own sign-in.

use bytes::Bytes;
use http::{Response, StatusCode};

use super::gate::{CookieRule, Route, Verdict};
use super::house::{House, see_other};
use super::rates::Rated;
use super::standing::{self, ClaimsError};
use super::visit::Visit;
use crate::config::SignIn;
use crate::domain::identity::Identity;
use crate::domain::username::UsernameError;
use crate::issuer::{IssueError, Issuer};
use crate::ops::audit::Step;
use crate::ops::metrics::Rule;
use crate::pages::{self, Fault};
use crate::session::{State, StoreAway};

impl House {
    /// Answers Headscale's authorization request at once, from the session: only a request equal to
    /// one that was recorded in it, once. Everything else is a page, never a redirect.
    pub(super) async fn authorize(&self, visit: &Visit) -> Response<Bytes> {
        let Some(issuer) = &self.issuer else {
            return self.not_found(visit);
        };
        if visit.head.method != "GET" {
            return self.method_not_allowed(visit, "GET");
        }
        let query: Vec<(String, String)> = visit
            .head
            .target
            .query()
            .map(|query| {
                url::form_urlencoded::parse(query.as_bytes())
                    .into_owned()
                    .collect()
            })
            .unwrap_or_default();
        let request = match issuer.authorize(&query) {
            Ok(request) => request,
            Err(why) => {
                tracing::warn!(request_id = visit.id, reason = %why, "authorization request refused");
                return self.page(visit, pages::start_again);
            }
        };
        let live = match self.session(visit).await {
            Ok(Some(live)) => live,
            Ok(None) => return self.page(visit, pages::start_again),
            Err(away) => return away,
        };
        if let Err(refusal) = self.admit(visit, &live) {
            return refusal;
        }
        if let Some(answer) = self.held_back(visit, Rated::Registration) {
            return answer;
        }
        let now = self.clock.now();
        let answer = |state: &mut State| state.legs.answer(&request, now);
        let leg = match self.sessions.with_state(&live, answer).await {
            Ok(Ok(leg)) => leg,
            Ok(Err(why)) => {
                tracing::info!(
                    request_id = visit.id, reason = %why, "authorization request belongs to no leg"
                );
                return self.page(visit, pages::start_again);
            }
            Err(away) => return self.store_away(visit, away),
        };
        let claims = match standing::claims(&self.settings, &live.session) {
            Ok(claims) => claims,
            Err(why) => return self.no_claims(visit, &why, &live.session.identity),
        };
        match issuer.issue(&request, &live.key.to_hex(), &claims).await {
            Ok(code) => {
                let issued = |state: &mut State| state.legs.issued(&request.state, &code, now);
                if let Err(away) = self.sessions.with_state(&live, issued).await {
                    return self.store_away(visit, away);
                }
                tracing::info!(
                    request_id = visit.id, subject = %live.session.identity.subject,
                    "authorization code issued to headscale"
                );
                self.came_to(visit, &leg.kind, Step::CodeIssued, &live);
                see_other(&Issuer::callback_location(&request, &code))
            }
            Err(IssueError::Unavailable(_)) => self.store_away(visit, StoreAway),
            Err(why) => {
                tracing::warn!(request_id = visit.id, reason = %why, "no code issued");
                self.page(visit, |context| {
                    pages::error(context, StatusCode::FORBIDDEN, Fault::NotPassedOn)
                })
            }
        }
    }

    fn no_claims(&self, visit: &Visit, why: &ClaimsError, who: &Identity) -> Response<Bytes> {
        self.refused_by(visit, Rule::Username, who);
        tracing::info!(request_id = visit.id, subject = %who.subject, reason = %why, "no claims");
        match why {
            ClaimsError::Username(why) => {
                self.denied_page(visit, pages::Refusal::Username(why), who)
            }
            ClaimsError::Subject(_) => self.page(visit, |context| {
                pages::error(context, StatusCode::FORBIDDEN, Fault::Subject)
            }),
        }
    }

    /// The name Headscale would know a person by.
    pub(super) fn username(&self, who: &Identity) -> Result<String, UsernameError> {
        standing::username(&self.settings, who)
    }

    /// A callback whose state is not ours: Headscale's. It never starts a sign-in, and only the
    /// cookies of Headscale's own sign-in go along.
    pub(super) async fn foreign_callback(&self, visit: &Visit, state: &str) -> Verdict {
        let start_again = || Verdict::Answer(self.page(visit, pages::start_again));
        if !visit.head.target.query_values("error").is_empty() {
            return start_again();
        }
        let live = match self.session(visit).await {
            Ok(Some(live)) => live,
            Ok(None) => return start_again(),
            Err(away) => return Verdict::Answer(away),
        };
        let permit = match self.admit(visit, &live) {
            Ok(permit) => permit,
            Err(refusal) => return Verdict::Answer(refusal),
        };
        match &self.settings.headscale.sign_in {
            SignIn::None => return Verdict::Answer(self.not_found(visit)),
            // The prefix decides; Headscale checks its own state.
            SignIn::Own => {}
            SignIn::Issuer(_) => {
                let codes = visit.head.target.query_values("code");
                let [code] = codes.as_slice() else {
                    return start_again();
                };
                let now = self.clock.now();
                let take = |held: &mut State| held.legs.take_callback(state, code, now);
                match self.sessions.with_state(&live, take).await {
                    Ok(true) => {}
                    Ok(false) => return start_again(),
                    Err(away) => return Verdict::Answer(self.store_away(visit, away)),
                }
            }
        }
        Verdict::Forward(Box::new(Route {
            cookies: CookieRule::HeadscaleSignIn,
            ..self.route_to_headscale(permit)
        }))
        .while_alive(live)
    }
}
