//! SSH checks: always confirmed by us, once, for one id, in one session, after a fresh sign-in.

use serde_json::json;

use crate::support::certified_provider::{ADMIN, MEMBER};
use crate::support::headscale_standin::{HeadscaleStandin, Oidc, Options};
use crate::support::house::{CLIENT_ID, HEADSCALE_ID, HEADSCALE_SECRET, House, More};
use crate::support::html::Form;
use crate::support::person::{Page, Person};
use crate::support::tailnet::{AUTH_ID, Tailnet};
use crate::{asked, parameter, signed_in};
use faulty_provider::{Fault, FaultyProvider, Person as Account};

#[path = "../support/faulty_provider/mod.rs"]
#[expect(dead_code, reason = "a part of its knobs is enough here")]
mod faulty_provider;

const OTHER_ID: &str = "hskey-authreq-0123456789abcdef0123456x";
const FORM: &str = "Content-Type: application/x-www-form-urlencoded";
const PROVEN: [&str; 2] = [FORM, "Sec-Fetch-Site: same-origin"];

fn check(id: &str) -> String {
    format!("/auth/{id}")
}

fn is_question(page: &Page) -> bool {
    page.status() == 200 && page.text().contains("/.headwarden/confirm-ssh")
}

fn body(form: &Form) -> String {
    let mut all = url::form_urlencoded::Serializer::new(String::new());
    all.extend_pairs(&form.fields).finish()
}

#[test]
fn an_ssh_check_is_asked_about_even_with_a_fresh_session_and_a_yes_counts_once() {
    let tailnet = Tailnet::start("v0.29.2");
    let mut person = Person::new();
    let link = check(AUTH_ID);
    let page = tailnet.sign_in(&mut person, &link, MEMBER);
    assert!(is_question(&page), "{}", page.text());
    assert!(page.text().contains("Only continue if you just ran"));
    assert!(page.text().contains(AUTH_ID));
    assert_eq!(page.header("referrer-policy"), Some("same-origin"));
    assert_eq!(asked(&tailnet, &link), 0);

    let done = person.fill_in(&page, "", &[]);
    assert!(
        done.text().contains("SSH session authorized"),
        "{}",
        done.text()
    );
    let [approved] = &tailnet.headscale.approved_ssh()[..] else {
        panic!("{:?}", tailnet.headscale.approved_ssh())
    };
    let users = tailnet.headscale.users();
    assert_eq!(approved.auth_id, AUTH_ID);
    assert_eq!(approved.provider_identifier, users[0].provider_identifier);

    let again = person.open(&tailnet.house.url(&link));
    assert!(is_question(&again), "{}", again.text());
    assert_eq!(asked(&tailnet, &link), 1);
}

#[test]
fn a_yes_needs_a_proof_a_session_and_its_own_token_and_holds_for_one_id() {
    let tailnet = Tailnet::start("v0.29.2");
    let mut person = signed_in(&tailnet, MEMBER);
    let page = person.open(&tailnet.house.url(&check(AUTH_ID)));
    let form = page.form("");
    let url = form.action.as_str();
    for line in [
        "Sec-Fetch-Site: cross-site",
        "Sec-Fetch-Site: same-site",
        "Sec-Fetch-Site: none",
        "Origin: null",
        "Origin: https://evil.example",
        "Accept: */*",
    ] {
        let answer = person.request("POST", url, &[FORM, line], body(&form).as_bytes());
        assert_eq!(answer.status(), 403, "{line}");
    }
    let nobody = Person::new().request("POST", url, &PROVEN, body(&form).as_bytes());
    assert_eq!(nobody.status(), 400);
    let mut dominic = signed_in(&tailnet, ADMIN);
    let other = dominic.request("POST", url, &PROVEN, body(&form).as_bytes());
    assert_eq!(other.status(), 400, "another session's token");
    let bent = body(&form).replace(AUTH_ID, OTHER_ID);
    assert_ne!(bent, body(&form));
    let other = person.request("POST", url, &PROVEN, bent.as_bytes());
    assert_eq!(other.status(), 400, "the token of another id");
    let bare = format!("id={AUTH_ID}");
    let answer = person.request("POST", url, &PROVEN, bare.as_bytes());
    assert_eq!(answer.status(), 400, "no token");
    let get = format!("{url}?{}", body(&form));
    assert_eq!(person.get(&get).status(), 405, "a link is no answer");

    let yes = person.submit(&page, "", &[]);
    assert_eq!(
        (yes.status(), yes.redirect().map(url::Url::path)),
        (303, Some(&check(AUTH_ID)[..]))
    );
    let other = person.open(&tailnet.house.url(&check(OTHER_ID)));
    assert!(is_question(&other), "{}", other.text());
    assert!(is_question(
        &dominic.open(&tailnet.house.url(&check(AUTH_ID)))
    ));
    let register = person.get(
        &tailnet
            .house
            .url(&check(AUTH_ID))
            .replace("/auth/", "/register/"),
    );
    assert!(
        register.redirect().is_some(),
        "another question, which 0.29 asks"
    );
    assert_eq!(asked(&tailnet, &check(AUTH_ID)), 0);
    let repeated = person.request("POST", url, &PROVEN, body(&form).as_bytes());
    assert_eq!(repeated.status(), 400, "a token counts once");
    let done = person.follow(yes);
    assert!(
        done.text().contains("SSH session authorized"),
        "{}",
        done.text()
    );
}

