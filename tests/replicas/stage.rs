//! Who is on stage: a provider, a Headscale, a redis-server, and replicas that are one to a browser.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tokio::runtime::Runtime;
use url::Url;

use crate::faulty_provider::{FaultyProvider, Person as Account};
use crate::redis::Redis;
use crate::support::headscale_standin::{HeadscaleStandin, Oidc, Options};
use crate::support::house::{HEADSCALE_ID, HEADSCALE_SECRET, House, More, Plan};
use crate::support::person::{Page, Person};
use crate::support::raw::{Raw, Response};

/// The one host of all replicas.
pub(crate) const HOST: &str = "replicas.localhost";
const ORIGIN: &str = "http://replicas.localhost:8000";
/// What a navigation of a browser without Fetch Metadata looks like.
pub(crate) const HTML: &str = "Accept: text/html,*/*;q=0.8";
/// Longest wait for what happens by itself.
const PATIENCE: Duration = Duration::from_mins(1);

/// Replicas, numbered from 0.
pub(crate) struct Stage {
    pub(crate) replicas: Vec<House>,
    pub(crate) redis: Redis,
    pub(crate) headscale: HeadscaleStandin,
    pub(crate) provider: FaultyProvider,
    // Dropped last.
    _runtime: Runtime,
    files: TempDir,
    more: More,
}

impl Stage {
    pub(crate) fn start(count: usize) -> Self {
        Self::start_with(count, Redis::start(), "", "")
    }

    /// With these lines in `session` (two spaces), and these at the top.
    pub(crate) fn start_with(count: usize, redis: Redis, session: &str, top: &str) -> Self {
        Self::start_more(count, redis, (session, top), More::default())
    }

    /// The same with additions to other sections.
    pub(crate) fn start_more(
        count: usize,
        redis: Redis,
        (session, top): (&str, &str),
        more: More,
    ) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let provider = runtime.block_on(FaultyProvider::start());
        let headscale = HeadscaleStandin::start(Options::default());
        let files = tempfile::tempdir().expect("a directory");
        let mut stage = Self {
            replicas: Vec::new(),
            redis,
            headscale,
            provider,
            _runtime: runtime,
            files,
            more,
        };
        for _ in 0..count {
            let house = House::start(|plan| stage.config(plan, session, top));
            stage.replicas.push(house);
        }
        let Some(last) = stage.replicas.last() else {
            return stage;
        };
        let trusted = stage.issuer_url(&last.plan);
        stage.headscale.configure(|options| {
            ORIGIN.clone_into(&mut options.server_url);
            options.oidc = Some(Oidc::trusting(&trusted, HEADSCALE_ID, HEADSCALE_SECRET));
        });
        stage
    }

    /// The configuration of one more replica.
    pub(crate) fn config(&self, plan: &Plan, session: &str, top: &str) -> String {
        let (url, issuer) = (self.headscale.url(), self.provider.issuer());
        let text = plan.config(&url, &issuer, &self.more);
        let keys = self.files.path().join("keys.json");
        let mut text = text
            .replacen(&plan.origin(), ORIGIN, 1)
            .replace(
                &format!("{}/keys.json", plan.files.display()),
                &keys.display().to_string(),
            )
            .replace(
                &format!("url: {}\n", plan.issuer_url()),
                &format!("url: {}\n", self.issuer_url(plan)),
            );
        if top.contains("policy_sync:") {
            let with_key = "headscale:\n  api_key: hskey-api-standin\n  url";
            text = text.replacen("headscale:\n  url", with_key, 1);
        }
        let (tls, ca) = match &self.redis.ca_path {
            Some(path) => ("s", format!(", ca_path: {}", path.display())),
            None => ("", String::new()),
        };
        let port = self.redis.address.port();
        let _ = write!(text, "{top}session:\n  store: redis\n{session}");
        if !session.contains("redis:") {
            let _ = writeln!(
                text,
                "  redis: {{ url: \"redis{tls}://localhost:{port}\"{ca} }}"
            );
        }
        text
    }

    /// The issuer string is one for all: it leads to the first of them, where Headscale redeems what any
    /// of them gave out.
    fn issuer_url(&self, plan: &Plan) -> String {
        let first = self.replicas.first().map_or(plan, |house| &house.plan);
        first.issuer_url()
    }

    /// Somebody who was never here, at replica `at`.
    pub(crate) fn nobody(&self, at: usize) -> Person {
        self.moved(Person::new(), at)
    }

    /// The same person, whose next requests go to replica `at`.
    pub(crate) fn moved(&self, person: Person, at: usize) -> Person {
        person.resolving(HOST, self.replicas[at].plan.public)
    }

    /// Somebody who signed in at replica `at`.
    pub(crate) fn somebody(&self, account: Account, at: usize) -> Person {
        self.provider.set(|knobs| knobs.person = account);
        let mut person = self.nobody(at);
        let page = person.open(&url("/windows"));
        assert_eq!(page.status(), 200, "{}", page.text());
        person
    }

    /// Somebody who signed in at replica `at`, if the store takes that now.
    pub(crate) fn try_sign_in(&self, account: Account, at: usize) -> Option<Person> {
        self.provider.set(|knobs| knobs.person = account);
        let mut person = self.nobody(at);
        let page = person.open(&url("/windows"));
        (page.status() == 200).then_some(person)
    }

    /// What somebody's session may do at replica `at`, as a status.
    pub(crate) fn status(&self, at: usize, session: &str) -> u16 {
        self.ask(at, "GET", "/windows", &[session]).status()
    }

    /// One request at replica `at`, on a connection of its own.
    pub(crate) fn ask(&self, at: usize, method: &str, target: &str, lines: &[&str]) -> Response {
        let mut text = format!("{method} {target} HTTP/1.1\r\nHost: {HOST}:8000\r\n");
        for line in lines {
            let _ = write!(text, "{line}\r\n");
        }
        text.push_str("\r\n");
        let answer = Raw::connect(self.replicas[at].plan.public)
            .and_then(|mut raw| raw.exchange(text.as_bytes()));
        answer.unwrap_or_else(|error| panic!("{method} {target}: {error}"))
    }

    /// A form, sent to replica `at` by no browser.
    pub(crate) fn post(&self, at: usize, target: &str, form: &str) -> Response {
        let text = format!(
            "POST {target} HTTP/1.1\r\nHost: {HOST}:8000\r\nContent-Length: {}\r\n\
             Content-Type: application/x-www-form-urlencoded\r\n\r\n{form}",
            form.len()
        );
        let answer = Raw::connect(self.replicas[at].plan.public)
            .and_then(|mut raw| raw.exchange(text.as_bytes()));
        answer.unwrap_or_else(|error| panic!("POST {target}: {error}"))
    }

    /// What the operator's listener of replica `at` says.
    pub(crate) fn probe(&self, at: usize, path: &str) -> Response {
        let request =
            format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        let answer = Raw::connect(self.replicas[at].plan.admin)
            .and_then(|mut raw| raw.exchange(request.as_bytes()));
        answer.expect("an answer")
    }

    /// What readiness says about the session store.
    pub(crate) fn store_check(&self, at: usize) -> String {
        let body = self.probe(at, "/readyz").json();
        let status = &body["checks"]["session_store"][0]["status"];
        status.as_str().unwrap_or("nothing").to_owned()
    }
}

