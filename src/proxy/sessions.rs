//! A person's own sessions: shown to them, and ended one by one or all but this one. By a POST that proves
//! where it came from, with a one-time token that is bound to the session it was shown in; and never
//! anybody else's, whatever id a form names.

use bytes::Bytes;
use http::{Response, StatusCode};

use super::confirm::Form;
use super::house::{House, see_other};
use super::visit::Visit;
use crate::ops::audit::{Act, Actor, EndReason, Entry, Outcome, Scope};
use crate::pages::{self, OwnSession, OwnSessions, SESSIONS};
use crate::session::{Live, Purpose, SessionKey, StoreAway};

/// What a form of the page asks for.
enum Wish {
    One(SessionKey),
    Others,
}

impl Wish {
    fn of(form: &Form) -> Option<Self> {
        match (form.one("id"), form.one("others")) {
            (Some(id), None) => SessionKey::parse(id).ok().map(Self::One),
            (None, Some("yes")) => Some(Self::Others),
            _ => None,
        }
    }
}

impl House {
    /// `/.headwarden/sessions`: GET shows them, POST ends some and leads back to the list. The rules are
    /// not asked: who has lost a right may still end what they have open.
    pub(super) async fn own_sessions(&self, visit: &Visit, body: &Bytes) -> Response<Bytes> {
        let posts = match visit.head.method.as_str() {
            "GET" | "HEAD" => false,
            "POST" if !visit.is_same_origin(&self.settings.server_url.origin) => {
                return self.cross_site(visit);
            }
            "POST" => true,
            _ => return self.method_not_allowed(visit, "GET, POST"),
        };
        let live = match self.session(visit).await {
            Ok(Some(live)) => live,
            // Ended in the meantime, perhaps from another browser: the list asks for a sign-in.
            Ok(None) if posts => return see_other(SESSIONS),
            Ok(None) => return self.ask_to_sign_in(visit),
            Err(away) => return away,
        };
        let answer = if posts {
            self.end_own(visit, &live, &Form::parse(body)).await
        } else {
            self.show_own(visit, &live, false).await
        };
        answer.unwrap_or_else(|away| self.store_away(visit, away))
    }

    /// Every session of the person of `live`, this one first and then the last used.
    async fn sessions_of(&self, live: &Live) -> Result<Vec<Live>, StoreAway> {
        let who = &live.session.identity;
        let mut own = self.sessions.of_subject(&who.subject).await?;
        own.retain(|other| other.session.identity.issuer == who.issuer);
        own.sort_by_key(|other| std::cmp::Reverse((other.key == live.key, other.last_used())));
        Ok(own)
    }

    async fn show_own(
        &self,
        visit: &Visit,
        live: &Live,
        refused: bool,
    ) -> Result<Response<Bytes>, StoreAway> {
        if !visit.wants_page() {
            // An image or a frame of another site of this domain must not make new tokens: the oldest
            // ones of the session would stop working.
            return Ok(no_page(visit, refused));
        }
        let (own, now) = (self.sessions_of(live).await?, self.clock.now());
        let issue = |state: &mut crate::session::State| {
            let random = self.random.as_ref();
            state
                .confirmations
                .issue(Purpose::Sessions, None, random, now)
        };
        let token = self.sessions.with_state(live, issue).await?;
        let ids: Vec<String> = own.iter().map(|one| one.key.to_hex()).collect();
        let list: Vec<OwnSession<'_>> = own
            .iter()
            .zip(&ids)
            .map(|(one, id)| OwnSession {
                id,
                is_this: one.key == live.key,
                browser: &one.session.browser,
                started_at: one.session.started_at,
                last_used: one.last_used(),
            })
            .collect();
        let own = OwnSessions {
            who: &live.session.identity,
            list: &list,
            token: &token,
            now,
            refused,
        };
        Ok(self.page(visit, |context| pages::sessions(context, &own)))
    }

    async fn end_own(
        &self,
        visit: &Visit,
        live: &Live,
        form: &Form,
    ) -> Result<Response<Bytes>, StoreAway> {
        let (Some(wish), Some(token)) = (Wish::of(form), form.one("token")) else {
            return self.show_own(visit, live, true).await;
        };
        let now = self.clock.now();
        let take = |state: &mut crate::session::State| {
            state
                .confirmations
                .take(Purpose::Sessions, None, token, now)
        };
        if !self.sessions.with_state(live, take).await? {
            return self.show_own(visit, live, true).await;
        }
        match wish {
            Wish::One(key) if key == live.key => return Ok(self.end_session(visit).await),
            Wish::One(key) => self.end_named(visit, live, key).await?,
            Wish::Others => self.end_others(visit, live).await?,
        }
        Ok(see_other(SESSIONS))
    }

    /// Ends the session `key` if it is one of the person's own. Of another's, nothing is told: not even
    /// whether there is one.
    async fn end_named(
        &self,
        visit: &Visit,
        live: &Live,
        key: SessionKey,
    ) -> Result<(), StoreAway> {
        let own = self.sessions_of(live).await?;
        if !own.iter().any(|one| one.key == key) {
            return Ok(());
        }
        let ended = self.sessions.end(&key).await;
        let count = ended.as_ref().ok();
        self.audit.record(&Entry {
            session: Some(&key.to_string()),
            scope: Some(Scope::Session),
            sessions: count.map(|gone| usize::from(gone.is_some())),
            ..ended_own(visit, live, ended.is_ok())
        });
        ended.map(|_| ())
    }

    async fn end_others(&self, visit: &Visit, live: &Live) -> Result<(), StoreAway> {
        let own = self.sessions_of(live).await?;
        let (mut ended, mut away) = (0, Ok(()));
        for other in own.iter().filter(|one| one.key != live.key) {
            match self.sessions.end(&other.key).await {
                Ok(gone) => ended += usize::from(gone.is_some()),
                Err(why) => away = Err(why),
            }
        }
        self.audit.record(&Entry {
            scope: Some(Scope::Others),
            sessions: away.map(|()| ended).ok(),
            ..ended_own(visit, live, away.is_ok())
        });
        away
    }
}

/// A line of the audit log about sessions that their person ended, still to be filled.
fn ended_own<'a>(visit: &'a Visit, live: &'a Live, done: bool) -> Entry<'a> {
    Entry {
        outcome: if done { Outcome::Done } else { Outcome::Failed },
        client: Some(visit.client),
        subject: Some(&live.session.identity.subject),
        user: live.session.identity.username.as_deref(),
        reason: Some(EndReason::Person.label()),
        ..Entry::new(Act::Ended, Actor::Person, &visit.id)
    }
}

fn no_page(visit: &Visit, refused: bool) -> Response<Bytes> {
    let (status, code, message) = if refused {
        let message = "nothing was ended: the form was too old, or was used before";
        (StatusCode::BAD_REQUEST, "form_refused", message)
    } else {
        let message = "open this address in a browser";
        (StatusCode::FORBIDDEN, "browser_needed", message)
    };
    pages::json(status, code, message, &visit.id)
}
