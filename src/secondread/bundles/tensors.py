"""Tensor files of a bundle: safetensors only, and nothing believed before it is checked.

What is refused, each in one line, before any tensor is allocated: a file whose size is not the declared
one; one that is no safetensors file (`strict.tensor_file`); tensors other than the declared ones in name,
type or shape. Then, before its tensors are used, a wrong SHA-256.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import safetensors.torch
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from secondread.errors import DataError
from secondread.settings.base import Settings
from secondread.strict.plain_file import Unfit, length_of, open_plain
from secondread.strict.tensor_file import BYTES, TensorForm, read_header

LARGEST_FILE = 16 << 30
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

    dtype: str = Field(pattern=f"^({'|'.join(BYTES)})$")
    shape: tuple[Annotated[int, Field(ge=0, le=1 << 50)], ...] = Field(max_length=8)

    @property
    def form(self) -> TensorForm:
        return TensorForm(self.dtype, self.shape)


class DeclaredFile(Settings):
    """Size, SHA-256 and, for a tensor file, the tensors of one file of a bundle."""

    bytes: int = Field(ge=0, le=LARGEST_FILE)
    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    tensors: dict[str, DeclaredTensor] | None = None


@dataclass(frozen=True)
class TensorFile:
    """A file whose header is exactly what was declared; its tensors are still on the disk."""

    path: Path
    declared: DeclaredFile
    forms: Mapping[str, TensorForm]

    @classmethod
    def open(cls, path: Path, declared: DeclaredFile) -> TensorFile:
        """Raises DataError in one line where the file is not what `bundle.json` declares."""
        expected = {name: tensor.form for name, tensor in (declared.tensors or {}).items()}
        try:
            with open_plain(path, links=False) as file:
                _check_size(length_of(file), declared)
                forms = read_header(file)
            for name in sorted(expected.keys() ^ forms.keys()):
                where = "bundle.json declares" if name in expected else "the file holds"
                raise Unfit(f"only {where} the tensor {name!r}; the bundle was changed or damaged")
            for name, form in forms.items():
                if form != expected[name]:
                    raise Unfit(f"tensor {name!r} is {form} where bundle.json declares {expected[name]}")
        except (Unfit, OSError) as error:
            raise _refused(path, error) from None
        return cls(path, declared, forms)

    def read(self) -> dict[str, Tensor]:
        """The tensors. Raises DataError where the file's SHA-256 is not the declared one."""
        data = read_declared(self.path, self.declared)
        try:
            return safetensors.torch.load(data)
        except Exception as error:
            raise DataError(f"{self.path}: not a valid safetensors file ({_line(error)})") from error


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


def form_of(tensor: Tensor) -> TensorForm:
    """Of a tensor that may lie on the meta device."""
    return TensorForm(TYPES[tensor.dtype], tuple(tensor.shape))


def read_declared(path: Path, declared: DeclaredFile) -> bytes:
    """The bytes of a file that has the declared size and digest; `DataError` otherwise."""
    try:
        with open_plain(path, links=False) as file:
            _check_size(length_of(file), declared)
            data = file.read(declared.bytes + 1)
    except (Unfit, OSError) as error:
        raise _refused(path, error) from None
    if hashlib.sha256(data).hexdigest() != declared.sha256:
        raise DataError(
            f"{path}: its SHA-256 is not the one in bundle.json; "
            "the bundle was changed or damaged, copy it again from its source"
        )
    return data


def _check_size(size: int, declared: DeclaredFile) -> None:
    if size != declared.bytes:
        raise Unfit(
            f"{size:,} bytes where bundle.json declares {declared.bytes:,}; "
            "the bundle was changed or cut short, copy it again from its source"
        )


def _refused(path: Path, error: Unfit | OSError) -> DataError:
    if isinstance(error, OSError):
        return DataError(f"{path}: cannot be read ({error.strerror}); copy the bundle again from its source")
    return DataError(f"{path}: {error}")


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
