//! What the targets share: how an input is cut up, and a world that stands still.

use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};

use headwarden::domain::random::Random;
use headwarden::domain::time::{Clock, Timestamp};
use headwarden::session::KeyRing;

/// The moment at which everything happens.
pub const NOW: u64 = 1_800_000_000;

/// Cuts `data` into `N` lines and what is behind them. Inputs are lines, so that a seed can be read and
/// a mutation of one part leaves the others alone.
pub fn lines<const N: usize>(data: &[u8]) -> Option<([&[u8]; N], &[u8])> {
    let mut rest = data;
    let mut lines = [&data[..0]; N];
    for line in &mut lines {
        let end = rest.iter().position(|byte| *byte == b'\n')?;
        *line = &rest[..end];
        rest = &rest[end + 1..];
    }
    Some((lines, rest))
}

/// [`lines`] of text.
pub fn text_lines<const N: usize>(data: &[u8]) -> Option<([&str; N], &str)> {
    let text = std::str::from_utf8(data).ok()?;
    let mut rest = text;
    let mut lines = [""; N];
    for line in &mut lines {
        (*line, rest) = rest.split_once('\n')?;
    }
    Some((lines, rest))
}

/// The entries of a comma-separated line; an empty line has none.
pub fn entries(line: &str) -> Vec<String> {
    line.split(',')
        .filter(|entry| !entry.is_empty())
        .map(str::to_owned)
        .collect()
}

/// Decodes `%xx` once, as Go, Python and nginx do; a broken escape stays as it is.
pub fn unescape(text: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut at = 0;
    while at < text.len() {
        let digits = text.get(at + 1..at + 3).filter(|_| text[at] == b'%');
        let value = digits
            .filter(|digits| digits.iter().all(u8::is_ascii_hexdigit))
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        if let Some(value) = value {
            decoded.push(value);
            at += 3;
        } else {
            decoded.push(text[at]);
            at += 1;
        }
    }
    decoded
}

/// `text` with `with` for every `what`.
pub fn replaced(text: &[u8], what: &str, with: &str) -> Vec<u8> {
    let mut rest = text;
    let mut replaced = Vec::new();
    while let Some(at) = rest
        .windows(what.len())
        .position(|part| part == what.as_bytes())
    {
        replaced.extend_from_slice(&rest[..at]);
        replaced.extend_from_slice(with.as_bytes());
        rest = &rest[at + what.len()..];
    }
    replaced.extend_from_slice(rest);
    replaced
}

/// A clock that stands still until it is moved.
#[derive(Debug)]
pub struct Still(AtomicU64);

impl Still {
    pub fn new() -> Arc<Self> {
        Arc::new(Self(AtomicU64::new(NOW)))
    }

    pub fn forward(&self, seconds: u64) {
        self.0.fetch_add(seconds, Ordering::Relaxed);
    }
}

impl Clock for Still {
    fn now(&self) -> Timestamp {
        Timestamp::from_unix(self.0.load(Ordering::Relaxed))
    }
}

/// Predictable "randomness": every call gives another value, the same in every run.
#[derive(Debug, Default)]
pub struct Counting(AtomicU64);

impl Random for Counting {
    fn fill(&self, buffer: &mut [u8]) {
        let n = self.0.fetch_add(1, Ordering::Relaxed).to_be_bytes();
        for (to, from) in buffer.iter_mut().zip(n.iter().cycle()) {
            *to = *from;
        }
    }
}

/// A file of this process that only its owner may read.
pub fn private_file(directory: &tempfile::TempDir, name: &str, text: &str) -> PathBuf {
    use std::os::unix::fs::PermissionsExt as _;
    let path = directory.path().join(name);
    std::fs::write(&path, text).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    path
}

/// A key ring whose keys are always the same, so that a sealed value can be a seed: a new key in
/// front of an old one.
pub fn key_ring() -> Arc<KeyRing> {
    ring_of(&format!("[{NEW_KEY}, {OLD_KEY}]"))
}

/// The same before the new key came.
pub fn old_key_ring() -> Arc<KeyRing> {
    ring_of(&format!("[{OLD_KEY}]"))
}

fn ring_of(text: &str) -> Arc<KeyRing> {
    let directory = tempfile::tempdir().unwrap();
    let path = private_file(&directory, "keys.json", text);
    Arc::new(KeyRing::load_or_create(&path, Arc::new(Counting::default())).unwrap())
}

const NEW_KEY: &str =
    r#"{"id": "0000000b", "key": "QkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkI="}"#;
const OLD_KEY: &str =
    r#"{"id": "0000000a", "key": "QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUE="}"#;

/// What `future` gives, which waits for nothing.
pub fn ready<F: Future>(future: F) -> F::Output {
    let mut context = Context::from_waker(Waker::noop());
    match pin!(future).poll(&mut context) {
        Poll::Ready(output) => output,
        Poll::Pending => unreachable!("it waits for something"),
    }
}
