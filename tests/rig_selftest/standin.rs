//! The stand-in's routes, upgrades and knobs.

use std::collections::BTreeSet;

use serde_json::json;

use crate::support::headscale_standin::tunnel::End;
use crate::support::headscale_standin::{FIRST_BYTES, Script};
use crate::{AUTH_ID, control, exchange, raw, standin, upgrade};

#[test]
fn an_upgrade_brings_the_first_bytes_in_the_same_segment_and_then_echoes() {
    let standin = standin();
    let mut client = raw(&standin);
    client.send(control().as_bytes()).unwrap();
    let head = client.read_head().unwrap();
    assert_eq!(head.status, 101);
    assert_eq!(
        head.fields.value("upgrade"),
        Some("tailscale-control-protocol")
    );
    assert_eq!(client.read_exact(FIRST_BYTES.len()).unwrap(), FIRST_BYTES);
    client.send(b"\x00ping\r\n\r\n").unwrap();
    assert_eq!(client.read_exact(9).unwrap(), b"\x00ping\r\n\r\n");
    assert_eq!(standin.tunnel(0).wait_for_bytes(9), b"\x00ping\r\n\r\n");
}

#[test]
fn the_server_goes_on_after_the_client_has_finished_sending() {
    let standin = standin();
    standin.configure(|options| options.farewell = b"farewell".to_vec());
    let mut client = raw(&standin);
    client.send(control().as_bytes()).unwrap();
    assert_eq!(client.read_head().unwrap().status, 101);
    client.send(b"last").unwrap();
    client.finish_sending().unwrap();
    let rest = client.read_to_end().unwrap();
    assert_eq!(rest, [FIRST_BYTES, b"last", b"farewell"].concat());
    assert_eq!(standin.tunnel(0).wait_for_end(), End::Finished);
}

#[test]
fn the_client_goes_on_after_the_server_has_finished_sending() {
    let standin = standin();
    let mut client = raw(&standin);
    client.send(control().as_bytes()).unwrap();
    let tunnel = standin.tunnel(0);
    tunnel.send(b"bye").unwrap();
    tunnel.finish_sending().unwrap();
    assert_eq!(client.read_head().unwrap().status, 101);
    assert_eq!(
        client.read_to_end().unwrap(),
        [FIRST_BYTES, b"bye"].concat()
    );
    client.send(b"still here").unwrap();
    assert_eq!(tunnel.wait_for_bytes(10), b"still here");
    client.finish_sending().unwrap();
    assert_eq!(tunnel.wait_for_end(), End::Finished);
}