#[test]
fn a_browser_without_fetch_metadata_proves_it_with_its_origin() {
    let tailnet = Tailnet::start("v0.29.2");
    let mut person = Person::new();
    person.sends_fetch_metadata = false;
    let page = tailnet.sign_in(&mut person, &check(AUTH_ID), MEMBER);
    let done = person.fill_in(&page, "", &[]);
    assert!(
        done.text().contains("SSH session authorized"),
        "{}",
        done.text()
    );
}

#[test]
fn where_headscale_signs_in_at_the_provider_itself_we_ask_all_the_same() {
    let mut tailnet = Tailnet::start_with("v0.29.2", |_| More {
        sign_in: "own",
        ..More::default()
    });
    let client = "headscales-own";
    let redirect = tailnet.house.url("/oidc/callback");
    tailnet
        .provider
        .register(client, HEADSCALE_SECRET, &redirect, "RS256");
    let issuer = tailnet.provider.issuer().to_owned();
    tailnet.headscale.configure(|options| {
        options.oidc = Some(Oidc::trusting(&issuer, client, HEADSCALE_SECRET));
    });
    let mut person = Person::new();
    let page = tailnet.sign_in(&mut person, &check(AUTH_ID), MEMBER);
    assert!(is_question(&page), "{}", page.text());
    assert_eq!(asked(&tailnet, &check(AUTH_ID)), 0);
    let done = person.fill_in(&page, "", &[]);
    assert!(
        done.text().contains("SSH session authorized"),
        "{}",
        done.text()
    );
    assert!(is_question(
        &person.open(&tailnet.house.url(&check(AUTH_ID)))
    ));
    let device = person.open(&tailnet.house.url(&crate::register(AUTH_ID)));
    assert!(device.text().contains("Confirm node"), "{}", device.text());
}

/// A house whose provider can say what it likes about when somebody signed in.
struct Doubtful {
    provider: FaultyProvider,
    headscale: HeadscaleStandin,
    house: House,
    _runtime: tokio::runtime::Runtime,
}

impl Doubtful {
    fn start() -> Self {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        let runtime = builder.worker_threads(1).enable_all().build();
        let runtime = runtime.expect("a runtime");
        let provider = runtime.block_on(FaultyProvider::start());
        let headscale = HeadscaleStandin::start(Options::default());
        let (url, issuer) = (headscale.url(), provider.issuer());
        let mut house = House::start(|plan| plan.config(&url, &issuer, &More::default()));
        let (origin, trusted) = (house.plan.origin(), house.plan.issuer_url());
        headscale.configure(|options| {
            options.server_url = origin;
            options.oidc = Some(Oidc::trusting(&trusted, HEADSCALE_ID, HEADSCALE_SECRET));
        });
        house.wait_for_log("headscale's version");
        Self {
            provider,
            headscale,
            house,
            _runtime: runtime,
        }
    }

