use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use super::*;
use crate::domain::door::{ApiKind, Guarded, Own};
use crate::domain::policy::Denial;
use crate::domain::time::Timestamp;

fn value(metrics: &Metrics, series: &str) -> Option<u64> {
    let text = metrics.render().unwrap();
    let line = text
        .lines()
        .find(|line| line.starts_with(&format!("{series} ")));
    line.and_then(|line| line.rsplit_once(' '))
        .map(|(_, value)| value.parse().unwrap())
}

#[test]
fn every_series_is_there_at_zero_before_anything_happens() {
    let metrics = Metrics::new().unwrap();
    let text = metrics.render().unwrap();
    let series: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
    assert_eq!(
        series.len(),
        3 * 2 * 3 + 6 * 5 + 6 + 3 + 11 + 7 + 6 + 3 * 4 + 3 * 4 + 11 + 3 + 2 + 1 + 1 + 5 * (1 + 8 + 2)
            // Latencies, the provider, tunnels' ends, the audit log, readiness.
            + 6 * (12 + 2) + 2 * 6 * (15 + 2) + 5 * 3 + 5 * (15 + 2) + 4 * 3 + 1 + 3 + 1 + 8
            // TLS, orders of certificates, the process.
            + 8 + 1 + 2 + 7
            // The configuration read again; requests without a door.
            + 3 + 6
            // Headscale's API key.
            + 1 + 2
            // People who are gone.
            + 2 + 3 + 3
            // Groups in the policy.
            + 1 + 6 + 1 + 1 + 3,
        "{text}"
    );
    let (build, rest): (Vec<&str>, Vec<&str>) = series
        .into_iter()
        .filter(|line| !line.starts_with("process_"))
        .partition(|line| line.starts_with("headwarden_build_info{"));
    assert!(build.iter().all(|line| line.ends_with(" 1")));
    assert!(rest.iter().all(|line| line.ends_with(" 0")), "{text}");
}

