//! The composition root: builds every room from the settings, binds the sockets, and ends the
//! process in good order. Knows everything, decides nothing.

mod bind;
pub mod descriptors;
mod desk;
mod edge;
mod inherited;
mod opening;
mod parts;
mod probes;
mod refurbish;
mod reload;
mod replicas;
mod restart;
mod socket;
mod start_error;
mod status;
mod succession;
mod tls;

pub use inherited::Inherited;
pub use reload::Configuration;
pub use start_error::StartError;
pub use succession::{Forebear, Program};

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parts::{
    acme, build_issuer, deployment, deployment_name, grpc, headscale, key_identity, new_origin,
    open_audit, provider, roll, snapshot, tracer, tunnels, web_uis,
};
use pingora::proxy::http_proxy;
use pingora::server::configuration::ServerConf;
use status::Status;
use succession::Estate;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::config::{Current, Seen, Settings};
use crate::domain::random::Random;
use crate::domain::time::Clock;
use crate::headscale::{Api, ApiKey, Probe, Roster, VersionWatch};
use crate::issuer::{Issuer, Shelf};
use crate::ops::clock::SystemClock;
use crate::ops::entropy::{InBulk, SystemRandom};
use crate::ops::metrics::Metrics;
use crate::ops::notify;
use crate::ops::rate::RateLimiter;
use crate::proxy::accept::Front;
use crate::proxy::assertion::Assertions;
use crate::proxy::drain::Drain;
use crate::proxy::headers::Reserved;
use crate::proxy::house::{House, Houses};
use crate::proxy::offboarding::Offboarding;
use crate::proxy::phases::Phases;
use crate::proxy::policy_sync::PolicySync;
use crate::proxy::rates::{self, Rates};
use crate::proxy::recheck::Rechecks;
use crate::proxy::shelf::SessionShelf;
use crate::proxy::slots::Slots;
use crate::proxy::standing::Standings;
use crate::proxy::turned_away::TurnedAway;
use crate::session::{
    Attempts, Cookies, KeyRing, Rotation, Sessions, SignOuts, SigningKeys, Snapshot, keyring,
};

/// How long the audit log's last lines may take to be written, and the last traces to be sent.
const LAST_LINES: Duration = Duration::from_secs(3);

/// The rooms, built, and not yet open.
pub struct App {
    /// Those of the start, by which the process is set up.
    settings: Arc<Settings>,
    /// Those that hold now.
    current: Current,
    houses: Houses,
    front: Arc<Front>,
    issuer: Option<Arc<Issuer>>,
    replicas: Option<replicas::Replicas>,
    probe: Probe,
    versions: Arc<VersionWatch>,
    random: Arc<dyn Random>,
    /// How it is, for an operator who asks.
    status: Arc<Status>,
    /// Where its configuration comes from, if it is to be read again.
    configuration: Option<Configuration>,
    /// The certificates of our listeners.
    tls: Arc<tls::Tls>,
    /// Where sessions wait while the process is stopped.
    snapshot: Option<Arc<Snapshot>>,
    drain: Drain,
    edge: edge::Edge,
}

/// Puts a new key in front of the key ring; a running process uses it from its next start on.
///
/// # Errors
/// [`StartError::KeyRing`]; the ring is as it was then.
pub fn rotate_keys(settings: &Settings, forget_old: bool) -> Result<Rotation, StartError> {
    let random = SystemRandom::new();
    Ok(keyring::rotate(&settings.keys_path, &random, forget_old)?)
}

/// Lets sessions that nobody asks for end at their limits: those that something open hangs on within a
/// second, the rest, which hold memory and nothing else, within a minute.
async fn settle(sessions: Arc<Sessions>) {
    let mut seconds = tokio::time::interval(Duration::from_secs(1));
    for second in 0_u64.. {
        seconds.tick().await;
        sessions.hold_followed_to_limits();
        if second.is_multiple_of(60) {
            sessions.len();
        }
    }
}

