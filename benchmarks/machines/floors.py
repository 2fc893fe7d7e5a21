"""How near each detector's score comes to its floor: the least time that its arithmetic and weights ask for.

    OMP_NUM_THREADS=1 SECONDREAD_WEIGHTS=weights python benchmarks/machines/floors.py
    OMP_NUM_THREADS=1 python benchmarks/machines/floors.py rd4ad draem --parts 20

A preset's detector, untrained but for a step or two, scores images as `score` does: one after the other, with
maps, in float32 on one thread. Its products and convolutions are counted operation by operation, in plain
layers, by PyTorch's own formulas. The floor of each is its count at the rate of this processor's fastest
library in the same rounds, or, of a detector with more than 32 MB of weights and buffers, the time that its
weights take to come from memory, whichever is longer; the floor of the score is the sum of these. Everything
else counts as nothing: pooling, activations, searches, what libraries other than PyTorch compute, and that
small calls take long to begin. Seconds are processor time, the least of the rounds. `--parts` also prints
where PyTorch's profiler sees the time go, compiled code apart.
"""

from __future__ import annotations

import argparse
import csv
import os
import sys
import tempfile
import time
from copy import deepcopy
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from floating_point import contenders, cpu_seconds
from one_at_a_time import fitted, smooth_noise
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from secondread.detectors.contract import Batch, Detector
from secondread.errors import UserError
from secondread.networks.native.build import SWITCH
from secondread.recipes.recipe import Recipe, presets
from secondread.scoring.bf16_speed import processor_name
from secondread.scoring.image_source import ArraySource
from secondread.scoring.scorer import Scorer, noise_for

LARGE = ("paper", "shibata-bct", "shibata-bct-sampling", "shibata-cxr")
"""Presets of a paper's size, which are asked where they are named."""
CACHED = 32 * 2**20
"""Bytes of weights that a processor may keep from one image to the next."""


def _convolution(x: Any, *more: Any, out_val: Any, **_: Any) -> int:
    """Of x and the weight, or of x, what is added, and the weight."""
    added = isinstance(more[1], torch.Tensor) and more[1].dim() == x.dim()
    weight = more[1] if added else more[0]
    return 2 * int(out_val.numel()) * int(weight.numel()) // int(out_val.shape[1])


def _product(_: Any, left: Any, right: Any, *__: Any, **___: Any) -> int:
    return 2 * int(left.numel()) * int(right.shape[-1])


def _linear(x: Any, weight: Any, *_: Any, out_val: Any, **__: Any) -> int:
    return 2 * int(x.numel()) * int(out_val.shape[-1])


def _distances(left: Any, right: Any, *_: Any, **__: Any) -> int:
    return 2 * int(left.numel()) * int(right.shape[-2])


FUSED = {
    "mkldnn._convolution_pointwise": _convolution,
    "mkldnn._linear_pointwise": _linear,
    "aten._addmm_activation": _product,
    "aten._cdist_forward": _distances,
    "aten._euclidean_dist": _distances,
    "aten.addbmm": _product,
}
"""Calls that PyTorch's counter does not know."""


class Work(TorchDispatchMode):
    """The floating-point operations of each call that can be counted, and the bytes of weights it reads."""

    def __init__(self, detector: Detector) -> None:
        super().__init__()
        held = [*detector.parameters(), *detector.buffers()]
        self._held = {tensor.untyped_storage().data_ptr() for tensor in held if tensor.numel()}
        self.weights = sum(tensor.numel() * tensor.element_size() for tensor in held)
        self.calls: list[tuple[int, int]] = []
        self._read: set[tuple[int, int]] = set()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        found = func(*args, **(kwargs or {}))
        packet = func._overloadpacket
        formula = flop_registry.get(packet) or FUSED.get(str(packet))
        if formula is not None:
            count = formula(*args, **(kwargs or {}), out_val=found)
            read = sum(self._fresh(one) for one in args if isinstance(one, torch.Tensor))
            self.calls.append((int(count), read))
        return found

    def _fresh(self, tensor: torch.Tensor) -> int:
        """Its bytes, where it is a weight that no call before this one has read."""
        try:
            place = (tensor.untyped_storage().data_ptr(), tensor.storage_offset())
        except NotImplementedError:  # in oneDNN's own order, as frozen weights are
            place = (id(tensor), 0)
            self._held.add(place[0])
        if place[0] not in self._held or place in self._read:
            return 0
        self._read.add(place)
        return tensor.numel() * tensor.element_size()


