"""One prepared image as one file of the cache: a JSON head, then arrays that can be memory-mapped.

    magic (8 bytes) · length of the head (8 bytes, little-endian) · head · zeros up to a multiple of 64 ·
    pixels (float32) · thumbnail (float32 16×16) · valid (bytes, if any) · magic

A file appears under its name only when it is whole (temporary name, fsync, rename), so neither a second
writer nor `kill -9` leaves half of one.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from secondread.preprocessing.placement import Placement
from secondread.preprocessing.prepared import Prepared

MAGIC = b"2readpp1"
ALIGNED_TO = 64
LONGEST_HEAD = 1 << 22


def write_entry(path: Path, prepared: Prepared) -> None:
    """Write one entry under its final name, whole or not at all. Raises OSError (a full disk, say)."""
    pixels = prepared.pixels
    stored = pixels[:1] if pixels.shape[0] > 1 and pixels.strides[0] == 0 else pixels
    head = {
        "shape": list(pixels.shape),
        "stored": stored.shape[0],
        "valid": prepared.valid is not None,
        "digest": prepared.digest,
        "acquisition": dict(prepared.acquisition),
        "thumbnail": list(prepared.thumbnail.shape),
        "placement": prepared.placement.to_json(),
    }
    text = json.dumps(head).encode()
    start = MAGIC + len(text).to_bytes(8, "little") + text
    parts = [start, bytes(-len(start) % ALIGNED_TO), stored.astype("<f4").tobytes()]
    parts.append(prepared.thumbnail.astype("<f4").tobytes())
    if prepared.valid is not None:
        parts.append(prepared.valid.tobytes())
    write_whole(path, b"".join([*parts, MAGIC]))


def write_whole(path: Path, data: bytes, *, synced: bool = True) -> None:
    """Write a file under a temporary name in the same folder, sync it, rename it.

    Without the sync a power failure (not a kill) may leave it empty or cut, for files that may be.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}.tmp")
    try:
        with temporary.open("wb") as stream:
            stream.write(data)
            stream.flush()
            if synced:
                os.fsync(stream.fileno())
        temporary.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise


def read_entry(path: Path) -> Prepared | None:
    """The prepared image with its arrays mapped read-only; None where there is no whole entry."""
    try:
        head, start = _head_of(path)
    except (OSError, ValueError):
        return None
    if head is None:
        return None
    try:
        mapped = np.memmap(path, dtype=np.uint8, mode="r")
    except (OSError, ValueError):
        return None
    shape = tuple(head["shape"])
    kept = (head["stored"], *shape[1:])
    after_pixels = start + 4 * prod(kept)
    after_thumbnail = after_pixels + 4 * prod(head["thumbnail"])
    end = after_thumbnail + (prod(shape[1:]) if head["valid"] else 0)
    if len(mapped) != end + len(MAGIC) or bytes(mapped[end:]) != MAGIC:
        return None
    pixels = _floats(mapped[start:after_pixels], kept)
    return Prepared(
        np.broadcast_to(pixels, shape),
        mapped[after_thumbnail:end].view(bool).reshape(shape[1:]) if head["valid"] else None,
        Placement.from_json(head["placement"]),
        head["digest"],
        head["acquisition"],
        _floats(mapped[after_pixels:after_thumbnail], tuple(head["thumbnail"])).copy(),
    )


def _head_of(path: Path) -> tuple[dict[str, Any] | None, int]:
    with path.open("rb") as stream:
        start = stream.read(16)
        length = int.from_bytes(start[8:16], "little")
        if start[:8] != MAGIC or length > LONGEST_HEAD:
            return None, 0
        head = json.loads(stream.read(length))
    return head, 16 + length + (-(16 + length) % ALIGNED_TO)


def _floats(mapped: NDArray[np.uint8], shape: tuple[int, ...]) -> NDArray[np.float32]:
    return np.asarray(mapped).view("<f4").reshape(shape)
