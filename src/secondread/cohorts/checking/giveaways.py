"""Labels that acquisition gives away: facts of a file that go with its label, without a look at the picture.

A numeric fact x is measured by AUROC = P(x of an abnormal > x of a normal) + P(equal) / 2, with the
Mann–Whitney test; a categorical one by the share of the label's entropy that it removes,
I(fact; label) / H(label), with the G-test; and each of its values by whether all images that have it
carry one label (hypergeometric tail). All p-values are multiplied by the number of tests (Bonferroni).
Images count as independent here, so p-values are too small where patients have many images.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import chdtrc, ndtr, xlogy

STRONG_AUROC = 0.7
STRONG_SHARE = 0.15
LARGEST_P = 0.01
SMALLEST_COUNT = 5
EXAMPLES = 3
_SAID_AS = {"alpha": "alpha channel (RGBA)", "mode": "pixel mode"}

Facts = Mapping[str, float | str]


@dataclass(frozen=True)
class Giveaway:
    """One fact that goes with the label: a line that says how, and the images that show it: all that have
    a telling value, the lowest and highest of a number, or none."""

    fact: str
    line: str
    strength: float
    indices: tuple[int, ...] = ()


@dataclass(frozen=True)
class _Tested:
    giveaway: Giveaway
    p: float
    strong: bool


def giveaways(facts: Sequence[Facts], abnormal: Sequence[bool]) -> list[Giveaway]:
    """The facts that tell the label of these images, strongest first.

    facts     one mapping per labelled image; a fact may be missing in some
    abnormal  their labels
    """
    label = np.asarray(abnormal, dtype=bool)
    if label.all() or not label.any():
        return []
    tested: list[_Tested] = []
    for name in sorted({name for each in facts for name in each}):
        values = [each.get(name) for each in facts]
        there = [value is not None for value in values]
        if all(isinstance(value, int | float) for value in values if value is not None):
            tested += _numeric(name, values, label)
            if not all(there):
                tested += _categorical(f"{name} known", ["yes" if known else "no" for known in there], label)
        else:
            tested += _categorical(name, ["(none)" if v is None else str(v) for v in values], label)
    found = [each.giveaway for each in tested if each.strong and each.p * len(tested) < LARGEST_P]
    return sorted(found, key=lambda each: -each.strength)


def _numeric(name: str, values: Sequence[float | str | None], label: np.ndarray) -> list[_Tested]:
    known = np.array([value is not None and np.isfinite(float(value)) for value in values])
    numbers = np.array(
        [float(value) for value, there in zip(values, known, strict=True) if there and value is not None]
    )
    positive = label[known]
    if min(positive.sum(), (~positive).sum()) < SMALLEST_COUNT or np.ptp(numbers) == 0:
        return []
    auroc, p = _mann_whitney(numbers[positive], numbers[~positive])
    low, high = ("normal", "abnormal") if auroc > 0.5 else ("abnormal", "normal")
    line = (
        f"images with low {name} tend to be {low}, with high {name} {high}: AUROC "
        f"{max(auroc, 1 - auroc):.2f} over {len(numbers)} images (medians "
        f"{np.median(numbers[~positive]):.4g} normal, {np.median(numbers[positive]):.4g} abnormal)"
    )
    distance = abs(auroc - 0.5)
    giveaway = Giveaway(name, line, 2 * distance, _extremes(numbers, positive == (auroc > 0.5), known))
    return [_Tested(giveaway, p, distance >= STRONG_AUROC - 0.5)]


def _mann_whitney(first: np.ndarray, second: np.ndarray) -> tuple[float, float]:
    """P(first > second) + P(equal) / 2, and the two-sided p-value of 1/2 by the normal approximation, with
    the variance that ties leave and a correction of half a step (as scipy.stats.mannwhitneyu, which takes a
    second to import)."""
    ascending, pairs = np.sort(second), len(first) * len(second)
    below = np.searchsorted(ascending, first, side="left").sum()
    above = float(below + np.searchsorted(ascending, first, side="right").sum()) / 2
    n, (_, ties) = len(first) + len(second), np.unique(np.append(first, second), return_counts=True)
    variance = pairs / 12 * (n + 1 - float((ties.astype(float) ** 3 - ties).sum()) / (n * (n - 1)))
    z = (max(above, pairs - above) - pairs / 2 - 0.5) / np.sqrt(variance)
    return above / pairs, min(1.0, float(2 * ndtr(-z)))


def _extremes(numbers: np.ndarray, expected_high: np.ndarray, known: np.ndarray) -> tuple[int, ...]:
    """The images that show a numeric giveaway best: lowest and highest value, of the label that goes
    with low and with high values."""
    order = np.argsort(numbers, kind="stable")
    lowest = [i for i in order if not expected_high[i]][:EXAMPLES]
    highest = [i for i in order[::-1] if expected_high[i]][:EXAMPLES]
    return tuple(int(i) for i in np.flatnonzero(known)[[*lowest, *highest]])


def _categorical(name: str, values: Sequence[str], label: np.ndarray) -> list[_Tested]:
    counts = Counter(values)
    if len(counts) < 2 or len(counts) > len(values) / 2:
        return []
    said = _SAID_AS.get(name, name)
    kinds = list(counts)
    table = np.zeros((len(kinds), 2))
    for value, is_abnormal in zip(values, label, strict=True):
        table[kinds.index(value), int(is_abnormal)] += 1
    by_label = table.sum(axis=0)
    expected = table.sum(axis=1, keepdims=True) * by_label / len(values)
    g = 2 * float(xlogy(table, table / expected).sum())
    share = g / (-2 * float(xlogy(by_label, by_label / len(values)).sum()))
    shown = ", ".join(
        f"{kind}: {table[kinds.index(kind), 0]:.0f} normal and {table[kinds.index(kind), 1]:.0f} abnormal"
        for kind, _ in counts.most_common(4)
    )
    whole = Giveaway(
        name,
        f"{said} tells {share:.0%} of the label's uncertainty over {len(values)} images ({shown})",
        share,
    )
    tested = [_Tested(whole, float(chdtrc(len(kinds) - 1, g)), share >= STRONG_SHARE)]
    for kind, (normals, abnormals) in zip(kinds, table, strict=True):
        if min(normals, abnormals) == 0 and (count := int(normals + abnormals)) >= SMALLEST_COUNT:
            word, of_label = ("normal", ~label) if abnormals == 0 else ("abnormal", label)
            left = np.arange(count)  # drawn before, so that many fewer are left to draw from
            p = float(np.prod((of_label.sum() - left) / (len(label) - left)))
            line = (
                f"all {count} images with {said} {kind} are {word} ({of_label.sum()} of all {len(label)} are)"
            )
            indices = tuple(i for i, value in enumerate(values) if value == kind)
            tested.append(_Tested(Giveaway(name, line, count / len(label), indices), p, True))
    return tested
