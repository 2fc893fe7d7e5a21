"""What a written comparison says, as sections of cells: every way of writing it shows the same."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from secondread.comparison.judging.rows import SPECIFICITIES, MethodRow, Spread
from secondread.comparison.judging.table import FAMILIES, Family, Pair, Table
from secondread.comparison.writing.cells import Cell, Line, Section, measure, named, percent, spread
from secondread.comparison.writing.check_sections import contamination, missed, shortcuts
from secondread.metrics.ranks import holm
from secondread.wording.numbers import number, p_value, signed, span

LEVEL = 0.05
"""Of a test after Holm's correction."""
CHANCE = 0.5
"""The AUROC of a score that knows nothing."""
HOW_DECIDED = (
    "Sensitivity at a fixed specificity is read off the test’s own ROC; the calibrated threshold was set on "
    "normal images beforehand, and its promised share of false alarms stands beside the observed one."
)
PIXEL_NAMES = {
    "auroc": "AUROC",
    "average_precision": "AP",
    "pro": "PRO",
    "dice_oracle": "Dice, oracle threshold",
    "dice_calibrated": "Dice, calibrated threshold",
}


@dataclass(frozen=True)
class Column:
    head: str
    cell: Callable[[MethodRow], Cell]


def not_worse(table: Table) -> frozenset[str]:
    """The method with the highest mean AUROC, and those that no test tells from it, Holm's correction being
    over the tests against it. Which one is highest is seen on the same images: a mark, and no claim.

    Where few patients allow no test, those alone that are equal to it in the digits shown. None whose
    interval reaches down to chance: being no worse than the best says nothing good of it.
    """
    best = table.rows[0]
    against = [pair for pair in table.pairs if best.name in (pair.first, pair.second)]
    known = [pair for pair in against if not math.isnan(pair.p_value)]
    corrected = holm([pair.p_value for pair in known]) if known else ()
    alike = {row.name for row in table.rows if number(row.auroc.mean) == number(best.auroc.mean)}
    alike |= {
        name
        for pair, p in zip(known, corrected, strict=True)
        if p >= LEVEL
        for name in (pair.first, pair.second)
    }
    return frozenset(row.name for row in table.rows if row.name in alike and row.auroc_interval[0] > CHANCE)


def _area(row: MethodRow) -> Cell:
    found = spread(row.auroc)
    return Cell(found.value, found.deviation, span(row.auroc_interval))


def _precision(row: MethodRow) -> Cell:
    found = spread(row.average_precision)
    return Cell(found.value, found.deviation, span(row.average_precision_interval))


def _share(found: Spread | None, interval: tuple[float, float] | None) -> Cell:
    cell = percent(found)
    if interval is None:
        return cell
    return Cell(cell.value, cell.deviation, span((100 * interval[0], 100 * interval[1]), 1))


def _at(specificity: float) -> Column:
    return Column(
        f"Sensitivity at specificity {specificity:g}, %", lambda row: percent(row.sensitivity_at[specificity])
    )


AREA = Column("AUROC (95 % interval)", _area)
AREAS = (
    Column("Seeds", lambda row: Cell(str(len(row.seeds)))),
    AREA,
    Column("AP (95 % interval)", _precision),
)
FIXED = tuple(_at(specificity) for specificity in SPECIFICITIES)
THRESHOLD = (
    Column(
        "False alarms promised, %",
        lambda row: Cell(number(None if row.promised is None else 100 * row.promised, 1)),
    ),
    Column(
        "False alarms observed, % (95 % interval)",
        lambda row: _share(row.false_alarm_rate, row.false_alarm_interval),
    ),
    Column(
        "Sensitivity at that threshold, % (95 % interval)",
        lambda row: _share(row.sensitivity, row.sensitivity_interval),
    ),
)
RANK = (Column("Rank (95 % range)", lambda row: Cell(number(row.rank, 1), interval=_ranks(row.rank_range))),)


def _ranks(pair: tuple[float, float]) -> str:
    return "" if any(map(math.isnan, pair)) else f"{pair[0]:g}–{pair[1]:g}"


def of_methods(
    table: Table, name: str, title: str, lead: Sequence[str], columns: Sequence[Column]
) -> Section:
    """One line per method, best AUROC first."""
    best = not_worse(table)
    area = [index for index, column in enumerate(columns, 1) if column is AREA]
    return Section(
        name,
        title,
        " ".join(lead),
        ("Method", *(column.head for column in columns)),
        tuple(
            Line(
                (Cell(named(row.name, table)), *(column.cell(row) for column in columns)),
                "reference" if row.reference else "trivial" if row.trivial else "",
                row.name in best,
            )
            for row in table.rows
        ),
        bold=area[0] if area else None,
    )


def main(table: Table) -> Section:
    lead = (_over_seeds(table), _how_ranked(table), HOW_DECIDED)
    return of_methods(table, "methods", "Methods", lead, (*AREAS, *FIXED, *THRESHOLD, *RANK))