#[expect(clippy::too_many_lines, reason = "a table")]
#[test]
fn each_event_counts_in_its_own_series_and_no_other() {
    let metrics = Metrics::new().unwrap();
    metrics.request(&Door::Guarded(Guarded::Page), StatusCode::SEE_OTHER);
    metrics.request(&Door::Guarded(Guarded::Page), StatusCode::SEE_OTHER);
    metrics.request(
        &Door::Machine(Tunnel::Control),
        StatusCode::SWITCHING_PROTOCOLS,
    );
    metrics.request_cut(&Door::Api(ApiKind::V1));
    metrics.request_refused(Refused::Target);
    metrics.signed_in(SignIn::StepUp);
    metrics.callback_failed(CallbackFailure::Issuer);
    metrics.denied(Rule::from(&Denial::UnverifiedEmail {
        email: "a@b".to_owned(),
    }));
    metrics.logout(Logout::BackChannel, LogoutOutcome::Nothing);
    metrics.refreshed(Refresh::LostRight);
    metrics.tunnel_refused(Tunnel::Derp);
    metrics.limit_hit(Limit::HeaderTimeout);
    metrics.proxy_header_refused(ProxyHeader::Slow);
    metrics.store_up(true);
    metrics.store_asked(StoreOperation::Read, Duration::from_millis(3), true);
    metrics.store_asked(StoreOperation::Read, Duration::from_millis(30), true);
    metrics.store_asked(StoreOperation::Publish, Duration::from_secs(1), false);
    let door = Door::Guarded(Guarded::Page);
    metrics.added(&door, Duration::from_micros(300));
    metrics.request_took(&door, Duration::from_millis(30));
    metrics.upstream_answered(&Door::Open, Duration::from_millis(20));
    let took = Duration::from_millis(40);
    metrics.provider_asked(Endpoint::Keys, Answer::Refused, took);
    metrics.tunnel_ended(Tunnel::Derp, TunnelEnd::Broken);
    metrics.audit_write_failed();
    let checks = [("provider", true), ("headscale", false), ("x", false)];
    metrics.checked(false, checks.into_iter());
    metrics.relayed(Direction::Up, 7);
    metrics.relayed(Direction::Up, 3);
    metrics.relayed(Direction::Down, 1 << 40);
    metrics.handshake_failed(Handshake::NoClientCertificate);
    metrics.certificate_unusable();
    metrics.offboarding_people((2, 1));
    metrics.offboarded_device(Device::DryRun);
    metrics.offboarding_failed(Stage::Headscale);
    metrics.ordered(Order::Issued);
    metrics.certificate_expires(Path::new("/tls.crt"), Timestamp::from_unix(1_900_000_000));
    metrics.certificate_expires(Path::new("/tls.crt"), Timestamp::from_unix(2_000_000_000));
    metrics.policy_synced(Timestamp::from_unix(1_900_000_000));
    metrics.policy_failed(SyncFailure::FileMode);
    metrics.policy_holds(2, 3);
    metrics.policy_leaves_out("ambiguous", 1);
    metrics.policy_leaves_out("somebody@company", 1);
    for (series, expected) in [
        (
            "headwarden_policy_sync_last_success_timestamp_seconds",
            1_900_000_000,
        ),
        (
            "headwarden_policy_sync_failures_total{reason=\"file_mode\"}",
            1,
        ),
        (
            "headwarden_policy_sync_failures_total{reason=\"rejected\"}",
            0,
        ),
        ("headwarden_policy_sync_groups", 2),
        ("headwarden_policy_sync_members", 3),
        ("headwarden_policy_sync_left_out{reason=\"ambiguous\"}", 1),
        ("headwarden_policy_sync_left_out{reason=\"unknown\"}", 0),
        (
            "headwarden_requests_total{door=\"guarded\",status=\"3xx\"}",
            2,
        ),
        (
            "headwarden_requests_total{door=\"machine\",status=\"1xx\"}",
            1,
        ),
        (
            "headwarden_requests_total{door=\"guarded\",status=\"2xx\"}",
            0,
        ),
        ("headwarden_requests_cut_total{door=\"api\"}", 1),
        ("headwarden_requests_cut_total{door=\"guarded\"}", 0),
        ("headwarden_requests_refused_total{reason=\"target\"}", 1),
        ("headwarden_requests_refused_total{reason=\"slow\"}", 0),
        ("headwarden_sign_ins_total{purpose=\"step_up\"}", 1),
        ("headwarden_sign_ins_total{purpose=\"session\"}", 0),
        ("headwarden_callback_failures_total{reason=\"issuer\"}", 1),
        ("headwarden_denials_total{rule=\"unverified_email\"}", 1),
        (
            "headwarden_logouts_total{kind=\"back_channel\",outcome=\"nothing\"}",
            1,
        ),
        (
            "headwarden_logouts_total{kind=\"front_channel\",outcome=\"nothing\"}",
            0,
        ),
        ("headwarden_refreshes_total{outcome=\"lost_right\"}", 1),
        ("headwarden_refreshes_total{outcome=\"refused\"}", 0),
        ("headwarden_tunnels_refused_total{kind=\"derp\"}", 1),
        ("headwarden_limits_hit_total{kind=\"header_timeout\"}", 1),
        (
            "headwarden_added_seconds_bucket{door=\"guarded\",le=\"0.00025\"}",
            0,
        ),
        (
            "headwarden_added_seconds_bucket{door=\"guarded\",le=\"0.0005\"}",
            1,
        ),
        (
            "headwarden_request_seconds_bucket{door=\"guarded\",le=\"0.05\"}",
            1,
        ),
        ("headwarden_upstream_seconds_count{door=\"open\"}", 1),
        ("headwarden_upstream_seconds_count{door=\"guarded\"}", 0),
        (
            "headwarden_provider_requests_total{endpoint=\"keys\",outcome=\"refused\"}",
            1,
        ),
        (
            "headwarden_provider_requests_total{endpoint=\"keys\",outcome=\"failed\"}",
            0,
        ),
        ("headwarden_provider_seconds_count{endpoint=\"keys\"}", 1),
        (
            "headwarden_tunnels_ended_total{cause=\"broken\",kind=\"derp\"}",
            1,
        ),
        ("headwarden_audit_write_failures_total", 1),
        ("headwarden_ready", 0),
        ("headwarden_check_passing{check=\"provider\"}", 1),
        ("headwarden_check_passing{check=\"headscale\"}", 0),
        ("headwarden_check_passing{check=\"session_store\"}", 1),
        ("headwarden_proxy_headers_refused_total{reason=\"slow\"}", 1),
        ("headwarden_relayed_bytes_total{direction=\"up\"}", 10),
        ("headwarden_store_up", 1),
        (
            "headwarden_tls_handshake_failures_total{reason=\"no_client_certificate\"}",
            1,
        ),
        (
            "headwarden_tls_handshake_failures_total{reason=\"timeout\"}",
            0,
        ),
        ("headwarden_certificate_reload_failures_total", 1),
        ("headwarden_offboarding_people{state=\"waiting\"}", 2),
        ("headwarden_offboarding_people{state=\"held\"}", 1),
        (
            "headwarden_offboarding_devices_total{outcome=\"dry_run\"}",
            1,
        ),
        (
            "headwarden_offboarding_devices_total{outcome=\"expired\"}",
            0,
        ),
        (
            "headwarden_offboarding_failures_total{stage=\"headscale\"}",
            1,
        ),
        (
            "headwarden_offboarding_failures_total{stage=\"journal\"}",
            0,
        ),
        ("headwarden_acme_orders_total{outcome=\"issued\"}", 1),
        ("headwarden_acme_orders_total{outcome=\"failed\"}", 0),
        (
            "headwarden_certificate_expiry_seconds{path=\"/tls.crt\"}",
            2_000_000_000,
        ),
        (
            "headwarden_store_seconds_bucket{operation=\"read\",le=\"0.005\"}",
            1,
        ),
        ("headwarden_store_seconds_count{operation=\"read\"}", 2),
        ("headwarden_store_seconds_count{operation=\"publish\"}", 0),
        ("headwarden_store_failures_total{operation=\"publish\"}", 1),
        (
            "headwarden_relayed_bytes_total{direction=\"down\"}",
            1 << 40,
        ),
    ] {
        assert_eq!(value(&metrics, series), Some(expected), "{series}");
    }
}

