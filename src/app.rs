//! The composition root: builds every room from the settings, binds the sockets, and ends the
//! process in good order. Knows everything, decides nothing.

mod bind;
mod desk;
mod edge;
mod inherited;
mod probes;
mod refurbish;
mod reload;
mod replicas;
mod restart;
mod socket;
mod status;
mod succession;
mod tls;

pub use inherited::Inherited;
pub use succession::{Forebear, Program};

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use pingora::proxy::http_proxy;
use pingora::server::configuration::ServerConf;
use tokio::net::UnixListener;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use succession::Estate;

use crate::acme::Acme;
use crate::config::{self, AuditPlace, Current, Seen, Settings, SignIn, Upstream};
use crate::domain::random::Random;
use crate::domain::time::Clock;
use crate::headscale::{Api, ApiKey, Probe, ProbeError, Renewal, Roster, VersionWatch};
use crate::issuer::{Issuer, KeyIdentity, Peer, Shelf, SigningKey};
use crate::oidc::Provider;
use crate::ops::audit::{Audit, Destination};
use crate::ops::clock::SystemClock;
use crate::ops::entropy::{InBulk, SystemRandom};
use crate::ops::metrics::{Limit, Metrics};
use crate::ops::notify;
use crate::ops::rate::RateLimiter;
use crate::ops::trace::{Collector, ExportError, Tracer};
use crate::proxy::accept::Front;
use crate::proxy::assertion::Assertions;
use crate::proxy::backend::{Backend, health};
use crate::proxy::drain::Drain;
use crate::proxy::headers::Reserved;
use crate::proxy::house::{House, Houses};
use crate::proxy::offboarding::Offboarding;
use crate::proxy::phases::Phases;
use crate::proxy::policy_sync::PolicySync;
use crate::proxy::private::{self, Caller, Listening};
use crate::proxy::rates::{self, Rates};
use crate::proxy::recheck::Rechecks;
use crate::proxy::roll::Roll;
use crate::proxy::shelf::SessionShelf;
use crate::proxy::slots::Slots;
use crate::proxy::standing::Standings;
use crate::proxy::tunnel::Tunnels;
use crate::proxy::turned_away::TurnedAway;
use crate::proxy::upstream::{Origin, TrustError, check_system_roots};
pub use reload::Configuration;

use crate::session::{
    Attempts, Cookies, KeyRing, KeyRingError, People, Rotation, Sessions, SignOuts, SigningError,
    SigningKeys, Snapshot, keyring, shared::SharedSessions,
};
use refurbish::Rooms;
use reload::Reloader;
use status::Status;

/// Public connections at a time, tunnels included, whoever they come from: about 1 GiB.
const MOST_CONNECTIONS: usize = 50_000;
/// How long the audit log's last lines may take to be written, and the last traces to be sent.
const LAST_LINES: Duration = Duration::from_secs(3);

