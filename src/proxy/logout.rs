//! Signing out: here first, by a POST that proves where it came from, then at the provider.

use std::sync::Arc;

use bytes::Bytes;
use http::Response;
use url::Url;

use super::house::{House, see_other, set_cookie};
use super::rates::Rated;
use super::visit::Visit;
use crate::domain::session::Session;
use crate::ops::audit;
use crate::ops::metrics::{Logout, LogoutOutcome};
use crate::pages::{self, AtTheProvider};
use crate::session::{Live, SessionKey, StoreAway};

/// Where the provider sends a browser back to after signing it out; to be registered there.
pub const SIGNED_OUT: &str = "/.headwarden/signed-out";

impl House {
    /// GET shows a form, POST ends the session and sends the browser to the provider's end-session
    /// endpoint. Works with an expired or garbage cookie just as well.
    pub(super) async fn logout(&self, visit: &Visit) -> Response<Bytes> {
        match visit.head.method.as_str() {
            "GET" | "HEAD" => {
                let live = match self.known_session(visit).await {
                    Ok(live) => live,
                    Err(away) => return away,
                };
                let who = live.as_ref().map(|live| &live.session.identity);
                self.page(visit, |context| pages::sign_out(context, who, None))
            }
            "POST" if !visit.is_same_origin(&self.settings.server_url.origin) => {
                self.cross_site(visit)
            }
            "POST" => self.end_session(visit).await,
            _ => self.method_not_allowed(visit, "GET, POST"),
        }
    }

    pub(super) async fn end_session(&self, visit: &Visit) -> Response<Bytes> {
        // Where the cookie is there twice, nothing tells which is the person's: all of them end.
        let brought = self.cookies.session_ids(&visit.head.headers);
        let brought: Vec<SessionKey> = brought.map(|id| id.key()).collect();
        let known = self.known(&brought).await;
        // Whoever is signed in here may leave, however many others do behind the same address.
        if known.is_empty()
            && let Some(answer) = self.held_back(visit, Rated::Logout)
        {
            return answer;
        }
        let ended = match self.end_brought(visit, &brought, &known).await {
            Ok(ended) => ended,
            // Signed out only here is not signed out: the cookie stays, for another try.
            Err(away) => {
                self.metrics
                    .logout(Logout::Person, LogoutOutcome::Unavailable);
                return self.store_away(visit, away);
            }
        };
        let outcome = match ended {
            Some(_) => LogoutOutcome::Ended,
            None => LogoutOutcome::Nothing,
        };
        self.metrics.logout(Logout::Person, outcome);
        // Without a session there is no ID token to hint with, and newer providers insist on one.
        let there = ended.and_then(|session| self.way_out(&session));
        let mut response = see_other(there.as_ref().map_or(SIGNED_OUT, |(url, _)| url.as_str()));
        set_cookie(&mut response, &self.cookies.delete_session());
        // Without its state, the page at the end only knows less.
        if let Some((_, state)) = there
            && let Ok(cookie) = self.sign_outs.plant(&state, self.clock.now())
        {
            set_cookie(&mut response, &cookie);
        }
        response
    }

    /// Those that are alive, as far as that is known.
    async fn known(&self, keys: &[SessionKey]) -> Vec<Live> {
        let mut known = Vec::new();
        for key in keys {
            known.extend(self.sessions.find_by_key(key).await.ok().flatten());
        }
        known
    }

    /// Ends all of them; the last one that there was. What ended here, and perhaps not elsewhere, is in
    /// the audit log too.
    async fn end_brought(
        &self,
        visit: &Visit,
        keys: &[SessionKey],
        known: &[Live],
    ) -> Result<Option<Arc<Session>>, StoreAway> {
        let (mut last, mut failed) = (None, None);
        for key in keys {
            let session = match self.sessions.end(key).await {
                Ok(session) => session,
                Err(away) => {
                    failed = Some(away);
                    let known = known.iter().find(|live| live.key == *key);
                    known.map(|live| Arc::clone(&live.session))
                }
            };
            let Some(session) = session else { continue };
            self.audit.record(&audit::Entry {
                client: Some(visit.client),
                subject: Some(&session.identity.subject),
                user: session.identity.username.as_deref(),
                session: Some(&key.to_string()),
                ..audit::Entry::new(audit::Act::SignedOut, audit::Actor::Person, &visit.id)
            });
            last = Some(session);
        }
        failed.map_or(Ok(last), Err)
    }

    /// The provider's address for signing out, and the `state` that it sends the browser back with.
    fn way_out(&self, session: &Session) -> Option<(Url, String)> {
        let (state, back) = (
            self.random.token(),
            self.settings.server_url.join(SIGNED_OUT),
        );
        let hint = session.id_token.unpack();
        let url = self.provider.end_session_url(&hint, &back, &state)?;
        Some((url, state))
    }

    /// Where a browser ends up. It does not sign in again by itself. A `state` that is none, or not the
    /// one that the browser left with, is no error: providers forget it, and people come here by
    /// themselves. Only what the page says depends on it.
    pub(super) async fn signed_out(&self, visit: &Visit) -> Response<Bytes> {
        if !visit.is_safe() {
            return self.method_not_allowed(visit, "GET");
        }
        let states = visit.head.target.query_values("state");
        let answered = match states.as_slice() {
            [state] => {
                let (headers, now) = (&visit.head.headers, self.clock.now());
                self.sign_outs.is_answer(state, headers, now)
            }
            _ => false,
        };
        let known = if answered {
            AtTheProvider::Answered
        } else {
            AtTheProvider::Unknown
        };
        let mut response = self.page(visit, |context| pages::signed_out(context, known));
        if answered && visit.head.method == "GET" {
            set_cookie(&mut response, &self.sign_outs.forget());
        }
        // The provider may have sent the browser here on its own account; whoever comes here with a
        // session that lives keeps it, with one that is dead loses its cookie.
        if self.cookies.has_session_cookie(&visit.head.headers)
            && matches!(self.known_session(visit).await, Ok(None))
        {
            set_cookie(&mut response, &self.cookies.delete_session());
        }
        response
    }
}