#[test]
fn status_classes_have_their_edges_where_http_has_them() {
    for (status, class) in [
        (100, "1xx"),
        (199, "1xx"),
        (200, "2xx"),
        (299, "2xx"),
        (300, "3xx"),
        (399, "3xx"),
        (400, "4xx"),
        (499, "4xx"),
        (500, "5xx"),
        (999, "5xx"),
    ] {
        let metrics = Metrics::new().unwrap();
        metrics.request(&Door::Open, StatusCode::from_u16(status).unwrap());
        let series = format!("headwarden_requests_total{{door=\"open\",status=\"{class}\"}}");
        assert_eq!(value(&metrics, &series), Some(1), "{status}");
    }
}

#[test]
fn a_tunnel_is_open_until_its_guard_is_dropped() {
    let metrics = Metrics::new().unwrap();
    let open = "headwarden_tunnels_open{kind=\"control\"}";
    let opened = "headwarden_tunnels_opened_total{kind=\"control\"}";
    let first = metrics.tunnel_opened(Tunnel::Control);
    let second = metrics.tunnel_opened(Tunnel::Control);
    assert_eq!(
        (value(&metrics, open), value(&metrics, opened)),
        (Some(2), Some(2))
    );
    drop(first);
    assert_eq!(
        (value(&metrics, open), value(&metrics, opened)),
        (Some(1), Some(2))
    );
    drop(second);
    assert_eq!(
        (value(&metrics, open), value(&metrics, opened)),
        (Some(0), Some(2))
    );
}

#[test]
fn two_values_share_nothing() {
    let (one, other) = (Metrics::new().unwrap(), Metrics::new().unwrap());
    one.limit_hit(Limit::Tunnels);
    let series = "headwarden_limits_hit_total{kind=\"tunnels\"}";
    assert_eq!(
        (value(&one, series), value(&other, series)),
        (Some(1), Some(0))
    );
}

