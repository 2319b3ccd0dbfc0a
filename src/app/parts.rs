//! What the house is built of: each part from the settings.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::StartError;
use crate::acme::Acme;
use crate::config::{self, AuditPlace, Current, Settings, SignIn, Upstream};
use crate::domain::random::Random;
use crate::domain::time::Clock;
use crate::issuer::{Issuer, KeyIdentity, SigningKey};
use crate::oidc::Provider;
use crate::ops::audit::{Audit, Destination};
use crate::ops::metrics::Metrics;
use crate::ops::trace::{Collector, Tracer};
use crate::proxy::backend::Backend;
use crate::proxy::drain::Drain;
use crate::proxy::headers::Reserved;
use crate::proxy::roll::Roll;
use crate::proxy::standing::Standings;
use crate::proxy::tunnel::Tunnels;
use crate::proxy::upstream::{Origin, TrustError};
use crate::session::shared::SharedSessions;
use crate::session::{KeyRing, People, Snapshot};

/// What tells one deployment from another: none has a use for the sessions of another one, which somebody
/// else may have vouched for.
pub(super) fn deployment(settings: &Settings) -> [&str; 3] {
    [
        settings.server_url.origin.as_str(),
        settings.oidc.issuer.as_str(),
        &settings.oidc.client_id,
    ]
}

/// The same in one text, for another process.
pub(super) fn deployment_name(settings: &Settings) -> String {
    format!("{:?}", deployment(settings))
}

/// Who is in which group of the policy: in the store of the replicas, or in a file.
pub(super) fn roll(
    settings: &Settings,
    current: &Current,
    shared: Option<&Arc<SharedSessions>>,
    keys: &Arc<KeyRing>,
    clock: &Arc<dyn Clock>,
) -> Arc<Roll> {
    let people = if let Some(shared) = shared {
        People::shared(Arc::clone(shared))
    } else {
        let path = settings.policy_sync.state_path.clone();
        People::at(path, Arc::clone(keys), &deployment(settings))
    };
    Arc::new(Roll::new(people, current.clone(), Arc::clone(clock)))
}

/// Where sessions wait while the process is stopped, where the operator wants that.
pub(super) fn snapshot(
    settings: &Settings,
    keys: &Arc<KeyRing>,
    random: &Arc<dyn Random>,
    deployment: &[&str],
) -> Option<Arc<Snapshot>> {
    let path = settings.session.snapshot_path.clone()?;
    let (keys, random) = (Arc::clone(keys), Arc::clone(random));
    let snapshot = Snapshot::new(path, keys, random).bound_to(deployment);
    Some(Arc::new(snapshot))
}

pub(super) fn provider(
    settings: &Settings,
    clock: &Arc<dyn Clock>,
    metrics: &Arc<Metrics>,
) -> Result<Arc<Provider>, StartError> {
    let redirect_uri = settings.server_url.join("/oidc/callback");
    let (clock, metrics) = (Arc::clone(clock), Arc::clone(metrics));
    Ok(Provider::new(&settings.oidc, redirect_uri, clock, metrics)?)
}

pub(super) fn headscale(settings: &Settings) -> Result<Arc<Origin>, TrustError> {
    let headscale = &settings.headscale;
    Origin::new(headscale.upstream.clone(), headscale.connect_timeout).map(Arc::new)
}

/// Where certificates are ordered, if they are.
pub(super) fn acme(
    settings: &Settings,
    metrics: &Arc<Metrics>,
    clock: &Arc<dyn Clock>,
    random: &Arc<dyn Random>,
) -> Result<Option<Arc<Acme>>, crate::acme::ClientError> {
    let Some(acme) = settings.acme.clone() else {
        return Ok(None);
    };
    let (clock, random) = (Arc::clone(clock), Arc::clone(random));
    let acme = Acme::new(acme, Arc::clone(metrics), clock, random)?;
    Ok(Some(Arc::new(acme)))
}

/// Who carries tunnels to `origin`.
pub(super) fn tunnels(
    settings: &Settings,
    origin: &Arc<Origin>,
    metrics: &Arc<Metrics>,
    drain: &Drain,
    reserved: &Arc<Reserved>,
) -> Tunnels {
    Tunnels {
        origin: Arc::clone(origin),
        reserved: Arc::clone(reserved),
        response_timeout: settings.headscale.response_timeout,
        authority: settings.server_url.authority.to_string(),
        secure: settings.server_url.secure,
        metrics: Arc::clone(metrics),
        cut: drain.cutting_tunnels(),
    }
}

