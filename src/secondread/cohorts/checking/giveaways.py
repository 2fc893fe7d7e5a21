"""Labels that acquisition gives away: facts of a file that go with its label, without a look at the picture.

A numeric fact x is measured by AUROC = P(x of an abnormal > x of a normal) + P(equal) / 2, with the
Mann–Whitney test; a categorical one by the share of the label's entropy that it removes,
I(fact; label) / H(label), with the G-test; and each of its values by whether all images that have it
carry one label (hypergeometric tail). All p-values are multiplied by the number of tests (Bonferroni).
Images count as independent here, so p-values are too small where patients have many images.

Values come from the table one after the other, in order; what is held are counts, two for each word.
"""

from __future__ import annotations

import heapq
from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice

import numpy as np
from numpy.typing import NDArray
from scipy.special import chdtrc, ndtr, xlogy

from secondread.cohorts.checking.seen_table import SeenTable, Together
from secondread.outputs.temporary_database import restored

STRONG_AUROC = 0.7
STRONG_SHARE = 0.15
LARGEST_P = 0.01
SMALLEST_COUNT = 5
EXAMPLES = 3
_SAID_AS = {"alpha": "alpha channel (RGBA)", "mode": "pixel mode"}
_AT_ONCE = 8192


@dataclass(frozen=True)
class Giveaway:
    """One fact that goes with the label: a line that says how, and the images that show it: all that have
    a telling value, the lowest and highest of a number, or none."""

    fact: str
    line: str
    strength: float
    images: Iterable[str] = ()


@dataclass
class _Tests:
    """How many tests were made, and what those gave that may still hold when all are."""

    made: int = 0
    kept: list[tuple[float, Giveaway]] = field(default_factory=list)

    def add(self, p: float, giveaway: Giveaway | None) -> None:
        """None where what was found is too weak to be told."""
        self.made += 1
        if giveaway is not None and p * self.made < LARGEST_P:
            self.kept.append((p, giveaway))

    def join(self, later: _Tests) -> None:
        self.made += later.made
        self.kept += later.kept

    def found(self) -> list[Giveaway]:
        held = [each for p, each in self.kept if p * self.made < LARGEST_P]
        return sorted(held, key=lambda each: -each.strength)


def giveaways(table: SeenTable) -> list[Giveaway]:
    """The facts that tell the label of the table's labelled images, strongest first."""
    total, abnormals = table.data.one("SELECT COUNT(*), TOTAL(abnormal) FROM facts")
    if not 0 < abnormals < total:
        return []
    labels = _Labels(total - int(abnormals), int(abnormals))
    names = sorted(table.facts)
    looks = [f"COUNT({c}), TOTAL(typeof({c}) IN ('text', 'blob'))" for c in map(table.facts.get, names)]
    known = iter(table.data.one(f"SELECT {', '.join(looks)} FROM facts")) if looks else iter(())
    tests = _Tests()
    for name in names:
        column, there, words = table.facts[name], next(known), next(known)
        if words:
            as_word = (
                f"CASE typeof({column}) WHEN 'null' THEN '(none)' WHEN 'text' THEN {column} "
                f"WHEN 'blob' THEN {column} ELSE CAST({column} AS TEXT) END"
            )
            _categorical(table, tests, labels, name, as_word)
            continue
        _numeric(table, tests, name, column)
        if there < total:
            as_word = f"CASE WHEN {column} IS NULL THEN 'no' ELSE 'yes' END"
            _categorical(table, tests, labels, f"{name} known", as_word)
    return tests.found()


@dataclass(frozen=True)
class _Labels:
    """How many images carry each label."""

    normals: int
    abnormals: int

    @property
    def total(self) -> int:
        return self.normals + self.abnormals


def _numeric(table: SeenTable, tests: _Tests, name: str, column: str) -> None:
    finite = f"FROM facts WHERE {column} > -9e999 AND {column} < 9e999"
    total, abnormals, lowest, highest = table.data.one(
        f"SELECT COUNT(*), TOTAL(abnormal), MIN({column}), MAX({column}) {finite}"
    )
    labels = _Labels(total - int(abnormals), int(abnormals))
    if min(labels.normals, labels.abnormals) < SMALLEST_COUNT or lowest == highest:
        return
    ordered = _ordered(
        table, f"SELECT {column}, COUNT(*), SUM(abnormal) {finite} GROUP BY {column} ORDER BY 1"
    )
    found = _Ranks.of(ordered, labels)
    auroc, distance = found.auroc, abs(found.auroc - 0.5)
    low, high = ("normal", "abnormal") if auroc > 0.5 else ("abnormal", "normal")
    line = (
        f"images with low {name} tend to be {low}, with high {name} {high}: AUROC "
        f"{max(auroc, 1 - auroc):.2f} over {total} images (medians "
        f"{found.median_normal:.4g} normal, {found.median_abnormal:.4g} abnormal)"
    )
    where = finite.replace("facts", "facts JOIN seen USING (n)") + " AND abnormal = ? ORDER BY"
    limit = f"LIMIT {EXAMPLES}"
    lowest_of = table.images(f"{where} {column}, n {limit}", low == "abnormal")
    highest_of = table.images(f"{where} {column} DESC, n DESC {limit}", high == "abnormal")
    giveaway = Giveaway(name, line, 2 * distance, Together((lowest_of, highest_of)))
    tests.add(found.p, giveaway if distance >= STRONG_AUROC - 0.5 else None)


