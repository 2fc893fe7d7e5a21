"""Every detector on one data set, by `secondread compare`: the commands behind the tables of docs/results.md.

    python benchmarks/results/compare_everything.py kermany kermany-cxr/manifest.csv -o OUT [--group NAME]
    python benchmarks/results/compare_everything.py lgg lgg.csv -o OUT
    python benchmarks/results/compare_everything.py head head.csv -o OUT
    python benchmarks/results/compare_everything.py contaminated kermany-cxr/manifest.csv -o OUT

The size, declared before a run: every method on frozen features has EfficientNet-Lite 0 and the size and
length of its preset; networks that learn from nothing have 64×64, the papers' size, and `ae`, `memae`, `aeu`
60 epochs (the papers have 250). All learn from the same normals. Unlabelled images with hidden labels, for
those that use them: 400 with 10 % abnormal (kermany), 100 with 30 % (lgg), 20 with 50 % (head). `supervised`
is a logistic regression of the same features on all labelled training images: what labels would give. The
reference is the first, `aeflow` where it is not left out. `--group` takes the six that led on development
data, the other feature methods, or those that learn from nothing. `lgg.csv` and `head.csv` are made by
`secondread split … --test 0.4 --seed 0` (`head-ct` without `normal/189.png`, a copy of one in train).
`contaminated` is of six quick methods, with 1, 5 and 10 % of the normals abnormal.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from rows import command

LEADING = ("aeflow", "feature-posterior", "density-ratio", "feature-subspace", "mahalanobis", "fastflow")
FEATURES = (
    "aeflow-gmm", "padim", "patchcore", "k-nn", "mahalanobis-levels", "one-class-svm", "k-means", "cflow",
    "csflow", "rd4ad", "dinomaly", "feature-autoencoder", "anomaly-dino", "patch-mixture", "mutual-scoring",
    "feature-dictionary", "recontrast", "supervised=density-ratio",
)  # fmt: skip
FROM_NOTHING = (
    "intensity", "ae", "memae", "aeu", "ddad=ddad-aeu-fast", "glow-cxr-small", "glow-gmm-small",
)  # fmt: skip
GROUPS = {"leading": LEADING, "features": ("aeflow", *FEATURES), "nothing": ("aeflow", *FROM_NOTHING)}
QUICK = ("aeflow", "padim", "k-nn", "mahalanobis", "k-means", "one-class-svm")
SMALL = ("ae", "memae", "aeu", "ddad", "glow-cxr-small", "glow-gmm-small")
UNLABELLED = {"kermany": (400, 0.1), "lgg": (100, 0.3), "head": (20, 0.5)}


def settings(methods: tuple[str, ...], data: str) -> list[str]:
    names = [method.partition("=")[0] for method in methods]
    found = [f"{name}:preprocessing.size=[64,64]" for name in SMALL if name in names]
    found += [f"{name}:stages.reconstruction.epochs=60" for name in ("ae", "memae", "aeu") if name in names]
    if "supervised" in names:
        found += ["supervised:detector.against=abnormal", "supervised:cohorts.labelled={any: all}"]
    if data in UNLABELLED:
        count, rate = UNLABELLED[data]
        found += [
            f"{name}:cohorts.{key}" for name in names if name != "supervised"
            for key in (f"unlabelled={count}", f"anomaly_rate={rate}")
        ]  # fmt: skip
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("data", choices=[*UNLABELLED, "contaminated"])
    parser.add_argument("manifest", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--group", choices=list(GROUPS), default="leading")
    parser.add_argument("--without", nargs="*", default=[], help="names to leave out")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=1)
    given = parser.parse_args()
    methods = GROUPS[given.group] if given.data in UNLABELLED else QUICK
    methods = tuple(method for method in methods if method.partition("=")[0] not in given.without)
    more = [part for setting in settings(methods, given.data) for part in ("--set", setting)]
    if given.data == "kermany":
        more += ["--published", "kermany-cxr"]
    if given.data == "contaminated":
        more += ["--contamination", "0.01,0.05,0.1"]
    command(
        [
            "compare", str(given.manifest), "--recipes", *methods,
            "--reference", methods[0].partition("=")[0], *more,
            "--seeds", str(given.seeds), "--jobs", str(given.jobs), "-o", str(given.output),
        ]
    )  # fmt: skip


if __name__ == "__main__":
    main()
