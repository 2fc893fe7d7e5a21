"""Where float32 is needed although the networks around run in half precision, and what oneDNN takes."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from functools import cache

import torch
from torch import Tensor

MOST_DRIFT = 0.01
"""Half precision may move a score by this share of its standard deviation over normals."""
DRIFT_IMAGES = 64
"""Normals on which that is measured."""


def full_precision(x: Tensor) -> AbstractContextManager[object]:
    """A context without autocast on the device of `x` (the meta device has none to turn off)."""
    return nullcontext() if x.device.type == "meta" else torch.autocast(x.device.type, enabled=False)


@cache
def onednn_takes(dtype: torch.dtype) -> bool:
    """Whether oneDNN's own operations may be called with this type on this processor: they refuse bfloat16
    where the CPU is older than AVX-512, and torch then has another way for whoever asks torch."""
    if not torch.backends.mkldnn.is_available():
        return False
    if dtype is torch.bfloat16:
        return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    return dtype is torch.float32
