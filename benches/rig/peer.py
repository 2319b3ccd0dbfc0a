#!/usr/bin/env python3
"""A stand-in for Headscale that takes any number of tunnels: `peer.py PORT`.

Every upgrade is switched and held open; what comes through a tunnel is sent back. Everything else is a 200. One loop
over epoll(7), so that it takes little of the CPUs that it shares with what is measured.
"""

import re
import select
import socket
import sys

UPGRADE = re.compile(rb"\r\nupgrade: *([^\r]+)", re.IGNORECASE)
SWITCHED = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: %s\r\nConnection: upgrade\r\n\r\n"
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"


class Connection:
    """A request's head, then a tunnel, or the next request."""

    def __init__(self, own):
        self.socket, self.head, self.tunnel = own, b"", False

    def happens(self):
        """Takes what came; false when it is over. What is sent is small, and fits."""
        try:
            data = self.socket.recv(65536)
            if data:
                self.take(data)
        except BlockingIOError:
            return True
        except OSError:
            return False
        return bool(data)

    def take(self, data):
        if self.tunnel:
            self.socket.send(data)
            return
        self.head += data
        if b"\r\n\r\n" in self.head:
            wanted = UPGRADE.search(self.head)
            self.head, self.tunnel = b"", bool(wanted)
            self.socket.send(SWITCHED % wanted[1] if wanted else ANSWER)


def serve(port):
    listener = socket.create_server(("127.0.0.1", port), backlog=4096)
    listener.setblocking(False)
    poll, connections = select.epoll(), {}
    poll.register(listener.fileno(), select.EPOLLIN)
    while True:
        for file, _ in poll.poll():
            if file == listener.fileno():
                try:
                    own, _ = listener.accept()
                except OSError:
                    continue
                own.setblocking(False)
                connections[own.fileno()] = Connection(own)
                poll.register(own.fileno(), select.EPOLLIN)
            elif not connections[file].happens():
                poll.unregister(file)
                connections.pop(file).socket.close()


serve(int(sys.argv[1]))
