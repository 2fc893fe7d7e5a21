"""One prepared image as one file of the cache: a JSON head, then arrays that can be memory-mapped.

    magic (8 bytes) · length of the head (8 bytes, little-endian) · head · zeros up to a multiple of 64 ·
    pixels (float32) · thumbnail (float32 16×16) · valid (bytes, if any) ·
    CRC-32 of all before it (4 bytes, little-endian) · magic

A file appears under its name only when it is whole (temporary name, fsync, rename), so neither a second
writer nor `kill -9` leaves half of one. What is read is believed only where the checksum fits, and where the
head says the very name that the file has, and the versions of what reads and prepares: damage, swapped files
and what another version made are noticed. A process checks a file once, and again when its size, time of
change or inode are others.
"""

from __future__ import annotations

import json
import os
import time
import zlib
from functools import cache
from importlib import metadata
from math import prod
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from secondread.outputs.whole import whole_file
from secondread.preprocessing.placement import Placement
from secondread.preprocessing.prepared import Prepared

MAGIC = b"2readpp2"
ALIGNED_TO = 64
CHECKSUM_BYTES = 4
READERS = (
    *("secondread", "numpy", "scipy", "pillow", "tifffile", "nibabel", "pydicom", "pylibjpeg"),
    *("pylibjpeg-openjpeg", "pylibjpeg-rle", "pyjpegls", "python-gdcm"),
)
SETTLED_NS = 2_000_000_000
"""A file that changed less than this ago may change again within one tick of the file system's clock."""

_checked: dict[str, tuple[int, int, int]] = {}


def write_entry(path: Path, prepared: Prepared, *, within: Path | None = None) -> None:
    """Write one entry under its final name, whole or not at all (see `whole_file`). Raises OSError (a full
    disk, say)."""
    pixels = prepared.pixels
    stored = pixels[:1] if pixels.shape[0] > 1 and pixels.strides[0] == 0 else pixels
    head = {
        "name": _name_of(path),
        "shape": list(pixels.shape),
        "stored": stored.shape[0],
        "valid": prepared.valid is not None,
        "digest": prepared.digest,
        "content": prepared.content,
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
    data = b"".join(parts)
    with whole_file(path, within=within) as file:
        file.write(b"".join([data, _checksum(data), MAGIC]))


def read_entry(path: Path) -> Prepared | None:
    """The prepared image with its arrays mapped read-only; None where no whole entry of this name lies."""
    mapped = _mapped(path)
    if mapped is None:
        return None
    length = int.from_bytes(mapped[8:16].tobytes(), "little")
    head = json.loads(mapped[16 : 16 + length].tobytes())
    if head["name"] != _name_of(path):
        return None
    start = 16 + length + (-(16 + length) % ALIGNED_TO)
    shape = tuple(head["shape"])
    kept = (head["stored"], *shape[1:])
    after_pixels = start + 4 * prod(kept)
    after_thumbnail = after_pixels + 4 * prod(head["thumbnail"])
    end = after_thumbnail + (prod(shape[1:]) if head["valid"] else 0)
    pixels = _floats(mapped[start:after_pixels], kept)
    return Prepared(
        np.broadcast_to(pixels, shape),
        mapped[after_thumbnail:end].view(bool).reshape(shape[1:]) if head["valid"] else None,
        Placement.from_json(head["placement"]),
        head["digest"],
        head["content"],
        head["acquisition"],
        _floats(mapped[after_pixels:after_thumbnail], tuple(head["thumbnail"])).copy(),
    )


def _mapped(path: Path) -> NDArray[np.uint8] | None:
    """The bytes of a file that is just as it was written; None where it is missing, damaged or no entry."""
    try:
        with path.open("rb") as stream:
            state = os.fstat(stream.fileno())
            mapped = np.memmap(stream, dtype=np.uint8, mode="r")
    except (OSError, ValueError):
        return None
    stamp = (state.st_ino, state.st_size, state.st_mtime_ns)
    name = str(path)
    if _checked.get(name) == stamp:
        return mapped
    end = len(mapped) - CHECKSUM_BYTES - len(MAGIC)
    if end < 16 or bytes(mapped[: len(MAGIC)]) != MAGIC or bytes(mapped[end + CHECKSUM_BYTES :]) != MAGIC:
        return None
    if bytes(mapped[end : end + CHECKSUM_BYTES]) != _checksum(mapped[:end].data):
        return None
    if time.time_ns() - state.st_mtime_ns > SETTLED_NS:
        _checked[name] = stamp
    return mapped


def _checksum(data: bytes | memoryview) -> bytes:
    return zlib.crc32(data).to_bytes(CHECKSUM_BYTES, "little")


def _name_of(path: Path) -> str:
    """An entry's own name: the digest of the preprocessing, the key of the content, and who made it."""
    return f"{path.parent.parent.name}/{path.name} {made_by()}"


@cache
def made_by() -> str:
    """The versions of what reads and prepares images."""
    return " ".join(f"{package} {_version(package)}" for package in READERS)


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "-"


def _floats(mapped: NDArray[np.uint8], shape: tuple[int, ...]) -> NDArray[np.float32]:
    return np.asarray(mapped).view("<f4").reshape(shape)
