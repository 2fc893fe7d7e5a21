"""What can be known of a comparison's fits before any of them: for all recipes at once, and once each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from secondread.comparison.running.methods import Method, refuse_two_ranks
from secondread.comparison.running.plan import Plan, Run
from secondread.comparison.running.plan_document import RESULT
from secondread.fitting.checks.first_look import Look, first_look
from secondread.fitting.checks.problem import Problem, found, refuse
from secondread.recipes.outside_code import allow_code_of
from secondread.recipes.recipe import Recipe
from secondread.wording.lists import few
from secondread.wording.numbers import count

Check = Callable[[Recipe, str], list[Problem]]
"""Problems of one fit, from its recipe and what messages call it."""


def refuse_what_cannot_run(plan: Plan, look: Look, folder: Path) -> None:
    """UserError or DataError with a line for everything that would fail, and whose it is.

    First without torch, so that it is told in a second, then with each detector built without memory.
    Methods whose runs are all finished are not looked at.
    """
    changed = plan.changed(folder)
    methods = [method for method in plan.methods if method.name in changed or _left(plan, method, folder)]
    for method in methods:
        allow_code_of(method.recipe)

    def first(recipe: Recipe, source: str) -> list[Problem]:
        return first_look(recipe, plan.manifest, look, source=source)

    own = [method for method in plan.methods if not method.trivial]
    two_ranks = found(lambda: refuse_two_ranks(own))
    refuse([*two_ranks, *_of_all(plan, methods, first)])

    from secondread.fitting.checks.outline import second_look

    def second(recipe: Recipe, source: str) -> list[Problem]:
        return found(lambda: second_look(recipe, plan.manifest, look, source=source))

    refuse(_of_all(plan, methods, second))


def _left(plan: Plan, method: Method, folder: Path) -> bool:
    """Whether a run of the method has no result yet."""
    runs = [run for run in plan.runs() if run.method == method.name]
    return not all((folder / run.place / RESULT).is_file() for run in runs)


def _of_all(plan: Plan, methods: Sequence[Method], check: Check) -> list[Problem]:
    """The problems of every method, each told once with the names of all that have it. A method is looked
    at with its first seed, and with the largest share of contamination where it has some."""
    whose: dict[Problem, dict[str, None]] = {}
    for method in methods:
        shares = (0.0, *(plan.contamination[-1:] if not method.trivial else ()))
        for share in shares:
            recipe = plan.recipe(Run(method.name, plan.seeds[0], share))
            for problem in check(recipe, method.source):
                whose.setdefault(problem, {})[method.name] = None
    return [
        Problem(
            problem.text if len(names) == len(plan.methods) else f"{few(list(names), 10)}: {problem.text}",
            problem.unreadable,
        )
        for problem, names in whose.items()
    ]


def outline_of(plan: Plan, look: Look, folder: Path) -> list[str]:
    """What the comparison would do, in lines. `refuse_what_cannot_run` goes before it."""
    from secondread.fitting.checks.first_look import PARTS
    from secondread.fitting.checks.outline import second_look, stage_lines
    from secondread.fitting.checks.room import bytes_of_images
    from secondread.training.planning.planned_stages import planned_stages
    from secondread.wording.sizes import in_words, times

    lines = []
    for method in plan.methods:
        recipe = plan.recipe(Run(method.name, plan.seeds[0]))
        detector, cohorts = second_look(recipe, plan.manifest, look, source=method.source)
        sizes = {name: len(getattr(cohorts, name)) for name in (*PARTS, "auxiliary")}
        prepared, images = recipe.preprocessing, sum(sizes.values())
        numbers = sum(value.numel() for value in detector.state_dict().values())
        lines += [
            f"{method.name}: {', '.join(f'{size:,} {name}' for name, size in sizes.items() if size)}, as "
            f"{times((prepared.channels, *prepared.size))} (up to "
            f"{in_words(bytes_of_images(prepared, images))} on disk); "
            f"{count(numbers, 'number')} in the detector",
            *(
                f"  {line}"
                for line in stage_lines(
                    planned_stages(detector.stages(), recipe.stages, sizes, detector.uses)
                )
            ),
        ]
    runs = list(plan.runs())
    done = sum((folder / run.place / RESULT).is_file() for run in runs)
    test = [row for row in plan.manifest.rows if row.split == "test" and row.label]
    return [
        *lines,
        f"{len(runs):,} runs, {done:,} of them finished: {len(plan.methods)} methods, seeds "
        f"{', '.join(map(str, plan.seeds))}; {len(test):,} test images; others are tested against "
        f"{plan.reference}",
        f"output: {folder}",
    ]
