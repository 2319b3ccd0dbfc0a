//! The operator's listener and socket: liveness, start-up, readiness with each check named, metrics; and the way to
//! the sessions.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderValue, Method, Request, Response, StatusCode};

use serde_json::json;

use super::desk::{Desk, offboarding};
use super::status::Status;
use super::tls::Tls;
use crate::config::Current;
use crate::domain::calendar::rfc3339;
use crate::domain::text::escaped_json;
use crate::headscale::{Health, Probe, Trust};
use crate::ops::health::{self, Checks, Outcome};
use crate::ops::metrics;
use crate::proxy::drain::Drain;
use crate::proxy::house::Houses;
use crate::proxy::private::Caller;
use crate::session::shared::SharedSessions;

/// Longest wait for readiness when metrics are asked for: collectors give up after ten seconds.
const SCRAPE: Duration = Duration::from_secs(3);

/// What an operator may ask about.
pub struct Admin {
    /// The Headscale behind us.
    pub headscale: Probe,
    /// Whether Headscale should have an `oidc:` block that works.
    pub trusts_an_issuer: bool,
    /// The store that replicas share, where they do.
    pub shared: Option<Arc<SharedSessions>>,
    /// The certificates of our listeners.
    pub tls: Arc<Tls>,
    /// Whether we are stopping.
    pub drain: Drain,
    /// Whether the public listeners are open.
    pub started: Arc<AtomicBool>,
    /// Where sessions are seen and ended.
    pub desk: Desk,
    /// Whether that is so over TCP too; there is no sign-in.
    pub settings: Current,
    /// The house as it is now.
    pub houses: Houses,
    /// What runs since when.
    pub status: Arc<Status>,
}

