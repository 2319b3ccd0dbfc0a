"""People who are signed in and only want their page, at a pace that no slowness changes."""

import http.client
import math
import threading
import time
from dataclasses import dataclass

from .table import percentile


@dataclass
class Answer:
    """When it was due, how long after that it came (seconds), and its status or what went wrong."""

    due: float
    took: float
    status: object


class Honest(threading.Thread):
    """Asks `per_second` times a second, in turn over some connections of its own. What was due counts from then on."""

    def __init__(self, port, host, path, cookie, per_second=50, connections=16):
        super().__init__(daemon=True)
        self.port, self.path = port, path
        self.headers = {"Host": host, "Cookie": cookie, "Accept": "text/html"}
        self.pause, self.connections = 1 / per_second, connections
        self.answers, self.over = [], threading.Event()

    def run(self):
        began = time.monotonic()
        workers = [threading.Thread(target=self.work, args=(began, n), daemon=True) for n in range(self.connections)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()

    def work(self, began, number):
        connection, turn = None, number
        while not self.over.is_set():
            due = began + turn * self.pause
            turn += self.connections
            time.sleep(max(0.0, due - time.monotonic()))
            connection = connection or http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
            try:
                connection.request("GET", self.path, headers=self.headers)
                answer = connection.getresponse()
                answer.read()
                status = answer.status
            except (OSError, http.client.HTTPException) as error:
                connection.close()
                connection, status = None, type(error).__name__
            self.answers.append(Answer(due, time.monotonic() - due, status))

    def lags(self):
        """Whether answers are still waited for that were due a while ago."""
        return not self.between(time.monotonic() - 2 * self.pause * self.connections - 0.2, math.inf)

    def stop(self):
        self.over.set()
        self.join()

    def between(self, since, until):
        """What was due in that time."""
        return [each for each in list(self.answers) if since <= each.due < until]


def summary(answers):
    """p50, p99 and longest in milliseconds of those that were served, and how many were not."""
    good = [each.took * 1000 for each in answers if each.status == 200]
    bad = {}
    for each in answers:
        if each.status != 200:
            bad[each.status] = bad.get(each.status, 0) + 1
    failed = ", ".join(f"{count} × {status}" for status, count in sorted(bad.items(), key=str)) or "none"
    times = [f"{time:.1f}" for time in (percentile(good, 50), percentile(good, 99), max(good))] if good else [""] * 3
    return [len(answers), *times, failed]
