"""Every detector on one data set, by `secondread compare`: the commands behind the tables of docs/results.md.

    python benchmarks/results/compare_everything.py kermany kermany-cxr/manifest.csv -o OUT [--group NAME]
    python benchmarks/results/compare_everything.py lgg lgg.csv -o OUT
    python benchmarks/results/compare_everything.py head head.csv -o OUT
    python benchmarks/results/compare_everything.py contaminated kermany-cxr/manifest.csv -o OUT
    python benchmarks/results/compare_everything.py development development.csv -o OUT --group NAME
    python benchmarks/results/compare_everything.py volumes VOLUMES/manifest.csv -o OUT --group NAME

The size, declared before a run: every method on frozen features has EfficientNet-Lite 0 and the size and
length of its preset; networks that learn from nothing have 64×64, the papers' size, and `ae`, `memae`, `aeu`
60 epochs (the papers have 250). All learn from the same normals. Unlabelled images with hidden labels, for
those that use them: 400 with 10 % abnormal (kermany), 100 with 30 % (lgg), 20 with 50 % (head). `supervised`
is a logistic regression of the same features on all labelled training images: what labels would give. The
reference is the first, `aeflow` where it is not left out. `--group` takes the six that led on development
data, the other feature methods, those that learn from nothing, or the families of reconstruction and
adversarial methods (of which presets of 250 epochs have 60, and each its preset's size, 64×64 but for two;
they learn from at most 200 normals on every set), `drawn`, those that learn from drawn anomalies (as the
last two; a name with `+` has the unlabelled images among its normals), or `textbook`, what remains of the
field's list: students, one-class networks, residual flows, other couplings and the classics (as the last).
`lgg.csv` and `head.csv` are made by `secondread split … --test 0.4 --seed 0` (`head-ct` without
`normal/189.png`, a copy of one in train). `development`, of rows that `development_split.py` made, learns
from 200 normals and has none unlabelled: it says which six lead. `volumes`, of `lesion_volumes.py`, has
32×32×32 and 600 steps a stage. `contaminated` is of six quick methods, with 1, 5 and 10 % of the
normals abnormal.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from rows import command

from secondread.recipes.recipe import Recipe

LEADING = ("aeflow", "feature-posterior", "density-ratio", "feature-subspace", "mahalanobis", "fastflow")
FEATURES = (
    "aeflow-gmm", "padim", "patchcore", "k-nn", "mahalanobis-levels", "one-class-svm", "k-means", "cflow",
    "csflow", "rd4ad", "dinomaly", "feature-autoencoder", "anomaly-dino", "patch-mixture", "mutual-scoring",
    "feature-dictionary", "recontrast", "supervised=density-ratio",
)  # fmt: skip
FROM_NOTHING = (
    "intensity", "ae", "memae", "aeu", "ddad=ddad-aeu-fast", "glow-cxr-small", "glow-gmm-small",
)  # fmt: skip
RECONSTRUCTION = (
    "ae", "ae-l1", "ae-ssim", "spatial-ae", "perceptual-ae", "constrained-ae", "context-ae", "memae", "aeu",
    "denoising-ae", "igd", "patch-ae", "vae", "vae-combined", "cevae", "gmvae", "vqvae2",
)  # fmt: skip
ADVERSARIAL = (
    "f-anogan", "izi=f-anogan", "ziz=f-anogan", "ganomaly", "anogan", "bigan", "ali=bigan", "aae",
    "anovaegan", "tang",
)  # fmt: skip
DRAWN = (
    "anomaly-unet", "anomaly-unet-flair", "fpi", "pii", "nsa", "draem", "cutpaste", "cutpaste-scratch",
    "cutpaste-end-to-end", "cutpaste-segmentation", "anatpaste",
)  # fmt: skip
STARRED = ("anomaly-unet", "pii", "nsa", "draem", "cutpaste-scratch")
TEXTBOOK = (
    "stfpm", "efficientad", "uninformed-students", "deep-svdd", "deep-svdd-soft",
    "one-class-contrastive", "masked-image", "residual-flow", "aeflow-spline", "aeflow-uniform",
    "lof", "kde", "gmm", "cblof", "pca", "ecod", "copod", "hbos", "isolation-forest",
    "elliptic-envelope", "knn-patches", "ocsvm-patches",
)  # fmt: skip
GROUPS = {
    "leading": LEADING,
    "features": ("aeflow", *FEATURES),
    "nothing": ("aeflow", *FROM_NOTHING),
    "reconstruction": RECONSTRUCTION,
    "adversarial": ADVERSARIAL,
    "textbook": ("aeflow", *TEXTBOOK),
    "drawn": (*DRAWN, *(f"{name}+={name}" for name in STARRED)),
}
EPOCHS = 60
"""Of presets that have the 250 of their papers."""
LONG = (
    "ae", "ae-l1", "ae-ssim", "spatial-ae", "constrained-ae", "context-ae", "memae", "aeu", "vae",
)  # fmt: skip
FILMS = ("denoising-ae:detector.foreground=null", "denoising-ae:preprocessing.steps=[{window: header}]")
"""What its page says of images without a dark background; the preset is for brain MR."""
VARIANTS = {
    "izi": "detector.encoder_training=izi",
    "ziz": "detector.encoder_training=ziz",
    "ali": "detector.stochastic=true",
}
QUICK = ("aeflow", "padim", "k-nn", "mahalanobis", "k-means", "one-class-svm")
SMALL = ("ae", "memae", "aeu", "ddad", "glow-cxr-small", "glow-gmm-small")
MOST_NORMALS = 200
FEW_NORMALS = ("reconstruction", "adversarial", "drawn", "textbook")
LAYERS_32 = "[[2, 1, 8], [7, 2, 16], [5, 2, 32], [5, 1, 64]]"
"""Kernel, stride and channels of BiGAN's convolutions, for 32 pixels."""
VOLUME_STEPS = "[{percentiles: {low: 1, high: 99, over: foreground}}]"
UNLABELLED = {"kermany": (400, 0.1), "lgg": (100, 0.3), "head": (20, 0.5)}


