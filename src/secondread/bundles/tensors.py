"""Tensors of torch in a bundle's files, which are safetensors."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import safetensors.torch
import torch
from numpy.typing import NDArray
from torch import Tensor

from secondread.bundles.declared import DeclaredFile, DeclaredTensor, TensorFile
from secondread.strict.tensor_file import BYTES, TensorForm

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


def read_tensors(file: TensorFile) -> dict[str, Tensor]:
    """Its tensors, which share one memory, so that a large file is held once.

    Raises DataError where the file's SHA-256 is not the declared one.
    """
    data, types = file.data(), {name: dtype for dtype, name in TYPES.items()}
    found, at = {}, len(data) - sum(form.bytes for form in file.forms.values())
    for name, form in file.forms.items():  # in the order of their bytes
        if form.bytes and at % BYTES[form.dtype]:  # where another program wrote it
            own, begin = data[at : at + form.bytes], 0
        else:
            own, begin = data, at
        tensor = torch.empty(0, dtype=types[form.dtype])
        if form.bytes:
            number = form.bytes // BYTES[form.dtype]
            tensor = torch.frombuffer(own, dtype=types[form.dtype], count=number, offset=begin)
        found[name] = tensor.view(form.shape)
        at += form.bytes
    return found


def _as_tensor(value: Tensor | NDArray[np.generic]) -> Tensor:
    tensor = value if isinstance(value, Tensor) else torch.from_numpy(np.array(value))
    return tensor.detach().cpu().clone(memory_format=torch.contiguous_format)


def form_of(tensor: Tensor) -> TensorForm:
    """Of a tensor that may lie on the meta device."""
    return TensorForm(TYPES[tensor.dtype], tuple(tensor.shape))
