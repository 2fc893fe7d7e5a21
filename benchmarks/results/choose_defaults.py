"""Which levels, treatment, resolution and pooling: methods on frozen features, on development data.

    python benchmarks/results/choose_defaults.py AXIS DATA MANIFEST -o OUT.jsonl [--set METHOD:KEY=VALUE]

DATA is kermany, lgg or head (it sets the unlabelled cohort); `--set` carries what earlier axes chose. One
seed, EfficientNet-Lite 0, 256×256, images as they are where an axis does not say otherwise. The procedure and
what came out stand in docs/results/encoders.md; the manifests come from `development_split.py`.

Every variant is fitted, and scores the test rows, by `secondread.fit` and `secondread.score`, one after
another in this process; the encoder's maps of an image are kept between variants, in float16. A line of
OUT.jsonl is a variant; those that are there are not run again.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from hashlib import blake2b
from pathlib import Path

import torch
from torch import Tensor

import secondread
from secondread.metrics.roc import auroc
from secondread.networks.encoders.efficientnet_lite0 import EfficientNetLite0

VECTORS = ("mahalanobis", "k-nn", "one-class-svm", "density-ratio")
MAPS = ("padim", "aeflow")
AS_THEY_ARE = "preprocessing.steps=[{window: header}]"
ALIGNED = "preprocessing.steps=[{window: header}, {align: {}}]"
STANDARDISED = "preprocessing.steps=[{window: header}, {standardise: {}}, {window: {low: -2.5, high: 2.5}}]"
BASE = ("detector.encoder.name=efficientnet_lite0", "preprocessing.size=[256,256]", AS_THEY_ARE)
UNLABELLED = {"kermany": (200, 0.1), "lgg": (60, 0.3), "head": (16, 0.5)}
STAGE = {4: "stage2", 8: "stage3", 16: "stage5", 32: "stage7"}

Variants = dict[str, tuple[str, ...]]
"""Name of a variant and its settings."""


def levels(method: str) -> Variants:
    if method == "aeflow":
        both = f"detector.features.layers=[{STAGE[16]},{STAGE[32]}]"
        return {
            "16": (f"detector.encoder.layer={STAGE[16]}", "detector.features.projection=112"),
            "32": (f"detector.encoder.layer={STAGE[32]}",),
            "16-32": (both,),
        }
    found = {}
    for strides in ((4, 8, 16), (8, 16, 32), (16, 32), (32,)):
        layers = f"[{','.join(STAGE[stride] for stride in strides)}]"
        found["-".join(map(str, strides))] = (f"detector.layers={layers}",)
    return found


def treatment(method: str) -> Variants:
    return {"as-is": (AS_THEY_ARE,), "aligned": (ALIGNED,), "standardised": (STANDARDISED,)}


def resolution(method: str) -> Variants:
    return {str(side): (f"preprocessing.size=[{side},{side}]",) for side in (128, 256, 384)}


def pooling(method: str) -> Variants:
    if method == "aeflow":
        return {pool: (f"detector.pool={pool}",) for pool in ("mean", "top", "max")}
    if method == "padim":
        return {pool: (f"detector.image_score={pool}",) for pool in ("max", "top", "mean")}
    grids = {f"grids-{'-'.join(map(str, g))}": (f"detector.grids={list(g)}",) for g in ((1,), (1, 2), (2, 4))}
    return {**grids, "deviation": ("detector.pool=mean_deviation",)}


CHANGING = ("treatment", "resolution")
"""Axes that change what the encoder sees: variants of one input follow on each other."""
AXES = {"levels": levels, "treatment": treatment, "resolution": resolution, "pooling": pooling}


class Remembered:
    """In place of an encoder's `forward`: the maps of every level of each image, computed once."""

    def __init__(self) -> None:
        self.layers = tuple(STAGE.values())
        self.original = EfficientNetLite0.forward
        self.encoder = EfficientNetLite0(self.layers).eval()
        self.known: dict[bytes, tuple[Tensor, ...]] = {}

    def __call__(self, asking: EfficientNetLite0, images: Tensor) -> tuple[Tensor, ...]:
        if images.is_meta or not set(asking.layers) <= set(self.layers):
            return self.original(asking, images)
        names = [blake2b(image.numpy().tobytes(), digest_size=16).digest() for image in images.contiguous()]
        new = [number for number, name in enumerate(names) if name not in self.known]
        if new:
            with torch.inference_mode():
                maps = [h.half() for h in self.original(self.encoder, images[new])]
            for place, number in enumerate(new):
                self.known[names[number]] = tuple(h[place].clone() for h in maps)
        found = [
            torch.stack([self.known[name][level] for name in names]) for level in range(len(self.layers))
        ]
        return tuple(found[self.layers.index(layer)].float() for layer in asking.layers)


def fitted_and_judged(recipe: str, settings: list[str], manifest: Path) -> float:
    """The AUROC of the manifest's test rows."""
    with tempfile.TemporaryDirectory() as folder:
        made = secondread.Recipe.load(recipe, set=settings)
        bundle = secondread.fit(made, manifest, Path(folder) / "bundle", workers=0, progress=False)
        readings = secondread.score(bundle, manifest, where=["split=test"], workers=0)
        labels = {row.path: row.label == "abnormal" for row in secondread.Manifest.read(manifest)}
        scores = {reading.path: reading.score for reading in readings}
        return auroc([labels[path] for path in scores], list(scores.values()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("axis", choices=list(AXES))
    parser.add_argument("data", choices=list(UNLABELLED))
    parser.add_argument("manifest", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument(
        "--set", action="append", default=[], help="METHOD:KEY=VALUE that an earlier axis chose"
    )
    parser.add_argument("--methods", nargs="*", default=[*VECTORS, *MAPS])
    given = parser.parse_args()
    torch.set_num_threads(1)
    count, rate = UNLABELLED[given.data]
    lines = given.output.read_text().splitlines() if given.output.exists() else []
    there = {(line["method"], line["variant"]) for line in map(json.loads, lines)}
    remembered = Remembered()
    EfficientNetLite0.forward = lambda asking, images: remembered(asking, images)  # type: ignore[method-assign]
    wanted = [
        (variant, method, values)
        for method in given.methods
        for variant, values in AXES[given.axis](method).items()
        if (method, variant) not in there
    ]
    for variant, method, values in sorted(
        wanted, key=lambda one: one[2][0] if given.axis in CHANGING else ""
    ):
        settings = [*BASE, *(v for m, _, v in (s.partition(":") for s in given.set) if m == method), *values]
        if method == "density-ratio":
            settings += [f"cohorts.unlabelled={count}", f"cohorts.anomaly_rate={rate}"]
        started = time.perf_counter()
        value = fitted_and_judged(method, settings, given.manifest)
        line = {"axis": given.axis, "data": given.manifest.stem, "method": method, "variant": variant}
        line |= {"auroc": round(value, 4), "seconds": round(time.perf_counter() - started, 1)}
        with given.output.open("a") as file:
            file.write(json.dumps(line) + "\n")
        print(line, flush=True)


if __name__ == "__main__":
    main()
