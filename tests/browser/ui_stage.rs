//! A web UI behind Headwarden, by the recipe of its page, with people of each kind.
//!
//! `HEADSCALE_UI_DIR`, `HEADSCALE_ADMIN_DIR` and `HEADPLANE_DIR` name a build of the real ones; without
//! them it is the stand-in of `tests/rig/web_uis`, which makes the same calls.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::recipe::Recipe;
use crate::scene::{Scene, Visitor};
use crate::static_site::StaticSite;
use crate::support::certified_provider::MEMBER;
use crate::support::child::JsonChild;
use crate::support::headscale_standin::Device;

/// Headscale's key, which no browser may see.
pub(crate) const KEY: &str = "hskey-api-standin";
/// Longest wait for the audit log, and for a program to listen.
const PATIENCE: Duration = Duration::from_mins(1);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(10);
/// Who may look: in `headscale-auditors`, beside everybody's group.
pub(crate) const VIEWER: &str = "vera";
/// Another admin: in `headscale-admins`.
pub(crate) const SECOND_ADMIN: &str = "sam";

/// Its name, where it is, and what names a build of it.
const HEADSCALE_ADMIN: (&str, &str, &str) = ("headscale-admin", "/admin", "HEADSCALE_ADMIN_DIR");

/// The web UI of a test.
#[expect(dead_code, reason = "it runs until this is dropped")]
enum Server {
    Files(StaticSite),
    StandIn(JsonChild),
    Real(Running),
}

/// Headwarden between a Headscale with two devices and a web UI.
pub(crate) struct UiStage {
    pub(crate) scene: Scene,
    /// Whether it is the real web UI.
    pub(crate) real: bool,
    upstream: SocketAddr,
    audit: PathBuf,
    _server: Server,
    _recipe: Recipe,
}

impl UiStage {
    /// headscale-ui, as its own web server shows it.
    pub(crate) fn headscale_ui() -> Self {
        Self::with_files("headscale-ui", "/web", "HEADSCALE_UI_DIR", "v0.29.2")
    }

    /// The same with the configuration of the page about the API.
    pub(crate) fn headscale_ui_of_the_api() -> Self {
        let recipe = Recipe::of("api", KEY);
        let place = ("headscale-ui", "/web", "HEADSCALE_UI_DIR");
        Self::with_recipe(recipe, place, "v0.29.2")
    }

    /// headscale-admin, as its own web server shows it, with the newest Headscale that it can show devices of.
    pub(crate) fn headscale_admin() -> Self {
        let (name, prefix, variable) = HEADSCALE_ADMIN;
        Self::with_files(name, prefix, variable, "v0.27.1")
    }

    /// The same where only its own pages may use the API.
    pub(crate) fn headscale_admin_alone() -> Self {
        let recipe = Recipe::of("headscale-admin", KEY).with_api("from: [\"/admin/**\"]");
        Self::with_recipe(recipe, HEADSCALE_ADMIN, "v0.27.1")
    }

    /// Headplane, with the configuration of its page.
    pub(crate) fn headplane() -> Self {
        let recipe = Recipe::of("headplane", KEY);
        let scene = scene(&recipe, "v0.29.2");
        let mut config = recipe.of_the_web_ui("Headplane");
        let port = recipe.upstream.port();
        config["server"]["port"] = port.into();
        config["server"]["base_url"] = scene.url("").into();
        config["headscale"]["url"] = scene.headscale.url().into();
        config["headscale"]["api_key"] = KEY.into();
        if let Some(build) = named("HEADPLANE_DIR", "Headplane") {
            let running = Running::headplane(&build, config, &recipe);
            return Self::of(recipe, scene, true, Server::Real(running));
        }
        let environment = [("HEADPLANE_CONFIG", config.to_string())];
        let mut program = JsonChild::node("web_uis/headplane.mjs", &environment);
        program.hear();
        Self::of(recipe, scene, false, Server::StandIn(program))
    }

    fn with_files(name: &str, prefix: &'static str, variable: &str, version: &str) -> Self {
        Self::with_recipe(Recipe::of(name, KEY), (name, prefix, variable), version)
    }

