//! Signing out: here first, by a POST that proves where it came from, then at the provider.

use bytes::Bytes;
use http::Response;

use super::house::{House, see_other, set_cookie};
use super::visit::Visit;
use crate::pages;

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

    async fn end_session(&self, visit: &Visit) -> Response<Bytes> {
        // Where the cookie is there twice, nothing tells which is the person's: all of them end.
        let mut ended = None;
        for id in self.cookies.session_ids(&visit.head.headers) {
            let session = match self.sessions.end(&id.key()).await {
                Ok(Some(session)) => session,
                Ok(None) => continue,
                // Signed out only here is not signed out: the cookie stays, for another try.
                Err(away) => return self.store_away(visit, away),
            };
            tracing::info!(
                request_id = visit.id, subject = %session.identity.subject, "signed out"
            );
            ended = Some(session);
        }
        let back = self.settings.server_url.join(SIGNED_OUT);
        // Without a session there is no ID token to hint with, and newer providers insist on one.
        let location = ended.as_ref().and_then(|session| {
            let state = self.random.token();
            self.provider
                .end_session_url(Some(&session.id_token), &back, &state)
        });
        let mut response = see_other(
            location
                .as_ref()
                .map_or(SIGNED_OUT, |location| location.as_str()),
        );
        set_cookie(&mut response, &self.cookies.delete_session());
        response
    }

    /// Where a browser ends up. It does not sign in again by itself.
    pub(super) async fn signed_out(&self, visit: &Visit) -> Response<Bytes> {
        if !visit.is_safe() {
            return self.method_not_allowed(visit, "GET");
        }
        let mut response = self.page(visit, pages::signed_out);
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
