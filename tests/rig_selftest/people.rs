//! A person keeps cookies and sends headers as a browser does, over TLS too.

use std::io::Write as _;
use std::net::TcpListener;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use url::Url;

use crate::standin;
use crate::support::framing::Inbox;
use crate::support::headscale_standin::{HeadscaleStandin, Options, Script};
use crate::support::person::Person;
use crate::support::tls::{Authority, ServerCertificate};

#[test]
fn a_person_keeps_cookies_as_the_strictest_browser_does() {
    let mut person = Person::new();
    let here = Url::parse("http://127.0.0.1:1/a/b").unwrap();
    for field in [
        "plain=1",
        "root=1; Path=/",
        "elsewhere=1; Path=/other",
        "gone=1",
        "gone=; Max-Age=0",
        "secure=1; Secure",
        "__Host-x=1; Path=/",
        "none=1; SameSite=None",
        "foreign=1; Domain=example.com",
        "strict=1; SameSite=Strict",
    ] {
        person.jar.set(&here, field);
    }
    let kept: Vec<&str> = person
        .jar
        .at(&here)
        .iter()
        .map(|kept| kept.name.as_str())
        .collect();
    assert_eq!(kept, ["plain", "root", "elsewhere", "strict"]);
    assert_eq!(person.jar.refused.len(), 4);
    let tls = Url::parse("https://h.example/").unwrap();
    person.jar.set(&tls, "__Host-x=1; Path=/; Secure");
    person
        .jar
        .set(&tls, "__Host-y=1; Path=/; Secure; Domain=h.example");
    assert_eq!(person.jar.at(&tls).len(), 1);
}

#[test]
fn a_person_sends_what_a_browser_would() {
    let standin = standin();
    let page = "HTTP/1.1 200 OK\r\nContent-Length: 88\r\nReferrer-Policy: same-origin\r\n\r\n\
                <form method=post action=\"/verify?a=1&amp;b=2\"><input name=q value='&#39;x'><button></form>";
    let body = page.len() - page.find("<form").unwrap();
    let page = page.replace("88", &body.to_string());
    standin.script("/form", Script::Bytes(page.clone().into_bytes()));
    let mut person = Person::new();
    person.jar.set(
        &Url::parse(&standin.url()).unwrap(),
        "strict=1; SameSite=Strict; Path=/",
    );
    let form = person.get(&format!("{}/form", standin.url()));
    let typed = standin.wait_for_request("/form");
    assert_eq!(typed.fields.value("sec-fetch-site"), Some("none"));
    assert_eq!(typed.fields.value("cookie"), Some("strict=1"));
    person.submit(&form, "", &[]);
    let posted = standin.wait_for_request("/verify");
    assert_eq!(
        (posted.target.as_str(), &posted.body[..]),
        ("/verify?a=1&b=2", &b"q=%27x"[..])
    );
    assert_eq!(posted.fields.value("origin"), Some(standin.url().as_str()));
    assert_eq!(posted.fields.value("sec-fetch-site"), Some("same-origin"));
    assert_eq!(posted.fields.value("cookie"), Some("strict=1"));

    // The same from another site.
    let attacker = HeadscaleStandin::start(Options::default());
    let target = format!("action=\"{}/verify?", standin.url());
    let evil = page.replace("action=\"/verify?", &target);
    let grown = evil.len() - evil.find("<form").unwrap();
    let evil = evil.replace(&format!("Length: {body}"), &format!("Length: {grown}"));
    attacker.script("/form", Script::Bytes(evil.into_bytes()));
    let lure = format!("http://localhost:{}/form", attacker.address().port());
    let form = person.get(&lure);
    person.submit(&form, "", &[]);
    let posted = standin.wait_for_request("/verify");
    assert_eq!(posted.fields.value("sec-fetch-site"), Some("cross-site"));
    assert_eq!(posted.fields.value("origin"), Some("null"));
    assert_eq!(posted.fields.value("cookie"), None);
}

fn tls_server(certificate: &ServerCertificate) -> (TcpListener, Arc<ServerConfig>) {
    let chain = CertificateDer::pem_slice_iter(certificate.chain.as_bytes());
    let chain = chain.collect::<Result<_, _>>().unwrap();
    let key = PrivateKeyDer::from_pem_slice(certificate.key.as_bytes()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    (TcpListener::bind("127.0.0.1:0").unwrap(), Arc::new(config))
}

#[test]
fn a_person_speaks_tls_and_keeps_host_cookies() {
    let authority = Authority::new();
    let (listener, config) = tls_server(&authority.certificate(&["headscale.test"]));
    let address = listener.local_addr().unwrap();
    let server = std::thread::spawn(move || {
        let mut heads = Vec::new();
        for _ in 0..2 {
            let (socket, _) = listener.accept().unwrap();
            let tls = ServerConnection::new(Arc::clone(&config)).unwrap();
            let mut inbox = Inbox::new(StreamOwned::new(tls, socket));
            heads.push(String::from_utf8(inbox.head().unwrap().unwrap()).unwrap());
            let answer =
                b"HTTP/1.1 204 No Content\r\nSet-Cookie: __Host-a=b; Path=/; Secure\r\n\r\n";
            inbox.reader.write_all(answer).unwrap();
            inbox.reader.flush().unwrap();
        }
        heads
    });
    let mut person = Person::new()
        .trusting(authority.client(&["http/1.1"]))
        .resolving("headscale.test", address);
    for _ in 0..2 {
        assert_eq!(person.get("https://headscale.test/").status(), 204);
    }
    let heads = server.join().unwrap();
    assert!(heads[0].contains("Host: headscale.test\r\n") && !heads[0].contains("Cookie:"));
    assert!(heads[1].contains("Cookie: __Host-a=b\r\n"), "{}", heads[1]);
}
