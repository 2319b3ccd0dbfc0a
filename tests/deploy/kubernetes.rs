//! `deploy/kubernetes`: the manifests agree with one another and with the code.

use serde_json::Value;

use crate::files::{accepted, documents, list, pinned, text, word};

pub(crate) const SECRETS: [(&str, &str); 2] = [
    ("HEADWARDEN_OIDC_CLIENT_SECRET", "0123456789abcdef"),
    (
        "HEADWARDEN_HEADSCALE_ISSUER_CLIENT_SECRET",
        "0123456789abcdef",
    ),
];

fn manifests() -> Vec<Value> {
    let names = [
        "namespace",
        "secret.example",
        "configmap",
        "statefulset",
        "services",
        "networkpolicy",
    ];
    let texts = names.map(|name| text(&format!("deploy/kubernetes/{name}.yaml")));
    texts.iter().flat_map(|text| documents(text)).collect()
}

/// The only one of a kind.
fn one<'a>(manifests: &'a [Value], kind: &str) -> &'a Value {
    let mut found = manifests.iter().filter(|manifest| manifest["kind"] == kind);
    let one = found.next().unwrap_or_else(|| panic!("no {kind}"));
    assert!(found.next().is_none(), "more than one {kind}");
    one
}

/// What Kubernetes and Helm must both have right.
#[expect(clippy::too_many_lines, reason = "a list of what has to agree")]
pub(crate) fn examine(manifests: &[Value]) {
    let pod = &one(manifests, "StatefulSet")["spec"]["template"]["spec"];
    let [headwarden] = list(&pod["initContainers"]) else {
        panic!("one sidecar")
    };
    let [headscale] = list(&pod["containers"]) else {
        panic!("one container")
    };

    // Headwarden is a sidecar, and Headscale waits for it.
    assert_eq!(headwarden["restartPolicy"], "Always");
    let code = text("src/app/probes.rs");
    for (probe, path) in [
        ("startupProbe", "/startupz"),
        ("livenessProbe", "/livez"),
        ("readinessProbe", "/readyz"),
    ] {
        let get = &headwarden[probe]["httpGet"];
        assert_eq!((word(&get["path"]), word(&get["port"])), (path, "admin"));
        assert!(
            code.contains(&format!("\"{path}\"")),
            "{path} is not served"
        );
    }

    // Kubernetes' strictest profile.
    assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
    assert_eq!(
        pod["securityContext"]["seccompProfile"]["type"],
        "RuntimeDefault"
    );
    assert_eq!(
        pod["securityContext"]["fsGroupChangePolicy"],
        "OnRootMismatch"
    );
    assert_eq!(pod["automountServiceAccountToken"], false);
    for container in [headwarden, headscale] {
        let context = &container["securityContext"];
        assert_eq!(context["allowPrivilegeEscalation"], false);
        assert_eq!(context["readOnlyRootFilesystem"], true);
        assert_eq!(context["capabilities"]["drop"], serde_json::json!(["ALL"]));
        pinned(word(&container["image"]));
        assert!(container["resources"]["limits"]["memory"].is_string());
    }

    // The configurations.
    let data = &one(manifests, "ConfigMap")["data"];
    let config = word(&data["headwarden.yaml"]);
    accepted("the ConfigMap", config, &SECRETS);
    let [ours] = &documents(config)[..] else {
        panic!("one configuration")
    };
    let [theirs] = &documents(word(&data["headscale.yaml"]))[..] else {
        panic!("one configuration")
    };
    assert_eq!(ours["server_url"], theirs["server_url"]);
    assert_eq!(ours["headscale"]["issuer"]["url"], theirs["oidc"]["issuer"]);
    assert_eq!(
        ours["headscale"]["url"],
        format!("http://{}", word(&theirs["listen_addr"]))
    );

    // The ports of the container are the listeners, and Services and policy lead to them by name.
    let port = |name: &str| -> u64 {
        let port = list(&headwarden["ports"])
            .iter()
            .find(|port| port["name"] == name);
        port.unwrap_or_else(|| panic!("no port {name}"))["containerPort"]
            .as_u64()
            .unwrap()
    };
    assert_eq!(
        ours["listen"][0]["address"],
        format!("0.0.0.0:{}", port("https"))
    );
    assert_eq!(
        ours["listen"][1]["address"],
        format!("0.0.0.0:{}", port("http"))
    );
    assert_eq!(
        ours["admin"]["address"],
        format!("0.0.0.0:{}", port("admin"))
    );
    let policy = &one(manifests, "NetworkPolicy")["spec"];
    let services = manifests
        .iter()
        .filter(|manifest| manifest["kind"] == "Service");
    let led: Vec<&Value> = services
        .flat_map(|service| list(&service["spec"]["ports"]))
        .map(|port| &port["targetPort"])
        .chain(
            list(&policy["ingress"])
                .iter()
                .flat_map(|rule| list(&rule["ports"]))
                .map(|port| &port["port"]),
        )
        .collect();
    assert_eq!(led.len(), 6);
    for name in led {
        assert!(port(word(name)) > 1024);
    }
    // Nobody but the named ones reaches the admin listener.
    let guarded = list(&policy["ingress"])
        .iter()
        .find(|rule| rule["ports"][0]["port"] == "admin");
    assert!(!list(&guarded.unwrap()["from"]).is_empty());

    // The end: Kubernetes waits longer than Headwarden does.
    let seconds = |key: &str| -> u64 {
        let value = word(&ours["shutdown"][key]);
        value.strip_suffix('s').unwrap().parse().unwrap()
    };
    let waits = pod["terminationGracePeriodSeconds"].as_u64().unwrap();
    assert!(waits > seconds("lead") + seconds("grace"));

    // What is mounted is where the configuration looks for it, and is not a copy that never changes.
    let mounts = list(&headwarden["volumeMounts"]);
    assert!(mounts.iter().all(|mount| mount.get("subPath").is_none()));
    let mounted: Vec<&str> = mounts
        .iter()
        .map(|mount| word(&mount["mountPath"]))
        .collect();
    let key = word(&ours["listen"][0]["tls"]["key_path"]);
    assert!(
        mounted.iter().any(|path| key.starts_with(path)),
        "{key} is not mounted"
    );
    assert!(mounted.contains(&"/var/lib/headwarden") && mounted.contains(&"/etc/headwarden"));
}

