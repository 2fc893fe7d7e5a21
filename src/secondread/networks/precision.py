"""Where float32 is needed although the networks around run in half precision."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor


def full_precision(x: Tensor) -> AbstractContextManager[object]:
    """A context without autocast on the device of `x` (the meta device has none to turn off)."""
    return nullcontext() if x.device.type == "meta" else torch.autocast(x.device.type, enabled=False)
