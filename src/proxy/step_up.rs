//! More than a session: rules and SSH checks that ask for a recent sign-in, or for one done in a certain
//! way. What a session lacks is asked for at the provider, and its answer is judged in `sign_in`; a
//! provider that does not do it gets no second chance by itself, so that nothing goes round and round.
//!
//! A rule is asked when a request begins: what is open goes on when the sign-in grows old meanwhile.

use bytes::Bytes;
use http::Response;
use url::Url;

use super::house::{House, see_other};
use super::ruling;
use super::visit::Visit;
use crate::config::{Access, Settings, SignIn};
use crate::domain::assurance::{Assurance, Missing};
use crate::domain::door::{Asked, Door, Guarded, decide};
use crate::domain::login::AttemptKind;
use crate::domain::methods::Methods;
use crate::domain::path::Target;
use crate::domain::return_to::ReturnTo;
use crate::domain::session::Session;
use crate::oidc::{AuthorizeOptions, SignedIn};
use crate::ops::metrics::CallbackFailure;
use crate::pages;
use crate::session::{Live, SessionKey};

impl House {
    /// Whether the sign-in of `live` has what the path of `visit` asks for.
    ///
    /// # Errors
    /// Else the answer: a navigation is sent to the provider and comes back to the same page, a form that
    /// was sent hears that it was not passed on, and everybody else gets a 401.
    pub(super) fn assured(&self, visit: &Visit, live: &Live) -> Result<(), Response<Bytes>> {
        let is_ssh_check = matches!(visit.door, Door::Guarded(Guarded::SshCheck(_)));
        let asks = (visit.head.method.as_str(), &visit.head.target);
        let asked = self.asked_of(visit, is_ssh_check);
        self.enough(visit, live, asked, asks, ReturnTo::root())
    }

    /// Whether the sign-in of `live` has what another request is asked for, one that `visit` does by itself or
    /// is made from: `method` at `target`. Who cannot come back to the page of `visit` comes to `home`.
    ///
    /// # Errors
    /// As [`House::assured`].
    pub(super) fn assured_at(
        &self,
        visit: &Visit,
        live: &Live,
        (method, target): (&str, &Target),
        home: ReturnTo,
    ) -> Result<(), Response<Bytes>> {
        let asked = asked_at(&self.settings, method, target, false);
        self.enough(visit, live, asked, (method, target), home)
    }

    fn enough(
        &self,
        visit: &Visit,
        live: &Live,
        asked: Assurance,
        asks: (&str, &Target),
        home: ReturnTo,
    ) -> Result<(), Response<Bytes>> {
        let missing = asked.missing(&live.session, self.clock.now());
        if missing.is_nothing() {
            return Ok(());
        }
        tracing::info!(
            request_id = visit.id, subject = %live.session.identity.subject, ?missing,
            "a step-up is needed"
        );
        // The API answers programs, and never redirects.
        let is_api = matches!(visit.door, Door::Api(_));
        if !is_api && visit.is_navigation() {
            let back = ReturnTo::parse(visit.head.target.as_str()).unwrap_or(home);
            return Err(self.begin_step_up(visit, live, asked, missing, back));
        }
        let begin = self.step_up_address(visit, asks, &home);
        if !is_api && !visit.is_safe() && visit.wants_page() {
            return Err(self.page(visit, |context| pages::nothing_sent(context, &begin)));
        }
        let asked = shown(&asked, &begin);
        let readers = self.readers(visit);
        Err(pages::step_up_needed(&asked, readers, &visit.id))
    }

    fn asked_of(&self, visit: &Visit, is_ssh_check: bool) -> Assurance {
        let (method, target) = (&visit.head.method, &visit.head.target);
        asked_at(&self.settings, method, target, is_ssh_check)
    }

