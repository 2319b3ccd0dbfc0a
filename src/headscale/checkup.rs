//! A look at Headscale, for `headwarden doctor`: what its listener and its API say, each finding with its
//! fix. What its configuration file says is `file`'s business.

mod file;
mod policy;

use serde::Deserialize;

use super::api::read_keys;
use super::http::FetchError;
use super::keyfile::KeyFile;
use super::migrate::identifiers_begin_with;
use super::probe::{Health, Probe, Trust};
use super::versions::{Support, Version};
use crate::config::{Settings, SignIn};
use crate::domain::calendar::rfc3339;
use crate::domain::finding::Finding;
use crate::domain::identity::Issuer;
use crate::domain::random::Random;
use crate::domain::secret::Secret;
use crate::domain::time::Clock;

pub use file::check_config;

const HEALTH: &str = "headscale.health";
const VERSION: &str = "headscale.version";
const TRUST: &str = "headscale.oidc";
const API_KEY: &str = "headscale.api_key";
const USERS: &str = "headscale.users";

/// An API key that ends sooner gets a warning: a week.
const SOON: std::time::Duration = std::time::Duration::from_hours(7 * 24);

/// Looks at everything, in a fixed order.
pub async fn check_up(settings: &Settings, clock: &dyn Clock, random: &dyn Random) -> Vec<Finding> {
    let probe = match Probe::new(&settings.headscale) {
        Ok(probe) => probe,
        Err(why) => {
            let fix = "mend headscale.ca_path";
            return vec![Finding::failure(HEALTH, why.to_string(), fix)];
        }
    };
    let mut all = vec![
        health(&probe, settings).await,
        version(&probe).await,
        trust(&probe, settings).await,
        renewable(api_key(&probe, settings, clock).await, settings, random),
        users(&probe, settings).await,
    ];
    all.extend(policy::policy(&probe, settings).await);
    all
}

fn unreachable(check: &'static str, why: &FetchError, settings: &Settings) -> Finding {
    let at = settings.headscale.upstream.authority();
    let fix = format!(
        "start headscale, with listen_addr where headscale.url says ({at}); between containers, that is \
         its name and not loopback"
    );
    Finding::failure(check, why.to_string(), fix)
}

async fn health(probe: &Probe, settings: &Settings) -> Finding {
    match probe.health().await {
        Ok(Health::Pass) => Finding::ok(HEALTH, "headscale and its database answer"),
        Ok(Health::Fail(500)) => {
            let told = "headscale answers, and its database does not";
            Finding::failure(
                HEALTH,
                told,
                "look at headscale's own log, and at its database",
            )
        }
        Ok(Health::Fail(status)) => {
            let told = format!("/health answers {status}: is that headscale?");
            Finding::failure(
                HEALTH,
                told,
                "check headscale.url: another program may listen there",
            )
        }
        Err(why) => unreachable(HEALTH, &why, settings),
    }
}

async fn version(probe: &Probe) -> Finding {
    let Ok(version) = probe.version().await else {
        return Finding::skipped(VERSION, "headscale does not answer: see headscale.health");
    };
    judge_version(version)
}

fn judge_version(version: Version) -> Finding {
    match version.support() {
        Support::TooOld => Finding::failure(
            VERSION,
            format!("headscale is {version}, which is too old to sign devices in here"),
            "upgrade headscale to 0.26 or newer",
        ),
        Support::Unknown => Finding::warning(
            VERSION,
            "headscale does not say which version it is: it is older than 0.27, or built from source",
            "upgrade to a release of 0.27 or newer; until it is known, people are asked twice before a \
             device joins",
        ),
        Support::Supported => Finding::ok(VERSION, format!("headscale is {version}")),
    }
}

async fn trust(probe: &Probe, settings: &Settings) -> Finding {
    let Ok(found) = probe.trust().await else {
        return Finding::skipped(TRUST, "headscale does not answer: see headscale.health");
    };
    judge_trust(found, &settings.headscale.sign_in)
}

fn judge_trust(found: Trust, sign_in: &SignIn) -> Finding {
    match (found, sign_in) {
        (Trust::Trusts, SignIn::Issuer(_) | SignIn::Own) => {
            Finding::ok(TRUST, "headscale has an issuer that it reached")
        }
        (Trust::FellBack, SignIn::None) => Finding::ok(
            TRUST,
            "headscale has no oidc: block, as headscale.sign_in says",
        ),
        (Trust::FellBack, SignIn::Issuer(_)) => Finding::failure(
            TRUST,
            "headscale has no oidc: block, or could not reach its issuer when it started",
            "put the block of `headwarden headscale-config` into headscale's configuration, start \
             headwarden first, then restart headscale",
        ),
        (Trust::FellBack, SignIn::Own) => Finding::failure(
            TRUST,
            "headscale has no oidc: block, or could not reach the provider when it started",
            "check headscale's oidc: block, then restart headscale; without a block, write \
             headscale.sign_in: none",
        ),
        (Trust::Trusts, SignIn::None) => Finding::failure(
            TRUST,
            "headscale has an oidc: block, but headscale.sign_in is none, so its callback is a 404 here",
            "write headscale.sign_in: own, or take the block out of headscale's configuration",
        ),
        (Trust::Unclear(status), _) => Finding::warning(
            TRUST,
            format!("headscale's callback answers {status}, which tells nothing"),
            "check headscale.url: another program may listen there, or a proxy stand between",
        ),
    }
}

