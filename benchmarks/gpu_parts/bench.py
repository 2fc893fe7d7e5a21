"""What the parts share: the device, a clock that waits for it, the rate of a matrix product, and rows that
are on disk as soon as they are known."""

from __future__ import annotations

import json
import math
import os
import resource
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch

from secondread.scoring.device import Precision, choose_precision

DTYPES = {"float32": torch.float32, "bf16": torch.bfloat16}


@dataclass
class Bench:
    """Where a part measures, and what it found.

    device   cuda or cpu
    small    tiny networks and few images, to try the script where there is no GPU
    until    the clock (`time.monotonic`) at which the part begins nothing more
    found    the file of its rows
    """

    device: torch.device
    small: bool
    until: float
    found: Path
    rows: list[dict[str, str]] = field(default_factory=list)

    def tell(self, what: str, value: str, note: str = "") -> None:
        """One row, written at once."""
        self.rows.append({"what": what, "value": value, "note": note})
        beside = self.found.with_suffix(".new")
        beside.write_text(json.dumps(self.rows), encoding="utf-8")
        os.replace(beside, self.found)
        print(f"  {what}: {value}{f'  ({note})' if note else ''}", flush=True)

    @property
    def on_gpu(self) -> bool:
        return self.device.type == "cuda"

    @property
    def precision(self) -> Precision:
        """What `auto` is here."""
        return choose_precision("auto", self.device)

    @property
    def left(self) -> float:
        """Seconds until the part is to begin nothing more."""
        return self.until - time.monotonic()

    def wait(self) -> None:
        if self.on_gpu:
            torch.cuda.synchronize(self.device)

    def seconds(self, work: Callable[[], object], *, rounds: int = 10, warm: int = 3) -> float:
        """The least wall-clock time of `work`, until the device has done it."""
        least = math.inf
        for number in range(warm + rounds):
            self.wait()
            begun = time.perf_counter()
            work()
            self.wait()
            if number >= warm:
                least = min(least, time.perf_counter() - begun)
            if least < math.inf and self.left < 0:
                break
        return least

    def ratio(self, name: str, before: tuple[str, float], after: tuple[str, float]) -> None:
        """How many times as fast the second is as the first."""
        note = f"{before[0]} {1000 * before[1]:.3g} ms, {after[0]} {1000 * after[1]:.3g} ms"
        self.tell(name, f"{before[1] / after[1]:.2f} times as fast", note)

    def matrix_rate(self, precision: Precision) -> float:
        """Floating-point operations per second of a square matrix product of two matrices."""
        size = 8192 if self.on_gpu else 512
        a = torch.randn(size, size, device=self.device).to(DTYPES[precision])
        b = torch.randn(size, size, device=self.device).to(DTYPES[precision])
        return 2 * size**3 / self.seconds(lambda: a @ b, rounds=20)

    def forget_peak(self) -> None:
        if self.on_gpu:
            torch.cuda.reset_peak_memory_stats(self.device)

    def peak_memory(self) -> tuple[float, str]:
        """GiB, and of what."""
        if self.on_gpu:
            return torch.cuda.max_memory_allocated(self.device) / 2**30, "of the GPU, as PyTorch allocates"
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, "of this process, since it began"


def machine(bench: Bench) -> None:
    """What this is, and what it multiplies."""
    bench.tell("PyTorch", torch.__version__, f"CUDA {torch.version.cuda}, {torch.get_num_threads()} threads")
    if bench.on_gpu:
        card = torch.cuda.get_device_properties(bench.device)
        bench.tell("GPU", card.name, f"{card.total_memory / 2**30:.0f} GiB, {card.major}.{card.minor}")
    for precision in DTYPES:
        rate = bench.matrix_rate("bf16" if precision == "bf16" else "float32") / 1e12
        bench.tell(f"matrix product, {precision}", f"{rate:.3g} Tflop/s")
