//! The TLS of one listener: its pairs, its clients' authorities, and the configuration made of them.

use std::path::Path;
use std::sync::Arc;

use rustls::crypto::ring::Ticketer;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::version::{TLS12, TLS13};
use rustls::{RootCertStore, ServerConfig};

use super::choice::Choice;
use super::clients;
use super::pair::Pair;
use super::watched::{Look, Patience, Watched};
use super::{TlsError, provider};
use crate::acme::Challenges;
use crate::config::{
    Certificates, ClientCertificates, FileText, ListenerTls, ReadFile, TlsFiles, exposed, read_file,
};
use crate::domain::time::Timestamp;
use crate::ops::metrics::Metrics;
use crate::proxy::handshake::Terminator;

/// What all listeners are opened with.
pub(super) struct Shared<'a> {
    /// Where what is ordered from the ACME directory is kept.
    pub(super) ordered: TlsFiles,
    /// What validators of that are answered with.
    pub(super) challenges: Option<Arc<Challenges>>,
    pub(super) metrics: &'a Arc<Metrics>,
    pub(super) now: Timestamp,
}

/// One listener.
pub(super) struct Listening {
    /// Its key in the configuration.
    key: String,
    /// In the order of the configuration.
    pairs: Vec<Watched<Option<Pair>>>,
    clients: Option<(ClientCertificates, Watched<RootCertStore>)>,
    protocols: &'static [&'static [u8]],
    terminator: Arc<Terminator>,
    metrics: Arc<Metrics>,
}

impl Listening {
    /// Reads everything for the first time.
    pub(super) fn open(
        key: String,
        tls: &ListenerTls,
        protocols: &'static [&'static [u8]],
        shared: &Shared<'_>,
    ) -> Result<Self, TlsError> {
        let unusable = |files: String, reason: String| TlsError {
            key: key.clone(),
            files,
            reason,
        };
        let open = |files: &TlsFiles, may_come_later| {
            let pair = watch_pair(files, may_come_later);
            pair.map_err(|why| unusable(named(files), why))
        };
        let pairs = match &tls.certificates {
            Certificates::Files(files) => files
                .iter()
                .map(|files| open(files, false))
                .collect::<Result<Vec<_>, _>>()?,
            // It comes when the first order is done; what is there and broken is an error.
            Certificates::Acme => vec![open(&shared.ordered, true)?],
        };
        let clients = match &tls.clients {
            None => None,
            Some(clients) => {
                let watched = watch_authorities(&clients.ca_path);
                let told = |why| unusable(clients.ca_path.display().to_string(), why);
                Some((clients.clone(), watched.map_err(told)?))
            }
        };
        let config = config(&pairs, clients.as_ref(), protocols);
        let config = config.map_err(|why| unusable("its files".to_owned(), why))?;
        let metrics = Arc::clone(shared.metrics);
        let terminator = Terminator::new(config, shared.challenges.clone(), Arc::clone(&metrics));
        let listening = Self {
            pairs,
            clients,
            protocols,
            terminator: Arc::new(terminator),
            metrics,
            key,
        };
        for pair in &listening.pairs {
            listening.note(pair, shared.now);
        }
        Ok(listening)
    }

    /// What the listener hands its connections to.
    pub(super) fn terminator(&self) -> Arc<Terminator> {
        Arc::clone(&self.terminator)
    }

    /// Looks at the files, and takes what changed and is good. What is not, as an operator reads it.
    pub(super) fn look(
        &mut self,
        read: ReadFile<'_>,
        patience: Patience,
        now: Timestamp,
    ) -> Vec<String> {
        let mut troubles = Vec::new();
        let mut changed = Vec::new();
        let pairs = self.pairs.iter_mut();
        let looks = pairs.map(|pair| (pair.look(read, patience), first_path(pair)));
        let mut looks: Vec<_> = looks.collect();
        if let Some((_, authorities)) = &mut self.clients {
            looks.push((authorities.look(read, patience), first_path(authorities)));
        }
        for (look, file) in looks {
            match look {
                Look::Same => {}
                Look::Changed => changed.push(file),
                Look::Bad(why) => troubles.push(format!("{file}: {why}")),
            }
        }
        if !changed.is_empty() {
            let config = config(&self.pairs, self.clients.as_ref(), self.protocols);
            match config {
                Ok(config) => self.take(config, &changed, now),
                Err(why) => troubles.push(format!("{}: {why}", changed.join(", "))),
            }
        }
        for trouble in &troubles {
            self.metrics.certificate_unusable();
            tracing::error!(
                listener = self.key,
                reason = trouble,
                "a certificate file changed and cannot be used: what was there before stays in use"
            );
        }
        let named = |trouble: String| format!("{}: {trouble}", self.key);
        troubles.into_iter().map(named).collect()
    }

    fn take(&self, config: Arc<ServerConfig>, changed: &[String], now: Timestamp) {
        self.terminator.replace(config);
        for file in changed {
            tracing::info!(
                listener = self.key,
                file,
                "a certificate file changed: new connections use it"
            );
        }
        let changed = self
            .pairs
            .iter()
            .filter(|pair| changed.contains(&first_path(pair)));
        changed.for_each(|pair| self.note(pair, now));
    }

    /// Says when a pair expires, and what else there is to know.
    fn note(&self, pair: &Watched<Option<Pair>>, now: Timestamp) {
        let Some(value) = pair.value().as_ref() else {
            return;
        };
        for path in pair.paths().iter().take(1) {
            self.metrics.certificate_expires(path, value.leaf.expires);
        }
        if let Some(warning) = value.leaf.fault(now) {
            tracing::warn!(
                listener = self.key,
                file = first_path(pair),
                "this certificate {warning}"
            );
        }
        for path in pair.paths().iter().skip(1) {
            if let Some(mode) = exposed(path) {
                tracing::warn!(
                    path = %path.display(),
                    "others may read this private key (mode {mode:04o}); chmod 600 it"
                );
            }
        }
    }

    /// What is wrong at the moment.
    pub(super) fn troubles(&self, now: Timestamp) -> Vec<String> {
        let mut troubles = Vec::new();
        for pair in &self.pairs {
            let file = first_path(pair);
            if let Some(why) = pair.trouble() {
                troubles.push(format!("{file} changed and cannot be used: {why}"));
            }
            let value = pair.value().as_ref().as_ref();
            if let Some(warning) = value.and_then(|value| value.leaf.fault(now)) {
                troubles.push(format!("{file} {warning}"));
            }
        }
        if let Some((_, authorities)) = &self.clients
            && let Some(why) = authorities.trouble()
        {
            let file = first_path(authorities);
            troubles.push(format!("{file} changed and cannot be used: {why}"));
        }
        troubles
    }
}

