"""Which cases are shown: the most and the least abnormal, the worst misses, and sheets; each read once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from secondread.evaluation.cases import Case
from secondread.evaluation.evaluation import Evaluation
from secondread.evaluation.parts import PartEvaluation
from secondread.evaluation.promise import map_scale
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
    cases = _falling(evaluation.cases.cases, lambda case: case.score)
    most, least = _ends(cases, shown)
    missed = [case for case in reversed(cases) if case.abnormal and case.reading.flagged is not True][:misses]
    alarms = [case for case in cases if not case.abnormal and case.reading.flagged is not False][:misses]
    scale = map_scale(evaluation.readings)
    by_likelihood = None
    likelihood = next((part for part in evaluation.parts if part.name == LIKELIHOOD), None)
    if likelihood is not None:
        ends = _ends(_falling(cases, lambda case: case.reading.parts[LIKELIHOOD]), shown)
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


def _falling(cases: Sequence[Case], value: Callable[[Case], float]) -> list[Case]:
    return sorted(cases, key=lambda case: (-value(case), case.path))


def _ends(cases: Sequence[Case], shown: int) -> tuple[list[Case], list[Case]]:
    """The first and the last `shown`, outermost first; no case stands in both."""
    first = cases[: min(shown, (len(cases) + 1) // 2)]
    last = cases[len(cases) - min(shown, len(cases) // 2) :]
    return list(first), list(reversed(last))


def _ends_in_words(part: PartEvaluation) -> tuple[str, str]:
    """A two-tailed part does not say which of its ends is the likely one."""
    if part.tail == "two":
        return "Highest values", "Lowest values"
    return "Least likely (highest values)", "Most likely (lowest values)"
