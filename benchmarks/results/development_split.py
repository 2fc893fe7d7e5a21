"""A manifest on which defaults may be chosen: rows of `train` alone, so the official test stays unseen.

Of the training normals, a share by patient becomes the development test, beside as many abnormal training
images as asked for, drawn by seed; the other normals stay `train`. A manifest without splits is split by
patient, all of it. With `--learn-abnormal` the abnormal training images of other patients stay `train` too,
for recipes that make an unlabelled mixture of them.

With `--unusual` the development test has the least usual patients' normals in place of drawn ones, so that
its normals differ from those that are learned from, as another site's would: those farthest from the mean,
either way, along the first principal component of 16×16 thumbnails of all normals. No label takes part.
`--learn` keeps so many normals to learn from, whole patients drawn by seed.

    python benchmarks/results/development_split.py MANIFEST -o development.csv [--unusual]
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from itertools import accumulate
from pathlib import Path

import numpy as np

from secondread import read_image
from secondread.cohorts.manifest import Manifest
from secondread.cohorts.row import Row, patient_of
from secondread.images.acquisition import thumbnail


def development_split(
    manifest: Manifest,
    share: float,
    abnormal: int,
    seed: int,
    *,
    learn_abnormal: bool = False,
    unusual: bool = False,
    learn: int | None = None,
) -> Manifest:
    generator = np.random.default_rng(seed)
    usable = [row for row in manifest.rows if row.split in ("train", "")]
    normal = [row for row in usable if row.label == "normal"]
    patients = sorted({patient_of(row) for row in normal})
    order = least_usual(normal, manifest.base) if unusual else list(generator.permutation(patients))
    held = set(order[: round(share * len(patients))])
    ill = [row for row in usable if row.label == "abnormal"]
    ill = [row for row in ill if patient_of(row) in held or patient_of(row) not in patients]
    chosen = sorted(generator.permutation(len(ill))[:abnormal])
    rows = [replace(row, split="test" if patient_of(row) in held else "train") for row in normal]
    if learn is not None:
        kept = set(_patients_of_so_many([row for row in rows if row.split == "train"], learn, seed))
        rows = [row for row in rows if row.split == "test" or patient_of(row) in kept]
    rows += [replace(ill[i], split="test") for i in chosen]
    if learn_abnormal:
        tested = {patient_of(row) for row in rows if row.split == "test"}
        rows += [
            replace(row, split="train")
            for row in usable
            if row.label == "abnormal" and patient_of(row) not in tested
        ]
    return Manifest(rows, manifest.base, manifest.source)


def _patients_of_so_many(rows: Sequence[Row], number: int, seed: int) -> list[str]:
    """Patients drawn one after another, until they have `number` rows."""
    each = Counter(map(patient_of, rows))
    order = [str(patient) for patient in np.random.default_rng(seed).permutation(sorted(each))]
    before = [0, *accumulate(each[patient] for patient in order)]
    return [patient for patient, there in zip(order, before, strict=False) if there < number]


def least_usual(normal: Sequence[Row], base: Path) -> list[str]:
    """Patients, the least usual first: by the mean of their images' |first principal component|."""
    x = np.stack([thumbnail(read_image(base / row.path)).ravel() for row in normal]).astype(np.float64)
    x -= x.mean(axis=0)
    away = np.abs(x @ np.linalg.svd(x, full_matrices=False)[2][0])
    found: dict[str, list[float]] = {}
    for row, distance in zip(normal, away, strict=True):
        found.setdefault(patient_of(row), []).append(float(distance))
    return sorted(found, key=lambda patient: (-float(np.mean(found[patient])), patient))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("manifest", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--share", type=float, default=0.25)
    parser.add_argument("--abnormal", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--learn-abnormal", action="store_true")
    parser.add_argument("--unusual", action="store_true")
    parser.add_argument("--learn", type=int)
    given = parser.parse_args()
    made = development_split(
        Manifest.read(given.manifest),
        given.share,
        given.abnormal,
        given.seed,
        learn_abnormal=given.learn_abnormal,
        unusual=given.unusual,
        learn=given.learn,
    )
    made.write(given.output)
    print(f"{given.output}: {len(made.rows)} rows")


if __name__ == "__main__":
    main()
