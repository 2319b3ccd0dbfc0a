//! From an accepted socket to a request with a door: a load balancer's PROXY header where the listener
//! wants one, TLS, the head, and then either a tunnel or
//! pingora. A connection comes back here after every request, so that an upgrade on a connection that
//! has been used before is treated the same.

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use pingora::apps::HttpServerApp as _;
use pingora::protocols::http::ServerSession;
use pingora::protocols::http::v1::server::HttpSession;
use pingora::proxy::HttpProxy;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::announcement::{self, Unannounced};
use super::connection::Connection;
use super::doorkeeper::Doorkeeper;
use super::drain::{Drain, Open};
use super::fetch;
use super::handshake::Terminator;
use super::head::{Framing, Head, HeadError, Patience, read_head};
use super::headers::X_FORWARDED_FOR;
use super::house::{House, Houses};
use super::http2;
use super::phases::Phases;
use super::plain::{self, Status};
use super::rates::{counted_as, whole_seconds};
use super::reason;
use super::slots::{Slot, Slots};
use super::stream::Transport;
use super::tunnel::Tunnels;
use super::turned_away::{Full, TurnedAway};
use super::turnstile::Turnstile;
use super::upstream::keep_alive;
use super::visit::{Follow, Porch, Visit};
use crate::acme::Challenges;
use crate::config::ClientLimits;
use crate::domain::client_ip::{client_ip, is_trusted};
use crate::domain::door::{self, Asked, Door, Tunnel};
use crate::domain::policy::Permit;
use crate::domain::random::Random;
use crate::ops::metrics::{Limit, Metrics, Refused};
use crate::ops::rate::RateLimiter;
use crate::ops::trace::Trace;

/// Pause after the kernel refused to accept (no file descriptors left, say).
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What every public listener shares.
pub struct Front {
    /// The house as it is now: a connection takes it when it is accepted, and again for each request.
    pub houses: Houses,
    /// What validators of our certificates are answered with, where we order any.
    pub challenges: Option<Arc<Challenges>>,
    /// Connections of everybody.
    pub places: Arc<Semaphore>,
    /// Connections by address.
    pub slots: Arc<Slots>,
    /// Those beyond.
    pub turned_away: TurnedAway,
    /// New tunnels by address.
    pub tunnel_rate: RateLimiter,
    /// New tunnels of everybody.
    pub turnstile: Arc<Turnstile>,
    /// Where everything goes that is no tunnel.
    pub proxy: Arc<HttpProxy<Phases>>,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// Request ids.
    pub random: Arc<dyn Random>,
    /// Stopping and draining.
    pub drain: Drain,
}

/// A connection that is to become a tunnel, and who carries it.
type ToBeCarried = (
    Permit,
    Tunnel,
    Visit,
    Option<Box<Trace>>,
    Connection,
    Arc<Tunnels>,
);

/// What a connection task holds until its connection has ended, tunnel included.
pub(super) struct Guards {
    slot: Option<Slot>,
    _place: OwnedSemaphorePermit,
    _open: Open,
}

/// What is to happen at a listener before the first request.
#[derive(Clone)]
pub struct Entrance {
    /// Every connection comes from a trusted proxy and begins with a PROXY header.
    pub announced: bool,
    /// Takes the TLS off, where there is any.
    pub tls: Option<Arc<Terminator>>,
    /// HTTP/2 as well: by ALPN, or on plaintext for clients that begin with its preface.
    pub http2: bool,
}

/// A connection before its first request.
struct Arrival {
    tcp: TcpStream,
    /// The TCP peer; from a PROXY header on, whom that one names.
    source: SocketAddr,
    manner: Manner,
    guards: Guards,
}

/// How a connection came.
#[derive(Clone, Copy, Debug)]
pub(super) struct Manner {
    /// Nobody listens in, as far as we and a trusted proxy know.
    pub(super) secure: bool,
    /// The peer may speak for others, if it is a trusted proxy. Not so where such a one passed a client on
    /// without knowing its address: what is forwarded there may be that client's own word.
    pub(super) vouched: bool,
}

