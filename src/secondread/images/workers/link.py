"""Messages over a socket: eight bytes of length (little-endian), then the message.

The process that decodes waits for its messages; the one that gathers never does, so that a worker which stops
in the middle of an answer is noticed by the clock like any other.
"""

from __future__ import annotations

import socket
from collections import deque
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

_PREFIX = 8
_AT_ONCE = 1 << 20
_PARTS_AT_ONCE = 16
_MOST_AT_A_TIME = 1 << 24


class TooLong(Exception):
    """A message longer than the receiver takes."""


class Link:
    """One end of a socket that never waits. Messages above `longest` bytes are refused unread."""

    def __init__(self, end: socket.socket, longest: int) -> None:
        end.setblocking(False)
        self.end, self.longest = end, longest
        self._out: deque[memoryview] = deque()
        self._prefix = bytearray()
        self._message: NDArray[np.uint8] | None = None
        self._filled = 0

    def fileno(self) -> int:
        return self.end.fileno()

    @property
    def has_more_to_send(self) -> bool:
        return bool(self._out)

    def send(self, message: bytes) -> None:
        """Send what the socket takes now; `go_on` sends the rest. Raises OSError where nobody listens."""
        self._out += (memoryview(len(message).to_bytes(_PREFIX, "little")), memoryview(message))
        self.go_on()

    def go_on(self) -> None:
        while self._out:
            try:
                sent = self.end.send(self._out[0])
            except BlockingIOError:
                return
            self._out[0] = self._out[0][sent:]
            if not self._out[0]:
                self._out.popleft()

    def receive(self) -> NDArray[np.uint8] | None:
        """The next whole message, or None where it is not there yet.

        Memory is claimed by the system only as bytes come in, whatever the length says. Raises TooLong,
        EOFError where the other end is closed, and OSError.
        """
        taken = 0
        while taken < _MOST_AT_A_TIME:
            try:
                taken += self._take()
            except BlockingIOError:
                return None
            if self._message is not None and self._filled == len(self._message):
                message, self._message, self._prefix = self._message, None, bytearray()
                return message
        return None

    def _take(self) -> int:
        if self._message is None:
            found = self.end.recv(_PREFIX - len(self._prefix))
            if not found:
                raise EOFError
            self._prefix += found
            if len(self._prefix) == _PREFIX:
                length = int.from_bytes(self._prefix, "little")
                if length > self.longest:
                    raise TooLong(f"an answer of {length:,} bytes; at most {self.longest:,} are taken")
                self._message, self._filled = np.empty(length, np.uint8), 0
            return len(found)
        count = self.end.recv_into(self._message.data[self._filled : self._filled + _AT_ONCE])
        if not count:
            raise EOFError
        self._filled += count
        return count

    def close(self) -> None:
        self.end.close()


def send_waiting(end: socket.socket, parts: Sequence[bytes | memoryview]) -> None:
    """Send one message given in parts, without joining them; as few calls as the socket allows."""
    length = sum(len(part) for part in parts)
    left = deque(memoryview(part) for part in (length.to_bytes(_PREFIX, "little"), *parts) if len(part))
    while left:
        sent = end.sendmsg([left[index] for index in range(min(len(left), _PARTS_AT_ONCE))])
        while left and sent >= len(left[0]):
            sent -= len(left.popleft())
        if sent:
            left[0] = left[0][sent:]


def receive_waiting(end: socket.socket) -> bytearray:
    """The next message. Raises EOFError where the other end is closed."""
    return _exactly(end, int.from_bytes(_exactly(end, _PREFIX), "little"))


def _exactly(end: socket.socket, length: int) -> bytearray:
    found = bytearray(length)
    view = memoryview(found)
    while view:
        count = end.recv_into(view)
        if not count:
            raise EOFError
        view = view[count:]
    return found
