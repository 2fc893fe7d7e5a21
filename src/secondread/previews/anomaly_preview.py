"""Training normals before and after synthetic anomalies are put into them, as pictures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from secondread.anomalies.anomaly import AnomalySettings, MakeAnomalies
from secondread.cohorts.cohorts import build_cohorts
from secondread.cohorts.manifest import Manifest
from secondread.detectors.blocks.valid_positions import foreground_of
from secondread.errors import DataError
from secondread.fitting.preparing import fitted_preprocessing
from secondread.preprocessing.cache.cache import Cache
from secondread.preprocessing.prepared_set import prepare_set
from secondread.previews.planes import Planes, bounded, planes
from secondread.readings.maps import COLOURS
from secondread.recipes.build import detector_settings
from secondread.recipes.recipe import Recipe
from secondread.terminal.counting import counting
from secondread.terminal.say import say
from secondread.training.seeds import derive_seed, seeded_generator
from secondread.wording.lists import first_lines
from secondread.wording.numbers import count


@dataclass(frozen=True)
class Pictured:
    """One image before and after, and the target, in the same planes.

    target   in the colours of heat maps, 0 to 1
    changed  share of the image's valid positions that were changed
    highest  of the target
    through  of a volume: the slice, row and column that are shown: where the target is largest, from 0
    """

    path: str
    before: Planes
    after: Planes
    target: Planes
    changed: float
    highest: float
    through: tuple[int, ...]


@dataclass(frozen=True)
class AnomalyPreview:
    """What a run made.

    make      the way of making anomalies, with its settings; every image is changed, whatever its `share`
    scale     prepared values shown as black and as white
    asked     how many images were asked for; fewer are shown where there are fewer normals
    errors    why images could not be read
    """

    make: MakeAnomalies
    recipe: Recipe
    manifest: str
    manifest_digest: str
    asked: int
    images: tuple[Pictured, ...]
    scale: tuple[float, float]
    errors: tuple[str, ...] = ()

    @property
    def volumes(self) -> bool:
        return len(self.recipe.preprocessing.size) == 3


def preview_anomalies(
    recipe: Recipe,
    manifest: Manifest,
    make: MakeAnomalies,
    *,
    n: int,
    foreground: float | None = None,
    cache: Cache,
    workers: int,
    shown: bool,
) -> AnomalyPreview:
    """`n` images of the cohort `normal`, drawn by the recipe's seed, prepared as the recipe says, and each
    changed by `make`, where the sum over channels is above `foreground`. Images take from each other where
    the way of making anomalies wants donors.

    Raises UserError where the manifest gives no normals, DataError where no drawn image can be read.
    """
    cohorts = build_cohorts(manifest, recipe.cohorts, recipe.seed, allow_shared_patients=True)
    preprocessing = fitted_preprocessing(recipe, manifest, cohorts, cache, workers, shown)
    order = np.random.default_rng(derive_seed(recipe.seed, "anomalies")).permutation(len(cohorts.normal))
    rows = [cohorts.normal[place] for place in sorted(order[:n])]
    references = [manifest.reference(row) for row in rows]
    with counting("preparing", shown=shown, total=len(rows)) as note:
        prepared = prepare_set(references, preprocessing, cache=cache, workers=workers, progress=note)
    for line in first_lines("not read", prepared.errors, 5):
        say(line, shown=shown)
    if prepared.errors:
        say(
            f"{len(prepared.errors):,} of {count(len(rows), 'training normal')} that were drawn cannot be "
            "read; `check` lists all",
            shown=shown,
        )
    if not len(prepared):
        raise DataError(f"none of {len(rows)} training normals can be read; first: {prepared.errors[0]}")
    values, valid = prepared.batch(range(len(prepared)))
    always = type(make)(make.settings.model_copy(update={"share": 1.0}))
    made = always(
        torch.from_numpy(values),
        seeded_generator(recipe.seed, "anomalies", make.settings.name),
        valid=foreground_of(
            torch.from_numpy(values), None if valid is None else torch.from_numpy(valid), foreground
        ),
    )
    scale = (0.0, 1.0) if bounded(recipe.preprocessing) else (float(values.min()), float(values.max()))
    images = tuple(
        picture(
            rows[prepared.positions[place]].path,
            values[place],
            made.images[place].numpy(),
            made.mask[place].numpy(),
            made.target[place].numpy(),
            scale,
            None if valid is None else valid[place],
        )
        for place in range(len(prepared))
    )
    return AnomalyPreview(
        make=make,
        recipe=recipe,
        manifest=manifest.source or "manifest",
        manifest_digest=manifest.digest,
        asked=n,
        images=images,
        scale=scale,
        errors=tuple(str(error) for error in prepared.errors),
    )


def drawn_anomalies(recipe: Recipe, *, source: str) -> tuple[dict[str, Any], float | None] | None:
    """Settings of the anomalies that the recipe's detector learns from, and the foreground in which it draws
    them; None where it learns from none."""
    settings = detector_settings(recipe, source=source)
    found = getattr(settings, "anomalies", None)
    if not isinstance(found, AnomalySettings):
        return None
    return found.model_dump(mode="json"), getattr(settings, "foreground", None)


def picture(
    path: str,
    before: NDArray[np.float32],
    after: NDArray[np.float32],
    mask: NDArray[np.bool_],
    target: NDArray[np.float32],
    scale: tuple[float, float],
    valid: NDArray[np.bool_] | None,
) -> Pictured:
    """Images `[C, *size]`; mask, target and valid `[1, *size]`."""
    at = fullest(target[0] > 0 if target.any() else mask[0])
    return Pictured(
        path,
        planes(before, scale, at),
        planes(after, scale, at),
        tuple(heat(plane) for plane in planes(target, (0.0, 1.0), at)),
        changed=int(mask.sum()) / max(1, mask.size if valid is None else int(valid.sum())),
        highest=float(target.max()),
        through=at if len(at) == 3 else (),
    )


def fullest(mask: NDArray[np.bool_]) -> tuple[int, ...]:
    """For each axis the plane with the most positions of a mask; of several, the one in their middle."""
    found = []
    for axis in range(mask.ndim):
        counts = mask.sum(axis=tuple(other for other in range(mask.ndim) if other != axis))
        most = np.flatnonzero(counts == counts.max())
        found.append(int(most[len(most) // 2]))
    return tuple(found)


def heat(plane: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Grey levels `[rows, columns]` in the colours of heat maps: `[rows, columns, 3]`."""
    step = np.rint(plane / 255 * (len(COLOURS) - 1)).astype(np.intp)
    return COLOURS[step].astype(np.uint8)