#[test]
fn every_form_of_upgrade_gets_the_answer_of_headscale() {
    let websocket = |protocol: &str| {
        format!(
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Protocol: {protocol}\r\n"
        )
    };
    let control_protocol = websocket("tailscale-control-protocol");
    let derp_protocol = websocket("derp");
    let table = [
        (control(), 101),
        (
            upgrade("/ts2021", "GET", "websocket", &control_protocol),
            101,
        ),
        (upgrade("/derp", "GET", "DERP", ""), 101),
        (upgrade("/derp", "GET", "websocket", &derp_protocol), 101),
        (upgrade("/derp", "GET", "websocket", &control_protocol), 426),
        (
            upgrade("/ts2021", "POST", "tailscale-control-protocol", ""),
            400,
        ),
        (
            upgrade("/ts2021", "POST", "h2c", "X-Tailscale-Handshake: A\r\n"),
            400,
        ),
        ("POST /ts2021 HTTP/1.1\r\nHost: h\r\n\r\n".to_owned(), 500),
        ("GET /ts2021 HTTP/1.1\r\nHost: h\r\n\r\n".to_owned(), 405),
        ("GET /derp HTTP/1.1\r\nHost: h\r\n\r\n".to_owned(), 426),
    ];
    for (request, status) in table {
        let answer = exchange(&standin(), &request);
        assert_eq!(answer.status(), status, "{request}");
        if request.contains("websocket") && status == 101 {
            // The example of RFC 6455 section 1.3.
            let accept = answer.header("sec-websocket-accept");
            assert_eq!(accept, Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
        }
    }
}

#[test]
fn an_upgrade_can_be_answered_with_anything_else() {
    let standin = standin();
    let answer = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 4\r\n\r\nbusy";
    standin.configure(|options| options.upgrade_answer = Some(answer.to_vec()));
    let refused = exchange(&standin, &control());
    assert_eq!((refused.status(), refused.text().as_str()), (503, "busy"));
    assert_eq!(standin.tunnels(), 0);
}

#[test]
fn a_request_head_is_kept_byte_for_byte() {
    let standin = standin();
    let odd = "GET  /key?v=130 HTTP/1.1\r\n";
    assert_eq!(
        exchange(&standin, &format!("{odd}Host: h\r\n\r\n")).status(),
        400
    );
    let head = "GET /key?v=130 HTTP/1.1\r\nhOsT:h\r\nX-Twice: 1\r\nx-twice:   2 \r\n\r\n";
    assert_eq!(exchange(&standin, head).status(), 200);
    let body = "POST /verify HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n\
                5\r\n{\"Nod\r\n12\r\nePublic\":\"nodekey\"\r\n1\r\n}\r\n0\r\n\r\n";
    standin.configure(|options| options.members = BTreeSet::from(["nodekey".to_owned()]));
    assert_eq!(exchange(&standin, body).json(), json!({ "Allow": true }));
    assert_eq!(standin.heads()[0], head.as_bytes());
    assert_eq!(standin.requests()[1].body, br#"{"NodePublic":"nodekey"}"#);
}

#[test]
fn the_plain_routes_answer_as_headscale_does() {
    let standin = standin();
    let table = [
        ("GET /key?v=130", 200),
        ("GET /key?v=1", 200),
        ("GET /key", 400),
        ("GET /health", 200),
        ("POST /health", 405),
        ("GET /version", 200),
        ("HEAD /derp/probe", 200),
        ("GET /bootstrap-dns", 200),
        ("HEAD /machine/ping-response?id=1", 200),
        ("GET /apple", 200),
        ("GET /windows", 200),
        ("GET /", 200),
        ("GET /metrics", 200),
        ("GET /oidc/callback", 404),
        ("GET /api/v1/node", 401),
        ("GET /nowhere", 404),
        ("GET /register/short", 400),
    ];
    for (line, status) in table {
        let answer = exchange(&standin, &format!("{line} HTTP/1.1\r\nHost: h\r\n\r\n"));
        assert_eq!(answer.status(), status, "{line}");
    }
    let keyed =
        "GET /api/v1/node HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer hskey-api-standin\r\n\r\n";
    assert_eq!(exchange(&standin, keyed).json(), json!({ "nodes": [] }));
    let page = exchange(
        &standin,
        &format!("GET /register/{AUTH_ID} HTTP/1.1\r\nHost: h\r\n\r\n"),
    );
    assert!(page.text().contains(&format!("--auth-id {AUTH_ID}")));
}

#[test]
fn a_gate_holds_one_answer_back_and_a_stream_gives_chunks_as_they_come() {
    let standin = standin();
    let gate = standin.gate("/health");
    let mut waiting = raw(&standin);
    waiting
        .send(b"GET /health HTTP/1.1\r\nHost: h\r\n\r\n")
        .unwrap();
    standin.wait_for_request("/health");
    let meanwhile = exchange(&standin, "GET /health HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_eq!(meanwhile.status(), 200);
    gate.send(()).unwrap();
    assert_eq!(waiting.read_response("GET").unwrap().status(), 200);

    let chunks = standin.stream("/slow");
    let mut reading = raw(&standin);
    reading
        .send(b"GET /slow HTTP/1.1\r\nHost: h\r\n\r\n")
        .unwrap();
    assert_eq!(reading.read_head().unwrap().status, 200);
    for chunk in ["one", "two"] {
        chunks.send(chunk.into()).unwrap();
        assert_eq!(
            reading.read_chunk().unwrap().as_deref(),
            Some(chunk.as_bytes())
        );
    }
    drop(chunks);
    assert_eq!(reading.read_chunk().unwrap(), None);

    standin.script("/gone", Script::Close);
    let mut disappointed = raw(&standin);
    assert!(
        disappointed
            .exchange(b"GET /gone HTTP/1.1\r\nHost: h\r\n\r\n")
            .is_err()
    );
}
