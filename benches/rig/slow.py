#!/usr/bin/env python3
"""A TCP relay that lets answers wait: `slow.py ADDRESS PORT MILLISECONDS`, in front of 127.0.0.1 at the same port."""

import asyncio
import sys

ADDRESS, PORT, DELAY = sys.argv[1], int(sys.argv[2]), float(sys.argv[3]) / 1000


async def carry(reader, writer, delay):
    """Bytes one way. Each piece waits by itself, so that a long answer is as late as a short one."""
    try:
        while data := await reader.read(65536):
            if delay:
                await asyncio.sleep(delay)
            writer.write(data)
            await writer.drain()
    except OSError:
        pass
    finally:
        writer.close()


async def relay(reader, writer):
    try:
        there, back = await asyncio.open_connection("127.0.0.1", PORT)
    except OSError:
        writer.close()
        return
    await asyncio.gather(carry(reader, back, 0), carry(there, writer, DELAY))


async def serve():
    server = await asyncio.start_server(relay, ADDRESS, PORT, backlog=4096)
    await server.serve_forever()


asyncio.run(serve())