impl App {
    /// Builds every room. No network; reads and creates key files.
    ///
    /// # Errors
    /// See [`StartError`].
    pub fn build(settings: Settings, accept_new_identity: bool) -> Result<Self, StartError> {
        let (clock, random) = (Arc::new(SystemClock), Arc::new(SystemRandom::new()));
        Self::build_with(settings, accept_new_identity, clock, random)
    }

    /// The same with another clock and other randomness than the machine's: every room takes them
    /// from here.
    ///
    /// # Errors
    /// See [`StartError`].
    #[expect(clippy::too_many_lines, reason = "a list of rooms, each built once")]
    pub fn build_with(
        settings: Settings,
        accept_new_identity: bool,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
    ) -> Result<Self, StartError> {
        let settings = Arc::new(settings);
        let current = Current::new(Arc::clone(&settings));
        let metrics = Arc::new(Metrics::new().map_err(|why| StartError::Metrics(why.to_string()))?);
        let audit = open_audit(&settings.audit, &clock, &metrics)?;
        // A certificate that cannot be used ends the process at once, as a port in use does.
        let acme = acme(&settings, &metrics, &clock, &random)?;
        let tls = Arc::new(tls::Tls::load(&settings, acme, &metrics, &clock)?);
        let cookies = Cookies::new(settings.server_url.secure);
        let keyring = Arc::new(KeyRing::load_or_create(
            &settings.keys_path,
            Arc::clone(&random),
        )?);
        let shared = replicas::shared(&settings, &keyring, &metrics, &clock, &random)?;
        let sessions = Arc::new(replicas::sessions(
            &settings,
            shared.as_ref(),
            &clock,
            &random,
        ));
        let provider = provider(&settings, &clock, &metrics)?;
        let offboarding = Arc::new(Offboarding::new(
            replicas::journal(&settings, shared.as_ref()),
            current.clone(),
            Arc::clone(&metrics),
            audit.clone(),
            Arc::clone(&clock),
        ));
        let roll = roll(&settings, &current, shared.as_ref(), &keyring, &clock);
        let rechecks = Rechecks::new(
            settings.session.recheck,
            settings.rules.clone(),
            Arc::clone(&provider),
            Arc::clone(&sessions),
            Arc::clone(&metrics),
            audit.clone(),
            Arc::clone(&clock),
        );
        let rechecks = rechecks.telling_departures(Arc::clone(&offboarding));
        let rechecks = Arc::new(rechecks.telling(Arc::clone(&roll)));
        let standing = Standings {
            sessions: Arc::clone(&sessions),
            rechecks: Arc::clone(&rechecks),
            settings: current.clone(),
        };
        let issuer = build_issuer(&settings, standing, &clock, &random, accept_new_identity)?
            .map(|issuer| match &shared {
                Some(shared) => {
                    let shelf: Arc<dyn Shelf> = Arc::new(SessionShelf(Arc::clone(shared)));
                    issuer.sharing(&shelf)
                }
                None => issuer,
            })
            .map(Arc::new);
        let probe = Probe::new(&settings.headscale)?;
        let versions = Arc::new(VersionWatch::new(probe.clone()));
        let api_key = ApiKey::new(settings.headscale.api_key.clone());
        let api = Api::new(probe.clone(), api_key);
        let roster = Arc::new(Roster::new(api.clone(), Arc::clone(&clock)));
        let origin = headscale(&settings)?;
        // What is sealed here is of no use to another deployment with the same keys.
        let deployment = deployment(&settings);
        let snapshot = snapshot(&settings, &keyring, &random, &deployment);
        let drain = Drain::default();
        let status = Arc::new(Status::new(clock.now(), None, Seen::default()));
        metrics.config_loaded(clock.now());
        let web_uis = web_uis(&settings, new_origin, &[])?;
        let grpc = grpc(&settings, new_origin)?;
        let tracer = tracer(&settings, &random, &metrics)?;
        let reserved = Arc::new(Reserved::of(&settings));
        let signing = SigningKeys::of(&keyring)?;
        let us = settings.server_url.origin.clone();
        let assertions = Assertions::new(signing, us, Arc::<dyn Clock>::clone(&clock));
        let policy_sync = PolicySync::new(Arc::clone(&roll), shared.clone());
        let houses = Houses::new(|succession| House {
            succession,
            roll,
            policy_sync: Arc::new(policy_sync),
            web_uis,
            grpc,
            tunnels: Arc::new(tunnels(&settings, &origin, &metrics, &drain, &reserved)),
            assertions: Arc::new(assertions),
            reserved,
            provider,
            sessions,
            rechecks,
            offboarding,
            attempts: Arc::new(Attempts::new(cookies, Arc::clone(&keyring)).bound_to(&deployment)),
            used: Arc::new(replicas::used_states(shared.as_ref())),
            used_logouts: Arc::new(replicas::used_logouts(shared.as_ref())),
            departures: Arc::new(replicas::departures(shared.as_ref())),
            sign_outs: Arc::new(SignOuts::new(cookies, keyring, &deployment)),
            issuer: issuer.clone(),
            versions: Arc::clone(&versions),
            api,
            roster,
            cookies,
            headscale: origin,
            rates: Arc::new(Rates::new(&settings.limits)),
            audit,
            tracer,
            metrics,
            clock,
            random: Arc::clone(&random),
            settings: Arc::clone(&settings),
        });
        let front = Arc::new(front(&houses, &tls, &drain));
        let replicas = shared.map(|shared| replicas::Replicas {
            shared,
            issuer: issuer.clone(),
            identity: key_identity(&settings),
            accept_new_identity,
        });
        Ok(Self {
            settings,
            current,
            houses,
            front,
            issuer,
            replicas,
            probe,
            versions,
            random,
            status,
            configuration: None,
            tls,
            snapshot,
            drain,
            edge: edge::Edge::default(),
        })
    }

