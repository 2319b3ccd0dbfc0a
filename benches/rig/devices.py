#!/usr/bin/env python3
"""Devices that keep a tunnel, and come back at once when it is cut: `devices.py PORT HOST COUNT ADDRESSES`.

Prints a line of JSON whenever all of them are up after some were not. `close` on standard input ends them all.
"""

import asyncio
import json
import random
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


class Fleet:
    """What all devices have in common."""

    def __init__(self):
        self.up, self.attempts, self.refused, self.waits = 0, 0, {}, []
        self.cut_at = time.monotonic()

    def comes_up(self, wait):
        self.up += 1
        self.waits.append(wait)
        if self.up == COUNT:
            waits = sorted(self.waits)
            told = {
                "took": time.monotonic() - self.cut_at,
                "attempts": self.attempts,
                "refused": self.refused,
                "p50": waits[len(waits) // 2],
                "p99": waits[len(waits) * 99 // 100],
                "longest": waits[-1],
            }
            print(json.dumps(told), flush=True)
            self.attempts, self.refused, self.waits = 0, {}, []

    def goes_down(self):
        if self.up == COUNT:
            self.cut_at = time.monotonic()
        self.up -= 1

    def refuses(self, why):
        self.refused[why] = self.refused.get(why, 0) + 1


class Tunnel(asyncio.Protocol):
    """One attempt of a device."""

    def __init__(self, loop):
        self.outcome, self.over, self.heard = loop.create_future(), loop.create_future(), b""

    def data_received(self, data):
        if not self.outcome.done():
            self.heard += data
            if b"\r\n" in self.heard:
                self.outcome.set_result(self.heard[9:12].decode(errors="replace"))

    def connection_lost(self, _):
        if not self.outcome.done():
            self.outcome.set_result("closed")
        if not self.over.done():
            self.over.set_result(None)


async def attempt(loop, number):
    """The tunnel, or why there is none."""
    address = number % ADDRESSES
    own = socket.socket()
    own.setblocking(False)
    try:
        own.setsockopt(socket.IPPROTO_IP, 24, 1)  # IP_BIND_ADDRESS_NO_PORT: the port is chosen with the peer
        own.bind((f"127.1.{address // 250}.{address % 250 + 1}", 0))
        await loop.sock_connect(own, ("127.0.0.1", PORT))
        transport, tunnel = await loop.create_connection(lambda: Tunnel(loop), sock=own)
    except OSError as error:
        own.close()
        return None, None, type(error).__name__
    transport.write(HEAD)
    try:
        said = await asyncio.wait_for(asyncio.shield(tunnel.outcome), DEADLINE)
    except asyncio.TimeoutError:
        said = "no answer"
    if said == "101":
        return transport, tunnel, None
    transport.abort()
    return None, None, said


async def live(loop, fleet, number):
    """A device, for ever."""
    began, pause = fleet.cut_at, 0
    while True:
        fleet.attempts += 1
        _, tunnel, refused = await attempt(loop, number)
        if tunnel is None:
            fleet.refuses(refused)
            pause = min(max(pause * 2, FIRST), LONGEST)
            await asyncio.sleep(pause * random.uniform(0.5, 1))
            continue
        fleet.comes_up(time.monotonic() - began)
        await tunnel.over
        fleet.goes_down()
        began, pause = time.monotonic(), 0


async def run():
    loop = asyncio.get_running_loop()
    fleet = Fleet()
    for number in range(COUNT):
        loop.create_task(live(loop, fleet, number))
    await loop.run_in_executor(None, sys.stdin.readline)


asyncio.run(run())
