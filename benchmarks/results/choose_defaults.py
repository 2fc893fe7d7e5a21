"""Which levels, treatment, resolution and pooling: methods on frozen features, on development data.

    python benchmarks/results/choose_defaults.py AXIS DATA manifest.csv -o OUT [--set KEY=VALUE …]

DATA is kermany, lgg or head (it sets the unlabelled cohort); `--set` carries what earlier axes chose. One
seed, EfficientNet-Lite 0, 256×256, images as they are where an axis does not say otherwise. The procedure and
what came out stand in docs/results-encoders.md; the manifests come from `development_split.py`.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from rows import command

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


AXES = {"levels": levels, "treatment": treatment, "resolution": resolution, "pooling": pooling}


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
    parser.add_argument("--jobs", type=int, default=2)
    given = parser.parse_args()
    count, rate = UNLABELLED[given.data]
    rows, settings = [], []
    for method in given.methods:
        chosen = [value for name, _, value in (s.partition(":") for s in given.set) if name == method]
        for name, values in AXES[given.axis](method).items():
            rows.append(f"{method}.{name}={method}")
            own = [*BASE, *chosen, *values]
            if method == "density-ratio":
                own += [f"cohorts.unlabelled={count}", f"cohorts.anomaly_rate={rate}"]
            settings += [f"{method}.{name}:{value}" for value in own]
    more = [part for setting in settings for part in ("--set", setting)]
    command(
        ["compare", str(given.manifest), "--recipes", *rows, *more, "--seeds", "1", "--no-maps",
         "--jobs", str(given.jobs), "-o", str(given.output)]
    )  # fmt: skip


if __name__ == "__main__":
    main()
