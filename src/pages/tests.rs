use std::net::Ipv4Addr;

use askama::Template;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{
    CACHE_CONTROL, CONTENT_LENGTH, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName,
    REFERRER_POLICY, RETRY_AFTER, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use http::{Response, StatusCode};

use super::*;
use crate::domain::claims::NamedClaims;
use crate::domain::door::AuthId;
use crate::domain::identity::{Email, Identity, Issuer, Subject};
use crate::domain::policy::Denial;
use crate::domain::session::Browser;
use crate::domain::time::Timestamp;
use crate::domain::username::UsernameError;

/// The one field that no stranger can fill: its parser admits no markup.
const ID: &str = "hskey-authreq-4f1c09aa7be2d35861c0ffee";

/// Ends every context that markup could put it in.
const HOSTILE: &str =
    "\"'></pre></style></title><script>alert(1)</script><img src=x onerror=alert(1)>{{7*7}}";

fn person(text: &str) -> Identity {
    Identity {
        issuer: Issuer::new(text),
        subject: Subject::new(text),
        email: Some(Email::new(format!("{text}@acmecorp.net"))),
        email_verified: true,
        username: Some(text.into()),
        name: Some(text.into()),
        picture: Some(text.into()),
        groups: vec![text.to_owned()].into(),
        claims: NamedClaims::default(),
    }
}

/// Name, status, whether it holds a form, and the page.
type Row = (&'static str, u16, bool, Response<Bytes>);

/// Every page there is, with `text` wherever a stranger's text may come in.
fn all(text: &str, form_action: &[String]) -> Vec<Row> {
    all_in(Language::english(), text, form_action)
}

fn all_in(language: Language, text: &str, form_action: &[String]) -> Vec<Row> {
    let context = &Context {
        site: text,
        support_id: text,
        form_action,
        language,
        shows_devices: true,
    };
    let mut rows = questions(context, text);
    rows.extend(device_pages::rows(context, text));
    rows.extend(sign_in_notices(context, text));
    rows.extend(other_notices(context, text));
    rows.extend(faults(context));
    rows
}

fn questions(context: &Context<'_>, text: &str) -> Vec<Row> {
    let who = &person(text);
    let asked = &Confirmation {
        auth_id: &AuthId::parse(ID).unwrap(),
        who,
        username: Some(text),
        token: text,
    };
    let email = Some(text.to_owned());
    let group = Denial::Group {
        has: vec![text.to_owned()],
    };
    let domain = Denial::Domain {
        email: email.clone(),
    };
    let no_email = Denial::User { email: None };
    let user = Denial::User { email };
    let unverified = Denial::UnverifiedEmail {
        email: text.to_owned(),
    };
    let username = UsernameError::Character('<');
    let deny = |refusal| denied(context, refusal, who, Some(text));
    vec![
        ("group", 403, true, deny(Refusal::Rule(&group))),
        ("domain", 403, true, deny(Refusal::Rule(&domain))),
        ("no e-mail", 403, true, deny(Refusal::Rule(&no_email))),
        ("user", 403, true, deny(Refusal::Rule(&user))),
        ("unverified", 403, true, deny(Refusal::Rule(&unverified))),
        ("username", 403, true, deny(Refusal::Username(&username))),
        ("page", 403, true, deny(Refusal::Page)),
        (
            "sign out",
            200,
            true,
            sign_out(context, Some(who), Some(text)),
        ),
        (
            "sign out, unknown",
            200,
            true,
            sign_out(context, None, None),
        ),
        ("sessions", 200, true, own_sessions(context, text, false)),
        ("refused", 400, true, own_sessions(context, text, true)),
        ("register", 200, true, confirm_register(context, asked)),
        ("ssh", 200, true, confirm_ssh(context, asked)),
    ]
}

fn own_sessions(context: &Context<'_>, text: &str, refused: bool) -> Response<Bytes> {
    let browser = &Browser {
        address: Ipv4Addr::LOCALHOST.into(),
        agent: text.into(),
    };
    let session = OwnSession {
        id: text,
        is_this: true,
        browser,
        started_at: Timestamp::from_unix(0),
        last_used: Timestamp::from_unix(60),
    };
    let other = OwnSession {
        is_this: false,
        ..session
    };
    let own = OwnSessions {
        who: &person(text),
        list: &[session, other],
        token: text,
        now: Timestamp::from_unix(300),
        refused,
    };
    sessions(context, &own)
}

fn sign_in_notices(context: &Context<'_>, text: &str) -> Vec<Row> {
    let answered = |code: &str| provider_refused(context, ProviderError::parse(code));
    vec![
        (
            "signed out",
            200,
            false,
            signed_out(context, AtTheProvider::Unknown),
        ),
        (
            "signed out there",
            200,
            false,
            signed_out(context, AtTheProvider::Answered),
        ),
        ("overtaken", 403, false, signed_out_meanwhile(context)),
        ("expired", 400, false, attempt_expired(context)),
        ("used", 400, false, attempt_used(context)),
        ("denied there", 403, false, answered("access_denied")),
        ("unfinished", 403, false, answered("login_required")),
        ("down there", 503, false, answered("server_error")),
        ("wrong there", 502, false, answered(text)),
        ("failed", 502, false, sign_in_failed(context)),
        ("no provider", 503, false, provider_unavailable(context, 30)),
        ("cookies", 400, false, cookies_needed(context)),
    ]
}

fn other_notices(context: &Context<'_>, text: &str) -> Vec<Row> {
    let down = |failure| upstream_down(context, failure);
    vec![
        ("bad answer", 502, false, down(UpstreamFailure::BadAnswer)),
        (
            "unreachable",
            503,
            false,
            down(UpstreamFailure::Unreachable),
        ),
        ("unhealthy", 503, false, down(UpstreamFailure::NoneHealthy)),
        ("timeout", 504, false, down(UpstreamFailure::Timeout)),
        ("start again", 400, false, start_again(context)),
        (
            "newest link",
            410,
            false,
            newest_link(context, StatusCode::GONE),
        ),
        ("step-up", 403, false, step_up_refused(context)),
        ("no step-up", 403, false, step_up_not_done(context)),
        ("nothing sent", 403, false, nothing_sent(context, text)),
        ("not found", 404, false, not_found(context)),
        ("misdirected", 421, false, misdirected(context)),
        ("too many", 429, false, too_many_requests(context, 10)),
    ]
}

fn faults(context: &Context<'_>) -> Vec<Row> {
    [
        ("cross-site", 403, Fault::CrossSite),
        ("method", 405, Fault::Method),
        ("too long", 414, Fault::TooLong),
        ("unreadable", 400, Fault::Unreadable),
        ("unpassable", 421, Fault::Unpassable),
        ("internal", 500, Fault::Internal),
        ("store away", 400, Fault::StoreAway),
        ("not the provider's", 400, Fault::NotTheProviders),
        ("not a sign-in", 400, Fault::NotASignIn),
        ("not passed on", 403, Fault::NotPassedOn),
        ("subject", 403, Fault::Subject),
        ("too old to sign in", 500, Fault::HeadscaleTooOld),
    ]
    .map(|(name, status, fault)| {
        let code = StatusCode::from_u16(status).unwrap();
        (name, status, false, error(context, code, fault))
    })
    .into()
}

fn header(response: &Response<Bytes>, name: HeaderName) -> &str {
    response
        .headers()
        .get(name)
        .map_or("", |value| value.to_str().unwrap())
}

fn html(response: &Response<Bytes>) -> &str {
    std::str::from_utf8(response.body()).unwrap()
}

#[test]
fn every_page_has_its_status_its_headers_and_a_support_id() {
    for (name, status, form, response) in all("k7rd2m9x", &[]) {
        assert_eq!(response.status().as_u16(), status, "{name}");
        assert_eq!(
            header(&response, CONTENT_TYPE),
            "text/html; charset=utf-8",
            "{name}"
        );
        assert_eq!(header(&response, CACHE_CONTROL), "no-store", "{name}");
        assert_eq!(
            header(&response, X_CONTENT_TYPE_OPTIONS),
            "nosniff",
            "{name}"
        );
        assert_eq!(header(&response, X_FRAME_OPTIONS), "DENY", "{name}");
        let referrer = if form { "same-origin" } else { "no-referrer" };
        assert_eq!(header(&response, REFERRER_POLICY), referrer, "{name}");
        assert_eq!(
            header(&response, CONTENT_LENGTH),
            response.body().len().to_string()
        );
        assert!(
            html(&response).contains("Support id <code>k7rd2m9x</code>"),
            "{name}"
        );
        assert_eq!(
            form,
            html(&response).contains("<form method=\"post\""),
            "{name}"
        );
    }
}

#[test]
fn every_page_is_one_document_a_screen_reader_can_announce() {
    for (name, _, _, response) in all("x", &[]) {
        let html = html(&response);
        assert!(
            html.starts_with("<!doctype html>\n<html lang=\"en\">"),
            "{name}"
        );
        for once in ["<h1>", "<main>", "<title>", "name=\"viewport\"", "</html>"] {
            assert_eq!(html.matches(once).count(), 1, "{name} {once}");
        }
        assert!(
            !html.contains("<h1></h1>") && !html.contains("<title> "),
            "{name}"
        );
        assert!(
            !html.contains(" style=") && !html.contains(" onclick="),
            "{name}"
        );
    }
}

#[test]
fn no_field_of_a_stranger_becomes_markup() {
    for (name, _, _, response) in all(HOSTILE, &[]) {
        let html = html(&response);
        let ours = format!("<script>{}</script>", shell::SCRIPT);
        let html = html.replace(&ours, "");
        assert!(
            !html.contains("<script") && !html.contains("<img"),
            "{name}"
        );
        assert!(!html.contains("</pre>"), "{name}");
        assert_eq!(html.matches("</style>").count(), 1, "{name}");
        assert_eq!(html.matches("</title>").count(), 1, "{name}");
        assert!(!html.contains("value=\"\"'"), "{name}");
        assert!(!html.contains(">49"), "{name}: evaluated twice");
        assert!(html.contains("&#60;script&#62;"), "{name}: {html}");
    }
}

#[test]
fn text_that_redraws_its_neighbours_is_shown_as_a_replacement_and_cut() {
    let context = Context {
        site: "x",
        support_id: "x",
        form_action: &[],
        language: Language::english(),
        shows_devices: true,
    };
    let long = format!("a\u{202e}b\u{200b}\0\u{1b}[31m\r\n{}", "é".repeat(1 << 20));
    let response = sign_out(&context, Some(&person(&long)), None);
    let html = html(&response);
    let shown = "<bdi>a\u{fffd}b\u{fffd}\u{fffd}\u{fffd}[31m\u{fffd}\u{fffd}é";
    assert!(html.contains(shown), "{html}");
    assert!(html.len() < 12_000, "{}", html.len());
    assert!(html.contains("é…</bdi>"));
}

#[test]
fn a_person_without_name_or_address_is_shown_by_subject() {
    let context = Context {
        site: "x",
        support_id: "x",
        form_action: &[],
        language: Language::english(),
        shows_devices: true,
    };
    let bare = Identity {
        subject: Subject::new("sub-8e1f"),
        name: Some("  ".into()),
        email: None,
        username: None,
        ..person("x")
    };
    let response = sign_out(&context, Some(&bare), None);
    assert!(html(&response).contains("<dd><bdi>sub-8e1f</bdi></dd>"));
}

#[test]
fn the_policy_allows_the_one_style_sheet_by_hash_and_the_icon_and_nothing_else() {
    for (name, _, _, response) in all(HOSTILE, &[]) {
        let html = html(&response);
        let (_, rest) = html.split_once("<style>").unwrap();
        let (style, _) = rest.split_once("</style>").unwrap();
        let digest = ring::digest::digest(&ring::digest::SHA256, style.as_bytes());
        let policy = format!(
            "default-src 'none'; style-src 'sha256-{}'; img-src data:; frame-ancestors 'none'; \
             base-uri 'none'; form-action 'self'",
            STANDARD.encode(digest)
        );
        let found = header(&response, CONTENT_SECURITY_POLICY);
        // What comes behind it is `device_pages`' business.
        let (found, _) = found.split_once("; script-src ").unwrap_or((found, ""));
        assert_eq!(found, policy, "{name}");
    }
}

#[test]
fn only_origins_are_added_to_form_action() {
    let listed = [
        "https://authentik.company",
        "http://127.0.0.1:9000",
        "https://[::1]:9443",
        "*",
        "https://*",
        "https:",
        "https://",
        "javascript://x",
        "data:",
        "https://x; script-src *",
        "https://x, default-src *",
        "https://x/path",
        "https://x 'unsafe-inline'",
        "https://x\r\nset-cookie:a=b",
        "",
    ]
    .map(str::to_owned);
    for (name, _, _, response) in all("x", &listed) {
        let policy = header(&response, CONTENT_SECURITY_POLICY);
        let (policy, _) = policy.split_once("; script-src ").unwrap_or((policy, ""));
        assert!(
            policy.ends_with(
                "form-action 'self' https://authentik.company http://127.0.0.1:9000 \
                 https://[::1]:9443"
            ),
            "{name}: {policy}"
        );
    }
}

#[test]
fn pages_that_ask_to_wait_say_how_long() {
    for (name, status, _, response) in all("x", &[]) {
        let waits = !header(&response, RETRY_AFTER).is_empty();
        assert_eq!(waits, matches!(status, 429 | 503), "{name}");
    }
    let context = Context {
        site: "x",
        support_id: "x",
        form_action: &[],
        language: Language::english(),
        shows_devices: true,
    };
    assert_eq!(
        header(&provider_unavailable(&context, 30), RETRY_AFTER),
        "30"
    );
}

#[test]
fn the_ways_out_lead_to_our_own_paths() {
    let pages = all("tok", &[]);
    let page = |name: &str| {
        let found = pages.iter().find(|(other, ..)| *other == name);
        html(found.map(|(.., response)| response).unwrap())
    };
    for (name, parts) in [
        (
            "group",
            vec![
                "href=\"/.headwarden/sign-in\"",
                "href=\"/.headwarden/sign-in?switch=1\"",
                "<form method=\"post\" action=\"/.headwarden/logout\">",
                "name=\"token\" value=\"tok\"",
                "tok@acmecorp.net",
            ],
        ),
        (
            "signed out",
            vec![
                "href=\"/.headwarden/sign-in\"",
                "href=\"/.headwarden/sign-in?switch=1\"",
            ],
        ),
        (
            "sign out",
            vec![
                "action=\"/.headwarden/logout\"",
                "name=\"token\" value=\"tok\"",
            ],
        ),
        ("sign out", vec!["href=\"/.headwarden/sessions\""]),
        (
            "sessions",
            vec![
                "<form method=\"post\" action=\"/.headwarden/logout\">",
                "<form method=\"post\" action=\"/.headwarden/sessions\">",
                "name=\"token\" value=\"tok\"",
                "name=\"id\" value=\"tok\"",
                "name=\"others\" value=\"yes\"",
                "Last used 4 minutes ago",
                "<time datetime=\"1970-01-01T00:00:00Z\">1 January 1970, 00:00 UTC</time>",
            ],
        ),
        (
            "register",
            vec![
                "action=\"/.headwarden/confirm-register\"",
                "name=\"id\" value=\"hskey-authreq-4f1c09aa7be2d35861c0ffee\"",
                "name=\"token\" value=\"tok\"",
            ],
        ),
        (
            "ssh",
            vec![
                "action=\"/.headwarden/confirm-ssh\"",
                "name=\"id\" value=\"hskey-authreq-4f1c09aa7be2d35861c0ffee\"",
                "name=\"token\" value=\"tok\"",
                "if you just ran <code>ssh</code> yourself",
            ],
        ),
    ] {
        for part in parts {
            assert!(page(name).contains(part), "{name}: {part}");
        }
    }
    assert!(!page("sign out, unknown").contains("name=\"token\""));
    assert!(!page("sign out, unknown").contains("Signed in as"));
    assert!(!page("sign out, unknown").contains("/.headwarden/sessions"));
    assert!(page("refused").contains("Nothing was ended") && !page("sessions").contains("Nothing"));
}

#[test]
fn each_refusal_has_a_code_and_a_sentence_of_its_own() {
    let email = "dominic@acmecorp.net".to_owned();
    let denials = [
        Denial::Group {
            has: vec!["secret-project".to_owned()],
        },
        Denial::Domain {
            email: Some(email.clone()),
        },
        Denial::User {
            email: Some(email.clone()),
        },
        Denial::User { email: None },
        Denial::UnverifiedEmail { email },
    ];
    let mut sentences: Vec<String> = denials
        .iter()
        .map(|denial| Refusal::Rule(denial).sentence())
        .collect();
    let username = Refusal::Username(&UsernameError::TooShort);
    sentences.push(username.sentence());
    sentences.push(Refusal::Page.sentence());
    assert_eq!(
        username.sentence(),
        "Headscale cannot use your user name: a user name needs at least two characters."
    );
    assert!(
        sentences
            .iter()
            .all(|sentence| !sentence.contains("secret-project"))
    );
    let total = sentences.len();
    sentences.sort();
    sentences.dedup();
    assert_eq!(sentences.len(), total);
    assert_eq!(Refusal::Rule(&denials[4]).code(), "unverified_email");
}

#[test]
fn the_json_twin_is_escaped_and_guarded_like_a_page() {
    let response = json(StatusCode::UNAUTHORIZED, "no_session", HOSTILE, "k7rd2m9x");
    assert_eq!(response.status(), 401);
    assert_eq!(header(&response, CONTENT_TYPE), "application/json");
    assert_eq!(header(&response, CACHE_CONTROL), "no-store");
    assert_eq!(header(&response, X_CONTENT_TYPE_OPTIONS), "nosniff");
    assert!(header(&response, CONTENT_SECURITY_POLICY).starts_with("default-src 'none';"));
    let body: serde_json::Value = serde_json::from_slice(response.body()).unwrap();
    assert_eq!(
        body,
        serde_json::json!({"error": "no_session", "message": HOSTILE, "support_id": "k7rd2m9x"})
    );
}

#[test]
fn a_template_that_fails_becomes_a_plain_500() {
    #[derive(Template)]
    #[template(source = "{{ broken }}", ext = "html")]
    struct Failing {
        broken: Broken,
    }
    struct Broken;
    impl std::fmt::Display for Broken {
        fn fmt(&self, _: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            Err(std::fmt::Error)
        }
    }
    let context = Context {
        site: "x",
        support_id: "k7rd2m9x",
        form_action: &[],
        language: Language::english(),
        shows_devices: true,
    };
    let failing = Failing { broken: Broken };
    let response = shell::page(&context, StatusCode::OK, shell::Form::No, &failing);
    assert_eq!(response.status(), 500);
    assert_eq!(html(&response), "internal error, support id k7rd2m9x\n");
}

#[test]
fn what_stands_in_the_providers_frame_can_be_framed_by_the_provider_and_does_nothing() {
    let policy = |origins: &[&str]| {
        let origins: Vec<String> = origins.iter().map(|it| (*it).to_owned()).collect();
        let response = signed_out_in_frame(Language::english(), &origins);
        assert_eq!(response.status(), 200);
        assert_eq!(header(&response, CACHE_CONTROL), "no-store");
        assert_eq!(header(&response, X_CONTENT_TYPE_OPTIONS), "nosniff");
        assert!(!html(&response).contains("<script") && !html(&response).contains("href"));
        let policy = header(&response, CONTENT_SECURITY_POLICY).to_owned();
        let ancestors = policy.rsplit_once("frame-ancestors").unwrap().1.to_owned();
        assert!(policy.starts_with("default-src 'none'; base-uri 'none'; form-action 'none'; "));
        (ancestors, header(&response, X_FRAME_OPTIONS).to_owned())
    };
    for (origins, ancestors, frame_options) in [
        (&["https://a.example"][..], " https://a.example", ""),
        (
            &["https://a.example:8443", "http://127.0.0.1:1"],
            " https://a.example:8443 http://127.0.0.1:1",
            "",
        ),
        (
            &["https://a.example", "null", "*"],
            " https://a.example",
            "",
        ),
        (
            &["https://a.example; script-src *", "'self'"],
            " 'none'",
            "DENY",
        ),
        (&[], " 'none'", "DENY"),
    ] {
        let found = policy(origins);
        assert_eq!(
            found,
            (ancestors.to_owned(), frame_options.to_owned()),
            "{origins:?}"
        );
    }
}

#[test]
fn the_signed_out_page_says_what_is_known_of_the_provider_and_no_more() {
    let context = Context {
        site: "x",
        support_id: "x",
        form_action: &[],
        language: Language::english(),
        shows_devices: true,
    };
    let text = |known| html(&signed_out(&context, known)).to_owned();
    let (answered, unknown) = (text(AtTheProvider::Answered), text(AtTheProvider::Unknown));
    for text in [&answered, &unknown] {
        assert!(text.contains("Your session here has ended."), "{text}");
        assert!(
            text.contains(SIGN_IN) && text.contains(SWITCH_USER),
            "{text}"
        );
    }
    assert!(answered.contains("was told, and answered"), "{answered}");
    assert!(unknown.contains("may still be signed in"), "{unknown}");
    assert!(!unknown.contains("answered"), "{unknown}");
}

mod device_pages;
mod words;
