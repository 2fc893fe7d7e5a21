"""All runs of a plan, and their table."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from secondread.cohorts.manifest import Manifest, ManifestLike
from secondread.comparison.running.checks import refuse_what_cannot_run
from secondread.comparison.running.here import run_here
from secondread.comparison.running.local import run_locally
from secondread.comparison.running.methods import Recipes
from secondread.comparison.running.one_run import Task
from secondread.comparison.running.plan import Plan
from secondread.comparison.running.plan_document import FILE
from secondread.comparison.running.task_display import showing
from secondread.errors import UserError
from secondread.fitting.checks.first_look import Look
from secondread.outputs.folders import output_folder
from secondread.settings.arguments import checked
from secondread.tracking.logger_names import refuse_loggers

if TYPE_CHECKING:
    from secondread.comparison.judging.table import Table

MANIFEST = "manifest.csv"
"""In the comparison's folder, where the rows came from no file."""
Execute = Callable[[Sequence[Task]], None]
"""Does tasks, or goes on with them, wherever; returns when each has a result or a reason why not."""


@dataclass(frozen=True)
class How:
    """What a run may use, and where prepared images are kept (None = the user's cache folder).

    workers    processes of each run that decode; they are idle while it computes
    elsewhere  the runs are on other machines, whose devices may be others
    loggers    of each fit, by name; see `fitting.fit`
    """

    device: str = "auto"
    threads: int = 1
    workers: int = 1
    cache: Path | None = None
    bootstrap: int = 2000
    elsewhere: bool = False
    loggers: tuple[str, ...] = ()

    @property
    def look(self) -> Look:
        """How each fit is looked at beforehand; the devices of other machines are not known here."""
        return Look("auto" if self.elsewhere else self.device, self.cache, self.workers)


@checked
def compare(
    manifest: ManifestLike,
    recipes: Recipes,
    out: str | Path,
    *,
    seeds: Sequence[int] | None = None,
    reference: str | None = None,
    settings: Sequence[str] = (),
    contamination: Sequence[float] = (),
    maps: bool | None = None,
    where: Sequence[str] = (),
    jobs: int | None = None,
    how: How | None = None,
    progress: bool = True,
) -> Table:
    """Fit and judge many recipes alike on this machine, with the trivial baselines beside them.

    manifest       with a split and labelled test rows; one that lies in no file is written into `out`
    recipes        presets or YAML files, or NAME=RECIPE to call a row by another name; or a mapping of names
                   to any of these, to `Recipe`s or to mappings with a recipe's sections
    seeds          of the fits of each; none = 0, 1 and 2
    reference      the name that all others are tested against; none = the first
    settings       KEY=VALUE for all, or NAME:KEY=VALUE for one
    contamination  shares of the normals that are replaced by abnormal ones in further fits
    maps           whether maps are written and judged; none = where test rows have masks
    jobs           runs at once at most; none = as many as the cores allow; 0 = one after another in this
                   process, which knows detectors that a notebook defines

    The folder `out` keeps every run; the same call goes on where it was stopped. Raises UserError where a
    recipe is not valid, and where no run has finished; `KeyboardInterrupt` after everything is saved.

    >>> import secondread
    >>> manifest = secondread.make_phantoms("phantoms", seed=0, n_normal=50, n_abnormal=10)
    >>> table = secondread.compare(
    ...     manifest, ["spectrum"], "comparison", seeds=[0], maps=False, progress=False, jobs=0
    ... )
    >>> sorted(row.name for row in table.rows)
    ['mean-intensity', 'pixel-1nn', 'spectrum']
    """
    rows = Manifest.of(manifest)
    if rows.kept is not None:
        raise UserError(
            "compare goes on later, and images in a temporary folder do not stay: "
            "give manifest_of_arrays a folder"
        )
    if not rows.source:
        rows = rows.with_absolute_paths()
    earlier = Plan.read(Path(out), rows) if (Path(out) / FILE).is_file() else None
    plan = Plan.of(
        rows,
        recipes,
        seeds=seeds,
        reference=reference,
        settings=settings,
        contamination=contamination,
        maps=maps,
        where=where,
        earlier=earlier,
    )
    show = showing(progress)
    return run_plan(
        plan,
        out,
        partial(run_here, show=show) if jobs == 0 else partial(run_locally, jobs=jobs, show=show),
        how,
    )


def run_plan(plan: Plan, out: str | Path, execute: Execute | None, how: How | None = None) -> Table:
    """Do what is left of the plan in the folder `out`, and make the table of all that is finished.

    execute  `local.run_locally` or `ray_cluster.run_on_ray` with their settings; None = the table alone, also
             while another process does the runs

    Run again with the same folder it goes on where it was; a run that failed is tried again, and a method
    whose settings have changed runs again alone. Raises UserError for all that would fail, before anything
    runs, and where no run has finished.
    """
    out, how = Path(out), how or How()
    if execute is not None:
        refuse_loggers(how.loggers)
        refuse_what_cannot_run(plan.within(out), how.look, out)

    from secondread.comparison.judging.results import read_results
    from secondread.comparison.judging.table import make_table

    if execute is None:
        return make_table(read_results(out, _as_it_ran(plan, out)), bootstrap=how.bootstrap)
    with output_folder(out, "compare"):
        if not plan.manifest.source:
            plan = replace(plan, manifest=replace(plan.manifest, source=str(out / MANIFEST)))
        plan = plan.begin(out)
        if plan.manifest.source == str(out / MANIFEST):
            plan.manifest.write(out / MANIFEST)
        execute([task for task in tasks(plan, out, how) if not task.done])
        return make_table(read_results(out, plan), bootstrap=how.bootstrap)


def _as_it_ran(plan: Plan, out: Path) -> Plan:
    """The plan and what the folder holds of an earlier one. UserError where a method ran with other
    settings."""
    for name, settings in plan.changed(out).items():
        raise UserError(
            f"{out}: {name} ran with other settings ({settings}); leave out --tabulate to run it again, or "
            "leave out the settings"
        )
    return plan.within(out)


def tasks(plan: Plan, out: Path, how: How) -> list[Task]:
    """One for each run, in the order of work."""
    return [
        Task(
            folder=str((out / run.place).absolute()),
            manifest=str(Path(plan.manifest.source).absolute()),
            recipe=plan.recipe(run).model_dump(mode="json"),
            maps=plan.maps,
            where=plan.where,
            device=how.device,
            threads=how.threads,
            workers=how.workers,
            cache=None if how.cache is None else str(how.cache.absolute()),
            bootstrap=how.bootstrap,
            loggers=how.loggers,
        )
        for run in plan.runs()
    ]
