//! Rules for browser paths: where they lead, whom they ask, and what goes together.

mod demands;
mod open;
mod overlap;
mod pattern;
mod upstream;

use super::super::file::{self, List};
use super::super::report::Report;
use super::super::settings::Access;
use super::Checks;
use super::assurance::{self, assurance};
use super::identity_headers::{self, assertion, identity_headers};
use crate::domain::access::NEVER_PUBLIC;
use pattern::{head, mistake};

pub(super) use open::{open, warn_opened};
pub(super) use upstream::check_rewrites;

/// What a rule cannot govern: other doors decide there, before any rule is looked at.
const NOT_OURS: &[&str] = &[
    "/.headwarden",
    "/bootstrap-dns",
    "/debug",
    "/derp",
    "/generate_204",
    "/health",
    "/key",
    "/machine",
    "/metrics",
    "/oidc",
    "/ts2021",
    "/verify",
];

/// Where a role decides, or a key of one's own. A rule can ask a session there for a recent or a
/// stronger sign-in, and for nothing else.
const APIS: &[&str] = &["/api/v1", "/api/v2"];

/// What holds the API, and more: a rule for all of it can mean the rest.
const ABOVE_APIS: &[&str] = &["/api/*", "/api/**"];

/// The API's documentation, which Headscale answers.
const API_DOCS: &[&str] = &["/swagger"];

/// Where calls by gRPC go, which bring credentials of their own.
const GRPC: &[&str] = &["/headscale.v1.HeadscaleService"];

/// Most claims that all rules together may name: every session keeps them.
const MOST_CLAIMS: usize = 16;

/// What only Headscale can answer.
const HEADSCALES: &[&str] = &["/auth", "/register"];

/// The `access` section.
pub(super) fn access(list: List<file::Access>, checks: &mut Checks<'_>) -> Option<Vec<Access>> {
    let list = list.unwrap_or_default();
    let count = list.len();
    let mut rules: Vec<Access> = Vec::with_capacity(count);
    for (index, entry) in list.into_iter().enumerate() {
        let key = format!("access[{index}]");
        rules.extend(rule(&key, entry.unwrap_or_default(), checks));
    }
    let report = &mut checks.report;
    if rules.len() < count || report.is_broken("access") {
        return None;
    }
    overlap::warn(&rules, report);
    if kept_claims(&rules).len() > MOST_CLAIMS {
        let reason = format!("the rules name more than {MOST_CLAIMS} claims");
        report.refuse_with("access", reason, "every session keeps each of them");
        return None;
    }
    Some(rules)
}

/// The claims that rules name, each once.
pub(super) fn kept_claims(rules: &[Access]) -> Vec<String> {
    let each = rules.iter().flat_map(|rule| rule.demands.claims.keys());
    let once: std::collections::BTreeSet<&String> = each.collect();
    once.into_iter().cloned().collect()
}

fn rule(key: &str, mut entry: file::Access, checks: &mut Checks<'_>) -> Option<Access> {
    let means = Means::of(&entry);
    let path = path(
        &format!("{key}.path"),
        entry.path.take(),
        means,
        &mut checks.report,
    );
    let (to, ca_path) = (entry.upstream.take(), entry.ca_path.take());
    let upstream = upstream::upstream(key, to, path.as_deref(), ca_path, checks);
    let report = &mut checks.report;
    let assurance = assurance(
        assurance::Written {
            max_age: entry.max_auth_age.take(),
            acr: entry.acr.take(),
            amr: entry.amr.take(),
        },
        &assurance::Keys {
            max_age: &format!("{key}.max_auth_age"),
            acr: &format!("{key}.acr"),
            amr: &format!("{key}.amr"),
        },
        report,
    );
    let methods = demands::methods(key, entry.methods.take(), report);
    let demands = demands::demands(key, &mut entry, report);
    let identity_headers = identity_headers(
        &format!("{key}.identity_headers"),
        entry.identity_headers.take(),
        report,
    );
    let assertion = assertion(
        key,
        entry.assertion,
        entry.assertion_audience.take(),
        &upstream,
        report,
    );
    public(&format!("{key}.public"), means, report)?;
    Some(Access {
        path: path?,
        methods: methods?,
        public: means.public,
        upstream: upstream.ok()?,
        demands: demands?,
        assurance: assurance?,
        identity_headers: identity_headers?,
        assertion: assertion.ok()?,
    })
}

