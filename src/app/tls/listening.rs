//! The TLS of one listener: its pairs, its clients' authorities, and the configuration made of them.

use std::path::Path;
use std::sync::Arc;

use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::version::{TLS12, TLS13};
use rustls::{RootCertStore, ServerConfig};

use super::choice::Choice;
use super::clients;
use super::pair::Pair;
use super::watched::{Look, Patience, Watched};
use super::{TlsError, provider};
use crate::config::{
    ClientCertificates, FileText, ListenerTls, ReadFile, TlsFiles, exposed, read_file,
};
use crate::domain::time::Timestamp;
use crate::ops::metrics::Metrics;
use crate::proxy::handshake::Terminator;

/// One listener.
pub(super) struct Listening {
    /// Its key in the configuration.
    key: String,
    first: Watched<Pair>,
    others: Vec<Watched<Pair>>,
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
        metrics: &Arc<Metrics>,
        now: Timestamp,
    ) -> Result<Self, TlsError> {
        let unusable = |files: String, reason: String| TlsError {
            key: key.clone(),
            files,
            reason,
        };
        let open = |files: &TlsFiles| {
            let pair = watch_pair(files);
            pair.map_err(|why| unusable(named(files), why))
        };
        let mut pairs = tls.certificates.iter().map(open);
        let none = || Err(unusable(String::new(), "no certificate".to_owned()));
        let first = pairs.next().unwrap_or_else(none)?;
        let others = pairs.collect::<Result<Vec<_>, _>>()?;
        let clients = match &tls.clients {
            None => None,
            Some(clients) => {
                let watched = watch_authorities(&clients.ca_path);
                let told = |why| unusable(clients.ca_path.display().to_string(), why);
                Some((clients.clone(), watched.map_err(told)?))
            }
        };
        let config = config(&first, &others, clients.as_ref(), protocols);
        let config = config.map_err(|why| unusable(first_path(&first), why))?;
        let listening = Self {
            first,
            others,
            clients,
            protocols,
            terminator: Arc::new(Terminator::new(config, Arc::clone(metrics))),
            metrics: Arc::clone(metrics),
            key,
        };
        for pair in listening.pairs() {
            listening.note(pair, now);
        }
        Ok(listening)
    }

    /// What the listener hands its connections to.
    pub(super) fn terminator(&self) -> Arc<Terminator> {
        Arc::clone(&self.terminator)
    }

    fn pairs(&self) -> impl Iterator<Item = &Watched<Pair>> {
        std::iter::once(&self.first).chain(&self.others)
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
        let pairs = std::iter::once(&mut self.first).chain(&mut self.others);
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
            let config = config(
                &self.first,
                &self.others,
                self.clients.as_ref(),
                self.protocols,
            );
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
            .pairs()
            .filter(|pair| changed.contains(&first_path(pair)));
        changed.for_each(|pair| self.note(pair, now));
    }

    /// Says when a pair expires, and what else there is to know.
    fn note(&self, pair: &Watched<Pair>, now: Timestamp) {
        let value = pair.value();
        for path in pair.paths().iter().take(1) {
            self.metrics.certificate_expires(path, value.expires);
        }
        if let Some(warning) = value.warning(now) {
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
        for pair in self.pairs() {
            let file = first_path(pair);
            if let Some(why) = pair.trouble() {
                troubles.push(format!("{file} changed and cannot be used: {why}"));
            }
            if let Some(warning) = pair.value().warning(now) {
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

fn watch_pair(files: &TlsFiles) -> Result<Watched<Pair>, String> {
    let load = |texts: &[FileText]| match texts {
        [chain, key] => Pair::parse(&chain.text, &key.text).map_err(|why| why.to_string()),
        _ => Err("two files are needed".to_owned()),
    };
    let paths = vec![files.cert_path.clone(), files.key_path.clone()];
    Watched::new(paths, Box::new(load), &read_file)
}

fn watch_authorities(path: &Path) -> Result<Watched<RootCertStore>, String> {
    let load = |texts: &[FileText]| match texts {
        [bundle] => clients::authorities(&bundle.text),
        _ => Err("one file is needed".to_owned()),
    };
    Watched::new(vec![path.to_owned()], Box::new(load), &read_file)
}

/// TLS 1.2 and 1.3 with these certificates, for these clients.
fn config(
    first: &Watched<Pair>,
    others: &[Watched<Pair>],
    clients: Option<&(ClientCertificates, Watched<RootCertStore>)>,
    protocols: &[&[u8]],
) -> Result<Arc<ServerConfig>, String> {
    let others: Vec<_> = others.iter().map(|pair| Arc::clone(pair.value())).collect();
    let choice = Choice::new(first.value(), &others);
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
    Ok(Arc::new(config))
}
