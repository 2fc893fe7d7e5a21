"""Ports for servers of tests that are told a port before they listen."""

from __future__ import annotations

import os
import random
import socket

SYSTEMS_OWN = 32768
"""From here on Linux hands ports out to whoever asks for none, such as every connection that is made."""
FIRST, EACH = 20000, 1000
_given: set[int] = set()


def free_port() -> int:
    """A port of 127.0.0.1 on which nothing listens. Nobody else gets it before it is used: the system hands
    out none of these, each worker of pytest takes them from a range of its own, a process gets none twice."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    first = FIRST + worker % ((SYSTEMS_OWN - FIRST) // EACH) * EACH
    while True:
        port = random.SystemRandom().randrange(first, first + EACH)
        if port in _given:
            continue
        try:
            socket.create_server(("127.0.0.1", port)).close()
        except OSError:
            continue
        _given.add(port)
        return port
