//! What is told, with the names that the JSON of `headwarden explain` has.

use std::borrow::Cow;

use serde::Serialize;

use crate::domain::assurance::{Assurance, Missing};
use crate::domain::door::{ApiKind, Door, Guarded};
use crate::domain::identity::Identity;

/// What would become of a request.
#[derive(Clone, Debug, Serialize)]
pub struct Explanation {
    /// The method that was asked about.
    pub method: String,
    /// The path that was asked about.
    pub path: String,
    /// In one word.
    pub outcome: Outcome,
    /// In one sentence.
    pub why: String,
    /// The door; none where the path is refused before.
    pub door: Option<DoorTold>,
    /// The person, as a sign-in would know them.
    pub person: PersonTold,
    /// What the lists of `oidc` say.
    pub rules: RulesTold,
    /// The rules of `access` that are asked for this path, in their order.
    pub access: Vec<AccessTold>,
    /// Where the request would go, `host:port`; of a web UI with several addresses all of them.
    pub upstream: Option<String>,
    /// The path that is asked for there, where it is another one.
    pub upstream_path: Option<String>,
    /// What is asked of the sign-in.
    pub step_up: StepUpTold,
    /// What the upstream would be told about the person.
    pub identity_headers: Vec<Field>,
    /// Whom the signed assertion would be for, if the upstream gets one.
    pub assertion: Option<String>,
    /// What Headscale would be told about the person.
    pub headscale: HeadscaleTold,
    /// What a session may do on the API.
    pub api: ApiTold,
    /// What else to know.
    pub notes: Vec<String>,
}

/// In one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It is served.
    Allowed,
    /// It is served after another sign-in.
    StepUp,
    /// What decides is not in the claims.
    Depends,
    /// It is not served.
    Denied,
}

impl Outcome {
    /// The word.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Allowed => "allowed",
            Self::StepUp => "step-up",
            Self::Depends => "depends",
            Self::Denied => "denied",
        }
    }
}

/// A door.
#[derive(Clone, Debug, Serialize)]
pub struct DoorTold {
    /// As in logs and metrics.
    pub name: &'static str,
    /// What is behind it.
    pub kind: &'static str,
    /// Who passes.
    pub passes: &'static str,
}

/// A person.
#[derive(Clone, Debug, Serialize)]
pub struct PersonTold {
    /// `sub`.
    pub subject: String,
    /// The value of `oidc.username_claim`.
    pub username: Option<String>,
    /// `email`.
    pub email: Option<String>,
    /// Whether the provider verified it.
    pub email_verified: bool,
    /// `name`.
    pub name: Option<String>,
    /// The value of `oidc.groups_claim`.
    pub groups: Vec<String>,
}

/// What the lists say.
#[derive(Clone, Debug, Serialize)]
pub struct RulesTold {
    /// All of them together.
    pub admitted: bool,
    /// The rule that refuses, as in logs and metrics.
    pub denial: Option<&'static str>,
    /// Why it refuses.
    pub refusal: Option<String>,
    /// Each list by itself.
    pub lists: Vec<List>,
}

/// One list.
#[derive(Clone, Debug, Serialize)]
pub struct List {
    /// Its key.
    pub list: String,
    /// Whether anything is in it.
    pub restricts: bool,
    /// Whether it lets this person through.
    pub matched: bool,
    /// What is in it.
    pub wanted: Vec<String>,
    /// What the claims have to set against it.
    pub found: Vec<String>,
    /// What of the list fits.
    pub matches: Vec<String>,
}

/// A rule for a path.
#[derive(Clone, Debug, Serialize)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is an answer of its own"
)]
pub struct AccessTold {
    /// Its place in `access`.
    pub index: usize,
    /// Its pattern.
    pub path: String,
    /// The methods that it is about.
    pub methods: String,
    /// Whether it asks nobody.
    pub public: bool,
    /// Whether it means this very path. If not, a careless upstream could take the path for one of
    /// its own, and so it is asked too.
    pub exactly: bool,
    /// Whether it is the rule that says where the request goes.
    pub routes: bool,
    /// Whether it lets this person through.
    pub admitted: bool,
    /// What the person has not, if it does not.
    pub unmet: Option<String>,
    /// Its groups.
    pub groups: List,
    /// Its e-mail domains.
    pub domains: List,
    /// Its users.
    pub users: List,
    /// Its claims.
    pub claims: Vec<List>,
}

