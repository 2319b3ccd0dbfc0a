"""Processes that live as long as a measurement, and the directory that their files are in."""

import contextlib
import os
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
#: The binary to measure. Taken out of the environment: Headwarden takes each HEADWARDEN_* for a key of its configuration.
BINARY = os.environ.pop("HEADWARDEN_BIN", None)
#: Longest wait for a process to be ready or to end, in seconds.
PATIENCE = 90


class Failed(Exception):
    """What the person who runs a benchmark has to read."""


def free_port(address="127.0.0.1"):
    """A port that is free now, below those that the kernel gives to connections."""
    while True:
        port = 12000 + int.from_bytes(os.urandom(2), "big") % 20000
        with socket.socket() as held:
            with contextlib.suppress(OSError):
                held.bind((address, port))
                return port


def headwarden_binary():
    """The binary to measure: HEADWARDEN_BIN, or the release build of this tree."""
    path = Path(BINARY or ROOT / "target/release/headwarden").resolve()
    if not path.is_file():
        raise Failed(f"{path} is missing: cargo build --release --locked, or name one in HEADWARDEN_BIN")
    return path


def needed(command, package):
    """The path of a program that a Debian package brings."""
    found = shutil.which(command, path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
    if not found:
        raise Failed(f"{command} is missing: apt-get install {package}")
    return found


def wait_until(is_so, what, patience=PATIENCE):
    """Waits until `is_so()` is true, and returns how long that took."""
    began = time.monotonic()
    while not is_so():
        if time.monotonic() - began > patience:
            raise Failed(f"waited in vain for {what}")
        time.sleep(0.002)
    return time.monotonic() - began


def answers(url):
    """Whether anything answers at `url`, whatever it says short of an error of the server."""
    try:
        with urllib.request.build_opener(NoRedirect).open(url, timeout=2) as answer:
            return answer.status < 500
    except urllib.error.HTTPError as error:
        return error.code < 500
    except OSError:
        return False


class NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirect is an answer here."""

    def redirect_request(self, *_):
        return None


class Stage:
    """A temporary directory and the processes that were started in it; all end with it."""

    def __init__(self):
        self.files = Path(tempfile.mkdtemp(prefix="headwarden-bench-"))
        # Apache's and nginx's workers are of another user when root runs this.
        self.files.chmod(0o755)
        self.running = []

    def __enter__(self):
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
        return self

    def __exit__(self, *_):
        for process in reversed(self.running):
            self.end(process)
        if os.environ.get("KEEP_FILES"):
            print(f"files are kept in {self.files}")
            return
        shutil.rmtree(self.files, ignore_errors=True)

    def write(self, name, text):
        """A file of this stage."""
        path = self.files / name
        path.write_text(text, encoding="utf-8")
        return path

    def start(self, name, command, cpus=None, env=None, **pipes):
        """Starts a process in a group of its own, with all file descriptors that may be had."""

        def prepare():
            _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
            if cpus:
                os.sched_setaffinity(0, cpus)

        log = open(self.files / f"{name}.log", "ab")
        process = subprocess.Popen(
            [str(part) for part in command],
            cwd=self.files,
            env={**os.environ, **(env or {})},
            stdin=pipes.get("stdin", subprocess.DEVNULL),
            stdout=pipes.get("stdout", log),
            stderr=log,
            start_new_session=True,
            preexec_fn=prepare,
        )
        log.close()
        process.name = name
        self.running.append(process)
        return process

    def ready(self, process, is_ready):
        """Waits until a process is ready; if it ends before, what it wrote is the reason."""

        def look():
            if process.poll() is not None:
                log = (self.files / f"{process.name}.log").read_text(errors="replace")
                raise Failed(f"{process.name} ended with {process.returncode}:\n{log[-3000:]}")
            return is_ready()

        return wait_until(look, process.name)

    def end(self, process, how=signal.SIGTERM):
        """Ends a process and what it started."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, how)
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            pass
        # Whatever of its group is left.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(timeout=10)
        if process in self.running:
            self.running.remove(process)


def main(run):
    """Runs a benchmark's main function; what failed is one line."""
    try:
        sys.exit(run())
    except Failed as failed:
        sys.exit(f"{Path(sys.argv[0]).parent.name}: {failed}")
    except KeyboardInterrupt:
        sys.exit(130)
