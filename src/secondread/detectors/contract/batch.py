"""What a detector is given: images of one size, and what goes with them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from secondread.anomalies.anomaly import Anomalies


@dataclass(frozen=True)
class Batch:
    """Preprocessed images of one size.

    images    float32 `[N, C, *spatial]`
    valid     bool `[N, 1, *spatial]`, False where preprocessing padded; None = valid everywhere
    features  what the stage's `frozen` function returned for these images, if the stage has one;
              each tensor `[N, ...]`
    others    the same images under other random changes, one batch for each view beyond the first, in a
              training batch of a stage that asks for several views and whose recipe augments
    target    bool `[N, 1, *spatial]`, True where an image's mask marks something; in training batches of a
              detector that `learns_from_masks`, and None where no image of the batch has a mask
    has_target  bool `[N]`, which images have a mask; the target of the others is False everywhere and says
              nothing. None where `target` is
    digests   one per image, hexadecimal, of its file's bytes; empty where whoever made
              the batch does not say
    patients  one per image, the same for images of one patient, in training batches alone; else empty. For
              comparing: what a detector keeps must not tell them
    drawn     the same images with synthetic anomalies, or several forms of each, in the batches of steps and
              of validation of a stage that draws some (`Stage.draw`)

    >>> import secondread, torch
    >>> len(secondread.Batch(torch.zeros(3, 1, 8, 8)))
    3
    """

    images: Tensor
    valid: Tensor | None = None
    features: tuple[Tensor, ...] | None = None
    others: tuple[Batch, ...] = ()
    target: Tensor | None = None
    has_target: Tensor | None = None
    digests: tuple[str, ...] = ()
    patients: tuple[str, ...] = ()
    drawn: Anomalies | None = None

    def __len__(self) -> int:
        return len(self.images)

    def to(self, device: torch.device | str) -> Batch:
        return self.each(lambda tensor: tensor.to(device))

    def each(self, change: Callable[[Tensor], Tensor]) -> Batch:
        """The batch with `change` of each of its tensors, those of `others` and `drawn` among them."""
        return Batch(
            change(self.images),
            None if self.valid is None else change(self.valid),
            None if self.features is None else tuple(change(tensor) for tensor in self.features),
            tuple(other.each(change) for other in self.others),
            None if self.target is None else change(self.target),
            None if self.has_target is None else change(self.has_target),
            self.digests,
            self.patients,
            None if self.drawn is None else self.drawn.each(change),
        )

    @staticmethod
    def joined(batches: Iterable[Batch]) -> Batch:
        """The images of several batches in one, with a mask where one of them has a mask; one batch alone as
        it is."""
        every = list(batches)
        if len(every) == 1:
            return every[0]
        images = torch.cat([batch.images for batch in every])
        if all(batch.valid is None for batch in every):
            return Batch(images)
        valid = [
            torch.ones_like(batch.images[:, :1], dtype=torch.bool) if batch.valid is None else batch.valid
            for batch in every
        ]
        return Batch(images, torch.cat(valid))


Batches = Mapping[str, Batch]
"""One training batch: a Batch for each cohort that the stage is on and that has images in it."""
