"""A reproduction written down: CSV, Markdown, a page and the figures of its curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib
from matplotlib.figure import Figure

from secondread import tables
from secondread.comparison.judging.table import Table
from secondread.comparison.writing.cells import Cell, Line, Section
from secondread.comparison.writing.markdown import escaped, grid
from secondread.comparison.writing.published_sections import figure as published_figure
from secondread.drawing.palette import FAINT, FINDINGS
from secondread.drawing.style import HEIGHT, STYLE, WIDTH
from secondread.outputs.private import make_folder
from secondread.outputs.whole import write_whole
from secondread.reports.figures import Inline, save
from secondread.reports.templates import write_report_page
from secondread.reproduction.measured import Beside, measured_table
from secondread.reproduction.planned_tables import PlannedTable
from secondread.reproduction.reproduce import Reproduction
from secondread.version import __version__
from secondread.wording.commands import shown_command
from secondread.wording.numbers import NOTHING, number, signed

NAMES = {
    "auroc": "AUROC",
    "average_precision": "AP",
    **{
        metric: f"{metric.capitalize()}, oracle"
        for metric in ("f1", "accuracy", "sensitivity", "specificity")
    },
}
"""Oracles have the threshold that is best for F1 on the test itself."""
LEAD = (
    "Published figures hold under their own split, sizes and choices, which are told beside each; a "
    "difference from them is one of data and protocol as much as of the method. Differences are given where "
    "--dataset says that the images are of that data set."
)


def write_reproduction(
    made: Reproduction, found: Mapping[str, Table], out: Path, *, command: Sequence[str] = ()
) -> Path:
    """Write `figures.csv`, `reproduction.md`, `report.html` and `figures/`; returns the page's path."""
    measured = {
        planned.table.key: measured_table(planned, found.get(planned.table.key), made.dataset)
        for planned in made.tables
        if planned.rows
    }
    sections = {
        planned.table.key: _section(planned, measured[planned.table.key], made.same_data)
        for planned in made.tables
        if planned.rows
    }
    curves = {
        planned.table.key: draw_curve(planned, measured[planned.table.key], out / "figures")
        for planned in made.tables
        if planned.rows and planned.table.curve is not None
    }
    facts = _facts(made, found, command)
    write_whole(out / "figures.csv", _csv(measured).encode())
    write_whole(out / "reproduction.md", _markdown(made, sections, facts).encode())
    return write_report_page(
        out,
        "reproduction.html",
        paper=made.paper,
        reduced=made.paper.reduced if made.reduced else "",
        tables=[planned.table for planned in made.tables if planned.rows],
        sections=sections,
        curves=curves,
        notes=[*made.left_out, *_notes(found)],
        lead=LEAD,
        facts=facts,
    )


def _section(planned: PlannedTable, figures: Sequence[Beside], same_data: bool) -> Section:
    """Measured beside published; the difference only where somebody said that the data are the same."""
    lines = []
    for one in figures:
        for value, where, system in one.published or ((None, "", ""),):
            lines.append(
                Line(
                    (
                        Cell(one.row),
                        Cell(_metric(one)),
                        _cell(one),
                        Cell(NOTHING if value is None else published_figure(value)),
                        *(() if not same_data else (Cell(_difference(one, value)),)),
                        Cell(f"{system}: {where}" if system else where),
                    )
                )
            )
    heads = ["Row", "Figure", "Measured here", "Published", "Difference", "Where it was published"]
    if not same_data:
        heads.remove("Difference")
    lead = f"Protocol of the paper: {planned.table.protocol}"
    return Section(planned.table.key, planned.table.title, lead, tuple(heads), tuple(lines), left=2)


def _difference(one: Beside, value: float | None) -> str:
    return NOTHING if one.measured is None or value is None else signed(one.measured.mean - value)


def _metric(one: Beside) -> str:
    name = NAMES[one.metric]
    return f"{name}, {one.finding.split('|')[0]} alone" if one.finding else name


def _cell(one: Beside) -> Cell:
    if one.measured is None:
        return Cell(NOTHING)
    deviation = "" if one.measured.deviation is None else number(one.measured.deviation)
    interval = "" if one.interval is None else f"{number(one.interval[0])} to {number(one.interval[1])}"
    return Cell(number(one.measured.mean), deviation, interval)