    fn with_recipe(
        recipe: Recipe,
        (name, prefix, variable): (&str, &'static str, &str),
        version: &str,
    ) -> Self {
        let named = named(variable, name);
        let stand_ins = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/rig/web_uis");
        let real = named.is_some();
        let files = named.unwrap_or_else(|| stand_ins.join(name));
        let site = StaticSite::start(recipe.upstream, prefix, files);
        let scene = scene(&recipe, version);
        Self::of(recipe, scene, real, Server::Files(site))
    }

    fn of(recipe: Recipe, scene: Scene, real: bool, server: Server) -> Self {
        Self {
            scene,
            real,
            upstream: recipe.upstream,
            audit: recipe.audit(),
            _server: server,
            _recipe: recipe,
        }
    }

    /// A browser that somebody signed in with, on the way to `path`.
    pub(crate) fn visit(&self, who: &str, path: &str) -> Visitor {
        let mut visitor = Visitor::new().of_a_web_ui(&self.scene);
        self.scene.sign_in(&mut visitor, path, who);
        visitor
    }

    /// The names that the devices have now.
    pub(crate) fn names(&self) -> Vec<String> {
        let devices = self.scene.headscale.devices();
        devices
            .into_iter()
            .map(|device| device.given_name)
            .collect()
    }

    /// What the audit log says of somebody's changes through the API: who, what, how it went, by which role. Waits
    /// for so many.
    pub(crate) fn writes(&self, who: &str, count: usize) -> Vec<String> {
        self.audited("api_write", who, count)
    }

    /// What the audit log says of changes that somebody was refused. Waits for so many.
    pub(crate) fn denials(&self, who: &str, count: usize) -> Vec<String> {
        self.audited("denied", who, count)
    }

    fn audited(&self, act: &str, who: &str, count: usize) -> Vec<String> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let log = std::fs::read_to_string(&self.audit).unwrap_or_default();
            let lines = log
                .lines()
                .filter_map(|line| serde_json::from_str(line).ok());
            let about: Vec<String> = lines
                .filter(|line: &Value| {
                    line["act"] == act && line["method"] != "GET" && line["subject"] == subject(who)
                })
                .map(|line| told(&line))
                .collect();
            if about.len() >= count || Instant::now() > deadline {
                return about;
            }
            std::thread::park_timeout(LOOK);
        }
    }

    /// What the web UI answers to somebody who comes past Headwarden: the head.
    pub(crate) fn directly(&self, path: &str) -> String {
        let mut socket = TcpStream::connect(self.upstream).expect("it listens");
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        socket.write_all(request.as_bytes()).expect("it reads");
        let mut answer = Vec::new();
        drop(socket.read_to_end(&mut answer));
        let text = String::from_utf8_lossy(&answer);
        text.split("\r\n\r\n").next().unwrap_or_default().to_owned()
    }

    /// Fails if anything was asked of Headscale's API with another key, or with somebody's cookies.
    pub(crate) fn only_our_key_was_used(&self) {
        let requests = self.scene.headscale.requests();
        let calls: Vec<_> = requests
            .iter()
            .filter(|seen| seen.path().starts_with("/api/"))
            .collect();
        assert!(!calls.is_empty(), "nobody called the API");
        for call in calls {
            let bearer = format!("Bearer {KEY}");
            assert_eq!(
                call.fields.values("authorization"),
                [bearer.as_str()],
                "{call:?}"
            );
            assert_eq!(call.fields.value("cookie"), None, "{call:?}");
        }
    }

    /// Fails if the key is anywhere in the browser: on the page, or kept for later.
    pub(crate) fn key_is_not_in(visitor: &mut Visitor) {
        let script = "JSON.stringify([document.documentElement.outerHTML, {...localStorage}, {...sessionStorage}, document.cookie])";
        let held = visitor.browser.evaluate(script);
        let held = held.as_str().expect("text");
        assert!(held.len() > 100 && !held.contains(KEY), "{held}");
    }
}

/// What this variable names, or a word that the real one was not tested.
fn named(variable: &str, name: &str) -> Option<PathBuf> {
    let named = std::env::var_os(variable).map(PathBuf::from);
    if named.is_none() {
        // Not by `eprintln!`, which the harness hides for a test that passes.
        let skipped = format!("NOT TESTED: {name} itself, but a stand-in of it: set {variable}\n");
        drop(std::io::stderr().write_all(skipped.as_bytes()));
    }
    named
}

/// The subject that the provider gives somebody.
fn subject(who: &str) -> String {
    let digest = ring::digest::digest(
        &ring::digest::SHA256,
        format!("headwarden-rig-{who}").as_bytes(),
    );
    digest.as_ref().iter().map(|b| format!("{b:02x}")).collect()
}

/// Of a line, what does not differ from run to run.
fn told(line: &Value) -> String {
    let fields = ["by", "method", "path", "status", "role", "rule"];
    let parts = fields.iter().filter_map(|field| match &line[*field] {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    });
    parts.collect::<Vec<_>>().join(" ")
}

/// A real Headplane; killed when dropped.
struct Running(Child);

impl Running {
    /// Of a build, with a configuration, once it listens. `HEADPLANE_NODE` is the Node.js that it wants.
    fn headplane(build: &Path, mut config: Value, recipe: &Recipe) -> Self {
        let place = recipe.secrets();
        let secret = place.join("cookie_secret");
        std::fs::write(&secret, "0123456789abcdef0123456789abcdef").expect("it is written");
        config["server"]["cookie_secret_path"] = secret.to_string_lossy().into();
        config["server"]["data_path"] = place.to_string_lossy().into();
        // JSON is YAML.
        let file = place.join("headplane.yaml");
        std::fs::write(&file, config.to_string()).expect("it is written");
        let node = std::env::var_os("HEADPLANE_NODE").unwrap_or_else(|| "node".into());
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "--"]).arg(node);
        command
            .arg("build/server/index.js")
            .current_dir(build)
            .env("HEADPLANE_CONFIG_PATH", &file)
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        let mut running = Self(command.spawn().expect("Headplane starts"));
        let deadline = Instant::now() + PATIENCE;
        while TcpStream::connect(recipe.upstream).is_err() {
            let ended = running.0.try_wait().ok().flatten();
            assert!(ended.is_none() && Instant::now() < deadline, "{ended:?}");
            std::thread::park_timeout(LOOK);
        }
        running
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// Gives the member a laptop and a phone.
pub(crate) fn furnish(scene: &Scene) {
    // As Headscale names who signed in through our issuer.
    let mia = format!("{}/{}", scene.site.house.plan.issuer_url(), subject(MEMBER));
    for name in ["laptop", "phone"] {
        scene.headscale.add_node(Device::of(&mia, name));
    }
}

/// The scene of a recipe: everybody's devices, and somebody who may look.
fn scene(recipe: &Recipe, version: &str) -> Scene {
    let mut scene = Scene::start_with(version, recipe.headwarden());
    let groups = ["headscale", "headscale-auditors"];
    let claims = json!({ "name": "Vera Viewer", "email": "vera@acmecorp.net", "groups": groups });
    scene.provider.set_person(VIEWER, &claims);
    let groups = ["headscale", "headscale-admins"];
    let claims = json!({ "name": "Sam Second", "email": "sam@acmecorp.net", "groups": groups });
    scene.provider.set_person(SECOND_ADMIN, &claims);
    furnish(&scene);
    scene
}
