//! A small machine with a systemd of its own, in namespaces of this one: see `tests/rig/machine/boot`.

use std::ffi::OsStr;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use crate::files::{project, said};

/// Longest wait for something that the machine is about to do.
const PATIENCE: Duration = Duration::from_mins(2);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(20);

/// The running machine; gone with everything in it when dropped.
pub(crate) struct Machine {
    namespaces: Child,
    /// Its first process, as this machine counts.
    first: u32,
    group: PathBuf,
    _space: tempfile::TempDir,
}

/// Waits until `look` gives something.
pub(crate) fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let until = Instant::now() + PATIENCE;
    loop {
        if let Some(seen) = look() {
            return seen;
        }
        assert!(Instant::now() < until, "waited for {what}");
        std::thread::sleep(LOOK);
    }
}

/// Where control groups of version 2 are, whatever else is there.
fn control_groups() -> PathBuf {
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").expect("Linux");
    let line = mounts.lines().find(|line| line.contains(" - cgroup2 "));
    let line = line.expect("control groups of version 2 are mounted");
    line.split(' ').nth(4).expect("a mount point").into()
}

impl Machine {
    /// Boots one. Needs root: without it nothing, and a word about it.
    pub(crate) fn boot() -> Option<Self> {
        static BOOTED: AtomicU32 = AtomicU32::new(0);
        let me = std::fs::metadata("/proc/self").expect("Linux");
        if me.uid() != 0 {
            eprintln!("NOT TESTED: a machine of its own needs root");
            return None;
        }
        let number = BOOTED.fetch_add(1, Ordering::Relaxed);
        let name = format!("headwarden-test-{}-{number}", std::process::id());
        let group = control_groups().join(name);
        std::fs::create_dir(&group).expect("a control group");
        let space = tempfile::tempdir().expect("a directory");
        // The kernel ends all of it when the thread that boots it ends, whatever way.
        let namespaces = Command::new("sh")
            .arg("-c")
            .arg(
                "echo 0 >\"$1/cgroup.procs\" && exec setpriv --pdeathsig KILL unshare --mount --pid --fork \
                 --net --ipc --uts --cgroup --kill-child \"$2\" \"$3\"",
            )
            .arg("boot")
            .args([&group, &project("tests/rig/machine/boot"), space.path()])
            .stdin(Stdio::null())
            .spawn()
            .expect("unshare starts");
        let id = namespaces.id();
        let children = format!("/proc/{id}/task/{id}/children");
        let first = wait_for("the machine's first process", || {
            std::fs::read_to_string(&children).ok()?.trim().parse().ok()
        });
        let machine = Self {
            namespaces,
            first,
            group,
            _space: space,
        };
        wait_for("the machine's systemd", || {
            let state = said(&machine.try_run(["systemctl", "is-system-running"]));
            state.starts_with("running").then_some(())
        });
        Some(machine)
    }

    /// Runs a command there.
    pub(crate) fn try_run(&self, command: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Output {
        Command::new("nsenter")
            .args(["--all", "--target", &self.first.to_string()])
            .args(command)
            .stdin(Stdio::null())
            .output()
            .expect("nsenter starts")
    }

    /// Runs a script there that has to succeed, and returns what it said.
    pub(crate) fn sh(&self, script: &str) -> String {
        let output = self.try_run(["sh", "-ec", script]);
        let said = said(&output);
        assert!(
            output.status.success(),
            "{script}: {}\n{said}",
            output.status
        );
        said
    }

    /// Runs a script there that has to fail, and returns what it said.
    pub(crate) fn fails(&self, script: &str) -> String {
        let output = self.try_run(["sh", "-ec", script]);
        let said = said(&output);
        assert!(!output.status.success(), "{script} succeeded: {said}");
        said
    }

    /// A file there. `text` must not hold a line `END`.
    pub(crate) fn write(&self, path: &Path, text: &str) {
        let path = path.display();
        self.sh(&format!(
            "mkdir -p \"$(dirname {path})\"\ncat >{path} <<'END'\n{text}\nEND"
        ));
    }

    /// A property of the service.
    pub(crate) fn property(&self, name: &str) -> String {
        self.sh(&format!(
            "systemctl show --value --property={name} headwarden"
        ))
        .trim()
        .to_owned()
    }

    /// Waits until a property of the service has this value.
    pub(crate) fn wait_until(&self, name: &str, value: &str) {
        wait_for(&format!("{name}={value}\n{}", self.journal()), || {
            (self.property(name) == value).then_some(())
        });
    }

    /// What the service logged, and what systemd logged about it.
    pub(crate) fn journal(&self) -> String {
        self.sh("journalctl --sync; journalctl --no-pager --output=cat --unit=headwarden.service")
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let first = self.first.to_string();
        drop(Command::new("kill").args(["-KILL", &first]).status());
        drop(self.namespaces.wait());
        remove_groups(&self.group);
    }
}

/// Removes a control group and those below it, once nothing is in them any more.
fn remove_groups(group: &Path) {
    let below = std::fs::read_dir(group).into_iter().flatten().flatten();
    for entry in below.filter(|entry| entry.path().is_dir()) {
        remove_groups(&entry.path());
    }
    wait_for("an empty control group", || std::fs::remove_dir(group).ok());
}
