"""What a frozen encoder says of an image, kept in the cache for all fits.

    features/<key>/<first 2>/<pixels>   one image, under a hash of its pixels

The key is a hash of all that the values follow from beside: the function, its weights, the precision.

Every image goes through the encoder by itself and is rounded as it is kept, whether or not it was there, so
that what earlier fits left changes no number. Float32 is kept as float16 where that does not overflow. A file
is whole or not there, and carries a checksum (CRC-32): what is not as it was written is computed again.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt
import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

from secondread.outputs.whole import whole_file
from secondread.preprocessing.cache.growth import Growth
from secondread.training.batches.state_digest import state_digest

Pixels = npt.NDArray[np.float32]
LEAST_FREE = 2 << 30
"""Bytes that stay free on the disk; where there are fewer, nothing more is kept."""


@runtime_checkable
class Shareable(Protocol):
    """A frozen function whose values follow from its weights and `identity`, which names its kind and
    settings, alone."""

    identity: str


@dataclass
class ImageFeatures:
    """Of one frozen function. cache: the folder of the cache; computed: images that were not there."""

    cache: Path
    key: str
    computed: int = field(default=0, init=False)

    @classmethod
    def of(cls, frozen: object, cache: Path | None, precision: str, device: str) -> ImageFeatures | None:
        """None where there is no cache, or where the function does not say what it is."""
        if cache is None or not isinstance(frozen, nn.Module) or not isinstance(frozen, Shareable):
            return None
        said = [frozen.identity, state_digest(frozen.state_dict()), precision, device, torch.__version__]
        return cls(cache, hashlib.blake2b(json.dumps(said).encode(), digest_size=16).hexdigest())

    def __call__(self, pixels: Pixels, compute: Callable[[Pixels], tuple[Tensor, ...]]) -> tuple[Tensor, ...]:
        """Of an image `[1, C, *size]`, as `compute` gives it but for the rounding, on the CPU."""
        name = hashlib.blake2b(repr(pixels.shape).encode() + pixels.tobytes(), digest_size=20).hexdigest()
        path = self.cache / "features" / self.key / name[:2] / name
        found = _read(path)
        if found is None:
            self.computed += 1
            found = tuple(_rounded(output.detach().cpu()) for output in compute(pixels))
            self._write(path, found)
        return tuple(value.float() if value.dtype == torch.float16 else value for value in found)

    def _write(self, path: Path, values: tuple[Tensor, ...]) -> None:
        """A disk that is full, or refuses, costs the next fit its time alone."""
        data = save({f"{number:03d}": value.contiguous() for number, value in enumerate(values)})
        with contextlib.suppress(OSError):
            if shutil.disk_usage(self.cache).free - len(data) < LEAST_FREE:
                return
            with whole_file(path, synced=False, within=self.cache / "writing") as file:
                file.write(_check(path, data) + data)
            Growth(self.cache).add(len(data))


def _rounded(value: Tensor) -> Tensor:
    if value.dtype != torch.float32:
        return value
    half = value.half()
    return value if bool((half.isinf() & value.isfinite()).any()) else half


def _read(path: Path) -> tuple[Tensor, ...] | None:
    """None where there is no whole file of this name."""
    try:
        check, data = path.read_bytes()[:4], path.read_bytes()[4:]
        if check != _check(path, data):
            return None
        found = load(data)
        os.utime(path, ns=(time.time_ns(), path.stat().st_mtime_ns))
    except (OSError, SafetensorError):
        return None
    return tuple(found[name] for name in sorted(found))


def _check(path: Path, data: bytes) -> bytes:
    """It says too of which image, and of which function."""
    return zlib.crc32(data, zlib.crc32(f"{path.parent.parent.name}/{path.name}".encode())).to_bytes(4, "big")
