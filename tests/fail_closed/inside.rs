//! The whole house in this process, on loopback, with a clock and randomness of ours.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::thread::JoinHandle;
use std::time::Duration;

use headwarden::app::{App, StartError};
use headwarden::config::{Environment, Settings, read_file, read_text};
use headwarden::domain::random::Random;
use headwarden::domain::time::Clock;
use socket2::{Domain, Socket, Type};
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::watch;

use crate::faults::{Dice, Hands};
use crate::faulty_provider::FaultyProvider;
use crate::support::headscale_standin::{HeadscaleStandin, Oidc, Options};
use crate::support::house::{HEADSCALE_ID, HEADSCALE_SECRET, More, Plan, free_addresses};
use crate::wire::Wire;

/// A runtime of two threads.
fn runtime() -> Runtime {
    Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime")
}

/// Keeps the addresses of a house for it while it is closed: bound and not listening, so that nobody
/// else gets them, and whoever connects is refused.
pub(crate) fn hold(plan: &Plan) -> Vec<Socket> {
    let held = [plan.public, plan.admin, plan.issuer].map(|address| {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        socket.set_reuse_address(true)?;
        socket.bind(&address.into())?;
        std::io::Result::Ok(socket)
    });
    held.map(|socket| socket.expect("the address is free"))
        .into()
}

/// The house, and what the test holds of it.
pub(crate) struct Inside {
    pub(crate) provider: FaultyProvider,
    pub(crate) headscale: HeadscaleStandin,
    /// The way to Headscale.
    pub(crate) wire: Wire,
    pub(crate) hands: Arc<Hands>,
    pub(crate) dice: Arc<Dice>,
    plan: Plan,
    settings: Settings,
    serving: Option<Serving>,
    // Dropped last.
    _provider_runtime: Runtime,
    _held: Vec<Socket>,
    _files: TempDir,
}

struct Serving {
    stop: watch::Sender<bool>,
    thread: JoinHandle<Result<(), StartError>>,
}

impl Inside {
    /// Starts at `now`, with room for `capacity` sessions.
    pub(crate) fn start(now: u64, capacity: u64) -> Self {
        Self::start_with(now, capacity, |_| ())
    }

    /// The same with other settings.
    pub(crate) fn start_with(now: u64, capacity: u64, change: impl FnOnce(&mut Settings)) -> Self {
        let (hands, dice) = (Arc::new(Hands::at(now)), Arc::new(Dice::new()));
        let provider_runtime = runtime();
        let clock = Arc::clone(&hands);
        let provider = provider_runtime.block_on(FaultyProvider::start_at(move || clock.seconds()));
        let headscale = HeadscaleStandin::start(Options::default());
        let wire = Wire::to(headscale.address());
        let files = tempfile::tempdir().expect("a directory");
        let [public, admin, issuer] = free_addresses();
        let plan = Plan {
            public,
            admin,
            issuer,
            files: files.path().to_owned(),
        };
        let held = hold(&plan);
        let mut settings = settings(&plan, &wire.url(), &provider.issuer(), capacity);
        change(&mut settings);
        headscale.configure(|options| {
            let trusted = plan.issuer_url();
            options.server_url = plan.origin();
            options.oidc = Some(Oidc::trusting(&trusted, HEADSCALE_ID, HEADSCALE_SECRET));
        });
        let mut inside = Self {
            provider,
            headscale,
            wire,
            hands,
            dice,
            plan,
            settings,
            serving: None,
            _provider_runtime: provider_runtime,
            _held: held,
            _files: files,
        };
        inside.open().expect("it starts");
        inside
    }

    pub(crate) fn public(&self) -> SocketAddr {
        self.plan.public
    }

    /// The issuer's private listener.
    pub(crate) fn issuer(&self) -> SocketAddr {
        self.plan.issuer
    }

    pub(crate) fn key_ring(&self) -> &std::path::Path {
        &self.settings.keys_path
    }

    /// Opens the house, and waits until it serves or says why not.
    pub(crate) fn open(&mut self) -> Result<(), StartError> {
        let (stop, stopped) = watch::channel(false);
        let (ready, serves) = channel();
        let settings = self.settings.clone();
        let clock: Arc<dyn Clock> = Arc::clone(&self.hands) as _;
        let random: Arc<dyn Random> = Arc::clone(&self.dice) as _;
        let thread = std::thread::spawn(move || {
            let stop = move || {
                let mut stopped = stopped.clone();
                async move { drop(stopped.wait_for(|stop| *stop).await) }
            };
            let runtime = runtime();
            let served = runtime.block_on(async {
                let app = App::build_with(settings, false, clock, random)?;
                app.serve(stop, move || ready.send(()).expect("it is waited for"))
                    .await
            });
            runtime.shutdown_background();
            served
        });
        // The sender goes with the thread when there is nothing to serve.
        if serves.recv().is_err() {
            return thread.join().expect("it does not panic");
        }
        self.serving = Some(Serving { stop, thread });
        Ok(())
    }

    /// Ends it; nothing answers afterwards.
    pub(crate) fn close(&mut self) {
        if let Some(serving) = self.serving.take() {
            serving.stop.send_replace(true);
            let ended = serving.thread.join().expect("it does not panic");
            ended.expect("it ends in good order");
        }
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        if let Some(serving) = self.serving.take() {
            serving.stop.send_replace(true);
            drop(serving.thread.join());
        }
    }
}

/// `issuer` mode over plain http behind a trusted proxy on this machine, with an administrators' web
/// UI and the API by session.
pub(crate) const SIDES: More = More {
    listen: "",
    sign_in: "issuer",
    issuer: "",
    headscale: "  response_timeout: 1s\n  connect_timeout: 1s\n  api_key: hskey-api-standin\n",
    oidc: "  allowed_groups: [/headscale]\n  timeout: 1s\n",
    top: "trusted_proxies: [127.0.0.1/32]\nsession: { idle_timeout: 10m, lifetime: 1h }\n\
          access:\n  - path: /admin/**\n    groups: [headscale-admins]\n\
          api: { admins: [headscale-admins], bearer: allow }\n\
          shutdown: { grace: 1s }\n",
    waits_for_provider: true,
};

fn settings(plan: &Plan, headscale: &str, provider: &str, capacity: u64) -> Settings {
    let text = plan.config(headscale, provider, &SIDES);
    let read = read_text(&text, &Environment::default(), &read_file);
    let mut settings = read.unwrap_or_else(|why| panic!("{why}\n{text}"));
    // Fewer than a file may ask for, so that a few people fill it.
    settings.session.capacity = capacity;
    // Nothing hangs here; and what does not may take its time on a machine that is busy.
    settings.oidc.timeout = Duration::from_secs(10);
    settings
}
