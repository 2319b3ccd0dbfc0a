//! Who is on stage: a house with the peers a test needs, and short words for asking it.

use std::net::SocketAddr;

use tokio::runtime::Runtime;
use url::Url;

use crate::faulty_provider::{FaultyProvider, Person as Account};
use crate::support::certified_provider::{ADMIN, MEMBER};
use crate::support::headscale_standin::{HeadscaleStandin, Oidc, Options, Seen};
use crate::support::house::{HEADSCALE_ID, HEADSCALE_SECRET, House, More, Plan};
use crate::support::person::{Page, Person};
use crate::support::raw::{Raw, Response};
use crate::support::tailnet::Tailnet;

/// What a navigation of a browser without Fetch Metadata looks like.
pub(crate) const HTML: &str = "Accept: text/html,*/*;q=0.8";
/// What a script of our own origin says about itself.
pub(crate) const SAME_ORIGIN: &str = "Sec-Fetch-Site: same-origin";
/// Over plain http the session cookie has no prefix.
pub(crate) const SESSION: &str = "headwarden";

/// The fault-injecting provider, on a runtime of its own.
pub(crate) struct Faulty {
    pub(crate) provider: FaultyProvider,
    // Dropped last.
    _runtime: Runtime,
}

impl Faulty {
    pub(crate) fn start() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let provider = runtime.block_on(FaultyProvider::start());
        Self {
            provider,
            _runtime: runtime,
        }
    }
}

/// A house whose provider can misbehave; it signs in without asking.
pub(crate) struct Stage {
    pub(crate) house: House,
    pub(crate) headscale: HeadscaleStandin,
    pub(crate) faulty: Faulty,
}

impl Stage {
    pub(crate) fn start() -> Self {
        Self::start_with(|_| More::default())
    }

    pub(crate) fn start_with(more: impl FnOnce(&Plan) -> More) -> Self {
        Self::start_by(more, |_, text| text)
    }

    /// The same with what `written` makes of its configuration.
    pub(crate) fn start_written(written: impl FnOnce(&Plan, String) -> String) -> Self {
        Self::start_by(|_| More::default(), written)
    }

    fn start_by(
        more: impl FnOnce(&Plan) -> More,
        written: impl FnOnce(&Plan, String) -> String,
    ) -> Self {
        let faulty = Faulty::start();
        let headscale = HeadscaleStandin::start(Options::default());
        let (url, issuer) = (headscale.url(), faulty.provider.issuer());
        let house = House::start(|plan| written(plan, plan.config(&url, &issuer, &more(plan))));
        let (origin, trusted) = (house.plan.origin(), house.plan.issuer_url());
        headscale.configure(|options| {
            options.server_url = origin;
            options.oidc = Some(Oidc::trusting(&trusted, HEADSCALE_ID, HEADSCALE_SECRET));
        });
        Self {
            house,
            headscale,
            faulty,
        }
    }

    /// Who signs in from now on.
    pub(crate) fn is_at_the_provider(&self, account: Account) {
        self.faulty.provider.set(|knobs| knobs.person = account);
    }

    /// Somebody with a session.
    pub(crate) fn somebody(&self, account: Account) -> Person {
        self.somebody_at("/windows", account)
    }

    /// Somebody who got a session at `path`.
    pub(crate) fn somebody_at(&self, path: &str, account: Account) -> Person {
        self.is_at_the_provider(account);
        let mut person = Person::new();
        let page = person.open(&self.house.url(path));
        assert_eq!(page.status(), 200, "{}", page.text());
        person
    }

    /// Walks to the provider and stops at its answer: the callback's URL, not visited yet.
    pub(crate) fn callback_for(&self, person: &mut Person, path: &str) -> (Page, Url) {
        let begun = person.get(&self.house.url(path));
        let answered = person.step(begun);
        let callback = answered.redirect().expect("the provider answers").clone();
        assert_eq!(callback.path(), "/oidc/callback");
        (answered, callback)
    }
}

/// Somebody with a session at the certified provider's house.
pub(crate) fn somebody(tailnet: &Tailnet, who: &str) -> Person {
    let mut person = Person::new();
    let page = tailnet.sign_in(&mut person, "/windows", who);
    assert_eq!(page.status(), 200, "{}", page.text());
    person
}

pub(crate) fn admin(tailnet: &Tailnet) -> Person {
    somebody(tailnet, ADMIN)
}

pub(crate) fn member(tailnet: &Tailnet) -> Person {
    somebody(tailnet, MEMBER)
}

/// The `Cookie` line of somebody's session.
pub(crate) fn session_line(house: &House, person: &Person) -> String {
    format!("Cookie: {SESSION}={}", session_value(house, person))
}

/// The value of somebody's session cookie.
pub(crate) fn session_value(house: &House, person: &Person) -> String {
    cookie(house, person, SESSION).expect("somebody is signed in")
}

/// The value of one of somebody's cookies at the house.
pub(crate) fn cookie(house: &House, person: &Person, name: &str) -> Option<String> {
    let url = Url::parse(&house.url("/")).expect("a URL");
    let kept = person.jar.at(&url);
    kept.iter()
        .find(|cookie| cookie.name == name)
        .map(|cookie| cookie.value.clone())
}

/// The bytes of a request with our own `Host`.
pub(crate) fn request(house: &House, method: &str, target: &str, lines: &[&str]) -> Vec<u8> {
    let mut text = format!(
        "{method} {target} HTTP/1.1\r\nHost: {}\r\n",
        house.plan.public
    );
    for line in lines {
        text.push_str(line);
        text.push_str("\r\n");
    }
    text.push_str("\r\n");
    text.into_bytes()
}

/// One request on a connection of its own.
pub(crate) fn ask(house: &House, method: &str, target: &str, lines: &[&str]) -> Response {
    send(house.plan.public, &request(house, method, target, lines))
}

/// These bytes on a connection of their own, and the answer.
pub(crate) fn send(to: SocketAddr, bytes: &[u8]) -> Response {
    let answer = Raw::connect(to).and_then(|mut raw| raw.exchange(bytes));
    answer.unwrap_or_else(|error| panic!("{error} for {}", String::from_utf8_lossy(bytes)))
}

/// What the upstream saw of requests that carried `X-Row: {row}`.
pub(crate) fn seen(headscale: &HeadscaleStandin, row: &str) -> Vec<Seen> {
    let mut all = headscale.requests();
    all.retain(|seen| seen.fields.value("x-row") == Some(row));
    all
}

/// Lines of the log an operator sees at the default level.
pub(crate) fn log_at_info(house: &House) -> String {
    let log = house.log();
    let lines = log
        .lines()
        .filter(|line| !line.contains("DEBUG") && !line.contains("TRACE"));
    lines.collect::<Vec<_>>().join("\n")
}
