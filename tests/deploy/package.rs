//! The Debian package: built around the binary under test, installed with dpkg and started by systemd, on a machine of
//! its own.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use crate::files::{project, said, succeed, text};
use crate::machine::{Machine, wait_for};

/// A configuration that starts without a provider and without Headscale.
const CONFIG: &str = "\
server_url: https://headscale.company
listen:
  - address: \"0.0.0.0:443\"
    tls: { cert_path: /etc/headwarden/tls.crt, key_path: /etc/headwarden/tls.key }
  - address: \"0.0.0.0:80\"
admin: { socket_path: /run/headwarden/admin.sock }
headscale:
  sign_in: issuer
  issuer:
    url: http://127.0.0.1:8181
    client_secret_path: ${CREDENTIALS_DIRECTORY}/headscale_client_secret
oidc:
  only_start_if_oidc_is_available: false
  issuer: https://authentik.company/application/o/headscale/
  client_id: headwarden
  client_secret_path: ${CREDENTIALS_DIRECTORY}/oidc_client_secret
  allowed_groups: [headscale]
audit: { path: /var/log/headwarden/audit.jsonl }
shutdown: { lead: 0s }
";

/// The package, built once: it stays among the build's own files.
fn package() -> &'static Path {
    static PACKAGE: LazyLock<PathBuf> = LazyLock::new(build);
    &PACKAGE
}

fn build() -> PathBuf {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("debian");
    if directory.exists() {
        std::fs::remove_dir_all(&directory).unwrap();
    }
    let mut build = Command::new(project("deploy/debian/build"));
    build.args([
        "--fast",
        "--binary",
        env!("CARGO_BIN_EXE_headwarden"),
        "--output",
    ]);
    succeed(build.arg(&directory));
    let found = std::fs::read_dir(&directory).unwrap();
    let packages: Vec<PathBuf> = found.map(|entry| entry.unwrap().path()).collect();
    let [package] = &packages[..] else {
        panic!("{packages:?}")
    };
    package.clone()
}

/// What `apt-get install` of it does on a machine that has everything else.
fn install(machine: &Machine) -> String {
    machine.bring(package(), "/var/tmp/headwarden.deb");
    machine.sh("dpkg --install /var/tmp/headwarden.deb")
}

/// Has another process take over, and waits until it is the service and the one before has ended.
fn hand_over(machine: &Machine) -> String {
    let before = machine.property("MainPID");
    machine.sh("systemctl kill --kill-whom=main --signal=SIGUSR2 headwarden");
    wait_for(
        || format!("another process\n{}", machine.journal()),
        || (machine.property("MainPID") != before).then_some(()),
    );
    wait_for(
        || format!("the end of {before}\n{}", machine.journal()),
        || {
            let gone = machine.sh(&format!("test -e /proc/{before} || echo gone"));
            (gone == "gone\n").then_some(())
        },
    );
    machine.property("MainPID")
}

/// What the operator does after the installation, as `README.Debian` says.
fn configure(machine: &Machine) {
    machine.write(Path::new("/etc/headwarden/config.yaml"), CONFIG);
    machine.sh(
        "cd /etc/headwarden
         echo 0123456789abcdef-oidc | install -m 0600 /dev/stdin secrets/oidc_client_secret
         echo 0123456789abcdef-headscale | install -m 0600 /dev/stdin secrets/headscale_client_secret
         openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -noenc -subj /CN=headscale.company \
           -addext subjectAltName=DNS:headscale.company -keyout /var/tmp/tls.key -out tls.crt 2>/dev/null
         install -m 0400 -o headwarden /var/tmp/tls.key tls.key",
    );
}

/// The status of a request over TLS to the installed service.
fn public(machine: &Machine) -> String {
    machine.sh(
        "curl --silent --output /dev/null --write-out '%{http_code}' --cacert /etc/headwarden/tls.crt \
         --retry 20 --retry-all-errors --retry-delay 1 \
         --connect-to headscale.company:443:127.0.0.1:443 https://headscale.company/.headwarden/signed-out",
    )
}