    /// `/.headwarden/step-up`: a link of ours, or of a web UI that got a 401. `for` names the page that
    /// asks, `method` what was asked of it (a GET where it is absent), `back` where the person goes
    /// afterwards.
    pub(super) async fn step_up(&self, visit: &Visit) -> Response<Bytes> {
        if visit.head.method != "GET" {
            return self.method_not_allowed(visit, "GET");
        }
        let target = &visit.head.target;
        let one = |name: &str| match target.query_values(name).as_slice() {
            [value] => Some(value.clone()),
            _ => None,
        };
        let page = one("for").and_then(|page| Target::parse(page.as_bytes()).ok());
        let back = one("back").and_then(|back| ReturnTo::parse(&back));
        let back = back.unwrap_or_else(ReturnTo::root);
        let live = match self.session(visit).await {
            Ok(Some(live)) => live,
            Ok(None) => return self.ask_to_sign_in(visit),
            Err(away) => return away,
        };
        if let Err(refusal) = self.admit(visit, &live) {
            return refusal;
        }
        let method = one("method").unwrap_or_else(|| "GET".to_owned());
        let asked = page.map(|page| asked_at(&self.settings, &method, &page, is_ssh_check(&page)));
        let asked = asked.unwrap_or_default();
        let missing = asked.missing(&live.session, self.clock.now());
        if missing.is_nothing() {
            return see_other(back.as_str());
        }
        if !visit.is_navigation() {
            let asked = shown(&asked, target.as_str());
            return pages::step_up_needed(&asked, self.readers(visit), &visit.id);
        }
        self.begin_step_up(visit, &live, asked, missing, back)
    }

    /// Of a step-up: its session is alive in this browser, and the provider vouches for the same person
    /// (who was asked afresh, where that was needed).
    ///
    /// # Errors
    /// Else the page that says so; the session is as it was.
    pub(super) async fn same_person(
        &self,
        visit: &Visit,
        kind: &AttemptKind,
        person: &SignedIn,
    ) -> Result<(), Response<Bytes>> {
        let AttemptKind::StepUp {
            session,
            subject,
            since,
            afresh,
            asked: _,
        } = kind
        else {
            return Ok(());
        };
        let live = self.session(visit).await?;
        let alive = live.is_some_and(|live| SessionKey::parse(session) == Ok(live.key));
        let proven = person.check_step_up(subject, afresh.then_some(*since));
        let why = match proven {
            Ok(()) if alive => return Ok(()),
            Ok(()) => "its session is over".to_owned(),
            Err(why) => why.to_string(),
        };
        self.failed(visit, CallbackFailure::StepUp, why);
        Err(self.page(visit, pages::step_up_refused))
    }

    /// Of a step-up: the new sign-in, which would become `session`, has what was asked for.
    ///
    /// # Errors
    /// Else the page that says so, which leads nowhere by itself: a provider that ignores what it was
    /// asked would be asked again and again. The session is as it was.
    pub(super) fn stepped_up(
        &self,
        visit: &Visit,
        kind: &AttemptKind,
        session: &Session,
    ) -> Result<(), Response<Bytes>> {
        let AttemptKind::StepUp { asked, .. } = kind else {
            return Ok(());
        };
        let missing = asked.missing(session, self.clock.now());
        if missing.is_nothing() {
            return Ok(());
        }
        let (acr, amr) = (&session.acr, &session.amr);
        tracing::warn!(
            request_id = visit.id,
            ?missing,
            ?acr,
            ?amr,
            "the provider did not do what a step-up asked for"
        );
        self.failed(
            visit,
            CallbackFailure::StepUp,
            "the sign-in is not what was asked for",
        );
        Err(self.page(visit, pages::step_up_not_done))
    }

    /// Whether the sign-in of `live` is of the kind that is asked for where `visit` leads, however long ago
    /// it was.
    pub(super) fn is_assured_but_for_age(&self, visit: &Visit, live: &Live) -> bool {
        let is_ssh_check = matches!(visit.door, Door::Guarded(Guarded::SshCheck(_)));
        self.is_of_kind(live, self.asked_of(visit, is_ssh_check))
    }

