//! Every page there is, each with a name: for `cargo run --example pages`, and for the browser tests.

#[path = "devices.rs"]
mod devices;

use std::net::Ipv6Addr;

use bytes::Bytes;
use headwarden::domain::claims::NamedClaims;
use headwarden::domain::door::AuthId;
use headwarden::domain::identity::{Email, Identity, Issuer, Subject};
use headwarden::domain::policy::Denial;
use headwarden::domain::session::Browser;
use headwarden::domain::time::Timestamp;
use headwarden::domain::username::UsernameError;
use headwarden::pages::{
    self, AtTheProvider, Confirmation, Context, Fault, OwnSession, OwnSessions, ProviderError,
    Refusal, UpstreamFailure,
};
use http::{Response, StatusCode};

/// A page and what it is called.
pub(crate) type Named = (&'static str, Response<Bytes>);

/// All of them, as they come from the house.
pub(crate) fn pages(context: &Context<'_>) -> Vec<Named> {
    let mut all = notices(context);
    all.extend(devices::pages(context, &dominic()));
    if let Some(id) = AuthId::parse("hskey-authreq-4f1c09aa7be2d35861c0ffee") {
        all.extend(questions(context, &dominic(), &id));
    }
    all
}

fn notices(context: &Context<'_>) -> Vec<Named> {
    let fault = |status, fault| pages::error(context, status, fault);
    vec![
        ("cross-site", fault(StatusCode::FORBIDDEN, Fault::CrossSite)),
        (
            "method",
            fault(StatusCode::METHOD_NOT_ALLOWED, Fault::Method),
        ),
        (
            "store-away",
            fault(StatusCode::SERVICE_UNAVAILABLE, Fault::StoreAway),
        ),
        (
            "not-passed-on",
            fault(StatusCode::FORBIDDEN, Fault::NotPassedOn),
        ),
        (
            "headscale-too-old",
            fault(StatusCode::SERVICE_UNAVAILABLE, Fault::HeadscaleTooOld),
        ),
        (
            "internal",
            fault(StatusCode::INTERNAL_SERVER_ERROR, Fault::Internal),
        ),
        (
            "not-a-sign-in",
            fault(StatusCode::BAD_REQUEST, Fault::NotASignIn),
        ),
        ("attempt-expired", pages::attempt_expired(context)),
        ("attempt-used", pages::attempt_used(context)),
        (
            "provider-denied",
            pages::provider_refused(context, ProviderError::AccessDenied),
        ),
        (
            "provider-unfinished",
            pages::provider_refused(context, ProviderError::NotFinished),
        ),
        (
            "provider-error",
            pages::provider_refused(context, ProviderError::Misconfigured),
        ),
        ("sign-in-failed", pages::sign_in_failed(context)),
        (
            "provider-unavailable",
            pages::provider_unavailable(context, 30),
        ),
        (
            "upstream-502",
            pages::upstream_down(context, UpstreamFailure::BadAnswer),
        ),
        (
            "upstream-503",
            pages::upstream_down(context, UpstreamFailure::Unreachable),
        ),
        (
            "upstream-504",
            pages::upstream_down(context, UpstreamFailure::Timeout),
        ),
        ("start-again", pages::start_again(context)),
        ("newest-link", pages::newest_link(context, StatusCode::GONE)),
        ("step-up-refused", pages::step_up_refused(context)),
        ("step-up-not-done", pages::step_up_not_done(context)),
        (
            "nothing-sent",
            pages::nothing_sent(context, "/.headwarden/step-up?for=%2F"),
        ),
        ("cookies-needed", pages::cookies_needed(context)),
        ("not-found", pages::not_found(context)),
        ("misdirected", pages::misdirected(context)),
        ("too-many-requests", pages::too_many_requests(context, 10)),
        (
            "signed-out",
            pages::signed_out(context, AtTheProvider::Unknown),
        ),
        (
            "signed-out-there",
            pages::signed_out(context, AtTheProvider::Answered),
        ),
        ("signed-out-meanwhile", pages::signed_out_meanwhile(context)),
    ]
}

fn questions(context: &Context<'_>, who: &Identity, auth_id: &AuthId) -> Vec<Named> {
    let email = who.email.as_ref().map(|email| email.as_str().to_owned());
    let denials = [
        (
            "denied-group",
            Denial::Group {
                has: who.groups.to_strings(),
            },
        ),
        (
            "denied-domain",
            Denial::Domain {
                email: email.clone(),
            },
        ),
        ("denied-no-email", Denial::Domain { email: None }),
        (
            "denied-user",
            Denial::User {
                email: email.clone(),
            },
        ),
        (
            "denied-unverified",
            Denial::UnverifiedEmail {
                email: email.unwrap_or_default(),
            },
        ),
    ];
    let asked = Confirmation {
        auth_id,
        who,
        username: Some("dominic"),
        token: "one-time",
    };
    let refused = |refusal| pages::denied(context, refusal, who, Some("token"));
    let mut named: Vec<Named> = denials
        .iter()
        .map(|(name, denial)| (*name, refused(Refusal::Rule(denial))))
        .collect();
    named.extend([
        (
            "denied-username",
            refused(Refusal::Username(&UsernameError::FirstNotLetter)),
        ),
        ("denied-page", refused(Refusal::Page)),
        (
            "sign-out",
            pages::sign_out(context, Some(who), Some("token")),
        ),
        ("sign-out-unknown", pages::sign_out(context, None, None)),
        ("sessions", own_sessions(context, who, 3, false)),
        ("sessions-one", own_sessions(context, who, 1, false)),
        ("sessions-refused", own_sessions(context, who, 3, true)),
        ("confirm-register", pages::confirm_register(context, &asked)),
        ("confirm-ssh", pages::confirm_ssh(context, &asked)),
    ]);
    named
}

fn own_sessions(
    context: &Context<'_>,
    who: &Identity,
    count: usize,
    refused: bool,
) -> Response<Bytes> {
    let now = Timestamp::from_unix(1_795_655_109);
    let browsers = [
        (
            "192.0.2.7",
            "Mozilla/5.0 (Macintosh) Version/18.0 Safari/605.1.15",
            0,
        ),
        (
            "198.51.100.24",
            "Mozilla/5.0 (Windows NT 10.0) Firefox/131.0",
            7_200,
        ),
        (
            "2001:db8:85a3:1319:8a2e:370:7344:42",
            "something/1.0",
            400_000,
        ),
    ];
    let browsers = browsers.map(|(address, agent, ago)| {
        let unspecified = Ipv6Addr::UNSPECIFIED.into();
        (
            Browser::new(address.parse().unwrap_or(unspecified), agent),
            ago,
        )
    });
    let list = browsers.each_ref().map(|(browser, ago)| OwnSession {
        id: "7c1f09aa7be2d35861c0ffee",
        is_this: *ago == 0,
        browser,
        started_at: Timestamp::from_unix(now.unix() - 500_000),
        last_used: Timestamp::from_unix(now.unix() - ago),
    });
    let own = OwnSessions {
        who,
        list: list.get(..count).unwrap_or_default(),
        token: "one-time",
        now,
        refused,
    };
    pages::sessions(context, &own)
}

fn dominic() -> Identity {
    Identity {
        issuer: Issuer::new("https://authentik.company/application/o/headscale/"),
        subject: Subject::new("8e1f"),
        email: Some(Email::new("dominic@acmecorp.net")),
        email_verified: true,
        username: Some("dominic".into()),
        name: Some("Dominic Keller".into()),
        picture: None,
        groups: vec!["staff".to_owned()].into(),
        claims: NamedClaims::default(),
    }
}