#[expect(clippy::too_many_lines, reason = "the life of one installation")]
#[test]
fn the_package_is_installed_started_changed_and_removed() {
    let Some(machine) = Machine::boot() else {
        return;
    };

    // Installed, and nothing is started: nobody knows yet for which host.
    let told = install(&machine);
    assert!(told.contains("README.Debian"), "{told}");
    assert_eq!(machine.property("UnitFileState"), "disabled");
    assert_eq!(machine.property("ActiveState"), "inactive");
    assert_eq!(
        machine.sh("stat -c '%U %a' /etc/headwarden/secrets").trim(),
        "root 700"
    );
    for there in [
        "man --where headwarden",
        "man --where headwarden-sessions",
        "test -s /usr/share/bash-completion/completions/headwarden",
        "test -s /usr/share/zsh/vendor-completions/_headwarden",
        "test -s /usr/share/fish/vendor_completions.d/headwarden.fish",
        "systemd-analyze verify --man=no headwarden.service headwarden.socket",
    ] {
        machine.sh(there);
    }

    // Started as it is, it says what it does not know, and is not started again and again.
    machine.fails("systemctl start headwarden");
    assert_eq!(machine.property("ExecMainStatus"), "2");
    assert_eq!(machine.property("NRestarts"), "0");
    let journal = machine.journal();
    for key in ["server_url", "headscale.sign_in", "oidc.issuer"] {
        assert!(journal.contains(key), "{key} is not named:\n{journal}");
    }

    // Configured, it starts as nobody who could do much, with its secrets, and is ready when it says so.
    configure(&machine);
    machine.sh("CREDENTIALS_DIRECTORY=/etc/headwarden/secrets headwarden check");
    machine.sh("systemctl start headwarden");
    assert_eq!(
        machine.property("ActiveState"),
        "active",
        "{}",
        machine.journal()
    );
    let main = machine.property("MainPID");
    let status = machine.sh(&format!(
        "cat /proc/{main}/status; stat -c '%U' /proc/{main}"
    ));
    assert!(status.contains("CapEff:\t0000000000000400"), "{status}");
    assert!(
        status.contains("Seccomp:\t2") && status.contains("NoNewPrivs:\t1"),
        "{status}"
    );
    assert!(status.ends_with("headwarden\n"), "{status}");
    assert_eq!(public(&machine), "200");
    machine.sh("headwarden sessions list --socket /run/headwarden/admin.sock");
    let state = machine.sh("stat -c '%U %a %n' /var/lib/headwarden /var/lib/headwarden/keys.json");
    assert_eq!(
        state,
        "headwarden 700 /var/lib/headwarden\nheadwarden 600 /var/lib/headwarden/keys.json\n"
    );

    // A file with a mistake makes the reload fail, in words, and the process goes on as it was.
    machine.write(
        Path::new("/etc/headwarden/config.yaml"),
        &CONFIG.replace("client_id", "client_idd"),
    );
    machine.fails("systemctl reload headwarden");
    assert!(
        machine.journal().contains("oidc.client_idd"),
        "{}",
        machine.journal()
    );
    machine.write(Path::new("/etc/headwarden/config.yaml"), CONFIG);
    machine.sh("systemctl reload headwarden");
    wait_for(
        || machine.journal(),
        || {
            let read = machine.journal().contains("configuration read again");
            read.then_some(())
        },
    );
    assert_eq!(machine.property("MainPID"), main);
    assert_eq!(public(&machine), "200");

    // Another process takes over: it is the service, with the same sandbox and secrets.
    let main = hand_over(&machine);
    assert_eq!(machine.property("ActiveState"), "active");
    assert_eq!(public(&machine), "200");

    // Installed again, which is what an upgrade is, it is another process, and goes on.
    install(&machine);
    assert_eq!(
        machine.property("ActiveState"),
        "active",
        "{}",
        machine.journal()
    );
    assert_ne!(machine.property("MainPID"), main);
    assert_eq!(public(&machine), "200");

    // Stopped, it ends by itself.
    machine.sh("systemctl stop headwarden");
    assert_eq!(
        machine.property("Result"),
        "success",
        "{}",
        machine.journal()
    );
    assert_eq!(machine.property("ExecMainStatus"), "0");

    // With the socket, the first who comes starts it, and a restart refuses nobody.
    machine.sh("systemctl start headwarden.socket");
    assert_eq!(machine.property("ActiveState"), "inactive");
    assert_eq!(public(&machine), "200");
    assert_eq!(machine.property("ActiveState"), "active");
    let main = machine.property("MainPID");
    machine.sh("kill -KILL \"$(systemctl show --value --property=MainPID headwarden)\"");
    assert_eq!(public(&machine), "200");
    assert_ne!(machine.property("MainPID"), main);
    hand_over(&machine);
    assert_eq!(public(&machine), "200");

    // Removed, what the operator wrote stays; purged, it goes, and what no tailnet can do without is kept.
    machine.sh("dpkg --remove headwarden");
    machine.sh("test -s /etc/headwarden/secrets/oidc_client_secret -a -s /var/lib/headwarden/issuer_key.json");
    machine.fails("systemctl is-active headwarden.service headwarden.socket");
    machine.sh("rm /etc/headwarden/tls.crt /etc/headwarden/tls.key");
    machine.sh("dpkg --purge headwarden");
    machine.fails(
        "ls -d /etc/headwarden /var/lib/headwarden /var/log/headwarden 2>/dev/null | grep .",
    );
    let kept = machine.sh("stat -c '%U %a' /var/backups/headwarden-issuer_key.json");
    assert_eq!(kept.trim(), "root 600");
    drop(machine);
    assert!(
        !Path::new("/etc/headwarden").exists(),
        "it reached this machine"
    );
}

