"""The nearest vectors of a bank, and a coreset: ours beside FAISS and scikit-learn, in one process, in turn.

    python benchmarks/speed/features/nearest.py --threads 1 2 --rounds 3

Least seconds of the rounds, of processor time and of wall clock, and by how many times each is slower than
ours; and the largest difference of its distances from ours, in standard deviations of the vectors' numbers
(of a coreset: the share of vectors that ours does not keep). FAISS is
measured where it is installed (`pip install faiss-cpu`), and with its index made and filled beforehand, as a
detector would keep it. A library's own search for the nearest is exact here: brute force by matrix products.
"""

from __future__ import annotations

import argparse
import importlib.util
import math
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
import torch
from sklearn.neighbors import NearestNeighbors
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from secondread.estimators.coreset import greedy_coreset
from secondread.estimators.nearest import nearest
from secondread.scoring.bf16_speed import processor_name

Search = Callable[[], np.ndarray[Any, Any]]
SEARCHES = {
    "patchcore, one film": (256, 10_000, 432, 1),
    "patchcore-paper, one film": (784, 10_000, 1024, 1),
    "anomaly-dino, one film": (256, 50_000, 384, 1),
    "k-nn, one film": (1, 10_000, 3000, 5),
    "k-nn, 1,000 films at once": (1000, 10_000, 3000, 5),
}
"""Rows, vectors of the bank, dimensions, neighbours."""
CORESETS = {"16,384 to 1,638": (16_384, 128, 1638), "50,000 to 2,000": (50_000, 128, 2000)}


def vectors(count: int, dimensions: int, seed: int) -> torch.Tensor:
    """As features are: correlated, of falling variance, and not negative for the most part."""
    generator = torch.Generator().manual_seed(seed)
    mixing = torch.randn(64, dimensions, generator=torch.Generator().manual_seed(0))
    x = torch.randn(count, 64, generator=generator) @ mixing / 8
    return torch.relu(x + 0.3 * torch.randn(count, dimensions, generator=generator) + 0.3)


def searches(rows: torch.Tensor, bank: torch.Tensor, k: int) -> Mapping[str, Search]:
    tree = NearestNeighbors(n_neighbors=k, algorithm="brute").fit(bank.numpy())
    found: dict[str, Search] = {
        "ours": lambda: nearest(rows, bank, k)[0].numpy(),
        "scikit-learn": lambda: tree.kneighbors(rows.numpy())[0],
    }
    if importlib.util.find_spec("faiss"):
        import faiss  # type: ignore[import-not-found]

        index = faiss.IndexFlatL2(bank.shape[1])
        index.add(bank.numpy())
        found["FAISS"] = lambda: np.sqrt(index.search(rows.numpy(), k)[0].clip(0))
    return found


def farthest_first(points: torch.Tensor, count: int) -> list[int]:
    """One vector after the other, each compared with all: the loop that PatchCore's other implementations
    have. No library among these has a coreset of its own."""
    half = points.square().sum(dim=1) / 2
    chosen = [int((points - points.mean(dim=0)).square().sum(dim=1).argmax())]
    distance = torch.full_like(half, torch.inf)
    while len(chosen) < count:
        last = chosen[-1]
        distance = torch.minimum(distance, torch.addmv(half + half[last], points, points[last], alpha=-1))
        chosen.append(int(distance.argmax()))
    return chosen


def measured(contenders: Mapping[str, Callable[[], Any]], rounds: int) -> dict[str, tuple[float, float]]:
    least = dict.fromkeys(contenders, (math.inf, math.inf))
    for number in range(rounds + 1):
        for name, work in contenders.items():
            processor, wall = time.process_time(), time.perf_counter()
            work()
            spent = time.process_time() - processor, time.perf_counter() - wall
            if number:  # the first call makes what the library keeps
                least[name] = min(least[name][0], spent[0]), min(least[name][1], spent[1])
    return least


def told(
    title: str, threads: int, least: Mapping[str, tuple[float, float]], apart: Mapping[str, float]
) -> None:
    ours = least["ours"]
    for name, (processor, wall) in least.items():
        ratio = f"{processor / ours[0]:.2f} | {wall / ours[1]:.2f}"
        print(
            f"| {title} | {threads} | {name} | {1e3 * processor:.1f} | {1e3 * wall:.1f} | {ratio} | "
            f"{apart[name]:.1e} |",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    print(f"{processor_name()}, torch {torch.__version__}\n")
    print(
        "| what | threads | by | CPU ms | wall ms | CPU, of ours | wall, of ours | apart |\n|" + " --- |" * 8
    )
    for threads in given.threads:
        torch.set_num_threads(threads)
        if importlib.util.find_spec("faiss"):
            import faiss

            faiss.omp_set_num_threads(threads)
        with threadpool_limits(threads), torch.inference_mode():
            for title, (count, most, dimensions, k) in SEARCHES.items():
                contenders = searches(vectors(count, dimensions, 2), vectors(most, dimensions, 1), k)
                ours = contenders["ours"]()
                apart = {
                    name: float(abs(work() - ours).max() / vectors(most, dimensions, 1).std())
                    for name, work in contenders.items()
                }
                told(title, threads, measured(contenders, given.rounds), apart)
            for title, (count, dimensions, kept) in CORESETS.items():
                points = vectors(count, dimensions, 1)
                ours_keeps = set(greedy_coreset(points, kept)[0].tolist())
                others = 1 - len(ours_keeps & set(farthest_first(points, kept))) / kept
                work: dict[str, Callable[[], Any]] = {
                    "ours": partial(greedy_coreset, points, kept),
                    "one by one": partial(farthest_first, points, kept),
                }
                least = measured(work, min(given.rounds, 2))
                told(f"coreset, {title}", threads, least, {"ours": 0.0, "one by one": others})


if __name__ == "__main__":
    main()
