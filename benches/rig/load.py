"""Load by wrk: one thread, connections that are kept."""

import re
import subprocess
from dataclasses import dataclass

from . import meter
from .stage import Failed, needed

UNITS = {"us": 1e-3, "ms": 1.0, "s": 1e3, "m": 6e4}


@dataclass
class Round:
    """What one run of wrk said, and what the server took meanwhile. Milliseconds, microseconds."""

    per_second: float
    p50_ms: float
    p99_ms: float
    cpu_us: float
    requests: int


def drive(url, seconds, connections, pid, headers=(), cpus=None):
    """Asks for `url` for so long. Every answer must be a 200, and none may fail."""
    command = [needed("wrk", "wrk"), "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", "--timeout", "30s"]
    for line in headers:
        command += ["-H", line]
    if cpus:
        command = [needed("taskset", "util-linux"), "-c", ",".join(map(str, sorted(cpus))), *command]
    usage = meter.Usage.of(pid)
    told = subprocess.run([*command, url], capture_output=True, text=True, check=False)
    cpu = usage.seconds()
    text = told.stdout
    if told.returncode or "Non-2xx" in text or "Socket errors" in text:
        raise Failed(f"the load on {url} was not answered as it should be:\n{text}{told.stderr}")
    requests = int(re.search(r"(\d+) requests in", text)[1])
    return Round(
        per_second=float(re.search(r"Requests/sec:\s+([\d.]+)", text)[1]),
        p50_ms=duration(text, "50%"),
        p99_ms=duration(text, "99%"),
        cpu_us=cpu / max(requests, 1) * 1e6,
        requests=requests,
    )


def duration(text, line):
    """`50%    1.23ms` in milliseconds."""
    number, unit = re.search(rf"{line}\s+([\d.]+)(us|ms|s|m)", text).groups()
    return float(number) * UNITS[unit]