pub(super) fn open_audit(
    settings: &config::Audit,
    clock: &Arc<dyn Clock>,
    metrics: &Arc<Metrics>,
) -> Result<Audit, StartError> {
    let (to, path) = match &settings.place {
        AuditPlace::Log => (Destination::Log, PathBuf::new()),
        AuditPlace::Stdout => (Destination::Stdout, PathBuf::from("stdout")),
        AuditPlace::File(path) => (Destination::File(path.clone()), path.clone()),
    };
    let (clock, metrics) = (Arc::clone(clock), Arc::clone(metrics));
    Audit::open(to, settings.user_names, clock, metrics)
        .map_err(|source| StartError::Audit { path, source })
}

/// Traces where the operator wants them.
pub(super) fn tracer(
    settings: &Settings,
    random: &Arc<dyn Random>,
    metrics: &Arc<Metrics>,
) -> Result<Tracer, StartError> {
    let Some(wanted) = &settings.tracing else {
        return Ok(Tracer::default());
    };
    let collector = Collector {
        url: wanted.url.clone(),
        headers: wanted.headers.clone(),
        ca_path: wanted.ca_path.clone(),
        service: wanted.service_name.clone(),
    };
    let (random, metrics) = (Arc::clone(random), Arc::clone(metrics));
    Ok(Tracer::new(collector, wanted.one_in, random, metrics)?)
}

pub(super) fn build_issuer(
    settings: &Settings,
    standing: Standings,
    clock: &Arc<dyn Clock>,
    random: &Arc<dyn Random>,
    accept_new_identity: bool,
) -> Result<Option<Issuer>, StartError> {
    let (SignIn::Issuer(issuer), Some(identity)) =
        (&settings.headscale.sign_in, key_identity(settings))
    else {
        return Ok(None);
    };
    let key = SigningKey::load_or_create(&issuer.key_path, &identity, accept_new_identity)?;
    let (clock, random) = (Arc::clone(clock), Arc::clone(random));
    let standing = Arc::new(standing);
    let issuer = Issuer::new(issuer, &settings.server_url, key, standing, clock, random)?;
    Ok(Some(issuer))
}

/// Whom the issuer's key speaks for, where there is an issuer.
pub(super) fn key_identity(settings: &Settings) -> Option<KeyIdentity> {
    match &settings.headscale.sign_in {
        SignIn::Issuer(issuer) => Some(KeyIdentity {
            issuer: issuer.url.clone(),
            provider_issuer: settings.oidc.issuer.clone(),
        }),
        SignIn::Own | SignIn::None => None,
    }
}

/// Headscale's listener for gRPC, made by `origin`.
pub(super) fn grpc(
    settings: &Settings,
    origin: impl Fn(&Upstream, Option<&str>, Duration) -> Result<Arc<Origin>, TrustError>,
) -> Result<Option<Arc<Origin>>, TrustError> {
    let timeout = settings.headscale.connect_timeout;
    let upstream = settings.headscale.grpc.as_ref();
    upstream
        .map(|upstream| origin(upstream, None, timeout))
        .transpose()
}

pub(super) fn new_origin(
    upstream: &Upstream,
    name: Option<&str>,
    timeout: Duration,
) -> Result<Arc<Origin>, TrustError> {
    Origin::verifying(upstream.clone(), name, timeout).map(Arc::new)
}

/// The upstreams of `access`, with what is behind their addresses made by `origin`. One that is among the
/// `known` stays what it is; rules with the same one share it.
pub(super) fn web_uis(
    settings: &Settings,
    origin: impl Fn(&Upstream, Option<&str>, Duration) -> Result<Arc<Origin>, TrustError>,
    known: &[&Arc<Backend>],
) -> Result<Vec<Option<Arc<Backend>>>, TrustError> {
    let timeout = settings.headscale.connect_timeout;
    let mut all: Vec<Option<Arc<Backend>>> = Vec::with_capacity(settings.access.len());
    for access in &settings.access {
        let Some(web_ui) = &access.upstream else {
            all.push(None);
            continue;
        };
        let mut here = all.iter().flatten();
        if let Some(same) = here.find(|backend| backend.settings() == web_ui) {
            let same = Arc::clone(same);
            all.push(Some(same));
            continue;
        }
        let new = Backend::new(web_ui, timeout, &origin)?;
        let same = known.iter().find(|backend| backend.is_same_as(&new));
        if same.is_none() {
            for before in known {
                new.remember(before);
            }
        }
        all.push(Some(
            same.map_or_else(|| Arc::new(new), |it| Arc::clone(it)),
        ));
    }
    Ok(all)
}
