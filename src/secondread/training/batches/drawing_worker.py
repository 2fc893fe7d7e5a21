"""How a batch travels to a process that draws, and back. Such a process imports this and little else."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from secondread.anomalies.anomaly import Anomalies
from secondread.detectors.contract import Batch, Batches, Draw
from secondread.errors import UserError
from secondread.training.seeds import seeded_generator

Seed = tuple[int | str, ...]
Arrays = tuple[NDArray[Any], NDArray[np.bool_] | None]
Item = tuple[str, Seed, dict[str, Arrays]]
"""What a worker gets: what errors call the batch, where its randomness comes from, images and valid masks."""


@dataclass(frozen=True)
class Drawn:
    """`Anomalies` of one cohort, as they travel."""

    images: NDArray[Any]
    mask: NDArray[np.bool_]
    target: NDArray[np.float32]
    classes: NDArray[np.int64] | None

    @classmethod
    def of(cls, made: Anomalies) -> Drawn:
        classes = None if made.classes is None else made.classes.numpy()
        return cls(made.images.numpy(), made.mask.numpy(), made.target.numpy(), classes)

    def anomalies(self) -> Anomalies:
        classes = None if self.classes is None else torch.from_numpy(self.classes)
        images, mask, target = (torch.from_numpy(a) for a in (self.images, self.mask, self.target))
        return Anomalies(images, mask, target, classes)


@dataclass(frozen=True)
class DrawInWorker:
    """What a worker runs: the drawn batch, or the text of a `UserError`."""

    draw: Draw

    def __call__(self, item: Item) -> dict[str, Drawn] | str:
        _, seed, images = item
        try:
            found = drawn(self.draw, images, seed)
        except UserError as error:
            return str(error)
        return {name: Drawn.of(made) for name, made in found.items()}


def drawn(draw: Draw, images: Mapping[str, Arrays], seed: Seed) -> Mapping[str, Anomalies]:
    batches = {
        name: Batch(torch.from_numpy(values), None if valid is None else torch.from_numpy(valid))
        for name, (values, valid) in images.items()
    }
    with torch.no_grad(), one_thread():
        return draw(batches, seeded_generator(*seed))


@contextmanager
def one_thread() -> Iterator[None]:
    """PyTorch works in one thread inside, since sums over several have other last bits."""
    before = torch.get_num_threads()
    if before == 1:
        yield
        return
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def arrays_of(batches: Batches) -> dict[str, Arrays]:
    """Images and valid masks, in the order of C: in another one, sums would have other last bits."""
    kept: dict[int, Arrays] = {}
    for batch in batches.values():
        if id(batch) not in kept:
            valid = None if batch.valid is None else batch.valid.contiguous().numpy()
            kept[id(batch)] = batch.images.contiguous().numpy(), valid
    return {name: kept[id(batch)] for name, batch in batches.items()}
