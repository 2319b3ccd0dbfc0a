//! The policy: a file's, or the database's.

use serde_json::json;

use super::super::{PolicyMode, State};
use super::{Answer, Call, Fault, time};

const DISABLED: &str = "update is disabled for modes other than 'database'";

pub(super) fn get(state: &State) -> Answer {
    match &state.options.policy {
        PolicyMode::File(Some(text)) => Ok(json!({ "policy": text, "updatedAt": null })),
        PolicyMode::File(None) => {
            let path = "/etc/headscale/policy.hujson";
            let detail = format!("reading policy from path {path:?}");
            let error = format!("open {path}: no such file or directory");
            Err(Fault::error(500, &detail, error.clone()).before(format!("{detail}: {error}")))
        }
        PolicyMode::Database => {
            let (detail, error) = ("loading ACL from database", "acl policy not found");
            let none = || Fault::error(500, detail, error).before(format!("{detail}: {error}"));
            let text = state.policy.as_ref().ok_or_else(none)?;
            Ok(json!({ "policy": text, "updatedAt": time::written(time::now()) }))
        }
    }
}

pub(super) fn put(state: &mut State, call: &Call<'_>) -> Answer {
    let text = text(call)?;
    if !matches!(state.options.policy, PolicyMode::Database) {
        return Err(Fault::error(400, DISABLED, DISABLED));
    }
    if let Some(fault) = fault(state, &text) {
        return Err(Fault::error(400, "setting policy", fault.clone())
            .before(format!("setting policy: {fault}")));
    }
    state.policy = Some(text);
    get(state)
}

pub(super) fn check(state: &State, call: &Call<'_>) -> Answer {
    let text = text(call)?;
    match fault(state, &text) {
        None => Ok(json!({})),
        Some(fault) => Err(Fault {
            errors: vec![json!({ "message": fault })],
            ..Fault::coded(400, 3, &fault)
        }),
    }
}

fn text(call: &Call<'_>) -> Result<String, Fault> {
    let body = call.object(&["policy"])?;
    Ok(body["policy"].as_str().unwrap_or_default().to_owned())
}

/// What is configured to be wrong with a text.
fn fault(state: &State, text: &str) -> Option<String> {
    let faults = &state.options.policy_faults;
    let found = faults.iter().find(|(part, _)| text.contains(part.as_str()));
    found.map(|(_, fault)| fault.clone())
}
