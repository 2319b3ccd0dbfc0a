//! What goes on while the house is open, and who is let in by which door of the operator and of Headscale.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use tokio::net::UnixListener;
use tokio::task::JoinSet;

use super::refurbish::Rooms;
use super::reload::Reloader;
use super::succession::Estate;
use super::{App, Configuration, StartError, bind, desk, probes, settle};
use crate::headscale::Renewal;
use crate::issuer::Peer;
use crate::oidc::Provider;
use crate::ops::metrics::Limit;
use crate::proxy::backend::health;
use crate::proxy::drain::Drain;
use crate::proxy::private::{self, Caller, Listening};

impl App {
    /// What goes on with Headscale's policy and with the ACME directory, whose validators come to the public
    /// listeners.
    pub(super) fn look_after_others(&self, tasks: &mut JoinSet<()>) {
        let sync = Arc::clone(&self.houses.now().policy_sync);
        tasks.spawn(sync.run(self.houses.clone(), self.drain.leaving()));
        if let Some(acme) = self.tls.acme() {
            tasks.spawn(acme.keep(self.drain.leaving()));
        }
    }

    pub(super) fn keep_provider_fresh(&self, tasks: &mut JoinSet<()>) {
        let (houses, random) = (self.houses.clone(), Arc::clone(&self.random));
        let stopping = self.drain.stopping();
        tasks.spawn(async move {
            let provider = || Arc::clone(&houses.now().provider);
            Provider::keep_fresh(provider, stopping, random.as_ref()).await;
        });
    }

    pub(super) fn reloader(&self, configuration: Configuration) -> Reloader {
        let house = self.houses.now();
        Reloader {
            configuration,
            rooms: Rooms {
                current: self.current.clone(),
                houses: self.houses.clone(),
                front: Arc::clone(&self.front),
                issuer: self.issuer.clone(),
                probe: self.probe.clone(),
                drain: self.drain.clone(),
            },
            tls: Arc::clone(&self.tls),
            status: Arc::clone(&self.status),
            metrics: Arc::clone(&house.metrics),
            clock: Arc::clone(&house.clock),
            announced: Arc::clone(&self.edge.announced),
            rest: 0,
            kept_from: None,
        }
    }

    /// What goes on beside requests.
    pub(super) fn look_after_rooms(&self, tasks: &mut JoinSet<()>, closing: &Drain) {
        let (versions, stopping) = (Arc::clone(&self.versions), self.drain.stopping());
        tasks.spawn(async move { versions.run(stopping).await });
        let house = self.houses.now();
        let renewal = Renewal::new(
            self.current.clone(),
            house.api.clone(),
            Arc::clone(&house.metrics),
            house.audit.clone(),
            Arc::clone(&house.clock),
            Arc::clone(&house.random),
        );
        tasks.spawn(renewal.run(self.drain.stopping()));
        tasks.spawn(house.tracer.clone().run());
        tasks.spawn(Arc::clone(&self.tls).watch(closing.stopping()));
        tasks.spawn(settle(Arc::clone(&house.sessions)));
        tasks.spawn(health::watch(self.houses.clone()));
        tasks.spawn(Arc::clone(&house.rechecks).watch_over_what_is_open());
    }

    pub(super) fn open_private(
        &self,
        tasks: &mut JoinSet<()>,
        socket: Option<bind::Socket>,
        closing: &Drain,
        estate: &mut Estate,
    ) -> Result<(), StartError> {
        let (Some(socket), Some(issuer)) = (socket, &self.issuer) else {
            return Ok(());
        };
        let address = socket.address();
        let listener = socket.listen()?;
        estate.add(address, &listener);
        let issuer = Arc::clone(issuer);
        let metrics = Arc::clone(&self.houses.now().metrics);
        tasks.spawn(private::serve(
            Listening::Tcp(listener, self.tls.issuer()),
            closing.doorkeeper(&self.edge.pulse),
            closing.clone(),
            move |mut request, caller| {
                if let Caller::Remote(peer) = caller {
                    request.extensions_mut().insert(Peer(peer.ip()));
                }
                let (issuer, metrics) = (Arc::clone(&issuer), Arc::clone(&metrics));
                async move {
                    let response = issuer.handle(&request).await;
                    if response.status() == http::StatusCode::TOO_MANY_REQUESTS {
                        metrics.limit_hit(Limit::IssuerClient);
                    }
                    response
                }
            },
        ));
        Ok(())
    }

    pub(super) fn open_admin(
        &self,
        tasks: &mut JoinSet<()>,
        (socket, local): (Option<bind::Socket>, Option<Arc<UnixListener>>),
        complete: Arc<AtomicBool>,
        closing: &Drain,
        estate: &mut Estate,
    ) -> Result<(), StartError> {
        let house = self.houses.now();
        let admin = Arc::new(probes::Admin {
            headscale: self.probe.clone(),
            trusts_an_issuer: house.headscale_signs_in(),
            shared: self
                .replicas
                .as_ref()
                .map(|replicas| Arc::clone(&replicas.shared)),
            tls: Arc::clone(&self.tls),
            drain: self.drain.clone(),
            started: Arc::clone(&self.edge.started),
            desk: desk::Desk {
                sessions: Arc::clone(&house.sessions),
                complete,
                random: Arc::clone(&self.random),
                audit: house.audit.clone(),
            },
            settings: self.current.clone(),
            houses: self.houses.clone(),
            status: Arc::clone(&self.status),
        });
        let listener = socket.map(bind::Socket::listen).transpose()?;
        if let (Some(address), Some(listener)) = (self.settings.admin.address, &listener) {
            estate.add(address, listener);
        }
        let listener = listener.map(|listener| Listening::Tcp(listener, None));
        for listening in listener.into_iter().chain(local.map(Listening::Local)) {
            let admin = Arc::clone(&admin);
            tasks.spawn(private::serve(
                listening,
                closing.doorkeeper(&self.edge.pulse),
                closing.clone(),
                move |request, caller| {
                    let admin = Arc::clone(&admin);
                    async move { admin.answer(&request, caller).await }
                },
            ));
        }
        Ok(())
    }
}
