"""What a reader of a comparison must know before the figures."""

from __future__ import annotations

from collections.abc import Sequence

from secondread.comparison.judging.results import Results, RunResult
from secondread.comparison.running.methods import Method
from secondread.metrics.few_patients import FEWEST
from secondread.wording.lists import few

CARRIED = ("calibration_too_small", "failed_pixels", "no_patient_ids", "few")
"""Warnings of single runs, by their kind in `metrics.json`, that a table must not hide."""


def notes(results: Results) -> tuple[str, ...]:
    """Other normals, missing runs, unequal seeds, images left out, and the runs' own warnings."""
    clean = [result for result in results.runs if not result.run.contamination]
    return (
        *_taken_for_normal(results.plan.methods),
        *_other_normals(results, clean),
        *_missing(results),
        *_seeds(results),
        *_left_out(results),
        *_warnings(clean),
        *_units(results),
    )


def _taken_for_normal(methods: Sequence[Method]) -> list[str]:
    names = [method.name for method in methods if _takes_for_normal(method)]
    if not names:
        return []
    return [f"To {few(names, 10)} the unlabelled images are normal ones too (cohorts.unlabelled_as)."]


def _takes_for_normal(method: Method) -> bool:
    return method.recipe.cohorts.unlabelled_as == "normal"


def _other_normals(results: Results, clean: Sequence[RunResult]) -> list[str]:
    """Among the methods that take unlabelled images for normal, or among the others."""
    sets: dict[tuple[int, bool], set[frozenset[str]]] = {}
    for result in clean:
        taking = _takes_for_normal(results.plan.method(result.run.method))
        sets.setdefault((result.run.seed, taking), set()).add(result.learnt_from)
    differ = [str(seed) for seed in sorted({seed for (seed, _), learnt in sets.items() if len(learnt) > 1})]
    if not differ:
        return []
    return [
        f"The methods did not all learn from the same normals (seed {few(differ)}): their recipes' "
        "cohorts differ. Settings such as --set cohorts.unlabelled=400 hold for all."
    ]


def _missing(results: Results) -> list[str]:
    absent: dict[str, list[str]] = {}
    for run, why in results.missing.items():
        absent.setdefault(why, []).append(str(run))
    return [f"Not in the table: {few(runs, 12)}: {why}" for why, runs in absent.items()]


def _seeds(results: Results) -> list[str]:
    """Unequal seeds, and what one seed beside several means."""
    counts = {m.name: len(runs) for m in results.plan.methods if (runs := results.of(m.name))}
    asked = len(results.plan.seeds)
    found = []
    if short := [name for name, count in counts.items() if count < asked]:
        found.append(f"Fewer seeds than the {asked} asked for: {few(short, 10)}")
    single = [name for name, count in counts.items() if count == 1]
    if single and max(counts.values()) > 1:
        found.append(
            f"One seed beside methods with several: {few(single, 10)}. Intervals, ranks and tests of "
            "these hold for this very fit; how other seeds would have differed is no part of them."
        )
    return found


def _left_out(results: Results) -> list[str]:
    if not results.images.left_out:
        return []
    paths = [f"{path} ({why})" for path, why in results.images.left_out.items()]
    return [
        f"{len(paths)} test images have no score in some run and are left out of all: {few(paths)}. Only "
        "figures of pixels and shortcuts are on all images that a run scored."
    ]


def _warnings(clean: Sequence[RunResult]) -> list[str]:
    """Those of the runs themselves, with the methods that have them unless these are all."""
    whose: dict[tuple[str, str], dict[str, None]] = {}
    for result in clean:
        for warning in result.metrics["warnings"]:
            if warning["kind"] in CARRIED:
                whose.setdefault((warning["title"], warning["text"]), {})[result.run.method] = None
    everyone = {result.run.method for result in clean}
    return [
        f"{title}{'' if set(names) == everyone else f' ({few(list(names), 10)})'}: {text}"
        for (title, text), names in whose.items()
    ]


def _units(results: Results) -> list[str]:
    """What images are to patients and studies."""
    images, found = results.images, []
    if not images.one_each:
        found.append("Patients have several images: no DeLong test, which takes images as independent.")
    elif not images.two_of_each:
        found.append("There is one image of a label: no DeLong test, which needs two of each.")
    if not images.enough_to_test:
        found.append(
            f"There are fewer than {FEWEST} patients of a label: no p-value is given, and intervals are at "
            "least as wide as those of so few patients are."
        )
    studies = [case.study for case in images.cases if case.study]
    if len(set(studies)) < len(studies):
        found.append("Some studies have several images: every figure here is per image, none per study.")
    return found
