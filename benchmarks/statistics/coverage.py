"""How often intervals of 95 % hold the truth: shares where patients have several images, F1, predictive
values, AUROC and average precision with few patients and near 1.

    python benchmarks/statistics/coverage.py            # about four minutes on one core
    python benchmarks/statistics/coverage.py --runs 50  # a quick look

Samples are drawn from distributions whose true figure is known, and each interval is asked whether it holds
it. Beside ours stand the percentiles of a bootstrap over patients. Prints the tables of
docs/results/intervals.md.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from secondread.metrics.bootstrap import auroc_interval, average_precision_interval, interval, patient_weights
from secondread.metrics.decisions import decide, decision_intervals, predictive_intervals, predictive_values
from secondread.metrics.precision_recall import average_precision, weighted_average_precision
from secondread.metrics.roc import weighted_auroc
from secondread.metrics.shares import share_interval

Pair = tuple[float, float]
REPEATS = 300
"""Resamples behind each bootstrap interval: few, which costs the percentiles about 0.005 of coverage."""


def shares(runs: int) -> Iterator[tuple[str, ...]]:
    """Answers of patients whose own share is drawn from a Beta distribution with the given correlation."""
    random = np.random.default_rng(0)
    for patients in (10, 30, 100):
        for images, alike in ((1, 0.0), (3, 0.3), (6, 0.8)):
            for share in (0.8, 0.95, 0.99):
                found = Coverage()
                for _ in range(runs):
                    sizes = random.poisson(images - 1, patients) + 1 if images > 1 else np.ones(patients, int)
                    own = np.full(patients, share)
                    if alike:
                        scale = (1 - alike) / alike
                        own = random.beta(share * scale, (1 - share) * scale, patients)
                    whose = np.repeat(np.arange(patients), sizes)
                    right = random.random(whose.size) < own[whose]
                    times = random.multinomial(patients, np.full(patients, 1 / patients), REPEATS)
                    drawn = times @ np.bincount(whose, right) / (times @ sizes)
                    found.add(share, share_interval(right, whose), percentiles(drawn))
                yield str(patients), f"{images}", f"{alike:g}", f"{share:g}", *found.cells()


def decisions(runs: int) -> Iterator[tuple[str, ...]]:
    """F1, and predictive values at a prevalence of 5 %, of flags with known sensitivity and specificity."""
    random = np.random.default_rng(1)
    for abnormal, normal in ((15, 30), (60, 140)):
        labels = np.arange(abnormal + normal) < abnormal
        for sensitivity, specificity in ((0.7, 0.95), (0.95, 0.98)):
            found, positive, negative = 2 * sensitivity * abnormal, 0, 0
            true_f1 = found / (found + (1 - specificity) * normal + (1 - sensitivity) * abnormal)
            truth = predictive_values(sensitivity, specificity, 0.05)
            f1 = 0
            for _ in range(runs):
                right = random.random(labels.size) < np.where(labels, sensitivity, specificity)
                flags = labels == right
                table, pairs = decide(labels, flags), decision_intervals(labels, flags)
                f1 += holds(pairs["f1"], true_f1)
                both = predictive_intervals(
                    (table.sensitivity, pairs["sensitivity"]), (table.specificity, pairs["specificity"]), 0.05
                )
                positive += holds(both[0], truth.positive)
                negative += holds(both[1], truth.negative)
            cells = (f"{hits / runs:.3f}" for hits in (f1, positive, negative))
            yield str(abnormal), str(normal), f"{sensitivity:g}", f"{specificity:g}", *cells


def areas(runs: int) -> Iterator[tuple[str, ...]]:
    """Normal scores of abnormal and normal images; `sd` is that of the abnormal ones over that of normal
    ones."""
    random = np.random.default_rng(2)
    for abnormal, normal, sd in (
        (10, 10, 1),
        (10, 60, 1),
        (10, 60, 2),
        (30, 60, 1),
        (100, 100, 1),
        (100, 100, 2),
    ):
        labels = np.arange(abnormal + normal) < abnormal
        for true in (0.6, 0.8, 0.9, 0.97, 0.99):
            shift = float(norm.ppf(true) * np.hypot(1, sd))

            def draw(which: NDArray[np.bool_], shift: float = shift, sd: int = sd) -> NDArray[np.float64]:
                return random.normal(size=which.size) * np.where(which, sd, 1) + shift * which

            many = np.arange(round(60_000 * (abnormal + normal) / abnormal)) < 60_000
            true_precision = average_precision(many, draw(many))
            area, precision = Coverage(), Coverage()
            for run in range(runs):
                scores = draw(labels)
                for found, truth, ours, statistic in (
                    (area, true, auroc_interval, weighted_auroc),
                    (precision, true_precision, average_precision_interval, weighted_average_precision),
                ):
                    weights = np.concatenate(list(patient_weights(np.arange(labels.size), REPEATS, run)))
                    plain = percentiles(statistic(labels, scores, weights))
                    made = ours(labels, scores, repeats=REPEATS, seed=run)
                    found.add(truth, (made.low, made.high), plain)
            head = (str(abnormal), str(normal), str(sd), f"{true:g}")
            yield *head, *area.cells(), f"{true_precision:.2f}", *precision.cells()


class Coverage:
    """Counts intervals that hold the truth, ours and the bootstrap's, and their widths."""

    def __init__(self) -> None:
        self.runs = 0
        self.hits = np.zeros(2)
        self.widths = np.zeros(2)

    def add(self, truth: float, ours: Pair, bootstrap: Pair) -> None:
        self.runs += 1
        self.hits += [holds(ours, truth), holds(bootstrap, truth)]
        self.widths += [ours[1] - ours[0], bootstrap[1] - bootstrap[0]]

    def cells(self) -> tuple[str, ...]:
        cover, width = self.hits / self.runs, self.widths / self.runs
        return f"{cover[0]:.3f}", f"{width[0]:.3f}", f"{cover[1]:.3f}", f"{width[1]:.3f}"


def holds(pair: Pair | None, truth: float) -> bool:
    return pair is not None and pair[0] <= truth <= pair[1]


def percentiles(values: NDArray[np.float64]) -> Pair:
    found = interval(values)
    return found.low, found.high


FOUR = ("ours: holds", "width", "bootstrap: holds", "width")
TABLES: tuple[tuple[str, tuple[str, ...], Callable[[int], Iterator[tuple[str, ...]]]], ...] = (
    ("Shares", ("patients", "images each", "correlation", "share", *FOUR), shares),
    (
        "F1 and predictive values",
        ("abnormal", "normal", "sensitivity", "specificity", "F1", "PPV at 5 %", "NPV at 5 %"),
        decisions,
    ),
    (
        "AUROC and average precision",
        ("abnormal", "normal", "sd", "AUROC", *FOUR, "AP", *(f"AP {name}" for name in FOUR)),
        areas,
    ),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--runs", type=int, default=400, help="samples behind each row")
    runs = parser.parse_args().runs
    for title, heads, rows in TABLES:
        print(f"\n## {title}\n\n| {' | '.join(heads)} |\n|{'--:|' * len(heads)}")
        for row in rows(runs):
            print(f"| {' | '.join(row)} |", flush=True)


if __name__ == "__main__":
    main()
