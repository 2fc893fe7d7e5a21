"""Scoring from file to reading: what comes once, and how many images a second after that."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from gpu_parts.bench import Bench
from secondread.bundles.bundle import Bundle
from secondread.cohorts.manifest import Manifest
from secondread.cohorts.phantoms.make import make_phantoms
from secondread.fitting.fit import fit
from secondread.readings.score_into import score_into
from secondread.recipes.recipe import Recipe

PRESETS = {
    "padim": ["detector.encoder={name: resnet18, weights: random}", "detector.layers=null"],
    "aeflow": [
        "detector.encoder={name: resnet18, weights: random}",
        "stages.flow.epochs=null",
        "stages.flow.steps=3",
    ],
}
"""Two detectors with nothing to download: one of features, one of a flow."""


def scoring(bench: Bench) -> None:
    """Phantoms are drawn and written as PNG, a bundle is fitted for a few steps (enough for speed, not for
    sense), and what a quarter of the files takes is taken from what all take."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        count = 24 if bench.small else 256
        size = (64, 64) if bench.small else (256, 256)
        begun = time.perf_counter()
        phantoms = make_phantoms(
            place / "films", seed=0, n_normal=60 + count, n_abnormal=4, n_test_normal=count, size=size
        )
        bench.tell("drawing the films", f"{time.perf_counter() - begun:.3g} s", f"{64 + count} of {size}")
        manifest = Manifest.read(phantoms)
        files = [manifest.reference(row) for row in manifest.rows if row.split == "test"][:count]
        for preset, changes in PRESETS.items():
            if bench.left < 0:
                bench.tell(preset, "not measured", "no time was left")
                continue
            recipe = Recipe.load(preset, set=[f"preprocessing.size={list(size)}", *changes])
            begun = time.perf_counter()
            bundle = fit(
                recipe, manifest, place / preset, cache=place / "cache", device=str(bench.device),
                progress=False,
            )  # fmt: skip
            bench.tell(f"{preset}: fit", f"{time.perf_counter() - begun:.3g} s", "60 films, with calibration")
            for maps in (False, True):
                one_way(bench, preset, bundle, files, place, maps=maps)


def one_way(bench: Bench, preset: str, bundle: Bundle, files: list[str], place: Path, *, maps: bool) -> None:
    quarter, seconds = len(files) // 4, []
    bench.forget_peak()
    for chosen in (files[:quarter], files):
        begun = time.perf_counter()
        score_into(bundle, list(chosen), place / f"readings-{preset}-{maps}-{len(chosen)}", maps=maps)
        seconds.append(time.perf_counter() - begun)
    each = (seconds[1] - seconds[0]) / (len(files) - quarter)
    once = seconds[1] - each * len(files)
    memory, of_what = bench.peak_memory()
    bench.tell(
        f"{preset}{' with maps' if maps else ''}: file to reading",
        f"{1 / each:.4g} images/s" if each > 0 else "not measurable",
        f"after {max(0.0, once):.3g} s; all {len(files)} files in {seconds[1]:.3g} s; {bundle.precision}; "
        f"{memory:.3g} GiB {of_what}",
    )
