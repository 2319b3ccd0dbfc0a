//! The web UI beside Headscale: a front page for everybody, a page for admins. It knows who is
//! looking from the header fields that Headwarden sets, and from nothing else.

use std::convert::Infallible;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use ring::rand::{SecureRandom as _, SystemRandom};
use tokio::net::TcpListener;

use crate::headscale_standin::HeadscaleStandin;

const STYLE: &str = "body{font:17px/1.55 system-ui,sans-serif;max-width:44rem;margin:8vh auto;\
    padding:0 1rem;color:#17202b;background:#f7faf7}h1{margin:0 0 .5rem}li{margin:.6rem 0}\
    table{border-collapse:collapse;width:100%;background:#fff}td,th{border:1px solid #ccd8cc;\
    padding:.4rem .7rem;text-align:left;overflow-wrap:anywhere}small{color:#4d5a4d}\
    code{overflow-wrap:anywhere}";

/// Serves on a free port until the process ends.
pub(crate) async fn start(headscale: Arc<HeadscaleStandin>) -> std::io::Result<SocketAddr> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let headscale = Arc::clone(&headscale);
            tokio::spawn(async move {
                let service = service_fn(|request| {
                    let answer = answer(&request, &headscale);
                    async { Ok::<_, Infallible>(answer) }
                });
                // Whoever hangs up is no concern of a server.
                let connection =
                    http1::Builder::new().serve_connection(TokioIo::new(stream), service);
                drop(connection.await);
            });
        }
    });
    Ok(address)
}

/// An id as a device shows it in its link.
pub(crate) fn device_id() -> String {
    let mut bytes = [0; 12];
    // Without randomness it is an id all the same.
    let _ = SystemRandom::new().fill(&mut bytes);
    let mut id = "hskey-authreq-".to_owned();
    for byte in bytes {
        let _ = write!(id, "{byte:02x}");
    }
    id
}

fn answer(request: &Request<Incoming>, headscale: &HeadscaleStandin) -> Response<Full<Bytes>> {
    let (status, title, body) = match request.uri().path() {
        "/" => (StatusCode::OK, "Front page", front(request.headers())),
        "/admin" | "/admin/" => (StatusCode::OK, "Admin", admin(request.headers(), headscale)),
        _ => (StatusCode::NOT_FOUND, "Nothing here", String::new()),
    };
    let html = format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" \
         content=\"width=device-width, initial-scale=1\"><link rel=\"icon\" href=\"data:,\">\
         <title>{title}</title><style>{STYLE}</style>{body}</html>"
    );
    let mut response = Response::new(Full::from(html));
    *response.status_mut() = status;
    let kind = http::HeaderValue::from_static("text/html; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

fn front(headers: &HeaderMap) -> String {
    format!(
        "<h1>Hello {name}</h1><p>The web UI behind Headwarden was told: you are <b>{user}</b>, \
         {email}, in {groups}.</p><ul>\
         <li><a href=\"/admin\">The page for admins</a>\
         <li><a href=\"/register/{register}\">The link that a new device shows</a>\
         <li><a href=\"/auth/{ssh}\">The link that an SSH check shows</a>: half a minute after your \
         sign-in, it asks for another\
         <li><a href=\"/windows\">A page of Headscale itself</a>\
         <li><a href=\"/api/v1/node\">Headscale's API</a>, without a key: with the role of admins\
         <li><a href=\"/metrics\">What is nobody's business</a>\
         <li><a href=\"/.headwarden/sign-in?switch=1\">Be somebody else</a>\
         <li><a href=\"/.headwarden/logout\">Sign out</a></ul>",
        name = field(headers, "remote-name"),
        user = field(headers, "remote-user"),
        email = field(headers, "remote-email"),
        groups = field(headers, "remote-groups"),
        register = device_id(),
        ssh = device_id(),
    )
}

fn admin(headers: &HeaderMap, headscale: &HeadscaleStandin) -> String {
    let mut devices = String::new();
    for node in headscale.nodes() {
        let (id, owner) = (escape(&node.auth_id), escape(&node.provider_identifier));
        let user = headscale
            .users()
            .into_iter()
            .find(|user| user.provider_identifier == node.provider_identifier)
            .map(|user| escape(&user.name))
            .unwrap_or_default();
        let _ = write!(
            devices,
            "<tr><td><code>{id}</code><td>{user}<br><small>{owner}</small>"
        );
    }
    let checks = headscale.approved_ssh().len();
    let seen = if devices.is_empty() {
        "<p>No device has joined yet.".to_owned()
    } else {
        format!("<table><tr><th>Device<th>Owner{devices}</table>")
    };
    format!(
        "<h1>Devices</h1><p>Only headscale-admins see this; you are {name}.</p>{seen}\
         <p>SSH checks approved: {checks}.<p><a href=\"/\">Back</a>",
        name = field(headers, "remote-name"),
    )
}

/// A header field for a page.
fn field(headers: &HeaderMap, name: &str) -> String {
    let value = headers.get(name).and_then(|value| value.to_str().ok());
    escape(value.unwrap_or("nobody"))
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('"', "&quot;")
}
