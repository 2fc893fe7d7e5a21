"""Which cases are shown: the most and the least abnormal, the worst misses, and sheets; each read once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from secondread.evaluation.evaluation import Evaluation
from secondread.evaluation.packed_cases import Case, PackedCases
from secondread.evaluation.parts import PartEvaluation
from secondread.evaluation.promise import map_scale
from secondread.readings.streamed.reading_blocks import FLAGGED, NOT_FLAGGED
from secondread.reports.pictures import Drawn, Wanted, draw_pictures

SHOWN = 36
MISSES = 12
LIKELIHOOD = "likelihood"


@dataclass(frozen=True)
class Tile:
    """One case with its picture."""

    case: Case
    drawn: Drawn


@dataclass(frozen=True)
class Sheet:
    """Thumbnails at both ends of one order.

    title            what the order is by
    top, bottom      what the first and the second grid show, in words
    highest, lowest  the ends, each with its outermost case first
    """

    title: str
    top: str
    bottom: str
    highest: tuple[Tile, ...]
    lowest: tuple[Tile, ...]


@dataclass(frozen=True)
class Gallery:
    """Tiles, each group in the order of its title.

    scale  the map values of no heat and full heat, or None where no heat is shown
    """

    most: tuple[Tile, ...]
    least: tuple[Tile, ...]
    missed: tuple[Tile, ...]
    false_alarms: tuple[Tile, ...]
    sheets: tuple[Sheet, ...]
    scale: tuple[float, float] | None


def make_gallery(
    evaluation: Evaluation, *, workers: int, shown: int = SHOWN, misses: int = MISSES
) -> Gallery:
    """Choose the cases and draw each once."""
    cases = evaluation.cases.cases
    falling = _falling(cases, cases.scores)
    most, least = _ends(cases, falling, shown)
    abnormal, flags = cases.abnormal[falling], cases.flags[falling]
    missed = [cases[at] for at in falling[abnormal & (flags != FLAGGED)][::-1][:misses].tolist()]
    alarms = [cases[at] for at in falling[~abnormal & (flags != NOT_FLAGGED)][:misses].tolist()]
    scale = map_scale(evaluation.readings)
    by_likelihood = None
    likelihood = next((part for part in evaluation.parts if part.name == LIKELIHOOD), None)
    if likelihood is not None:
        ends = _ends(cases, _falling(cases, likelihood.values), shown)
        # a score that is the likelihood alone gives the same pictures again
        by_likelihood = None if ends == (most, least) else ends
    on_sheets: list[Sequence[Case]] = [most, least, *(by_likelihood or ())]
    small = {case.path for group in on_sheets for case in group}
    wanted = {case.path: case for group in (*on_sheets, missed, alarms) for case in group}
    drawn = dict(
        zip(
            wanted,
            draw_pictures(
                [
                    Wanted(
                        case.reference,
                        None if case.reading.map is None else str(case.reading.map),
                        scale,
                        thumbnail=case.path in small,
                    )
                    for case in wanted.values()
                ],
                workers=workers,
            ),
            strict=True,
        )
    )

    def tiles(group: Sequence[Case]) -> tuple[Tile, ...]:
        return tuple(Tile(case, drawn[case.path]) for case in group)

    sheets = []
    if most and least:
        sheets.append(
            Sheet("by the score", "Least likely (most abnormal)", "Most likely (least abnormal)",
                  tiles(most), tiles(least))
        )  # fmt: skip
    if likelihood is not None and by_likelihood is not None:
        top, bottom = _ends_in_words(likelihood)
        sheets.append(Sheet("by the part likelihood", top, bottom, *map(tiles, by_likelihood)))
    return Gallery(
        most=tiles(most),
        least=tiles(least),
        missed=tiles(missed),
        false_alarms=tiles(alarms),
        sheets=tuple(sheets),
        scale=scale if any(picture.heat for picture in drawn.values()) else None,
    )


def _falling(cases: PackedCases, values: NDArray[np.float64]) -> NDArray[np.int64]:
    """The places of all cases, the highest value first; of equal ones by their paths."""
    order = np.argsort(-values, kind="stable")
    ends = np.flatnonzero(np.diff(values[order], append=np.nan)) + 1
    begins = np.append(0, ends)[:-1]
    for begin, end in zip(begins[ends - begins > 1], ends[ends - begins > 1], strict=True):
        order[begin:end] = sorted(order[begin:end].tolist(), key=cases.paths.__getitem__)
    return order


def _ends(cases: PackedCases, order: NDArray[np.int64], shown: int) -> tuple[list[Case], list[Case]]:
    """The first and the last `shown`, outermost first; no case stands in both."""
    first = order[: min(shown, (len(order) + 1) // 2)]
    last = order[len(order) - min(shown, len(order) // 2) :]
    return [cases[at] for at in first.tolist()], [cases[at] for at in last[::-1].tolist()]


def _ends_in_words(part: PartEvaluation) -> tuple[str, str]:
    """A two-tailed part does not say which of its ends is the likely one."""
    if part.tail == "two":
        return "Highest values", "Lowest values"
    return "Least likely (highest values)", "Most likely (lowest values)"
