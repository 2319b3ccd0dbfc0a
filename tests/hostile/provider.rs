//! The provider misbehaves: what the person gets, what the operator reads, and that nobody is signed in
//! meanwhile. The relying party alone, in every detail: `oidc_provider_faults`.

mod rates;
mod storms;

use serde_json::{Map, Value, json};

use crate::faulty_provider::{Endpoint, Fault, FaultyProvider, Ill, Key, Person as Account};
use crate::stage::{Faulty, SESSION, Stage, cookie};
use crate::support::headscale_standin::{HeadscaleStandin, Oidc, Options};
use crate::support::house::{HEADSCALE_ID, HEADSCALE_SECRET, House, More};
use crate::support::person::{Page, Person};

const OUTAGE: &str = "not available right now";
const FAILED: &str = "The sign-in failed";

/// A stage whose provider has a key that is quick to sign with.
pub(super) fn stage_with(more: More) -> Stage {
    stage_and(more, |_| ())
}

/// The same, with a provider that is bent before the house starts.
pub(super) fn stage_and(more: More, bend: impl FnOnce(&FaultyProvider)) -> Stage {
    let faulty = Faulty::start();
    faulty.provider.rotate_to(Key::Ec);
    bend(&faulty.provider);
    let headscale = HeadscaleStandin::start(Options::default());
    let (url, issuer) = (headscale.url(), faulty.provider.issuer());
    let house = House::start(|plan| plan.config(&url, &issuer, &more));
    let (origin, trusted) = (house.plan.origin(), house.plan.issuer_url());
    headscale.configure(|options| {
        options.server_url = origin;
        options.oidc = Some(Oidc::trusting(&trusted, HEADSCALE_ID, HEADSCALE_SECRET));
    });
    Stage {
        house,
        headscale,
        faulty,
    }
}

/// What hangs is waited for, and what does not has to come within that time too.
pub(super) fn impatient() -> More {
    More {
        oidc: "  timeout: 3s\n",
        ..More::default()
    }
}

pub(super) fn members(object: &Value) -> Map<String, Value> {
    object.as_object().expect("an object").clone()
}

/// How often the upstream was asked for the page that everybody wants.
pub(super) fn pages_served(stage: &Stage) -> usize {
    let requests = stage.headscale.requests();
    requests
        .iter()
        .filter(|seen| seen.path() == "/windows")
        .count()
}

/// The id by which the log knows the answer.
pub(super) fn support_id(page: &Page) -> String {
    let text = page.text();
    let behind = text.split("Support id <code>").nth(1);
    let id = behind.and_then(|behind| behind.split('<').next());
    id.unwrap_or_else(|| panic!("no support id in {text}"))
        .to_owned()
}

/// Somebody tries to sign in, and gets this status and these words; the operator reads `reason`.
/// Nobody has a session, and no upstream hears of it.
#[track_caller]
pub(super) fn nobody_comes_in(
    stage: &mut Stage,
    row: &str,
    status: u16,
    words: &str,
    reason: &str,
) {
    let before = pages_served(stage);
    let mut person = Person::new();
    let page = person.open(&stage.house.url("/windows"));
    assert_eq!(page.status(), status, "{row}: {}", page.text());
    assert!(page.text().contains(words), "{row}: {}", page.text());
    assert_eq!(page.header("retry-after").is_some(), status == 503, "{row}");
    assert_eq!(page.header("cache-control"), Some("no-store"), "{row}");
    assert_eq!(cookie(&stage.house, &person, SESSION), None, "{row}");
    assert!(
        person.jar.at(&page.url).is_empty(),
        "{row}: the attempt is over"
    );
    assert_eq!(pages_served(stage), before, "{row}: forwarded");
    let line = format!("sign-in failed request_id=\"{}\"", support_id(&page));
    let line = stage.house.wait_for_log(&line);
    assert!(
        line.contains("WARN") && line.contains(reason),
        "{row}: {line}"
    );
}

/// Somebody signs in as if nothing had been.
#[track_caller]
pub(super) fn somebody_comes_in(stage: &Stage, row: &str) {
    let page = Person::new().open(&stage.house.url("/windows"));
    assert_eq!(page.status(), 200, "{row}: {}", page.text());
}

