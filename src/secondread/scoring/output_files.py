"""Outputs of a network for single images, each in a file of the cache.

    features/<key>/<first 2>/<hash of the image>         bit by bit
    features/<key>/<first 2>/<hash of the image>.half    float32 as float16 where that does not overflow

    CRC-32 (4 bytes) · length of the head (4 bytes, little-endian) · head (JSON) · the numbers as they lay in
    memory

A file is whole or not there, and its checksum is over its own name, too: what is not as it was written is
computed again. The head says types, shapes, strides, and the seconds that it took to compute them.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import time
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from secondread.outputs.whole import whole_file
from secondread.preprocessing.cache.growth import Growth

LEAST_FREE = 2 << 30
"""Bytes that stay free on the disk, or a tenth of it if that is more; where there are fewer, nothing more is
kept."""
BYTES_PER_SECOND = 5e8
"""At which kept numbers are read and checked, about: what is computed faster is not kept."""
TYPES = {str(dtype): dtype for dtype in (torch.float32, torch.float16, torch.bfloat16, torch.float64)}


@dataclass(frozen=True)
class Kept:
    """seconds: that it took to compute the outputs."""

    outputs: tuple[Tensor, ...]
    seconds: float


@dataclass(frozen=True)
class OutputFiles:
    """Of one network under one key."""

    cache: Path
    key: str

    def find(self, name: str, *, halved: bool) -> Kept | None:
        """What was kept of an image, with the strides that it had; None where it is not there. Halved, it is
        the same whether or not it was kept bit by bit."""
        path = self._path(name)
        found = _read(path.with_name(f"{name}.half")) if halved else None
        if found is None:
            found = _read(path)
        return None if found is None else Kept(as_kept(found.outputs, halved), found.seconds)

    def keep(self, name: str, outputs: Sequence[Tensor], seconds: float, *, halved: bool) -> None:
        """Where reading it again is quicker than computing it. A disk that is full, or refuses, costs whoever
        comes next the time alone."""
        path = self._path(f"{name}.half" if halved else name)
        stored = [_halved(output) if halved else output for output in outputs]
        if not all(_fills_its_memory(value) and str(value.dtype) in TYPES for value in stored):
            return
        said = [[str(value.dtype), list(value.shape), list(value.stride())] for value in stored]
        head = json.dumps({"outputs": said, "seconds": seconds}).encode()
        size = 8 + len(head) + sum(value.nbytes for value in stored)
        if size / BYTES_PER_SECOND > seconds:
            return
        numbers = b"".join(_flat(value).view(torch.uint8).numpy().tobytes() for value in stored)
        data = len(head).to_bytes(4, "little") + head + numbers
        with contextlib.suppress(OSError):
            disk = shutil.disk_usage(self.cache)
            if disk.free - size < max(LEAST_FREE, disk.total // 10):
                return
            with whole_file(path, synced=False, within=self.cache / "writing") as file:
                file.write(_check(path, data) + data)
            Growth(self.cache).add(size)

    def _path(self, name: str) -> Path:
        return self.cache / "features" / self.key / name[:2] / name


def as_kept(outputs: Sequence[Tensor], halved: bool) -> tuple[Tensor, ...]:
    """Outputs as a file gives them back: halved, float32 is rounded to float16 where that holds it."""
    if not halved:
        return tuple(outputs)
    rounded = (_halved(output) for output in outputs)
    return tuple(value.float() if value.dtype == torch.float16 else value for value in rounded)


def _halved(value: Tensor) -> Tensor:
    if value.dtype != torch.float32:
        return value
    half = value.half()
    return value if bool((half.isinf() & value.isfinite()).any()) else half


def _fills_its_memory(value: Tensor) -> bool:
    """Whether its numbers lie side by side in some order."""
    sides = zip(value.shape, value.stride(), strict=True)
    return value.numel() == 1 + sum((length - 1) * stride for length, stride in sides)


def _flat(value: Tensor) -> Tensor:
    return value.as_strided((value.numel(),), (1,))


def _read(path: Path) -> Kept | None:
    """None where there is no whole file of this name."""
    try:
        found = path.read_bytes()
        check, data = found[:4], memoryview(found)[4:]
        if check != _check(path, data):
            return None
        begin = 4 + int.from_bytes(data[:4], "little")
        head = json.loads(bytes(data[4:begin]))
        os.utime(path, ns=(time.time_ns(), path.stat().st_mtime_ns))
    except OSError:
        return None
    outputs = []
    for kind, shape, strides in head["outputs"]:
        value = torch.empty_strided(shape, strides, dtype=TYPES[kind])  # its own memory, aligned as ever
        bits = _flat(value).view(torch.uint8)
        bits.numpy()[:] = memoryview(data[begin : begin + len(bits)])
        outputs.append(value)
        begin += len(bits)
    return Kept(tuple(outputs), head["seconds"])


def _check(path: Path, data: bytes | memoryview) -> bytes:
    """It says too of which image, and of which network."""
    return zlib.crc32(data, zlib.crc32(f"{path.parent.parent.name}/{path.name}".encode())).to_bytes(4, "big")
