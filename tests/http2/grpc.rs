//! gRPC for Headscale up to 0.29: its service behind the API's door, over HTTP/2 from end to end, with
//! trailers intact.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response};
use tokio::runtime::Runtime;

use crate::faulty_provider::Person as Account;
use crate::serving::{KNOWN, connect};
use crate::stage::{SAME_ORIGIN, Stage, ask, session_line};
use crate::support::house::More;
use crate::support::http2::{Answer, Http2, Outcome};

const SERVICE: &str = "/headscale.v1.HeadscaleService";
const KEY: &str = "Authorization: Bearer hskey-api-standin";
const TYPE: &str = "Content-Type: application/grpc";
const TE: &str = "TE: trailers";

/// A peer that speaks HTTP/2 with prior knowledge and answers by the name of the method.
struct Peer {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<Request<()>>>>,
    _runtime: Runtime,
}

impl Peer {
    fn start() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let seen = Arc::default();
        let listener = runtime
            .block_on(tokio::net::TcpListener::bind("127.0.0.1:0"))
            .expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        runtime.spawn(accept(listener, Arc::clone(&seen)));
        Self {
            address,
            seen,
            _runtime: runtime,
        }
    }

    fn seen(&self) -> Vec<Request<()>> {
        self.seen.lock().unwrap().drain(..).collect()
    }
}

async fn accept(listener: tokio::net::TcpListener, seen: Arc<Mutex<Vec<Request<()>>>>) {
    while let Ok((tcp, _)) = listener.accept().await {
        let seen = Arc::clone(&seen);
        tokio::spawn(async move {
            let mut connection = h2::server::handshake(tcp).await.expect("HTTP/2");
            while let Some(Ok((request, respond))) = connection.accept().await {
                let (parts, body) = request.into_parts();
                let method = parts
                    .uri
                    .path()
                    .rsplit('/')
                    .next()
                    .unwrap_or_default()
                    .to_owned();
                seen.lock().unwrap().push(Request::from_parts(parts, ()));
                tokio::spawn(serve(method, body, respond));
            }
        });
    }
}

/// A message of gRPC: not compressed, its length, itself.
fn message(text: &[u8]) -> Vec<u8> {
    let length = u32::try_from(text.len()).expect("short").to_be_bytes();
    [&[0], &length[..], text].concat()
}

async fn serve(
    method: String,
    mut body: h2::RecvStream,
    mut respond: h2::server::SendResponse<Bytes>,
) {
    let head = Response::builder()
        .header("content-type", "application/grpc")
        .header("x-initial", "metadata");
    if method == "Bare" {
        // Trailers only: the answer's head says it all.
        let head = head.header("grpc-status", "5").body(()).expect("a head");
        let _ = respond.send_response(head, true);
        return;
    }
    let head = head.body(()).expect("a head");
    let mut stream = respond.send_response(head, false).expect("it is sent");
    let mut said = Vec::new();
    while let Some(Ok(piece)) = body.data().await {
        let _ = body.flow_control().release_capacity(piece.len());
        if method == "Echo" {
            let _ = stream.send_data(piece, false);
        } else {
            said.extend_from_slice(&piece);
        }
    }
    if method != "Echo" {
        let _ = stream.send_data(Bytes::from(said), false);
    }
    let mut trailers = HeaderMap::new();
    let status = if method == "Fail" { "7" } else { "0" };
    trailers.insert("grpc-status", HeaderValue::from_static(status));
    trailers.insert("grpc-message", HeaderValue::from_static("caf%C3%A9"));
    trailers.insert("set-cookie", HeaderValue::from_static("headwarden=planted"));
    let _ = stream.send_trailers(trailers);
}

fn stage(peer: Option<&Peer>, top: &'static str) -> Stage {
    let url = peer.map(|peer| format!("  grpc_url: http://{}\n", peer.address));
    let headscale = format!("  api_key: hskey-api-standin\n{}", url.unwrap_or_default());
    Stage::start_with(|_| More {
        listen: KNOWN,
        headscale: headscale.leak(),
        top,
        ..More::default()
    })
}

/// A call with these messages, each in a frame of its own.
fn call(client: &mut Http2, method: &str, lines: &[&str], messages: &[&[u8]]) -> Outcome {
    let fields = client.fields("POST", &format!("{SERVICE}/{method}"), lines);
    let stream = client.open(&fields, false).unwrap();
    for text in messages {
        client.data(stream, &message(text), false).unwrap();
    }
    client.data(stream, b"", true).unwrap();
    client.outcome(stream)
}

