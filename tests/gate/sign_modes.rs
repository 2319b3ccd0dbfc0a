//! `sign_in: own` and `none`, and the callback that two sign-ins share.

use crate::stage::{HTML, SESSION, admin, ask, cookie, member, session_line};
use crate::support::certified_provider::{CertifiedProvider, MEMBER};
use crate::support::headscale_standin::{HeadscaleStandin, Oidc, Options};
use crate::support::house::{CLIENT_ID, CLIENT_SECRET, House, More};
use crate::support::jar::Kept;
use crate::support::person::Person;
use crate::support::tailnet::{AUTH_ID, Tailnet};

const OWN_ID: &str = "headscale-itself";
const OWN_SECRET: &str = "headscales-secret-at-the-provider";

/// A house in another mode; in `own`, Headscale has the provider in its own `oidc:` block.
fn start(sign_in: &'static str, version: &str) -> Tailnet {
    let mut provider = CertifiedProvider::start();
    let headscale = HeadscaleStandin::start(Options {
        version: version.to_owned(),
        ..Options::default()
    });
    let (url, issuer) = (headscale.url(), provider.issuer().to_owned());
    let more = More {
        sign_in,
        ..More::default()
    };
    let mut house = House::start(|plan| plan.config(&url, &issuer, &more));
    provider.register(
        CLIENT_ID,
        CLIENT_SECRET,
        &house.url("/oidc/callback"),
        "RS256",
    );
    provider.register(OWN_ID, OWN_SECRET, &house.url("/oidc/callback"), "RS256");
    let origin = house.plan.origin();
    headscale.configure(|options| {
        options.server_url = origin;
        options.oidc = (sign_in == "own").then(|| Oidc::trusting(&issuer, OWN_ID, OWN_SECRET));
    });
    house.wait_for_log("headscale's version");
    Tailnet {
        provider,
        headscale,
        house,
    }
}

fn callbacks(tailnet: &Tailnet) -> Vec<String> {
    // The readiness probe asks without a query.
    let mut all = tailnet.headscale.requests();
    all.retain(|seen| seen.path() == "/oidc/callback" && seen.target.contains('?'));
    all.into_iter()
        .map(|seen| seen.fields.value("cookie").unwrap_or_default().to_owned())
        .collect()
}

#[test]
fn in_own_mode_headscales_sign_in_runs_through_the_house_without_a_second_question() {
    let mut tailnet = start("own", "v0.29.2");
    let mut person = Person::new();
    let url = url::Url::parse(&tailnet.house.url("/")).unwrap();
    for name in ["theme", "state_planted", "xstate_", "headscale_other"] {
        person.jar.plant(Kept {
            host: tailnet.house.plan.public.to_string(),
            name: name.to_owned(),
            value: "1".to_owned(),
            path: "/".to_owned(),
            secure: false,
            http_only: false,
            same_site: ::cookie::SameSite::Lax,
        });
    }
    assert_eq!(person.jar.at(&url).len(), 4);
    let asked = tailnet.sign_in(&mut person, &format!("/register/{AUTH_ID}"), MEMBER);
    assert!(
        asked.text().contains("Confirm node registration"),
        "{}",
        asked.text()
    );
    let done = person.fill_in(&asked, "", &[]);
    assert!(done.text().contains("Node registered"), "{}", done.text());
    assert_eq!(tailnet.headscale.problems(), Vec::<String>::new());
    // Headscale knows the person by the provider's own issuer.
    let users = tailnet.headscale.users();
    assert!(
        users[0]
            .provider_identifier
            .starts_with(tailnet.provider.issuer()),
        "{users:?}"
    );
    let [cookies] = &callbacks(&tailnet)[..] else {
        panic!("{:?}", callbacks(&tailnet))
    };
    let mut names: Vec<&str> = cookies
        .split("; ")
        .map(|pair| pair.split('_').next().unwrap_or_default())
        .collect();
    names.sort_unstable();
    assert_eq!(names, ["nonce", "state", "state"], "{cookies}");
    let forms = tailnet.provider.requests();
    let typed = forms
        .iter()
        .filter(|asked| asked.starts_with("POST /if/flow/"));
    assert_eq!(typed.count(), 1, "one sign-in, two answers: {forms:?}");
    assert!(cookie(&tailnet.house, &person, SESSION).is_some());
}

