//! Certificates from Pebble, the test directory of Let's Encrypt's authors. Runs where `PEBBLE_BIN` names
//! it; nothing beyond loopback.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::scene::{Scene, until};
use crate::support::house::free_addresses;
use crate::support::tls::Authority;

const NAME: &str = "headscale.test";

/// A running Pebble; killed when dropped.
struct Pebble {
    child: Child,
    /// Where its authority's certificate is had.
    management: String,
}

impl Drop for Pebble {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Every name is this machine (RFC 1035), over TCP, until the test ends.
fn resolver() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("it is bound").to_string();
    std::thread::spawn(move || {
        for tcp in listener.incoming().map_while(Result::ok) {
            std::thread::spawn(move || resolve(tcp));
        }
    });
    address
}

fn resolve(mut tcp: TcpStream) -> Option<()> {
    loop {
        let mut length = [0; 2];
        tcp.read_exact(&mut length).ok()?;
        let mut query = vec![0; usize::from(u16::from_be_bytes(length))];
        tcp.read_exact(&mut query).ok()?;
        let answer = answer(&query)?;
        let length = u16::try_from(answer.len()).ok()?.to_be_bytes();
        tcp.write_all(&[&length, &answer[..]].concat()).ok()?;
    }
}

/// One address for a question of type A, none for any other.
fn answer(query: &[u8]) -> Option<Vec<u8>> {
    let name = query.get(12..)?.iter().position(|byte| *byte == 0)?;
    let end = 12 + name + 5;
    let question = query.get(12..end)?;
    let is_a = question.get(name + 1..name + 3)? == [0, 1];
    let mut answer = query.get(..2)?.to_vec();
    answer.extend([0x81, 0x80, 0, 1, 0, u8::from(is_a), 0, 0, 0, 0]);
    answer.extend(question);
    if is_a {
        answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 1, 0, 4, 127, 0, 0, 1]);
    }
    Some(answer)
}

fn start(binary: &str, files: &Path, http: u16, tls: u16) -> Pebble {
    let directory = files.join("pebble");
    std::fs::create_dir(&directory).expect("a directory");
    let authority = Authority::new();
    let (chain, key) = authority.certificate(&["127.0.0.1"]).write(&directory);
    std::fs::write(files.join("pebble_ca.pem"), authority.pem()).expect("it is written");
    let [listen, management] = free_addresses();
    let config = serde_json::json!({"pebble": {
        "listenAddress": listen.to_string(), "managementListenAddress": management.to_string(),
        "certificate": chain, "privateKey": key, "httpPort": http, "tlsPort": tls,
        "ocspResponderURL": "", "externalAccountBindingRequired": false,
        "retryAfter": { "authz": 1, "order": 1 },
    }});
    let path = directory.join("config.json");
    std::fs::write(&path, config.to_string()).expect("it is written");
    std::fs::write(files.join("directory"), format!("https://{listen}/dir"))
        .expect("it is written");
    let log = std::fs::File::create(files.join("pebble.log")).expect("a log");
    let mut command = Command::new("setpriv");
    command
        .args(["--pdeathsig", "KILL", binary, "-strict", "-config"])
        .arg(&path)
        .args(["-dnsserver", &resolver()])
        .env("PEBBLE_VA_NOSLEEP", "1")
        .stdin(Stdio::null())
        .stdout(log.try_clone().expect("a log"))
        .stderr(log);
    let child = command.spawn().expect("pebble starts");
    let text = || std::fs::read_to_string(files.join("pebble.log")).unwrap_or_default();
    until("pebble listens", || {
        text().contains("Management interface listening")
    });
    until("pebble listens", || text().contains("Listening on"));
    Pebble {
        child,
        management: format!("https://{management}/roots/0"),
    }
}

fn curl(arguments: &[&str]) -> String {
    let output = Command::new("curl")
        .args(["--silent", "--show-error"])
        .args(arguments)
        .output()
        .expect("curl runs");
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    String::from_utf8(output.stdout).expect("UTF-8")
}

#[test]
fn pebble_issues_a_certificate_by_each_challenge() {
    let Some(binary) = std::env::var_os("PEBBLE_BIN").and_then(|name| name.into_string().ok())
    else {
        eprintln!("== SKIPPED: PEBBLE_BIN is not set; nothing was tried against Pebble ==");
        return;
    };
    for challenge in ["http-01", "tls-alpn-01"] {
        let mut pebble = None;
        let mut scene = Scene::start_at(
            |_, _| "{ acme: true }".to_owned(),
            |plan, tls, config| {
                let files = plan.files.display();
                pebble = Some(start(&binary, &plan.files, plan.public.port(), tls.port()));
                let directory = std::fs::read_to_string(plan.files.join("directory"));
                let acme = format!(
                    "acme: {{ terms_of_service_agreed: true, directory_url: \"{}\", \
                     contact: [ops@headscale.test], names: [{NAME}, second.headscale.test], \
                     storage_path: {files}/acme, challenge: {challenge}, \
                     ca_path: {files}/pebble_ca.pem }}\n",
                    directory.expect("it was written")
                );
                config.replace(&plan.origin(), &format!("https://{NAME}")) + &acme
            },
        );
        let line = scene
            .house
            .wait_for_log("certificate obtained from the ACME directory");
        eprintln!("== {challenge}: {line}");
        let pebble = pebble.expect("it was started");
        let root = curl(&["--insecure", &pebble.management]);
        let path = scene.house.plan.files.join("root.pem");
        std::fs::write(&path, root).expect("it is written");
        until("the certificate", || {
            scene.check("certificates").0 == "pass" && {
                let series = "headwarden_acme_orders_total{outcome=\"issued\"}";
                scene.metric(series) == 1 && scene.said("a certificate file changed") == 1
            }
        });
        for name in [NAME, "second.headscale.test"] {
            let status = curl(&[
                "--cacert",
                path.to_str().expect("UTF-8"),
                "--resolve",
                &format!("{name}:{}:127.0.0.1", scene.tls.port()),
                "--write-out",
                "%{http_code}",
                &format!("https://{name}:{}/generate_204", scene.tls.port()),
            ]);
            assert_eq!(status, "204", "{challenge} {name}");
        }
        let told = std::fs::read_to_string(scene.house.plan.files.join("pebble.log"));
        let told = told.expect("it says what it does");
        let issued = told
            .lines()
            .filter(|line| line.contains("Issued certificate"));
        assert_eq!(issued.count(), 1, "{told}");
        for line in told
            .lines()
            .filter(|line| line.contains("succeeded") || line.contains("Issued"))
        {
            eprintln!("   pebble: {line}");
        }
    }
}