    /// The same, with a configuration that is read again while it serves.
    #[must_use]
    pub fn reading_again(self, configuration: Configuration) -> Self {
        let path = configuration.source.path().to_owned();
        let seen = configuration.seen.clone();
        let now = self.houses.now().clock.now();
        Self {
            status: Arc::new(Status::new(now, Some(path), seen)),
            configuration: Some(configuration),
            ..self
        }
    }

    /// The certificates of our listeners, for whoever says that their files are complete.
    pub fn certificates(&self) -> Arc<tls::Tls> {
        Arc::clone(&self.tls)
    }

    /// Opens the house and serves until `stop` is ready; a second `stop` cuts what is still open.
    ///
    /// The issuer's private listener opens first and closes last; then the operator's; the public
    /// ones open when the provider is known, or at once where the operator said so.
    ///
    /// # Errors
    /// See [`StartError`].
    pub async fn serve<S, F>(mut self, mut stop: S, ready: impl FnOnce()) -> Result<(), StartError>
    where
        S: FnMut() -> F,
        F: Future<Output = ()>,
    {
        let mut inherited = std::mem::take(&mut self.edge.inherited);
        let sockets = bind::Sockets::reserve(&self.settings, &mut inherited)?;
        inherited.check_used()?;
        let mut forebear = self.edge.forebear.take();
        let local = self.admin_socket(forebear.as_mut())?;
        let mut upgrades = succession::Upgrades::listen()?;
        let closing = self.closing(forebear.is_some());
        let mut estate = Estate::default();
        let mut tasks = JoinSet::new();
        if let Some(replicas) = &self.replicas {
            replicas.join(&mut tasks).await?;
        }
        self.open_private(&mut tasks, sockets.issuer, &closing, &mut estate)?;
        let complete = Arc::new(AtomicBool::new(
            self.snapshot.is_none() && forebear.is_none(),
        ));
        let admin = (
            sockets.admin,
            local.as_ref().map(|(local, _)| Arc::clone(local)),
        );
        self.open_admin(
            &mut tasks,
            admin,
            Arc::clone(&complete),
            &closing,
            &mut estate,
        )?;
        if let (Some((listener, name)), Some(socket)) = (&local, &self.settings.admin.socket) {
            estate.add_admin(socket.path.clone(), listener, Arc::clone(name));
        }
        if let Some(configuration) = self.configuration.take() {
            tasks.spawn(self.reloader(configuration).run());
        }
        self.look_after_rooms(&mut tasks, &closing);
        let watchdog = tasks.spawn(notify::watchdog(self.edge.pulse.clone()));
        let house = self.houses.now();
        if self.settings.oidc.only_start_if_available {
            let waited = self.settings.oidc.start_timeout;
            tokio::select! {
                available = house.provider.wait_until_available(waited, self.random.as_ref()) => {
                    available.map_err(|source| StartError::Provider { waited, source })?;
                }
                () = stop() => return Ok(()),
            }
        }
        drop(house);
        self.keep_provider_fresh(&mut tasks);
        let public = self.listen_publicly(sockets.public, &mut estate)?;
        // From here on nothing keeps the process from serving: what is taken out now is not lost.
        let link = if let Some(forebear) = forebear {
            Some(self.take_over(forebear).await?)
        } else {
            self.take_sessions_back().await;
            None
        };
        complete.store(true, Ordering::Release);
        for (listener, entrance) in public {
            let doorkeeper = self.drain.doorkeeper(&self.edge.pulse);
            tasks.spawn(Arc::clone(&self.front).serve(listener, entrance, doorkeeper));
        }
        self.edge.started.store(true, Ordering::Release);
        // Every session is here: nobody is taken for gone who has one.
        let offboarding = Arc::clone(&self.houses.now().offboarding);
        tasks.spawn(offboarding.keep(self.houses.clone()));
        if let Some(link) = link {
            let name = local.as_ref().map(|(_, name)| name.as_ref());
            let hearing = self.serve_from_now_on(link, name, &closing).await?;
            tasks.spawn(hearing);
        }
        self.look_after_others(&mut tasks);
        tracing::info!(server_url = self.settings.server_url.origin, "serving");
        notify::ready();
        self.edge.announced.store(true, Ordering::Release);
        ready();
        if let Some(succeeded) = self
            .until_told(&mut stop, &mut upgrades, &estate, &closing)
            .await
        {
            watchdog.abort();
            let ended = self.outlive(succeeded, stop, &closing).await;
            self.houses.now().tracer.flush(LAST_LINES).await;
            tasks.shutdown().await;
            self.houses.now().rechecks.give_up();
            self.houses.now().audit.flush(LAST_LINES).await;
            return ended;
        }
        notify::stopping();
        if self.lead(&mut stop).await {
            self.drain_and_close(stop, &closing).await;
        } else {
            self.cut_and_close(&closing).await;
        }
        self.put_away(tasks).await;
        Ok(())
    }

