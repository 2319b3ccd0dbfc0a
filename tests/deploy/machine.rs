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
    /// Its first process, as this machine counts, once it is known.
    first: Option<u32>,
    group: PathBuf,
    _space: tempfile::TempDir,
}

#[expect(
    clippy::disallowed_methods,
    reason = "another machine tells nobody when its state changes: it is looked at"
)]
/// Waits until `look` gives something, or fails with `what` it waited for.
pub(crate) fn wait_for<T>(what: impl FnOnce() -> String, mut look: impl FnMut() -> Option<T>) -> T {
    let until = Instant::now() + PATIENCE;
    loop {
        if let Some(seen) = look() {
            return seen;
        }
        assert!(Instant::now() < until, "waited for {}", what());
        std::thread::sleep(LOOK);
    }
}

/// Where control groups of version 2 are, whatever else is there.
fn control_groups() -> Option<PathBuf> {
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").expect("Linux");
    let line = mounts.lines().find(|line| line.contains(" - cgroup2 "))?;
    Some(line.split(' ').nth(4)?.into())
}

/// Boots in new namespaces and in the control group; `stage` is `try`, which ends before anything is started, or `boot`.
/// The kernel ends all of it when the thread that boots it ends, whatever way.
fn namespaces(group: &Path, stage: &str, space: &Path) -> Command {
    let mut command = Command::new("sh");
    command
        .arg("-c")
        .arg(
            "echo 0 >\"$1/cgroup.procs\" && exec setpriv --pdeathsig KILL unshare --mount --pid --fork \
             --net --ipc --uts --cgroup --kill-child \"$2\" \"$3\" \"$4\"",
        )
        .arg("boot")
        .args([group, &project("tests/rig/machine/boot")])
        .arg(stage)
        .arg(space)
        .stdin(Stdio::null());
    command
}

/// A new control group, or why there is none, or no namespaces and mounts, where this runs.
fn permitted(space: &Path) -> Result<PathBuf, String> {
    static BOOTED: AtomicU32 = AtomicU32::new(0);
    let me = std::fs::metadata("/proc/self").expect("Linux");
    if me.uid() != 0 {
        return Err("it needs root".to_owned());
    }
    let groups = control_groups().ok_or("there are no control groups of version 2")?;
    let number = BOOTED.fetch_add(1, Ordering::Relaxed);
    let group = groups.join(format!("headwarden-test-{}-{number}", std::process::id()));
    std::fs::create_dir(&group).map_err(|error| format!("{}: {error}", group.display()))?;
    let tried = namespaces(&group, "try", space).output().expect("sh");
    if tried.status.success() {
        return Ok(group);
    }
    remove_groups(&group);
    Err(said(&tried))
}

impl Machine {
    /// Boots one. Where that is not permitted (it takes root, namespaces, mounts and control groups) nothing, and a
    /// word about it.
    pub(crate) fn boot() -> Option<Self> {
        let space = tempfile::tempdir().expect("a directory");
        let group = match permitted(space.path()) {
            Ok(group) => group,
            Err(why) => {
                eprintln!("NOT TESTED: no machine can be booted here: {why}");
                return None;
            }
        };
        let namespaces = namespaces(&group, "boot", space.path())
            .spawn()
            .expect("sh starts");
        let id = namespaces.id();
        let mut machine = Self {
            namespaces,
            first: None,
            group,
            _space: space,
        };
        let children = format!("/proc/{id}/task/{id}/children");
        machine.first = Some(wait_for(
            || "its first process".to_owned(),
            || std::fs::read_to_string(&children).ok()?.trim().parse().ok(),
        ));
        // Before it has files of its own, it is asked in those of this machine, which may have a systemd too.
        let ours = "grep -q '^0*1$' /etc/machine-id && systemctl is-system-running";
        let state = || said(&machine.try_run(["sh", "-c", ours]));
        wait_for(
            || format!("its systemd, which is {}", state()),
            || state().starts_with("running").then_some(()),
        );
        Some(machine)
    }

    /// Runs a command there, for as long as [`PATIENCE`].
    fn try_run(&self, command: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Output {
        self.command(command)
            .stdin(Stdio::null())
            .output()
            .expect("nsenter starts")
    }

    fn command(&self, command: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Command {
        let first = self.first.expect("it runs").to_string();
        let mut there = Command::new("nsenter");
        there
            .args(["--all", "--target", &first])
            .args(["timeout", "--signal=KILL"])
            .arg(PATIENCE.as_secs().to_string())
            .args(command);
        there
    }

    /// A file of this machine, there.
    pub(crate) fn bring(&self, file: &Path, path: &str) {
        let file = std::fs::File::open(file).expect("a file");
        let mut copy = self.command(["install", "-m", "0644", "/dev/stdin", path]);
        assert!(copy.stdin(file).status().expect("nsenter starts").success());
    }

    /// Runs a script there that has to succeed, and returns what it said.
    pub(crate) fn sh(&self, script: &str) -> String {
        let output = self.try_run(["sh", "-ec", script]);
        let told = said(&output);
        if output.status.success() {
            return told;
        }
        let journal = said(&self.try_run(["journalctl", "--no-pager", "--output=cat"]));
        let status = output.status;
        panic!("{script}: {status}\n{told}\nThe journal:\n{journal}")
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

    /// What the service logged, and what systemd logged about it.
    pub(crate) fn journal(&self) -> String {
        self.sh("journalctl --sync; journalctl --no-pager --output=cat --unit=headwarden.service")
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // Its first process ends with it, and everything there with the first.
        drop(self.namespaces.kill());
        drop(self.namespaces.wait());
        remove_groups(&self.group);
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "a kernel tells nobody when a group is empty: it is tried"
)]
/// Removes a control group and those below it, once nothing is in them any more.
fn remove_groups(group: &Path) {
    let below = std::fs::read_dir(group).into_iter().flatten().flatten();
    for entry in below.filter(|entry| entry.path().is_dir()) {
        remove_groups(&entry.path());
    }
    let until = Instant::now() + PATIENCE;
    while std::fs::remove_dir(group).is_err() && Instant::now() < until {
        std::thread::sleep(LOOK);
    }
}
