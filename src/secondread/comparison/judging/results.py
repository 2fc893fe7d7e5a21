"""The runs of a comparison, read back: scores of the same test images, figures, costs. No torch here."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from secondread.comparison.running.one_run import FAILED, RESULT, Cost
from secondread.comparison.running.plan import Plan, Run
from secondread.errors import UserError
from secondread.evaluation.cases import Cases, join
from secondread.evaluation.packed_cases import Case
from secondread.metrics.few_patients import FEWEST, patients_of_each
from secondread.readings.readings import Readings
from secondread.wording.lists import few
from secondread.wording.short import Short

NEEDED = ("metrics.json", "readings/readings.csv", "readings/run.json")
"""Of a finished run, besides its result."""


@dataclass(frozen=True, repr=False)
class RunResult(Short):
    """What one run gave on the images that every run scored.

    scores       `[n]`, in the order of `Images.paths`
    flagged      `[n]` at the calibrated threshold, or None where there was none
    metrics      the run's own `metrics.json`, on all images that it scored
    learnt_from  content digests of the normals that it learned from
    versions     of packages, at the fit
    """

    run: Run
    scores: NDArray[np.float64]
    flagged: NDArray[np.bool_] | None
    metrics: Mapping[str, Any]
    cost: Cost
    cohorts: Mapping[str, int]
    learnt_from: frozenset[str]
    notes: tuple[str, ...]
    versions: Mapping[str, str]


@dataclass(frozen=True, repr=False)
class Images(Short):
    """The test images that every run scored.

    patients  who an interval resamples
    left_out  test images without a score in some run, with the run and its reason
    """

    cases: tuple[Case, ...]
    abnormal: NDArray[np.bool_]
    patients: NDArray[np.str_]
    left_out: Mapping[str, str]

    @property
    def paths(self) -> tuple[str, ...]:
        return tuple(case.path for case in self.cases)

    @property
    def one_each(self) -> bool:
        """Whether each patient has one image."""
        return len(set(self.patients.tolist())) == len(self.patients)

    @property
    def known_patients(self) -> int:
        """How many patients the manifest names; 0 where it names none."""
        return len({case.patient for case in self.cases if case.patient})

    @property
    def two_of_each(self) -> bool:
        """Whether there are two images of each label at least."""
        return 2 <= int(self.abnormal.sum()) <= len(self.abnormal) - 2

    @property
    def enough_to_test(self) -> bool:
        """Whether there are patients enough of each label for a p-value (`metrics.few_patients`)."""
        return min(patients_of_each(self.abnormal, self.patients)) >= FEWEST


@dataclass(frozen=True, repr=False)
class Results(Short):
    """All that a comparison's folder holds.

    runs     finished ones, in the plan's order
    missing  the others, each with why: the message it failed with, or that it was not run yet
    """

    plan: Plan
    folder: Path
    images: Images
    runs: tuple[RunResult, ...]
    missing: Mapping[Run, str]

    def of(self, method: str, contamination: float = 0.0) -> tuple[RunResult, ...]:
        return tuple(
            result
            for result in self.runs
            if result.run.method == method and result.run.contamination == contamination
        )


def read_results(folder: Path, plan: Plan | None = None) -> Results:
    """Read every finished run. UserError where none is, and where one that was finished is damaged."""
    plan = plan or Plan.read(folder)
    joined: dict[Run, Cases] = {}
    missing: dict[Run, str] = {}
    for run in plan.runs():
        place = folder / run.place
        if (place / RESULT).is_file():
            if lost := [name for name in NEEDED if not (place / name).is_file()]:
                raise UserError(
                    f"{place}: {few(lost)} of this finished run is gone; remove {place}, run again"
                )
            joined[run] = join(Readings.read(place / "readings"), plan.manifest)
        elif (place / FAILED).is_file():
            missing[run] = json.loads((place / FAILED).read_text(encoding="utf-8"))["error"]
        else:
            missing[run] = "not run yet"
    if not joined:
        why = next(iter(missing.values()), "there are no runs")
        raise UserError(f"{folder}: no run has finished; first: {why}")
    images, where = _common(joined)
    runs = tuple(_result(folder, run, cases, where) for run, cases in joined.items())
    return Results(plan, folder, images, runs, missing)


def _common(joined: Mapping[Run, Cases]) -> tuple[Images, dict[str, int]]:
    left_out: dict[str, str] = {}
    for run, joint in joined.items():
        for failure in joint.failures:
            left_out.setdefault(failure.path, f"{run}: {failure.reason}")
    first = next(iter(joined.values()))
    cases = tuple(case for case in first.cases if case.path not in left_out)
    if not cases:
        raise UserError("no test image was scored by every run; the runs' readings say why")
    images = Images(
        cases,
        np.array([case.abnormal for case in cases]),
        np.array([case.group for case in cases]),
        left_out,
    )
    return images, {case.path: place for place, case in enumerate(cases)}


def _result(folder: Path, run: Run, cases: Cases, where: Mapping[str, int]) -> RunResult:
    place = folder / run.place
    said = json.loads((place / RESULT).read_text(encoding="utf-8"))
    chosen: Sequence[Case] = sorted(
        (case for case in cases.cases if case.path in where), key=lambda case: where[case.path]
    )
    flagged = [case.reading.flagged for case in chosen]
    return RunResult(
        run=run,
        scores=np.array([case.score for case in chosen]),
        flagged=None if None in flagged else np.array(flagged, bool),
        metrics=json.loads((place / "metrics.json").read_text(encoding="utf-8")),
        cost=Cost(**said["cost"]),
        cohorts=said["cohorts"],
        learnt_from=frozenset(said["learnt_from"]),
        notes=tuple(said["notes"]),
        versions=said["versions"],
    )