def settings(methods: tuple[str, ...], data: str, films: bool) -> list[str]:
    names = [method.partition("=")[0] for method in methods]
    found = [f"{name}:preprocessing.size=[64,64]" for name in SMALL if name in names]
    found += [f"{name}:stages.reconstruction.epochs={EPOCHS}" for name in LONG if name in names]
    found += [f"{name}:{setting}" for name, setting in VARIANTS.items() if name in names]
    found += FILMS if films and "denoising-ae" in names else ()
    if "supervised" in names:
        found += ["supervised:detector.against=abnormal", "supervised:cohorts.labelled={any: all}"]
    found += [f"{name}:cohorts.unlabelled_as=normal" for name in names if name.endswith("+")]
    if data in UNLABELLED:
        count, rate = UNLABELLED[data]
        found += [
            f"{name}:cohorts.{key}" for name in names if name != "supervised"
            for key in (f"unlabelled={count}", f"anomaly_rate={rate}")
        ]  # fmt: skip
    return found


def of_volumes(methods: tuple[str, ...]) -> list[str]:
    """Settings that make presets for pictures ones for volumes, all at one size and length."""
    found = []
    for method in methods:
        name, _, preset = method.partition("=")
        found += [f"{name}:preprocessing.{key}" for key in ("size=[32,32,32]", f"steps={VOLUME_STEPS}")]
        for stage in Recipe.load(preset or name).stages:
            found += [f"{name}:stages.{stage}.{key}" for key in ("steps=600", "epochs=null", "batch_size=16")]
    if "denoising-ae" in methods:
        found.append("denoising-ae:detector.foreground=0.05")
    if "patch-ae" in methods:
        found.append("patch-ae:window.size=[16,16,16]")
    names = [method.partition("=")[0] for method in methods]
    found += [f"{name}:detector.layers={LAYERS_32}" for name in ("bigan", "ali") if name in names]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("data", choices=[*UNLABELLED, "volumes", "development", "contaminated"])
    parser.add_argument("manifest", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--group", choices=list(GROUPS), default="leading")
    parser.add_argument("--films", action="store_true", help="development rows are of chest films")
    parser.add_argument("--without", nargs="*", default=[], help="names to leave out")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=1)
    given = parser.parse_args()
    methods = QUICK if given.data == "contaminated" else GROUPS[given.group]
    methods = tuple(method for method in methods if method.partition("=")[0] not in given.without)
    more = [
        part
        for setting in settings(methods, given.data, given.films or given.data == "kermany")
        for part in ("--set", setting)
    ]
    if given.data == "development" or given.group in FEW_NORMALS:
        more += ["--set", f"cohorts.max_normal={MOST_NORMALS}"]
    if given.data == "volumes":
        more += [part for setting in of_volumes(methods) for part in ("--set", setting)]
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
