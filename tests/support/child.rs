//! A child process that speaks JSON lines: one value per line on its stdout, commands on its stdin,
//! and the end of its stdin is its end. So it dies with the test even when the test is killed.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::Value;

/// Longest wait for one line; a browser's first start is slow on a busy machine.
const LINE_PATIENCE: Duration = Duration::from_mins(3);

/// Longest wait for an orderly end, before it is killed.
const END_PATIENCE: Duration = Duration::from_secs(10);

/// The running child.
pub(crate) struct JsonChild {
    name: String,
    child: Child,
    stdin: Option<ChildStdin>,
    lines: Receiver<String>,
    complaints: Arc<Mutex<String>>,
}

impl JsonChild {
    /// Starts `node` with a script of `tests/rig`.
    pub(crate) fn node(script: &str, environment: &[(&str, String)]) -> Self {
        let rig = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/rig");
        let modules = rig.join("provider/node_modules");
        assert!(
            modules.is_dir(),
            "{} is missing: run tests/setup.sh first",
            modules.display()
        );
        let mut command = Command::new("node");
        command
            .arg(rig.join(script))
            .envs(environment.iter().map(|(key, value)| (key, value)));
        Self::spawn(script, command)
    }

    fn spawn(name: &str, mut command: Command) -> Self {
        let piped = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = piped
            .spawn()
            .unwrap_or_else(|error| panic!("start {name}: {error}"));
        let stdout = child.stdout.take().expect("stdout is piped");
        let mut stderr = child.stderr.take().expect("stderr is piped");
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        let complaints = Arc::new(Mutex::new(String::new()));
        let heard = Arc::clone(&complaints);
        std::thread::spawn(move || {
            let mut chunk = [0; 4096];
            while let Ok(read @ 1..) = stderr.read(&mut chunk) {
                let text = String::from_utf8_lossy(&chunk[..read]);
                heard
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .push_str(&text);
            }
        });
        let stdin = child.stdin.take();
        Self {
            name: name.to_owned(),
            child,
            stdin,
            lines,
            complaints,
        }
    }

    /// The next line.
    pub(crate) fn hear(&mut self) -> Value {
        match self.lines.recv_timeout(LINE_PATIENCE) {
            Ok(line) => serde_json::from_str(&line)
                .unwrap_or_else(|error| panic!("{}: {error} in {line:?}", self.name)),
            Err(problem) => panic!("{}: {problem}; it said: {}", self.name, self.complaints()),
        }
    }

    /// Sends a command and returns its answer, which must say `"ok": true`.
    pub(crate) fn ask(&mut self, command: &Value) -> Value {
        let stdin = self.stdin.as_mut().expect("stdin is open until the end");
        if let Err(error) = writeln!(stdin, "{command}") {
            panic!("{}: {error}; it said: {}", self.name, self.complaints());
        }
        let answer = self.hear();
        assert_eq!(
            answer["ok"],
            Value::Bool(true),
            "{}: {command} -> {answer}",
            self.name
        );
        answer
    }

    /// What it wrote to stderr so far.
    pub(crate) fn complaints(&self) -> String {
        self.complaints
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl Drop for JsonChild {
    fn drop(&mut self) {
        self.stdin = None;
        // Its stdout ends when it does.
        loop {
            match self.lines.recv_timeout(END_PATIENCE) {
                Ok(_) => {}
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => {
                    drop(self.child.kill());
                    break;
                }
            }
        }
        drop(self.child.wait());
    }
}
