//! The running process, asked over its socket: one request of HTTP/1.1 for each connection.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use socket2::{Domain, SockAddr, Socket, Type};

/// Longest wait for a connection.
const CONNECTION: Duration = Duration::from_secs(30);
/// Longest wait for each piece of the answer. Where replicas share sessions, one may take a round trip to
/// the store for each session there is; a process that dies meanwhile is heard of at once.
const PATIENCE: Duration = Duration::from_mins(10);
/// Largest answer in bytes.
const LARGEST: u64 = 64 * 1024 * 1024;
/// Most fields in the head of an answer.
const FIELDS: usize = 64;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum AskError {
    /// There is no such file.
    #[error(
        "there is no socket at {}: is headwarden running, and is admin.socket_path set in the \
         configuration that it runs with?", .0.display()
    )]
    Missing(PathBuf),
    /// The file's permissions keep us out.
    #[error(
        "{} may not be used by this user: run this as root, as headwarden's own user, or, with \
         admin.socket_access: group, as a member of its group", .0.display()
    )]
    Forbidden(PathBuf),
    /// Nobody listens.
    #[error("nobody listens at {}: headwarden is not running, or was killed", .0.display())]
    Dead(PathBuf),
    /// It takes too long.
    #[error(
        "headwarden did not answer at {} within {} s; what was asked of it may still be done",
        .0.display(), PATIENCE.as_secs()
    )]
    Slow(PathBuf),
    /// All places are taken, or nobody accepts.
    #[error("headwarden took no connection at {} within {} s", .0.display(), CONNECTION.as_secs())]
    Busy(PathBuf),
    /// It broke off, or is none of ours.
    #[error("no proper answer at {}: {why}", path.display())]
    Broken {
        /// The socket.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
}

/// An answer.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: String,
}

/// Sends `method target` to the process that listens at `path`.
///
/// # Errors
/// [`AskError`].
pub(super) fn ask(path: &Path, method: &str, target: &str) -> Result<Answer, AskError> {
    let why = |error: io::Error| failed(path, &error);
    let mut stream = connect(path).map_err(|error| match failed(path, &error) {
        AskError::Slow(path) => AskError::Busy(path),
        other => other,
    })?;
    let head =
        format!("{method} {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).map_err(why)?;
    let mut answer = Vec::new();
    let mut whole = stream.take(LARGEST);
    whole.read_to_end(&mut answer).map_err(why)?;
    parse(&answer).ok_or_else(|| AskError::Broken {
        path: path.to_owned(),
        why: "not an answer of headwarden".to_owned(),
    })
}

fn connect(path: &Path) -> io::Result<UnixStream> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.connect_timeout(&SockAddr::unix(path)?, CONNECTION)?;
    let stream = UnixStream::from(OwnedFd::from(socket));
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(CONNECTION))?;
    Ok(stream)
}

fn failed(path: &Path, error: &io::Error) -> AskError {
    let path = path.to_owned();
    match error.kind() {
        ErrorKind::NotFound => AskError::Missing(path),
        ErrorKind::PermissionDenied => AskError::Forbidden(path),
        ErrorKind::ConnectionRefused => AskError::Dead(path),
        // A socket whose places are all taken says so at once.
        ErrorKind::WouldBlock | ErrorKind::TimedOut => AskError::Slow(path),
        _ => AskError::Broken {
            path,
            why: error.to_string(),
        },
    }
}

/// A whole answer with a length; anything less is none.
fn parse(answer: &[u8]) -> Option<Answer> {
    let mut fields = [httparse::EMPTY_HEADER; FIELDS];
    let mut head = httparse::Response::new(&mut fields);
    let httparse::Status::Complete(length) = head.parse(answer).ok()? else {
        return None;
    };
    let declared = head
        .headers
        .iter()
        .find(|field| field.name.eq_ignore_ascii_case("content-length"))?;
    let declared: usize = std::str::from_utf8(declared.value).ok()?.parse().ok()?;
    let body = answer.get(length..)?;
    let body = std::str::from_utf8(body).ok()?;
    (body.len() == declared).then(|| Answer {
        status: head.code.unwrap_or_default(),
        body: body.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_whole_answer_is_one() {
        let good = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n{}\n";
        let answer = parse(good.as_bytes()).unwrap();
        assert_eq!((answer.status, answer.body.as_str()), (200, "{}\n"));
        for bad in [
            "",
            "HTTP/1.1 200 OK\r\n",
            "HTTP/1.1 200 OK\r\n\r\n{}\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n{}\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}\n",
            "SSH-2.0-OpenSSH_9.6\r\n",
        ] {
            assert!(parse(bad.as_bytes()).is_none(), "{bad:?}");
        }
    }

    #[test]
    fn an_answer_may_take_longer_than_a_connection_and_neither_is_waited_for_without_end() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("admin.sock");
        let _listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
        let stream = connect(&path).unwrap();
        // 100,000 round trips to a store take minutes.
        let least = Duration::from_mins(5);
        let patience = stream.read_timeout().unwrap();
        assert!(patience.is_some_and(|it| it >= least), "{patience:?}");
        assert_eq!(stream.write_timeout().unwrap(), Some(CONNECTION));
    }

    #[test]
    fn what_went_wrong_is_told_with_what_to_do() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("admin.sock");
        let told = |path: &Path| ask(path, "GET", "/sessions").err().unwrap().to_string();
        assert!(told(&path).contains("is admin.socket_path set"));
        let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
        let busy = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            stream.write_all(b"SSH-2.0-OpenSSH_9.6\r\n").unwrap();
            drop(stream.read(&mut [0; 1024]));
        });
        assert!(told(&path).contains("no proper answer"));
        busy.join().unwrap();
        assert!(told(&path).contains("nobody listens"));
    }
}
