//! A house whose configuration changes under it, and short words for that.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::faulty_provider::Person as Account;
use crate::stage::{Faulty, Stage, ask, send, session_line};
use crate::support::headscale_standin::{HeadscaleStandin, Oidc, Options};
use crate::support::house::{HEADSCALE_ID, HEADSCALE_SECRET, House, More};

/// Longest wait for something that has to happen.
const PATIENCE: Duration = Duration::from_mins(1);
const LOOK: Duration = Duration::from_millis(5);

/// Only a signal has the files read again.
pub(crate) const BY_SIGNAL: &str = "reload: { watch: false }\n";
/// More than any test asks for.
pub(crate) const NO_LIMITS: &str = "limits: { connections_per_address: 100000, \
    tunnels_per_minute: 1000000, open_requests_per_minute: 1000000, \
    api_requests_per_minute: 1000000, sign_ins_per_minute: 1000000, \
    callbacks_per_minute: 1000000, registrations_per_minute: 1000000, header_timeout: 2m, \
    keepalive_timeout: 60m }\n";

/// A house, and the text of its configuration.
pub(crate) struct Ground {
    pub(crate) stage: Stage,
    pub(crate) text: String,
}

impl Ground {
    /// A house with `more` and `top`, which may name `{files}`, `{headscale}` and `{public}`.
    pub(crate) fn start(more: &More, top: &str) -> Self {
        Self::start_with(more, top, |_, text| text)
    }

    /// The same, with what `prepare` makes of the directory and the text.
    pub(crate) fn start_with(
        more: &More,
        top: &str,
        prepare: impl FnOnce(&Path, String) -> String,
    ) -> Self {
        let faulty = Faulty::start();
        let headscale = HeadscaleStandin::start(Options::default());
        let (url, issuer) = (headscale.url(), faulty.provider.issuer());
        let mut text = String::new();
        let house = House::start(|plan| {
            let files = plan.files.display().to_string();
            std::fs::write(
                plan.files.join("client_secret"),
                crate::support::house::CLIENT_SECRET,
            )
            .expect("the directory is ours");
            let top = top
                .replace("{files}", &files)
                .replace("{headscale}", &url)
                .replace("{public}", &plan.public.to_string());
            text = plan
                .config(&url, &issuer, more)
                .replace(
                    "admin: { ",
                    &format!("admin: {{ socket_path: {files}/admin.sock, "),
                )
                .replace(
                    &format!("client_secret: {}\n", crate::support::house::CLIENT_SECRET),
                    &format!("client_secret_path: {files}/client_secret\n"),
                );
            if top.contains("limits:") {
                let roomy = text.find("limits: ").expect("the rig's own");
                text.truncate(roomy);
            }
            text.push_str(&top);
            text = prepare(&plan.files, std::mem::take(&mut text));
            text.clone()
        });
        let (origin, trusted) = (house.plan.origin(), house.plan.issuer_url());
        headscale.configure(|options| {
            options.server_url = origin;
            options.oidc = Some(Oidc::trusting(&trusted, HEADSCALE_ID, HEADSCALE_SECRET));
        });
        let stage = Stage {
            house,
            headscale,
            faulty,
        };
        Self { stage, text }
    }

    pub(crate) fn house(&self) -> &House {
        &self.stage.house
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.stage.house.plan.files.join(name)
    }

    /// Puts a file in place of the configuration, as editors do.
    pub(crate) fn write(&self, text: &str) {
        let (new, path) = (self.file("config.yaml.new"), self.file("config.yaml"));
        std::fs::write(&new, text).expect("the directory is ours");
        std::fs::rename(&new, &path).expect("a file is replaced");
    }

    /// The configuration with `to` instead of `from`, which has to be there once.
    pub(crate) fn with(&self, from: &str, to: &str) -> String {
        assert_eq!(
            self.text.matches(from).count(),
            1,
            "{from:?} in\n{}",
            self.text
        );
        self.text.replacen(from, to, 1)
    }

    /// Has the files read again; whether what they hold was taken over.
    pub(crate) fn hang_up(&self) -> bool {
        let before = self.reloads();
        self.house().signal("HUP");
        self.wait_for_reloads(before + 1);
        self.last_reload()["taken_over"].as_bool().expect("a flag")
    }

    /// A configuration that has to be taken over.
    #[track_caller]
    pub(crate) fn change_to(&self, text: &str) {
        self.write(text);
        assert!(self.hang_up(), "{}", self.status());
    }

    pub(crate) fn reloads(&self) -> u64 {
        self.status()["config"]["reloads"]
            .as_u64()
            .expect("a number")
    }

    pub(crate) fn last_reload(&self) -> Value {
        self.status()["config"]["last_reload"].clone()
    }

    #[track_caller]
    pub(crate) fn wait_for_reloads(&self, count: u64) {
        self.wait(&format!("reload {count}"), || self.reloads() >= count);
    }

    /// Waits until something is so.
    #[track_caller]
    pub(crate) fn wait(&self, what: &str, mut is_so: impl FnMut() -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !is_so() {
            assert!(
                Instant::now() < deadline,
                "waited in vain for {what}: {}",
                self.status()
            );
            std::thread::park_timeout(LOOK);
        }
    }

    /// What the socket tells of the process.
    pub(crate) fn status(&self) -> Value {
        let mut stream = UnixStream::connect(self.file("admin.sock")).expect("somebody listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("it is open");
        let request = b"GET /status HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
        stream.write_all(request).expect("it is taken");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
        assert!(head.starts_with("HTTP/1.1 200 "), "{answer}");
        serde_json::from_str(body).expect("JSON")
    }

    /// One value of `/metrics`.
    pub(crate) fn metric(&self, name: &str) -> u64 {
        let request = b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
        let all = send(self.house().plan.admin, request).text();
        let line = all
            .lines()
            .find_map(|line| line.strip_prefix(&format!("{name} ")));
        let value = line.unwrap_or_else(|| panic!("{name} in\n{all}"));
        value.parse().expect("a number")
    }

    /// The `Cookie` line of somebody who signed in.
    pub(crate) fn sign_in(&self, account: Account) -> String {
        session_line(self.house(), &self.stage.somebody(account))
    }

    /// The status of a `GET`.
    pub(crate) fn get(&self, target: &str, lines: &[&str]) -> u16 {
        ask(self.house(), "GET", target, lines).status()
    }
}
