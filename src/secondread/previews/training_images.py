"""The images that a bundle learned from, as thumbnails: which of them a fictional image is nearest to.

Without the manifest these are the thumbnails that the bundle holds for its companion pixel 1-NN: normals,
at most 10,000 of them. With it they are all images that the detector learned from, each with its file.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from secondread.bundles.bundle import Bundle
from secondread.cohorts.manifest import Manifest
from secondread.detectors.trivial.pixel_1nn import PixelNearestNeighbour, PixelNearestNeighbourSettings
from secondread.errors import DataError, UserError
from secondread.networks.by_rank import area_resize
from secondread.preprocessing.cache.cache import Cache
from secondread.preprocessing.prepared_set import PreparedSet, prepare_set
from secondread.terminal.counting import counting
from secondread.terminal.say import say

MOST_AMONG = 2000
CHUNK = 256


class TrainingImages:
    """Thumbnails `[m, D]`, float32 on the CPU, with what is known of the image behind each.

    shape    `[C, *side]` of one thumbnail; D is its number of values
    names    paths as the manifest has them, or the number of the bundle's thumbnail
    digests  of the files' contents; empty where only thumbnails are at hand
    source   where they come from, in words
    manifest_digest  of the manifest that they come from, or None

    The distance of two images is `sqrt(mean (a - b)²)` of their thumbnails, in preprocessed values, as
    the companion pixel 1-NN measures it.
    """

    def __init__(
        self,
        thumbnails: Tensor,
        shape: Sequence[int],
        names: Sequence[str],
        source: str,
        *,
        images: PreparedSet | None = None,
        places: Sequence[int] = (),
        manifest_digest: str | None = None,
    ) -> None:
        self.shape = tuple(shape)
        self.names = tuple(names)
        self.source = source
        self.manifest_digest = manifest_digest
        self.centre = thumbnails.mean(dim=0)
        self.centred = thumbnails - self.centre
        self.squares = self.centred.pow(2).sum(dim=1)
        self._images = images
        self._places = tuple(places)

    def __len__(self) -> int:
        return len(self.centred)

    @property
    def in_full(self) -> bool:
        """Whether the images themselves are at hand, not their thumbnails alone."""
        return self._images is not None

    def digest(self, index: int) -> str:
        return "" if self._images is None else self._images.digests[self._places[index]]

    def values(self, index: int) -> NDArray[np.float32]:
        """The image `[C, *size]` in preprocessed values, or its thumbnail where that is all there is."""
        if self._images is not None:
            return self._images[self._places[index]].pixels
        found: NDArray[np.float32] = (self.centred[index] + self.centre).reshape(self.shape).numpy()
        return found

    @property
    def value_range(self) -> tuple[float, float]:
        """The lowest and the highest value of all thumbnails."""
        rows = self.centred + self.centre
        return float(rows.min()), float(rows.max())

    def nearest_to(self, images: Tensor) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Distance `[n]` to the nearest training image, and which that is, for images `[n, C, *size]`."""
        return self._nearest(area_resize(images.float().cpu(), self.shape[1:]).flatten(1) - self.centre)

    @cached_property
    def among(self) -> NDArray[np.float64]:
        """Each training image's distance to the nearest other one; of more than 2,000 images, of as many
        evenly chosen ones to the nearest of all. Empty where there is one image."""
        if len(self) < 2:
            return np.zeros(0)
        chosen = torch.from_numpy(np.unique(np.linspace(0, len(self) - 1, MOST_AMONG).astype(np.int64)))
        distances, _ = self._nearest(self.centred[chosen], itself=chosen)
        return distances

    def _nearest(
        self, rows: Tensor, itself: Tensor | None = None
    ) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Found through a matrix product, then measured exactly; `itself` are rows that do not count."""
        found, distances = [], []
        for start in range(0, len(rows), CHUNK):
            chunk = rows[start : start + CHUNK]
            farness = self.squares - 2 * chunk @ self.centred.T
            if itself is not None:
                farness[torch.arange(len(chunk)), itself[start : start + CHUNK]] = torch.inf
            nearest = farness.argmin(dim=1)
            found.append(nearest)
            distances.append((chunk - self.centred[nearest]).double().pow(2).mean(dim=1).sqrt())
        return torch.cat(distances).numpy(), torch.cat(found).numpy()


def from_bundle(bundle: Bundle) -> TrainingImages:
    """The thumbnails that the bundle holds. Raises UserError where it holds none."""
    kept = bundle.companions.detectors.get("pixel-1nn")
    if not isinstance(kept, PixelNearestNeighbour) or not len(kept.bank):
        raise UserError(f"{bundle.path}: holds no thumbnails of its training images; give --manifest")
    count, seen = len(kept.bank), int(kept.seen)
    source = "the thumbnails of training normals that the bundle holds"
    if seen > count:
        source += f", {count:,} drawn from {seen:,}"
    names = [f"thumbnail {number + 1}" for number in range(count)]
    return TrainingImages(kept.bank.float().cpu(), (kept.channels, *kept.thumbnail), names, source)


def from_manifest(
    bundle: Bundle, manifest: Manifest, *, cache: Cache | None, workers: int, shown: bool
) -> TrainingImages:
    """The images of the fit's manifest that the bundle's detector learned from, known by their content.

    Rows that cannot be among them are not read: those of split `test` and, where it learned from normals
    alone, those that are not normal. Raises UserError where none is left that the bundle learned from.
    """
    if "seen" in bundle.left_out:
        raise UserError(
            f"{bundle.path}: was handed over without the list of what it saw, so its training images cannot "
            "be "
            "found in a manifest"
        )
    name = manifest.source or "the manifest"
    asked = bundle.recipe.cohorts
    if asked.fold is not None:
        manifest = manifest.with_fold(asked.fold)
    cohorts = bundle.detector.needs | bundle.detector.uses
    seen = {cohort: bundle.seen.images.get(cohort, ()) for cohort in cohorts}
    learnt = {digest for digests in seen.values() for digest in digests}
    normals_alone = len(learnt) == len(set(seen.get("normal", ())))
    rows = [
        row
        for row in manifest.where(*asked.where).rows
        if row.split != "test" and (row.label == "normal" or not normals_alone)
    ]
    references = [manifest.reference(row) for row in rows]
    with counting("preparing training images", shown=shown, total=len(rows)) as note:
        images = prepare_set(references, bundle.preprocessing, cache=cache, workers=workers, progress=note)
    if rows and not len(images):
        raise DataError(f"none of {len(rows)} training images can be read; first: {images.errors[0]}")
    at_hand: dict[str, int] = {}
    for place, digest in enumerate(images.digests):
        if digest in learnt:
            at_hand.setdefault(digest, place)
    if not at_hand:
        raise UserError(f"{name}: the bundle learned from none of these images; give the manifest of its fit")
    if missing := len(learnt) - len(at_hand):
        say(
            f"note: {missing} of {len(learnt)} images that the bundle learned from are not there", shown=shown
        )
    detector = bundle.detector
    settings = PixelNearestNeighbourSettings()
    rule = PixelNearestNeighbour(settings, detector.channels, detector.size, pretrained=False)
    places = sorted(at_hand.values())
    thumbnails = [
        area_resize(torch.from_numpy(images.batch(places[start : start + CHUNK])[0]), rule.thumbnail)
        for start in range(0, len(places), CHUNK)
    ]
    return TrainingImages(
        torch.cat(thumbnails).flatten(1),
        (detector.channels, *rule.thumbnail),
        [rows[images.positions[place]].path for place in places],
        f"the {len(places):,} images of {name.rpartition('/')[2]} that the detector learned from",
        images=images,
        places=places,
        manifest_digest=manifest.digest,
    )
