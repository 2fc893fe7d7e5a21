"""Forms of the map of two Glows beside maps that need no learning, on images with masks.

    python benchmarks/results/volumes/glow_maps.py BUNDLE MANIFEST [--split test] [--smooth 0 1 2 4] [-o FILE]

Reads a bundle of `glow-posterior` and fits nothing. Of the manifest's split it takes the normals, with empty
masks, and the abnormal images with a mask. Maps are blurred on the prepared grid, by a Gaussian with a
standard deviation in its pixels, and judged on the files' own grids, like `score --maps` and `evaluate` do:

    posterior, gradient, likelihood   `detector.map` of the recipe
    difference                        |x - mean of the normals that the bundle learned from|
    brightness                        x itself

Thresholds of Dice are chosen on these masks (an oracle). A blur chosen here is one, too: choose it on
another set than the one that is reported.
"""

from __future__ import annotations

import argparse
import csv
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from secondread.bundles.bundle import Bundle
from secondread.cohorts.manifest import Manifest
from secondread.cohorts.row import Row, patient_of
from secondread.detectors.contract import Detector
from secondread.detectors.flows.glow_posterior import GlowPosterior
from secondread.images.masks import nearest
from secondread.images.read import read_image
from secondread.metrics.pixels import PixelAccumulator, PixelMetrics
from secondread.networks.gaussian_blur import gaussian_blur
from secondread.preprocessing.cache.cache import Cache
from secondread.preprocessing.prepared import Prepared, stack
from secondread.preprocessing.prepared_set import PreparedSet, prepare_set
from secondread.recipes.build import build_detector
from secondread.scoring.scorer import Scorer

Map = NDArray[np.float32]
BITS = 18
"""Bins of the pixel metrics are 0.2 % wide: there are many accumulators at once."""
PIXELS_PER_BATCH = 1 << 16


def forms(bundle: Bundle) -> dict[str, Detector]:
    """The bundle's models once for each form of the map, without blur."""
    found: dict[str, Detector] = {}
    detector = bundle.detector
    if not isinstance(detector, GlowPosterior):
        raise SystemExit(f"{bundle.path}: holds {bundle.recipe.detector['name']}, not glow-posterior")
    for form in ("posterior", "gradient", "likelihood"):
        if form == "posterior" and detector.second is None:
            continue
        asked: dict[str, Any] = {**detector.settings.model_dump(mode="json"), "map": form, "smooth": 0.0}
        found[form] = build_detector(bundle.recipe.model_copy(update={"detector": asked}), pretrained=False)
        found[form].load_state_dict(detector.state_dict())
    return found


def mean_normal(bundle: Bundle, manifest: Manifest, cache: Cache | None) -> Map:
    """Mean `[C, *size]` of the prepared normals that the bundle learned from, known by their content."""
    learnt = set(bundle.seen.images["normal"])
    rows = [row for row in manifest.rows if row.split == "train" and row.label == "normal"]
    images = prepared(bundle, manifest, rows, cache)
    chosen = [image for image in images if image.digest in learnt]
    if not chosen:
        raise SystemExit(f"{manifest.source}: the bundle learned from none of its normals")
    total = np.zeros_like(chosen[0].pixels, dtype=np.float64)
    for image in chosen:
        total += image.pixels
    return (total / len(chosen)).astype(np.float32)


def prepared(bundle: Bundle, manifest: Manifest, rows: Sequence[Row], cache: Cache | None) -> PreparedSet:
    found = prepare_set([manifest.reference(row) for row in rows], bundle.preprocessing, cache=cache)
    if found.errors:
        raise SystemExit(str(found.errors[0]))
    return found


def raw_maps(detectors: dict[str, Detector], images: Sequence[Prepared], mean: Map) -> dict[str, Map]:
    """The maps `[n, *size]` of each form, on the prepared grid."""
    pixels, valid = stack(images)
    digests = [image.digest for image in images]
    found = {"difference": np.abs(pixels - mean).mean(axis=1), "brightness": pixels.mean(axis=1)}
    for form, detector in detectors.items():
        maps = Scorer(detector).batch(pixels, valid, digests).maps
        assert maps is not None
        found[form] = maps[form]
    return found


def mask_of(manifest: Manifest, row: Row, shape: tuple[int, ...]) -> NDArray[np.bool_] | None:
    """The mask with its axes in the file's order, as maps on the file's grid have them."""
    reference = manifest.mask_reference(row)
    if reference is None:
        return None
    read = read_image(reference)
    mask = read.geometry.to_file_axes(read.pixels.max(axis=0) != 0)
    return nearest(mask.astype(bool), shape)


def judged(
    bundle: Bundle, manifest: Manifest, rows: Sequence[Row], blurs: Sequence[float], cache: Cache | None
) -> Iterator[tuple[str, float, PixelMetrics]]:
    """Form of the map, blur, pixel metrics."""
    detectors, mean = forms(bundle), mean_normal(bundle, manifest, cache)
    images = prepared(bundle, manifest, rows, cache)
    kept: dict[tuple[str, float], PixelAccumulator] = defaultdict(lambda: PixelAccumulator(bits=BITS))
    size = max(1, PIXELS_PER_BATCH // mean[0].size)
    for start in range(0, len(images), size):
        batch = images[start : start + size]
        raw = raw_maps(detectors, batch, mean)
        for form, blur in [(form, blur) for form in raw for blur in blurs]:
            maps = gaussian_blur(torch.from_numpy(raw[form])[:, None], blur)[:, 0].numpy()
            for row, image, map_ in zip(rows[start : start + size], batch, maps, strict=True):
                heat = image.placement.to_file_grid(map_)
                mask = mask_of(manifest, row, heat.shape)
                kept[form, blur].add(heat, mask, patient=patient_of(row))
    for (form, blur), accumulator in kept.items():
        yield form, blur, accumulator.result()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--split", default="test")
    parser.add_argument("--smooth", type=float, nargs="+", default=[0.0, 1.0, 2.0, 4.0])
    parser.add_argument("--cache", type=Path, help="folder of prepared images; in memory where not given")
    parser.add_argument("-o", "--output", type=Path, help="CSV")
    given = parser.parse_args()
    start = time.process_time()
    manifest, bundle = Manifest.read(given.manifest), Bundle.load(given.bundle)
    rows = [
        row
        for row in manifest.rows
        if row.split == given.split and (row.label == "normal" or (row.label == "abnormal" and row.mask))
    ]
    cache = None if given.cache is None else Cache(given.cache)
    table: list[dict[str, str | float]] = []
    print(f"{'map':11} {'blur':>5} {'AUROC':>7} {'AP':>7} {'PRO':>7} {'Dice':>7} {'per patient':>12}")
    for form, blur, found in judged(bundle, manifest, rows, given.smooth, cache):
        figures = {
            "auroc": found.auroc,
            "average_precision": found.average_precision,
            "pro": found.pro,
            "dice_oracle": found.dice_oracle.dice,
            "dice_per_patient_oracle": found.dice_per_patient_oracle.dice,
        }
        table.append({"map": form, "blur": blur, **figures})
        auroc, precision, pro, dice, per_patient = figures.values()
        print(f"{form:11} {blur:5g} {auroc:7.3f} {precision:7.3f} {pro:7.3f} {dice:7.3f} {per_patient:12.3f}")
    print(
        f"{len(rows)} images, {found.patients_with_lesion} patients with {found.lesions} lesions, "
        f"{found.abnormal_pixels / (found.abnormal_pixels + found.normal_pixels):.2%} of pixels abnormal; "
        f"{time.process_time() - start:.0f} CPU s"
    )
    if given.output is not None:
        with open(given.output, "w", newline="") as file:
            writer = csv.DictWriter(file, list(table[0]))
            writer.writeheader()
            writer.writerows(table)


if __name__ == "__main__":
    main()
