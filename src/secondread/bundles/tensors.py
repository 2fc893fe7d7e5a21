"""Tensor files of a bundle: safetensors only, and nothing believed before it is checked.

What is refused, each in one line, before any tensor is allocated: a file whose size is not the declared
one; a header longer than the file or than 16 MiB (which is what a pickle, a zip or a text file under
this name looks like); tensors other than the declared ones in name, type or shape; offsets that do not
cover the data exactly; a wrong SHA-256.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import numpy as np
import safetensors.torch
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from secondread.errors import DataError
from secondread.settings import Settings

LARGEST_HEADER = 16 << 20
BYTES = {
    "BOOL": 1,
    "U8": 1,
    "I8": 1,
    "I16": 2,
    "I32": 4,
    "I64": 8,
    "F16": 2,
    "BF16": 2,
    "F32": 4,
    "F64": 8,
}
TYPES = {
    torch.bool: "BOOL",
    torch.uint8: "U8",
    torch.int8: "I8",
    torch.int16: "I16",
    torch.int32: "I32",
    torch.int64: "I64",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.float32: "F32",
    torch.float64: "F64",
}


class DeclaredTensor(Settings):
    """Type and shape of one tensor, as `bundle.json` declares them."""

    dtype: str = Field(pattern="^(BOOL|U8|I8|I16|I32|I64|F16|BF16|F32|F64)$")
    shape: tuple[Annotated[int, Field(ge=0)], ...]

    @property
    def bytes(self) -> int:
        return math.prod(self.shape) * BYTES[self.dtype]


class DeclaredFile(Settings):
    """Size, SHA-256 and, for a tensor file, the tensors of one file of a bundle."""

    bytes: int = Field(ge=0)
    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    tensors: dict[str, DeclaredTensor] | None = None


def write_tensors(path: Path, tensors: Mapping[str, Tensor | NDArray[np.generic]]) -> DeclaredFile:
    """Write a safetensors file and return what `bundle.json` must declare about it."""
    kept = {name: _as_tensor(value) for name, value in sorted(tensors.items())}
    data = safetensors.torch.save(kept)
    path.write_bytes(data)
    return DeclaredFile(
        bytes=len(data),
        sha256=hashlib.sha256(data).hexdigest(),
        tensors={n: DeclaredTensor(dtype=TYPES[t.dtype], shape=tuple(t.shape)) for n, t in kept.items()},
    )


def _as_tensor(value: Tensor | NDArray[np.generic]) -> Tensor:
    tensor = value if isinstance(value, Tensor) else torch.from_numpy(np.array(value))
    return tensor.detach().cpu().clone(memory_format=torch.contiguous_format)


def read_tensors(path: Path, declared: DeclaredFile) -> dict[str, Tensor]:
    """The tensors of a file that is exactly what was declared; `DataError` otherwise."""
    _check_size(path, declared)
    with open(path, "rb") as file:
        length = _header_length(path, file.read(9), declared)
        file.seek(8)
        _check_tensors(path, file.read(length), declared)
        file.seek(0)
        data = file.read()
    check_digest(path, data, declared)
    try:
        return safetensors.torch.load(data)
    except Exception as error:
        raise DataError(f"{path}: not a valid safetensors file ({_line(error)})") from error


def read_declared(path: Path, declared: DeclaredFile) -> bytes:
    """The bytes of a file that has the declared size and digest; `DataError` otherwise."""
    _check_size(path, declared)
    data = path.read_bytes()
    check_digest(path, data, declared)
    return data


def check_digest(path: Path, data: bytes, declared: DeclaredFile) -> None:
    if hashlib.sha256(data).hexdigest() != declared.sha256:
        raise DataError(
            f"{path}: its SHA-256 is not the one in bundle.json; "
            "the bundle was changed or damaged, copy it again from its source"
        )


def _check_size(path: Path, declared: DeclaredFile) -> None:
    if path.is_symlink() or not path.is_file():
        raise DataError(f"{path}: missing, or not a plain file; copy the bundle again from its source")
    size = path.stat().st_size
    if size != declared.bytes:
        raise DataError(
            f"{path}: {size:,} bytes where bundle.json declares {declared.bytes:,}; "
            "the bundle was changed or cut short, copy it again from its source"
        )


def _header_length(path: Path, start: bytes, declared: DeclaredFile) -> int:
    """The header's length from the first nine bytes. A pickle or a zip is told by what a safetensors file
    cannot have: any first byte may be the low one of a length, 0x80 (a pickle's) too."""
    length = int.from_bytes(start[:8], "little")
    fits = len(start) == 9 and 2 <= length <= min(declared.bytes - 8, LARGEST_HEADER)
    if fits and start[8:9] == b"{":
        return length
    if start[:1] == b"\x80" or start[:2] == b"PK":
        raise DataError(f"{path}: a pickle, not a safetensors file; pickles are never loaded")
    claim = "its header does not begin" if fits else f"it claims a header of {length:,} bytes"
    raise DataError(f"{path}: not a safetensors file ({claim} in a file of {declared.bytes:,} bytes)")


def _check_tensors(path: Path, header: bytes, declared: DeclaredFile) -> None:
    try:
        entries = json.loads(header)
        entries.pop("__metadata__", None)
        found = {
            name: (DeclaredTensor(dtype=entry["dtype"], shape=tuple(entry["shape"])), entry["data_offsets"])
            for name, entry in entries.items()
        }
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise DataError(f"{path}: the safetensors header cannot be read ({_line(error)})") from error
    expected = declared.tensors or {}
    for name in sorted(expected.keys() ^ found.keys()):
        where = "bundle.json declares" if name in expected else "the file holds"
        raise DataError(f"{path}: only {where} the tensor {name!r}; the bundle was changed or damaged")
    end = 0
    for name, (tensor, (first, last)) in sorted(found.items(), key=lambda item: item[1][1]):
        if tensor != expected[name]:
            raise DataError(
                f"{path}: tensor {name!r} is {tensor.dtype} {list(tensor.shape)} "
                f"where bundle.json declares {expected[name].dtype} {list(expected[name].shape)}"
            )
        if first != end or last - first != tensor.bytes:
            raise DataError(f"{path}: the data of tensor {name!r} do not lie where the header says")
        end = last
    if 8 + len(header) + end != declared.bytes:
        raise DataError(f"{path}: the tensors do not fill the file")


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
