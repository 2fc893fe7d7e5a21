"""Images a second into which each kind of anomaly is drawn, by size.

    OMP_NUM_THREADS=1 python benchmarks/speed/drawing.py [KIND …] [--seconds S]

Every image is changed, in batches of 16 of 64×64, 8 of 256×256 and 4 of 48×48×48: smooth noise in [0, 1],
with the settings of each kind as they come. Seconds are the processor's, of one thread, in the fastest of the
batches that S seconds of the clock hold, so that what else the machine does counts little; the first batch
does not count.
"""

from __future__ import annotations

import argparse
import time

import torch
from torch.nn import functional

from secondread.anomalies import ANOMALIES, find
from secondread.anomalies.anomaly import MakeAnomalies
from secondread.networks.by_rank import INTERPOLATION
from secondread.wording.sizes import times

BATCHES = ((16, (64, 64)), (8, (256, 256)), (4, (48, 48, 48)))


def smooth(count: int, size: tuple[int, ...]) -> torch.Tensor:
    coarse = torch.rand(count, 1, *(n // 8 for n in size), generator=torch.Generator().manual_seed(0))
    return functional.interpolate(coarse, size=size, mode=INTERPOLATION[len(size)])


def rate(make: MakeAnomalies, images: torch.Tensor, seconds: float) -> float:
    generator = torch.Generator().manual_seed(0)
    make(images, generator)
    fastest, end = float("inf"), time.perf_counter() + seconds
    while time.perf_counter() < end or fastest == float("inf"):
        began = time.process_time()
        make(images, generator)
        fastest = min(fastest, time.process_time() - began)
    return len(images) / fastest


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("kinds", nargs="*", help="all, where none is given")
    parser.add_argument("--seconds", type=float, default=2.0)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    print("| kind |" + "".join(f" {times(size)} |" for _, size in BATCHES))
    print("|---|" + "---|" * len(BATCHES))
    for name in arguments.kinds or sorted(ANOMALIES):
        kind = find(name)
        make = kind(kind.Settings(share=1.0))
        found = (rate(make, smooth(count, size), arguments.seconds) for count, size in BATCHES)
        print(f"| `{name}` |" + "".join(f" {number:,.0f} |" for number in found), flush=True)


if __name__ == "__main__":
    main()