#[test]
fn an_ill_endpoint_is_an_outage_with_a_reason_and_over_as_soon_as_it_is_well() {
    let mut stage = stage_with(More::default());
    let mut insider = stage.somebody(Account::Member);
    for (endpoint, name) in [
        (Endpoint::Token, "token endpoint"),
        (Endpoint::Userinfo, "userinfo endpoint"),
    ] {
        for (ill, reason) in [
            (Ill::BreaksOff, "the request failed"),
            (Ill::Endless, "larger than 1048576 bytes"),
            (Ill::Huge(10_000_000), "larger than 1048576 bytes"),
            (Ill::HugeInChunks(10_000_000), "larger than 1048576 bytes"),
            (Ill::GzipBomb, "compressed, which was not asked for"),
            (Ill::GzipUnsaid, "not a JSON object"),
            (Ill::Status(204), "status 204"),
            (Ill::Status(404), "status 404"),
            (Ill::Status(500), "status 500"),
            (Ill::Status(503), "status 503"),
            (
                Ill::Redirect("https://elsewhere.example/"),
                "redirect (status 302)",
            ),
            (Ill::RedirectToItself, "redirect (status 302)"),
            (Ill::Says("text/html", "<html>"), "not a JSON object"),
            (
                Ill::Says("application/jwt", "e30.e30.c2ln"),
                "not a JSON object",
            ),
            (Ill::Says("", "<html>"), "not a JSON object"),
            (Ill::Says("application/json", "[]"), "not a JSON object"),
            (
                Ill::Says("application/json", r#"{"a":1,"a":2}"#),
                "repeated name",
            ),
            (Ill::Deep(100_000), "not a JSON object"),
            (Ill::Empty, "not a JSON object"),
        ] {
            let row = format!("{name} {ill:?}");
            stage.faulty.provider.sicken(endpoint, ill);
            nobody_comes_in(&mut stage, &row, 503, OUTAGE, reason);
            let line = stage.house.wait_for_log(reason);
            assert!(!line.contains("http://127"), "{row}: {line}");
            // Whoever is in stays in.
            assert_eq!(
                insider.get(&stage.house.url("/windows")).status(),
                200,
                "{row}"
            );
            stage.faulty.provider.mend();
            somebody_comes_in(&stage, &row);
        }
        let named = format!("no usable answer from the provider's {name}");
        stage.house.wait_for_log(&named);
    }
    assert_eq!(
        stage.faulty.provider.hits(Endpoint::Other),
        0,
        "a redirect was followed"
    );
}

#[test]
fn an_endpoint_that_hangs_or_trickles_is_given_up_after_the_time_the_operator_set() {
    let judge = |endpoint: Endpoint| {
        let mut stage = stage_with(impatient());
        for ill in [Ill::Hangs, Ill::HangsInTheBody, Ill::Trickles] {
            let row = format!("{endpoint:?} {ill:?}");
            stage.faulty.provider.sicken(endpoint, ill);
            let reason = "no complete answer in time";
            nobody_comes_in(&mut stage, &row, 503, OUTAGE, reason);
            stage.faulty.provider.mend();
            somebody_comes_in(&stage, &row);
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(|| judge(Endpoint::Token));
        judge(Endpoint::Userinfo);
    });
}

#[test]
fn a_person_whom_userinfo_does_not_confirm_does_not_come_in() {
    let mut stage = stage_with(More::default());
    for (userinfo, reason) in [
        (json!({"sub": "f".repeat(64)}), "about another subject"),
        (json!({"sub": null}), "about another subject"),
        (
            json!({"sub": [Account::Member.subject()]}),
            "about another subject",
        ),
    ] {
        let claims = members(&userinfo);
        stage.faulty.provider.set(|knobs| knobs.userinfo = claims);
        nobody_comes_in(&mut stage, &userinfo.to_string(), 502, FAILED, reason);
    }
    for status in [401, 403] {
        let ill = Ill::Status(status);
        stage.faulty.provider.mend();
        stage.faulty.provider.sicken(Endpoint::Userinfo, ill);
        let reason = "refused its own access token";
        nobody_comes_in(&mut stage, &format!("{ill:?}"), 502, FAILED, reason);
    }
    stage.faulty.provider.mend();
    somebody_comes_in(&stage, "well again");
}

#[test]
fn a_house_whose_provider_is_ill_from_the_start_keeps_looking_and_lets_nobody_in() {
    for (endpoint, ill, reason) in [
        (
            Endpoint::Discovery,
            Ill::Huge(10_000_000),
            "larger than 1048576 bytes",
        ),
        (
            Endpoint::Discovery,
            Ill::RedirectToItself,
            "redirect (status 302)",
        ),
        (Endpoint::Jwks, Ill::Endless, "larger than 1048576 bytes"),
        (
            Endpoint::Jwks,
            Ill::Says("text/html", "<html>"),
            "not a JSON object",
        ),
        (Endpoint::Jwks, Ill::Hangs, "no complete answer in time"),
    ] {
        let row = format!("{endpoint:?} {ill:?}");
        let more = More {
            waits_for_provider: false,
            ..impatient()
        };
        let mut stage = stage_and(more, |provider| provider.sicken(endpoint, ill));
        let line = stage.house.wait_for_log("no discovery");
        assert!(
            line.contains("WARN") && line.contains(reason),
            "{row}: {line}"
        );
        assert!(line.contains("retry_ms="), "{row}: {line}");
        let page = Person::new().open(&stage.house.url("/windows"));
        assert_eq!(page.status(), 503, "{row}: {}", page.text());
        assert!(page.text().contains(OUTAGE), "{row}: {}", page.text());
        assert!(page.header("retry-after").is_some(), "{row}");
        assert_eq!(pages_served(&stage), 0, "{row}");
        stage.faulty.provider.mend();
        stage.house.wait_for_log("the provider is known");
        somebody_comes_in(&stage, &row);
    }
}

#[test]
fn encrypted_tokens_are_announced_and_the_log_says_what_to_unset() {
    let announced = json!({
        "id_token_encryption_alg_values_supported": ["RSA-OAEP-256"],
        "id_token_encryption_enc_values_supported": ["A256CBC-HS512"],
    });
    let mut stage = stage_and(More::default(), |provider| {
        provider.set(|knobs| knobs.discovery = members(&announced));
        provider.bend(Fault::Encrypted);
    });
    let line = stage.house.wait_for_log("announces encrypted ID tokens");
    assert!(
        line.contains("WARN") && line.contains("unset the Encryption Key"),
        "{line}"
    );
    let reason = "unset the Encryption Key of the provider's application";
    nobody_comes_in(&mut stage, "JWE", 502, FAILED, reason);
    stage.faulty.provider.mend();
    somebody_comes_in(&stage, "without the key");
}
