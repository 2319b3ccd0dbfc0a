//! Against peers that another crate drives.

use rustls::client::UnbufferedClientConnection;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::UnbufferedServerConnection;
use rustls::{ClientConfig, RootCertStore, ServerConfig, SupportedProtocolVersion};
use std::sync::Arc;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::{TlsAcceptor, TlsConnector, client, server};

use super::*;

/// A server and a client that trusts it, of one version of TLS.
fn configurations(
    version: &'static SupportedProtocolVersion,
) -> (Arc<ServerConfig>, Arc<ClientConfig>) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let certificate = CertificateDer::from(made.cert.der().to_vec());
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut server = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[version])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], key)
        .unwrap();
    server.alpn_protocols = vec![b"http/1.1".to_vec()];
    let mut roots = RootCertStore::empty();
    roots.add(certificate).unwrap();
    let mut client = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[version])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    client.alpn_protocols = server.alpn_protocols.clone();
    (Arc::new(server), Arc::new(client))
}

fn name() -> ServerName<'static> {
    ServerName::try_from("localhost").unwrap()
}

async fn sockets() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (client, accepted) = tokio::join!(TcpStream::connect(address), listener.accept());
    let (client, (server, _)) = (client.unwrap(), accepted.unwrap());
    client.set_nodelay(true).unwrap();
    server.set_nodelay(true).unwrap();
    (client, server)
}

type OurServer = Tls<UnbufferedServerConnection>;
type OurClient = Tls<UnbufferedClientConnection>;

/// Our server, and a client of the other crate.
async fn our_server(
    version: &'static SupportedProtocolVersion,
) -> (OurServer, client::TlsStream<TcpStream>) {
    let (server, client) = configurations(version);
    let (near, far) = sockets().await;
    let session = UnbufferedServerConnection::new(server).unwrap();
    let connector = TlsConnector::from(client);
    let (ours, theirs) = tokio::join!(
        Tls::begin(far, session, Vec::new()),
        connector.connect(name(), near)
    );
    (ours.unwrap(), theirs.unwrap())
}

/// Our client, and a server of the other crate.
async fn our_client(
    version: &'static SupportedProtocolVersion,
) -> (OurClient, server::TlsStream<TcpStream>) {
    let (server, client) = configurations(version);
    let (near, far) = sockets().await;
    let session = UnbufferedClientConnection::new(client, name()).unwrap();
    let acceptor = TlsAcceptor::from(server);
    let (ours, theirs) = tokio::join!(Tls::begin(near, session, Vec::new()), acceptor.accept(far));
    (ours.unwrap(), theirs.unwrap())
}

const VERSIONS: [&SupportedProtocolVersion; 2] = [&rustls::version::TLS12, &rustls::version::TLS13];

fn pattern(seed: usize) -> Vec<u8> {
    (0..1_000_003)
        .map(|at| u8::try_from((at * 31 + at / 4096 + seed) % 251).unwrap())
        .collect()
}

/// Says `said`, ends its direction, and hears the other out.
async fn talk<S: AsyncRead + AsyncWrite + Unpin>(stream: S, said: Vec<u8>) -> Vec<u8> {
    let (mut from, mut to) = tokio::io::split(stream);
    let speaks = async {
        to.write_all(&said).await.unwrap();
        to.shutdown().await.unwrap();
    };
    let hears = async {
        let mut heard = Vec::new();
        from.read_to_end(&mut heard).await.unwrap();
        heard
    };
    tokio::join!(speaks, hears).1
}

#[tokio::test]
async fn a_megabyte_each_way_at_once_arrives_whole_and_ends_with_a_farewell() {
    for version in VERSIONS {
        let (ours, theirs) = our_server(version).await;
        assert_eq!(ours.agreed(), Some(b"http/1.1".as_slice()));
        let (up, down) = tokio::join!(talk(ours, pattern(1)), talk(theirs, pattern(2)));
        assert!(
            up == pattern(2) && down == pattern(1),
            "server, {version:?}"
        );

        let (ours, theirs) = our_client(version).await;
        assert_eq!(ours.agreed(), Some(b"http/1.1".as_slice()));
        let (down, up) = tokio::join!(talk(ours, pattern(3)), talk(theirs, pattern(4)));
        assert!(
            down == pattern(4) && up == pattern(3),
            "client, {version:?}"
        );
    }
}