fn answer(outcome: Outcome) -> Answer {
    match outcome {
        Outcome::Answer(answer) => answer,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_call_with_a_key_reaches_headscale_and_its_status_comes_back_in_trailers() {
    let peer = Peer::start();
    let stage = stage(Some(&peer), "");
    let mut client = connect(&stage.house);
    let lines = [
        KEY,
        TYPE,
        TE,
        "grpc-timeout: 5S",
        "x-metadata: 1",
        "remote-user: f0rged",
    ];
    for (method, status) in [("ListNodes", "0"), ("Echo", "0"), ("Fail", "7")] {
        let messages: [&[u8]; 2] = [b"one", b"two"];
        let answer = answer(call(&mut client, method, &lines, &messages));
        assert_eq!(answer.response.status(), 200, "{method}");
        assert_eq!(
            answer.response.header("content-type"),
            Some("application/grpc")
        );
        assert_eq!(answer.response.header("x-initial"), Some("metadata"));
        assert_eq!(
            answer.response.body,
            [message(b"one"), message(b"two")].concat()
        );
        assert_eq!(
            answer.trailers.value("grpc-status"),
            Some(status),
            "{method}"
        );
        assert_eq!(answer.trailers.value("grpc-message"), Some("caf%C3%A9"));
        assert_eq!(answer.trailers.value("set-cookie"), None, "{method}");
        let [seen] = &peer.seen()[..] else {
            panic!("{method}: not seen once")
        };
        let field = |name: &str| seen.headers().get(name).map(|v| v.to_str().unwrap());
        assert_eq!(field("authorization"), Some("Bearer hskey-api-standin"));
        assert_eq!(field("te"), Some("trailers"));
        assert_eq!(field("grpc-timeout"), Some("5S"));
        assert_eq!(field("x-metadata"), Some("1"));
        assert_eq!(field("remote-user"), None);
        assert_eq!(field("x-forwarded-for"), Some("127.0.0.1"));
        assert_eq!(seen.uri().path(), format!("{SERVICE}/{method}"));
    }
    let bare = answer(call(&mut client, "Bare", &lines, &[]));
    assert_eq!(bare.response.header("grpc-status"), Some("5"));
}

#[test]
fn a_call_that_changes_something_is_in_the_audit_log_and_one_that_asks_is_not() {
    let peer = Peer::start();
    let stage = stage(Some(&peer), "");
    let mut client = connect(&stage.house);
    for method in ["ListNodes", "GetPolicy", "DeleteUser", "Listen"] {
        let outcome = call(&mut client, method, &[KEY, TYPE, TE], &[b"one"]);
        assert_eq!(answer(outcome).response.status(), 200, "{method}");
    }
    // Each is written once its call is over, and that of the last may be the first.
    let writes = || -> Vec<String> {
        let log = stage.house.log();
        let lines = log.lines().map(str::to_owned);
        lines
            .filter(|line| line.contains("act=\"api_write\"") && line.contains(" status="))
            .collect()
    };
    stage.house.wait_until("two lines", || writes().len() >= 2);
    let requests = || stage.house.log().matches("door=\"api\"").count();
    stage.house.wait_until("four requests", || requests() >= 4);
    let mut writes = writes();
    writes.sort_by_key(|line| line.contains("/Listen\""));
    let [first, last] = &writes[..] else {
        panic!("{writes:#?}")
    };
    assert!(last.contains(&format!("{SERVICE}/Listen\"")), "{last}");
    for part in [
        &format!("{SERVICE}/DeleteUser"),
        "by=api_key",
        "POST",
        "status=200",
    ] {
        assert!(first.contains(part), "{part}: {first}");
    }
}

#[test]
fn messages_pass_as_they_come_in_both_directions() {
    let peer = Peer::start();
    let stage = stage(Some(&peer), "");
    let mut client = connect(&stage.house);
    let fields = client.fields("POST", &format!("{SERVICE}/Echo"), &[KEY, TYPE, TE]);
    let stream = client.open(&fields, false).unwrap();
    let mut length = 0;
    for text in ["ping", "and", "pong"] {
        let message = message(text.as_bytes());
        client.data(stream, &message, false).unwrap();
        length += message.len();
        let status = client.wait_for_body(stream, length);
        assert_eq!(status.as_deref(), Some("200"), "{text}");
    }
    client.data(stream, b"", true).unwrap();
    let answer = answer(client.outcome(stream));
    assert_eq!(answer.trailers.value("grpc-status"), Some("0"));
}

#[test]
fn many_calls_share_their_way_and_none_is_mixed_up() {
    let peer = Peer::start();
    let stage = stage(Some(&peer), "");
    let mut client = connect(&stage.house);
    let streams: Vec<u32> = (0..90_u32)
        .map(|number| {
            let fields = client.fields("POST", &format!("{SERVICE}/Echo"), &[KEY, TYPE, TE]);
            let stream = client.open(&fields, false).unwrap();
            client
                .data(stream, &message(&number.to_be_bytes()), true)
                .unwrap();
            stream
        })
        .collect();
    for (number, stream) in (0..90_u32).zip(streams) {
        let answer = answer(client.outcome(stream));
        assert_eq!(answer.response.body, message(&number.to_be_bytes()));
        assert_eq!(answer.trailers.value("grpc-status"), Some("0"));
    }
}

#[test]
fn a_call_that_is_not_passed_on_hears_why_in_the_words_of_grpc() {
    let peer = Peer::start();
    let stage = stage(Some(&peer), "");
    let session = session_line(&stage.house, &stage.somebody(Account::Admin));
    let mut client = connect(&stage.house);
    for (what, lines, status) in [
        ("nobody", vec![TYPE, TE], "16"),
        ("empty", vec![TYPE, TE, "Authorization: Bearer "], "16"),
        (
            "another scheme",
            vec![TYPE, TE, "Authorization: Basic YTpi"],
            "16",
        ),
        ("a session", vec![TYPE, TE, &session, SAME_ORIGIN], "16"),
    ] {
        let answer = answer(call(&mut client, "ListNodes", &lines, &[b"x"])).response;
        assert_eq!(answer.status(), 200, "{what}");
        assert_eq!(
            answer.header("content-type"),
            Some("application/grpc"),
            "{what}"
        );
        assert_eq!(answer.header("grpc-status"), Some(status), "{what}");
        assert!(answer.header("grpc-message").is_some(), "{what}");
    }
    // What is no call at all.
    let json = call(
        &mut client,
        "ListNodes",
        &[KEY, "Content-Type: application/json"],
        &[b"{}"],
    );
    assert_eq!(json.status(), Some(415));
    let old = ask(
        &stage.house,
        "POST",
        &format!("{SERVICE}/ListNodes"),
        &[KEY, TYPE, "Content-Length: 0"],
    );
    assert_eq!(old.status(), 400);
    // Other services, and other methods, are pages like any other.
    for (method, target) in [
        (
            "POST",
            "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo".to_owned(),
        ),
        (
            "POST",
            "/headscale.v1.HeadscaleServices/ListNodes".to_owned(),
        ),
        ("GET", format!("{SERVICE}/ListNodes")),
    ] {
        let outcome = client.exchange(method, &target, &[KEY, TYPE, TE]);
        assert_eq!(outcome.status(), Some(401), "{method} {target}");
    }
    assert_eq!(peer.seen().len(), 0);
}

#[test]
fn without_a_peer_for_it_grpc_is_unimplemented_and_with_one_that_is_away_unavailable() {
    let none = stage(None, "");
    let mut client = connect(&none.house);
    let unknown = answer(call(&mut client, "ListNodes", &[KEY, TYPE, TE], &[b"x"])).response;
    assert_eq!(unknown.header("grpc-status"), Some("12"));
    let peer = Peer::start();
    let gone = stage(Some(&peer), "api: { bearer: allow }\n");
    drop(peer);
    let mut client = connect(&gone.house);
    let away = answer(call(&mut client, "ListNodes", &[KEY, TYPE, TE], &[b"x"])).response;
    assert_eq!(away.header("grpc-status"), Some("14"), "{}", away.text());
    let denying = stage(Some(&Peer::start()), "api: { bearer: deny }\n");
    let mut client = connect(&denying.house);
    let denied = answer(call(&mut client, "ListNodes", &[KEY, TYPE, TE], &[b"x"])).response;
    assert_eq!(denied.header("grpc-status"), Some("16"));
}

#[test]
fn calls_are_held_back_as_the_rest_of_the_api_is() {
    let peer = Peer::start();
    let stage = stage(Some(&peer), "limits: { api_requests_per_minute: 2 }\n");
    let mut client = connect(&stage.house);
    let statuses: Vec<Option<String>> = (0..3)
        .map(|_| {
            let answer = answer(call(&mut client, "ListNodes", &[KEY, TYPE, TE], &[]));
            let status = answer.trailers.value("grpc-status").map(str::to_owned);
            status.or(answer.response.header("grpc-status").map(str::to_owned))
        })
        .collect();
    assert_eq!(
        statuses,
        ["0", "0", "8"].map(|status| Some(status.to_owned()))
    );
    assert_eq!(peer.seen().len(), 2);
}