fn first_path<T>(watched: &Watched<T>) -> String {
    let path = watched.paths().first();
    path.map(|path| path.display().to_string())
        .unwrap_or_default()
}

fn named(files: &TlsFiles) -> String {
    let (cert, key) = (files.cert_path.display(), files.key_path.display());
    if files.cert_path == files.key_path {
        cert.to_string()
    } else {
        format!("{cert} and {key}")
    }
}

fn watch_pair(files: &TlsFiles, may_come_later: bool) -> Result<Watched<Option<Pair>>, String> {
    let load = |texts: &[FileText]| match texts {
        [chain, key] => Pair::parse(&chain.text, &key.text)
            .map(Some)
            .map_err(|why| why.to_string()),
        _ => Err("two files are needed".to_owned()),
    };
    let paths = vec![files.cert_path.clone(), files.key_path.clone()];
    Watched::new(
        paths,
        Box::new(load),
        &read_file,
        may_come_later.then_some(None),
    )
}

fn watch_authorities(path: &Path) -> Result<Watched<RootCertStore>, String> {
    let load = |texts: &[FileText]| match texts {
        [bundle] => clients::authorities(&bundle.text),
        _ => Err("one file is needed".to_owned()),
    };
    Watched::new(vec![path.to_owned()], Box::new(load), &read_file, None)
}

/// TLS 1.2 and 1.3 with these certificates, for these clients.
fn config(
    pairs: &[Watched<Option<Pair>>],
    clients: Option<&(ClientCertificates, Watched<RootCertStore>)>,
    protocols: &[&[u8]],
) -> Result<Arc<ServerConfig>, String> {
    let pairs: Vec<&Pair> = pairs
        .iter()
        .filter_map(|pair| pair.value().as_ref().as_ref())
        .collect();
    let choice = Choice::new(&pairs);
    let verifier: Arc<dyn ClientCertVerifier> = match clients {
        None => WebPkiClientVerifier::no_client_auth(),
        Some((clients, authorities)) => {
            clients::verifier(Arc::clone(authorities.value()), clients)?
        }
    };
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13, &TLS12])
        .map_err(|why| why.to_string())?
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(Arc::new(choice));
    config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
    if clients.is_some() {
        // A session that is resumed does not show its certificate again, which may have expired.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
    } else {
        // Sealed tickets (RFC 8446 section 4.6.1), so that nothing is kept for a client that may come back. Their
        // key is of this configuration, and another one after six hours: a ticket is good for twelve at most.
        config.ticketer = Ticketer::new().map_err(|why| why.to_string())?;
    }
    Ok(Arc::new(config))
}
