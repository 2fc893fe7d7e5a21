"""Files of which parts are asked for one after another stay in memory, so that a clip or a volume is read,
parsed and hashed once and not once for each frame or slice.

Each thread keeps the last few, so that slices of several sequences and of their mask can be asked for in
turn, and lets them go when a whole file is read.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

Made = TypeVar("Made")

MOST_BYTES = 1 << 29
"""Of all that is kept. Larger files are read anew for each part: a worker has 4 GiB, and what is made of a
file takes as much again."""
MOST_FILES = 6


@dataclass
class _Kept:
    state: tuple[int, ...]
    data: bytes
    bytes_made: int = 0
    made: dict[str, Any] = field(default_factory=dict)


class _OfThread(threading.local):
    def __init__(self) -> None:
        self.kept: OrderedDict[Path, _Kept] = OrderedDict()


_here = _OfThread()


def let_go() -> None:
    """Forget the files that are kept."""
    _here.kept.clear()


def kept_bytes(path: Path, read: Callable[[], bytes]) -> bytes:
    """The bytes of a file, read where they are not kept or the file has changed since."""
    state = state_of(path)
    kept = _here.kept.get(path)
    if kept is not None and state and kept.state == state:
        _here.kept.move_to_end(path)
        return kept.data
    _here.kept.pop(path, None)
    data = read()
    if state and len(data) <= MOST_BYTES and state == state_of(path):
        _here.kept[path] = _Kept(state, data)
        _make_room()
    return data


def made_once(
    data: bytes | memoryview,
    what: str,
    make: Callable[[], Made],
    *,
    size: Callable[[Made], int] | None = None,
) -> Made:
    """What `make` makes of a file's bytes; of a kept file once, under the name `what`. `size` tells the bytes
    of what was made, where they count; what is larger than all that may be kept is made anew each time."""
    kept = next((one for one in _here.kept.values() if one.data is data), None)
    if kept is None:
        return make()
    if what not in kept.made:
        made = make()
        weight = size(made) if size is not None else 0
        if weight > MOST_BYTES:
            return made
        kept.made[what] = made
        kept.bytes_made += weight
        _make_room()
    found: Made = kept.made[what]
    return found


def _make_room() -> None:
    """Let the files go that were asked for longest ago."""
    kept = _here.kept
    while len(kept) > 1 and (
        len(kept) > MOST_FILES or sum(len(one.data) + one.bytes_made for one in kept.values()) > MOST_BYTES
    ):
        kept.popitem(last=False)


def state_of(path: Path) -> tuple[int, ...]:
    """Size, times of change and place on the disk; () where it cannot be looked at."""
    try:
        found = path.stat()
    except OSError:
        return ()
    return found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino
