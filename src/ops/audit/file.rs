//! The audit log's own file: a thread that writes whole lines to its end, behind a bounded queue.
//!
//! No request waits for a disk. A line that the queue has no place for, or that cannot be written, is in
//! the ordinary log instead, as the value of `line`, and counted.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use super::super::metrics::Metrics;
use super::{Destination, TARGET};

/// Lines that may wait for the disk: seconds of a busy day.
const QUEUE: usize = 4096;
/// Of a file that we make: its owner writes, its group may read, as logs are.
const MODE: u32 = 0o640;
/// The bit of a file's mode by which everybody may write to it.
const OTHERS_WRITE: u32 = 0o002;

/// Hands lines to the thread that writes them.
#[derive(Clone, Debug)]
pub(super) struct Writer {
    queue: mpsc::Sender<Message>,
    metrics: Arc<Metrics>,
}

/// A line, and how it is told in the ordinary log where that is another: without a user name.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) text: String,
    pub(super) for_log: Option<String>,
}

#[derive(Debug)]
enum Message {
    Line(Line),
    /// Answered when everything before it is written.
    Flush(oneshot::Sender<()>),
}

impl Writer {
    /// Opens the destination and begins; none where the ordinary log is that.
    ///
    /// # Errors
    /// When it cannot be opened, or there can be no thread.
    pub(super) fn start(to: Destination, metrics: Arc<Metrics>) -> io::Result<Option<Self>> {
        let sink = match to {
            Destination::Log => return Ok(None),
            Destination::Stdout => Sink::Stdout,
            Destination::File(path) => {
                let open = OpenFile::at(&path)?;
                Sink::File {
                    path,
                    open: Some(open),
                }
            }
        };
        let (queue, lines) = mpsc::channel(QUEUE);
        let counted = Arc::clone(&metrics);
        std::thread::Builder::new()
            .name("audit".to_owned())
            .spawn(move || write_all(sink, lines, &counted))?;
        Ok(Some(Self { queue, metrics }))
    }

    pub(super) fn write(&self, line: Line) {
        if let Err(refused) = self.queue.try_send(Message::Line(line))
            && let Message::Line(line) = refused.into_inner()
        {
            not_written(&line, &self.metrics);
        }
    }

    pub(super) async fn flush(&self, most: Duration) {
        let (written, done) = oneshot::channel();
        let flushed = async {
            if self.queue.send(Message::Flush(written)).await.is_ok() {
                let _ = done.await;
            }
        };
        if tokio::time::timeout(most, flushed).await.is_err() {
            tracing::error!("the audit log was not written to its end");
        }
    }
}

/// Ends when nobody can hand it lines any more.
fn write_all(mut sink: Sink, mut lines: mpsc::Receiver<Message>, metrics: &Metrics) {
    let mut failing = false;
    while let Some(message) = lines.blocking_recv() {
        let line = match message {
            Message::Line(line) => line,
            Message::Flush(written) => {
                let _ = written.send(());
                continue;
            }
        };
        match sink.write(&line.text) {
            Ok(()) if failing => {
                failing = false;
                tracing::warn!("the audit log can be written again");
            }
            Ok(()) => {}
            Err(error) => {
                if !failing {
                    failing = true;
                    tracing::error!(
                        %error,
                        "the audit log cannot be written; until it can, its lines are in this log"
                    );
                }
                not_written(&line, metrics);
            }
        }
    }
}

/// A line that is not where it belongs is here.
fn not_written(line: &Line, metrics: &Metrics) {
    let line = line.for_log.as_ref().unwrap_or(&line.text);
    metrics.audit_write_failed();
    tracing::info!(target: TARGET, line = %line, "not written to the audit log");
}

#[derive(Debug)]
enum Sink {
    Stdout,
    File {
        path: PathBuf,
        open: Option<OpenFile>,
    },
}

impl Sink {
    /// Writes a line, to the file that has the name now: one that was moved away, or removed, is left
    /// alone.
    fn write(&mut self, line: &str) -> io::Result<()> {
        match self {
            Self::Stdout => {
                let mut out = io::stdout().lock();
                out.write_all(format!("{line}\n").as_bytes())?;
                out.flush()
            }
            Self::File { path, open } => {
                if open.as_ref().is_some_and(|file| !file.is_at(path)) {
                    *open = None;
                }
                let file = match open {
                    Some(file) => file,
                    None => open.insert(OpenFile::at(path)?),
                };
                file.write(line)
            }
        }
    }
}

#[derive(Debug)]
struct OpenFile {
    file: File,
    /// Device and inode.
    id: (u64, u64),
    /// The last line is not whole.
    torn: bool,
}

impl OpenFile {
    fn at(path: &Path) -> io::Result<Self> {
        let mut file = open(path)?;
        let metadata = file.metadata()?;
        if metadata.mode() & OTHERS_WRITE != 0 {
            tracing::warn!(path = %path.display(), "others may write to the audit log");
        }
        let torn = metadata.len() > 0 && {
            file.seek(SeekFrom::End(-1))?;
            let mut last = [0];
            file.read_exact(&mut last)?;
            last != *b"\n"
        };
        Ok(Self {
            file,
            id: id(&metadata),
            torn,
        })
    }

    fn is_at(&self, path: &Path) -> bool {
        std::fs::symlink_metadata(path).is_ok_and(|there| id(&there) == self.id)
    }

    /// The line and its end in one piece, as far as the disk takes it; what another one left torn is
    /// ended first.
    fn write(&mut self, line: &str) -> io::Result<()> {
        let begin = if self.torn { "\n" } else { "" };
        let whole = format!("{begin}{line}\n");
        let mut rest = whole.as_bytes();
        while !rest.is_empty() {
            match self.file.write(rest) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => {
                    rest = rest.get(written..).unwrap_or_default();
                    self.torn = !rest.is_empty();
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// The regular file of this name itself, which is made if there is none: where others may write to the
/// directory, a link would have us add lines to any file of ours.
fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).append(true);
    let there = match std::fs::symlink_metadata(path) {
        Ok(there) => there,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            // Never through a link, also where one is made just now.
            return options.create_new(true).mode(MODE).open(path);
        }
        Err(error) => return Err(error),
    };
    let wrong = |what| Err(io::Error::new(io::ErrorKind::InvalidInput, what));
    if !there.is_file() {
        return wrong("not a regular file");
    }
    let file = options.open(path)?;
    if id(&file.metadata()?) != id(&there) {
        return wrong("another file took its name meanwhile");
    }
    Ok(file)
}

fn id(metadata: &Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(path: &Path) -> Vec<String> {
        let text = std::fs::read_to_string(path).unwrap();
        text.lines().map(str::to_owned).collect()
    }

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .unwrap()
    }

    /// A writer to `path`, its metrics, and a way to wait for what it was given.
    fn writer(path: &Path) -> (Writer, Arc<Metrics>) {
        let metrics = Arc::new(Metrics::new().unwrap());
        let to = Destination::File(path.to_owned());
        let writer = Writer::start(to, Arc::clone(&metrics)).unwrap().unwrap();
        (writer, metrics)
    }

    fn named(text: &str) -> Line {
        Line {
            text: text.to_owned(),
            for_log: None,
        }
    }

    fn written(writer: &Writer, line: &str) {
        writer.write(named(line));
        runtime().block_on(writer.flush(Duration::from_mins(1)));
    }

    fn failures(metrics: &Metrics) -> String {
        let text = metrics.render().unwrap();
        let line = text
            .lines()
            .find(|line| line.starts_with("headwarden_audit_write_failures_total "));
        line.unwrap().rsplit(' ').next().unwrap().to_owned()
    }

    #[test]
    fn a_file_is_added_to_and_made_for_its_owner_and_group_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("audit.jsonl");
        let (first, _) = writer(&path);
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o137, 0);
        written(&first, "1");
        let (second, _) = writer(&path);
        written(&second, "2");
        written(&first, "3");
        assert_eq!(lines(&path), ["1", "2", "3"]);
    }

    #[test]
    fn a_file_that_was_moved_away_or_removed_is_made_anew_without_a_signal() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("audit.jsonl");
        let moved = directory.path().join("audit.jsonl.1");
        let (writer, metrics) = writer(&path);
        written(&writer, "1");
        std::fs::rename(&path, &moved).unwrap();
        written(&writer, "2");
        assert_eq!(lines(&moved), ["1"]);
        assert_eq!(lines(&path), ["2"]);
        std::fs::remove_file(&path).unwrap();
        // What makes files on rotation has made another one already.
        std::fs::write(&path, "").unwrap();
        written(&writer, "3");
        assert_eq!(lines(&path), ["3"]);
        assert_eq!(failures(&metrics), "0");
    }

    #[test]
    fn a_line_that_is_torn_ends_before_the_next_one_begins() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("audit.jsonl");
        std::fs::write(&path, "1\n{\"to").unwrap();
        let (writer, _) = writer(&path);
        written(&writer, "2");
        written(&writer, "3");
        assert_eq!(lines(&path), ["1", "{\"to", "2", "3"]);
    }

    #[test]
    fn what_cannot_be_written_is_counted_and_the_file_is_tried_again_with_the_next_line() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("logs").join("audit.jsonl");
        std::fs::create_dir(path.parent().unwrap()).unwrap();
        let (writer, metrics) = writer(&path);
        written(&writer, "1");
        std::fs::remove_dir_all(path.parent().unwrap()).unwrap();
        written(&writer, "2");
        written(&writer, "3");
        assert_eq!(failures(&metrics), "2");
        std::fs::create_dir(path.parent().unwrap()).unwrap();
        written(&writer, "4");
        assert_eq!(lines(&path), ["4"]);
        assert_eq!(failures(&metrics), "2");
    }

    #[test]
    fn nobody_waits_for_a_file_that_takes_nothing() {
        let metrics = Arc::new(Metrics::new().unwrap());
        // Nobody takes anything out of the queue, as while a disk hangs.
        let (queue, held) = mpsc::channel(2);
        let writer = Writer {
            queue,
            metrics: Arc::clone(&metrics),
        };
        for line in ["1", "2", "3", "4"] {
            writer.write(named(line));
        }
        assert_eq!(failures(&metrics), "2");
        runtime().block_on(writer.flush(Duration::ZERO));
        drop(held);
        writer.write(named("5"));
        assert_eq!(failures(&metrics), "3");
    }

    #[test]
    fn only_a_regular_file_is_taken() {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("socket");
        let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        let target = directory.path().join("keys.json");
        std::fs::write(&target, "{}").unwrap();
        let link = directory.path().join("link");
        std::os::unix::fs::symlink(&target, &link).unwrap();
        let dangling = directory.path().join("dangling");
        let made = directory.path().join("made");
        std::os::unix::fs::symlink(&made, &dangling).unwrap();
        let deep = directory.path().join("no/x");
        for path in [directory.path(), &socket, &deep, &link, &dangling] {
            let to = Destination::File(path.to_owned());
            let metrics = Arc::new(Metrics::new().unwrap());
            assert!(Writer::start(to, metrics).is_err(), "{}", path.display());
        }
        assert!(!made.exists());
        // A link that takes the place of the file later is not followed either.
        let path = directory.path().join("audit.jsonl");
        let (writer, metrics) = writer(&path);
        written(&writer, "1");
        std::fs::rename(&path, directory.path().join("audit.jsonl.1")).unwrap();
        std::os::unix::fs::symlink(&target, &path).unwrap();
        written(&writer, "2");
        assert_eq!(failures(&metrics), "1");
        assert_eq!(std::fs::read_to_string(&target).unwrap(), "{}");
    }
}
