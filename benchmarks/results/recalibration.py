"""False alarms promised and observed, and how far calibrating on the test site's own normals mends them.

    python benchmarks/results/recalibration.py COMPARISON manifest.csv [-o table.md]

For every run in the folder of a `secondread compare`: the share of the test normals that is flagged at the
threshold of the fit, and, over `DRAWS` draws, the share of one half of the patients of test normals at a
threshold from the other half, which is what `secondread calibrate` on so many normals of the other site gives
(the score and its parts stay; `calibration.conformal` is the same code). Sensitivity beside both. Nothing is
chosen from it.
"""

from __future__ import annotations

import argparse
import csv
from collections import defaultdict
from pathlib import Path

import numpy as np

from secondread.calibration.conformal import Conformal
from secondread.cohorts.manifest import Manifest
from secondread.evaluation.cases import join
from secondread.readings.readings import Readings

DRAWS = 50


def recalibrated(
    scores: np.ndarray, ill: np.ndarray, patients: list[str], rate: float
) -> tuple[list[float], list[float]]:
    """False alarms in the other half of the normals, and sensitivity, of each draw."""
    alarms, found = [], []
    for draw in range(DRAWS):
        order = np.random.default_rng(draw).permutation(sorted(set(patients)))
        first = set(order[: len(order) // 2])
        kept = np.array([patient in first for patient in patients])
        threshold = Conformal.fit(
            scores[~ill][kept], [p for p, own in zip(patients, kept, strict=True) if own]
        ).threshold(rate)
        alarms.append(float((scores[~ill][~kept] >= threshold).mean()))
        found.append(float((scores[ill] >= threshold).mean()))
    return alarms, found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("comparison", type=Path)
    parser.add_argument("manifest", type=Path)
    parser.add_argument("-o", "--output", type=Path)
    given = parser.parse_args()
    manifest = Manifest.read(given.manifest)
    gathered: dict[str, list[tuple[float, ...]]] = defaultdict(list)
    with (given.comparison / "results.csv").open(newline="") as file:
        runs = [run for run in csv.DictReader(file) if run["folder"] and run["false_alarm_rate_promised"]]
    for run in runs:
        readings = Readings.read(given.comparison / run["folder"] / "readings" / "readings.csv")
        cases = join(readings, manifest).cases
        ill = np.array([case.abnormal for case in cases])
        scores = np.array([case.score for case in cases])
        patients = [case.group for case in cases if not case.abnormal]
        rate = float(run["false_alarm_rate_promised"])
        alarms, found = recalibrated(scores, ill, patients, rate)
        gathered[run["method"]].append(
            (
                rate, float(run["false_alarm_rate"]), float(run["sensitivity"]),
                float(np.mean(alarms)), float(np.std(alarms)), float(np.mean(found)),
            )
        )  # fmt: skip
    lines = [
        "| method | promised, % | observed, % | sensitivity, % | observed after, % | sensitivity after, % |",
        "|---|---|---|---|---|---|",
    ]
    for method, each in gathered.items():
        rate, before, found, after, sd, found_after = 100 * np.mean(each, axis=0)
        cells = [
            f"{rate:.0f}",
            f"{before:.1f}",
            f"{found:.1f}",
            f"{after:.1f} ± {sd:.1f}",
            f"{found_after:.1f}",
        ]
        lines.append(f"| `{method}` | {' | '.join(cells)} |")
    table = "\n".join(lines)
    print(table)
    if given.output:
        given.output.write_text(table + "\n")


if __name__ == "__main__":
    main()