/// What is asked of a sign-in.
#[derive(Clone, Debug, Serialize)]
pub struct StepUpTold {
    /// Whether the person would be sent to the provider again.
    pub needed: bool,
    /// The oldest sign-in that will do, in seconds.
    pub max_auth_age_seconds: Option<u64>,
    /// The classes of which one will do.
    pub acr: Vec<String>,
    /// The methods of which one will do.
    pub amr: Vec<String>,
    /// What is missing: `age`, `acr`, `amr`.
    pub missing: Vec<&'static str>,
}

/// A field of the request.
#[derive(Clone, Debug, Serialize)]
pub struct Field {
    /// Its name.
    pub name: Cow<'static, str>,
    /// Its value, as it is sent.
    pub value: String,
}

/// What Headscale would be told.
#[derive(Clone, Debug, Serialize)]
pub struct HeadscaleTold {
    /// `headscale.sign_in`. In other modes than `issuer` nothing is told.
    pub sign_in: &'static str,
    /// The user name.
    pub name: Option<String>,
    /// The address.
    pub email: Option<String>,
    /// `sub`.
    pub subject: Option<String>,
    /// Why nothing can be told.
    pub refusal: Option<String>,
}

/// What a session may do on the API.
#[derive(Clone, Debug, Serialize)]
pub struct ApiTold {
    /// `admin`, `viewer` or `none`.
    pub role: &'static str,
    /// Whether there is an API key to put in; without one a role means nothing.
    pub key: bool,
    /// Whether credentials of the request's own pass.
    pub bearer: bool,
}

pub(super) fn person(who: &Identity) -> PersonTold {
    PersonTold {
        subject: who.subject.as_str().to_owned(),
        username: who.username.as_deref().map(str::to_owned),
        email: who.email.as_ref().map(|email| email.as_str().to_owned()),
        email_verified: who.email_verified,
        name: who.name.as_deref().map(str::to_owned),
        groups: who.groups.to_strings(),
    }
}

pub(super) fn step_up(asked: &Assurance, missing: Option<Missing>) -> StepUpTold {
    let missing = missing.unwrap_or_default();
    let texts = |values: Vec<&str>| values.into_iter().map(str::to_owned).collect();
    let named = [
        (missing.age, "age"),
        (missing.acr, "acr"),
        (missing.amr, "amr"),
    ];
    StepUpTold {
        needed: !missing.is_nothing(),
        max_auth_age_seconds: asked.max_age.map(|age| age.as_secs()),
        acr: texts(asked.acr_values()),
        amr: texts(asked.amr_values()),
        missing: named
            .into_iter()
            .filter_map(|(is, name)| is.then_some(name))
            .collect(),
    }
}

pub(super) fn door(door: &Door) -> DoorTold {
    let (kind, passes) = match door {
        Door::Machine(tunnel) => (tunnel.label(), "anybody, limited by address"),
        Door::Open => ("open path", "anybody, limited by address"),
        Door::NoContent => ("captive-portal check", "anybody"),
        Door::Verify => ("verify", "the networks of headscale.verify_from"),
        Door::Own(_) => ("headwarden's own page", "whoever it is for"),
        Door::Api(ApiKind::V1) => ("API v1", API),
        Door::Api(ApiKind::V2) => ("API v2", API),
        Door::Api(ApiKind::V2Token) => ("API v2 token endpoint", "whoever headscale gives a token"),
        Door::Api(ApiKind::Grpc) => ("gRPC", "an API key that headscale checks"),
        Door::ApiDocs => (
            "the API's documentation",
            "a session with a role on the API",
        ),
        Door::Guarded(Guarded::Register(_)) => ("a device's link", SESSION),
        Door::Guarded(Guarded::SshCheck(_)) => ("an SSH check's link", SESSION),
        Door::Guarded(Guarded::RegisterConfirm(_)) => ("a device's confirmation", SESSION),
        Door::Guarded(Guarded::Page) => ("page", SESSION),
        Door::Closed => ("closed", "nobody"),
    };
    DoorTold {
        name: door.label(),
        kind,
        passes,
    }
}

const API: &str = "an API key that headscale checks, or a session with a role";
const SESSION: &str = "a session that the rules admit";
