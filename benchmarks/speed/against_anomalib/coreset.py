"""The greedy coreset of `patchcore`: this package's beside anomalib 2.7's, on the same drawn vectors.

    python benchmarks/speed/against_anomalib/coreset.py --environment FOLDER --vectors 20000 --keep 2000

Both choose the farthest first in a random projection: of 128 dimensions here, of as many as its own rule says
there. What is compared is processor time on one thread, in turns, without the start of a process, and
how far the farthest vector is from the nearest that was kept, in all dimensions.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from environment import NoEnvironment, python_of

from secondread.estimators.coreset import greedy_coreset
from secondread.scoring.bf16_speed import processor_name

PROJECTION = 128
THEIRS = """
import json, sys, time
import numpy as np, torch
from anomalib.models.components.sampling.k_center_greedy import KCenterGreedy
torch.set_num_threads(1)
torch.manual_seed(0)
points = torch.from_numpy(np.load(sys.argv[1]))
begun = time.process_time()
chosen = KCenterGreedy(points, float(sys.argv[2]) / len(points)).select_coreset_idxs()
print(json.dumps({"seconds": time.process_time() - begun, "chosen": chosen}))
"""


def drawn(count: int, dimensions: int) -> torch.Tensor:
    """Vectors about as many centres as there are cells in a map, as features of films lie."""
    generator = torch.Generator().manual_seed(0)
    centres = 2 * torch.randn(256, dimensions, generator=generator)
    which = torch.randint(256, (count,), generator=generator)
    return centres[which] + torch.randn(count, dimensions, generator=generator)


def ours(points: torch.Tensor, keep: int) -> tuple[float, torch.Tensor]:
    torch.manual_seed(0)
    begun = time.process_time()
    projection = torch.randn(points.shape[1], PROJECTION) / math.sqrt(PROJECTION)
    chosen, _ = greedy_coreset(points @ projection, keep)
    return time.process_time() - begun, chosen


def theirs(python: Path, points: torch.Tensor, keep: int) -> tuple[float, torch.Tensor]:
    with tempfile.NamedTemporaryFile(suffix=".npy") as file:
        np.save(file, points.numpy())
        file.flush()
        done = subprocess.run(
            [str(python), "-c", THEIRS, file.name, str(keep)], capture_output=True, text=True, check=True
        )
    told = json.loads(done.stdout.splitlines()[-1])
    return told["seconds"], torch.tensor(told["chosen"])


def radius(points: torch.Tensor, chosen: torch.Tensor) -> float:
    kept = points[chosen]
    return max(float(torch.cdist(part, kept).min(dim=1).values.max()) for part in points.split(2048))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--environment", type=Path, required=True)
    parser.add_argument("--vectors", type=int, default=20000)
    parser.add_argument("--dimensions", type=int, default=384)
    parser.add_argument("--keep", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=2)
    given = parser.parse_args()
    try:
        python = python_of(given.environment)
    except NoEnvironment as error:
        sys.exit(f"nothing is compared: {error}")
    torch.set_num_threads(1)
    points = drawn(given.vectors, given.dimensions)
    found: dict[str, list[tuple[float, torch.Tensor]]] = {"ours": [], "anomalib": []}
    for _ in range(given.rounds):
        found["ours"].append(ours(points, given.keep))
        found["anomalib"].append(theirs(python, points, given.keep))
    print(f"{processor_name()}: {given.vectors} vectors of {given.dimensions}, {given.keep} kept")
    for name, runs in found.items():
        seconds, chosen = min(runs, key=lambda run: run[0])
        print(f"{name:9s} {seconds:7.1f} CPU s   farthest from the kept {radius(points, chosen):.2f}")


if __name__ == "__main__":
    main()
