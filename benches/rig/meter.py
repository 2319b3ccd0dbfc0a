"""What processes cost, by the kernel's account (proc(5))."""

import os
from dataclasses import dataclass
from pathlib import Path

TICK = 1 / os.sysconf("SC_CLK_TCK")


def tree(pid):
    """A process and all that it started, directly or not."""
    found = [pid]
    for each in found:
        for task in tasks(each):
            try:
                found += map(int, Path(f"/proc/{each}/task/{task}/children").read_text().split())
            except OSError:
                continue
    return found


def tasks(pid):
    """The threads of a process; none if it is gone."""
    try:
        return os.listdir(f"/proc/{pid}/task")
    except OSError:
        return []


def cpu_seconds(pid):
    """User and system time of a process and its descendants, those that ended included."""
    total = 0
    for each in tree(pid):
        try:
            fields = Path(f"/proc/{each}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        # utime, stime, cutime, cstime: fields 14 to 17, and two are cut off here.
        total += sum(map(int, fields[11:15]))
    return total * TICK


def resident_bytes(pid):
    """Memory of a process and its descendants; a page that several share counts once (Pss)."""
    total = 0
    for each in tree(pid):
        try:
            text = Path(f"/proc/{each}/smaps_rollup").read_text()
        except OSError:
            continue
        total += sum(int(line.split()[1]) for line in text.splitlines() if line.startswith("Pss:"))
    return total * 1024


def open_files(pid):
    """File descriptors of a process and its descendants."""
    total = 0
    for each in tree(pid):
        try:
            total += len(os.listdir(f"/proc/{each}/fd"))
        except OSError:
            continue
    return total


def threads(pid):
    """Threads of a process and its descendants."""
    return sum(len(tasks(each)) for each in tree(pid))


@dataclass
class Usage:
    """CPU time from one moment to another."""

    pid: int
    began: float

    @classmethod
    def of(cls, pid):
        return cls(pid, cpu_seconds(pid))

    def seconds(self):
        return cpu_seconds(self.pid) - self.began


def machine():
    """One line about this machine, for the head of a table."""
    cpu = next(
        (line.split(":")[1].strip() for line in open("/proc/cpuinfo", encoding="utf-8") if line.startswith("model name")),
        "unknown processor",
    )
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    release = next(
        (line.split("=")[1].strip().strip('"') for line in open("/etc/os-release", encoding="utf-8") if line.startswith("PRETTY_NAME")),
        "unknown system",
    )
    load = os.getloadavg()[0]
    return (
        f"{os.cpu_count()} CPUs ({cpu}), {memory:.0f} GiB, {release}, Linux {os.uname().release}; "
        f"load average at the start {load:.1f}"
    )
