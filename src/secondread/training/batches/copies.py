"""Randomly changed copies of each image, few enough that a frozen network's features of all can be kept.

An image has `copies + 1` forms: form 0 is the image itself, the others are changed copies. Each copy draws
from the seed, its image and its number, so it is the same in every epoch, batch and process.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from secondread.preprocessing.target import Targets
from secondread.scoring.image_source import ImageSource
from secondread.training.batches import augment
from secondread.training.planning.batch_plan import Indices
from secondread.training.seeds import derive_seed


@dataclass(frozen=True)
class ChangedCopies:
    """An image source of every form of every image: form f of image i is row `i * (copies + 1) + f`.

    kinds     of change (`training.augment`); seed: of this cohort, in this stage
    rotation  the largest turn, in degrees
    """

    source: ImageSource
    kinds: Sequence[str]
    copies: int
    seed: int
    rotation: float = augment.ROTATION_DEGREES

    @property
    def forms(self) -> int:
        return self.copies + 1

    @property
    def digests(self) -> Sequence[str]:
        drawn = f"{sorted(set(self.kinds))} {self.rotation} {self.seed}"
        found = []
        for digest in self.source.digests:
            found.append(digest)
            for copy in range(1, self.forms):
                text = f"{digest} {drawn} {copy}"
                found.append(hashlib.blake2b(text.encode(), digest_size=16).hexdigest())
        return found

    @property
    def patients(self) -> Sequence[str]:
        return [patient for patient in self.source.patients for _ in range(self.forms)]

    def __len__(self) -> int:
        return len(self.source) * self.forms

    def batch(self, indices: Sequence[int]) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_] | None]:
        rows = self._rows(indices)
        images, valid = self.source.batch([image for image, _ in rows])
        changed = [at for at, (_, form) in enumerate(rows) if form]
        if not changed:
            return images, valid
        images, valid = images.copy(), None if valid is None else valid.copy()
        draws = self._draws([rows[at] for at in changed], images.ndim - 2)
        moved, still_valid = augment.apply(
            torch.from_numpy(images[changed]),
            None if valid is None else torch.from_numpy(valid[changed]),
            draws,
        )
        images[changed] = moved.numpy()
        if valid is not None and still_valid is not None:
            valid[changed] = still_valid.numpy()
        return images, valid

    @property
    def target_digests(self) -> Sequence[str]:
        return [digest for digest in self.source.target_digests for _ in range(self.forms)]

    def targets(self, indices: Sequence[int]) -> Targets | None:
        """The images' masks, moved as the forms are."""
        rows = self._rows(indices)
        found = self.source.targets([image for image, _ in rows])
        changed = [at for at, (_, form) in enumerate(rows) if form]
        if found is None or not changed:
            return found
        marked = found[0].copy()
        draws = self._draws([rows[at] for at in changed], marked.ndim - 2)
        marked[changed] = augment.apply_to_mask(torch.from_numpy(marked[changed]), draws).numpy()
        return marked, found[1]

    def images(self, indices: Indices) -> Indices:
        """The images of which these rows are forms."""
        return np.asarray(indices, dtype=np.intp) // self.forms

    def _rows(self, indices: Sequence[int]) -> list[tuple[int, int]]:
        """Image and form."""
        return [divmod(int(row), self.forms) for row in indices]

    def _draws(self, rows: Sequence[tuple[int, int]], rank: int) -> list[augment.Draw]:
        return [augment.draw(self.kinds, rank, derive_seed(self.seed, *row), self.rotation) for row in rows]

    def drawn(self, images: Indices, epoch: int, view: int) -> Indices:
        """The rows of the forms in which these images are seen in this epoch, each form equally likely.
        Views of an image are different forms, of which there are `forms`."""
        forms = [
            np.random.default_rng(derive_seed(self.seed, "form", epoch, int(image))).permutation(self.forms)
            for image in images
        ]
        return self.unchanged(images) + np.array([order[view] for order in forms], dtype=np.intp)

    def unchanged(self, images: Indices) -> Indices:
        """The rows of these images as they are."""
        return np.asarray(images, dtype=np.intp) * self.forms