#[test]
fn of_addresses_of_web_uis_those_are_told_that_there_are() {
    let metrics = Metrics::new().unwrap();
    let at = |name: &str| format!("headwarden_upstream_healthy{{upstream=\"{name}\"}}");
    let told = |all: &[(&str, bool)]| {
        let all = all
            .iter()
            .map(|(name, healthy)| ((*name).to_owned(), *healthy));
        metrics.upstreams_are(all.collect());
        ["a:1", "b:1"].map(|name| value(&metrics, &at(name)))
    };
    assert_eq!(told(&[]), [None, None]);
    assert_eq!(told(&[("a:1", true), ("b:1", false)]), [Some(1), Some(0)]);
    assert_eq!(told(&[("b:1", true)]), [None, Some(1)]);
    assert_eq!(told(&[]), [None, None]);
}

#[test]
fn the_documentation_lists_exactly_the_families_and_label_values_there_are() {
    let metrics = Metrics::new().unwrap();
    // The families whose series the configuration names.
    metrics.certificate_expires(Path::new("/tls.crt"), Timestamp::from_unix(0));
    metrics.upstreams_are([("127.0.0.1:3000".to_owned(), true)].into());
    let text = metrics.render().unwrap();
    let families: BTreeSet<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE "))
        .filter_map(|line| line.split(' ').next())
        .collect();
    let rows: Vec<&str> = include_str!("../../../docs/metrics.md")
        .lines()
        .filter(|line| line.starts_with("| `headwarden_") || line.starts_with("| `process_"))
        .collect();
    let documented: BTreeSet<&str> = rows
        .iter()
        .filter_map(|row| row.split('`').nth(1))
        .collect();
    assert!(!families.is_empty());
    assert_eq!(documented, families);
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (name, _) = line.rsplit_once(' ').unwrap();
        let (name, labels) = name.split_once('{').unwrap_or((name, "}"));
        let part = ["_bucket", "_sum", "_count"]
            .iter()
            .find_map(|part| name.strip_suffix(part));
        let family = part
            .filter(|family| families.contains(family))
            .unwrap_or(name);
        let row = rows
            .iter()
            .find(|row| row.contains(&format!("`{family}`")))
            .unwrap();
        let (labels, _) = labels.split_once('}').unwrap();
        for label in labels
            .split(',')
            .filter(|label| !label.is_empty() && !label.starts_with("version="))
            .filter(|label| !label.starts_with("path=") && !label.starts_with("upstream="))
            // Of a histogram.
            .filter(|label| !label.starts_with("le="))
        {
            let (name, value) = label.split_once('=').unwrap();
            let value = value.trim_matches('"');
            assert!(row.contains(&format!("`{name}`")), "{family} {name}");
            assert!(row.contains(&format!("`{value}`")), "{family} {value}");
        }
    }
}

#[test]
fn no_door_and_no_tunnel_has_a_label_that_was_not_there_from_the_start() {
    let metrics = Metrics::new().unwrap();
    let series = || metrics.render().unwrap().lines().count();
    let before = series();
    let tunnels = [
        Tunnel::Control,
        Tunnel::ControlWebSocket,
        Tunnel::Derp,
        Tunnel::DerpWebSocket,
    ];
    for kind in tunnels {
        drop(metrics.tunnel_opened(kind));
        metrics.request(&Door::Machine(kind), StatusCode::OK);
    }
    for door in [
        Door::Open,
        Door::NoContent,
        Door::Verify,
        Door::Own(Own::Unknown),
        Door::Api(ApiKind::V1),
        Door::ApiDocs,
        Door::Guarded(Guarded::Page),
        Door::Closed,
    ] {
        metrics.request(&door, StatusCode::OK);
        metrics.request_cut(&door);
        metrics.added(&door, Duration::ZERO);
        metrics.request_took(&door, Duration::ZERO);
        metrics.upstream_answered(&door, Duration::ZERO);
    }
    metrics.checked(true, [("x", true), ("provider", true)].into_iter());
    assert_eq!(series(), before);
}
