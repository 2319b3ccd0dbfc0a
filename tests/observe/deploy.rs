//! The dashboard and the alert rules: they are made of metrics that exist, in words that Prometheus
//! understands, and every alert is explained and tried.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::metrics::promtool;

fn read(path: &str) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The metrics of the table, with the parts of histograms.
fn documented() -> BTreeSet<String> {
    let text = read("docs/metrics.md");
    let mut names = BTreeSet::new();
    for row in text.lines().filter(|row| row.starts_with("| `")) {
        let name = row.split('`').nth(1).unwrap();
        names.insert(name.to_owned());
        if row.contains("| histogram |") {
            names.extend(["bucket", "sum", "count"].map(|part| format!("{name}_{part}")));
        }
    }
    assert!(names.len() > 30, "{names:?}");
    names
}

/// Our own metrics that an expression names.
fn named(expression: &str) -> BTreeSet<String> {
    let words = expression.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words
        .filter(|word| word.starts_with("headwarden_") || word.starts_with("process_"))
        .map(str::to_owned)
        .collect()
}

fn alerts() -> Vec<String> {
    let rules = read("deploy/prometheus/alerts.yml");
    let names = rules
        .lines()
        .filter_map(|line| line.trim().strip_prefix("- alert: "));
    names.map(str::to_owned).collect()
}

/// Every expression of the dashboard, with its place.
fn expressions(value: &Value, at: &str, found: &mut Vec<(String, String)>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                match value.as_str() {
                    Some(text) if name == "expr" => found.push((at.to_owned(), text.to_owned())),
                    _ => expressions(value, &format!("{at}.{name}"), found),
                }
            }
        }
        Value::Array(values) => {
            for (index, value) in values.iter().enumerate() {
                expressions(value, &format!("{at}[{index}]"), found);
            }
        }
        _ => {}
    }
}

#[test]
fn the_dashboard_asks_for_metrics_that_exist_in_a_language_that_prometheus_speaks() {
    let dashboard: Value = serde_json::from_str(&read("deploy/grafana/headwarden.json")).unwrap();
    let (mut found, known) = (Vec::new(), documented());
    expressions(&dashboard, "", &mut found);
    assert!(found.len() > 30, "{found:?}");
    let mut rules = String::from("groups:\n  - name: dashboard\n    rules:\n");
    let mut used = BTreeSet::new();
    for (at, expression) in &found {
        let names = named(expression);
        assert!(!names.is_empty(), "{at}: {expression}");
        let unknown: Vec<_> = names.difference(&known).collect();
        assert!(unknown.is_empty(), "{at}: {unknown:?}");
        used.extend(names);
        let plain = expression.replace("$__rate_interval", "5m");
        let quoted = serde_json::to_string(&plain).unwrap();
        let record = format!("      - record: x:y{}\n", used.len());
        rules = rules + &record + "        expr: " + &quoted + "\n";
    }
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("rules.yml");
    std::fs::write(&path, rules).unwrap();
    assert_eq!(
        promtool(&["check", "rules", path.to_str().unwrap()], ""),
        ""
    );
    assert!(used.len() > 25, "{used:?}");
    let panels = dashboard["panels"].as_array().unwrap();
    let ids: BTreeSet<u64> = panels
        .iter()
        .map(|panel| panel["id"].as_u64().unwrap())
        .collect();
    assert_eq!(ids.len(), panels.len());
    for panel in panels.iter().filter(|panel| panel["type"] != "row") {
        let told = panel["description"].as_str().unwrap_or_default();
        assert!(told.ends_with('.'), "{}", panel["title"]);
        assert_eq!(
            panel["datasource"]["uid"], "${datasource}",
            "{}",
            panel["title"]
        );
    }
}

#[test]
fn the_alert_rules_do_what_they_say_of_metrics_that_exist() {
    let rules = read("deploy/prometheus/alerts.yml");
    let known = documented();
    let unknown: Vec<String> = named(&rules).difference(&known).cloned().collect();
    assert_eq!(unknown, Vec::<String>::new());
    assert_eq!(
        promtool(&["check", "rules", "deploy/prometheus/alerts.yml"], ""),
        ""
    );
    let tests = "deploy/prometheus/alerts_test.yml";
    assert_eq!(promtool(&["test", "rules", tests], ""), "");
}

#[test]
fn every_alert_is_explained_and_tried_both_ways() {
    let (page, tests) = (
        read("docs/observability.md"),
        read("deploy/prometheus/alerts_test.yml"),
    );
    let alerts = alerts();
    assert!(alerts.len() >= 15, "{alerts:?}");
    for alert in &alerts {
        assert!(
            page.contains(&format!("| `{alert}` |")),
            "{alert} is not explained"
        );
        let tried: Vec<&str> = tests.split("  - name: ").skip(1).collect();
        let tried: Vec<_> = tried
            .iter()
            .filter(|test| test.contains(&format!("alertname: {alert}\n")))
            .collect();
        let fires = tried
            .iter()
            .filter(|test| test.contains("exp_alerts"))
            .count();
        assert!(
            fires >= 1 && tried.len() > fires,
            "{alert}: {fires} of {}",
            tried.len()
        );
    }
    let explained = page
        .lines()
        .filter(|row| row.starts_with("| `Headwarden"))
        .count();
    assert_eq!(
        explained,
        alerts.len(),
        "an alert is explained that is not there"
    );
}