/// A rule that asks nobody cannot ask for more, or tell who it is.
fn public(key: &str, means: Means, report: &mut Report) -> Option<()> {
    if means.public && means.asks_somebody {
        report.refuse_with(
            key,
            "nobody is asked who they are, so nothing can be asked of them or told about them",
            "remove public, or groups, domains, users, claims, max_auth_age, acr, amr, \
             identity_headers and assertion",
        );
        return None;
    }
    Some(())
}

/// What a rule says as a whole.
#[derive(Clone, Copy)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a question of its own"
)]
struct Means {
    /// It has an upstream of its own.
    elsewhere: bool,
    /// It asks for a sign-in of some kind, and says nothing else.
    a_sign_in_alone: bool,
    /// It asks nobody.
    public: bool,
    /// It asks for somebody, or tells of them.
    asks_somebody: bool,
}

impl Means {
    fn of(entry: &file::Access) -> Self {
        let of_sign_in = entry.max_auth_age.is_some() || entry.acr.is_some() || entry.amr.is_some();
        let of_person = entry.groups.is_some()
            || entry.domains.is_some()
            || entry.users.is_some()
            || entry.claims.is_some();
        let tells = entry.identity_headers.is_some() || entry.assertion.is_some();
        let public = entry.public == Some(true);
        let elsewhere = entry.upstream.is_some();
        Self {
            elsewhere,
            a_sign_in_alone: of_sign_in && !elsewhere && !of_person && !tells && !public,
            public,
            asks_somebody: of_sign_in
                || of_person
                || entry.assertion == Some(true)
                || identity_headers::tell_something(entry.identity_headers.as_ref()),
        }
    }
}

fn path(key: &str, text: Option<String>, means: Means, report: &mut Report) -> Option<String> {
    let Some(text) = text else {
        report.refuse_with(key, "is required", "for example /admin/**");
        return None;
    };
    if let Some((reason, hint)) = mistake(&text) {
        report.refuse_with(key, reason, hint);
        return None;
    }
    let below = |tops: &[&str]| is_below(&text, tops);
    if below(NOT_OURS) {
        report.refuse_with(
            key,
            "no rule is looked at for this path",
            "machines and Headwarden's own pages have fixed doors",
        );
        return None;
    }
    if below(APIS) && !means.a_sign_in_alone {
        report.refuse_with(
            key,
            "on the API a rule can ask for max_auth_age, acr and amr only",
            "who may use it is in the api section",
        );
        return None;
    }
    if means.public && below(NEVER_PUBLIC) {
        report.refuse_with(
            key,
            "is never public",
            "devices' links and the API need somebody who signed in; remove public",
        );
        return None;
    }
    if means.elsewhere && below(HEADSCALES) {
        report.refuse_with(
            key,
            "only Headscale can answer here",
            "remove the rule's upstream",
        );
        return None;
    }
    counts_for_nothing(key, &text, means, report);
    Some(text)
}

/// Whether a pattern is one of `tops`, which may be trees, or below.
fn is_below(pattern: &str, tops: &[&str]) -> bool {
    let path = head(pattern);
    tops.iter().any(|top| {
        path.strip_prefix(head(top))
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    })
}

/// Warns of what a rule says in vain.
fn counts_for_nothing(key: &str, pattern: &str, means: Means, report: &mut Report) {
    if ABOVE_APIS.contains(&pattern) && !means.a_sign_in_alone {
        report.warn(
            key,
            "on /api/v1 and /api/v2 only max_auth_age, acr and amr of this rule count: who may use the API is \
             in the api section",
        );
    }
    if is_below(pattern, API_DOCS) && means.elsewhere {
        report.warn(
            key,
            "headscale answers here, and never the upstream of this rule",
        );
    }
    if is_below(pattern, GRPC) {
        report.warn(
            key,
            "no rule is looked at for calls by gRPC: api.bearer decides, and headscale",
        );
    }
}