impl Admin {
    /// Answers one request.
    pub async fn answer(&self, request: &Request<Bytes>, caller: Caller) -> Response<Bytes> {
        let path = request.uri().path();
        let may_come_here = match caller {
            Caller::Local { .. } => true,
            Caller::Remote(_) => self.settings.now().admin.sessions,
        };
        if Desk::is_at(path) && may_come_here {
            return self.desk.answer(request, caller).await;
        }
        if Desk::is_about_offboarding(path) && may_come_here {
            let offboarding = Arc::clone(&self.houses.now().offboarding);
            return self.desk.offboarding(&offboarding, request, caller).await;
        }
        // Problems of a configuration may name people.
        if path == "/status" && may_come_here {
            return self.tell_status(request, caller).await;
        }
        if path == "/policy-sync" && may_come_here {
            return self.policy_sync(request, caller).await;
        }
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            return text(
                StatusCode::METHOD_NOT_ALLOWED,
                "text/plain",
                "GET only\n".to_owned(),
            );
        }
        match path {
            // Alive is whoever answers.
            "/healthz" | "/livez" => {
                text(StatusCode::OK, health::CONTENT_TYPE, Checks::new().body())
            }
            "/startupz" => {
                let checks = self.startup();
                text(checks.status(), health::CONTENT_TYPE, checks.body())
            }
            "/readyz" => {
                let checks = self.readiness().await;
                text(checks.status(), health::CONTENT_TYPE, checks.body())
            }
            "/metrics" => self.metrics().await,
            _ => text(
                StatusCode::NOT_FOUND,
                "text/plain",
                "not found\n".to_owned(),
            ),
        }
    }

    async fn tell_status(&self, request: &Request<Bytes>, caller: Caller) -> Response<Bytes> {
        if let Some(refusal) = self.desk.refusal(request, caller) {
            return refusal;
        }
        let ready = self.readiness().await;
        let (settings, house) = (self.settings.now(), self.houses.now());
        let (status, of_files) = (Arc::clone(&self.status), Arc::clone(&settings));
        let told = tokio::task::spawn_blocking(move || status.told(&of_files)).await;
        let mut told = told.unwrap_or_default();
        let people = house.offboarding.list().await;
        if let Some(told) = told.as_object_mut() {
            if let Ok(people) = people {
                told.insert("offboarding".into(), offboarding::counts(&people));
            }
            let ready = serde_json::from_str(&ready.body()).unwrap_or_default();
            told.insert("ready".into(), ready);
            told.insert("sessions".into(), house.sessions.len().into());
            told.insert("tunnels_open".into(), house.metrics.tunnels_open().into());
            told.insert("connections_open".into(), self.drain.open().into());
            let issuer = settings.oidc.issuer.as_str();
            let known = house.provider.snapshot().is_some();
            told.insert("provider".into(), json!({"issuer": issuer, "known": known}));
            let upstream = &settings.headscale.upstream;
            let scheme = if upstream.tls { "https" } else { "http" };
            let url = format!("{scheme}://{}", upstream.authority());
            let version = house.versions.current().to_string();
            told.insert("headscale".into(), json!({"url": url, "version": version}));
            if settings.policy_sync.is_on() {
                let last = house.policy_sync.last();
                let tried = last.tried.as_ref();
                let last = json!({
                    "dry_run": settings.policy_sync.dry_run,
                    "last_success": last.good.map(rfc3339),
                    "last_attempt": tried.map(|(at, _)| rfc3339(*at)),
                    "last": tried.map(|(_, report)| report.json(false)),
                });
                told.insert("policy_sync".into(), last);
            }
            let web_uis = house.web_uis.iter().zip(&house.settings.access);
            let web_uis = web_uis.filter_map(|(web_ui, rule)| {
                let web_ui = web_ui.as_ref()?;
                let checked = web_ui.settings().health.is_some();
                let addresses: Vec<serde_json::Value> = web_ui
                    .health()
                    .map(|(address, healthy)| json!({"address": address, "healthy": healthy}))
                    .collect();
                Some(json!({"path": rule.path, "checked": checked, "addresses": addresses}))
            });
            told.insert("web_uis".into(), web_uis.collect());
        }
        text(
            StatusCode::OK,
            "application/json",
            format!("{}\n", escaped_json(&told.to_string())),
        )
    }

    /// What the policy of the tailnet should be; `POST` writes it.
    async fn policy_sync(&self, request: &Request<Bytes>, caller: Caller) -> Response<Bytes> {
        if let Some(refusal) = self.desk.foreign(request, caller) {
            return refusal;
        }
        let house = self.houses.now();
        let report = match *request.method() {
            Method::GET | Method::HEAD => house.policy_sync.show(&house).await,
            Method::POST => house.policy_sync.write(&house).await,
            _ => {
                let methods = "GET or POST only\n".to_owned();
                return text(StatusCode::METHOD_NOT_ALLOWED, "text/plain", methods);
            }
        };
        text(
            StatusCode::OK,
            "application/json",
            format!("{}\n", escaped_json(&report.json(true).to_string())),
        )
    }

    /// Everything that is counted, with how ready we are now: as far as that is known in time.
    async fn metrics(&self) -> Response<Bytes> {
        let house = self.houses.now();
        house.metrics.upstreams_are(house.upstreams_health());
        drop(house);
        match tokio::time::timeout(SCRAPE, self.readiness()).await {
            Ok(checks) => {
                let ready = checks.status() == StatusCode::OK;
                self.houses.now().metrics.checked(ready, checks.passing());
            }
            // Headscale is the only one that is asked.
            Err(_) => self
                .houses
                .now()
                .metrics
                .checked(false, [("headscale", false)].into_iter()),
        }
        match self.houses.now().metrics.render() {
            Ok(body) => text(StatusCode::OK, metrics::CONTENT_TYPE, body),
            Err(why) => {
                let body = format!("metrics cannot be rendered: {why}\n");
                text(StatusCode::INTERNAL_SERVER_ERROR, "text/plain", body)
            }
        }
    }

    /// Whether the start is over, whatever came of it later.
    fn startup(&self) -> Checks {
        Checks::new().with("startup", self.started())
    }

    fn started(&self) -> Outcome {
        if self.started.load(Ordering::Acquire) {
            Outcome::Pass
        } else {
            fail("the public listeners are not open yet")
        }
    }

    async fn readiness(&self) -> Checks {
        let shutdown = if *self.drain.leaving().borrow() {
            fail("stopping")
        } else {
            Outcome::Pass
        };
        let provider = match self.houses.now().provider.snapshot() {
            Some(_) => Outcome::Pass,
            None => fail("its discovery document was not fetched yet"),
        };
        let headscale = match self.headscale.health().await {
            Ok(Health::Pass) => Outcome::Pass,
            Ok(Health::Fail(status)) => fail(format!("its /health answers {status}")),
            Err(why) => fail(format!("cannot be reached: {why}")),
        };
        let checks = Checks::new()
            .with("startup", self.started())
            .with("shutdown", shutdown)
            .with("provider", provider)
            .with("headscale", headscale);
        let checks = match &self.shared {
            None => checks,
            Some(shared) if shared.is_connected() => checks.with("session_store", Outcome::Pass),
            // Sessions known here and tunnels go on: elsewhere they would fare no better.
            Some(_) => {
                let what = "does not answer: nobody new can sign in".to_owned();
                checks.with("session_store", Outcome::Warn(what))
            }
        };
        let checks = match self.tls.health() {
            None => checks,
            Some(certificates) => checks.with("certificates", certificates),
        };
        let checks = match self.tls.acme() {
            None => checks,
            Some(acme) => checks.with("acme", acme.health()),
        };
        if !self.trusts_an_issuer {
            return checks;
        }
        let trust = match self.headscale.trust().await {
            Ok(Trust::Trusts) => Outcome::Pass,
            Ok(Trust::FellBack) => fail(
                "headscale has no oidc block, or could not reach its issuer when it started: \
                 restart headscale",
            ),
            Ok(Trust::Unclear(status)) => Outcome::Warn(format!("its callback answers {status}")),
            Err(why) => fail(format!("cannot be reached: {why}")),
        };
        checks.with("headscale_oidc", trust)
    }
}

fn fail(why: impl Into<String>) -> Outcome {
    Outcome::Fail(why.into())
}

fn text(status: StatusCode, kind: &'static str, body: String) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}
