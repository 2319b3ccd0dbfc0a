//! Whether the addresses of web UIs are well: each is asked for a page in its turn, over a connection of
//! its own, and believed after so many answers of one kind.

use std::io;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::io::{
    AsyncBufRead, AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader,
};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::{Backend, Member, host_field};
use crate::config::HealthCheck;
use crate::domain::causes::causes;
use crate::proxy::house::Houses;
use crate::proxy::upstream::{ConnectError, Origin};

/// As much of an answer is read, to find its status.
const LONGEST_ANSWER: u64 = 8 * 1024;

/// Why an address is not well.
#[derive(Debug, thiserror::Error)]
enum Ill {
    #[error("no answer within {} s", .0.as_secs_f64())]
    Slow(Duration),
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[error("the connection broke")]
    Broken(#[from] io::Error),
    #[error("it answers {0}")]
    Status(u16),
    #[error("it does not speak HTTP/1.1")]
    Nonsense,
}

/// Checks the web UIs of every house that there is, without end. A web UI that no house has any more is
/// not checked.
pub async fn watch(houses: Houses) {
    let mut checks = JoinSet::new();
    let now = houses.now();
    let public: Arc<str> = now.settings.server_url.authority.as_str().into();
    let mut changes = now.changes();
    drop(now);
    loop {
        let house = houses.now();
        for backend in house.web_uis.iter().flatten() {
            if backend.settings.health.is_some() && !backend.watched.swap(true, Ordering::Relaxed) {
                checks.spawn(look_after(Arc::downgrade(backend), Arc::clone(&public)));
            }
        }
        drop(house);
        tokio::select! {
            () = changes.next() => {}
            Some(_) = checks.join_next() => {}
        }
    }
}

/// Checks each address of a web UI until nobody has that any more.
async fn look_after(backend: Weak<Backend>, public: Arc<str>) {
    let count = backend.upgrade().map_or(0, |it| it.members.len());
    let mut each = JoinSet::new();
    for place in 0..count {
        each.spawn(look_after_one(
            Weak::clone(&backend),
            place,
            Arc::clone(&public),
        ));
    }
    while each.join_next().await.is_some() {}
}

async fn look_after_one(backend: Weak<Backend>, place: usize, public: Arc<str>) {
    let mut opinion = Opinion::default();
    loop {
        let (origin, check, request) = {
            let Some(backend) = backend.upgrade() else {
                return;
            };
            let (Some(member), Some(check)) =
                (backend.members.get(place), &backend.settings.health)
            else {
                return;
            };
            let host = host_field(&backend.settings, &member.origin, &public);
            let request = request(&check.path, &host);
            (Arc::clone(&member.origin), check.clone(), request)
        };
        let found = match timeout(check.timeout, ask(&origin, &request)).await {
            Ok(found) => found,
            Err(_) => Err(Ill::Slow(check.timeout)),
        };
        let Some(backend) = backend.upgrade() else {
            return;
        };
        if let Some(member) = backend.members.get(place) {
            let well = opinion.after(found.is_ok(), member.is_healthy(), &check);
            note(member, &origin, well, found.err());
        }
        drop(backend);
        sleep(check.interval).await;
    }
}

fn note(member: &Member, origin: &Origin, well: bool, why: Option<Ill>) {
    let before = member.healthy.swap(well, Ordering::Relaxed);
    let upstream = origin.authority();
    match (before, well, why) {
        (true, false, Some(why)) => {
            let deeper = causes(&why).map(ToString::to_string);
            let reason: Vec<String> = std::iter::once(why.to_string()).chain(deeper).collect();
            let reason = reason.join(": ");
            tracing::warn!(
                upstream,
                reason,
                "a web UI fails its health checks: it gets no requests"
            );
        }
        (false, true, _) => {
            tracing::info!(upstream, "a web UI passes its health checks again");
        }
        (true | false, true | false, _) => {}
    }
}

/// How many answers of one kind there were in a row.
#[derive(Debug, Default)]
struct Opinion {
    passes: u32,
    failures: u32,
}

impl Opinion {
    /// What is believed after another check, of an address that was believed `healthy`.
    fn after(&mut self, passed: bool, healthy: bool, check: &HealthCheck) -> bool {
        if passed {
            self.passes = self.passes.saturating_add(1);
            self.failures = 0;
            healthy || self.passes >= check.healthy
        } else {
            self.failures = self.failures.saturating_add(1);
            self.passes = 0;
            healthy && self.failures < check.unhealthy
        }
    }
}

/// A request for the page, with the `Host` that people's requests have there, and nobody's identity.
fn request(path: &str, host: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: Headwarden health check\r\nAccept: */*\r\n\
         Connection: close\r\n\r\n"
    )
}

/// Asks for the page, and reads the status of the answer. A redirect is not followed.
async fn ask(origin: &Origin, request: &str) -> Result<(), Ill> {
    let mut transport = origin.connect().await?;
    transport.write_all(request.as_bytes()).await?;
    transport.flush().await?;
    judge(&mut BufReader::new(transport.take(LONGEST_ANSWER))).await
}

/// What the status of an answer says.
async fn judge(answer: &mut (impl AsyncBufRead + Unpin)) -> Result<(), Ill> {
    loop {
        let mut line = Vec::new();
        answer.read_until(b'\n', &mut line).await?;
        match status(&line) {
            // Interim, and not the answer yet (RFC 9110 section 15.2): it ends with an empty line.
            Some(100 | 102..=199) => {
                while !matches!(line.as_slice(), b"\r\n" | b"\n" | b"") {
                    line.clear();
                    answer.read_until(b'\n', &mut line).await?;
                }
            }
            Some(200..=399) => return Ok(()),
            Some(status) => return Err(Ill::Status(status)),
            None => return Err(Ill::Nonsense),
        }
    }
}

/// The status of a status line (RFC 9112 section 4).
fn status(line: &[u8]) -> Option<u16> {
    let line = std::str::from_utf8(line).ok()?;
    let rest = line
        .strip_prefix("HTTP/1.1 ")
        .or_else(|| line.strip_prefix("HTTP/1.0 "))?;
    let digits = rest.get(..3)?;
    let ends = rest
        .get(3..)
        .is_some_and(|rest| rest.starts_with([' ', '\r', '\n']));
    let plain = digits.bytes().all(|byte| byte.is_ascii_digit());
    digits.parse().ok().filter(|_| ends && plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_believed_after_so_many_answers_of_one_kind() {
        let check = HealthCheck {
            path: "/".to_owned(),
            interval: Duration::from_secs(1),
            timeout: Duration::from_secs(1),
            healthy: 2,
            unhealthy: 3,
        };
        let mut opinion = Opinion::default();
        let mut healthy = true;
        for (answers, expected) in [
            ("ffpff", "+++++"),
            ("f", "-"),
            ("pfpfp", "-----"),
            ("p", "+"),
            ("fff", "++-"),
        ] {
            let mut found = String::new();
            for answer in answers.chars() {
                healthy = opinion.after(answer == 'p', healthy, &check);
                found.push(if healthy { '+' } else { '-' });
            }
            assert_eq!(found, expected, "{answers}");
        }
    }

    #[tokio::test]
    async fn an_answer_is_the_one_behind_those_that_are_interim() {
        let hints = "HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n";
        for (answer, expected) in [
            (format!("{hints}HTTP/1.1 200 OK\r\n"), "fine"),
            (format!("{hints}{hints}HTTP/1.1 302 Found\r\n"), "fine"),
            (format!("{hints}HTTP/1.1 500 No\r\n"), "500"),
            (hints.to_owned(), "nonsense"),
            (hints.trim_end().to_owned(), "nonsense"),
            (
                "HTTP/1.1 101 Switching\r\n\r\nHTTP/1.1 200 OK\r\n".to_owned(),
                "101",
            ),
        ] {
            let told = match judge(&mut answer.as_bytes()).await {
                Ok(()) => "fine".to_owned(),
                Err(Ill::Status(status)) => status.to_string(),
                Err(Ill::Nonsense) => "nonsense".to_owned(),
                Err(other) => format!("{other:?}"),
            };
            assert_eq!(told, expected, "{answer}");
        }
    }

    #[test]
    fn a_status_is_three_digits_of_http_1() {
        for (line, expected) in [
            ("HTTP/1.1 200 OK\r\n", Some(200)),
            ("HTTP/1.0 204\r\n", Some(204)),
            ("HTTP/1.1 500 \r\n", Some(500)),
            ("HTTP/1.1 2000 OK\r\n", None),
            ("HTTP/1.1 +20 OK\r\n", None),
            ("HTTP/1.1 20", None),
            ("HTTP/2 200 OK\r\n", None),
            ("SSH-2.0-OpenSSH\r\n", None),
            ("", None),
        ] {
            assert_eq!(status(line.as_bytes()), expected, "{line}");
        }
    }
}
