"""A manifest on which defaults may be chosen: rows of `train` alone, so the official test stays unseen.

Of the training normals, a share by patient becomes the development test, beside as many abnormal training
images as asked for, drawn by seed; the other normals stay `train`. A manifest without splits is split by
patient, all of it. With `--learn-abnormal` the abnormal training images of other patients stay `train` too,
for recipes that make an unlabelled mixture of them.

    python benchmarks/results/development_split.py MANIFEST -o development.csv
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np

from secondread.cohorts.manifest import Manifest
from secondread.cohorts.row import patient_of


def development_split(
    manifest: Manifest, share: float, abnormal: int, seed: int, learn_abnormal: bool = False
) -> Manifest:
    generator = np.random.default_rng(seed)
    usable = [row for row in manifest.rows if row.split in ("train", "")]
    patients = sorted({patient_of(row) for row in usable if row.label == "normal"})
    held = set(generator.permutation(patients)[: round(share * len(patients))])
    normal = [row for row in usable if row.label == "normal"]
    ill = [row for row in usable if row.label == "abnormal"]
    ill = [row for row in ill if patient_of(row) in held or patient_of(row) not in patients]
    chosen = sorted(generator.permutation(len(ill))[:abnormal])
    rows = [replace(row, split="test" if patient_of(row) in held else "train") for row in normal]
    rows += [replace(ill[i], split="test") for i in chosen]
    if learn_abnormal:
        tested = {patient_of(row) for row in rows if row.split == "test"}
        rows += [
            replace(row, split="train")
            for row in usable
            if row.label == "abnormal" and patient_of(row) not in tested
        ]
    return Manifest(rows, manifest.base, manifest.source)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("manifest", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--share", type=float, default=0.25)
    parser.add_argument("--abnormal", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--learn-abnormal", action="store_true")
    given = parser.parse_args()
    made = development_split(
        Manifest.read(given.manifest), given.share, given.abnormal, given.seed, given.learn_abnormal
    )
    made.write(given.output)
    print(f"{given.output}: {len(made.rows)} rows")


if __name__ == "__main__":
    main()
