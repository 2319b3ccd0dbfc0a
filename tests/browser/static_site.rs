//! A directory of files behind a path, as the web server of a static web UI shows it.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

/// The server; it ends when this is dropped.
pub(crate) struct StaticSite {
    address: SocketAddr,
    open: Arc<AtomicBool>,
    serving: Option<JoinHandle<()>>,
}

impl StaticSite {
    /// Shows `files` below `prefix` (as `/web`) at `address`.
    pub(crate) fn start(address: SocketAddr, prefix: &'static str, files: PathBuf) -> Self {
        assert!(files.is_dir(), "there is no {}", files.display());
        let listener = TcpListener::bind(address).expect("the address is free");
        let open = Arc::new(AtomicBool::new(true));
        let is_open = Arc::clone(&open);
        let serving = std::thread::spawn(move || {
            for socket in listener.incoming().map_while(Result::ok) {
                if !is_open.load(Ordering::SeqCst) {
                    return;
                }
                let files = files.clone();
                std::thread::spawn(move || serve(&socket, prefix, &files));
            }
        });
        Self {
            address,
            open,
            serving: Some(serving),
        }
    }
}

impl Drop for StaticSite {
    fn drop(&mut self) {
        self.open.store(false, Ordering::SeqCst);
        drop(TcpStream::connect(self.address));
        drop(self.serving.take().map(JoinHandle::join));
    }
}

fn serve(socket: &TcpStream, prefix: &str, files: &Path) {
    let mut lines = BufReader::new(socket).lines().map_while(Result::ok);
    let first = lines.next().unwrap_or_default();
    let _fields: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
    let target = first.split(' ').nth(1).unwrap_or_default();
    let path = target.split('?').next().unwrap_or_default();
    let found = path.strip_prefix(prefix).and_then(|path| find(files, path));
    let answer = match found {
        Some((kind, content)) => {
            [head("200 OK", kind, content.len()).into_bytes(), content].concat()
        }
        None => head("404 Not Found", "text/plain", 0).into_bytes(),
    };
    // Somebody who hangs up early has seen enough.
    drop((&*socket).write_all(&answer));
}

fn head(status: &str, kind: &str, length: usize) -> String {
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
    )
}

/// The file itself, the index of a directory, or the file with `.html` behind its name.
fn find(files: &Path, path: &str) -> Option<(&'static str, Vec<u8>)> {
    assert!(!path.contains(".."), "{path}");
    let file = files.join(path.trim_start_matches('/'));
    let file = match file {
        directory if directory.is_dir() => directory.join("index.html"),
        file if file.is_file() => file,
        other => other.with_extension("html"),
    };
    let kind = match file.extension()?.to_str()? {
        "html" => "text/html; charset=utf-8",
        "js" => "text/javascript",
        "css" => "text/css",
        "png" => "image/png",
        "svg" => "image/svg+xml",
        "json" => "application/json",
        _ => "application/octet-stream",
    };
    Some((kind, std::fs::read(file).ok()?))
}
