//! A house whose operator may ask, and short words for asking.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Output;

use serde_json::Value;

use crate::faulty_provider::Person as Account;
use crate::stage::{Faulty, Stage, ask, session_line};
use crate::support::headscale_standin::{HeadscaleStandin, Oidc, Options};
use crate::support::house::{HEADSCALE_ID, HEADSCALE_SECRET, House, More, Plan, headwarden};
use crate::support::raw::PATIENCE;

/// A house with a socket.
pub(crate) struct Scene {
    pub(crate) stage: Stage,
}

/// Somebody who signed in: the `Cookie` line of their browser.
pub(crate) struct SignedIn {
    pub(crate) cookie: String,
}

impl Scene {
    /// `admin` are further keys of that section, each with a comma behind it.
    pub(crate) fn start(admin: &str, more: &More) -> Self {
        let headscale = HeadscaleStandin::start(Options::default());
        Self::start_around(headscale, admin, more)
    }

    /// The same around a Headscale that runs already.
    pub(crate) fn start_around(headscale: HeadscaleStandin, admin: &str, more: &More) -> Self {
        let faulty = Faulty::start();
        let (url, issuer) = (headscale.url(), faulty.provider.issuer());
        let house = House::start(|plan| {
            let config = plan.config(&url, &issuer, more);
            let state = plan.files.join("people").display().to_string();
            let config = config.replace("STATE", &state);
            let socket = format!("admin: {{ {admin} socket_path: {}, ", path(plan).display());
            config.replace("admin: { ", &socket)
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
        Self { stage }
    }

    pub(crate) fn house(&self) -> &House {
        &self.stage.house
    }

    pub(crate) fn socket(&self) -> PathBuf {
        path(&self.stage.house.plan)
    }

    pub(crate) fn sign_in(&self, account: Account) -> SignedIn {
        let person = self.stage.somebody(account);
        let cookie = session_line(&self.stage.house, &person);
        SignedIn { cookie }
    }

    /// Whether this browser is let through.
    pub(crate) fn is_in(&self, who: &SignedIn) -> bool {
        match ask(self.house(), "GET", "/windows", &[&who.cookie]).status() {
            200 => true,
            401 => false,
            other => panic!("{other}"),
        }
    }

    /// `headwarden sessions` with these arguments.
    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        headwarden(&self.stage.house.plan, &[&["sessions"], arguments].concat())
    }

    /// What it prints, which must be a success.
    pub(crate) fn told(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let error = String::from_utf8(output.stderr).expect("text");
        assert!(output.status.success(), "{arguments:?}: {error}");
        String::from_utf8(output.stdout).expect("text")
    }

    /// The sessions that it lists.
    pub(crate) fn list(&self, arguments: &[&str]) -> Vec<Value> {
        let told = self.told(&[&["list", "--json"], arguments].concat());
        let parse = |line| serde_json::from_str(line).expect("JSON");
        told.lines().map(parse).collect()
    }

    /// The ids of the sessions of `account`.
    pub(crate) fn ids(&self, account: Account) -> Vec<String> {
        let mut ids: Vec<String> = self
            .list(&["--sub", &account.subject()])
            .iter()
            .map(|session| session["id"].as_str().expect("an id").to_owned())
            .collect();
        ids.sort();
        ids
    }

    /// The lines of the audit log so far.
    pub(crate) fn audit(&self) -> Vec<String> {
        let log = self.stage.house.log();
        let lines = log
            .lines()
            .filter(|line| line.contains(" headwarden::audit: "));
        lines.map(str::to_owned).collect()
    }
}

fn path(plan: &Plan) -> PathBuf {
    plan.files.join("admin.sock")
}

/// One request over the socket, and its answer.
pub(crate) fn over(socket: &Path, method: &str, target: &str, lines: &[&str]) -> (u16, Value) {
    let mut stream = UnixStream::connect(socket).expect("somebody listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("it is open");
    let mut text = format!("{method} {target} HTTP/1.1\r\nConnection: close\r\n");
    for line in [&["Host: localhost"], lines].concat() {
        text.push_str(line);
        text.push_str("\r\n");
    }
    stream
        .write_all(format!("{text}\r\n").as_bytes())
        .expect("it is taken");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    let status = head.split(' ').nth(1).expect("a status");
    let body = serde_json::from_str(body).unwrap_or(Value::Null);
    (status.parse().expect("a number"), body)
}