#[test]
fn a_service_that_hangs_is_started_again() {
    let Some(machine) = Machine::boot() else {
        return;
    };
    install(&machine);
    configure(&machine);
    machine.write(
        Path::new("/etc/systemd/system/headwarden.service.d/sooner.conf"),
        "[Service]\nWatchdogSec=5s\nRestartSec=100ms\n",
    );
    machine.sh("systemctl daemon-reload; systemctl start headwarden");
    // Also where one took over from another: it is heard of, and missed.
    let main = hand_over(&machine);
    let alive = || machine.property("WatchdogTimestampMonotonic");
    let heard = alive();
    wait_for(
        || format!("a sign of life\n{}", machine.journal()),
        || (alive() != heard).then_some(()),
    );
    assert_eq!(machine.property("MainPID"), main);
    machine.sh(&format!("kill -STOP {main}"));
    wait_for(
        || format!("another process\n{}", machine.journal()),
        || {
            let started =
                machine.property("MainPID") != main && machine.property("ActiveState") == "active";
            started.then_some(())
        },
    );
    assert!(
        machine.journal().contains("Watchdog timeout"),
        "{}",
        machine.journal()
    );
}

#[test]
fn lintian_has_no_complaint() {
    let mut lintian = Command::new("lintian");
    lintian.args(["--fail-on", "error,warning", "--allow-root"]);
    let output = lintian
        .arg(package())
        .output()
        .expect("lintian; see tests/setup.sh");
    assert!(output.status.success(), "{}", said(&output));
}

/// What `dpkg-shlibdeps` does not see, since no symbol stands for it; see `build.rs`.
#[test]
fn the_package_asks_for_a_c_library_that_reads_packed_relocations() {
    let mut field = Command::new("dpkg-deb");
    field.arg("--field").arg(package()).arg("Depends");
    let depends = succeed(&mut field);
    assert!(depends.contains("libc6 (>= 2.36)"), "{depends}");
}

#[test]
fn the_package_is_of_the_version_of_the_binary() {
    let changes = text("deploy/debian/changelog");
    let first = format!("headwarden ({}-1) ", env!("CARGO_PKG_VERSION"));
    assert!(
        changes.starts_with(&first),
        "deploy/debian/changelog does not begin with {first}"
    );
}

#[test]
fn the_example_that_is_installed_is_refused_until_it_is_filled_in() {
    let refused = crate::files::check(&text("deploy/debian/config.yaml"), &[]);
    assert_eq!(refused.status.code(), Some(2), "{}", said(&refused));
    let filled = text("deploy/debian/config.yaml")
        .replace(
            "<https://headscale.example.org>",
            "https://headscale.company",
        )
        .replace("<issuer or own>", "issuer")
        .replace(
            "<the provider's issuer, from authentik with the slash at its end>",
            "https://authentik.company/application/o/headscale/",
        )
        .replace("<the Client ID>", "headwarden");
    assert!(!filled.contains(": <"), "{filled}");
    crate::files::accepted("deploy/debian/config.yaml", &filled, &[]);
}
