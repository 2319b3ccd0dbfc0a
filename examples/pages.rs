//! Writes every page into a directory, to be looked at in a browser:
//! `cargo run --example pages -- /tmp/pages`.

use std::error::Error;
use std::path::PathBuf;

use bytes::Bytes;
use headwarden::domain::identity::{Email, Identity, Issuer, Subject};
use headwarden::domain::policy::Denial;
use headwarden::domain::username::UsernameError;
use headwarden::pages::{self, Confirmation, Context, ProviderError, Refusal, UpstreamFailure};
use http::{Response, StatusCode};

fn main() -> Result<(), Box<dyn Error>> {
    let directory = std::env::args_os()
        .nth(1)
        .map(PathBuf::from)
        .ok_or("which directory?")?;
    std::fs::create_dir_all(&directory)?;
    let who = dominic();
    let context = Context {
        site: "headscale.company",
        support_id: "k7rd2m9xq4",
        form_action: &[],
    };
    for (name, page) in notices(&context)
        .into_iter()
        .chain(questions(&context, &who))
    {
        std::fs::write(directory.join(format!("{name}.html")), page.body())?;
    }
    Ok(())
}

type Named = (&'static str, Response<Bytes>);

fn notices(context: &Context<'_>) -> Vec<Named> {
    vec![
        (
            "error",
            pages::error(
                context,
                StatusCode::BAD_REQUEST,
                "This address cannot be used",
                "It can be read in more than one way.",
                Some("Type it again, or go back to the page you came from."),
            ),
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
        ("cookies-needed", pages::cookies_needed(context)),
        ("not-found", pages::not_found(context)),
        ("misdirected", pages::misdirected(context)),
        ("too-many-requests", pages::too_many_requests(context, 10)),
        ("signed-out", pages::signed_out(context)),
    ]
}

fn questions(context: &Context<'_>, who: &Identity) -> Vec<Named> {
    let email = who.email.as_ref().map(|email| email.as_str().to_owned());
    let denials = [
        (
            "denied-group",
            Denial::Group {
                has: who.groups.clone(),
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
        auth_id: "hskey-authreq-4f1c09aa7be2d35861c0ffee",
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
        ("confirm-register", pages::confirm_register(context, &asked)),
        ("confirm-ssh", pages::confirm_ssh(context, &asked)),
    ]);
    named
}

fn dominic() -> Identity {
    Identity {
        issuer: Issuer::new("https://authentik.company/application/o/headscale/"),
        subject: Subject::new("8e1f"),
        email: Some(Email::new("dominic@acmecorp.net")),
        email_verified: true,
        username: Some("dominic".to_owned()),
        name: Some("Dominic Keller".to_owned()),
        picture: None,
        groups: vec!["staff".to_owned()],
    }
}