def _ordered(table: SeenTable, query: str) -> Iterator[NDArray[np.float64]]:
    """Rows of numbers, some thousands at once."""
    rows = table.data.rows(query)
    while some := list(islice(rows, _AT_ONCE)):
        yield np.array(some, np.float64)


@dataclass(frozen=True)
class _Ranks:
    """Of values in order, each with how many images have it and how many of these are abnormal.

    auroc  P(abnormal > normal) + P(equal) / 2
    p      the two-sided p-value of auroc = 1/2 by the normal approximation, with the variance that ties
           leave and a correction of half a step (as scipy.stats.mannwhitneyu, which takes a second to import)
    """

    auroc: float
    p: float
    median_normal: float
    median_abnormal: float

    @classmethod
    def of(cls, ordered: Iterable[NDArray[np.float64]], labels: _Labels) -> _Ranks:
        twice_above, ties, before = 0, 0.0, [0, 0]
        middles = (_middle(labels.normals), _middle(labels.abnormals))
        for rows in ordered:
            values, counts, abnormal = rows[:, 0], rows[:, 1].astype(np.int64), rows[:, 2].astype(np.int64)
            normal = counts - abnormal
            below = before[0] + np.cumsum(normal) - normal
            twice_above += int((abnormal * (2 * below + normal)).sum())
            ties += float((rows[:, 1] ** 3 - rows[:, 1]).sum())
            for side, numbers in enumerate((normal, abnormal)):
                upto = before[side] + np.cumsum(numbers)
                for place, found in middles[side].items():
                    if found is None and place < upto[-1]:
                        middles[side][place] = float(values[np.searchsorted(upto, place, side="right")])
                before[side] = int(upto[-1])
        n, pairs = labels.total, labels.normals * labels.abnormals
        above = twice_above / 2
        variance = pairs / 12 * (n + 1 - ties / (n * (n - 1)))
        z = (max(above, pairs - above) - pairs / 2 - 0.5) / np.sqrt(variance)
        medians = [float(np.mean([value for value in m.values() if value is not None])) for m in middles]
        return cls(above / pairs, min(1.0, float(2 * ndtr(-z))), *medians)


def _middle(number: int) -> dict[int, float | None]:
    """The places, from 0, of the values whose mean is the median of so many."""
    return dict.fromkeys(((number - 1) // 2, number // 2))


def _categorical(table: SeenTable, tests: _Tests, labels: _Labels, name: str, word: str) -> None:
    """`word` is an expression on the table of facts."""
    said = _SAID_AS.get(name, name)
    normals, abnormals, most, alone = array("q"), array("q"), list[tuple[int, int, str]](), _Tests()
    query = (
        f"SELECT {word} AS word, TOTAL(NOT abnormal), TOTAL(abnormal), MIN(n) AS first FROM facts "
        "GROUP BY word ORDER BY first"
    )
    for place, (value, *by_label, _) in enumerate(table.data.rows(query)):
        normal, abnormal = map(int, by_label)
        normals.append(normal)
        abnormals.append(abnormal)
        if len(normals) > labels.total / 2:
            return
        kind, number = restored(value), normal + abnormal
        most.append((number, -place, f"{kind}: {normal} normal and {abnormal} abnormal"))
        most = heapq.nlargest(4, most)
        if min(normal, abnormal) == 0 and number >= SMALLEST_COUNT:
            side, of = ("normal", labels.normals) if abnormal == 0 else ("abnormal", labels.abnormals)
            line = f"all {number} images with {said} {kind} are {side} ({of} of all {labels.total} are)"
            images = table.images(f"FROM facts JOIN seen USING (n) WHERE {word} = ? ORDER BY n", value)
            alone.add(
                _all_of_one(number, of, labels.total), Giveaway(name, line, number / labels.total, images)
            )
    if len(normals) < 2:
        return
    kinds = np.array([normals, abnormals], np.float64).T
    by_label = kinds.sum(axis=0)
    expected = kinds.sum(axis=1, keepdims=True) * by_label / labels.total
    g = 2 * float(xlogy(kinds, kinds / expected).sum())
    share = g / (-2 * float(xlogy(by_label, by_label / labels.total).sum()))
    shown = ", ".join(each for _, _, each in most)
    line = f"{said} tells {share:.0%} of the label's uncertainty over {labels.total} images ({shown})"
    whole = Giveaway(name, line, share)
    tests.add(float(chdtrc(len(kinds) - 1, g)), whole if share >= STRONG_SHARE else None)
    tests.join(alone)


def _all_of_one(number: int, of: int, total: int) -> float:
    """How likely `number` images, drawn from `total`, are all among a given `of` of them."""
    p = 1.0
    for begin in range(0, number, _AT_ONCE):
        left = np.arange(begin, min(number, begin + _AT_ONCE))  # drawn before, so that many fewer are left
        p *= float(np.prod((of - left) / (total - left)))
        if p == 0:
            break
    return p
