"""Which images form which batch: a plan from numbers alone, the same on every process and resume.

A stage takes its images from one or several cohorts, each with its share of the batch. An epoch is one
pass over the cohort that needs most batches; its shuffled images are cut into batches of (nearly) equal
size, so that each is seen once and no batch is a remainder of one image. The others are dealt from a
shuffled deck that is shuffled anew whenever it is used up. A stage that gives no shares (None) takes every
image of its cohorts once an epoch, each cohort spread evenly over the batches.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from secondread.errors import UserError
from secondread.training.seeds import derive_seed

Indices = npt.NDArray[np.intp]
BatchIndices = Mapping[str, Indices]
"""For each cohort, the images of one batch."""


def counts_per_batch(shares: Mapping[str, float], batch_size: int) -> dict[str, int]:
    """How many images of a batch come from each cohort: shares by largest remainder, at least one each."""
    exact = {cohort: share * batch_size for cohort, share in shares.items()}
    counts = {cohort: max(1, math.floor(value + 1e-9)) for cohort, value in exact.items()}
    by_remainder = sorted(exact, key=lambda cohort: counts[cohort] - exact[cohort])
    for cohort in by_remainder[: max(0, batch_size - sum(counts.values()))]:
        counts[cohort] += 1
    return counts


@dataclass(frozen=True)
class BatchPlan:
    """sizes: images in each cohort of the stage. shares: cohort -> share of a batch, or None for each."""

    sizes: Mapping[str, int]
    shares: Mapping[str, float | None]
    batch_size: int
    seed: int
    stage: str

    def __post_init__(self) -> None:
        for cohort, size in self.sizes.items():
            if size == 0:
                raise UserError(
                    f"stage {self.stage!r} trains on the cohort {cohort!r}, and it holds no image; "
                    "check the manifest's labels and splits"
                )
        if not self.as_they_are and None in self.shares.values():
            raise ValueError(f"stage {self.stage!r} gives shares to some of its cohorts and None to others")

    @property
    def as_they_are(self) -> bool:
        """Whether every image of every cohort comes once an epoch."""
        return all(share is None for share in self.shares.values())

    @property
    def counts(self) -> dict[str, int]:
        total = sum(self.sizes[cohort] for cohort in self.shares)
        shares = {
            cohort: self.sizes[cohort] / total if share is None else share
            for cohort, share in self.shares.items()
        }
        return counts_per_batch(shares, self.batch_size)

    @property
    def batches_per_epoch(self) -> int:
        if self.as_they_are:
            return math.ceil(sum(self.sizes[cohort] for cohort in self.shares) / self.batch_size)
        return max(math.ceil(self.sizes[cohort] / count) for cohort, count in self.counts.items())

    @property
    def leading(self) -> str:
        """The cohort that an epoch passes over once."""
        return max(self.counts, key=lambda cohort: self.sizes[cohort] / self.counts[cohort])

    def epoch(self, epoch: int, at_least: int = 0) -> list[dict[str, Indices]]:
        """The epoch's batches, shuffled, and further decks, each shuffled anew, until there are `at_least` so
        many. A batch has no entry for a cohort without an image in it."""
        batches = self._deck(epoch)
        while len(batches) < at_least:
            batches += self._deck(epoch, len(batches))
        return batches

    def _deck(self, epoch: int, *further: int) -> list[dict[str, Indices]]:
        total = self.batches_per_epoch
        batches: list[dict[str, Indices]] = [{} for _ in range(total)]
        for cohort, count in self.counts.items():
            rng = np.random.default_rng(derive_seed(self.seed, self.stage, "order", cohort, epoch, *further))
            size = self.sizes[cohort]
            if self.as_they_are or cohort == self.leading:
                dealt = np.array_split(rng.permutation(size), total)
            else:
                decks = math.ceil(total * count / size)
                deck = np.concatenate([rng.permutation(size) for _ in range(decks)])
                dealt = np.array_split(deck[: total * count], total)
            for batch, indices in zip(batches, dealt, strict=True):
                if len(indices):
                    batch[cohort] = indices
        return batches

    def in_order(self) -> list[dict[str, Indices]]:
        """One unshuffled pass over every cohort of the stage; a batch holds what is left of each."""
        chunks = {
            cohort: [
                np.arange(at, min(at + count, self.sizes[cohort]))
                for at in range(0, self.sizes[cohort], count)
            ]
            for cohort, count in self.counts.items()
        }
        length = max(len(parts) for parts in chunks.values())
        return [
            {cohort: parts[number] for cohort, parts in chunks.items() if number < len(parts)}
            for number in range(length)
        ]


def shard(batch: BatchIndices, rank: int, processes: int) -> dict[str, Indices]:
    """This process's part of a batch."""
    if processes == 1:
        return dict(batch)
    parts = {cohort: np.array_split(indices, processes)[rank] for cohort, indices in batch.items()}
    if any(len(indices) < processes for indices in batch.values()):
        sizes = {cohort: len(indices) for cohort, indices in batch.items()}
        raise UserError(
            f"a batch of {sizes} images cannot be shared by {processes} processes; raise batch_size"
        )
    return parts