def ranking(table: Table) -> Section:
    lead = (_over_seeds(table), _how_ranked(table))
    return of_methods(table, "ranking", "Ranking", lead, (*AREAS, *RANK))


def decisions(table: Table) -> Section:
    lead = (_over_seeds(table), HOW_DECIDED)
    return of_methods(table, "decisions", "Decisions", lead, (*FIXED, *THRESHOLD))


def _over_seeds(table: Table) -> str:
    if not table.many_seeds:
        return "One seed, so no standard deviation."
    single = any(len(row.seeds) == 1 for row in table.rows)
    return "Mean ± standard deviation over seeds" + (" (one seed has none)." if single else ".")


def _how_ranked(table: Table) -> str:
    return (
        f"Intervals and ranks: {_drawn(table)} resampled {table.bootstrap:,} times. Bold: the highest "
        f"mean AUROC and those not significantly below it (p ≥ {LEVEL:g}, Holm’s correction over the tests "
        "against it), where their intervals lie above chance."
    )


def _drawn(table: Table) -> str:
    return "patients and seeds" if table.many_seeds else "patients"


def pixels(table: Table) -> Section | None:
    """None where no method has a figure of pixels."""
    there = [metric for metric in PIXEL_NAMES if any(metric in row.pixel for row in table.rows)]
    if not there:
        return None

    def column(metric: str) -> Column:
        return Column(PIXEL_NAMES[metric], lambda row: spread(row.pixel.get(metric)))

    lead = (
        _over_seeds(table),
        "Heat maps against outlines; the oracle’s threshold is chosen on these very outlines.",
    )
    return of_methods(table, "pixels", "Pixels", lead, [column(metric) for metric in there])


def cost(table: Table) -> Section:
    runs = table.results.runs
    machines = sorted({f"{run.cost.device} (torch threads: {run.cost.threads})" for run in runs})
    gpu = {
        row.name: Spread.of([run.cost.gpu_memory_bytes for run in table.results.of(row.name)])
        for row in table.rows
    }
    columns = [
        Column("Training, s", lambda row: measure(row.train_seconds)),
        Column("Scoring, ms per image", lambda row: measure(row.score_seconds, 1e3)),
        Column("Peak memory, MiB", lambda row: measure(row.peak_memory_bytes, 2**-20)),
        Column("Parameters", lambda row: Cell(f"{row.parameters:,}")),
        Column("Bundle, MiB", lambda row: measure(Spread.over([row.bundle_bytes]), 2**-20)),
    ]
    if any(gpu.values()):
        highest = Column("Peak GPU memory, MiB", lambda row: measure(gpu[row.name], 2**-20))
        columns.insert(3, highest)
    lead = (
        _over_seeds(table),
        f"On {' and '.join(machines)}. Training holds the stages alone; scoring begins with prepared images "
        f"and holds {'maps and ' if table.results.plan.maps else ''}writing; parameters are all fitted "
        "numbers.",
    )
    return of_methods(table, "cost", "Cost", lead, columns)


def pair_tests(table: Table) -> list[Section]:
    """One section for each family that has a pair."""
    return [_family(table, family, own) for family in FAMILIES if (own := _pairs(table, family))]


def _pairs(table: Table, family: Family) -> list[Pair]:
    return [pair for pair in table.pairs if pair.family == family]


def _family(table: Table, family: Family, pairs: Sequence[Pair]) -> Section:
    delong = any(pair.delong is not None for pair in pairs)
    lead = (
        f"Difference of mean AUROC, first minus second; {_drawn(table)} resampled {table.bootstrap:,} times; "
        f"Holm’s correction over {'these ' if len(pairs) > 1 else 'this '}{len(pairs)}."
        f"{' DeLong: of the seeds’ mean, the fits taken as given.' if delong else ''}"
    )
    return Section(
        f"tests-{family}",
        f"Tests {FAMILIES[family]}" if family != "others" else "Tests of the other pairs",
        lead,
        ("First", "Second", "Difference (95 % interval)", "p", "p, Holm", *(["p, DeLong"] if delong else [])),
        tuple(_test(table, pair, delong) for pair in pairs),
        left=2,
    )


def _test(table: Table, pair: Pair, delong: bool) -> Line:
    low, high = pair.interval
    between = "" if math.isnan(low) or math.isnan(high) else f"{signed(low)} to {signed(high)}"
    return Line(
        (
            Cell(named(pair.first, table)),
            Cell(named(pair.second, table)),
            Cell(signed(pair.difference), interval=between),
            Cell(p_value(pair.p_value)),
            Cell(p_value(pair.p_holm)),
            *([Cell(p_value(pair.delong))] if delong else []),
        )
    )


def sections(table: Table) -> list[Section]:
    """All of them, in the order of the page."""
    found = [
        main(table), pixels(table), cost(table), *pair_tests(table),
        shortcuts(table), contamination(table), missed(table),
    ]  # fmt: skip
    return [section for section in found if section is not None]
