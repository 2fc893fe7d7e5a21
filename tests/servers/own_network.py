"""A command in a network of its own, with doors from the network outside.

Run as `unshare --net python own_network.py DOOR ... -- COMMAND ...`: of the new network only loopback is up.
A door `FD:PORT` leads in: FD is a socket that listens outside and was inherited; who connects to it talks to
PORT inside. A door `PORT>PATH` leads out: who connects to PORT inside talks to whoever listens at the Unix
socket PATH outside. Nothing else can be reached, whatever address COMMAND listens on. COMMAND ends when this
ends, and this ends when its input does, that is with whoever started it, however that ended.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import signal
import socket
import struct
import subprocess
import sys
import threading

GET_FLAGS, SET_FLAGS, UP = 0x8913, 0x8914, 0x1
"""`SIOCGIFFLAGS`, `SIOCSIFFLAGS` and `IFF_UP` of Linux."""
DIE_WITH_PARENT = 1
"""`PR_SET_PDEATHSIG` of Linux."""


def raise_loopback() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        request = struct.pack("16sH14x", b"lo", 0)
        flags = struct.unpack("16sH14x", fcntl.ioctl(any_socket, GET_FLAGS, request))[1]
        fcntl.ioctl(any_socket, SET_FLAGS, struct.pack("16sH14x", b"lo", flags | UP))


def pump(source: socket.socket, sink: socket.socket) -> None:
    """All bytes of one into the other, and then the end."""
    with contextlib.suppress(OSError):
        while received := source.recv(1 << 16):
            sink.sendall(received)
    with contextlib.suppress(OSError):
        sink.shutdown(socket.SHUT_WR)


def reach(place: int | str) -> socket.socket:
    """A connection to a port of this machine or to a Unix socket."""
    if isinstance(place, int):
        return socket.create_connection(("127.0.0.1", place))
    found = socket.socket(socket.AF_UNIX)
    found.connect(place)
    return found


def carry(outside: socket.socket, place: int | str) -> None:
    """A connection, until both sides have ended it."""
    with outside:
        try:
            inside = reach(place)
        except OSError:  # Nobody listens there: the caller sees its connection closed, as without a door.
            return
        with inside:
            back = threading.Thread(target=pump, args=(inside, outside), daemon=True)
            back.start()
            pump(outside, inside)
            back.join()


def open_door(listening: socket.socket, place: int | str) -> None:
    """Whoever connects talks to `place`, until the socket is closed."""
    with contextlib.suppress(OSError):
        while True:
            outside, _ = listening.accept()
            threading.Thread(target=carry, args=(outside, place), daemon=True).start()


def die_with_parent() -> None:
    ctypes.CDLL(None).prctl(DIE_WITH_PARENT, signal.SIGKILL)


def main(arguments: list[str]) -> None:
    doors, command = arguments[: arguments.index("--")], arguments[arguments.index("--") + 1 :]
    raise_loopback()
    inside = subprocess.Popen(command, stdin=subprocess.DEVNULL, preexec_fn=die_with_parent)
    for door in doors:
        if ">" in door:
            number, _, path = door.partition(">")
            listening, place = socket.create_server(("127.0.0.1", int(number))), path
            threading.Thread(target=open_door, args=(listening, place), daemon=True).start()
        else:
            descriptor, port = (int(number) for number in door.split(":"))
            listening = socket.socket(fileno=descriptor)
            threading.Thread(target=open_door, args=(listening, port), daemon=True).start()
    while os.read(0, 1):
        pass
    inside.kill()
    inside.wait()


if __name__ == "__main__":
    main(sys.argv[1:])