    /// Keeps what outlives the process, when nobody is served any more.
    async fn put_away(&self, mut tasks: JoinSet<()>) {
        self.houses.now().tracer.flush(LAST_LINES).await;
        tasks.shutdown().await;
        // Nobody can sign in or out any more.
        self.keep_sessions().await;
        self.keep_people().await;
        self.houses.now().audit.flush(LAST_LINES).await;
    }
}

/// What the public listeners share, before `houses`.
fn front(houses: &Houses, tls: &tls::Tls, drain: &Drain) -> Front {
    let house = houses.now();
    let limits = house.settings.limits;
    let conf = Arc::new(ServerConf {
        // It would read all of the system's certificates, twice. Each peer brings its own.
        ca_file: Some("/dev/null".to_owned()),
        ..ServerConf::default()
    });
    Front {
        houses: houses.clone(),
        challenges: tls.acme().map(|acme| acme.challenges()),
        places: Arc::new(Semaphore::new(descriptors::connections())),
        slots: Slots::new(limits.connections_per_address),
        turned_away: TurnedAway::default(),
        tunnel_rate: RateLimiter::new(limits.tunnels_per_minute, rates::ADDRESSES),
        turnstile: Arc::default(),
        proxy: Arc::new(http_proxy(&conf, Phases)),
        metrics: Arc::clone(&house.metrics),
        random: Arc::new(InBulk::new(Arc::clone(&house.random))),
        drain: drain.clone(),
    }
}
