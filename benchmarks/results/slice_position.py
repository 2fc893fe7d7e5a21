"""How well the position of a slice in its patient tells abnormal from normal: a baseline without pixels.

The slice number is the last number in the file's name; the score is minus the distance from the middle of the
patient's slices, as a share of their range. Test rows only where the manifest has a split.

    python benchmarks/results/slice_position.py manifest.csv
"""

from __future__ import annotations

import re
import sys
from collections import defaultdict
from pathlib import Path

import numpy as np

from secondread.cohorts.manifest import Manifest
from secondread.cohorts.row import Row
from secondread.metrics.roc import auroc


def main() -> None:
    rows = Manifest.read(Path(sys.argv[1])).rows
    rows = [row for row in rows if row.split == "test"] or list(rows)
    patients: dict[str, list[tuple[int, Row]]] = defaultdict(list)
    for row in rows:
        patients[row.patient_id].append((int(re.findall(r"\d+", Path(row.path).stem)[-1]), row))
    labels, scores = [], []
    for slices in patients.values():
        numbers = np.array([number for number, _ in slices])
        middle, reach = (numbers.max() + numbers.min()) / 2, np.ptp(numbers) / 2
        labels += [row.label == "abnormal" for _, row in slices]
        scores += list(-np.abs(numbers - middle) / max(reach, 1))
    print(f"slice position: AUROC {auroc(labels, scores):.3f} over {len(labels)} slices")


if __name__ == "__main__":
    main()
