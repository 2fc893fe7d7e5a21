"""A paper's tables run again: each a comparison in a folder of its own, then all of them on one page."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from secondread.cohorts.manifest import Manifest, ManifestLike
from secondread.comparison.compare import Execute, How, run_plan
from secondread.comparison.running.checks import outline_of, refuse_what_cannot_run
from secondread.comparison.running.plan import Plan
from secondread.comparison.running.plan_document import FILE
from secondread.errors import UserError
from secondread.outputs.folders import output_folder, refuse_other_folder
from secondread.outputs.whole import write_whole
from secondread.reproduction.paper import Paper, paper_called
from secondread.reproduction.planned_tables import PlannedTable, planned_tables
from secondread.terminal.say import say

if TYPE_CHECKING:
    from secondread.comparison.judging.table import Table

DOCUMENT = "reproduction.json"


@dataclass(frozen=True)
class Reproduction:
    """A paper on a manifest's rows, settled before anything runs.

    dataset   key of the published figures that stand beside the measured ones; empty = none
    reduced   whether the paper's declared smaller size is run
    settings  KEY=VALUE over the paper's, for all rows
    where     filters of the manifest's rows
    same_data  whether somebody said that the rows are of `dataset`, so that a difference means something
    """

    paper: Paper
    manifest: Manifest
    tables: tuple[PlannedTable, ...]
    seeds: tuple[int, ...]
    dataset: str
    reduced: bool
    settings: tuple[str, ...] = ()
    where: tuple[str, ...] = ()
    same_data: bool = False

    @classmethod
    def of(
        cls,
        name: str,
        manifest: ManifestLike,
        *,
        how: How | None = None,
        reduced: bool = False,
        seeds: int | None = None,
        dataset: str | None = None,
        settings: Sequence[str] = (),
        where: Sequence[str] = (),
    ) -> Reproduction:
        """`name` is that of a paper, or a YAML file of one's own. UserError for a paper that is not known, a
        data set that it has not, and where the rows allow none of its tables."""
        paper, rows = paper_called(name), Manifest.of(manifest)
        if not rows.source:
            raise UserError("reproduce needs a manifest that lies in a file; write it with Manifest.write")
        if dataset is not None and dataset not in paper.datasets:
            raise UserError(
                f"{dataset!r} is no data set of {name}; its figures were published on "
                f"{', '.join(paper.datasets)}"
            )
        known = dataset or (paper.datasets[0] if paper.datasets else "")
        look = (how or How()).look
        tables = planned_tables(
            paper, rows.where(*where), look, reduced=reduced, settings=settings, dataset=known
        )
        count = seeds or (1 if reduced else paper.seeds)
        return cls(
            paper, rows, tables, tuple(range(count)), known, reduced, tuple(settings), tuple(where),
            same_data=dataset is not None,
        )  # fmt: skip

    @property
    def left_out(self) -> tuple[str, ...]:
        return tuple(line for table in self.tables for line in table.left_out)

    def plan(self, table: PlannedTable, out: Path) -> Plan:
        """The comparison of one table."""
        folder = out / table.table.key
        return Plan.of(
            self.manifest,
            table.recipes,
            seeds=self.seeds,
            maps=False,
            where=self.where,
            earlier=Plan.read(folder, self.manifest) if (folder / FILE).is_file() else None,
        )

    def outline(self, out: Path, how: How) -> list[str]:
        """What would be done, in lines; raises all that would fail."""
        refuse_other_folder(out, "reproduce")
        lines = [f"{self.paper.title} ({self.paper.source})"]
        if self.reduced:
            lines.append(f"reduced: {self.paper.reduced}")
        for table in self._with_rows:
            plan, folder = self.plan(table, out), out / table.table.key
            refuse_what_cannot_run(plan.within(folder), how.look, folder)
            lines += [f"{table.table.title}:", *(f"  {line}" for line in outline_of(plan, how.look, folder))]
        return [*lines, *(f"note: {line}" for line in self.left_out)]

    def run(self, out: Path, execute: Execute, how: How, *, progress: bool = True) -> dict[str, Table]:
        """Do what is left in the folder `out`; the table of each comparison by its key. All that would fail
        in any of them is refused first."""
        plans = [(table, self.plan(table, out)) for table in self._with_rows]
        with output_folder(out, "reproduce"):
            for table, plan in plans:
                refuse_what_cannot_run(plan.within(out / table.table.key), how.look, out / table.table.key)
            self._begin(out)
            found = {}
            for table, plan in plans:
                say(table.table.title, shown=progress)
                found[table.table.key] = run_plan(plan, out / table.table.key, execute, how)
            return found

    @property
    def _with_rows(self) -> list[PlannedTable]:
        return [table for table in self.tables if table.rows]

    def _begin(self, out: Path) -> None:
        """`reproduction.json`. UserError where another paper, or the other size, lies there."""
        file = out / DOCUMENT
        now = {"paper": self.paper.name, "reduced": self.reduced}
        if file.is_file():
            then = json.loads(file.read_text(encoding="utf-8"))
            if any(then.get(name) != value for name, value in now.items()):
                size = " at a reduced size" if then.get("reduced") else ""
                raise UserError(f"{out}: holds {then.get('paper')}{size}; choose another folder with -o")
        write_whole(file, json.dumps({**now, "settings": list(self.settings)}, indent=1).encode())