def work_of(detector: Detector, source: ArraySource) -> Work:
    """What a score of one image asks, with all layers plain: gradients are on, nothing is compiled, and the
    copy has kept no weights in another order."""
    detector = deepcopy(detector)
    batch = Batch(torch.from_numpy(source.images[:1]), digests=(source.digests[0],))
    with mock.patch.dict(os.environ, {SWITCH: "0"}), torch.enable_grad(), Work(detector) as work:
        detector.score(batch, noise_for([source.digests[0]]), maps=True)
    return work


def measure(detector: Detector, source: ArraySource, seconds: float) -> dict[str, float]:
    images, scorer = len(source), Scorer(detector, precision="float32")
    far = torch.ones(64 * 2**20)
    counted = {**contenders(torch.float32), "memory": (far.numel() * far.element_size(), far.sum)}
    least, reached = float("inf"), dict.fromkeys(counted, 0.0)
    until, rounds = time.monotonic() + seconds, 0
    while rounds < 3 or (time.monotonic() < until and rounds < 25):
        taken = cpu_seconds(lambda: scorer.batch(source.images, None, source.digests))
        least, rounds = min(least, taken / images), rounds + 1
        with torch.inference_mode():
            for name, (count, call) in counted.items():
                reached[name] = max(reached[name], count / cpu_seconds(call))
    work, memory = work_of(detector, source), reached.pop("memory")
    rate, is_far = max(reached.values()), work.weights > CACHED
    floor = sum(max(count / rate, read / memory if is_far else 0) for count, read in work.calls)
    return {
        "milliseconds": 1000 * least,
        "floor": 1000 * floor,
        "share": floor / least,
        "gflop": sum(count for count, _ in work.calls) / 1e9,
        "rate": rate / 1e9,
        "memory": memory / 1e9,
        "weights": work.weights / 1e6,
        "rounds": rounds,
    }


def parts(detector: Detector, source: ArraySource, rows: int) -> str:
    """Where the profiler sees the time of ten batches."""
    scorer = Scorer(detector, precision="float32")
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as seen:
        for _ in range(10):
            scorer.batch(source.images, None, source.digests)
    return str(seen.key_averages().table(sort_by="self_cpu_time_total", row_limit=rows))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("presets", nargs="*", help="all but those of a paper's size")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--seconds", type=float, default=4, help="of rounds for each preset")
    parser.add_argument("--images", type=int, default=1, help="of a batch")
    parser.add_argument("--parts", type=int, metavar="ROWS", help="print the profiler's table, so many rows")
    parser.add_argument("-o", "--output", help="a CSV file to add rows to")
    given = parser.parse_args()
    torch.set_num_threads(1)
    print(f"{processor_name()}, float32, one thread, batches of {given.images}", flush=True)
    names = given.presets or [one.name for one in presets() if not one.name.endswith(LARGE)]
    for name in names:
        try:
            with tempfile.TemporaryDirectory() as folder:
                detector = fitted(Recipe.load(name, set=given.set), Path(folder)).eval()
            source = smooth_noise(given.images, detector.channels, detector.size, 9)
            found = measure(detector, source, given.seconds)
        except UserError as error:
            print(f"{name:24s} {error}", file=sys.stderr, flush=True)
            continue
        print(
            f"{name:24s} {found['milliseconds']:8.2f} ms   floor {found['floor']:8.2f}   "
            f"{found['share']:6.1%}   {found['gflop']:7.2f} Gflop at {found['rate']:.0f},"
            f" {found['weights']:.0f} MB at {found['memory']:.0f} GB/s",
            flush=True,
        )
        if given.output:
            fresh = not Path(given.output).exists()
            with open(given.output, "a", newline="", encoding="utf-8") as file:
                writer = csv.DictWriter(file, ["preset", *found])
                if fresh:
                    writer.writeheader()
                writer.writerow({"preset": name, **{key: round(value, 4) for key, value in found.items()}})
        if given.parts:
            print(parts(detector, source, given.parts), flush=True)


if __name__ == "__main__":
    main()