async fn api_key(probe: &Probe, settings: &Settings, clock: &dyn Clock) -> Finding {
    let Some(key) = &settings.headscale.api_key else {
        return Finding::skipped(API_KEY, "no headscale.api_key is set");
    };
    match probe.api("/api/v1/apikey", key).await {
        Ok((200, body)) => judge_key(&body, key, clock),
        Ok((401 | 403, _)) => Finding::failure(
            API_KEY,
            "headscale does not take the key: it has ended, or is another headscale's",
            "make a new one with `headscale apikeys create`, and put it into the file of \
             headscale.api_key_path",
        ),
        Ok((status, _)) => {
            let told = format!("/api/v1/apikey answers {status}");
            Finding::warning(API_KEY, told, "look at headscale's own log")
        }
        Err(_) => Finding::skipped(API_KEY, "headscale does not answer: see headscale.health"),
    }
}

/// What was found of the key, where its renewal would find a file that it can replace.
fn renewable(found: Finding, settings: &Settings, random: &dyn Random) -> Finding {
    let Some(renewal) = &settings.headscale.renewal else {
        return found;
    };
    match KeyFile::new(renewal.path.clone()).can_be_replaced(random) {
        Ok(()) => found,
        Err(why) => Finding::failure(
            API_KEY,
            format!("the key cannot be renewed: {why}"),
            "let the service's user write to that directory, or switch headscale.api_key_rotate off",
        ),
    }
}

/// Which of headscale's keys is ours is told by its public prefix.
fn judge_key(body: &[u8], key: &Secret<String>, clock: &dyn Clock) -> Finding {
    let keys = read_keys(body).unwrap_or_default();
    let ours = keys.iter().find(|known| known.is_of(key));
    let ends = ours.and_then(|known| known.expiration);
    let Some(ends) = ends else {
        return Finding::ok(API_KEY, "headscale takes the key");
    };
    let told = format!("headscale takes the key until {}", rfc3339(ends));
    if ends.since(clock.now()) < SOON {
        let fix = "make a new one with `headscale apikeys create` before then";
        return Finding::warning(API_KEY, told, fix);
    }
    Finding::ok(API_KEY, told)
}

#[derive(Deserialize)]
struct Users {
    #[serde(default)]
    users: Vec<User>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct User {
    #[serde(default)]
    provider_id: String,
}

async fn users(probe: &Probe, settings: &Settings) -> Finding {
    let issuer = match &settings.headscale.sign_in {
        SignIn::Issuer(issuer) => &issuer.url,
        SignIn::Own => &settings.oidc.issuer,
        SignIn::None => {
            return Finding::skipped(
                USERS,
                "headscale.sign_in is none: users are headscale's own",
            );
        }
    };
    let Some(key) = &settings.headscale.api_key else {
        let why = "who headscale's users are is seen with headscale.api_key only";
        return Finding::skipped(USERS, why);
    };
    match probe.api("/api/v1/user", key).await {
        Ok((200, body)) => judge_users(&body, issuer),
        Ok(_) | Err(_) => Finding::skipped(
            USERS,
            "headscale's users cannot be had: see headscale.api_key",
        ),
    }
}

/// Headscale's key for a person is the issuer and the subject: whoever has another issuer is somebody
/// else to it at the next sign-in.
fn judge_users(body: &[u8], issuer: &Issuer) -> Finding {
    let Ok(Users { users }) = serde_json::from_slice(body) else {
        return Finding::skipped(USERS, "headscale's users cannot be read");
    };
    let Some(ours) = identifiers_begin_with(issuer) else {
        return Finding::skipped(USERS, "the issuer is no URL");
    };
    let known = users.iter().filter(|user| !user.provider_id.is_empty());
    let (here, elsewhere): (Vec<&User>, Vec<&User>) =
        known.partition(|user| user.provider_id.starts_with(&ours));
    let Some(example) = elsewhere.first() else {
        let told = format!("{} users of {issuer}, none of another issuer", here.len());
        return Finding::ok(USERS, told);
    };
    let old = example
        .provider_id
        .rsplit_once('/')
        .map_or("", |(old, _)| old);
    let count = elsewhere.len();
    Finding::failure(
        USERS,
        format!(
            "{count} users are of another issuer ({old}): at their next sign-in they become new ones"
        ),
        format!(
            "stop headscale, and run what `headwarden headscale-migrate --from {}` prints",
            for_shell(old)
        ),
    )
}

/// One word to a shell, whatever is in it: the subject of a stranger may be part of it.
fn for_shell(text: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b":/._~-".contains(&b);
    if text.bytes().all(plain) && !text.is_empty() && !text.starts_with('-') {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests;
