"""From a paper and a manifest to comparisons that can be run. No torch here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product

from secondread.cohorts.cohorts import Cohorts
from secondread.cohorts.manifest import Manifest
from secondread.cohorts.unlabelled import in_pool
from secondread.comparison.running.methods import Given
from secondread.errors import UserError
from secondread.fitting.checks.first_look import Look, first_cohorts
from secondread.recipes.recipe import Recipe
from secondread.reproduction.paper import Figure, Paper, PaperTable, Row
from secondread.wording.lists import few

ALL = "all"
RATE, NUMBER = "cohorts.anomaly_rate=", "cohorts.unlabelled="


@dataclass(frozen=True)
class PlannedRow:
    """A fit of the table.

    at       its value on the curve; None where there is none, or for all that there is
    whole    whether it is no point of a curve, or the last of its row
    cohorts  of the first seed
    """

    name: str
    row: Row
    recipe: Recipe
    cohorts: Cohorts
    at: float | None = None
    whole: bool = True

    @property
    def figures(self) -> tuple[Figure, ...]:
        """Published ones; on a curve they stand at its end, which is nearest to the paper's size."""
        return self.row.published if self.whole else ()


@dataclass(frozen=True)
class PlannedTable:
    """A table that can be run, and what of it cannot.

    findings  the two that `PaperTable.unseen` is about, the first in the unlabelled images
    left_out  a line for each row that the data do not allow
    """

    table: PaperTable
    rows: tuple[PlannedRow, ...]
    findings: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()

    @property
    def recipes(self) -> dict[str, Given]:
        return {planned.name: planned.recipe for planned in self.rows}


def planned_tables(
    paper: Paper,
    manifest: Manifest,
    look: Look,
    *,
    reduced: bool,
    settings: Sequence[str] = (),
    dataset: str = "",
) -> tuple[PlannedTable, ...]:
    """The paper's tables on these rows. UserError where none of them can be run.

    dataset   whose published repartition is meant, where images lie in an unlabelled pool
    settings  over those of the paper: KEY=VALUE for all rows, or NAME:KEY=VALUE for one
    """
    known = {row.name for table in paper.tables for row in table.rows}
    for setting in settings:
        name, colon, _ = setting.partition("=")[0].partition(":")
        if colon and name not in known:
            raise UserError(f"--set {setting}: no row is called {name}; there are {', '.join(sorted(known))}")
    pooled = any(map(in_pool, manifest.rows)) and not reduced
    planned = tuple(
        _planned(
            table, manifest, look, reduced, [*(table.pool.get(dataset, ()) if pooled else ()), *settings]
        )
        for table in paper.tables
    )
    if not any(table.rows for table in planned):
        raise UserError("\n".join(dict.fromkeys(line for table in planned for line in table.left_out)))
    return planned


def _planned(
    table: PaperTable, manifest: Manifest, look: Look, reduced: bool, settings: Sequence[str]
) -> PlannedTable:
    findings: tuple[str, ...] = ()
    if table.unseen:
        findings = two_findings(manifest)
        if len(findings) < 2:
            return PlannedTable(
                table, (), (), (f"{table.title}: needs two findings among abnormal training rows; give them "
                                "in the column finding",)
            )  # fmt: skip
    rows: list[PlannedRow] = []
    left_out: dict[str, list[str]] = {}
    given = gives_unlabelled(manifest)
    for row, at in product(table.rows, _values(table, reduced)):
        name = row.name if table.curve is None else f"{row.name}-at-{_short(at)}"
        own = [
            setting
            for setting in _settings_of(table, row, reduced)
            if not (given and setting.startswith(RATE))
        ]
        wanted = [*own, *_at(table, at), *_for_row(settings, row.name)]
        if unequal := _of_no_size(table, wanted):
            left_out.setdefault(unequal, []).append(name)
            continue
        filled = [_filled(setting, findings) for setting in wanted]
        recipe = _recipe(table, row, reduced, filled)
        try:
            cohorts = first_cohorts(recipe, manifest, look)
        except UserError as error:
            left_out.setdefault(str(error), []).append(name)
            continue
        if more := _asks_for_more(table, at, cohorts):
            left_out.setdefault(more, []).append(name)
            continue
        rows.append(PlannedRow(name, row, recipe, cohorts, at))
    last = {planned.row.name: planned.name for planned in rows}
    rows = [replace(planned, whole=last[planned.row.name] == planned.name) for planned in rows]
    lines = [f"{table.title}: {few(names, 10)} left out: {reason}" for reason, names in left_out.items()]
    if given and RATE in "".join(_every_setting(table)):
        lines.append(f"{table.title}: the manifest's own unlabelled images are taken as they are")
    return PlannedTable(table, tuple(rows), findings, tuple(lines))