def draw_curve(planned: PlannedTable, figures: Sequence[Beside], folder: Path) -> Inline:
    """Mean AUROC by the curve's setting, a line for each row; bars are 95 % intervals."""
    make_folder(folder)
    curve = planned.table.curve
    assert curve is not None
    by_row = {row.name: row for row in planned.rows}
    with matplotlib.rc_context({**STYLE, "svg.hashsalt": planned.table.key}):
        figure = Figure(figsize=(WIDTH, HEIGHT), layout="constrained")
        axes = figure.subplots()
        for place, name in enumerate(dict.fromkeys(row.row.name for row in planned.rows)):
            points = sorted(
                (_x(one, planned), one.measured.mean, one.interval or (one.measured.mean,) * 2)
                for one in figures
                if one.metric == "auroc" and not one.finding and one.measured is not None
                if by_row[one.row].row.name == name
            )
            if not points:
                continue
            colour, dashes = FINDINGS[place % len(FINDINGS)]
            means = [mean for _, mean, _ in points]
            low = [max(0.0, mean - pair[0]) for _, mean, pair in points]
            high = [max(0.0, pair[1] - mean) for _, mean, pair in points]
            axes.errorbar(
                [x for x, _, _ in points], means, yerr=(low, high), label=name, color=colour,
                linestyle=dashes, marker="o", markersize=5, linewidth=1.5, elinewidth=0.9, capsize=2,
            )  # fmt: skip
        axes.set_xlabel(curve.axis)
        axes.set_ylabel("AUROC")
        axes.grid(axis="y", color=FAINT, alpha=0.22, linewidth=0.6)
        if axes.get_legend_handles_labels()[0]:
            axes.legend(frameon=False)
        return Inline(save(figure, folder / planned.table.key), wide=False)


def _x(one: Beside, planned: PlannedTable) -> float:
    """The value on the curve; for all images, their number."""
    if one.at is not None:
        return one.at
    row = next(row for row in planned.rows if row.name == one.row)
    unlabelled = planned.table.curve is not None and planned.table.curve.setting == "cohorts.unlabelled"
    return float(len(row.cohorts.unlabelled if unlabelled else row.cohorts.normal))


def _csv(measured: Mapping[str, Sequence[Beside]]) -> str:
    rows = [["table", "row", "at", "metric", "finding", "measured", "deviation", "low", "high", "seeds",
             "published", "published_as", "where"]]  # fmt: skip
    for key, figures in measured.items():
        for one in figures:
            for value, where, system in one.published or ((None, "", ""),):
                found = one.measured
                rows.append(
                    [
                        key, one.row, _text(one.at), one.metric, one.finding,
                        _text(None if found is None else found.mean),
                        _text(None if found is None else found.deviation),
                        *(_text(end) for end in one.interval or (None, None)),
                        "" if found is None else str(len(found.values)),
                        _text(value), system, where,
                    ]
                )  # fmt: skip
    return tables.table(rows)


def _text(value: float | None) -> str:
    return "" if value is None else repr(float(value))


def _markdown(made: Reproduction, sections: Mapping[str, Section], facts: Sequence[tuple[str, str]]) -> str:
    blocks = [f"# {escaped(made.paper.title)}", escaped(made.paper.source), escaped(made.paper.about)]
    if made.reduced:
        blocks.append(f"**At a reduced size**: {escaped(made.paper.reduced)}.")
    blocks += [f"- {escaped(line)}" for line in made.left_out]
    for section in sections.values():
        blocks += [f"## {escaped(section.title)}", escaped(section.lead), grid(section)]
    blocks += [LEAD, "\n".join(f"- {name}: {escaped(text)}" for name, text in facts)]
    return "\n\n".join(blocks) + "\n"


def _notes(found: Mapping[str, Table]) -> list[str]:
    return list(dict.fromkeys(note for table in found.values() for note in table.notes))


def _facts(made: Reproduction, found: Mapping[str, Table], command: Sequence[str]) -> list[tuple[str, str]]:
    test = [row for row in made.manifest.rows if row.split == "test" and row.label]
    abnormal = sum(row.label == "abnormal" for row in test)
    missing = [str(run) for table in found.values() for run in table.results.missing]
    return [
        fact
        for fact in (
            ("Paper", made.paper.source),
            ("Size", made.paper.reduced if made.reduced else "that of the paper's presets"),
            ("Settings besides", ", ".join(made.settings)),
            ("Manifest", f"{Path(made.manifest.source).name}, digest {made.manifest.digest}"),
            ("Test images", f"{len(test) - abnormal:,} normal, {abnormal:,} abnormal"),
            ("Seeds", ", ".join(map(str, made.seeds))),
            ("Published on", made.dataset),
            ("Not finished", ", ".join(missing)),
            ("Command", shown_command(command)),
            ("Written by", f"secondread {__version__}"),
        )
        if fact[1]
    ]
