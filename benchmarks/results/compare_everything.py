"""Every detector on one data set, by `secondread compare`: the commands behind the tables of docs/results.md.

    python benchmarks/results/compare_everything.py kermany kermany.csv -o OUT [--seeds 1] [--jobs 2]
    python benchmarks/results/compare_everything.py lgg lgg.csv -o OUT
    python benchmarks/results/compare_everything.py head head.csv -o OUT
    python benchmarks/results/compare_everything.py contaminated kermany-cxr/manifest.csv -o OUT

The size, declared before a run: 128×128 for methods on ImageNet features (SqueezeNet 1.1) and for the
classical ones, 64×64, the papers' size, for networks that learn from nothing; `ae`, `memae`, `aeu` for 60
epochs (the papers have 250); the rest as the presets have it. All learn from the same normals. Unlabelled
images with hidden labels, for those that use them: 400 with 10 % abnormal (kermany), 100 with 30 % (lgg), 20
with 50 % (head). The reference is `aeflow`. `lgg.csv` and `head.csv` are made by `secondread split … --test
0.4 --seed 0`. `contaminated` is of six quick methods, with 1, 5 and 10 % of the normals abnormal.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from rows import command

EVERY = (
    "aeflow", "aeflow-gmm", "density-ratio", "padim", "patchcore", "k-nn", "mahalanobis", "one-class-svm",
    "k-means", "feature-dictionary", "ae", "memae", "aeu", "ddad=ddad-aeu-fast", "glow-cxr-small",
    "glow-gmm-small", "intensity",
)  # fmt: skip
QUICK = ("aeflow", "padim", "k-nn", "mahalanobis", "k-means", "one-class-svm")
SMALL = ("ae", "memae", "aeu", "ddad", "glow-cxr-small", "glow-gmm-small")
UNLABELLED = {"kermany": (400, 0.1), "lgg": (100, 0.3), "head": (20, 0.5)}


def settings(methods: tuple[str, ...], data: str) -> list[str]:
    names = [method.partition("=")[0] for method in methods]
    found = ["preprocessing.size=[128,128]"]
    found += [f"{name}:preprocessing.size=[64,64]" for name in SMALL if name in names]
    found += [f"{name}:stages.reconstruction.epochs=60" for name in ("ae", "memae", "aeu") if name in names]
    found += [
        f"{name}:detector.encoder.name=squeezenet1_1" for name in ("padim", "patchcore") if name in names
    ]
    if data in UNLABELLED:
        count, rate = UNLABELLED[data]
        found += [f"cohorts.unlabelled={count}", f"cohorts.anomaly_rate={rate}"]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("data", choices=[*UNLABELLED, "contaminated"])
    parser.add_argument("manifest", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=1)
    given = parser.parse_args()
    methods = EVERY if given.data in UNLABELLED else QUICK
    more = [part for setting in settings(methods, given.data) for part in ("--set", setting)]
    if given.data == "kermany":
        more += ["--published", "kermany-cxr"]
    if given.data == "contaminated":
        more += ["--contamination", "0.01,0.05,0.1"]
    command(
        [
            "compare", str(given.manifest), "--recipes", *methods, "--reference", "aeflow", *more,
            "--seeds", str(given.seeds), "--jobs", str(given.jobs), "-o", str(given.output),
        ]
    )  # fmt: skip


if __name__ == "__main__":
    main()
