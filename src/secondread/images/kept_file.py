"""The file that was read last stays in memory while its frames are asked for one after another, so that a
clip is read, parsed and hashed once and not once for each frame.

Each thread keeps one file, and lets it go when another is read.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

Made = TypeVar("Made")

MOST_BYTES = 1 << 29
"""Larger files are read anew for each frame: a worker has 4 GiB, and what is made of a file takes as much
again."""


@dataclass
class _Kept:
    state: tuple[int, ...]
    path: Path
    data: bytes
    made: dict[str, Any] = field(default_factory=dict)


class _OfThread(threading.local):
    kept: _Kept | None = None


_here = _OfThread()


def let_go() -> None:
    """Forget the file that is kept."""
    _here.kept = None


def kept_bytes(path: Path, read: Callable[[], bytes]) -> bytes:
    """The bytes of a file, read where they are not kept or the file has changed since."""
    state = _state(path)
    kept = _here.kept
    if kept is not None and state and (kept.path, kept.state) == (path, state):
        return kept.data
    let_go()
    data = read()
    if state and len(data) <= MOST_BYTES and state == _state(path):
        _here.kept = _Kept(state, path, data)
    return data


def made_once(data: bytes | memoryview, what: str, make: Callable[[], Made]) -> Made:
    """What `make` makes of a file's bytes; of a kept file once, under the name `what`."""
    kept = _here.kept
    if kept is None or kept.data is not data:
        return make()
    if what not in kept.made:
        kept.made[what] = make()
    found: Made = kept.made[what]
    return found


def _state(path: Path) -> tuple[int, ...]:
    """Size, times of change and place on the disk; () where it cannot be looked at."""
    try:
        found = path.stat()
    except OSError:
        return ()
    return found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino
