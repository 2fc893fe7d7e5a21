"""A comparison as LaTeX, to be read into a paper with \\input; it needs booktabs and longtable."""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import wrap

from secondread.comparison.judging.table import Table
from secondread.comparison.writing.cells import Cell, Line, Section
from secondread.comparison.writing.published import PublishedRow
from secondread.comparison.writing.published_sections import LEAD, published_sections
from secondread.comparison.writing.sections import (
    contamination,
    cost,
    decisions,
    pair_tests,
    pixels,
    ranking,
)

SIGNS = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "[": "{[}",
    "<": "$<$",
    ">": "$>$",
    "±": r"$\pm$",
    "−": "$-$",
    "×": r"$\times$",
    "≥": r"$\geq$",
    "≤": r"$\leq$",
    "–": "--",
    "’": "'",
    "…": r"\dots{}",
    "\u202f": r"\,",
}
HEAD = "% Needs \\usepackage{booktabs} and \\usepackage{longtable}; made by secondread compare."


def table_tex(table: Table, published: Sequence[PublishedRow] = ()) -> str:
    """Ranking, decisions, pixels, cost, each family of tests, contamination; published numbers last, each
    protocol in a table of its own. The notes stand as comments at the top."""
    found = [ranking(table), decisions(table), pixels(table), cost(table), contamination(table)]
    blocks = [_float(section) for section in found if section is not None]
    blocks += [_long(section) for section in pair_tests(table)]
    blocks += [_float(section, LEAD) for section in published_sections(published)]
    said = [f"% Note: {escaped(' '.join(note.split()))}" for note in table.notes]
    return "\n\n".join(["\n".join([HEAD, *said]), *blocks]) + "\n"


def _float(section: Section, lead: str = "") -> str:
    return "\n".join(
        [
            r"\begin{table}[htbp]",
            r"\centering\footnotesize\setlength{\tabcolsep}{4pt}",
            _caption(section, lead),
            rf"\begin{{tabular}}{{{_columns(section)}}}",
            r"\toprule",
            _head(section),
            r"\midrule",
            *_lines(section),
            r"\bottomrule",
            r"\end{tabular}",
            r"\end{table}",
        ]
    )


def _long(section: Section) -> str:
    """A table that may break over pages."""
    return "\n".join(
        [
            rf"{{\footnotesize\setlength{{\tabcolsep}}{{4pt}}\begin{{longtable}}{{{_columns(section)}}}",
            rf"{_caption(section)}\\",
            r"\toprule",
            _head(section),
            r"\midrule\endhead",
            r"\bottomrule\endfoot",
            *_lines(section),
            r"\end{longtable}}",
        ]
    )


def _columns(section: Section) -> str:
    return "l" * section.left + "r" * (len(section.heads) - section.left)


def _caption(section: Section, lead: str = "") -> str:
    said = " ".join(filter(None, (f"{section.title}.", lead, section.lead)))
    return rf"\caption{{{escaped(said)}}}\label{{tab:comparison-{section.name}}}"


def _head(section: Section) -> str:
    """Long heads of figures stand in several lines, what is in brackets in one of its own."""
    left, right = section.heads[: section.left], section.heads[section.left :]
    return " & ".join([*map(escaped, left), *map(_stacked, right)]) + r" \\"


def _stacked(head: str) -> str:
    before, bracket, within = head.partition(" (")
    lines = [*wrap(before, 14), *([f"({within}"] if bracket else [])]
    written = r" \\ ".join(map(escaped, lines))
    return written if len(lines) == 1 else rf"\begin{{tabular}}[b]{{@{{}}r@{{}}}}{written}\end{{tabular}}"


def _lines(section: Section) -> list[str]:
    return [
        " & ".join(_cell(cell, _bold(line, section, index)) for index, cell in enumerate(line.cells)) + r" \\"
        for line in section.lines
    ]


def _bold(line: Line, section: Section, index: int) -> bool:
    return line.best and index == section.bold


def _cell(cell: Cell, bold: bool) -> str:
    written, value = escaped(cell.text), escaped(cell.value)
    return rf"\textbf{{{value}}}{written.removeprefix(value)}" if bold else written


def escaped(text: str) -> str:
    """Text that LaTeX sets as it is."""
    return "".join(SIGNS.get(sign, sign) for sign in text)