impl Front {
    /// Accepts on `listener` until the process stops, or another takes its place.
    pub async fn serve(
        self: Arc<Self>,
        listener: Arc<TcpListener>,
        entrance: Entrance,
        mut doorkeeper: Doorkeeper,
    ) {
        while let Some(accepted) = doorkeeper.next(|| listener.accept()).await {
            match accepted {
                Ok((tcp, peer)) => self.welcome(tcp, peer, entrance.clone()),
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
        doorkeeper.leave();
    }

    /// Bounds clients by `limits` from now on.
    pub fn change(&self, limits: &ClientLimits) {
        self.slots.change(limits.connections_per_address);
        self.tunnel_rate.change(limits.tunnels_per_minute);
    }

    /// A connection's places, while it lasts.
    pub(super) fn places(&self, peer: SocketAddr) -> Result<Guards, Full> {
        let slot = self.slot(peer)?;
        self.guards(slot)
    }

    /// A place of the house's alone: none of the address's is taken.
    pub(super) fn place(&self) -> Result<Guards, Full> {
        self.guards(None)
    }

    fn guards(&self, slot: Option<Slot>) -> Result<Guards, Full> {
        let place = Arc::clone(&self.places).try_acquire_owned();
        Ok(Guards {
            slot,
            _place: place.map_err(|_| Full::House)?,
            _open: self.drain.hold(),
        })
    }

    /// A trusted proxy speaks for many people; its own connections are not counted.
    fn slot(&self, source: SocketAddr) -> Result<Option<Slot>, Full> {
        if self.trusts(source) {
            return Ok(None);
        }
        self.slots.take(source.ip()).map(Some).ok_or(Full::Address)
    }

    fn trusts(&self, peer: SocketAddr) -> bool {
        is_trusted(peer.ip(), &self.houses.now().settings.trusted_proxies)
    }

    fn welcome(self: &Arc<Self>, tcp: TcpStream, peer: SocketAddr, entrance: Entrance) {
        if entrance.announced && !self.trusts(peer) {
            self.send_away(peer, &Unannounced::Untrusted);
            return;
        }
        let guards = match self.places(peer) {
            Ok(guards) => guards,
            Err(full) => {
                self.turn_away(tcp, peer, full, &entrance);
                return;
            }
        };
        let front = Arc::clone(self);
        // A client that has silently gone would hold its place for ever.
        keep_alive(&tcp);
        tokio::spawn(async move {
            let arrival = Arrival {
                tcp,
                source: peer,
                manner: Manner {
                    secure: entrance.tls.is_some(),
                    vouched: true,
                },
                guards,
            };
            let Some(arrival) = front.announced(arrival, &entrance).await else {
                return;
            };
            let Arrival {
                tcp,
                source,
                manner,
                guards,
            } = arrival;
            let knows = entrance.http2 && entrance.tls.is_none();
            let transport = match Transport::accept(tcp, entrance.tls).await {
                Ok(transport) => transport,
                Err(error) => {
                    tracing::debug!(peer = %source, %error, "no TLS");
                    return;
                }
            };
            let connection = Connection::new(transport, source);
            let mut cutting = front.drain.cutting();
            let tunnel = tokio::select! {
                tunnel = Box::pin(front.serve_connection(connection, manner, knows)) => tunnel,
                _ = cutting.wait_for(|cut| *cut) => None,
            };
            if let Some((permit, kind, visit, trace, connection, tunnels)) = tunnel {
                let turnstile = Arc::clone(&front.turnstile);
                drop(front);
                drop(cutting);
                // Tasks of their own, each as small as can be: while Headscale is asked, and then for as long
                // as the tunnel is there.
                tokio::spawn(async move {
                    let opening = pin!(tunnels.open(permit, kind, visit, trace, connection));
                    if let Some(tunnel) = turnstile.through(opening).await {
                        tokio::spawn(tunnel.carry(guards));
                    }
                });
            }
        });
    }

    /// A connection from whomever its PROXY header names, where the listener wants one: from here on that
    /// is the peer, whose places it takes. What a balancer sends for itself stays its own.
    async fn announced(&self, mut arrival: Arrival, entrance: &Entrance) -> Option<Arrival> {
        if !entrance.announced {
            return Some(arrival);
        }
        let patience = self.houses.now().settings.limits.header_timeout;
        let told = match announcement::take_off(&mut arrival.tcp, patience).await {
            Ok(told) => told,
            Err(why) => {
                self.send_away(arrival.source, &why);
                return None;
            }
        };
        arrival.source = told.source.unwrap_or(arrival.source);
        arrival.manner.secure |= told.over_tls;
        arrival.manner.vouched = !told.nameless;
        match self.slot(arrival.source) {
            Ok(slot) => {
                arrival.guards.slot = slot;
                Some(arrival)
            }
            Err(full) => {
                self.turn_away(arrival.tcp, arrival.source, full, entrance);
                None
            }
        }
    }

    fn send_away(&self, peer: SocketAddr, why: &Unannounced) {
        if let Some(label) = why.label() {
            self.metrics.proxy_header_refused(label);
            self.turned_away.unannounced(peer.ip(), why);
        }
    }

    fn turn_away(&self, tcp: TcpStream, source: SocketAddr, full: Full, entrance: &Entrance) {
        self.metrics.limit_hit(Limit::Connections);
        self.turned_away
            .turn_away(tcp, source.ip(), full, entrance.tls.is_some());
    }

    /// HTTP/2 where that was agreed on by ALPN, or where the client begins with its preface on a plaintext
    /// listener that `knows` it; else HTTP/1.1.
    async fn serve_connection(
        self: &Arc<Self>,
        mut connection: Connection,
        manner: Manner,
        knows: bool,
    ) -> Option<ToBeCarried> {
        let begun = if knows {
            let patience = self.houses.now().settings.limits.header_timeout;
            let begun = timeout(patience, http2::is_begun(&mut connection)).await;
            begun.ok()?.ok()?
        } else {
            connection.agreed_on_http2()
        };
        if begun {
            self.streams(connection, manner).await;
            return None;
        }
        self.requests(connection, manner).await
    }

    /// Serves one request after the other until the connection ends or becomes a tunnel.
    async fn requests(
        self: &Arc<Self>,
        mut connection: Connection,
        manner: Manner,
    ) -> Option<ToBeCarried> {
        let mut stopping = self.drain.stopping();
        let leaving = self.drain.leaving();
        let mut patience = Patience {
            first_byte: self.houses.now().settings.limits.header_timeout,
            head: None,
        };
        loop {
            let read = tokio::select! {
                read = read_head(&mut connection, patience) => read,
                _ = stopping.wait_for(|stop| *stop) => return None,
            };
            let (head, length, bytes) = match read {
                Ok(read) => read,
                Err(why) => {
                    self.refuse(&mut connection, &why).await;
                    return None;
                }
            };
            let house = self.houses.now();
            let visit = self.visit(&house, head, connection.peer(), manner.vouched);
            if !manner.secure
                && let Some(answer) = self.validation(&visit)
            {
                tracing::info!(client = %visit.client, "a validator of the ACME directory is answered");
                plain::answer_exactly(&mut connection, Status(200, "OK"), "", &answer).await;
                return None;
            }
            if !manner.secure && !counts_as_secure(&house, &visit) && !served_in_clear(&visit.door)
            {
                send_to_https(&house, &mut connection, &visit).await;
                return None;
            }
            if let Door::Machine(kind) = visit.door {
                connection.give_back(bytes.slice(length..));
                return self.admit_tunnel(&house, kind, visit, connection).await;
            }
            if fetch::is_plain(&visit.head) {
                connection.give_back(bytes.slice(length..));
                let is_leaving = *leaving.borrow();
                // Boxed: a connection that waits, or becomes a tunnel, does not carry the room for it.
                let fetched = Box::pin(self.fetched(house, connection, visit, is_leaving));
                connection = fetched.await?;
                patience = self.keep_alive_patience();
                continue;
            }
            connection.give_back(bytes);
            if visit.head.body == Framing::Chunked
                && let Err(why) = connection.expect_chunks(length)
            {
                self.refuse(&mut connection, &HeadError::Body(why)).await;
                return None;
            }
            connection = self.proxied(house, connection, visit).await?;
            patience = self.keep_alive_patience();
        }
    }

    /// How long a connection waits for another request.
    fn keep_alive_patience(&self) -> Patience {
        let limits = self.houses.now().settings.limits;
        Patience {
            first_byte: limits.keepalive_timeout,
            head: Some(limits.header_timeout),
        }
    }

    /// What is known about a request, before anybody acts on it.
    pub(super) fn visit(
        &self,
        house: &House,
        head: Head,
        peer: SocketAddr,
        vouched: bool,
    ) -> Visit {
        let door = door::decide(
            &Asked {
                method: &head.method,
                target: &head.target,
                upgrade: head.upgrade.as_deref(),
            },
            &house.settings.open,
        );
        let forwarded: Vec<&str> = head
            .headers
            .get_all(X_FORWARDED_FOR)
            .iter()
            .map(|value| std::str::from_utf8(value.as_bytes()).unwrap_or("?"))
            .collect();
        let proxies = &house.settings.trusted_proxies;
        let forwarded: &[&str] = if vouched { &forwarded } else { &[] };
        let client = client_ip(peer.ip(), forwarded, proxies);
        let trusted = vouched && is_trusted(peer.ip(), proxies);
        Visit {
            head,
            door,
            client,
            peer,
            trusted,
            id: self.random.short_token(),
            started: Instant::now(),
        }
    }

    /// What a validator of the ACME directory comes for over plaintext (RFC 8555 section 8.3), while an
    /// order of ours waits for it.
    fn validation(&self, visit: &Visit) -> Option<String> {
        let challenges = self.challenges.as_ref()?;
        let asked = visit.head.method == "GET";
        asked
            .then(|| challenges.over_http(visit.head.target.as_str()))
            .flatten()
    }

    async fn admit_tunnel(
        &self,
        house: &House,
        kind: Tunnel,
        visit: Visit,
        mut connection: Connection,
    ) -> Option<ToBeCarried> {
        if let Err(wait) = self.tunnel_rate.take(counted_as(&visit), visit.started) {
            self.metrics.limit_hit(Limit::Tunnels);
            self.metrics.tunnel_refused(kind);
            self.metrics
                .request(&visit.door, http::StatusCode::TOO_MANY_REQUESTS);
            tracing::info!(
                request_id = visit.id, client = %visit.client, tunnel = kind.label(), status = 429,
                "tunnel not opened"
            );
            let text = format!("too many new tunnels (request {})", visit.id);
            let status = Status(429, "Too Many Requests");
            let wait = format!("Retry-After: {}\r\n", whole_seconds(wait));
            plain::answer(&mut connection, status, &wait, &text).await;
            return None;
        }
        let permit = Permit::for_open_door(&visit.door)?;
        let tunnels = Arc::clone(&house.tunnels);
        let trace = house.trace(&visit);
        Some((permit, kind, visit, trace, connection, tunnels))
    }

    /// Lends the connection to pingora for one request; it comes back when it may be used again. When
    /// not, it ends in good order: what the client is still sending would reset it, and take our last
    /// answer along.
    ///
    /// A request that was let through by a session ends with it, whatever it waits for: pingora is told
    /// nothing, its work is dropped.
    async fn proxied(
        &self,
        house: Arc<House>,
        connection: Connection,
        visit: Visit,
    ) -> Option<Connection> {
        let visit = Arc::new(visit);
        let (follow, followed) = Follow::new();
        let porch = Porch {
            visit: Arc::clone(&visit),
            house,
            follow,
            progress: None,
        };
        let (lent, home) = connection.lend();
        let mut session = HttpSession::new(Box::new(lent));
        session.set_connection_user_context(Some(Box::new(porch)));
        // A connection is not kept from then on.
        let leaving = self.drain.leaving();
        let session = ServerSession::H1(session);
        let served = tokio::select! {
            biased;
            reusable = self.proxy.process_new_http(session, &leaving) => Some(reusable.is_some()),
            () = followed.over() => None,
        };
        let mut connection = home.await.ok()?;
        match served {
            Some(true) => return Some(connection),
            Some(false) => {
                connection.abandon_body();
                plain::end(&mut connection).await;
            }
            None => self.cut(connection, &visit).await,
        }
        None
    }

    /// Ends a request whose session has ended. What was said of the answer must not pass for the whole;
    /// where nothing was, and asking again changes nothing, the client hears why.
    pub(super) async fn cut(&self, mut connection: Connection, visit: &Visit) {
        self.note_cut(visit);
        if connection.has_spoken() || !visit.is_safe() {
            connection.cut();
        } else {
            connection.abandon_body();
            let status = Status(401, "Unauthorized");
            plain::answer(
                &mut connection,
                status,
                "",
                "your session has ended, or cannot be checked",
            )
            .await;
        }
    }

    pub(super) fn note_cut(&self, visit: &Visit) {
        let duration_ms = u64::try_from(visit.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        tracing::info!(
            request_id = visit.id, client = %visit.client, method = visit.head.method,
            path = %reason::path(visit), door = visit.door.label(), duration_ms,
            "request cut: its session has ended, or cannot be checked"
        );
        self.metrics.request_cut(&visit.door);
    }

    async fn refuse(&self, connection: &mut Connection, why: &HeadError) {
        let Some(refused) = why.refused() else {
            return;
        };
        let status = match refused {
            Refused::Slow => Status(408, "Request Timeout"),
            Refused::Large => Status(431, "Request Header Fields Too Large"),
            Refused::TargetTooLong => Status(414, "URI Too Long"),
            Refused::Target | Refused::Malformed | Refused::Body => Status(400, "Bad Request"),
        };
        if matches!(refused, Refused::Slow) {
            self.metrics.limit_hit(Limit::HeaderTimeout);
        }
        self.metrics.request_refused(refused);
        tracing::info!(peer = %connection.peer(), status = status.0, reason = %why, "request refused");
        plain::answer(connection, status, "", &why.to_string()).await;
    }
}

/// Whether a request over plaintext is as good as one over TLS: because we are not asked to be secure at
/// all, or because a trusted proxy says that it took the TLS off.
pub(super) fn counts_as_secure(house: &House, visit: &Visit) -> bool {
    !house.settings.server_url.secure
        || (visit.trusted
            && visit
                .only("x-forwarded-proto")
                .is_some_and(|proto| proto.eq_ignore_ascii_case("https")))
}

/// A plaintext listener beside an https origin: GET and HEAD are sent there, the rest refused, so that
/// nothing a person types goes over it twice.
async fn send_to_https(house: &House, connection: &mut Connection, visit: &Visit) {
    if visit.is_safe() {
        let location = house.settings.server_url.join(visit.head.target.as_str());
        let extra = format!("Location: {location}\r\n");
        let status = Status(308, "Permanent Redirect");
        plain::answer(connection, status, &extra, "use https").await;
    } else {
        plain::answer(connection, Status(403, "Forbidden"), "", "use https").await;
    }
}

/// Doors that a plaintext listener serves beside an https origin.
pub(super) fn served_in_clear(door: &Door) -> bool {
    matches!(door, Door::Machine(_) | Door::NoContent)
}