/// Why the process does not start, or not any longer. Each is a sentence, and an exit code.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A port cannot be bound.
    #[error("cannot listen on {address}: {source}")]
    Bind {
        /// Where.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// What systemd opened for us cannot be used.
    #[error(transparent)]
    Inherited(#[from] inherited::InheritedError),
    /// The process that was to hand over did not.
    #[error("the process before did not hand over: {0}")]
    Forebear(io::Error),
    /// The process that took over is no more.
    #[error("the process that took over has ended ({0})")]
    Successor(std::process::ExitStatus),
    /// The operator's socket cannot be opened.
    #[error("the admin socket cannot be opened: {0}")]
    AdminSocket(#[from] socket::SocketError),
    /// The audit log cannot be opened.
    #[error("the audit log {path:?} cannot be opened: {source}")]
    Audit {
        /// Where it should be.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A certificate or key cannot be used.
    #[error(transparent)]
    Tls(#[from] tls::TlsError),
    /// There can be no client for the ACME directory.
    #[error(transparent)]
    Acme(#[from] crate::acme::ClientError),
    /// An upstream's certificate could never be verified.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// The key ring cannot be used.
    #[error("the key ring cannot be used: {0}")]
    KeyRing(#[from] KeyRingError),
    /// No signing key can be made of it.
    #[error("the key ring cannot be used: {0}")]
    Signing(#[from] SigningError),
    /// There can be no client for the session store.
    #[error("the client for the session store cannot be built: {0}")]
    Store(#[from] crate::session::redis::BuildError),
    /// What other replicas wrote cannot be used here.
    #[error("the replicas do not fit together: {0}")]
    Replicas(#[from] crate::session::shared::AgreeError),
    /// The issuer's signing key cannot be used.
    #[error("the issuer's signing key cannot be used: {0}")]
    IssuerKey(#[from] crate::issuer::KeyError),
    /// The issuer's URL cannot be served.
    #[error(transparent)]
    IssuerUrl(#[from] crate::issuer::IssuerUrlError),
    /// The HTTP client for the provider cannot be built.
    #[error("the client for the provider cannot be built: {0}")]
    Client(#[from] crate::oidc::http::BuildError),
    /// The HTTP client for Headscale cannot be built.
    #[error("the client for headscale cannot be built: {0}")]
    HeadscaleClient(#[from] ProbeError),
    /// `only_start_if_oidc_is_available` is set, and it was not.
    #[error("the provider did not become available within {} s: {source}", waited.as_secs())]
    Provider {
        /// How long it was waited for.
        waited: Duration,
        /// The last failure.
        source: crate::oidc::discovery::DiscoveryError,
    },
    /// Traces could never be sent.
    #[error("traces cannot be sent: {0}")]
    Traces(#[from] ExportError),
    /// Metrics collide.
    #[error("metrics cannot be registered: {0}")]
    Metrics(String),
    /// Signals cannot be received.
    #[error("cannot receive signals: {0}")]
    Signals(io::Error),
}

impl StartError {
    /// The process's exit code, as in `docs/deployment.md`.
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::Bind { .. } | Self::Inherited(_) | Self::AdminSocket(_) | Self::Audit { .. } => 3,
            Self::Tls(_) | Self::Acme(_) | Self::Trust(_) | Self::Store(_) | Self::Traces(_) => 4,
            Self::Provider { .. } => 5,
            Self::KeyRing(_) | Self::Signing(_) | Self::IssuerKey(_) | Self::Replicas(_) => 6,
            Self::IssuerUrl(_)
            | Self::Client(_)
            | Self::HeadscaleClient(_)
            | Self::Metrics(_)
            | Self::Forebear(_)
            | Self::Successor(_)
            | Self::Signals(_) => 1,
        }
    }
}

/// What tells one deployment from another: none has a use for the sessions of another one, which somebody
/// else may have vouched for.
fn deployment(settings: &Settings) -> [&str; 3] {
    [
        settings.server_url.origin.as_str(),
        settings.oidc.issuer.as_str(),
        &settings.oidc.client_id,
    ]
}

/// The same in one text, for another process.
fn deployment_name(settings: &Settings) -> String {
    format!("{:?}", deployment(settings))
}

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
        check_system_roots()?;
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
            self.houses.now().audit.flush(LAST_LINES).await;
            return ended;
        }
        notify::stopping();
        if self.lead(&mut stop).await {
            self.drain_and_close(stop, &closing).await;
        } else {
            self.cut_and_close(&closing).await;
        }
        self.houses.now().tracer.flush(LAST_LINES).await;
        tasks.shutdown().await;
        // Nobody can sign in or out any more.
        self.keep_sessions().await;
        if let Err(why) = self.houses.now().roll.keep().await {
            tracing::error!(%why, "who is in which group is not kept");
        }
        self.houses.now().audit.flush(LAST_LINES).await;
        Ok(())
    }

    /// What goes on with Headscale's policy and with the ACME directory, whose validators come to the public
    /// listeners.
    fn look_after_others(&self, tasks: &mut JoinSet<()>) {
        let sync = Arc::clone(&self.houses.now().policy_sync);
        tasks.spawn(sync.run(self.houses.clone(), self.drain.leaving()));
        if let Some(acme) = self.tls.acme() {
            tasks.spawn(acme.keep(self.drain.leaving()));
        }
    }

    fn keep_provider_fresh(&self, tasks: &mut JoinSet<()>) {
        let (houses, random) = (self.houses.clone(), Arc::clone(&self.random));
        let stopping = self.drain.stopping();
        tasks.spawn(async move {
            let provider = || Arc::clone(&houses.now().provider);
            Provider::keep_fresh(provider, stopping, random.as_ref()).await;
        });
    }

    fn reloader(&self, configuration: Configuration) -> Reloader {
        let house = self.houses.now();
        Reloader {
            configuration,
            rooms: Rooms {
                current: self.current.clone(),
                houses: self.houses.clone(),
                front: Arc::clone(&self.front),
                issuer: self.issuer.clone(),
                probe: self.probe.clone(),
                drain: self.drain.clone(),
            },
            tls: Arc::clone(&self.tls),
            status: Arc::clone(&self.status),
            metrics: Arc::clone(&house.metrics),
            clock: Arc::clone(&house.clock),
            announced: Arc::clone(&self.edge.announced),
            rest: 0,
            kept_from: None,
        }
    }

    /// What goes on beside requests.
    fn look_after_rooms(&self, tasks: &mut JoinSet<()>, closing: &Drain) {
        let (versions, stopping) = (Arc::clone(&self.versions), self.drain.stopping());
        tasks.spawn(async move { versions.run(stopping).await });
        let house = self.houses.now();
        let renewal = Renewal::new(
            self.current.clone(),
            house.api.clone(),
            Arc::clone(&house.metrics),
            house.audit.clone(),
            Arc::clone(&house.clock),
            Arc::clone(&house.random),
        );
        tasks.spawn(renewal.run(self.drain.stopping()));
        tasks.spawn(house.tracer.clone().run());
        tasks.spawn(Arc::clone(&self.tls).watch(closing.stopping()));
        tasks.spawn(settle(Arc::clone(&house.sessions)));
        tasks.spawn(health::watch(self.houses.clone()));
        tasks.spawn(Arc::clone(&house.rechecks).watch_over_what_is_open());
    }

    fn open_private(
        &self,
        tasks: &mut JoinSet<()>,
        socket: Option<bind::Socket>,
        closing: &Drain,
        estate: &mut Estate,
    ) -> Result<(), StartError> {
        let (Some(socket), Some(issuer)) = (socket, &self.issuer) else {
            return Ok(());
        };
        let address = socket.address();
        let listener = socket.listen()?;
        estate.add(address, &listener);
        let issuer = Arc::clone(issuer);
        let metrics = Arc::clone(&self.houses.now().metrics);
        tasks.spawn(private::serve(
            Listening::Tcp(listener, self.tls.issuer()),
            closing.doorkeeper(&self.edge.pulse),
            closing.clone(),
            move |mut request, caller| {
                if let Caller::Remote(peer) = caller {
                    request.extensions_mut().insert(Peer(peer.ip()));
                }
                let (issuer, metrics) = (Arc::clone(&issuer), Arc::clone(&metrics));
                async move {
                    let response = issuer.handle(&request).await;
                    if response.status() == http::StatusCode::TOO_MANY_REQUESTS {
                        metrics.limit_hit(Limit::IssuerClient);
                    }
                    response
                }
            },
        ));
        Ok(())
    }

    fn open_admin(
        &self,
        tasks: &mut JoinSet<()>,
        (socket, local): (Option<bind::Socket>, Option<Arc<UnixListener>>),
        complete: Arc<AtomicBool>,
        closing: &Drain,
        estate: &mut Estate,
    ) -> Result<(), StartError> {
        let house = self.houses.now();
        let admin = Arc::new(probes::Admin {
            headscale: self.probe.clone(),
            trusts_an_issuer: house.headscale_signs_in(),
            shared: self
                .replicas
                .as_ref()
                .map(|replicas| Arc::clone(&replicas.shared)),
            tls: Arc::clone(&self.tls),
            drain: self.drain.clone(),
            started: Arc::clone(&self.edge.started),
            desk: desk::Desk {
                sessions: Arc::clone(&house.sessions),
                complete,
                random: Arc::clone(&self.random),
                audit: house.audit.clone(),
            },
            settings: self.current.clone(),
            houses: self.houses.clone(),
            status: Arc::clone(&self.status),
        });
        let listener = socket.map(bind::Socket::listen).transpose()?;
        if let (Some(address), Some(listener)) = (self.settings.admin.address, &listener) {
            estate.add(address, listener);
        }
        let listener = listener.map(|listener| Listening::Tcp(listener, None));
        for listening in listener.into_iter().chain(local.map(Listening::Local)) {
            let admin = Arc::clone(&admin);
            tasks.spawn(private::serve(
                listening,
                closing.doorkeeper(&self.edge.pulse),
                closing.clone(),
                move |request, caller| {
                    let admin = Arc::clone(&admin);
                    async move { admin.answer(&request, caller).await }
                },
            ));
        }
        Ok(())
    }
}

/// Who is in which group of the policy: in the store of the replicas, or in a file.
fn roll(
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
fn snapshot(
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

fn provider(
    settings: &Settings,
    clock: &Arc<dyn Clock>,
    metrics: &Arc<Metrics>,
) -> Result<Arc<Provider>, StartError> {
    let redirect_uri = settings.server_url.join("/oidc/callback");
    let (clock, metrics) = (Arc::clone(clock), Arc::clone(metrics));
    Ok(Provider::new(&settings.oidc, redirect_uri, clock, metrics)?)
}

fn headscale(settings: &Settings) -> Result<Arc<Origin>, TrustError> {
    let headscale = &settings.headscale;
    Origin::new(headscale.upstream.clone(), headscale.connect_timeout).map(Arc::new)
}

/// Where certificates are ordered, if they are.
fn acme(
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
fn tunnels(
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

/// What the public listeners share, before `houses`.
fn front(houses: &Houses, tls: &tls::Tls, drain: &Drain) -> Front {
    let house = houses.now();
    let limits = house.settings.limits;
    let conf = Arc::new(ServerConf::default());
    Front {
        houses: houses.clone(),
        challenges: tls.acme().map(|acme| acme.challenges()),
        places: Arc::new(Semaphore::new(MOST_CONNECTIONS)),
        slots: Slots::new(limits.connections_per_address),
        turned_away: TurnedAway::default(),
        tunnel_rate: RateLimiter::new(limits.tunnels_per_minute, rates::ADDRESSES),
        proxy: Arc::new(http_proxy(&conf, Phases)),
        metrics: Arc::clone(&house.metrics),
        random: Arc::new(InBulk::new(Arc::clone(&house.random))),
        drain: drain.clone(),
    }
}

fn open_audit(
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
fn tracer(
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

fn build_issuer(
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
fn key_identity(settings: &Settings) -> Option<KeyIdentity> {
    match &settings.headscale.sign_in {
        SignIn::Issuer(issuer) => Some(KeyIdentity {
            issuer: issuer.url.clone(),
            provider_issuer: settings.oidc.issuer.clone(),
        }),
        SignIn::Own | SignIn::None => None,
    }
}

/// Headscale's listener for gRPC, made by `origin`.
fn grpc(
    settings: &Settings,
    origin: impl Fn(&Upstream, Option<&str>, Duration) -> Result<Arc<Origin>, TrustError>,
) -> Result<Option<Arc<Origin>>, TrustError> {
    let timeout = settings.headscale.connect_timeout;
    let upstream = settings.headscale.grpc.as_ref();
    upstream
        .map(|upstream| origin(upstream, None, timeout))
        .transpose()
}

fn new_origin(
    upstream: &Upstream,
    name: Option<&str>,
    timeout: Duration,
) -> Result<Arc<Origin>, TrustError> {
    Origin::verifying(upstream.clone(), name, timeout).map(Arc::new)
}

/// The upstreams of `access`, with what is behind their addresses made by `origin`. One that is among the
/// `known` stays what it is; rules with the same one share it.
fn web_uis(
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
        all.push(Some(
            same.map_or_else(|| Arc::new(new), |it| Arc::clone(it)),
        ));
    }
    Ok(all)
}
