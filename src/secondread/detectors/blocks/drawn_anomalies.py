"""Anomalies that are drawn in normals, and how well maps show them: a measure that needs no label."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from secondread.anomalies.anomaly import Anomalies, MakeAnomalies
from secondread.detectors.blocks.valid_positions import foreground_of
from secondread.detectors.contract import Batch, Batches, Draw
from secondread.metrics.mean_interval import lower_bound
from secondread.metrics.roc import auroc

DRAWS = 4
"""Anomalies drawn in each image, one at a time."""
SHOWN = 0.6
"""The lower 95 % bound of the pixel AUROC for drawn anomalies from which a map shows them."""
NOT_MEASURED = -1.0
"""In buffers of such figures, before a fit and where there is nothing to measure."""


@dataclass(frozen=True)
class DrawInNormals:
    """A stage's `draw`: anomalies in the cohort `normal`, within the `foreground` (see `foreground_of`).

    A held-out batch of one image stays as it is where the kind takes from others. `donors` names the cohort
    that the kind takes something from, where a training batch has images of it; held-out ones have none.
    """

    make: MakeAnomalies
    foreground: float | None = None
    donors: str | None = None

    def __call__(self, batches: Batches, generator: torch.Generator) -> dict[str, Anomalies]:
        batch = batches["normal"]
        images = batch.images.float()
        if self.make.from_others and len(batch) == 1 and "validation" in batches:
            nothing = torch.zeros_like(images[:, :1])
            return {"normal": Anomalies(images, nothing.bool(), nothing)}
        donors = None if "validation" in batches else batches.get(self.donors or "")
        made = self.make(
            images,
            generator,
            valid=foreground_of(batch.images, batch.valid, self.foreground),
            donors=None if donors is None else donors.images.float(),
            donors_valid=None if donors is None else donors.valid,
        )
        return {"normal": made}


def drawn_in(draw: Draw, batches: Batches, generator: torch.Generator, *, training: bool) -> Anomalies:
    """What the loop has drawn in the normals of a batch, or where it did not, what is drawn here."""
    batch = batches["normal"]
    if batch.drawn is not None:
        return batch.drawn
    held_out = {} if training else {"validation": batch}
    return draw({**batches, **held_out}, generator)["normal"]


def mean_and_bound(values: Sequence[float]) -> tuple[float, float]:
    """The mean of a figure over images and its lower 95 % bound, at least 0; `NOT_MEASURED` and 0 of none."""
    mean = sum(values) / len(values) if values else NOT_MEASURED
    return mean, max(lower_bound(values), 0.0)


@torch.no_grad()
def pixel_areas(
    held_out: Iterator[Batch],
    draw: MakeAnomalies,
    maps_of: Callable[[Tensor], Mapping[str, Tensor]],
    generator: torch.Generator,
) -> dict[str, list[float]]:
    """For each map, one number per image: the AUROC of what is drawn over the image's valid pixels, mean over
    draws. 0.5 where a map is not finite.

    Images that nothing could be drawn in, such as black ones, and batches of one image are left out.
    """
    areas: dict[str, list[float]] = {}
    for batch in held_out:
        if len(batch) < 2:
            continue
        images = batch.images.float()
        found = [_areas(batch, images, draw, maps_of, generator) for _ in range(DRAWS)]
        for image in zip(*found, strict=True):
            several = [one for one in image if one]
            for name in several[0] if several else ():
                areas.setdefault(name, []).append(sum(one[name] for one in several) / len(several))
    return areas


def _areas(
    batch: Batch,
    images: Tensor,
    draw: MakeAnomalies,
    maps_of: Callable[[Tensor], Mapping[str, Tensor]],
    generator: torch.Generator,
) -> list[dict[str, float]]:
    """Of each image of a batch, by map; empty where nothing was drawn, or all of it was."""
    made = draw(images, generator, valid=batch.valid)
    maps = {name: values[:, 0].cpu() for name, values in maps_of(made.images).items()}
    target = (made.target > 0)[:, 0].cpu()
    inside = torch.ones_like(target) if batch.valid is None else batch.valid[:, 0].cpu()
    differs = (made.images != images).flatten(1).any(dim=1).tolist()
    found: list[dict[str, float]] = []
    for number, where in enumerate(inside):
        label = target[number][where].numpy()
        if not differs[number] or label.all() or not label.any():
            found.append({})
            continue
        values = {name: of_map[number][where] for name, of_map in maps.items()}
        found.append(
            {name: auroc(label, v.numpy()) if bool(v.isfinite().all()) else 0.5 for name, v in values.items()}
        )
    return found
