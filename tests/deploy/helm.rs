//! The Helm chart: rendered where `HELM_BIN` names Helm 3, and looked at without it.

use std::collections::BTreeSet;
use std::process::Command;

use serde_json::Value;

use crate::files::{documents, project, succeed, text};

const CHART: &str = "deploy/helm/headwarden";

fn values(name: &str) -> Value {
    documents(&text(&format!("{CHART}/{name}"))).remove(0)
}

/// Every template of the chart.
fn templates() -> String {
    let mut names: Vec<_> = std::fs::read_dir(project(CHART).join("templates"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    names.sort();
    names
        .iter()
        .map(|path| std::fs::read_to_string(path).unwrap())
        .collect()
}

/// Helm's binary, or a word that nothing is rendered.
fn helm() -> Option<Command> {
    let binary = std::env::var_os("HELM_BIN");
    if binary.is_none() {
        eprintln!("NOT TESTED: HELM_BIN names no Helm, so the chart is not rendered");
    }
    binary.map(Command::new)
}

/// Helm, rendering the chart for the oldest Kubernetes it is for: what a Helm takes for the present one
/// depends on how it was built.
fn template() -> Option<Command> {
    let mut helm = helm()?;
    let required = values("Chart.yaml")["kubeVersion"].to_string();
    let oldest = required.trim_matches(|c: char| !c.is_ascii_digit());
    let oldest = oldest.trim_end_matches("-0");
    helm.args(["template", "headscale"]).arg(project(CHART));
    helm.args(["--kube-version", oldest]);
    helm.arg("--values")
        .arg(project(CHART).join("ci/example-values.yaml"));
    Some(helm)
}

fn render(more: &[&str]) -> Option<Vec<Value>> {
    Some(documents(&succeed(template()?.args(more))))
}

#[test]
fn the_rendered_chart_agrees_with_itself_and_with_the_code() {
    if let Some(manifests) = render(&[]) {
        crate::kubernetes::examine(&manifests);
    }
}

#[test]
fn helm_itself_has_no_complaint() {
    let Some(mut helm) = helm() else { return };
    helm.args(["lint", "--strict"]).arg(project(CHART));
    succeed(
        helm.arg("--values")
            .arg(project(CHART).join("ci/example-values.yaml")),
    );
}

#[test]
fn what_the_operator_writes_wins_and_what_is_wrong_is_refused() {
    let own = [
        "--set",
        "config.session.idle_timeout=1h",
        "--set",
        "headscale.config.dns.base_domain=mine.internal",
    ];
    let Some(manifests) = render(&own) else {
        return;
    };
    let map = manifests
        .iter()
        .find(|manifest| manifest["kind"] == "ConfigMap")
        .unwrap();
    let ours = map["data"]["headwarden.yaml"].as_str().unwrap();
    assert!(
        ours.contains("idle_timeout: 1h") && ours.contains("server_url: "),
        "{ours}"
    );
    let theirs = map["data"]["headscale.yaml"].as_str().unwrap();
    assert!(
        theirs.contains("base_domain: mine.internal") && theirs.contains("magic_dns: true"),
        "{theirs}"
    );
    for (wrong, told) in [
        ("image.tag=latest", "'/image/tag'"),
        ("serverUrl=http://headscale.company", "'/serverUrl'"),
        ("image.digest=sha256:1", "'/image/digest'"),
        ("typo=1", "'typo'"),
    ] {
        let output = template().unwrap().args(["--set", wrong]).output().unwrap();
        assert!(!output.status.success(), "{wrong} is taken");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains(told), "{wrong}: {said}");
    }
    // Whatever else may be chosen comes out as something that agrees with the code.
    for other in [
        "tlsSecret=,trustedProxies={10.0.0.0/8}",
        "service.stun=true",
        "networkPolicy.enabled=false",
        "service.type=ClusterIP,shutdown.graceSeconds=300",
    ] {
        let manifests = render(&["--set", other]).unwrap();
        assert!(!manifests.is_empty(), "{other}");
    }
}

#[test]
fn the_chart_is_of_the_version_of_the_binary() {
    let chart = values("Chart.yaml");
    assert_eq!(chart["appVersion"], env!("CARGO_PKG_VERSION"));
    assert_eq!(chart["version"], env!("CARGO_PKG_VERSION"));
}

/// The key paths of `tree` that lead to a value which is no map, or an empty one.
fn paths(tree: &Value, above: &str, found: &mut BTreeSet<String>) {
    match tree.as_object().filter(|map| !map.is_empty()) {
        Some(map) => map
            .iter()
            .for_each(|(key, value)| paths(value, &format!("{above}.{key}"), found)),
        None => drop(found.insert(above.trim_start_matches('.').to_owned())),
    }
}

#[test]
fn every_value_is_used_and_every_value_that_is_used_exists() {
    let mut known = BTreeSet::new();
    paths(&values("values.yaml"), "", &mut known);
    assert!(known.len() > 20, "the scan is broken");
    let templates = templates();
    let used: BTreeSet<String> = templates
        .split(".Values.")
        .skip(1)
        .map(|rest| {
            let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '.');
            rest[..end.unwrap_or(rest.len())]
                .trim_end_matches('.')
                .to_owned()
        })
        .collect();
    let covers = |one: &str, other: &str| other == one || other.starts_with(&format!("{one}."));
    for path in &used {
        assert!(
            known
                .iter()
                .any(|known| covers(path, known) || covers(known, path)),
            "{path} is no value"
        );
    }
    for path in &known {
        assert!(
            used.iter().any(|used| covers(used, path)),
            "{path} is used nowhere"
        );
    }
}

#[test]
fn every_value_has_a_place_in_the_schema() {
    let schema: Value =
        serde_json::from_str(&text(&format!("{CHART}/values.schema.json"))).unwrap();
    let values = values("values.yaml");
    for (key, value) in values.as_object().unwrap() {
        let place = &schema["properties"][key];
        assert!(place.is_object(), "{key} is not in the schema");
        for inner in place["properties"]
            .as_object()
            .into_iter()
            .flatten()
            .map(|(inner, _)| inner)
        {
            assert!(
                value.get(inner).is_some(),
                "{key}.{inner} is not in values.yaml"
            );
        }
    }
}
