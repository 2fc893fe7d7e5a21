"""Boxes around findings in a table, in the forms in which data sets come."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from secondread.cohorts.labels.cell_numbers import number_in
from secondread.cohorts.labels.table import LabelTable
from secondread.cohorts.labels.table_row import TableRow
from secondread.errors import UserError
from secondread.tables import plain_name
from secondread.wording.lists import few

CORNERS = ("xmin", "ymin", "xmax", "ymax")
SIDES = ("x", "y", "width", "height")
_FORMS = {
    CORNERS: (CORNERS, ("x1", "y1", "x2", "y2"), ("left", "top", "right", "bottom")),
    SIDES: (
        *(("x", "y", "width", "height"), ("x", "y", "w", "h"), ("bboxx", "y", "w", "h")),
        *(("left", "top", "width", "height"), ("xmin", "ymin", "width", "height")),
    ),
}
"""The names of both forms in small letters and digits alone. NIH's table has `Bbox [x`, `y`, `w`, `h]`."""


@dataclass(frozen=True)
class Box:
    """A box in pixels of its image: columns from `left` up to `right`, rows from `top` up to `bottom`,
    counted from the upper left corner of the image as it is shown. `line` is where the table has it."""

    left: float
    top: float
    right: float
    bottom: float
    line: int = 0

    def scaled(self, columns: float, rows: float) -> Box:
        """The box in an image that has `columns` and `rows` times as many pixels."""
        return Box(self.left * columns, self.top * rows, self.right * columns, self.bottom * rows, self.line)


@dataclass(frozen=True)
class BoxColumns:
    """Four columns, and whether they are two corners (x_min, y_min, x_max, y_max) or a corner and lengths
    (x, y, width, height).

    sizes  the columns with the width and height of the picture in which the boxes were drawn, where the table
           says it: boxes then follow a picture that was resized
    """

    names: tuple[str, str, str, str]
    corners: bool
    sizes: tuple[str, str] | None = None

    @classmethod
    def recognised(cls, table: LabelTable) -> BoxColumns | None:
        """The columns that RSNA (`x`, `y`, `width`, `height`), VinDr (`x_min`, `y_min`, `x_max`, `y_max`),
        NIH and others use; None where a table has none of these."""
        plain = {plain_name(name): name for name in table.columns}
        for form, spellings in _FORMS.items():
            for names in spellings:
                if all(name in plain for name in names):
                    first, second, third, fourth = (plain[name] for name in names)
                    return cls((first, second, third, fourth), form == CORNERS)
        return None

    @classmethod
    def named(
        cls, table: LabelTable, names: Sequence[str], sizes: Sequence[str] = (), option: str = ""
    ) -> BoxColumns:
        """The columns that a person names. They are corners where the last two begin as the first two do or
        say `max`, `2`, `right` or `bottom`; else lengths. Raises UserError where they are not four, or are
        missing."""
        if len(names) != 4:
            raise UserError(
                f"{table.source}: a box needs four columns, such as x,y,width,height or "
                f"x_min,y_min,x_max,y_max, not {len(names)}{f' ({option})' if option else ''}"
            )
        if len(sizes) not in (0, 2):
            raise UserError(f"{table.source}: the size of a picture needs two columns, width,height")
        first, second, third, fourth = (table.column(name, option) for name in names)
        ends = (plain_name(third), plain_name(fourth))
        corners = all(any(word in end for word in ("max", "2", "right", "bottom", "end")) for end in ends)
        size = (table.column(sizes[0]), table.column(sizes[1])) if sizes else None
        return cls((first, second, third, fourth), corners, size)

    def note(self, table: LabelTable) -> str:
        form = "corners" if self.corners else "a corner, width and height"
        return f"{table.source}: columns {', '.join(self.names)} are boxes ({form}), and become masks"


def boxes_of(table: LabelTable, rows: Sequence[TableRow], columns: BoxColumns) -> list[Box]:
    """The boxes on an image's rows, each once; a row whose four cells are empty has none.

    With `columns.sizes`, boxes are in shares of the picture's width and height (0 to 1). Raises UserError for
    a cell that is no number, a box that is given in part, and one without an area.
    """
    found: dict[tuple[float, float, float, float], Box] = {}
    for row in rows:
        cells = [row[name] for name in columns.names]
        if not any(cells):
            continue
        x, y, third, fourth = _numbers(table, row, columns.names)
        right, bottom = (third, fourth) if columns.corners else (x + third, y + fourth)
        if right <= x or bottom <= y:
            told = ", ".join(f"{name} {cell}" for name, cell in zip(columns.names, cells, strict=True))
            raise UserError(f"{table.source}, line {row.line}: a box without an area ({told})")
        box = Box(x, y, right, bottom, row.line)
        if columns.sizes is not None:
            width, height = _numbers(table, row, columns.sizes)
            if width <= 0 or height <= 0:
                raise UserError(f"{table.source}, line {row.line}: a picture of {width:g}×{height:g} pixels")
            box = box.scaled(1 / width, 1 / height)
        found.setdefault((box.left, box.top, box.right, box.bottom), box)
    return list(found.values())


def boxes_by_image(
    table: LabelTable, rows: Mapping[str, Sequence[TableRow]], columns: BoxColumns
) -> dict[str, list[Box]]:
    """The boxes of each image that has any; `rows` are those of `Answers`. Raises UserError where there is
    none."""
    found = {image: boxes for image, own in rows.items() if (boxes := boxes_of(table, own, columns))}
    if not found:
        raise no_boxes(table, columns)
    return found


def no_boxes(table: LabelTable, columns: BoxColumns) -> UserError:
    return UserError(f"{table.source}: no row has a box in columns {few(columns.names)}")


def _numbers(table: LabelTable, row: TableRow, names: Sequence[str]) -> list[float]:
    values = []
    for name in names:
        try:
            value = number_in(row[name])
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            raise UserError(
                f"{table.source}, line {row.line}, column {name}: {row[name]!r} is no number; a row has all "
                f"of {', '.join(names)}, or none"
            )
        values.append(value)
    return values
