//! pingora's proxy with nothing in it, as a mark to compare with: what it costs to pass a request on at
//! all. The same version, features and allocator as Headwarden has.
//!
//! `bare_proxy 127.0.0.1:8080 127.0.0.1:9000`, listener and upstream; a third argument is the number of
//! worker threads, one without it.

use std::error::Error;
use std::net::SocketAddr;
use std::sync::Arc;

use async_trait::async_trait;
use pingora::proxy::{ProxyHttp, Session, http_proxy_service};
use pingora::server::Server;
use pingora::server::configuration::ServerConf;
use pingora::upstreams::peer::HttpPeer;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Everything goes there.
struct Bare(SocketAddr);

#[async_trait]
impl ProxyHttp for Bare {
    type CTX = ();

    fn new_ctx(&self) {}

    async fn upstream_peer(
        &self,
        _session: &mut Session,
        _ctx: &mut (),
    ) -> pingora::Result<Box<HttpPeer>> {
        Ok(Box::new(HttpPeer::new(self.0, false, String::new())))
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(listen), Some(upstream)) = (arguments.next(), arguments.next()) else {
        return Err("bare_proxy LISTEN UPSTREAM [THREADS]".into());
    };
    let threads = arguments.next().map_or(Ok(1), |count| count.parse())?;
    let conf = ServerConf {
        threads,
        ..ServerConf::default()
    };
    let mut server = Server::new_with_opt_and_conf(None, conf);
    server.bootstrap();
    let mut proxy = http_proxy_service(&Arc::clone(&server.configuration), Bare(upstream.parse()?));
    proxy.add_tcp(&listen);
    server.add_service(proxy);
    server.run_forever();
}
