//! The rooms by other settings, while people are in them: everything that can fail first, then all of it in
//! one go.

use std::sync::Arc;

use super::parts::{grpc, tunnels, web_uis};
use crate::config::{Current, Settings, SignIn, Upstream};
use crate::headscale::Probe;
use crate::issuer::Issuer;
use crate::oidc::Provider;
use crate::proxy::accept::Front;
use crate::proxy::backend::Backend;
use crate::proxy::drain::Drain;
use crate::proxy::headers::Reserved;
use crate::proxy::house::{House, Houses};
use crate::proxy::recheck::Terms;
use crate::proxy::upstream::Origin;

/// What changes with the settings.
#[derive(Clone)]
pub(super) struct Rooms {
    pub(super) current: Current,
    pub(super) houses: Houses,
    pub(super) front: Arc<Front>,
    pub(super) issuer: Option<Arc<Issuer>>,
    pub(super) probe: Probe,
    pub(super) drain: Drain,
}

/// What could not be had beforehand.
struct Prepared {
    provider: Arc<Provider>,
    headscale: Arc<Origin>,
    web_uis: Vec<Option<Arc<Backend>>>,
    grpc: Option<Arc<Origin>>,
    probe: Probe,
}

impl Rooms {
    /// Goes on by `settings`, in which only what may change differs from the present ones. `changed` are the
    /// keys that do, those of files with another content among them.
    ///
    /// # Errors
    /// A sentence; nothing has changed then.
    pub(super) fn refurbish(
        &self,
        settings: &Arc<Settings>,
        changed: &[String],
    ) -> Result<(), String> {
        let before = self.houses.now();
        let prepared = prepare(&before, settings, changed)?;
        // From the strictest on: whoever decides meanwhile decides by the new rules, or by both.
        self.current.replace(Arc::clone(settings));
        before.rechecks.change(Terms {
            recheck: settings.session.recheck,
            rules: settings.rules.clone(),
            provider: Arc::clone(&prepared.provider),
        });
        if let (Some(issuer), SignIn::Issuer(terms)) = (&self.issuer, &settings.headscale.sign_in) {
            issuer.change(&terms.client_secret, terms.node_expiry);
        }
        before.rates.change(&settings.limits);
        self.front.change(&settings.limits);
        self.probe.take_over(&prepared.probe);
        let key = &settings.headscale.api_key;
        if changed
            .iter()
            .any(|key| matches!(key.as_str(), "headscale.api_key" | "headscale.api_key_path"))
        {
            before.api.key().replace(key.clone());
        }
        if changed.iter().any(|key| key == "oidc.ca_path") {
            ask_again(Arc::clone(&prepared.provider));
        }
        if before.settings.rules != settings.rules {
            tokio::spawn(told_of_new_rules(
                House::clone(&before),
                Arc::clone(settings),
            ));
        }
        let reserved = Arc::new(Reserved::of(settings));
        self.houses.replace(House {
            settings: Arc::clone(settings),
            tunnels: Arc::new(tunnels(
                settings,
                &prepared.headscale,
                &before.metrics,
                &self.drain,
                &reserved,
            )),
            reserved,
            provider: prepared.provider,
            headscale: prepared.headscale,
            web_uis: prepared.web_uis,
            grpc: prepared.grpc,
            ..House::clone(&before)
        });
        Ok(())
    }
}

/// What the provider said under certificates that are not trusted any more is asked for again. Until it
/// answers, the old word counts, as ever.
fn ask_again(provider: Arc<Provider>) {
    tokio::spawn(async move {
        if let Err(why) = provider.refresh().await {
            tracing::warn!(%why, "the provider cannot be reached by the new oidc.ca_path");
        }
    });
}

/// Whoever has a session and may not pass by new rules is in no group of the policy any more. Their sessions are
/// refused when they are used.
async fn told_of_new_rules(house: House, settings: Arc<Settings>) {
    let sessions = match house.sessions.every().await {
        Ok(sessions) => sessions,
        Err(why) => {
            tracing::warn!(reason = %why, "the policy is told of new rules at the next re-checks only");
            return;
        }
    };
    for live in sessions {
        let identity = &live.session.identity;
        if settings.rules.decide(identity).is_err() {
            let since = Some(live.session.checked_at);
            house.roll.gone(&identity.subject, since).await;
        }
    }
}

fn prepare(before: &House, settings: &Settings, changed: &[String]) -> Result<Prepared, String> {
    let any = |sections: &[&str]| {
        let of = |key: &String| sections.iter().any(|section| key.starts_with(section));
        changed.iter().any(of)
    };
    // It is told which claims to keep.
    let kept = before.settings.oidc.kept_claims == settings.oidc.kept_claims;
    let provider = if any(&["oidc."]) || !kept {
        let provider = before.provider.with(&settings.oidc);
        provider.map_err(|why| format!("oidc.ca_path: {why}"))?
    } else {
        Arc::clone(&before.provider)
    };
    // An upstream that stays the same keeps what is known of it.
    let backends: Vec<&Arc<Backend>> = before.web_uis.iter().flatten().collect();
    let known: Vec<&Arc<Origin>> = backends
        .iter()
        .flat_map(|backend| backend.origins())
        .chain([&before.headscale])
        .chain(&before.grpc)
        .collect();
    let origin = |upstream: &Upstream, name: Option<&str>, timeout| {
        let same = known
            .iter()
            .find(|origin| origin.is_for(upstream, name, timeout));
        if let Some(same) = same
            && upstream.ca_path.is_none()
        {
            return Ok(Arc::clone(same));
        }
        // The bundle may hold others by now.
        let new = Origin::verifying(upstream.clone(), name, timeout)?;
        let same = same.filter(|same| same.trusts_like(&new));
        Ok(same.map_or_else(|| Arc::new(new), |same| Arc::clone(same)))
    };
    let told = |why: crate::proxy::upstream::TrustError| why.to_string();
    let timeout = settings.headscale.connect_timeout;
    Ok(Prepared {
        provider,
        headscale: origin(&settings.headscale.upstream, None, timeout).map_err(told)?,
        web_uis: web_uis(settings, origin, &backends).map_err(told)?,
        grpc: grpc(settings, origin).map_err(told)?,
        probe: Probe::new(&settings.headscale)
            .map_err(|why| format!("headscale.ca_path: {why}"))?,
    })
}