#[test]
fn the_manifests_agree_with_one_another_and_with_the_code() {
    examine(&manifests());
}

#[test]
fn the_secrets_of_the_example_are_refused() {
    let manifests = manifests();
    let secret = &one(&manifests, "Secret")["stringData"];
    let config = word(&one(&manifests, "ConfigMap")["data"]["headwarden.yaml"]);
    let environment = [
        (
            "HEADWARDEN_OIDC_CLIENT_SECRET",
            word(&secret["oidc_client_secret"]),
        ),
        (
            "HEADWARDEN_HEADSCALE_ISSUER_CLIENT_SECRET",
            word(&secret["headscale_client_secret"]),
        ),
    ];
    let refused = crate::files::check(config, &environment);
    assert_eq!(refused.status.code(), Some(2));
    let said = crate::files::said(&refused);
    for key in ["oidc.client_secret", "headscale.issuer.client_secret"] {
        assert!(said.contains(key), "{said}");
    }
}

#[test]
fn everything_is_in_the_one_namespace() {
    let manifests = manifests();
    assert!(manifests.len() >= 7);
    let namespace = &one(&manifests, "Namespace")["metadata"]["name"];
    for manifest in manifests
        .iter()
        .filter(|manifest| manifest["kind"] != "Namespace")
    {
        assert_eq!(&manifest["metadata"]["namespace"], namespace, "{manifest}");
    }
}
