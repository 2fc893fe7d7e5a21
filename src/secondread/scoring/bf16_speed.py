"""Whether this processor multiplies faster in bfloat16: measured once, then kept with the user's caches.

The name of a processor, or one vendor's flag, does not tell: AMX, AVX-512 with bf16 and ARM's own
instructions all make bfloat16 fast, and where there is none of them it is emulated, several times as slow.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
import platform
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import NamedTuple

import torch
from torch.nn import functional

from secondread.preprocessing.cache.place import user_cache

CLEAR = 1.3
"""So many times as fast as float32 must bfloat16 be, so that noise decides nothing."""
ROUNDS = 8
ENOUGH = 0.03
"""Seconds of processor time after which no further round begins."""
DRESS = ("ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA", "ATEN_CPU_CAPABILITY", "MKL_ENABLE_INSTRUCTIONS")
"""Environment variables by which a processor passes for another one."""


@dataclass(frozen=True)
class Bf16Speed:
    """How many times as fast as float32 a processor is in bfloat16.

    convolution  of 64 channels by 64 filters of 3×3 on a map of 32×32, channels-last
    product      of 128 rows by a matrix of 512×512, as a linear layer has it
    """

    convolution: float
    product: float

    @property
    def wins(self) -> bool:
        """Both together are clearly faster, and neither is slower."""
        together = math.sqrt(self.convolution * self.product)
        return together >= CLEAR and min(self.convolution, self.product) >= 1


class Decided(NamedTuple):
    """What was found, and the file where it is kept; None where that could not be written."""

    speed: Bf16Speed
    file: Path | None


@cache
def bf16_speed() -> Decided:
    """What the first process to ask on this machine found.

    It stays: a second measurement might fall on the other side, and the same seed then gave other numbers. It
    is measured anew for another processor, other flags of it, another torch, or where `DRESS` says that the
    processor is to pass for another.
    """
    try:
        file = user_cache("secondread-machine") / f"bf16-{machine_digest()[:24]}.json"
    except RuntimeError:  # the user has no home
        return Decided(measure(), None)
    kept = _read(file)
    if kept is None:
        measured = measure()
        try:
            _keep_first(file, measured)
        except OSError:
            return Decided(measured, None)
        kept = _read(file) or measured
    return Decided(kept, file)


def measure(seconds: Callable[[], float] = time.thread_time) -> Bf16Speed:
    """The two speeds, in some 50 ms: on one thread, float32 and bfloat16 in turn, the least of the rounds by
    this thread's processor time, so that what else runs on the machine hardly matters. It ends at once where
    bfloat16 is slower beyond doubt."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.inference_mode():
            found = [_ratio(work, seconds) for work in (_convolution, _product)]
    finally:
        torch.set_num_threads(threads)
    return Bf16Speed(*(round(ratio, 2) for ratio in found))


def _ratio(make: Callable[[torch.dtype], Callable[[], object]], seconds: Callable[[], float]) -> float:
    """Least time in float32 over least time in bfloat16."""
    contenders = [make(torch.float32), make(torch.bfloat16)]
    least, begun = [math.inf, math.inf], seconds()
    for number in range(ROUNDS + 1):
        for contender, work in enumerate(contenders):
            before = seconds()
            work()
            spent = seconds() - before
            if number:  # the first call makes what the library keeps
                least[contender] = min(least[contender], max(spent, 1e-7))
        if number > 1 and (least[1] > 3 * least[0] or seconds() - begun > ENOUGH):
            break
    return least[0] / least[1]


def _convolution(dtype: torch.dtype) -> Callable[[], object]:
    x, weight = (
        torch.full(shape, 0.5).to(dtype).contiguous(memory_format=torch.channels_last)
        for shape in ((1, 64, 32, 32), (64, 64, 3, 3))
    )
    return lambda: functional.conv2d(x, weight, padding=1)


def _product(dtype: torch.dtype) -> Callable[[], object]:
    x, weight = torch.full((128, 512), 0.5).to(dtype), torch.full((512, 512), 0.5).to(dtype)
    return lambda: functional.linear(x, weight)


def processor_name() -> str:
    """What this machine calls its processor, or the architecture where it does not say."""
    return _told("model name") or platform.processor() or platform.machine()


def machine_digest() -> str:
    """Of what the speeds depend on: the processor with its flags, torch, and `DRESS`."""
    known = [processor_name(), platform.machine(), torch.__version__, str(torch.cpu.get_capabilities())]
    known += [_told(name) for name in ("vendor_id", "cpu family", "model", "stepping", "flags", "Features")]
    known += [os.environ.get(name, "") for name in DRESS]
    return hashlib.sha256("\n".join(known).encode()).hexdigest()


def _told(name: str) -> str:
    """What Linux says of its first processor under this name."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    named = (line.partition(":") for line in lines)
    return next((value.strip() for key, _, value in named if key.strip() == name), "")


def _read(file: Path) -> Bf16Speed | None:
    """What is kept there; None where nothing is, or nothing that makes sense."""
    try:
        told = json.loads(file.read_text(encoding="utf-8"))
        found = Bf16Speed(float(told["convolution"]), float(told["product"]))
    except (OSError, ValueError, TypeError, KeyError):
        return None
    return found if 0 < found.convolution < 1e6 and 0 < found.product < 1e6 else None


def _keep_first(file: Path, speed: Bf16Speed) -> None:
    """Whole at once; where another process was first, or nonsense lies there, what is right stays."""
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=file.parent, suffix=".json")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as writing:
            json.dump({**asdict(speed), "processor": processor_name(), "torch": torch.__version__}, writing)
        if file.exists() and _read(file) is None:
            os.replace(name, file)
        else:
            with contextlib.suppress(FileExistsError):
                os.link(name, file)
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name)
