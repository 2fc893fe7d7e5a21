"""Associations beyond the limit are refused by the book, all by one thread.

Whoever asks is told "rejected, for now: local limit exceeded" (PS3.8 9.3.4), which senders know to try
again, and not merely cut off. A refusal costs no thread and no association, so that a thousand at once cost
a thousand sockets and nothing else.
"""

from __future__ import annotations

import contextlib
import selectors
import socket
import ssl
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

REJECTED_FOR_NOW = b"\x03\x00\x00\x00\x00\x04\x00\x02\x03\x02"
"""A-ASSOCIATE-RJ: transient, by the service provider's presentation part, local limit exceeded."""
LONGEST_REQUEST = 1 << 20
SECONDS = 10.0
MOST = 5000


@dataclass
class _Caller:
    socket: socket.socket
    until: float
    read: bytearray = field(default_factory=bytearray)
    shaken: bool = True
    told: bool = False


class Refuser:
    """Takes sockets that were accepted, reads their request, and refuses it. `context`: how TLS is spoken."""

    def __init__(self, context: Callable[[], ssl.SSLContext] | None = None) -> None:
        self._context = context
        self._selector = selectors.DefaultSelector()
        self._new: list[socket.socket] = []
        self._lock = threading.Lock()
        self._wake, self._waker = socket.socketpair()
        self._wake.setblocking(False)
        self._selector.register(self._wake, selectors.EVENT_READ, None)
        self._ended = False
        self._count = 0
        self._thread = threading.Thread(target=self._run, name="refuser", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._ended = True
        self._waker.send(b".")
        self._thread.join()

    def take(self, accepted: socket.socket) -> None:
        with self._lock:
            if self._count < MOST:
                self._count += 1
                self._new.append(accepted)
                accepted = self._waker
        if accepted is not self._waker:
            accepted.close()
            return
        with contextlib.suppress(BlockingIOError):
            self._waker.send(b".")

    def _run(self) -> None:
        while not self._ended:
            for key, _ in self._selector.select(1.0):
                if key.data is None:
                    with contextlib.suppress(BlockingIOError):
                        self._wake.recv(4096)
                else:
                    self._serve(key.data)
            with self._lock:
                new, self._new = self._new, []
            for accepted in new:
                self._begin(accepted)
            at = time.monotonic()
            callers = (key.data for key in self._selector.get_map().values())
            for caller in [one for one in callers if one is not None and one.until < at]:
                self._end(caller)
        for key in list(self._selector.get_map().values()):
            if key.data is not None:
                self._end(key.data)
        self._selector.close()
        self._wake.close()
        self._waker.close()

    def _begin(self, accepted: socket.socket) -> None:
        try:
            accepted.setblocking(False)
            shaken = self._context is None
            if self._context is not None:
                accepted = self._context().wrap_socket(
                    accepted, server_side=True, do_handshake_on_connect=False
                )
            caller = _Caller(accepted, time.monotonic() + SECONDS, shaken=shaken)
            self._selector.register(accepted, selectors.EVENT_READ, caller)
        except Exception:
            accepted.close()
            with self._lock:
                self._count -= 1

    def _serve(self, caller: _Caller) -> None:
        try:
            if not caller.shaken:
                caller.socket.do_handshake()  # type: ignore[attr-defined]
                caller.shaken = True
            received = caller.socket.recv(65536)
            if not received:
                self._end(caller)
                return
            caller.read += received
            if len(caller.read) > LONGEST_REQUEST:
                self._end(caller)
            elif not caller.told and _is_whole(caller.read):
                caller.told = True
                caller.socket.send(REJECTED_FOR_NOW)
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return
        except OSError:
            self._end(caller)

    def _end(self, caller: _Caller) -> None:
        with contextlib.suppress(KeyError, ValueError):
            self._selector.unregister(caller.socket)
        caller.socket.close()
        with self._lock:
            self._count -= 1


def _is_whole(read: bytearray) -> bool:
    return len(read) >= 6 and len(read) >= 6 + int.from_bytes(read[2:6], "big")