#[tokio::test]
async fn a_side_that_has_finished_still_hears_the_other_out() {
    for version in VERSIONS {
        let (mut ours, mut theirs) = our_server(version).await;
        theirs.write_all(b"question").await.unwrap();
        theirs.shutdown().await.unwrap();
        let mut question = String::new();
        ours.read_to_string(&mut question).await.unwrap();
        ours.write_all(b"answer").await.unwrap();
        ours.shutdown().await.unwrap();
        assert!(ours.write_all(b"more").await.is_err(), "after its farewell");
        let mut answer = String::new();
        theirs.read_to_string(&mut answer).await.unwrap();
        assert_eq!((question.as_str(), answer.as_str()), ("question", "answer"));
    }
}

#[tokio::test]
async fn nothing_is_kept_between_two_records() {
    for version in VERSIONS {
        let (mut server, mut client) = our_server(version).await;
        let mut word = [0; 4];
        for round in 0..3 {
            client.write_all(b"ask.").await.unwrap();
            server.read_exact(&mut word).await.unwrap();
            server.write_all(b"say.").await.unwrap();
            server.flush().await.unwrap();
            client.read_exact(&mut word).await.unwrap();
            assert_eq!(server.kept(), 0, "round {round} of {version:?}");
        }
    }
}

#[tokio::test]
async fn whatever_a_segment_cuts_in_two_is_put_together_again() {
    for version in VERSIONS {
        let (server, client) = configurations(version);
        let ((near, cut), (piecemeal, far)) = (sockets().await, sockets().await);
        let (mut back, mut forth) = piecemeal.into_split();
        let (mut from_client, mut to_client) = cut.into_split();
        // A byte in each write, from the client on its way to us.
        let there = tokio::spawn(async move {
            let mut byte = [0];
            while from_client.read(&mut byte).await.unwrap_or_default() > 0 {
                if forth.write_all(&byte).await.is_err() {
                    return;
                }
                tokio::task::yield_now().await;
            }
        });
        let here = tokio::spawn(async move { tokio::io::copy(&mut back, &mut to_client).await });
        let session = UnbufferedServerConnection::new(server).unwrap();
        let connector = TlsConnector::from(client);
        let (ours, theirs) = tokio::join!(
            Tls::begin(far, session, Vec::new()),
            connector.connect(name(), near)
        );
        let (mut ours, mut theirs) = (ours.unwrap(), theirs.unwrap());
        theirs.write_all(&[b'x'; 3000]).await.unwrap();
        let mut heard = vec![0; 3000];
        ours.read_exact(&mut heard).await.unwrap();
        assert!(heard.iter().all(|byte| *byte == b'x'), "{version:?}");
        assert_eq!(ours.kept(), 0, "{version:?}");
        there.abort();
        here.abort();
    }
}

#[tokio::test]
async fn keys_can_be_changed_by_either_side_at_any_time() {
    let (mut ours, mut theirs) = our_server(&rustls::version::TLS13).await;
    let mut heard = [0; 4];
    for _ in 0..10 {
        // Theirs, which asks us to change ours as well.
        theirs.get_mut().1.refresh_traffic_keys().unwrap();
        theirs.write_all(b"new!").await.unwrap();
        ours.read_exact(&mut heard).await.unwrap();
        assert_eq!(&heard, b"new!");
        ours.write_all(b"mine").await.unwrap();
        ours.flush().await.unwrap();
        theirs.read_exact(&mut heard).await.unwrap();
        assert_eq!(&heard, b"mine");
    }
    assert_eq!(ours.kept(), 0);
}

#[tokio::test]
async fn an_end_without_a_farewell_is_told_from_one_with_it() {
    for version in VERSIONS {
        let (mut ours, mut theirs) = our_server(version).await;
        // Its socket says so, and nobody else.
        theirs.get_mut().0.shutdown().await.unwrap();
        let error = ours.read(&mut [0; 8]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof, "{version:?}");

        let (mut ours, mut theirs) = our_server(version).await;
        theirs.shutdown().await.unwrap();
        assert_eq!(ours.read(&mut [0; 8]).await.unwrap(), 0, "{version:?}");
        assert_eq!(ours.read(&mut [0; 8]).await.unwrap(), 0, "{version:?}");
    }
}