def gives_unlabelled(manifest: Manifest) -> bool:
    """Whether training rows are unlabelled by themselves, so that none need be made of labelled ones."""
    return any(row.split == "train" and not row.label and not in_pool(row) for row in manifest.rows)


def _every_setting(table: PaperTable) -> Iterator[str]:
    yield from table.settings
    for row in table.rows:
        yield from row.settings


def _for_row(settings: Sequence[str], name: str) -> Iterator[str]:
    """Those for all rows, and those that begin with the row's name."""
    for setting in settings:
        whose, colon, _ = setting.partition("=")[0].partition(":")
        if not colon:
            yield setting
        elif whose == name:
            yield setting[len(name) + 1 :]


def _recipe(table: PaperTable, row: Row, reduced: bool, settings: Sequence[str]) -> Recipe:
    source = table.reduced.recipes.get(row.name, row.recipe) if reduced else row.recipe
    preset = Recipe.load(source)
    stages = {name: stage for name, stage in preset.stages.items() if name not in row.drop}
    values = preset.model_copy(update={"stages": stages}).model_dump(mode="json")
    return Recipe.from_mapping(values, source=f"{table.key}: {row.name}", set=settings)


def _settings_of(table: PaperTable, row: Row, reduced: bool) -> Iterator[str]:
    yield from table.settings
    if not reduced:
        yield from row.settings
        return
    yield from table.reduced.rows.get(row.name, row.settings)
    yield from table.reduced.settings


def _values(table: PaperTable, reduced: bool) -> tuple[float | None, ...]:
    if table.curve is None:
        return (None,)
    values = table.reduced.values if reduced and table.reduced.values else table.curve.values
    return (*values, None) if table.curve.whole and not reduced else values


def _at(table: PaperTable, value: float | None) -> list[str]:
    return [] if table.curve is None or value is None else [f"{table.curve.setting}={_short(value)}"]


def _short(value: float | None) -> str:
    return ALL if value is None else f"{value:g}"


def _filled(setting: str, findings: Sequence[str]) -> str:
    """`#1` and `#2` stand for the findings that the rows are made for."""
    for number, finding in enumerate(findings, 1):
        setting = setting.replace(f"#{number}", f'"{finding}"')
    return setting


def _of_no_size(table: PaperTable, settings: Sequence[str]) -> str:
    """That a curve of shares of unlabelled images is not told how many: each would have another number."""
    if table.curve is None or f"{table.curve.setting}=" != RATE:
        return ""
    if any(setting.startswith(NUMBER) for setting in settings):
        return ""
    return f"it compares equally many unlabelled images; give their number with --set {NUMBER}N"


def _asks_for_more(table: PaperTable, value: float | None, cohorts: Cohorts) -> str:
    """That a number of images of the curve is not there: it would give the point of a smaller number."""
    cohort = {"cohorts.max_normal": "normal", "cohorts.unlabelled": "unlabelled"}.get(
        "" if table.curve is None else table.curve.setting
    )
    if cohort is None or value is None:
        return ""
    there = len(getattr(cohorts, cohort))
    return f"the manifest gives {there:,} {cohort} images of {value:,.0f}" if there < value else ""


def two_findings(manifest: Manifest) -> tuple[str, ...]:
    """The two most frequent findings of abnormal training rows, by name where they are as frequent."""
    counts = Counter(
        finding
        for row in manifest.rows
        if row.split == "train" and row.label == "abnormal"
        for finding in row.findings
    )
    return tuple(sorted(counts, key=lambda finding: (-counts[finding], finding))[:2])
