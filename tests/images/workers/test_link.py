from __future__ import annotations

import socket
import threading
import time

import numpy as np
import pytest

from secondread.images.workers.link import Link, TooLong, receive_waiting, send_waiting


def received(link: Link) -> bytes:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        found = link.receive()
        if found is not None:
            return found.tobytes()
        time.sleep(0.001)
    raise TimeoutError


def test_a_message_in_many_parts_arrives_whole() -> None:
    ours, theirs = socket.socketpair()
    rng = np.random.default_rng(0)
    parts = [rng.bytes(int(n)) for n in (*rng.integers(0, 50, 40), 3_000_000, 0, 700_000, 1)]
    with ours, theirs:
        thread = threading.Thread(target=lambda: [send_waiting(theirs, parts) for _ in range(2)])
        thread.start()
        link = Link(ours, 1 << 30)
        assert [received(link) for _ in range(2)] == [b"".join(parts)] * 2
        thread.join()


def test_what_the_socket_does_not_take_at_once_is_sent_later() -> None:
    ours, theirs = socket.socketpair()
    message = np.random.default_rng(0).bytes(5_000_000)
    with ours, theirs:
        link = Link(ours, 10)
        link.send(message)
        assert link.has_more_to_send
        got: list[bytes] = []
        thread = threading.Thread(target=lambda: got.append(bytes(receive_waiting(theirs))))
        thread.start()
        while link.has_more_to_send:
            link.go_on()
            time.sleep(0.001)
        thread.join()
    assert got == [message]


def test_nothing_is_waited_for() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        link = Link(ours, 100)
        assert link.receive() is None
        theirs.sendall((50).to_bytes(8, "little") + b"half")
        assert link.receive() is None
        theirs.close()
        with pytest.raises(EOFError):
            link.receive()


def test_a_message_above_the_longest_is_refused_before_memory_is_taken() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall((1 << 62).to_bytes(8, "little"))
        with pytest.raises(TooLong, match="at most 100 are taken"):
            Link(ours, 100).receive()