    /// The same for a page that is got.
    pub(super) fn is_assured_at_but_for_age(&self, page: &Target, live: &Live) -> bool {
        self.is_of_kind(live, asked_at(&self.settings, "GET", page, false))
    }

    fn is_of_kind(&self, live: &Live, asked: Assurance) -> bool {
        let asked = Assurance {
            max_age: None,
            ..asked
        };
        asked.missing(&live.session, self.clock.now()).is_nothing()
    }

    fn begin_step_up(
        &self,
        visit: &Visit,
        live: &Live,
        asked: Assurance,
        missing: Missing,
        back: ReturnTo,
    ) -> Response<Bytes> {
        let options = AuthorizeOptions {
            prompt_login: missing.needs_a_prompt(),
            max_age: asked.max_age.filter(|_| missing.age),
            acr_values: asked.acr_values().into_iter().map(str::to_owned).collect(),
            ..AuthorizeOptions::default()
        };
        let kind = AttemptKind::StepUp {
            session: live.key.to_hex(),
            subject: live.session.identity.subject.as_str().to_owned(),
            since: self.clock.now(),
            afresh: missing.age,
            asked,
        };
        self.begin(visit, back, kind, &options)
    }

    /// Where a person does what a request needs, and comes back to the page that `visit` was made from, as far
    /// as that is known and ours, or to `home`.
    fn step_up_address(
        &self,
        visit: &Visit,
        (method, target): (&str, &Target),
        home: &ReturnTo,
    ) -> String {
        let back = visit.only("referer").and_then(|from| self.own_page(from));
        let back = back.or_else(|| (*home != ReturnTo::root()).then(|| home.clone()));
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        query.append_pair("for", target.path());
        let by_method = |rule: &Access| rule.methods != Methods::ALL;
        if !matches!(method, "GET" | "HEAD") && self.settings.access.iter().any(by_method) {
            query.append_pair("method", method);
        }
        if let Some(back) = &back {
            query.append_pair("back", back.as_str());
        }
        format!("{}?{}", pages::STEP_UP, query.finish())
    }

    /// The path of an address that is ours.
    fn own_page(&self, address: &str) -> Option<ReturnTo> {
        let url = Url::parse(address).ok()?;
        if url.origin().ascii_serialization() != self.settings.server_url.origin {
            return None;
        }
        ReturnTo::parse(&url[url::Position::BeforePath..url::Position::AfterQuery])
    }
}

/// What the rules for a path ask of a sign-in, and for an SSH check what the issuer asks of it: all of
/// it together. Of the rules those count whose groups would be asked for ([`ruling::walk`]).
pub(super) fn asked_at(
    settings: &Settings,
    method: &str,
    target: &Target,
    is_ssh_check: bool,
) -> Assurance {
    let rules = &settings.access;
    let mut asked = Assurance::default();
    if rules.iter().any(|access| !access.assurance.asks_nothing()) {
        let Ok(_) = ruling::walk(settings, method, target.path(), |_, rule| {
            asked = std::mem::take(&mut asked).and(&rule.assurance);
            Ok::<(), std::convert::Infallible>(())
        });
    }
    match &settings.headscale.sign_in {
        SignIn::Issuer(issuer) if is_ssh_check => asked.and(&issuer.ssh),
        SignIn::Issuer(_) | SignIn::Own | SignIn::None => asked,
    }
}

fn is_ssh_check(target: &Target) -> bool {
    let asked = Asked {
        method: "GET",
        target,
        upgrade: None,
    };
    matches!(decide(&asked, &[]), Door::Guarded(Guarded::SshCheck(_)))
}

/// What is asked for, as programs are told.
fn shown<'a>(asked: &'a Assurance, begin: &'a str) -> pages::StepUp<'a> {
    pages::StepUp {
        max_age: asked.max_age,
        acr: asked.acr_values(),
        amr: asked.amr_values(),
        begin,
    }
}
