"""Tensors as a compiled function's arguments."""

from __future__ import annotations

import torch
from torch import Tensor


def expect(name: str, found: Tensor, dtype: torch.dtype, shape: tuple[int, ...]) -> None:
    """ValueError unless the tensor is contiguous, on the CPU, and of this type and shape."""
    if (
        found.shape != shape
        or found.dtype != dtype
        or not found.is_contiguous()
        or found.device.type != "cpu"
    ):
        order = "contiguous" if found.is_contiguous() else "not contiguous"
        raise ValueError(
            f"{name} is {tuple(found.shape)} {found.dtype} on {found.device}, {order}; "
            f"expected {tuple(shape)} {dtype} on cpu, contiguous"
        )


def address(tensor: Tensor | None) -> int | None:
    return None if tensor is None else tensor.data_ptr()


def check(status: int) -> None:
    """MemoryError where the function says so."""
    if status:
        raise MemoryError("compiled code ran out of memory")
