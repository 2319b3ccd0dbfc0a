//! Real clients: Debian's curl, over every version that it can be told to speak.

use std::process::Command;

use crate::serving::KNOWN;
use crate::support::headscale_standin::{HeadscaleStandin, Options};
use crate::support::house::{House, More, free_addresses};
use crate::support::tls::Authority;

/// The version that curl says was spoken, and the status.
fn curl(arguments: &[&str]) -> String {
    let said = Command::new("curl")
        .args([
            "--silent",
            "--show-error",
            "--noproxy",
            "*",
            "--max-time",
            "30",
        ])
        .args([
            "--output",
            "/dev/null",
            "--write-out",
            "%{http_version} %{http_code}",
        ])
        .args(arguments)
        .output()
        .expect("curl runs");
    let (out, err) = (said.stdout, said.stderr);
    format!(
        "{}{}",
        String::from_utf8_lossy(&out),
        String::from_utf8_lossy(&err)
    )
}

#[test]
fn curl_gets_the_version_it_asks_for() {
    let authority = Authority::new();
    let headscale = HeadscaleStandin::start(Options::default());
    let [tls] = free_addresses();
    let house = House::start(|plan| {
        let (chain, key) = authority.certificate(&["localhost"]).write(&plan.files);
        let listen = format!(
            "listen:\n  - address: \"{tls}\"\n    tls: {{ cert_path: {}, key_path: {} }}\n",
            chain.display(),
            key.display()
        );
        let more = More {
            listen: KNOWN,
            sign_in: "none",
            waits_for_provider: false,
            ..More::default()
        };
        plan.config(&headscale.url(), "http://127.0.0.1:9/", &more)
            .replace("listen:\n", &listen)
    });
    let secure = format!("https://localhost:{}/key?v=140", tls.port());
    let clear = house.url("/key?v=140");
    for (what, arguments, said) in [
        ("by ALPN", vec!["--http2", &secure], "2 200"),
        ("its default", vec![&*secure], "2 200"),
        ("HTTP/1.1 by ALPN", vec!["--http1.1", &secure], "1.1 200"),
        ("no ALPN", vec!["--no-alpn", &secure], "1.1 200"),
        (
            "prior knowledge",
            vec!["--http2-prior-knowledge", &clear],
            "2 200",
        ),
        // It asks for an upgrade to h2c, which is never followed.
        ("an upgrade", vec!["--http2", &clear], "1.1 200"),
        ("plaintext", vec![&*clear], "1.1 200"),
    ] {
        // OpenSSL takes the test's certificates, which have one name, for one that signed itself.
        let arguments = [&["--insecure"][..], &arguments].concat();
        assert_eq!(curl(&arguments), said, "{what}");
    }
    // Not with a body: this curl takes an answer that comes before all of it is sent for an error, at times.
    let page = format!("https://localhost:{}/windows", tls.port());
    assert_eq!(
        curl(&["--insecure", "--http2", &page]),
        "2 421",
        "another host than server_url's is another question"
    );
    let head = curl(&["--insecure", "--head", "--http2", &secure]);
    assert!(head.starts_with("2 "), "{head}");
}
