"""From indices to tensors on the device: images, valid masks, frozen features, augmentation."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
import torch

from secondread.detectors.contract import Batch
from secondread.training import augment
from secondread.training.batches import BatchIndices, Indices
from secondread.training.data import ImageSource
from secondread.training.device import to_device
from secondread.training.features import FrozenFeatures
from secondread.training.seeds import derive_seed


@dataclass(frozen=True)
class Loader:
    """sources, features: by cohort. augment: the stage's kinds; seed: where augmentation draws from."""

    sources: Mapping[str, ImageSource]
    device: torch.device
    features: Mapping[str, FrozenFeatures] = field(default_factory=dict)
    augment: Sequence[str] = ()
    seed: int = 0

    def cohort(self, name: str, indices: Indices, epoch: int | None = None) -> Batch:
        """The cohort's images at these indices; augmented where an epoch is given."""
        rows, valid_rows = self.sources[name].batch(indices.tolist())
        images = torch.from_numpy(np.ascontiguousarray(rows, dtype=np.float32))
        valid = None if valid_rows is None else torch.from_numpy(np.ascontiguousarray(valid_rows))
        if self.augment and epoch is not None:
            rank = images.ndim - 2
            draws = [
                augment.draw(self.augment, rank, derive_seed(self.seed, name, epoch, int(index)))
                for index in indices
            ]
            images, valid = augment.apply(images, valid, draws)
        kept = self.features[name].rows(indices) if name in self.features else None
        return Batch(
            to_device(images, self.device),
            None if valid is None else valid.to(self.device),
            None if kept is None else tuple(tensor.to(self.device) for tensor in kept),
        )

    def batches(
        self, planned: Iterable[BatchIndices], epoch: int | None = None
    ) -> Iterator[dict[str, Batch]]:
        """The planned batches in order; the next is read while the last is used."""

        def load(indices: BatchIndices) -> dict[str, Batch]:
            return {name: self.cohort(name, rows, epoch) for name, rows in indices.items()}

        with ThreadPoolExecutor(1) as pool:
            waiting = None
            for indices in planned:
                upcoming = pool.submit(load, indices)
                if waiting is not None:
                    yield waiting.result()
                waiting = upcoming
            if waiting is not None:
                yield waiting.result()
