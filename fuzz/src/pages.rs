//! Pages that show what strangers wrote. Input: the site's name, an origin for forms, the person's name,
//! address and user name (each may be empty), then what a message says.

use bytes::Bytes;
use headwarden::domain::claims::NamedClaims;
use headwarden::domain::door::AuthId;
use headwarden::domain::identity::{Email, Identity, Issuer, Subject};
use headwarden::domain::policy::Denial;
use headwarden::domain::username::UsernameError;
use headwarden::pages::{self, Confirmation, Context, Language, Refusal};
use http::header::CONTENT_SECURITY_POLICY;
use http::{Response, StatusCode};

use super::support::text_lines;

struct Words<'a> {
    site: &'a str,
    form_action: &'a [String],
    who: Identity,
    message: &'a str,
}

pub fn run(data: &[u8]) {
    let Some(([site, origin, name, email, username], message)) = text_lines::<5>(data) else {
        return;
    };
    // The operator's own word, which nobody tames.
    if site.contains(is_odd) {
        return;
    }
    let form_action = [origin.to_owned()];
    let words = Words {
        site,
        form_action: &form_action,
        who: person([name, email, username, message].map(str::to_owned)),
        message,
    };
    // The same with words that are surely harmless, where there are any.
    let tame = |text: &str| match text {
        text if text.trim().is_empty() => text.to_owned(),
        text if text == name => "name".to_owned(),
        text if text == email => "mail".to_owned(),
        text if text == username => "user".to_owned(),
        _ => "text".to_owned(),
    };
    let harmless = Words {
        site: "headscale.company",
        form_action: &["https://id.company".to_owned()],
        who: person([name, email, username, message].map(tame)),
        message: "text",
    };
    let pages = pages_of(&words);
    for (page, reference) in pages.iter().zip(pages_of(&harmless)) {
        check_page(page, &reference);
    }
    for page in &pages[..4] {
        let html = std::str::from_utf8(page.body()).expect("a page of text");
        let odd = html
            .find(is_odd)
            .and_then(|at| html.get(at..)?.chars().next());
        assert_eq!(odd, None, "a page with a character that redraws others");
    }
    check_json(message);
}

/// Controls and what changes the direction of the text around it.
fn is_odd(c: char) -> bool {
    (c.is_control() && c != '\n') || ('\u{202a}'..='\u{202e}').contains(&c)
}

fn person([name, email, username, subject]: [String; 4]) -> Identity {
    let given = |text: String| Some(text).filter(|text| !text.is_empty());
    Identity {
        issuer: Issuer::new("https://authentik.company/"),
        subject: Subject::new(subject),
        email: given(email).map(Email::new),
        email_verified: true,
        username: given(username).map(Into::into),
        name: given(name).map(Into::into),
        picture: None,
        groups: Vec::new().into(),
        claims: NamedClaims::default(),
    }
}

fn pages_of(words: &Words<'_>) -> [Response<Bytes>; 6] {
    let context = Context {
        site: words.site,
        support_id: "0123456789ab",
        form_action: words.form_action,
        language: Language::english(),
        shows_devices: true,
    };
    let auth_id = AuthId::parse("hskey-authreq-0123456789abcdef01234567").unwrap();
    let confirmation = Confirmation {
        auth_id: &auth_id,
        who: &words.who,
        username: Some(words.message),
        token: "token",
    };
    let character = words.message.chars().next().unwrap_or('x');
    let denial = Denial::Group {
        has: vec![words.message.to_owned()],
    };
    let refusals = [
        Refusal::Username(&UsernameError::Character(character)),
        Refusal::Rule(&denial),
    ];
    let denied = |refusal| pages::denied(&context, refusal, &words.who, Some("token"));
    [
        pages::confirm_register(&context, &confirmation),
        pages::confirm_ssh(&context, &confirmation),
        denied(refusals[0]),
        denied(refusals[1]),
        pages::sign_out(&context, Some(&words.who), Some("token")),
        pages::misdirected(&context),
    ]
}

/// What strangers wrote adds no element, no attribute and no directive.
pub fn check_page(page: &Response<Bytes>, reference: &Response<Bytes>) {
    let html = std::str::from_utf8(page.body()).expect("a page of text");
    let plain = std::str::from_utf8(reference.body()).expect("a page of text");
    assert_eq!(tags(html), tags(plain));
    let policy = page.headers()[CONTENT_SECURITY_POLICY].to_str().unwrap();
    let names = |policy: &str| -> Vec<String> {
        policy
            .split(';')
            .map(|directive| {
                directive
                    .split_whitespace()
                    .next()
                    .unwrap_or_default()
                    .to_owned()
            })
            .collect()
    };
    let wanted = reference.headers()[CONTENT_SECURITY_POLICY]
        .to_str()
        .unwrap();
    assert_eq!(names(policy), names(wanted), "{policy}");
    assert!(
        !policy.contains("unsafe") && !policy.contains('*'),
        "{policy}"
    );
    let same = |name: &http::HeaderName| {
        name == CONTENT_SECURITY_POLICY || name == http::header::CONTENT_LENGTH
    };
    for (name, value) in page.headers() {
        assert!(
            same(name) || reference.headers().get(name) == Some(value),
            "{name}"
        );
    }
}

fn tags(html: &str) -> Vec<&str> {
    html.split('<')
        .skip(1)
        .map(|rest| rest.split('>').next().unwrap_or_default())
        .collect()
}

fn check_json(message: &str) {
    let response = pages::json(StatusCode::BAD_REQUEST, "code", message, "id");
    let body: serde_json::Value = serde_json::from_slice(response.body()).expect("JSON");
    assert_eq!(body["message"], message);
    assert_eq!(body.as_object().map(serde_json::Map::len), Some(3));
    let text = std::str::from_utf8(response.body()).expect("text");
    assert_eq!(text.lines().count(), 1, "{text:?}");
}
