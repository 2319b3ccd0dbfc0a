//! TLS of our own listeners: certificates by SNI, read again when their files change, and certificates
//! of clients.
//!
//! A listener's configuration is made anew as a whole when one of its files changes: connections that
//! are open keep theirs, and no session of the old one is resumed under the new one, so that a client
//! whose authority is no longer trusted has to show a certificate again. What a change cannot use, it
//! leaves as it was.

mod choice;
mod clients;
mod listening;
mod pair;
#[cfg(test)]
mod testing;
mod watched;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustls::crypto::CryptoProvider;
use tokio::sync::watch;

use self::listening::{Listening, Shared};
use self::watched::Patience;
use crate::acme::Acme;
use crate::config::{Certificates, ListenerTls, Settings, SignIn, TlsFiles, read_file};
use crate::domain::time::Clock;
use crate::ops::health::Outcome;
use crate::ops::metrics::Metrics;
use crate::proxy::handshake::Terminator;

/// Between two looks at the files.
const LOOK: Duration = Duration::from_secs(1);

/// What public listeners offer by ALPN (RFC 7301), most wanted first. A client that offers nothing gets
/// HTTP/1.1 all the same: Tailscale's offers nothing for its control connection.
const PUBLIC_PROTOCOLS: &[&[u8]] = &[b"h2", b"http/1.1"];
/// The same where the operator wants no HTTP/2.
const WITHOUT_HTTP2: &[&[u8]] = &[b"http/1.1"];
/// What the private listener offers.
const PRIVATE_PROTOCOLS: &[&[u8]] = &[b"http/1.1"];

/// A listener cannot begin.
#[derive(Debug, thiserror::Error)]
#[error("{key}: {files} cannot be used: {reason}")]
pub struct TlsError {
    /// The key of the configuration.
    key: String,
    /// The files.
    files: String,
    /// Why.
    reason: String,
}

/// The crypto that everything of ours uses, named and not looked up in the process.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// The TLS of all listeners.
pub struct Tls {
    public: Vec<Option<Arc<Terminator>>>,
    issuer: Option<Arc<Terminator>>,
    files: Arc<Mutex<Vec<Listening>>>,
    acme: Option<Arc<Acme>>,
    clock: Arc<dyn Clock>,
}

impl Tls {
    /// Reads the files of every listener; what `acme` orders may come later.
    ///
    /// # Errors
    /// The first that cannot be used.
    pub fn load(
        settings: &Settings,
        acme: Option<Arc<Acme>>,
        metrics: &Arc<Metrics>,
        clock: &Arc<dyn Clock>,
    ) -> Result<Self, TlsError> {
        let ordered = settings
            .acme
            .as_ref()
            .map(crate::config::AcmeSettings::certificate_path);
        let ordered = ordered.unwrap_or_default();
        let mut shared = Shared {
            ordered: TlsFiles {
                cert_path: ordered.clone(),
                key_path: ordered,
            },
            challenges: acme.as_ref().map(|acme| acme.challenges()),
            metrics,
            now: clock.now(),
        };
        let mut files = Vec::new();
        let mut public = Vec::new();
        for (index, listener) in settings.listen.iter().enumerate() {
            let Some(tls) = &listener.tls else {
                public.push(None);
                continue;
            };
            let key = format!("listen[{index}].tls");
            let protocols = if listener.http2 {
                PUBLIC_PROTOCOLS
            } else {
                WITHOUT_HTTP2
            };
            let listening = Listening::open(key, tls, protocols, &shared)?;
            public.push(Some(listening.terminator()));
            files.push(listening);
        }
        let mut issuer = None;
        if let SignIn::Issuer(settings) = &settings.headscale.sign_in
            && let Some(certificates) = &settings.tls
        {
            let key = "headscale.issuer.tls".to_owned();
            let tls = ListenerTls {
                certificates: Certificates::Files(certificates.clone()),
                clients: None,
            };
            // No validator comes here.
            shared.challenges = None;
            let listening = Listening::open(key, &tls, PRIVATE_PROTOCOLS, &shared)?;
            issuer = Some(listening.terminator());
            files.push(listening);
        }
        Ok(Self {
            public,
            issuer,
            files: Arc::new(Mutex::new(files)),
            acme,
            clock: Arc::clone(clock),
        })
    }

    /// What ends the TLS of each public listener, in the order of the settings; `None` is plaintext.
    pub fn public(&self) -> impl Iterator<Item = Option<Arc<Terminator>>> {
        self.public.iter().cloned()
    }

    /// What ends the TLS of the private listener, if it has any.
    pub fn issuer(&self) -> Option<Arc<Terminator>> {
        self.issuer.clone()
    }

    /// Where a certificate is ordered, if one is.
    pub fn acme(&self) -> Option<Arc<Acme>> {
        self.acme.clone()
    }

    /// Reads the files again because somebody says that they are complete, and has a certificate that could
    /// not be ordered tried for again. What is wrong with them, by
    /// listener; it is logged and counted too, and what was in use stays in use.
    pub async fn reload(&self) -> Vec<String> {
        if let Some(acme) = &self.acme {
            acme.try_again();
        }
        self.look(Patience::None).await
    }

    /// Looks at the files until `stopping` turns true.
    pub async fn watch(self: Arc<Self>, mut stopping: watch::Receiver<bool>) {
        let mut looks = tokio::time::interval(LOOK);
        loop {
            tokio::select! {
                _ = looks.tick() => {}
                _ = stopping.wait_for(|stop| *stop) => return,
            }
            self.look(Patience::Some).await;
        }
    }

    async fn look(&self, patience: Patience) -> Vec<String> {
        let (files, now) = (Arc::clone(&self.files), self.clock.now());
        let look = move || {
            let mut files = files.lock().unwrap_or_else(PoisonError::into_inner);
            let looks = files.iter_mut();
            looks
                .flat_map(|listening| listening.look(&read_file, patience, now))
                .collect()
        };
        match tokio::task::spawn_blocking(look).await {
            Ok(troubles) => troubles,
            Err(why) => vec![why.to_string()],
        }
    }

    /// How the certificates are, for readiness; `None` without TLS. Nothing here fails it: a certificate
    /// that expired is better than no door.
    pub fn health(&self) -> Option<Outcome> {
        let files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.clock.now();
        let troubles: Vec<String> = files
            .iter()
            .flat_map(|listening| listening.troubles(now))
            .collect();
        match (files.is_empty(), troubles.is_empty()) {
            (true, _) => None,
            (false, true) => Some(Outcome::Pass),
            (false, false) => Some(Outcome::Warn(troubles.join("; "))),
        }
    }
}
