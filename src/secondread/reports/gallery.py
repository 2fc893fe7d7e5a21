"""Which cases are shown: the most and the least abnormal, and the worst misses; each read once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from secondread.evaluation.cases import Case
from secondread.evaluation.evaluate import Evaluation
from secondread.evaluation.promise import map_scale
from secondread.reports.pictures import Drawn, Wanted, draw_pictures

SHOWN = 36
MISSES = 12


@dataclass(frozen=True)
class Tile:
    """One case with its picture."""

    case: Case
    drawn: Drawn


@dataclass(frozen=True)
class Gallery:
    """Tiles, each group in the order of its title.

    scale  the map values of no heat and full heat, or None where no heat is shown
    """

    most: tuple[Tile, ...]
    least: tuple[Tile, ...]
    missed: tuple[Tile, ...]
    false_alarms: tuple[Tile, ...]
    scale: tuple[float, float] | None


def make_gallery(
    evaluation: Evaluation, *, workers: int, shown: int = SHOWN, misses: int = MISSES
) -> Gallery:
    """Choose the cases and draw each once."""
    cases = sorted(evaluation.cases.cases, key=lambda case: (-case.score, case.path))
    most = cases[: min(shown, (len(cases) + 1) // 2)]
    least = cases[len(cases) - min(shown, len(cases) // 2) :][::-1]
    missed = [case for case in reversed(cases) if case.abnormal and case.reading.flagged is not True][:misses]
    alarms = [case for case in cases if not case.abnormal and case.reading.flagged is not False][:misses]
    scale = map_scale(evaluation.readings)
    groups: list[Sequence[Case]] = [most, least, missed, alarms]
    wanted = {case.path: case for group in groups for case in group}
    drawn = dict(
        zip(
            wanted,
            draw_pictures(
                [
                    Wanted(case.reference, None if case.reading.map is None else str(case.reading.map), scale)
                    for case in wanted.values()
                ],
                workers=workers,
            ),
            strict=True,
        )
    )

    def tiles(group: Sequence[Case]) -> tuple[Tile, ...]:
        return tuple(Tile(case, drawn[case.path]) for case in group)

    return Gallery(
        most=tiles(most),
        least=tiles(least),
        missed=tiles(missed),
        false_alarms=tiles(alarms),
        scale=scale if any(picture.heat for picture in drawn.values()) else None,
    )