    /// From now on the provider says that people signed in so many seconds ago.
    fn age(&self, seconds: u64) {
        let auth_time = json!(now() - seconds);
        self.provider.set(|knobs| {
            knobs.extra_claims.insert("auth_time".to_owned(), auth_time);
        });
    }

    /// The provider says the truth again.
    fn tell_the_truth(&self) {
        self.provider.set(|knobs| knobs.extra_claims.clear());
    }

    fn approved(&self) -> usize {
        self.headscale.approved_ssh().len()
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the provider of this test has a clock"
)]
fn now() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.expect("the clock is past 1970").as_secs()
}

#[test]
fn an_old_sign_in_is_stepped_up_with_max_age_and_a_prompt_and_then_we_ask() {
    let it = Doubtful::start();
    it.age(3600);
    let mut person = Person::new();
    let link = it.house.url(&check(AUTH_ID));
    let page = person.open(&it.house.url("/windows"));
    assert_eq!(
        page.status(),
        200,
        "an old sign-in is a session all the same"
    );
    let page = person.get(&link);
    let there = page.redirect().expect("off to the provider").clone();
    assert!(there.as_str().starts_with(it.provider.origin()), "{there}");
    assert_eq!(parameter(&there, "max_age"), "300");
    assert_eq!(parameter(&there, "prompt"), "login");
    assert_eq!(parameter(&there, "client_id"), CLIENT_ID);
    it.tell_the_truth();
    let page = person.follow(page);
    assert!(is_question(&page), "{} {}", page.status(), page.text());
    let done = person.fill_in(&page, "", &[]);
    assert!(
        done.text().contains("SSH session authorized"),
        "{}",
        done.text()
    );
    assert_eq!(it.approved(), 1);
}

#[test]
fn a_sign_in_within_the_allowed_age_needs_no_other() {
    let it = Doubtful::start();
    it.age(240);
    let page = Person::new().open(&it.house.url(&check(AUTH_ID)));
    assert!(is_question(&page), "{}", page.text());
}

#[test]
fn a_step_up_that_is_not_fresh_not_dated_or_by_somebody_else_is_refused() {
    let it = Doubtful::start();
    for (what, bend) in [
        ("stale", (|it: &Doubtful| it.age(3600)) as fn(&Doubtful)),
        ("just too old", |it| it.age(70)),
        ("undated", |it| {
            it.tell_the_truth();
            it.provider.bend(Fault::AuthTimeAbsent);
        }),
        ("somebody else", |it| {
            it.tell_the_truth();
            it.provider.set(|knobs| knobs.person = Account::Admin);
        }),
    ] {
        it.provider.mend();
        it.provider.set(|knobs| knobs.person = Account::Member);
        it.age(3600);
        let mut person = Person::new();
        person.open(&it.house.url("/windows"));
        let link = it.house.url(&check(AUTH_ID));
        let page = person.get(&link);
        bend(&it);
        let page = person.follow(page);
        assert!(page.status() >= 400, "{what}: {}", page.text());
        assert!(!is_question(&page), "{what}");
        let asks = it
            .headscale
            .requests()
            .iter()
            .filter(|seen| seen.path() == check(AUTH_ID))
            .count();
        assert_eq!((asks, it.approved()), (0, 0), "{what}");
        // The session is as it was: still somebody's, still too old for this.
        assert_eq!(
            person.open(&it.house.url("/windows")).status(),
            200,
            "{what}"
        );
        assert!(
            person.get(&link).redirect().is_some(),
            "{what}: asked again"
        );
    }
}

#[test]
fn a_sign_in_that_the_provider_does_not_date_is_not_taken_for_fresh() {
    let it = Doubtful::start();
    it.provider.bend(Fault::AuthTimeAbsent);
    let mut person = Person::new();
    let page = person.open(&it.house.url("/windows"));
    assert_eq!(page.status(), 200, "{}", page.text());
    let page = person.get(&it.house.url(&check(AUTH_ID)));
    let there = page.redirect().expect("off to the provider");
    assert_eq!(parameter(there, "max_age"), "300");
}