/// `path` at the one origin.
pub(crate) fn url(path: &str) -> String {
    format!("{ORIGIN}{path}")
}

/// Walks to the provider and stops at its answer: the callback's URL.
pub(crate) fn callback_for(person: &mut Person, path: &str) -> (Page, Url) {
    let begun = person.get(&url(path));
    let answered = person.step(begun);
    let callback = answered.redirect().expect("the provider answers").clone();
    assert_eq!(callback.path(), "/oidc/callback");
    (answered, callback)
}

/// The `Cookie` line of somebody's session.
pub(crate) fn session_line(person: &Person) -> String {
    let url = Url::parse(&url("/")).expect("a URL");
    let kept = person.jar.at(&url);
    let cookie = kept.iter().find(|cookie| cookie.name == "headwarden");
    format!(
        "Cookie: headwarden={}",
        cookie.expect("somebody is signed in").value
    )
}

/// How soon the others have heard of an end: sooner than a replica's memory is trusted without a word of
/// them (five seconds), and no measurement. How soon it is in fact, the benchmark says.
pub(crate) const HEARD: Duration = Duration::from_secs(4);

/// Asks again and again, without a pause, until the answer is the right one.
pub(crate) fn until<T: std::fmt::Debug>(
    what: &str,
    patience: Duration,
    mut ask: impl FnMut() -> T,
    right: impl Fn(&T) -> bool,
) -> T {
    let begun = Instant::now();
    loop {
        // The question counts, not how long a busy machine takes to answer it.
        let asked = begun.elapsed();
        let answer = ask();
        if right(&answer) {
            return answer;
        }
        assert!(asked < patience, "{what}: {answer:?} after {asked:?}");
        std::thread::yield_now();
    }
}

/// The same for what has no bound of its own.
pub(crate) fn eventually<T: std::fmt::Debug>(
    what: &str,
    ask: impl FnMut() -> T,
    right: impl Fn(&T) -> bool,
) -> T {
    until(what, PATIENCE, ask, right)
}
