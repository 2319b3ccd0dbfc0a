//! Whether the provider's groups can be written into the policy.

use serde::Deserialize;

use crate::config::Settings;
use crate::domain::finding::Finding;
use crate::domain::policy_groups::{Groups, Refusal, with_groups};
use crate::headscale::probe::Probe;

pub(super) const POLICY: &str = "headscale.policy";

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Policy {
    #[serde(default)]
    policy: String,
    updated_at: Option<String>,
}

/// Nothing where no groups are to be written.
pub(super) async fn policy(probe: &Probe, settings: &Settings) -> Option<Finding> {
    let key = settings.headscale.api_key.as_ref()?;
    if !settings.policy_sync.is_on() {
        return None;
    }
    Some(match probe.api("/api/v1/policy", key).await {
        Ok((401 | 403, _)) | Err(_) => {
            let why = "the policy cannot be had: see headscale.health and headscale.api_key";
            Finding::skipped(POLICY, why)
        }
        Ok((status, body)) => judge(status, &body),
    })
}

/// A file has no time of its last change: none up to 0.29, and Go's zero time from 0.30 on.
fn judge(status: u16, body: &[u8]) -> Finding {
    let found = serde_json::from_slice::<Policy>(body).unwrap_or(Policy {
        policy: String::new(),
        updated_at: None,
    });
    let text = String::from_utf8_lossy(body);
    let in_a_file = text.contains("reading policy from");
    let of_a_file = found
        .updated_at
        .as_deref()
        .is_none_or(|time| time.starts_with("0001-"));
    if in_a_file || (status == 200 && of_a_file) {
        return Finding::failure(
            POLICY,
            "headscale's policy is a file, which nothing can be written into",
            "set policy.mode: database in headscale's configuration, restart it, and put the policy in \
             with `headscale policy set --file`",
        );
    }
    match with_groups(&found.policy, &Groups::new()) {
        Ok(_) => Finding::ok(POLICY, "groups can be written into the policy"),
        Err(Refusal::NoPolicy) => Finding::failure(
            POLICY,
            Refusal::NoPolicy.to_string(),
            "`headscale policy set --file` with a policy that has rules",
        ),
        Err(why) => Finding::failure(
            POLICY,
            why.to_string(),
            "mend the policy: `headscale policy get` prints it",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::finding::Level;

    #[test]
    fn a_policy_that_is_a_file_or_nothing_or_ambiguous_is_told_of_before_anything_is_written() {
        for (status, body, level, part) in [
            (
                200,
                r#"{"policy": "{}", "updatedAt": "2026-01-01T00:00:00Z"}"#,
                Level::Ok,
                "can be written",
            ),
            (
                200,
                r#"{"policy": "{}", "updatedAt": null}"#,
                Level::Failure,
                "is a file",
            ),
            (
                200,
                r#"{"policy": "{}", "updatedAt": "0001-01-01T00:00:00Z"}"#,
                Level::Failure,
                "is a file",
            ),
            (
                500,
                r#"{"message": "reading policy from path \"/x\""}"#,
                Level::Failure,
                "is a file",
            ),
            (
                500,
                r#"{"message": "loading ACL from database: acl policy not found"}"#,
                Level::Failure,
                "has no policy",
            ),
            (
                200,
                r#"{"policy": "", "updatedAt": "2026-01-01T00:00:00Z"}"#,
                Level::Failure,
                "has no policy",
            ),
            (
                200,
                r#"{"policy": "{\"groups\": []}", "updatedAt": "2026-01-01T00:00:00Z"}"#,
                Level::Failure,
                "not an object",
            ),
        ] {
            let finding = judge(status, body.as_bytes());
            assert_eq!(finding.level, level, "{body}: {finding:?}");
            assert!(format!("{finding:?}").contains(part), "{body}: {finding:?}");
        }
    }
}
