"""Whether an exported bundle decides as its bundle does, along the whole way from a file to flag and map."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from secondread.bundles.bundle import Bundle
from secondread.calibration.conformal import spread
from secondread.cohorts.manifest import Manifest
from secondread.cohorts.row import Row
from secondread.errors import DataError, UserError
from secondread.exporting.exported import Exported
from secondread.images.image import ImageError
from secondread.images.workers.cores import available_cores
from secondread.preprocessing.prepare import prepare_many
from secondread.preprocessing.prepared import stack
from secondread.wording.lists import first_lines
from secondread.wording.numbers import count, significant


@dataclass
class WholePath:
    """How far an exported bundle lies from its bundle on images of a manifest.

    images      that were read by both; `unread` by neither: why, a line for each
    spread      of the scores of the calibration normals
    score, map  the largest difference, in the scores' and the map's unit; `width` of the maps' colour scale
    baselines   the largest difference of each baseline's score, in its own spreads
    p_value     the largest difference
    flags       images of which one says that they are flagged and the other not
    """

    spread: float
    width: float
    images: int = 0
    unread: list[str] = field(default_factory=list)
    score: float = 0.0
    p_value: float = 0.0
    flags: int = 0
    map: float | None = None
    baselines: dict[str, float] = field(default_factory=dict)

    def lines(self) -> Iterator[str]:
        """In words."""
        yield from first_lines("not read", self.unread, 5)
        unread = f", {len(self.unread):,} could not be read" if self.unread else ""
        yield (
            f"checked on {count(self.images, 'normal')}{unread}: scores differ by at most "
            f"{significant(self.score / self.spread)} of their spread over normals, p-values by "
            f"{significant(self.p_value)}, {count(self.flags, 'flag')} differently"
        )
        if self.map is not None:
            yield f"maps differ by at most {significant(self.map / self.width)} of their colour scale"
        for name, value in self.baselines.items():
            yield f"scores of {name} differ by at most {significant(value)} of their spread"


def compare_on(
    bundle: Bundle, exported: Exported, manifest: Manifest, *, workers: int | None = None
) -> WholePath:
    """Both on the manifest's normals, whatever their split.

    Raises UserError where there is none, DataError where none can be read.
    """
    normals = normals_of(manifest)
    scale = bundle.calibration.map_scale
    found = WholePath(
        spread=spread(bundle.calibration.images.scores) or 1.0,
        width=1.0 if scale is None else max(scale[1] - scale[0], 1e-30),
    )
    stream = prepare_many(
        [manifest.reference(row) for row in normals],
        bundle.preprocessing,
        workers=max(1, available_cores() // 2) if workers is None else workers,
    )
    for prepared in stream:
        if isinstance(prepared, ImageError):
            found.unread.append(str(prepared))
            continue
        pixels, valid = stack([prepared])
        here, there = (one.judge(pixels, valid, [prepared.digest], maps=True) for one in (bundle, exported))
        found.images += 1
        found.score = max(found.score, _apart(here.scores, there.scores))
        found.p_value = max(found.p_value, _apart(here.p_values, there.p_values))
        if here.flags is not None and there.flags is not None:
            found.flags += int((here.flags != there.flags).sum())
        if here.maps is not None and there.maps is not None:
            found.map = max(found.map or 0.0, _apart(here.maps, there.maps))
        for name, values in here.baselines.items():
            own = spread(bundle.companions.calibrations[name].images.scores) or 1.0
            apart = _apart(values, there.baselines[name]) / own
            found.baselines[name] = max(found.baselines.get(name, 0.0), apart)
    if not found.images:
        raise DataError(
            f"{manifest.source}: none of {count(len(normals), 'normal')} can be read to check with; first: "
            f"{found.unread[0]}"
        )
    return found


def normals_of(manifest: Manifest) -> list[Row]:
    """The rows that are compared on. UserError where there is none."""
    normals = [row for row in manifest.rows if row.label == "normal"]
    if not normals:
        raise UserError(
            f"{manifest.source}: no row has label normal to check with; give a manifest of normal images, as "
            "`secondread index` writes it of a folder `normal`"
        )
    return normals


def _apart(one: np.ndarray, other: np.ndarray) -> float:
    """The largest difference; nan and nan are alike, nan and a number infinitely apart."""
    if (np.isnan(one) != np.isnan(other)).any():
        return float("inf")
    return float(np.nanmax(np.abs(one - other), initial=0.0))
