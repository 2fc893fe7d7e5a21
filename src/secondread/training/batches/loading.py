"""From indices to tensors on the device: images, valid masks, targets, frozen features, augmentation."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import TypeVar

import numpy as np
import torch

from secondread.detectors.contract import Batch
from secondread.scoring.device import on_device
from secondread.scoring.image_source import ImageSource
from secondread.training.batches import augment
from secondread.training.batches.augment import ROTATION_DEGREES
from secondread.training.batches.copies import ChangedCopies
from secondread.training.batches.frozen_features import FrozenFeatures
from secondread.training.batches.patches import Patches
from secondread.training.planning.batch_plan import BatchIndices, Indices
from secondread.training.seeds import derive_seed

Item = TypeVar("Item")
Loaded = TypeVar("Loaded")


@dataclass(frozen=True)
class Loader:
    """sources, features: by cohort. augment: the stage's kinds; seed: where augmentation draws from.
    views: of each image, where it is augmented. rotation: the largest turn, in degrees. masks: whether the
    batches have targets."""

    sources: Mapping[str, ImageSource]
    device: torch.device
    features: Mapping[str, FrozenFeatures] = field(default_factory=dict)
    augment: Sequence[str] = ()
    seed: int = 0
    views: int = 1
    rotation: float = ROTATION_DEGREES
    masks: bool = False

    def cohort(self, name: str, indices: Indices, epoch: int | None = None) -> Batch:
        """The cohort's images at these indices; augmented where an epoch is given, and then with
        `others` where there are several views."""
        batch = self._view(name, indices, epoch, 0)
        if self.augment and epoch is not None:
            further = (self._view(name, indices, epoch, view) for view in range(1, self.views))
            return replace(batch, others=tuple(further))
        return batch

    def _view(self, name: str, indices: Indices, epoch: int | None, view: int) -> Batch:
        source = self.sources[name]
        if isinstance(source, Patches) and epoch is not None and name not in self.features:
            source = source.in_epoch(epoch)
        copies = source if isinstance(source, ChangedCopies) else None
        if copies is not None:
            indices = copies.unchanged(indices) if epoch is None else copies.drawn(indices, epoch, view)
        rows, valid_rows = source.batch(indices.tolist())
        images = torch.from_numpy(np.ascontiguousarray(rows, dtype=np.float32))
        valid = None if valid_rows is None else torch.from_numpy(np.ascontiguousarray(valid_rows))
        marked = source.targets(indices.tolist()) if self.masks else None
        target = None if marked is None else torch.from_numpy(marked[0])
        if self.augment and epoch is not None and copies is None:
            rank = images.ndim - 2
            other = (view,) if view else ()
            draws = [
                augment.draw(
                    self.augment, rank, derive_seed(self.seed, name, epoch, int(index), *other), self.rotation
                )
                for index in indices
            ]
            images, valid = augment.apply(images, valid, draws)
            target = None if target is None else augment.apply_to_mask(target, draws)
        shown = indices if copies is None else copies.images(indices)
        whole = self.sources[name] if copies is None else copies.source
        digests, patients = whole.digests, whole.patients
        kept = self.features[name].rows(indices) if name in self.features else None
        batch = Batch(
            images,
            valid,
            kept,
            target=target,
            has_target=None if marked is None else torch.from_numpy(marked[1]),
            digests=tuple(digests[row] for row in shown),
            patients=tuple(patients[row] for row in shown),
        )
        return on_device(batch, self.device)

    def batches(
        self, planned: Iterable[BatchIndices], epoch: int | None = None
    ) -> Iterator[dict[str, Batch]]:
        """The planned batches in order; the next is read while the last is used."""

        return one_ahead(lambda indices: self.batch(indices, epoch), planned)

    def batch(self, indices: BatchIndices, epoch: int | None = None) -> dict[str, Batch]:
        return {name: self.cohort(name, rows, epoch) for name, rows in indices.items()}


def one_ahead(load: Callable[[Item], Loaded], items: Iterable[Item]) -> Iterator[Loaded]:
    """`load(item)` in order; the next is loaded, in a thread, while the last is used."""
    with ThreadPoolExecutor(1) as pool:
        waiting = None
        for item in items:
            upcoming = pool.submit(load, item)
            if waiting is not None:
                yield waiting.result()
            waiting = upcoming
        if waiting is not None:
            yield waiting.result()
