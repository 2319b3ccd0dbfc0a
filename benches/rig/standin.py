"""Headscale's stand-in, peer.py, as a process."""

import sys
from pathlib import Path

from .stage import answers, free_port


def headscale(stage, before=()):
    """Starts it, `before` in front of its command, and returns its origin once it answers."""
    port = free_port()
    origin = f"http://127.0.0.1:{port}"
    peer = stage.start("peer", [*before, sys.executable, Path(__file__).with_name("peer.py"), port])
    stage.ready(peer, lambda: answers(f"{origin}/health"))
    return origin
