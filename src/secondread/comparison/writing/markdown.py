"""A comparison as Markdown."""

from __future__ import annotations

import re
from collections.abc import Sequence

from secondread.comparison.judging.provenance import how_made
from secondread.comparison.judging.table import Table
from secondread.comparison.writing.cells import Line, Section
from secondread.comparison.writing.published import PublishedRow
from secondread.comparison.writing.published_sections import LEAD, TITLE, published_sections
from secondread.comparison.writing.sections import sections


def table_md(table: Table, published: Sequence[PublishedRow] = (), command: Sequence[str] = ()) -> str:
    """All sections, published numbers apart from measured ones, notes, and how it was made."""
    blocks = ["# Comparison", "Research use, not a medical device."]
    if table.notes:
        blocks += ["\n".join(f"- {escaped(note)}" for note in table.notes)]
    for section in sections(table):
        blocks += [f"## {escaped(section.title)}", escaped(section.lead), grid(section)]
    if published:
        blocks += [f"## {TITLE}", LEAD]
        for section in published_sections(published):
            blocks += [f"### {escaped(section.title)}", escaped(section.lead), grid(section)]
    made = [f"- {name}: {escaped(text)}" for name, text in how_made(table, command)]
    return "\n\n".join([*blocks, "## How it was made", "\n".join(made)]) + "\n"


def grid(section: Section) -> str:
    """The table of a section."""
    marks = [":--" if index < section.left else "--:" for index in range(len(section.heads))]
    rows = [[escaped(head) for head in section.heads], marks]
    rows += [_cells(line, section.bold) for line in section.lines]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def _cells(line: Line, bold: int | None) -> list[str]:
    written = [escaped(cell.text) for cell in line.cells]
    if line.best and bold is not None:
        value = escaped(line.cells[bold].value)
        written[bold] = f"**{value}**{written[bold].removeprefix(value)}"
    return written


def escaped(text: str) -> str:
    """Text that Markdown shows as it is, in one line."""
    return re.sub(r"([\\`*|\[\]]|(?<!\w)_|_(?!\w)|<(?=[\w/!]))", r"\\\1", " ".join(text.split()))
