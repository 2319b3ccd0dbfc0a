#!/usr/bin/env python3
"""A stand-in for Headscale that takes any number of tunnels: `peer.py PORT`.

Every upgrade is switched and held open; what comes through a tunnel is sent back. Everything else is a 200.
"""

import asyncio
import re
import sys

UPGRADE = re.compile(rb"\r\nupgrade: *([^\r]+)", re.IGNORECASE)


class Peer(asyncio.Protocol):
    """One connection: a request's head, then a tunnel, or the next request."""

    def __init__(self):
        self.head, self.tunnel, self.transport = b"", False, None

    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        if self.tunnel:
            self.transport.write(data)
            return
        self.head += data
        if b"\r\n\r\n" not in self.head:
            return
        wanted = UPGRADE.search(self.head)
        self.head = b""
        if wanted:
            self.tunnel = True
            self.transport.write(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: " + wanted[1] + b"\r\nConnection: upgrade\r\n\r\n")
        else:
            self.transport.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}")


async def serve(port):
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Peer, "127.0.0.1", port, backlog=4096)
    await server.serve_forever()


asyncio.run(serve(int(sys.argv[1])))
