//! One request of an HTTP/2 connection: the porch, then pingora.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, COOKIE, LOCATION};
use http::{HeaderValue, Response, StatusCode};
use pingora::apps::HttpServerApp as _;
use pingora::http::RequestHeader;
use pingora::protocols::http::ServerSession;
use pingora::protocols::http::v2::server::HttpSession;

use crate::pages;
use crate::proxy::accept::{Front, Manner, counts_as_secure, served_in_clear};
use crate::proxy::head::{Head, HeadError};
use crate::proxy::house::House;
use crate::proxy::reply;
use crate::proxy::upload::Progress;
use crate::proxy::visit::{Follow, HandedOver, Porch, Visit};

/// Longest time for one piece of an answer, of at most 64 KiB, to be taken: a slow client shares its line
/// among all its streams. A connection of which nothing is taken ends sooner, as one of HTTP/1.1 does.
const TAKEN: Duration = Duration::from_mins(5);

impl Front {
    /// Serves one request, by the rules of one of HTTP/1.1.
    pub(super) async fn request(
        self: &Arc<Self>,
        mut request: HttpSession,
        peer: SocketAddr,
        manner: Manner,
    ) {
        // What a client does not take is kept from us by the window of its stream.
        request.set_write_timeout(Some(TAKEN));
        let ends = request.is_body_empty();
        let asked = request.req_header_mut();
        let head = match read(asked, ends) {
            Ok(head) => head,
            Err(why) => {
                if let Some(refused) = why.refused() {
                    self.metrics.request_refused(refused);
                }
                return refuse(request, peer, &why).await;
            }
        };
        let house = self.houses.now();
        let visit = self.visit(&house, head, peer, manner.vouched);
        if !manner.secure && !counts_as_secure(&house, &visit) && !served_in_clear(&visit.door) {
            return to_https(&house, request, &visit).await;
        }
        if is_of_machines(&visit) {
            let text = "tailscale's own protocols need HTTP/1.1, without ALPN or a proxy that speaks HTTP/2";
            return say(request, StatusCode::BAD_REQUEST, text, None, false).await;
        }
        self.hand_over(house, request, visit).await;
    }

    /// To pingora. A request that was let through by a session ends with it, and the connection goes on;
    /// so does a body that does not come.
    async fn hand_over(
        self: &Arc<Self>,
        house: Arc<House>,
        mut request: HttpSession,
        visit: Visit,
    ) {
        let visit = Arc::new(visit);
        let (follow, followed) = Follow::new();
        let progress = Arc::new(Progress::default());
        let porch = Porch {
            visit: Arc::clone(&visit),
            house,
            follow,
            progress: Some(Arc::clone(&progress)),
        };
        let asked = request.req_header_mut();
        asked.extensions_mut().insert(HandedOver::new(porch));
        let stopping = self.drain.stopping();
        let served = self
            .proxy
            .process_new_http(ServerSession::H2(request), &stopping);
        tokio::select! {
            biased;
            _ = served => {}
            () = followed.over() => self.note_cut(&visit),
            () = progress.stalled() => tracing::info!(
                request_id = visit.id, client = %visit.client, door = visit.door.label(),
                "request cut: its body did not come"
            ),
        }
    }
}

async fn to_https(house: &House, request: HttpSession, visit: &Visit) {
    if visit.is_safe() {
        let location = house.settings.server_url.join(visit.head.target.as_str());
        let status = StatusCode::PERMANENT_REDIRECT;
        let is_head = visit.head.method == "HEAD";
        say(request, status, "use https", Some(&location), is_head).await;
    } else {
        say(request, StatusCode::FORBIDDEN, "use https", None, false).await;
    }
}

/// The head; the crumbs of its cookies are one field for pingora as well.
fn read(asked: &mut RequestHeader, ends: bool) -> Result<Head, HeadError> {
    let head = Head::from_http2(
        &asked.method,
        &asked.uri,
        asked.raw_path(),
        &asked.headers,
        ends,
    )?;
    if let Some(cookies) = head.headers.get(COOKIE) {
        let written = asked.insert_header(COOKIE, cookies);
        written.map_err(|_| HeadError::Malformed("an unusable field"))?;
    }
    Ok(head)
}

/// Where a tunnel would begin, over HTTP/1.1.
fn is_of_machines(visit: &Visit) -> bool {
    let path = visit.head.target.path();
    matches!(
        (visit.head.method.as_str(), path),
        ("GET" | "POST", "/ts2021") | ("GET", "/derp")
    )
}

async fn refuse(request: HttpSession, peer: SocketAddr, why: &HeadError) {
    let status = match why {
        HeadError::TooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
        HeadError::TargetTooLong => StatusCode::URI_TOO_LONG,
        _ => StatusCode::BAD_REQUEST,
    };
    tracing::info!(%peer, status = status.as_u16(), reason = %why, "request refused");
    let is_head = request.req_header().method == http::Method::HEAD;
    say(request, status, &why.to_string(), None, is_head).await;
}

/// One line of text, as `plain` has it over HTTP/1.1.
async fn say(
    request: HttpSession,
    status: StatusCode,
    text: &str,
    location: Option<&str>,
    is_head: bool,
) {
    let mut response = Response::new(Bytes::from(format!("{text}\n")));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    pages::guard(headers);
    headers.insert(
        CONTENT_TYPE,
        HeaderValue::from_static("text/plain; charset=utf-8"),
    );
    if let Some(Ok(location)) = location.map(HeaderValue::from_str) {
        headers.insert(LOCATION, location);
    }
    // A client that has gone is not told.
    let _ = reply::write(&mut ServerSession::H2(request), response, is_head).await;
}