#[test]
fn a_foreign_state_never_begins_a_sign_in_and_an_error_with_one_is_ours_to_show() {
    for mode in ["own", "none", "issuer"] {
        let mut tailnet = if mode == "issuer" {
            Tailnet::start("v0.29.2")
        } else {
            start(mode, "v0.29.2")
        };
        let before = tailnet.provider.requests().len();
        let forwarded = |tailnet: &Tailnet| callbacks(tailnet).len();
        for query in [
            "code=a&state=0123456789abcdef",
            "error=access_denied&state=0123456789abcdef",
            "code=a&state=HW1.AAAAAAAAAAAAAAAA",
            "code=a&state=hw2.AAAAAAAAAAAAAAAA",
            "code=a",
            "code=a&state=",
            "code=a&state=abcdef&state=abcdef",
            "code=a&state=abcdef&state=hw1.AAAAAAAAAAAA",
            "code=a&state=hw1.AAAAAAAAAAAA",
            "",
        ] {
            let target = format!("/oidc/callback?{query}");
            let answer = ask(&tailnet.house, "GET", &target, &[HTML]);
            assert_eq!(answer.status(), 400, "{mode} {query}");
            assert_eq!(answer.header("location"), None, "{mode} {query}");
            let set = answer.head.fields.values("set-cookie");
            assert!(
                set.iter().all(|set| set.contains("Max-Age=0")),
                "{mode} {query} {set:?}"
            );
        }
        assert_eq!(forwarded(&tailnet), 0, "{mode}");
        assert_eq!(tailnet.provider.requests().len(), before, "{mode}");
        // With a session, the mode decides.
        let person = member(&tailnet);
        let session = session_line(&tailnet.house, &person);
        for (query, own) in [
            ("error=access_denied&state=0123456789abcdef", 400),
            ("code=a&state=abcdef&state=abcdef", 400),
            ("code=a", 400),
        ] {
            let target = format!("/oidc/callback?{query}");
            let answer = ask(&tailnet.house, "GET", &target, &[HTML, &session]);
            assert_eq!(answer.status(), own, "{mode} {query}");
        }
        assert_eq!(forwarded(&tailnet), 0, "{mode}");
        let target = "/oidc/callback?code=a&state=0123456789abcdef";
        let answer = ask(&tailnet.house, "GET", target, &[HTML, &session]);
        let expected = match mode {
            // Headscale finds no cookie for it.
            "own" => (400, 1),
            "none" => (404, 0),
            _ => (400, 0),
        };
        assert_eq!((answer.status(), forwarded(&tailnet)), expected, "{mode}");
    }
}

#[test]
fn in_issuer_mode_an_answer_is_forwarded_once_and_only_to_whom_it_was_given() {
    let tailnet = Tailnet::start("v0.29.2");
    let mut person = member(&tailnet);
    let link = tailnet.house.url(&format!("/register/{AUTH_ID}"));
    let begun = person.get(&link);
    let authorize = begun.redirect().unwrap().clone();
    assert_eq!(authorize.path(), "/.headwarden/authorize");
    // Somebody else's session gets nothing for it, neither code nor upstream.
    let mut other = admin(&tailnet);
    let refused = other.get(authorize.as_str());
    assert_eq!(refused.status(), 400);
    assert!(refused.text().contains("Start again from your device"));
    let answered = person.step(begun);
    let callback = answered.redirect().unwrap().clone();
    assert_eq!(callback.path(), "/oidc/callback");
    assert_eq!(other.get(callback.as_str()).status(), 400);
    for (name, tampered) in [
        ("code", callback.as_str().replace("code=", "code=x")),
        ("state", callback.as_str().replace("state=", "state=0")),
        ("codes", format!("{callback}&code=x")),
    ] {
        assert_eq!(person.get(&tampered).status(), 400, "{name}");
    }
    assert_eq!(callbacks(&tailnet).len(), 0);
    assert_eq!(person.get(callback.as_str()).status(), 200);
    assert_eq!(person.get(callback.as_str()).status(), 400, "once");
    assert_eq!(callbacks(&tailnet).len(), 1);
    assert_eq!(person.get(authorize.as_str()).status(), 400, "once");
}

#[test]
fn without_a_sign_in_of_headscales_the_house_is_a_wall_and_nothing_more() {
    let tailnet = start("none", "v0.29.2");
    let mut person = Person::new();
    let page = tailnet.sign_in(&mut person, &format!("/register/{AUTH_ID}"), MEMBER);
    assert!(
        page.text().contains("headscale auth register"),
        "{}",
        page.text()
    );
    let page = person.get(
        &tailnet
            .house
            .url("/.headwarden/authorize?client_id=headscale"),
    );
    assert_eq!(page.status(), 404);
    assert!(tailnet.headscale.users().is_empty());
    assert!(tailnet.headscale.nodes().is_empty());
}