#[tokio::test]
async fn what_is_no_tls_is_an_error_and_its_sender_is_told() {
    let (server, _) = configurations(&rustls::version::TLS13);
    let (mut near, far) = sockets().await;
    near.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    let session = UnbufferedServerConnection::new(server).unwrap();
    let error = Tls::begin(far, session, Vec::new()).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    let mut said = Vec::new();
    near.read_to_end(&mut said).await.unwrap();
    assert_eq!(said.first(), Some(&21), "an alert: {said:?}");
}

#[tokio::test]
async fn a_record_that_was_tampered_with_is_an_error_and_its_sender_is_told() {
    let (mut ours, mut theirs) = our_server(&rustls::version::TLS13).await;
    let record = [&[23, 3, 3, 0, 32][..], &[7; 32]].concat();
    theirs.get_mut().0.write_all(&record).await.unwrap();
    let error = ours.read(&mut [0; 8]).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    let told = theirs.read(&mut [0; 8]).await.unwrap_err();
    let told = told.get_ref().unwrap().to_string();
    assert!(told.contains("BadRecordMac"), "{told}");
}

#[tokio::test]
async fn behind_a_record_that_no_peer_may_send_nothing_is_read_or_written_and_nothing_panics() {
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let (mut ours, mut theirs) = our_server(version).await;
        // Of the right length, and of no key: alone, with another behind it, and later.
        let record = [&[23, 3, 3, 0, 32][..], &[7; 32]].concat();
        let twice = [record.as_slice(), &record].concat();
        theirs.get_mut().0.write_all(&twice).await.unwrap();
        for _ in 0..2 {
            let error = ours.read(&mut [0; 8]).await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        }
        theirs.get_mut().0.write_all(&record).await.unwrap();
        let error = ours.read(&mut [0; 8]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        let error = ours.write(b"x").await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
        ours.shutdown().await.unwrap();
    }
}

#[tokio::test]
async fn a_client_that_leaves_during_the_handshake_is_gone() {
    let (server, _) = configurations(&rustls::version::TLS13);
    let (near, far) = sockets().await;
    drop(near);
    let session = UnbufferedServerConnection::new(server).unwrap();
    let error = Tls::begin(far, session, Vec::new()).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
}

#[tokio::test]
async fn a_message_of_the_handshake_that_never_ends_is_not_kept() {
    let (server, _) = configurations(&rustls::version::TLS13);
    let (mut near, far) = sockets().await;
    let session = UnbufferedServerConnection::new(server).unwrap();
    let begun = tokio::spawn(Tls::begin(far, session, Vec::new()));
    // The beginning of a ClientHello of 16 MiB.
    let mut said = Vec::new();
    let body = [&[1, 0xff, 0xff, 0xff][..], &[0; 16_000]].concat();
    said.extend_from_slice(&[22, 3, 1]);
    said.extend_from_slice(&u16::try_from(body.len()).unwrap().to_be_bytes());
    said.extend_from_slice(&body);
    near.write_all(&said).await.unwrap();
    let error = begun.await.unwrap().unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{error}");
}

#[tokio::test]
async fn a_reader_that_stops_makes_us_keep_no_more_than_one_piece() {
    let (mut ours, _theirs) = our_server(&rustls::version::TLS13).await;
    let piece = vec![b'x'; 256 * 1024];
    let mut taken = 0;
    loop {
        let write = poll_fn(|cx| match Pin::new(&mut ours).poll_write(cx, &piece) {
            Poll::Ready(written) => Poll::Ready(Some(written.unwrap())),
            Poll::Pending => Poll::Ready(None),
        });
        match write.await {
            Some(written) => taken += written,
            None => break,
        }
        assert!(taken < 64 * 1024 * 1024, "it takes everything");
    }
    assert!(ours.kept() > 0, "the last piece is kept");
    assert!(ours.kept() <= 2 * OUTGOING, "{}", ours.kept());
}
