//! HAProxy and nginx as an operator runs them: with the configuration of `docs/deployment.md`, and this
//! test's addresses in it.

use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_mins(1);
const STREAM_MODULE: &str = "/usr/lib/nginx/modules/ngx_stream_module.so";

/// A running balancer; killed when dropped.
pub(crate) struct Balancer {
    child: Child,
    files: TempDir,
}

/// The fenced block of `docs/deployment.md` whose first line holds `title`.
pub(crate) fn documented(title: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/deployment.md");
    let text = std::fs::read_to_string(path).expect("the documentation");
    let mut blocks = text.split("```").skip(1).step_by(2);
    let block = blocks.find_map(|block| {
        let (_, block) = block.split_once('\n')?;
        block.lines().next()?.contains(title).then_some(block)
    });
    block
        .unwrap_or_else(|| panic!("no block {title:?}"))
        .to_owned()
}

/// `text` with each of these in place of what the documentation says, which must be there.
pub(crate) fn with(text: &str, changes: &[(&str, &str)]) -> String {
    changes.iter().fold(text.to_owned(), |text, (from, to)| {
        assert!(text.contains(from), "{from:?} is not in {text}");
        text.replace(from, to)
    })
}

impl Balancer {
    /// HAProxy with this configuration, listening at `address`.
    pub(crate) fn haproxy(configuration: &str, address: SocketAddr) -> Self {
        Self::start(address, |file| {
            std::fs::write(file, configuration).expect("a file");
            let mut haproxy = Command::new("setpriv");
            haproxy
                .args(["--pdeathsig", "KILL", "haproxy", "-db", "-f"])
                .arg(file);
            haproxy
        })
    }

    /// nginx with these blocks at its top, listening at `address`.
    pub(crate) fn nginx(blocks: &str, address: SocketAddr) -> Self {
        Self::start(address, |file| {
            let files = file.parent().expect("it is in a directory");
            let text = format!(
                "load_module {STREAM_MODULE};\ndaemon off;\nmaster_process off;\nworker_processes 1;\n\
                 pid {0}/nginx.pid;\nerror_log stderr;\nevents {{}}\n{blocks}",
                files.display()
            );
            std::fs::write(file, text).expect("a file");
            let mut nginx = Command::new("setpriv");
            nginx
                .args([
                    "--pdeathsig",
                    "KILL",
                    "/usr/sbin/nginx",
                    "-e",
                    "stderr",
                    "-p",
                ])
                .arg(files)
                .arg("-c")
                .arg(file);
            nginx
        })
    }

    fn start(address: SocketAddr, command: impl FnOnce(&Path) -> Command) -> Self {
        let files = tempfile::tempdir().expect("a directory");
        let log = std::fs::File::create(files.path().join("log")).expect("a log");
        let child = command(&files.path().join("configuration"))
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a second handle"))
            .stderr(log)
            .spawn()
            .expect("it is installed: run tests/setup.sh");
        let mut balancer = Self { child, files };
        let deadline = Instant::now() + PATIENCE;
        while TcpStream::connect(address).is_err() {
            let ended = balancer.child.try_wait().is_ok_and(|end| end.is_some());
            let over = ended || Instant::now() > deadline;
            assert!(!over, "it does not listen: {}", balancer.log());
            std::thread::yield_now();
        }
        balancer
    }

    pub(crate) fn log(&self) -> String {
        let path: PathBuf = self.files.path().join("log");
        std::fs::read_to_string(path).unwrap_or_default()
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- the balancer's log ---\n{}", self.log());
        }
    }
}
