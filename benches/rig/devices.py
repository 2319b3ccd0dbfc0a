#!/usr/bin/env python3
"""Devices that keep a tunnel, and come back at once when it is cut: `devices.py PORT HOST COUNT ADDRESSES`.

Prints a line of JSON whenever all of them are up after some were not. It ends with its standard input. One loop over
epoll(7): what a storm of thousands takes here is taken from whom it is for.
"""

import errno
import heapq
import json
import random
import select
import socket
import sys
import time

PORT, HOST, COUNT, ADDRESSES = int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
HEAD = (
    f"POST /ts2021 HTTP/1.1\r\nHost: {HOST}\r\nUpgrade: tailscale-control-protocol\r\nConnection: upgrade\r\n"
    "X-Tailscale-Handshake: AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\r\nContent-Length: 0\r\n\r\n"
).encode()
#: Between two attempts of a device: none before the first, then twice as long each time, seconds.
FIRST, LONGEST = 0.05, 1.0
#: A device gives up on an attempt after so long.
DEADLINE = 30
#: IP_BIND_ADDRESS_NO_PORT: the port is chosen with the peer, so that an address has more than one range of them.
NO_PORT = 24


class Device:
    """One device: its socket, whether it is up, and since when it wants to be."""

    def __init__(self, number):
        address = number % ADDRESSES
        self.address = f"127.1.{address // 250}.{address % 250 + 1}"
        self.socket, self.up, self.sent, self.pause, self.attempt = None, False, False, 0, 0
        self.since = time.monotonic()


class Fleet:
    """All devices, what they wait for, and what happened since all of them were up."""

    def __init__(self):
        self.poll, self.by_file, self.due, self.turn = select.epoll(), {}, [], 0
        self.up, self.attempts, self.refused, self.waits = 0, 0, {}, []
        self.cut_at = time.monotonic()

    def later(self, seconds, device):
        """Looks at a device again then: its next attempt, or the end of this one."""
        self.turn += 1
        heapq.heappush(self.due, (time.monotonic() + seconds, self.turn, device, device.attempt))

    def begin(self, device):
        """Connects; the head is sent when that is through."""
        self.attempts += 1
        device.attempt += 1
        own = device.socket = socket.socket(type=socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        own.setsockopt(socket.IPPROTO_IP, NO_PORT, 1)
        own.bind((device.address, 0))
        device.sent = False
        failed = own.connect_ex(("127.0.0.1", PORT))
        if failed not in (0, errno.EINPROGRESS):
            return self.fail(device, errno.errorcode[failed])
        self.by_file[own.fileno()] = device
        self.poll.register(own.fileno(), select.EPOLLOUT)
        return self.later(DEADLINE, device)

    def close(self, device):
        if self.by_file.pop(device.socket.fileno(), None):
            self.poll.unregister(device.socket.fileno())
        device.socket.close()
        device.socket = None

    def fail(self, device, why):
        """An attempt came to nothing; the next one after a while."""
        self.refused[why] = self.refused.get(why, 0) + 1
        self.close(device)
        device.pause = min(max(device.pause * 2, FIRST), LONGEST)
        self.later(device.pause * random.uniform(0.5, 1), device)

    def is_up(self, device):
        device.up, device.pause = True, 0
        self.up += 1
        self.waits.append(time.monotonic() - device.since)
        if self.up == COUNT:
            self.tell()

    def is_cut(self, device):
        if self.up == COUNT:
            self.cut_at = time.monotonic()
        self.up -= 1
        device.up, device.since = False, time.monotonic()
        self.close(device)
        self.later(0, device)

    def tell(self):
        """The line: all of them are up."""
        waits = sorted(self.waits)
        told = {"took": time.monotonic() - self.cut_at, "attempts": self.attempts, "refused": self.refused,
                "p50": waits[len(waits) // 2], "p99": waits[len(waits) * 99 // 100], "longest": waits[-1]}
        print(json.dumps(told), flush=True)
        self.attempts, self.refused, self.waits = 0, {}, []

    def happens(self, device):
        """Something at a device's socket."""
        if not device.sent:
            failed = device.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if failed:
                return self.fail(device, errno.errorcode[failed])
            device.socket.send(HEAD)
            device.sent = True
            return self.poll.modify(device.socket.fileno(), select.EPOLLIN)
        try:
            heard = device.socket.recv(4096)
        except OSError as error:
            heard, reason = b"", errno.errorcode.get(error.errno, "closed")
        else:
            reason = "closed" if not heard else heard[9:12].decode(errors="replace")
        if device.up:
            return None if heard else self.is_cut(device)
        return self.is_up(device) if reason == "101" else self.fail(device, reason)

    def run(self):
        self.poll.register(sys.stdin.fileno(), select.EPOLLIN | select.EPOLLHUP)
        for number in range(COUNT):
            self.later(0, Device(number))
        while True:
            now = time.monotonic()
            while self.due and self.due[0][0] <= now:
                _, _, device, attempt = heapq.heappop(self.due)
                if device.socket is None:
                    self.begin(device)
                elif device.attempt == attempt and not device.up:
                    self.fail(device, "no answer")
            rest = max(0.0, self.due[0][0] - now) if self.due else -1
            for file, _ in self.poll.poll(rest):
                if file == sys.stdin.fileno():
                    return
                if file in self.by_file:
                    self.happens(self.by_file[file])


Fleet().run()
