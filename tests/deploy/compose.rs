//! `deploy/compose`: its parts agree with one another and with the code.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::files::{accepted, documents, list, pinned, text, word};

fn compose() -> Value {
    documents(&text("deploy/compose/compose.yaml")).remove(0)
}

/// The settings of `.env.example`.
fn environment() -> BTreeMap<String, String> {
    let text = text("deploy/compose/.env.example");
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let pairs = lines.filter_map(|line| line.split_once('='));
    pairs
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

/// The blueprint, without authentik's tags.
fn blueprint() -> Value {
    let text = text("deploy/compose/authentik/headwarden.yaml");
    let tags = ["!Find ", "!KeyOf ", "!Format ", "!Env ", "!File "];
    let plain = tags.iter().fold(text, |text, tag| text.replace(tag, ""));
    documents(&plain).remove(0)
}

/// The attributes of the blueprint's only entry of a model.
fn made(model: &str) -> Value {
    let blueprint = blueprint();
    let entries: Vec<&Value> = list(&blueprint["entries"])
        .iter()
        .filter(|entry| entry["model"] == model)
        .collect();
    assert_eq!(entries.len(), 1, "{model}");
    entries[0].clone()
}

#[test]
fn every_variable_of_the_compose_file_is_in_the_example_and_every_one_there_is_used() {
    let text = text("deploy/compose/compose.yaml");
    let used: BTreeSet<&str> = text
        .split("${")
        .skip(1)
        .map(|rest| rest.split([':', '}']).next().unwrap())
        .collect();
    let known = environment();
    let known: BTreeSet<&str> = known.keys().map(String::as_str).collect();
    assert_eq!(used, known);
}

#[test]
fn every_image_is_of_one_version() {
    let environment = environment();
    let compose = compose();
    let services = compose["services"].as_object().unwrap();
    assert_eq!(services.len(), 7);
    for (name, service) in services {
        let image = service
            .get("image")
            .unwrap_or(&compose["x-authentik"]["image"]);
        let (repository, rest) = word(image)
            .split_once(":${")
            .unwrap_or_else(|| panic!("{name}: {image}"));
        let variable = rest.split(':').next().unwrap();
        pinned(&format!("{repository}:{}", environment[variable]));
    }
    assert_eq!(environment["HEADWARDEN_TAG"], env!("CARGO_PKG_VERSION"));
}

#[test]
fn every_secret_is_made_before_it_is_needed() {
    let compose = compose();
    let up = text("deploy/compose/up");
    for (name, secret) in compose["secrets"].as_object().unwrap() {
        assert_eq!(word(&secret["file"]), format!("./secrets/{name}"));
        assert!(up.contains(&format!("keep {name} ")), "{name} is not made");
    }
    let known = compose["secrets"].as_object().unwrap();
    let mut used = 0;
    for file in [
        "compose.yaml",
        "authentik/headwarden.yaml",
        "headplane/config.yaml",
        "headscale/config.yaml",
    ] {
        let text = text(&format!("deploy/compose/{file}"));
        for rest in text.split("/run/secrets/").skip(1) {
            let name: String = rest
                .chars()
                .take_while(|c| c.is_ascii_lowercase() || *c == '_')
                .collect();
            assert!(known.contains_key(&name), "{file}: no secret {name}");
            used += 1;
        }
    }
    assert!(used > 5, "the scan is broken");
}

#[test]
fn only_caddy_is_reached_from_outside() {
    let compose = compose();
    for (name, service) in compose["services"].as_object().unwrap() {
        let published = service.get("ports").is_some() || service.get("network_mode").is_some();
        assert_eq!(published, name == "caddy", "{name}");
    }
}

#[test]
fn headwarden_accepts_its_configuration() {
    let config = text("deploy/compose/headwarden/config.yaml");
    let environment = [
        ("HEADWARDEN_SERVER_URL", "https://headscale.company"),
        (
            "HEADWARDEN_OIDC_ISSUER",
            "https://authentik.company/application/o/headscale/",
        ),
    ];
    accepted("compose", &config, &environment);
}

#[test]
fn who_is_believed_is_who_says_so() {
    let compose = compose();
    let headwarden = documents(&text("deploy/compose/headwarden/config.yaml")).remove(0);
    let headplane = documents(&text("deploy/compose/headplane/config.yaml")).remove(0);
    let headscale = documents(&text("deploy/compose/headscale/config.yaml")).remove(0);
    let address = |service: &str, network: &str| {
        let address = word(&compose["services"][service]["networks"][network]["ipv4_address"]);
        format!("{address}/32")
    };
    assert_eq!(
        word(&headwarden["trusted_proxies"][0]),
        address("caddy", "front")
    );
    assert_eq!(list(&headwarden["trusted_proxies"]).len(), 1);
    let believed = &headplane["server"]["proxy_auth"]["allowed_cidrs"];
    assert_eq!(word(&believed[0]), address("headwarden", "ui"));
    assert_eq!(list(believed).len(), 1);
    let subnet = &compose["networks"]["tailnet"]["ipam"]["config"][0]["subnet"];
    assert_eq!(headscale["trusted_proxies"], serde_json::json!([subnet]));
    // Headplane's headers are those that Headwarden sends.
    let sent = text("docs/guides/identity.md");
    for key in ["user_header", "email_header", "name_header"] {
        let header = word(&headplane["server"]["proxy_auth"][key]);
        assert!(
            sent.contains(&format!("`{header}`")),
            "{header} is not sent"
        );
    }
}

#[test]
fn the_blueprint_makes_what_headwarden_asks_for() {
    let headwarden = documents(&text("deploy/compose/headwarden/config.yaml")).remove(0);
    let provider = made("authentik_providers_oauth2.oauth2provider")["attrs"].clone();
    assert_eq!(provider["client_id"], headwarden["oidc"]["client_id"]);
    assert_eq!(provider["client_type"], "confidential");
    assert!(provider["encryption_key"].is_null() && !provider["signing_key"].is_null());
    // Without refresh tokens nobody would be checked again.
    assert!(list(&headwarden["oidc"]["scope"]).contains(&Value::from("offline_access")));
    assert!(list(&provider["grant_types"]).contains(&Value::from("refresh_token")));
    assert!(
        provider["property_mappings"]
            .to_string()
            .contains("scope-offline_access")
    );
    // Its addresses are doors of ours, and its slug is in the issuer.
    let door = text("src/domain/door.rs");
    let addresses = [
        &provider["redirect_uris"][0]["url"],
        &provider["redirect_uris"][1]["url"],
        &provider["logout_uri"],
    ];
    for address in addresses {
        let path = word(&address[0]).strip_prefix("https://%s").unwrap();
        let last = path.rsplit('/').next().unwrap();
        assert!(door.contains(last), "{path} is no door");
    }
    let slug = made("authentik_core.application")["identifiers"]["slug"].clone();
    let issuer = format!("/application/o/{}/", word(&slug));
    assert!(text("deploy/compose/compose.yaml").contains(&issuer));
    // Every group that a rule names is there.
    let blueprint = blueprint();
    let groups: BTreeSet<&str> = list(&blueprint["entries"])
        .iter()
        .filter(|entry| entry["model"] == "authentik_core.group")
        .map(|entry| word(&entry["identifiers"]["name"]))
        .collect();
    let named = list(&headwarden["oidc"]["allowed_groups"])
        .iter()
        .chain(list(&headwarden["access"][0]["groups"]));
    assert_eq!(groups, named.map(word).collect());
}

#[test]
fn headscales_block_is_the_one_that_headwarden_prints() {
    let headscale = documents(&text("deploy/compose/headscale/config.yaml")).remove(0);
    let headwarden = documents(&text("deploy/compose/headwarden/config.yaml")).remove(0);
    assert_eq!(
        headscale["oidc"]["issuer"],
        headwarden["headscale"]["issuer"]["url"]
    );
    assert_eq!(headscale["oidc"]["use_expiry_from_token"], true);
    assert_eq!(headscale["listen_addr"], "0.0.0.0:8080");
    assert_eq!(headwarden["headscale"]["url"], "http://headscale:8080");
}
