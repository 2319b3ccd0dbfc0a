//! How the servers are reached.

use std::path::PathBuf;
use std::time::Duration;

use redis::aio::{ConnectionLike as _, MultiplexedConnection};
use redis::cluster::{ClusterClient, ClusterClientBuilder};
use redis::cluster_async::ClusterConnection;
use redis::sentinel::{SentinelClient, SentinelClientBuilder, SentinelServerType};
use redis::{
    AsyncConnectionConfig, Client, Cmd, ConnectionAddr, ConnectionInfo, ErrorKind, ProtocolVersion,
    RedisConnectionInfo, RedisError, RedisResult, TlsCertificates, TlsMode, Value,
};

use crate::config::{RedisSettings, RedisTopology, read_file};

/// Why there can be no client.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The file cannot be read.
    #[error("{path}: {source}")]
    Certificates {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The library does not take it.
    #[error("{0}")]
    Client(#[from] RedisError),
}

/// Makes connections.
pub(super) struct Connector {
    servers: Servers,
    /// Clients for the nodes that the settings name: a cluster's messages come from any of them.
    nodes: Vec<Client>,
}

enum Servers {
    One,
    Sentinel(tokio::sync::Mutex<SentinelClient>),
    Cluster(ClusterClient),
}

/// A connection that many tasks use at once.
#[derive(Clone)]
pub(super) enum Connection {
    /// To one server.
    One(MultiplexedConnection),
    /// To all of a cluster.
    Cluster(ClusterConnection),
}

impl Connection {
    /// Sends a command and waits for its answer.
    pub(super) async fn ask(&mut self, command: &Cmd) -> RedisResult<Value> {
        let answer = match self {
            Self::One(connection) => connection.req_packed_command(command).await,
            Self::Cluster(connection) => connection.req_packed_command(command).await,
        };
        answer.and_then(Value::extract_error)
    }
}

impl Connector {
    pub(super) fn new(settings: &RedisSettings) -> Result<Self, BuildError> {
        let certificates = certificates(settings)?;
        let login = login(settings);
        let addresses = settings.nodes.iter().map(|(host, port)| {
            if settings.tls {
                ConnectionAddr::TcpTls {
                    host: host.clone(),
                    port: *port,
                    insecure: false,
                    tls_params: None,
                }
            } else {
                ConnectionAddr::Tcp(host.clone(), *port)
            }
        });
        let infos = addresses
            .clone()
            .map(|addr| ConnectionInfo {
                addr,
                redis: login.clone(),
            })
            .collect::<Vec<ConnectionInfo>>();
        let servers = match &settings.topology {
            RedisTopology::One => Servers::One,
            RedisTopology::Sentinel { name } => {
                let client = sentinel(addresses.collect(), name, settings, certificates.as_ref())?;
                Servers::Sentinel(tokio::sync::Mutex::new(client))
            }
            RedisTopology::Cluster => {
                Servers::Cluster(cluster(infos.clone(), settings, certificates.as_ref())?)
            }
        };
        let nodes = infos
            .into_iter()
            .map(|info| match &certificates {
                Some(certificates) => Client::build_with_tls(info, certificates.clone()),
                None => Client::open(info),
            })
            .collect::<RedisResult<Vec<Client>>>()?;
        Ok(Self { servers, nodes })
    }

    /// A connection for commands.
    pub(super) async fn connect(&self, timeout: Duration) -> RedisResult<Connection> {
        if let Servers::Cluster(client) = &self.servers {
            return Ok(Connection::Cluster(client.get_async_connection().await?));
        }
        let client = self.primary().await?;
        let config = bounded(timeout);
        let connection = client
            .get_multiplexed_async_connection_with_config(&config)
            .await?;
        Ok(Connection::One(connection))
    }

    /// A connection for messages, made with `config`: to the primary, or to any node of a cluster, which
    /// passes messages on by itself.
    pub(super) async fn connect_for_messages(
        &self,
        config: &AsyncConnectionConfig,
    ) -> RedisResult<MultiplexedConnection> {
        if !matches!(self.servers, Servers::Cluster(_)) {
            let client = self.primary().await?;
            return client
                .get_multiplexed_async_connection_with_config(config)
                .await;
        }
        let mut last = nothing_to_connect_to();
        for node in &self.nodes {
            match node
                .get_multiplexed_async_connection_with_config(config)
                .await
            {
                Ok(connection) => return Ok(connection),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    async fn primary(&self) -> RedisResult<Client> {
        match &self.servers {
            Servers::Sentinel(client) => client.lock().await.async_get_client().await,
            Servers::One | Servers::Cluster(_) => self
                .nodes
                .first()
                .cloned()
                .ok_or_else(nothing_to_connect_to),
        }
    }
}

/// What every connection keeps to.
pub(super) fn bounded(timeout: Duration) -> AsyncConnectionConfig {
    AsyncConnectionConfig::new()
        .set_connection_timeout(timeout)
        .set_response_timeout(timeout)
}

fn nothing_to_connect_to() -> RedisError {
    (ErrorKind::InvalidClientConfig, "no node is named").into()
}

fn login(settings: &RedisSettings) -> RedisConnectionInfo {
    RedisConnectionInfo {
        db: settings.database,
        username: settings.username.clone(),
        password: settings
            .password
            .as_ref()
            .map(|password| password.expose().clone()),
        protocol: ProtocolVersion::RESP3,
    }
}

fn certificates(settings: &RedisSettings) -> Result<Option<TlsCertificates>, BuildError> {
    let Some(path) = settings.ca_path.as_ref().filter(|_| settings.tls) else {
        return Ok(None);
    };
    let root = read_file(path).map_err(|source| BuildError::Certificates {
        path: path.clone(),
        source,
    })?;
    Ok(Some(TlsCertificates {
        client_tls: None,
        root_cert: Some(root.text.into_bytes()),
    }))
}

fn sentinel(
    sentinels: Vec<ConnectionAddr>,
    name: &str,
    settings: &RedisSettings,
    certificates: Option<&TlsCertificates>,
) -> RedisResult<SentinelClient> {
    let mut builder =
        SentinelClientBuilder::new(sentinels, name.to_owned(), SentinelServerType::Master)?
            .set_client_to_redis_protocol(ProtocolVersion::RESP3)
            .set_client_to_redis_db(settings.database);
    if let Some(name) = &settings.username {
        builder = builder.set_client_to_redis_username(name.clone());
    }
    if let Some(password) = &settings.password {
        builder = builder.set_client_to_redis_password(password.expose().clone());
    }
    if settings.tls {
        builder = builder
            .set_client_to_redis_tls_mode(TlsMode::Secure)
            .set_client_to_sentinel_tls_mode(TlsMode::Secure);
    }
    if let Some(certificates) = certificates {
        builder = builder
            .set_client_to_redis_certificates(certificates.clone())
            .set_client_to_sentinel_certificates(certificates.clone());
    }
    builder.build()
}

fn cluster(
    nodes: Vec<ConnectionInfo>,
    settings: &RedisSettings,
    certificates: Option<&TlsCertificates>,
) -> RedisResult<ClusterClient> {
    let mut builder = ClusterClientBuilder::new(nodes)
        .use_protocol(ProtocolVersion::RESP3)
        .connection_timeout(settings.timeout)
        .response_timeout(settings.timeout)
        .retries(2);
    if settings.tls {
        builder = builder.tls(TlsMode::Secure);
    }
    if let Some(certificates) = certificates {
        builder = builder.certs(certificates.clone());
    }
    builder.build()
}
